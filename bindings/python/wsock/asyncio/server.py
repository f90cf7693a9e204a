# SPDX-License-Identifier: MIT
"""Servers on an event loop."""

from __future__ import annotations

import asyncio
import http
import inspect
import logging
import os
import re
from collections.abc import Awaitable, Generator, Iterable, Sequence
from types import TracebackType
from typing import Any, Callable, Optional, Union

from .._compat.hosting import BaseServer, Hosted
from .._compat.listening import Host, Listening, listening_at, network_error
from .._compat.serving import Settings, settings_of
from .._compat.settings import Limit
from .._errors import Error
from .._servers import Server as NativeServer
from ..exceptions import InvalidState
from ..frames import CloseCode
from ..headers import build_www_authenticate_basic, parse_authorization_basic
from ..http11 import SERVER, Request, Response
from ..typing import DataLike, LoggerLike, Origin, Subprotocol
from ._loops import queue_of, spawn
from .connection import Connection, connect_hooks

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]


class ServerConnection(Hosted, Connection):
    """A connection of a server; what handlers get."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server, logger: LoggerLike,
                 max_queue: Limit = 16) -> None:
        super().__init__(loop, logger, max_queue)
        self.server = server


Handler = Callable[[ServerConnection], Awaitable[Any]]
ProcessRequest = Callable[[ServerConnection, Request],
                          Union[Awaitable[Optional[Response]], Response, None]]
ProcessResponse = Callable[[ServerConnection, Request, Response],
                           Union[Awaitable[Optional[Response]], Response, None]]
SelectSubprotocol = Callable[[ServerConnection, Sequence[Subprotocol]],
                             Optional[Subprotocol]]


class Server(BaseServer[ServerConnection]):
    """What `serve` returns: `await` it, or enter it with `async with`, and it serves."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, ServerConnection)
        self._native: Optional[NativeServer] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._is_serving = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped: Optional[asyncio.Future[None]] = None
        self._closing: Optional[asyncio.Task[None]] = None

    # -- beginning

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        return await self._start()

    async def __aexit__(self, kind: Optional[type[BaseException]],
                        exc: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        self.close()
        await self.wait_closed()

    async def _start(self) -> Server:
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        queue = queue_of(self._loop)
        native = NativeServer(queue=queue.queue, tls=self._settings.tls, **self._settings.options)
        try:
            self._register(native, connect_hooks)
            # A name may have to be looked up.
            self._sockets = await self._loop.run_in_executor(None, self._listen, native)
        except BaseException:
            native._handle._drop()
            raise
        self._native = native
        queue.watch()
        self._say_where(self._sockets)
        if self._settings.start_serving:
            await self.start_serving()
        return self

    def _listen(self, native: NativeServer) -> tuple[Listening, ...]:
        try:
            for url in self._settings.urls():
                native.listen(url)
        except Error as error:
            raise network_error(error) from error
        return listening_at(native.urls)

    async def start_serving(self) -> None:
        """Accept connections; only needed after `serve(start_serving=False)`."""
        if self._native is None:
            raise InvalidState("the server was not awaited")
        if self._closing is None:
            self._native.start()
            self._is_serving = True

    async def serve_forever(self) -> None:
        """Serve until it is closed. Cancelling this closes it."""
        await self.start_serving()
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    # -- connections

    def _new_connection(self) -> ServerConnection:
        assert self._loop is not None
        return self._create(self._loop, self, self.logger, self._settings.max_queue)

    def _begin_handshake(self, native: Any, connection: ServerConnection) -> None:
        self._spawn(self._handshake(native, connection))

    async def _handshake(self, native: Any, connection: ServerConnection) -> None:
        try:
            response = await self._decider.decide(connection)
        except Exception as exc:
            response = self._response_to(connection, exc)
        self._answer(native, connection, response)

    def _begin(self, connection: ServerConnection) -> None:
        self._spawn(self._run(connection))

    async def _run(self, connection: ServerConnection) -> None:
        connection._log(logging.INFO, "connection open")
        try:
            await connection._handler(connection)
        except Exception:
            connection.logger.error("connection handler failed", exc_info=True)
            await connection.close(CloseCode.INTERNAL_ERROR)
        except BaseException:
            connection._close_soon(CloseCode.GOING_AWAY)
            raise
        else:
            await connection.close()
        finally:
            if connection._ending is not None:
                connection._log(logging.INFO, "connection closed")

    def _spawn(self, work: Any) -> None:
        assert self._loop is not None
        spawn(self._loop, self._tasks, work)

    # -- ending

    def close(self, close_connections: bool = True,
              code: Union[CloseCode, int] = CloseCode.GOING_AWAY, reason: str = "") -> None:
        """Begin to close: no new connections; those that are there are closed, too, with
        that code and reason, or stay until they end by themselves. See `wait_closed`."""
        if self._closing is None and self._native is not None:
            assert self._loop is not None
            self._is_serving = False
            self._closing = self._loop.create_task(
                self._close(self._native, close_connections, code, reason))

    async def _close(self, native: NativeServer, close_connections: bool,
                     code: Union[CloseCode, int], reason: str) -> None:
        assert self._loop is not None and self._stopped is not None
        self._accept_no_more(native)
        self._sockets = ()
        if close_connections:
            for connection in list(self._connections):
                connection._close_soon(code, reason)
            native.stop()
        else:  # who is there already may not have been heard of
            queue_of(self._loop).run()
        while self._tasks:
            await asyncio.wait(self._tasks)
        native.stop()
        await asyncio.shield(self._stopped)
        native._handle._drop()
        queue_of(self._loop).unwatch()
        self.logger.info("server closed")

    def _has_stopped(self) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    async def wait_closed(self) -> None:
        """Wait until it is closed, and all handlers have returned."""
        assert self._stopped is not None
        await asyncio.shield(self._stopped)
        if self._closing is not None:
            await asyncio.shield(self._closing)

    # -- attributes

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop it belongs to."""
        if self._loop is None:
            raise InvalidState("the server was not awaited")
        return self._loop

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._is_serving


def serve(handler: Optional[Handler] = None, host: Host = None, port: Optional[int] = None, *,
          origins: Optional[Sequence[Union[Origin, str, re.Pattern[str], None]]] = None,
          subprotocols: Optional[Sequence[str]] = None,
          select_subprotocol: Optional[SelectSubprotocol] = None,
          compression: Optional[str] = "deflate",
          process_request: Optional[ProcessRequest] = None,
          process_response: Optional[ProcessResponse] = None,
          server_header: Optional[str] = SERVER,
          open_timeout: Optional[float] = 10, ping_interval: Optional[float] = 20,
          ping_timeout: Optional[float] = 20, close_timeout: Optional[float] = 10,
          max_size: Limit = 2**20, max_queue: Limit = 16,
          write_limit: Union[int, tuple[int, Optional[int]]] = 2**15,
          logger: Optional[LoggerLike] = None,
          create_connection: Optional[Callable[..., ServerConnection]] = None,
          **kwargs: Any) -> Server:
    """Serve: `async with serve(handler, "localhost", 8765) as server: ...`.

    For each connection `handler(connection)` runs in a task of its own; the connection is
    closed when it returns. `handlers={"/chat/{id}": fn}` has one for each path instead.
    docs/python.md explains every argument; further ones are ssl, sock,
    start_serving, reuse_port, backlog, family.
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
    """Send a message to many connections, waiting for none; it is encoded once.

    Who is not open is passed over. A connection that is too slow, with 4 MiB waiting for
    it, misses the message: that is logged as a warning, or raised in an ExceptionGroup.
    """
    from .._compat.broadcasting import broadcast as broadcast_to

    broadcast_to(connections, message, text, raise_exceptions)


Credentials = Union[tuple[str, str], Iterable[tuple[str, str]]]


def basic_auth(realm: str = "", credentials: Optional[Credentials] = None,
               check_credentials: Optional[
                   Callable[[str, str], Union[Awaitable[bool], bool]]] = None,
               ) -> Callable[[ServerConnection, Request], Awaitable[Optional[Response]]]:
    """A `process_request` that asks for user and password (RFC 7617), and has the user in
    `connection.username` then.

    They are one pair, or several, in `credentials`, or what a function accepts, which may
    be a coroutine function.
    """
    from .._compat.deciding import checker_of

    check = checker_of(credentials, check_credentials)

    async def process_request(connection: ServerConnection,
                              request: Request) -> Optional[Response]:
        challenge = connection.respond(http.HTTPStatus.UNAUTHORIZED, "Who are you?\n")
        challenge.headers["WWW-Authenticate"] = build_www_authenticate_basic(realm)
        try:
            username, password = parse_authorization_basic(request.headers["Authorization"])
        except (LookupError, ValueError, Error):
            return challenge
        valid = check(username, password)
        if inspect.isawaitable(valid):
            valid = await valid
        if not valid:
            return challenge
        connection.username = username
        return None

    return process_request
