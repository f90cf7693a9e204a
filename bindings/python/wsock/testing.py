# SPDX-License-Identifier: MIT
"""Tests of handlers: servers and clients meet in memory, by a clock that the test moves. No
ports, no threads, no waiting, and each run is like the last.

    def test_echo(wsock_world):
        server = wsock_world.server("ws://echo")
        server.on_message("/")(lambda conn, message: conn.send(message))
        peer = wsock_world.connect("ws://echo/")
        peer.send("hello")
        assert peer.receive() == "hello"

The fixture comes with the package; without pytest: `with wsock.testing.World() as world:`.
"""
import weakref
from collections import deque
from typing import Any, Deque, Iterator, List, Optional

from . import _wsock
from ._clients import Client
from ._connections import Connection
from ._errors import CloseInfo, Error
from ._queues import Queue, Runtime
from ._servers import Server

__all__ = ["Peer", "World"]

_ROUNDS_MAX = 100_000  # of handlers, without the clock's moving


class _InOrder:
    """The queues of a runtime, the oldest first: a set's order differs from run to run."""

    def __init__(self) -> None:
        self._refs: "List[weakref.ref[Queue]]" = []

    def add(self, queue: Queue) -> None:
        self._refs = [ref for ref in self._refs if ref() is not None]
        self._refs.append(weakref.ref(queue))

    def __iter__(self) -> Iterator[Queue]:
        for ref in list(self._refs):
            queue = ref()
            if queue is not None:
                yield queue


class _Runtime(Runtime):
    """A runtime for tests."""

    def __init__(self, seed: int, **options: Any) -> None:
        self._seed = seed
        super().__init__(**options)
        self._queues = _InOrder()  # type: ignore[assignment]

    def _make(self) -> Any:
        return _wsock.testing_new(self._seed)


class World:
    """Servers and clients of one test, with their network and clock.

    What a program makes for itself is told of it by `queue=world`:
    `wsock.Server("ws://chat", queue=world)`. Handlers run inside run(), advance() and the
    Peer's receive(), never elsewhere. An exception in a handler comes out of there, unless
    `raises=False` has on_error hear of it. `seed` decides all that is left to chance, such
    as the waits of a client that comes back. Other keywords are options of scope runtime.
    """

    def __init__(self, *, seed: int = 1, raises: bool = True, **options: Any) -> None:
        self.runtime: Runtime = _Runtime(seed, **options)
        self.queue = Queue(self.runtime)
        self._raises = raises

    # ---- time ----

    @property
    def now(self) -> float:
        """Seconds by its clock, since it was made."""
        return int(_wsock.testing_now_ms(self.runtime._handle)) / 1000

    @property
    def next(self) -> Optional[float]:
        """In how many seconds something may happen by itself; None: never."""
        try:
            return int(_wsock.testing_next_ms(self.runtime._handle)) / 1000
        except Error as error:
            if error.code != _wsock.ENOENT:
                raise
        return None

    def run(self) -> None:
        """Do what there is to do now, until nothing is left. The clock stands still."""
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """The same, and then whatever happens in the next so many seconds, each at its
        time. Whole milliseconds."""
        if not seconds >= 0:
            raise ValueError("time does not go back")
        handle = self.runtime._handle
        until = _wsock.testing_now_ms(handle) + round(seconds * 1000)
        before, rounds = -1, 0
        while True:
            now = _wsock.testing_now_ms(handle)
            rounds = rounds + 1 if now == before else 0
            if rounds == _ROUNDS_MAX:
                raise Error(_wsock.ETIMEDOUT, f"there is more to do after {rounds} rounds")
            before = now
            if not _wsock.testing_wait(handle, max(until - now, 0)):
                break
            self._dispatch()
        _wsock.log_tell(self.runtime._log)

    def _dispatch(self) -> None:
        for queue in self.runtime._queues:
            if queue._is_live():
                queue._serve(0, 0, self._raises, -1)

    # ---- who meets in it ----

    def server(self, url: str = "ws://server", **options: Any) -> Server:
        """A Server that accepts at once; endpoints have to be made before somebody
        connects. Options as ever."""
        server = Server(url, queue=self.queue, **options)
        self.queue.call(server.start)
        return server

    def client(self, url: str = "ws://server/", **options: Any) -> Client:
        """A Client, not started. Options and handlers as ever."""
        return Client(url, queue=self.queue, **options)

    def connect(self, url: str = "ws://server/", **options: Any) -> "Peer":
        """A client that is connected, if it is let, and keeps what it hears. Options as
        those of Client."""
        peer = Peer(self, url, options)
        self.run()
        return peer

    # ---- the network ----

    def set_delay(self, seconds: float) -> None:
        """How long bytes, and attempts to connect, are under way from now on."""
        _wsock.testing_set_delay(self.runtime._handle, round(seconds * 1000))

    def set_chunk(self, size: int) -> None:
        """How many bytes one send or receive takes at most: 1 is every possible cut; 0
        whatever there is."""
        _wsock.testing_set_chunk(self.runtime._handle, size)

    def set_room(self, size: int) -> None:
        """How many bytes are under way or unread at most, for each direction of a
        connection, before its sender has to wait. At first 65,536."""
        _wsock.testing_set_room(self.runtime._handle, size)

    def set_source(self, address: str) -> None:
        """Where who connects from now on comes from, at first "127.0.0.1"."""
        _wsock.testing_set_source(self.runtime._handle, address)

    def hold(self, conn: Optional[Connection] = None) -> None:
        """Nothing of what this end of a connection sends arrives; without one: nothing at
        all does, and nobody is told."""
        if conn is None:
            _wsock.testing_hold(self.runtime._handle, 1)
        else:
            _wsock.testing_conn_hold(conn, 1)

    def release(self, conn: Optional[Connection] = None) -> None:
        """What was held arrives, in order; without a connection all of it."""
        if conn is None:
            _wsock.testing_hold(self.runtime._handle, 0)
        else:
            _wsock.testing_conn_hold(conn, 0)

    def cut(self, conn: Connection) -> None:
        """Break a connection: both ends find it reset, and what is under way is lost."""
        _wsock.testing_conn_cut(conn)

    # ---- life ----

    def close(self) -> None:
        """End it all. No handler runs any more: to see the ends of connections, stop
        servers and clients before, and run()."""
        self.runtime.close()

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Peer:
    """A client's connection that keeps what it hears."""

    def __init__(self, world: World, url: str, options: Any) -> None:
        self.world = world
        self.messages: Deque[Any] = deque()
        self.end: Optional[CloseInfo] = None
        client = Client(url, queue=world.queue, **options)
        client.on_message(self._heard)
        client.on_close(self._ended)
        self.conn: Connection = client.connect()

    def _heard(self, _conn: Connection, message: Any) -> None:
        self.messages.append(message)

    def _ended(self, _conn: Connection, info: CloseInfo) -> None:
        self.end = info

    def send(self, data: Any, *, text: Optional[bool] = None) -> bool:
        """As Connection.send(); it arrives with the next run()."""
        return self.conn.send(data, text=text)

    def receive(self) -> Any:
        """The next message: one that has come, or that comes without time's passing.
        AssertionError when none does."""
        if not self.messages:
            self.world.run()
        if not self.messages:
            raise AssertionError(f"nothing came: {self.end.detail}" if self.end
                                 else "nothing came")
        return self.messages.popleft()

    def receive_all(self) -> List[Any]:
        """All messages that have come, or come without time's passing."""
        self.world.run()
        heard = list(self.messages)
        self.messages.clear()
        return heard

    def close(self, code: int = 1000, reason: str = "") -> Optional[CloseInfo]:
        """Close it, and run. Returns how it ended; None while the other end is silent."""
        self.conn.close(code, reason)
        self.world.run()
        return self.end

    @property
    def is_open(self) -> bool:
        """Whether it is open now."""
        return self.conn.is_open
