# SPDX-License-Identifier: MIT
"""A queue of the library's for each event loop, which watches its descriptor as long as
there is something to hear."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any

from .. import _wsock
from .._compat.runtime import runtime
from .._queues import Queue

_BATCH = 256

_queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopQueue] = (
    weakref.WeakKeyDictionary())


class LoopQueue:
    """The queue of one event loop; its handlers run on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.queue = Queue(runtime())
        self._loop = weakref.ref(loop)
        self._fd = self.queue.fileno()
        self._users = 0
        self._soon = False
        weakref.finalize(loop, self.queue.close)

    def watch(self) -> None:
        """Somebody has something to hear from now on."""
        self._users += 1
        if self._users == 1:
            loop = self._loop()
            assert loop is not None
            loop.add_reader(self._fd, self.run)
            loop.call_soon(self.run)

    def unwatch(self) -> None:
        """Somebody has not any more."""
        self._users -= 1
        loop = self._loop()
        if self._users == 0 and loop is not None and not loop.is_closed():
            loop.remove_reader(self._fd)

    def run(self) -> None:
        """Run what waits, and have the descriptor tell of more."""
        queue = self.queue
        queue._serve(0, _BATCH, False, -1)
        if _wsock.queue_arm(queue) and not self._soon:
            loop = self._loop()
            if self._users and loop is not None:
                self._soon = True
                loop.call_soon(self._run_again)

    def _run_again(self) -> None:
        self._soon = False
        self.run()


def queue_of(loop: asyncio.AbstractEventLoop) -> LoopQueue:
    """The queue of a loop, made when it is first asked for."""
    queue = _queues.get(loop)
    if queue is None or not queue.queue._is_live():
        queue = _queues[loop] = LoopQueue(loop)
    return queue


def spawn(loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[None]],
          work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin a task that stays in `tasks` until it is done."""
    task = loop.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[None]) -> None:
    failure = None if task.cancelled() else task.exception()
    if isinstance(failure, Exception):
        task.get_loop().call_exception_handler(
            {"message": "a task of a server failed", "exception": failure, "task": task})
    # KeyboardInterrupt and its like have come out of the loop already.
