# SPDX-License-Identifier: MIT
"""Servers and their endpoints."""
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import _asks, _options, _wsock
from ._clusters import Cluster, Node, cluster_of
from ._connections import Connection
from ._errors import Error
from ._handlers import (CONNECTION_EVENTS, ConnectionHandlers, Fn, Hosted, set_codec,
                        set_payload, take_handlers)
from ._options import TLS
from ._queues import ErrorHandler, Queue, Runtime, queue_of
from ._rooms import Heralds, Room, options_of, unless

ENDPOINT_EVENTS = ("on_request", "on_request_cancelled") + CONNECTION_EVENTS


class Endpoint(ConnectionHandlers):
    """A path of a server with its handlers and limits. Handlers may be replaced at any
    time, for open connections too; None removes one. What happens to a connection, in
    order: on_request, on_open, then on_message (or on_part), on_pong and on_drain as they
    come, on_close last.
    """

    def __init__(self, server: "Server", handle: Any) -> None:
        self._handle = handle
        self._hooks = _wsock.Hooks(handle, server.queue)
        self._hooks.set_owner(server)

    @property
    def pattern(self) -> str:
        """The pattern of its paths, "/chat/{room}"."""
        return str(_wsock.endpoint_pattern(self._handle))

    def configure(self, *, codec: Any = ..., payload: Any = ..., **options: Any) -> None:
        """Set handlers, the codec, how messages come (payload="buffer": each as a Buffer),
        and options of scope endpoint, by keyword."""
        for name, fn in take_handlers(options, ENDPOINT_EVENTS).items():
            self._hooks.set(name, self._handler(name, fn))
        if codec is not ...:
            set_codec(self._hooks, codec)
        if payload is not ...:
            set_payload(self._hooks, payload)
        _options.check(options, _options.ENDPOINT, ENDPOINT_EVENTS)
        _options.apply(_wsock.endpoint_set, self._handle, options)

    def get(self, name: str) -> int:
        """An option as a number, in the library's unit."""
        return int(_wsock.endpoint_get_int64(self._handle, name))

    def _handler(self, name: str, fn: Any) -> Any:
        """What is called for fn: on event loops it may be a coroutine function."""
        return fn

    def _hook(self, fn: Any) -> Any:
        """The same for a hook of rooms."""
        return _asks.answering(fn)

    def _on(self, name: str, fn: Fn) -> Fn:
        self._hooks.set(name, self._handler(name, fn))
        return fn

    def on_request(self, fn: Fn) -> Fn:
        """fn(request): who may connect. It returns what accept() or reject() return, None
        or True to accept, False for 403; or calls defer() and answers later."""
        return self._on("on_request", fn)

    def on_request_cancelled(self, fn: Fn) -> Fn:
        """fn(request): one that was deferred has died or timed out."""
        return self._on("on_request_cancelled", fn)

    def on_close(self, fn: Fn) -> Fn:
        """fn(conn, info): it has ended; info is a CloseInfo. Once, and last."""
        return self._on("on_close", fn)

    def on_error(self, fn: Fn) -> Fn:
        """fn(error, conn): a handler raised; in place of the server's."""
        return self._on("on_error", fn)

    def __repr__(self) -> str:
        return f"<wsock.Endpoint {self.pattern!r}>"


class Server(Hosted):
    """Listeners, endpoints and rooms.

        server = wsock.Server("ws://127.0.0.1:8080", workers=2)

        @server.on_message("/echo")
        def echo(conn, message):
            conn.send(message)

        server.run()

    It binds at once, and raises Error when it cannot; it accepts connections from start()
    or run() on. Handlers run where its queue is dispatched. Keywords are the options of
    scopes server and endpoint and, if it makes a runtime of its own, runtime; numbers of
    seconds for times, None for "off".
    """

    _endpoint_class = Endpoint
    _room_class = Room

    def __init__(self, *urls: str, queue: Any = None, runtime: Optional[Runtime] = None,
                 tls: Optional[TLS] = None, codec: Any = None,
                 payload: Optional[str] = None, **options: Any) -> None:
        check_tls(tls)
        _options.check(options, _options.SERVER | _options.ENDPOINT | _options.RUNTIME)
        of_runtime, own = _options.split(options, _options.RUNTIME)
        if tls is not None:
            own = {**tls.options(_options.SERVER), **own}
        self._owns_queue = queue is None
        self.queue: Queue = queue_of(queue, runtime, of_runtime)
        self._endpoints: Dict[str, Endpoint] = {}
        self._on_error: Optional[ErrorHandler] = None
        self._on_stopped: Optional[Callable[[Server], Any]] = None
        self._codec = codec
        self._payload = payload
        self._stopped = False
        self._accepts = False
        self._heralds = Heralds(self)
        try:
            self._make(urls, own)
        except BaseException:
            self._discard()
            raise

    def _make(self, urls: Tuple[str, ...], options: Dict[str, Any]) -> None:
        self._handle = _wsock.server_new(self.queue.runtime._handle)
        _wsock.server_set_queue(self._handle, self.queue)
        self._hooks = _wsock.Hooks(self._handle, self.queue)
        self._hooks.set_owner(self)
        self._hooks.set("on_stopped", lambda server: server._has_stopped())
        _options.apply(_wsock.server_set, self._handle, options)
        _wsock.server_pause_accept(self._handle)
        for url in urls:
            self.listen(url)

    def _discard(self) -> None:
        if hasattr(self, "_handle"):
            self._handle._drop()
        if self._owns_queue:
            self.queue.close()

    # ---- endpoints ----

    def endpoint(self, pattern: str, **options: Any) -> Endpoint:
        """Get the endpoint of a path, or make it, and set handlers (on_message=...), the
        codec, and options of it. Patterns are paths with captures: "/chat/{room}",
        "/files/{rest...}". New ones are for before start() and run()."""
        endpoint = self._endpoints.get(pattern)
        if endpoint is None:
            endpoint = self._endpoint_class(self, _wsock.server_endpoint(self._handle, pattern))
            self._endpoints[pattern] = endpoint
            if self._codec is not None:
                set_codec(endpoint._hooks, self._codec)
            set_payload(endpoint._hooks, self._payload)
            if self._on_error is not None:
                endpoint._hooks.set("on_error", self._on_error)
            if self._accepts:
                endpoint._hooks.make_ready()
        endpoint.configure(**options)
        return endpoint

    def serve_rooms(self, *patterns: str, on_hello: Any = None, on_join: Any = None,
                    on_publish: Any = None, on_call: Any = None,
                    **options: Any) -> _asks.RoomHooks:
        """Serve rooms to pages, and to whatever else speaks rooms.v1, on endpoints: many
        rooms on a connection to "/rooms", the one of the path to "/rooms/{room}". Before
        start() and run(); their messages are the library's from then on. Returns their
        RoomHooks, whose decorators set the hooks, as these keywords do; others are options
        of endpoints. Again, it replaces the hooks."""
        if not patterns:
            raise TypeError('serve_rooms() takes paths: serve_rooms("/rooms", "/rooms/{room}")')
        hooks = _asks.RoomHooks(tuple(self.endpoint(each, **options) for each in patterns))
        for endpoint in hooks.endpoints:
            endpoint._hooks.serve_rooms()
        given = dict(zip(_asks.HOOKS, (on_hello, on_join, on_publish, on_call)))
        for name, fn in given.items():
            hooks._on(name, fn)
        return hooks

    def _on(self, name: str, pattern: str) -> Callable[[Fn], Fn]:
        if not isinstance(pattern, str):
            raise TypeError(f'{name} takes the path: @server.{name}("/path")')
        endpoint = self.endpoint(pattern)

        def register(fn: Fn) -> Fn:
            return endpoint._on(name, fn)

        return register

    def on_request(self, pattern: str) -> Callable[[Fn], Fn]:
        """fn(request): who may connect to that path; see Endpoint.on_request."""
        return self._on("on_request", pattern)

    def on_request_cancelled(self, pattern: str) -> Callable[[Fn], Fn]:
        """fn(request): one that was deferred has died or timed out."""
        return self._on("on_request_cancelled", pattern)

    def on_open(self, pattern: str) -> Callable[[Fn], Fn]:
        """fn(conn)"""
        return self._on("on_open", pattern)

    def on_message(self, pattern: str) -> Callable[[Fn], Fn]:
        """fn(conn, message): str for text, bytes for binary, or what the codec makes."""
        return self._on("on_message", pattern)

    def on_part(self, pattern: str) -> Callable[[Fn], Fn]:
        """fn(conn, data, text, first, last); see Endpoint.on_part."""
        return self._on("on_part", pattern)

    def on_pong(self, pattern: str) -> Callable[[Fn], Fn]:
        """fn(conn, data)"""
        return self._on("on_pong", pattern)

    def on_drain(self, pattern: str) -> Callable[[Fn], Fn]:
        """fn(conn): after send() returned False, there is room again."""
        return self._on("on_drain", pattern)

    def on_close(self, pattern: str) -> Callable[[Fn], Fn]:
        """fn(conn, info): it has ended; info is a CloseInfo. Once, and last."""
        return self._on("on_close", pattern)

    # ---- handlers of the server ----

    def on_http(self, fn: Fn) -> Fn:
        """fn(request): answer a plain GET or HEAD, and POST where the option max_body_bytes is
        set, with request.respond()."""
        self._hooks.set("on_http", fn)
        return fn

    def on_error(self, fn: Fn) -> Fn:
        """fn(error, subject): a handler raised, about a Connection, a Request, or None.
        Unless set, the traceback is logged, and the connection closed with 1011."""
        self._on_error = fn
        self._hooks.set("on_error", fn)
        for endpoint in self._endpoints.values():
            endpoint._hooks.set("on_error", fn)
        self._heralds.set_on_error(fn)
        if self._owns_queue:
            self.queue.on_error = fn
        return fn

    def on_stopped(self, fn: Fn) -> Fn:
        """fn(server): it has ended; the last of its handlers."""
        self._on_stopped = fn
        return fn

    def _has_stopped(self) -> None:
        self._stopped = True
        self._heralds.forget()
        if self in self.queue._hosted:
            self.queue._hosted.remove(self)
        if self._on_stopped is not None:
            self._on_stopped(self)

    # ---- listeners ----

    def listen(self, url: str) -> None:
        """Open another listener: "ws://127.0.0.1:8080", "ws://*:8080", "wss://...",
        "ws+unix:/run/app.sock", "ws+fd:3" (a socket that is bound; the library takes a
        duplicate). Port 0 takes a free one: see urls."""
        _wsock.server_listen(self._handle, url)

    def unlisten(self, url: str) -> None:
        """Close a listener; its connections stay."""
        _wsock.server_unlisten(self._handle, url)

    def reload(self) -> None:
        """Read the files of TLS again, for connections to come."""
        _wsock.server_reload(self._handle)

    @property
    def urls(self) -> List[str]:
        """The URLs of the listeners, with their real ports."""
        urls: List[str] = []
        try:
            while True:
                urls.append(_wsock.server_url(self._handle, len(urls)))
        except Error as error:
            if error.code != _wsock.ENOENT:
                raise
        return urls

    # ---- options, rooms, timers ----

    def set(self, name: str, value: Any) -> None:
        """Set an option of scope server, or the default of its endpoints."""
        _options.check({name: value}, _options.SERVER | _options.ENDPOINT)
        _wsock.server_set(self._handle, name, _options.as_text(name, value))

    def get(self, name: str) -> str:
        """An option as text."""
        return str(_wsock.server_get_string(self._handle, name))

    def room(self, name: str, *, codec: Any = None, **options: Any) -> Room:
        """Get the room of that name, or make it. Tokens divided by dots: "match.17". Options
        of rooms by keyword, history for history_messages: it is made with them; a room that
        is there and has another value of one is an Error (WSOCK_EEXIST)."""
        if not options:
            return self._room_class(self, _wsock.server_room(self._handle, name), codec)
        pairs = [text for pair in options_of(options) for text in pair]
        return self._room_class(self, _wsock.make_room(self._handle, name, pairs), codec)

    def find_room(self, name: str, *, codec: Any = None) -> Optional[Room]:
        """Get it only if it exists."""
        try:
            return self._room_class(self, _wsock.server_find_room(self._handle, name), codec)
        except Error as error:
            if error.code != _wsock.ENOENT:
                raise
        return None

    def rooms(self, pattern: Optional[str] = None, *, codec: Any = None) -> List[Room]:
        """The rooms of this moment, in no order; those whose names match a pattern, "match.*"
        or "match.>"."""
        rooms: List[Room] = []
        for handle in _wsock.rooms(self._handle, pattern):
            rooms.append(self._room_class(self, handle, codec))
        return rooms

    def room_defaults(self, pattern: str, **options: Any) -> None:
        """Options of rooms that are made from now on, by their names: "match.*.chat",
        "match.>". Of several patterns that match a name the later call wins."""
        for name, value in options_of(options):
            _wsock.server_room_defaults(self._handle, pattern, name, value)

    def _room_handler(self, room: str, fn: Any) -> Any:
        """What is called for a handler of a room."""
        return fn

    def _once(self, fn: Any) -> Any:
        """What is called for a function that is called once."""
        return fn

    # ---- clusters ----

    @property
    def cluster(self) -> Cluster:
        """How its cluster is now."""
        return cluster_of(*_wsock.server_cluster(self._handle))

    def on_cluster(self, fn: Fn) -> Fn:
        """fn(server, cluster): the broker came or went, a Cluster. What changes faster than
        handlers run is told once. None removes it."""
        if fn is not None and not callable(fn):
            raise TypeError(f"on_cluster is a function or None, not {type(fn).__name__}")
        run = self._once(fn)
        self._hooks.set("on_cluster", None if fn is None else
                        lambda server, told: run(server, cluster_of(*told)))
        return fn

    def nodes(self, fn: Callable[[List[Node], str], Any]) -> Any:
        """Ask the broker which servers are nodes of the cluster: fn(nodes, why), called once,
        where handlers run; why is "", or why there is no list. Raises Error (WSOCK_ENOTSUP)
        without a cluster, (WSOCK_EAGAIN) while the broker is away."""
        if not callable(fn):
            raise TypeError(f"nodes() takes a function, not {type(fn).__name__}")
        run = self._once(fn)
        _wsock.server_nodes(self._handle, self.queue, lambda nodes, why: run(
            [Node(*node) for node in nodes], why))

    # ---- who hears rooms ----

    def subscribe(self, conn: Connection, pattern: str) -> bool:
        """Have an open connection hear all rooms whose names match, "match.*.chat" or
        "match.>", each message once, without being a member. False when it does already, or
        is not open."""
        try:
            return unless(_wsock.EEXIST, _wsock.server_subscribe, self._handle, conn, pattern)
        except Error as error:
            if error.code != _wsock.ECLOSED:
                raise
        return False

    def unsubscribe(self, conn: Connection, pattern: str) -> bool:
        """Take it back. False when there was no such subscription."""
        return unless(_wsock.ENOENT, _wsock.server_unsubscribe, self._handle, conn, pattern)

    # ---- identities ----

    def connections_of(self, identity: str) -> List[Connection]:
        """The open connections of an identity."""
        connections: List[Connection] = _wsock.identity_conns(self._handle, identity)
        return connections

    def send_to(self, identity: str, data: Any, *, text: Optional[bool] = None,
                compress: bool = True) -> int:
        """Send a message to all connections of an identity. Returns to how many it was
        queued."""
        return int(_wsock.send_to(self._handle, identity, data, text, compress))

    def away(self, seconds: float, *, reconnect: bool = True) -> None:
        """Tell all clients that speak rooms.v1 that this server will go: they spread their
        coming back over that time, or do not come back. Connections stay open. stop() tells
        it too, before it closes them."""
        if not seconds >= 0:
            raise ValueError("a time is a number of seconds, 0 or more")
        _wsock.server_away(self._handle, round(seconds * 1000), int(reconnect))

    def disconnect(self, identity: str, code: int = 1000,
                   reason: Optional[str] = None) -> int:
        """Begin to close all connections of an identity. Returns how many."""
        return int(_wsock.server_disconnect(self._handle, identity, code, reason))

    def message(self, data: Any, *, text: Optional[bool] = None,
                compress: bool = True) -> "_wsock.Handle":
        """A message that is encoded once, to be sent to many."""
        return self.queue.message(data, text=text, compress=compress)

    @property
    def connection_count(self) -> int:
        """Connections that are open or closing now."""
        return int(_wsock.server_conn_count(self._handle))

    # ---- running ----

    def start(self) -> None:
        """Accept connections; somebody has to dispatch the queue."""
        for endpoint in list(self._endpoints.values()):
            unless(_wsock.ECLOSED, endpoint._hooks.make_ready)
        self._accepts = True
        _wsock.server_resume_accept(self._handle)
        if self not in self.queue._hosted:
            self.queue._hosted.append(self)

    def pause_accept(self) -> None:
        """Leave new connections waiting; start() takes them again."""
        _wsock.server_pause_accept(self._handle)

    def run(self) -> None:
        """Accept connections and run handlers until stop() was called and all connections
        have ended. KeyboardInterrupt stops it in the same way and then comes out of here;
        a second one does at once."""
        self.start()
        interrupt: Optional[KeyboardInterrupt] = None
        try:
            self.queue.run_until(lambda: self._stopped)
        except KeyboardInterrupt as error:
            interrupt = error
            self.stop()
            self.queue.run_until(lambda: self._stopped)
        finally:
            if self._owns_queue:
                self.queue.close()
        if interrupt is not None:
            raise interrupt

    def stop(self) -> None:
        """Begin to end: listeners close, every connection is closed with 1001 and gets the
        option stop_timeout to do so; on_stopped comes last. Any thread."""
        _wsock.server_stop(self._handle)

    @property
    def stopped(self) -> bool:
        """Whether it has ended, and on_stopped was delivered."""
        return self._stopped

    def close(self) -> None:
        """Stop, and run its handlers until it has ended. With a queue of its own that is
        closed too."""
        if self._handle._is_live() and self.queue._is_live():
            self.stop()
            self.queue.run_until(lambda: self._stopped)
        if self._owns_queue:
            self.queue.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<wsock.Server {' '.join(self.urls) or 'without listeners'}>"


def check_tls(tls: Any) -> None:
    """For the one mistake that everybody makes."""
    if tls is not None and not isinstance(tls, TLS):
        raise TypeError(f"tls takes wsock.TLS(cert=\"c.pem\", key=\"k.pem\", ca=\"ca.pem\"), "
                        f"not {type(tls).__name__}")
