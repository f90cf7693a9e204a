# SPDX-License-Identifier: MIT
"""Clients."""
from typing import Any, Callable, Mapping, Optional, Protocol, Union

from . import _options, _wsock
from ._connections import Connection
from ._errors import Error, State, StateInfo
from ._handlers import (CONNECTION_EVENTS, ConnectionHandlers, Fn, Hosted, set_codec,
                        set_payload, take_handlers)
from ._options import TLS
from ._queues import Queue, Runtime, queue_of
from ._rooms import codec_of
from ._servers import check_tls


class HasFileno(Protocol):
    """A socket, or what else has a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


CLIENT_EVENTS = CONNECTION_EVENTS + ("on_state",)


class Client(ConnectionHandlers, Hosted):
    """Where and how to connect, with handlers.

        client = wsock.Client("wss://example.org/feed")

        @client.on_message
        def heard(conn, message):
            print(message)

        client.run()

    run() and start() keep one connection up, and connect again whenever it ends; connect()
    opens one more each time. Handlers run where its queue is dispatched: one of its own,
    or that of `queue=server`. Keywords are handlers, the options of scope client (and, if
    it makes a runtime of its own, runtime); numbers of seconds for times, None for "off".
    """

    def __init__(self, url: str, *, queue: Any = None, runtime: Optional[Runtime] = None,
                 headers: Any = None, subprotocols: Any = (), tls: Optional[TLS] = None,
                 codec: Any = None, payload: Optional[str] = None, **options: Any) -> None:
        check_tls(tls)
        handlers = take_handlers(options, CLIENT_EVENTS)
        _options.check(options, _options.CLIENT | _options.RUNTIME, CLIENT_EVENTS)
        of_runtime, own = _options.split(options, _options.RUNTIME)
        if tls is not None:
            own = {**tls.options(_options.CLIENT), **own}
        if url.startswith("wss") and "tls_ca" not in own:
            ca = _options.ca_file()
            if ca is not None:
                own["tls_ca"] = ca
        self._owns_queue = queue is None
        self.queue: Queue = queue_of(queue, runtime, of_runtime)
        self.url = url
        self.state: Optional[State] = None
        self._on_state: Optional[Callable[[Client, StateInfo], Any]] = None
        self._codec = codec
        self._payload = payload
        self._is_started = False
        try:
            self._make(own, headers, subprotocols, handlers)
        except BaseException:
            if self._owns_queue:
                self.queue.close()
            raise

    def _make(self, options: Any, headers: Any, subprotocols: Any, handlers: Any) -> None:
        self._handle = _wsock.runtime_client(self.queue.runtime._handle, self.url)
        _wsock.client_set_queue(self._handle, self.queue)
        _options.apply(_wsock.client_set, self._handle, options)
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        for name, value in pairs:
            _wsock.client_add_header(self._handle, name, value)
        for name in subprotocols or ():
            _wsock.client_add_subprotocol(self._handle, name)
        self._hooks = _wsock.Hooks(self._handle, self.queue)
        self._hooks.set_owner(self)
        self._hooks.set("on_state", Client._has_state)
        set_codec(self._hooks, self._codec)
        set_payload(self._hooks, self._payload)
        for name, fn in handlers.items():
            self._on(name, fn)

    # ---- handlers ----

    def _on(self, name: str, fn: Fn) -> Fn:
        if name == "on_state":
            self._on_state = fn
        else:
            self._hooks.set(name, fn)
        return fn

    def on_close(self, fn: Fn) -> Fn:
        """fn(conn, info): once for every connect(), and for every attempt of a client that
        was started."""
        return self._on("on_close", fn)

    def on_error(self, fn: Fn) -> Fn:
        """fn(error, subject): a handler raised."""
        if self._owns_queue:
            self.queue.on_error = fn
        return self._on("on_error", fn)

    def on_state(self, fn: Fn) -> Fn:
        """fn(client, info): how a client that was started stands; a StateInfo."""
        return self._on("on_state", fn)

    def _has_state(self, info: StateInfo) -> None:
        self.state = State(info.state)
        if self.state == State.CLOSED:
            self._is_started = False
            if self in self.queue._hosted:
                self.queue._hosted.remove(self)
        if self._on_state is not None:
            self._on_state(self, info)

    # ---- connections ----

    def connect(self, sock: Union[HasFileno, int, None] = None) -> Connection:
        """Open a connection. Returns at once; on_open or on_close tell the rest.

        Over `sock`, if it is given: a socket, or its descriptor, that you have connected in
        your own way. The library takes a duplicate; close yours, best at once. The URL
        still says what to ask for, and whether TLS begins.
        """
        conn: Connection = self._hooks.client_connect(sock)
        return conn

    def start(self) -> None:
        """From now on keep one connection up."""
        _wsock.client_start(self._handle)
        self._is_started = True
        if self not in self.queue._hosted:
            self.queue._hosted.append(self)

    def stop(self, code: int = 1000, reason: str = "") -> None:
        """Close it, and connect no more: the state CLOSED follows. Any thread."""
        try:
            _wsock.client_stop(self._handle, code, reason or None)
        except Error as error:
            if error.code != _wsock.ECLOSED:
                raise

    @property
    def connection(self) -> Optional[Connection]:
        """The connection of a client that was started, while one is open."""
        conn: Optional[Connection] = self._hooks.client_conn()
        return conn

    def send(self, data: Any, *, text: Optional[bool] = None) -> bool:
        """Send on the connection that is open now; while none is, messages are kept as far
        as the option reconnect_buffer_bytes goes. False when there is no room."""
        encode = codec_of(self._codec)[0]
        if encode is not None and not isinstance(data, _wsock.Handle):
            data = encode(data)
        try:
            if isinstance(data, _wsock.Handle):
                _wsock.client_send_message(self._handle, data)
            else:
                is_text = isinstance(data, str) if text is None else text
                _wsock.client_send(self._handle, _wsock.TEXT if is_text else _wsock.BINARY,
                                   data)
        except Error as error:
            if error.code == _wsock.ECLOSED:
                raise Error(error.code, "the client is not started, or was stopped") from None
            if error.code != _wsock.EAGAIN:
                raise
            return False
        return True

    # ---- options, timers ----

    def set(self, name: str, value: Any) -> None:
        """Set an option of scope client."""
        _options.check({name: value}, _options.CLIENT)
        _wsock.client_set(self._handle, name, _options.as_text(name, value))

    def get(self, name: str) -> int:
        """An option as a number, in the library's unit."""
        return int(_wsock.client_get_int64(self._handle, name))

    # ---- running ----

    def run(self) -> None:
        """Start, unless it is, and run handlers until it is CLOSED: because stop() was
        called, or it gave up. KeyboardInterrupt stops it and then comes out of here; a
        second one does at once."""
        if not self._is_started:
            self.start()
        interrupt: Optional[KeyboardInterrupt] = None
        try:
            self.queue.run_until(lambda: not self._is_started)
        except KeyboardInterrupt as error:
            interrupt = error
            self.stop()
            self.queue.run_until(lambda: not self._is_started)
        if interrupt is not None:
            raise interrupt

    def close(self) -> None:
        """Stop, and run its handlers until it has; a queue of its own is closed too."""
        if self._is_started and self.queue._is_live():
            self.stop()
            self.queue.run_until(lambda: not self._is_started)
        self._handle._drop()
        if self._owns_queue:
            self.queue.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<wsock.Client {self.url}>"


