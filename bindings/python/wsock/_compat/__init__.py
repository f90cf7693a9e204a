# SPDX-License-Identifier: MIT
"""What `wsock.asyncio` and `wsock.sync` have in common."""
