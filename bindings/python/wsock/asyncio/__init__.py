# SPDX-License-Identifier: MIT
"""WebSocket servers and clients on event loops, with the names that users of `websockets`
expect: `wsock.asyncio.server`, `wsock.asyncio.client`."""

from ._native import Server

__all__ = ["Server"]
