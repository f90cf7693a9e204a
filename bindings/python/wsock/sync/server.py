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

from .._compat.broadcasting import broadcast as broadcast_to
from .._compat.deciding import checker_of
from .._compat.hosting import BaseServer, Hosted
from .._compat.listening import Host, Listening, listening_at, network_error
from .._compat.serving import Settings, settings_of
from .._compat.settings import Limit
from .._errors import Error
from .._servers import Server as NativeServer
from ..frames import CloseCode
from ..headers import build_www_authenticate_basic, parse_authorization_basic
from ..http11 import SERVER, Request, Response
from ..typing import DataLike, LoggerLike, Origin, Subprotocol
from . import _hub
from .connection import Connection, connect_hooks

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]


class ServerConnection(Hosted, Connection):
    """A connection of a server; what handlers get."""

    def __init__(self, server: Server, logger: LoggerLike, max_queue: Limit = 16) -> None:
        super().__init__(logger, max_queue)
        self.server = server


Handler = Callable[[ServerConnection], Any]


class Server(BaseServer[ServerConnection]):
    """What `serve` returns: it listens; `serve_forever()` accepts connections."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, ServerConnection)
        self._threads: set[threading.Thread] = set()
        self._stopped = threading.Event()
        self._is_closing = False
        self._native = NativeServer(queue=_hub.queue(), tls=settings.tls, **settings.options)
        try:
            self._register(self._native, connect_hooks)
            for url in settings.urls():
                self._native.listen(url)
            self._sockets = listening_at(self._native.urls)
        except Error as error:
            self._native._handle._drop()
            raise network_error(error) from error

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], exc: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.shutdown()

    # -- what the library tells, on the thread of _hub.py

    def _new_connection(self) -> ServerConnection:
        return self._create(self, self.logger, self._settings.max_queue)

    def _begin_handshake(self, native: Any, connection: ServerConnection) -> None:
        self._start(self._handshake, native, connection)

    def _begin(self, connection: ServerConnection) -> None:
        self._start(self._run, connection)

    def _has_stopped(self) -> None:
        self._stopped.set()

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
        try:
            response = self._decider.decide_now(connection)
        except Exception as exc:
            response = self._response_to(connection, exc)
        self._answer(native, connection, response)

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
        self._say_where(self._sockets)
        self._native.start()
        self._stopped.wait()

    def shutdown(self, code: Union[CloseCode, int] = CloseCode.GOING_AWAY,
                 reason: str = "") -> None:
        """Close it, with its connections, and wait for that and for the handlers."""
        if not self._is_closing:
            self._is_closing = True
            self._accept_no_more(self._native)
            for connection in list(self._connections):
                connection._close_soon(code, reason)
            self._native.stop()
        self._stopped.wait()
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join()
        self._native._handle._drop()

    @property
    def socket(self) -> Listening:
        """The first of them."""
        return self._sockets[0]


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
