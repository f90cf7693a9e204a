# SPDX-License-Identifier: MIT
"""Runtimes, and the queues on which handlers run."""
import atexit
import os
import signal
import threading
import weakref
from types import TracebackType
from typing import Any, Callable, List, Optional, Type

from . import _options, _wsock
from ._errors import Error

ErrorHandler = Callable[[BaseException, Any], Any]


class Runtime:
    """Worker threads, which servers and clients share. Its keywords are the options of
    scope runtime (workers=2). Servers and clients make one of their own if not told of
    any; the threads start with the first of them that listens or connects.

    What the library logs goes to the logger "wsock", where a queue of the runtime is
    dispatched; its option log_level chooses how much that is (by default warnings and
    errors), and records have `subject` ("server", "conn 17").
    """

    def __init__(self, **options: Any) -> None:
        _options.check(options, _options.RUNTIME)
        self._handle = self._make()
        self._log = _wsock.log_open(self._handle)
        self._queues: "weakref.WeakSet[Queue]" = weakref.WeakSet()
        _options.apply(_wsock.runtime_set, self._handle, options)
        _runtimes.add(self)

    def _make(self) -> Any:
        return _wsock.runtime_new()

    def set(self, name: str, value: Any) -> None:
        """Set an option of scope runtime."""
        _options.check({name: value}, _options.RUNTIME)
        _wsock.runtime_set(self._handle, name, _options.as_text(name, value))

    def get(self, name: str) -> int:
        """An option as a number, in the library's unit."""
        return int(_wsock.runtime_get_int64(self._handle, name))

    def stop(self) -> None:
        """Begin to end all servers and clients. Any thread."""
        _wsock.runtime_stop(self._handle)

    @property
    def closed(self) -> bool:
        """Whether it was closed, or belongs to a process that forked this one."""
        return not self._handle._is_live()

    def close(self) -> None:
        """End everything, and wait for the threads. No handler runs any more: to hear of
        the ends of connections, stop servers and clients before."""
        if self.closed:
            return
        for queue in list(self._queues):
            queue.close()
        _wsock.runtime_close(self._handle)
        _wsock.log_tell(self._log)

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()


_runtimes: "weakref.WeakSet[Runtime]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for runtime in list(_runtimes):
        try:
            runtime.close()
        except Error:
            pass  # inside a handler: the process ends with its threads
    _wsock.reap()


os.register_at_fork(after_in_child=_wsock.after_fork)


class _Signals:
    """While waiting without the GIL: a descriptor that signals make readable, whichever
    thread they reach; -1 outside the main thread, which has none."""

    def __enter__(self) -> int:
        self.fds: List[int] = []
        if threading.current_thread() is not threading.main_thread():
            return -1
        self.fds = list(os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        self.former = signal.set_wakeup_fd(self.fds[1], warn_on_full_buffer=False)
        return self.fds[0]

    def __exit__(self, *_: Any) -> None:
        if self.fds:
            signal.set_wakeup_fd(self.former, warn_on_full_buffer=False)
            for fd in self.fds:
                os.close(fd)


class Queue(_wsock.Queue):
    """Where handlers run: they wait here until a thread of yours dispatches them.

    `queue.run()` does so until `queue.stop()`; `dispatch()` and `poll()` take what waits,
    for programs with a loop of their own, which `fileno()` and `arm()` fit into.
    """

    def __init__(self, runtime: Optional[Runtime] = None, **options: Any) -> None:
        if runtime is not None and options:
            raise TypeError("the options are those of the runtime, which is there already")
        self.runtime = runtime if runtime is not None else Runtime(**options)
        self._owns_runtime = runtime is None
        self._stopping = False
        self._hosted: List[Any] = []  # servers and clients that run
        self._open(self.runtime._handle, self.runtime._log)
        self.runtime._queues.add(self)

    # ---- running handlers ----

    def dispatch(self, max_events: int = 0, timeout: Optional[float] = 0) -> int:
        """Run handlers that wait (max_events 0: at most 1,024), and if there are none, wait
        for some, None: for as long as it takes. Returns how many ran.

        An exception in a handler comes out of here; what waits behind it stays."""
        return self._serve(timeout, max_events, True, -1)

    def poll(self, max_events: int = 0, timeout: Optional[float] = 0) -> int:
        """The same, but exceptions in handlers go to on_error."""
        return self._serve(timeout, max_events, False, -1)

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until there is something to dispatch, or wake() was called: True."""
        return self._wait(timeout)

    def run(self) -> None:
        """Dispatch until stop() was called. Exceptions in handlers go to on_error; signals
        are handled, so that KeyboardInterrupt comes out of here."""
        try:
            self.run_until(lambda: self._stopping)
        finally:
            self._stopping = False

    def run_until(self, done: Callable[[], bool]) -> None:
        """Dispatch until `done()`, which is asked after each batch of handlers."""
        with _Signals() as fd:
            while not done():
                self._serve(None, 0, False, fd)

    def stop(self) -> None:
        """Have run() return. Any thread."""
        self._stopping = True
        self.wake()

    def fileno(self) -> int:
        """A descriptor that becomes readable when there is something to dispatch, after
        arm() returned False. Do not read from it."""
        return int(_wsock.queue_fd(self))

    def arm(self) -> bool:
        """Before each wait for fileno(): True when something waits already."""
        return bool(_wsock.queue_arm(self))

    # ---- what else runs here ----

    def call(self, fn: Callable[[], Any]) -> None:
        """Call fn once where the handlers run. Any thread."""
        self._call(fn)

    def after(self, seconds: float, fn: Callable[[], Any]) -> "_wsock.Timer":
        """Call fn once, in that many seconds."""
        return self._timer(seconds, 0.0, fn)

    def every(self, seconds: float, fn: Callable[[], Any]) -> "_wsock.Timer":
        """Call fn again and again, at a fixed rate; ticks that come too late are skipped
        and counted (Timer.missed)."""
        if not seconds > 0:
            raise ValueError("every() takes more than 0 seconds")
        return self._timer(seconds, seconds, fn)

    @property
    def on_error(self) -> Optional[ErrorHandler]:
        """Called with an exception that a handler raised, and the Connection or Request
        that it was about, or None. None here is the default: log the traceback, and close
        the connection with 1011; a request that was not answered gets 500 anyway."""
        return self._get_on_error()

    @on_error.setter
    def on_error(self, fn: Optional[ErrorHandler]) -> None:
        self._set_on_error(fn)

    def message(self, data: Any, *, text: Optional[bool] = None,
                compress: bool = True) -> "_wsock.Handle":
        """A message that is encoded once, to be sent to many."""
        is_text = isinstance(data, str) if text is None else text
        kind = _wsock.TEXT if is_text else _wsock.BINARY
        message: _wsock.Handle = _wsock.runtime_message(
            self.runtime._handle, kind if compress else kind | _wsock.UNCOMPRESSED, data)
        return message

    # ---- life ----

    def close(self) -> None:
        """No handler runs on it any more; what waits is dropped."""
        if not self._is_live():
            return
        self._close()
        self._hosted.clear()
        if self._owns_runtime and not self.is_dispatching:
            self.runtime.close()

    def __enter__(self) -> "Queue":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def queue_of(queue: Any, runtime: Any, options: Any) -> Queue:
    """The queue that a server or client is told of, or one for itself."""
    if queue is None:
        return Queue(runtime, **options)
    if runtime is not None or options:
        names = ", ".join(options) or "runtime"
        raise TypeError(f"{names}: the queue's runtime is there already")
    queue = getattr(queue, "queue", queue)
    if not isinstance(queue, Queue):
        raise TypeError(f"queue is a Queue, or a server or client, not {type(queue).__name__}")
    return queue
