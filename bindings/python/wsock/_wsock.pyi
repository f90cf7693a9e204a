# SPDX-License-Identifier: MIT
# What the package uses of its module in C. The wrapped functions take handles and answer
# what the headers say; their types are those of the classes over them.
from typing import Any, Callable, Optional, final

def __getattr__(name: str) -> Any: ...

class Handle:
    """A reference to an object of the library's."""
    def _drop(self) -> None: ...
    def _is_live(self) -> bool: ...

@final
class Timer(Handle):
    """What after() and every() return. A timer that nobody holds goes on running."""
    def cancel(self) -> None:
        """It does not run any more. Any thread; also inside its own function."""
    @property
    def missed(self) -> int:
        """How many ticks were skipped because the host was too busy for them."""
    @property
    def active(self) -> bool:
        """Whether it may still run."""

class Queue(Handle):
    def _open(self, runtime: Handle, log: Any, /) -> None: ...
    def _close(self) -> None: ...
    def _serve(self, timeout: Optional[float], max_events: int, lets_out: bool,
               wake_fd: int, /) -> int: ...
    def _wait(self, timeout: Optional[float], /) -> bool: ...
    def _call(self, fn: Callable[[], Any], /) -> None: ...
    def _timer(self, first: float, every: float, fn: Callable[[], Any], /) -> Timer: ...
    def _kept(self) -> int: ...
    def _get_on_error(self) -> Optional[Callable[[BaseException, Any], Any]]: ...
    def _set_on_error(self, fn: Optional[Callable[[BaseException, Any], Any]], /) -> None: ...
    def wake(self) -> None:
        """Have the dispatch or wait that is under way, or else the next one, return as soon
        as it can. Any thread, and signal handlers too."""
    @property
    def is_dispatching(self) -> bool:
        """Whether the caller is inside a handler of this queue."""

class Conn(Handle):
    def _let_go(self) -> None: ...
    data: Any
    """The application's own: any object, at first None."""
    identity: Optional[str]
    """Who it is, as accept() said, or as was set here, once; None while nobody has."""
    info: Any
    """What on_request said of it beside the identity; else None."""
    @property
    def close_info(self) -> Any:
        """How it ended, a CloseInfo; None before it has."""
    @property
    def id(self) -> int:
        """A number that no other connection of this process has or had."""
    @property
    def buffered(self) -> int:
        """Bytes that were sent and that the kernel has not taken yet."""
    @property
    def is_open(self) -> bool:
        """Whether it is open: until closing begins."""
    @property
    def request(self) -> Any:
        """The Request that opened it; None for a client's connection."""
    @property
    def _owner(self) -> Any: ...
    def _timer(self, first: float, every: float, fn: Callable[[], Any], /) -> Timer: ...
    def call(self, fn: Callable[[], Any], /) -> None:
        """Call fn once, between the handlers of this connection, where they run. Not when
        it has ended before that. Any thread."""
    def send(self, data: Any, /, *, text: Optional[bool] = None,
             compress: bool = True) -> bool:
        """Queue one message: str is text, bytes-like is binary, unless text says otherwise.
        compress=False leaves it as it is where others are compressed, for secrets.
        True, or False when the backlog is full. Any thread."""
    def close(self, code: int = 1000, reason: str = "") -> bool:
        """Begin the closing handshake. False when closing began before. Any thread."""

@final
class Buffer:
    """A message where payload="buffer": bytes(it), str(it, "utf-8"), memoryview(it) and all
    that takes bytes-like objects work. A large one was not copied. It is read-only, and
    lives as long as anything looks into it."""
    @property
    def is_text(self) -> bool:
        """Whether it came as text; then it is UTF-8."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Request(Handle):
    _answered: bool
    _deferred: bool
    def _set_info(self, info: Any, /) -> None: ...
    def _settled(self) -> None: ...

class Ask(Handle):
    _answered: bool
    _deferred: bool
    @property
    def conn(self) -> Any:
        """Who asks, a Connection."""
    @property
    def room(self) -> Optional[str]:
        """The room that it is about, or None."""
    @property
    def name(self) -> Optional[str]:
        """Of a hello: who the client wants to be; of a direct message: the identity that it
        is for; of a call: its name; else None."""
    @property
    def token(self) -> Optional[str]:
        """Of hello, refresh and join: what the client proves itself with; else None."""
    @property
    def event(self) -> Optional[str]:
        """Of publish and direct: "message", or what the client says; else None."""
    @property
    def key(self) -> Optional[str]:
        """Of publish: what the message is about; else None."""
    @property
    def _kind(self) -> int: ...
    def _data(self) -> Any: ...
    def _set_identity(self, identity: str, /) -> None: ...
    def _set_info(self, json: Optional[str], /) -> None: ...
    def _set_expiry(self, milliseconds: int, /) -> None: ...
    def _set_data(self, data: Any, is_json: bool, /) -> None: ...
    def _accept(self) -> None: ...
    def _refuse(self, code: str, text: Optional[str], retry: bool, /) -> None: ...
    def _reply(self, json: str, /) -> None: ...

@final
class Hooks:
    def __init__(self, target: Handle, queue: Queue, /) -> None: ...
    def set(self, name: str, fn: Optional[Callable[..., Any]], /) -> None: ...
    def get(self, name: str, /) -> Optional[Callable[..., Any]]: ...
    def set_buffers(self, on: bool, /) -> None: ...
    def make_ready(self) -> None: ...
    def serve_rooms(self) -> None: ...
    def set_owner(self, owner: Any, /) -> None: ...
    def client_connect(self, sock: Any, /) -> Any: ...
    def client_conn(self) -> Any: ...
