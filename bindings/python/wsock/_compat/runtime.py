# SPDX-License-Identifier: MIT
"""The runtime that `wsock.asyncio` and `wsock.sync` share: one worker, made when the first
server or client is."""

from __future__ import annotations

import threading
from typing import Optional

from .._queues import Runtime

_lock = threading.Lock()
_shared: Optional[Runtime] = None


def runtime() -> Runtime:
    """The runtime; after a fork the child's own."""
    global _shared
    with _lock:
        if _shared is None or _shared.closed:
            _shared = Runtime(workers=1)
        return _shared
