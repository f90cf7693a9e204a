# SPDX-License-Identifier: MIT
"""WebSocket servers and clients in threads, with the names that users of `websockets`
expect: `wsock.sync.server`, `wsock.sync.client`."""
