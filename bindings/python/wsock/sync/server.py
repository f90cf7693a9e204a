# SPDX-License-Identifier: MIT
"""Servers in threads."""

from __future__ import annotations

import http
import logging
import os
import re
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Callable, Optional, Union

from .._compat import handshake
from .._compat.base import ECLOSED
from .._compat.broadcasting import broadcast as broadcast_to
from .._compat.deciding import checker_of, rejection_of
from .._compat.listening import Host, Listening, listening_at, network_error
from .._compat.serving import Settings, settings_of
from .._compat.settings import Limit
from .._errors import Error
from .._servers import Server as NativeServer
from ..frames import CloseCode
from ..headers import build_www_authenticate_basic, parse_authorization_basic
from ..http11 import SERVER, Request, Response
from ..typing import DataLike, LoggerLike, Origin, StatusLike, Subprotocol
from . import _hub
from .connection import Connection, connect_hooks

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]


class ServerConnection(Connection):
    """A connection of a server; what handlers get."""

    #: Set by `basic_auth`: who it is.
    username: str

    def __init__(self, server: Server, logger: LoggerLike, max_queue: Limit = 16) -> None:
        super().__init__(logger, max_queue)
        self.server = server
        self._handler: Any = None

    def respond(self, status: StatusLike, text: str) -> Response:
        """A plain text answer, for `process_request` and `process_response` to return."""
        return handshake.plain_response(status, text)


Handler = Callable[[ServerConnection], Any]


class Server:
    """What `serve` returns: it listens; `serve_forever()` accepts connections."""

    def __init__(self, settings: Settings) -> None:
        self.logger = settings.logger
        self._settings = settings
        self._create = settings.create_connection or ServerConnection
        self._connections: dict[ServerConnection, None] = {}
        self._threads: set[threading.Thread] = set()
        self._stopped = threading.Event()
        self._is_closing = False
        self._native = NativeServer(queue=_hub.queue(), tls=settings.tls, **settings.options)
        try:
            self._register()
            for url in settings.urls():
                self._native.listen(url)
            self._sockets = listening_at(self._native.urls)
        except Error as error:
            self._native._handle._drop()
            raise network_error(error) from error

    def _register(self) -> None:
        native = self._native
        native.on_http(lambda request: self._on_request(request, None))
        native.on_stopped(lambda _: self._stopped.set())
        for pattern, handler in self._settings.handlers.items():
            endpoint = native.endpoint(pattern)
            connect_hooks(endpoint._hooks)
            endpoint.on_request(
                lambda request, handler=handler: self._on_request(request, handler))
            endpoint.on_open(self._on_open)
            endpoint.on_close(self._on_close)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], exc: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.shutdown()

    # -- what the library tells, on the thread of _hub.py

    def _on_request(self, native: Any, handler: Optional[Handler]) -> None:
        native.defer()
        connection = self._create(self, self.logger, self._settings.max_queue)
        connection._native_request = native
        connection._handler = handler
        if self._settings.decider.is_simple and handler is not None:
            response = self._settings.decider.accept_simply(connection)
            self._answer(native, connection, response)
        else:
            self._start(self._handshake, native, connection)

    def _on_open(self, native: Any) -> None:
        connection = native.info
        native.info = None
        native.data = connection
        connection._native = native
        connection._opened = True
        self._connections[connection] = None
        self._start(self._run, connection)

    def _on_close(self, native: Any, info: Any) -> None:
        connection = native.data
        if connection is not None:
            self._connections.pop(connection, None)
            connection._ended(info)

    # -- threads

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        def run() -> None:
            try:
                work(*args)
            finally:
                self._threads.discard(thread)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _handshake(self, native: Any, connection: ServerConnection) -> None:
        decider = self._settings.decider
        try:
            response = decider.decide_now(connection)
        except Exception as exc:
            response, is_failure = rejection_of(exc)
            if is_failure:
                connection.logger.error("opening handshake failed", exc_info=True)
            decider.add_server_header(response)
        self._answer(native, connection, response)

    def _answer(self, native: Any, connection: ServerConnection, response: Response) -> None:
        connection.response = response
        try:
            if response.status_code == 101:
                handshake.accept(native, connection, response)
            else:
                connection._log(logging.INFO, "connection rejected (%d %s)",
                                response.status_code, response.reason_phrase)
                handshake.respond(native, response)
        except Error as error:
            if error.code != ECLOSED:  # else it is gone, or the server stops
                raise

    def _run(self, connection: ServerConnection) -> None:
        connection._log(logging.INFO, "connection open")
        try:
            connection._handler(connection)
        except Exception:
            connection.logger.error("connection handler failed", exc_info=True)
            connection.close(CloseCode.INTERNAL_ERROR)
        else:
            connection.close()
        connection._log(logging.INFO, "connection closed")

    # -- for users

    def serve_forever(self) -> None:
        """Accept connections, until `shutdown()` was called on another thread."""
        for listening in self._sockets:
            name = listening.getsockname()
            at = name if isinstance(name, str) else "%s:%d" % name[:2]
            self.logger.info("server listening on %s", at)
        self._native.start()
        self._stopped.wait()

    def shutdown(self, code: Union[CloseCode, int] = CloseCode.GOING_AWAY,
                 reason: str = "") -> None:
        """Close it, with its connections, and wait for that and for the handlers."""
        if not self._is_closing:
            self._is_closing = True
            self.logger.info("server closing")
            for url in list(self._native.urls):
                self._native.unlisten(url)
            for connection in list(self._connections):
                connection._close_soon(code, reason)
            self._native.stop()
        self._stopped.wait()
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join()
        self._native._handle._drop()

    @property
    def sockets(self) -> tuple[Listening, ...]:
        """What it listens at: each has `getsockname()`."""
        return self._sockets

    @property
    def socket(self) -> Listening:
        """The first of them."""
        return self._sockets[0]

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open."""
        return {c for c in list(self._connections) if c._native.is_open}


def serve(handler: Optional[Handler] = None, host: Host = None, port: Optional[int] = None, *,
          origins: Optional[Sequence[Union[Origin, str, re.Pattern[str], None]]] = None,
          subprotocols: Optional[Sequence[str]] = None,
          select_subprotocol: Optional[Callable[[ServerConnection, Sequence[Subprotocol]],
                                                Optional[Subprotocol]]] = None,
          compression: Optional[str] = "deflate",
          process_request: Optional[Callable[[ServerConnection, Request],
                                             Optional[Response]]] = None,
          process_response: Optional[Callable[[ServerConnection, Request, Response],
                                              Optional[Response]]] = None,
          server_header: Optional[str] = SERVER,
          open_timeout: Optional[float] = 10, ping_interval: Optional[float] = 20,
          ping_timeout: Optional[float] = 20, close_timeout: Optional[float] = 10,
          max_size: Limit = 2**20, max_queue: Limit = 16,
          write_limit: Union[int, tuple[int, Optional[int]]] = 2**15,
          logger: Optional[LoggerLike] = None,
          create_connection: Optional[Callable[..., ServerConnection]] = None,
          **kwargs: Any) -> Server:
    """Serve: `with serve(handler, "localhost", 8765) as server: server.serve_forever()`.

    For each connection `handler(connection)` runs in a thread of its own. The arguments are
    those of `wsock.asyncio.server.serve`.
    """
    return Server(settings_of(serve, **locals()))


def unix_serve(handler: Handler, path: Union[str, os.PathLike[str], None] = None,
               **kwargs: Any) -> Server:
    """Serve at a Unix socket; the arguments are those of `serve`."""
    if path is None:
        raise TypeError("unix_serve() takes a path")
    return serve(handler, _unix_path=path, **kwargs)


def broadcast(connections: Iterable[Connection], message: DataLike, *,
              text: Optional[bool] = None, raise_exceptions: bool = False) -> None:
    """As `wsock.asyncio.server.broadcast`."""
    broadcast_to(connections, message, text, raise_exceptions)


def basic_auth(realm: str = "",
               credentials: Union[tuple[str, str], Iterable[tuple[str, str]], None] = None,
               check_credentials: Optional[Callable[[str, str], bool]] = None,
               ) -> Callable[[ServerConnection, Request], Optional[Response]]:
    """As `wsock.asyncio.server.basic_auth`."""
    check = checker_of(credentials, check_credentials)

    def process_request(connection: ServerConnection, request: Request) -> Optional[Response]:
        try:
            username, password = parse_authorization_basic(request.headers["Authorization"])
            valid = check(username, password)
        except (LookupError, Error):
            valid = False
        if valid:
            connection.username = username
            return None
        challenge = connection.respond(http.HTTPStatus.UNAUTHORIZED, "Who are you?\n")
        challenge.headers["WWW-Authenticate"] = build_www_authenticate_basic(realm)
        return challenge

    return process_request
