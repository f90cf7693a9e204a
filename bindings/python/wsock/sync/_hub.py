# SPDX-License-Identifier: MIT
"""The thread that hears what the library tells, for all connections of `wsock.sync`. It is
started by the first server or client, and ends with the process."""

from __future__ import annotations

import threading
from typing import Optional

from .._compat.runtime import runtime
from .._errors import Error
from .._queues import Queue

_lock = threading.Lock()
_queue: Optional[Queue] = None


def queue() -> Queue:
    """The queue that the thread dispatches; after a fork the child's own."""
    global _queue
    with _lock:
        if _queue is None or not _queue._is_live():
            _queue = Queue(runtime())
            threading.Thread(target=_run, args=(_queue,), name="wsock.sync",
                             daemon=True).start()
        return _queue


def _run(queue: Queue) -> None:
    try:
        while True:
            queue._serve(None, 0, False, -1)
    except Error:  # it was closed: the process ends
        pass
