# SPDX-License-Identifier: MIT
"""What servers of both kinds do between the library and the handlers of their users."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Callable, Generic, TypeVar

from .._errors import Error
from .._servers import Server as NativeServer
from ..http11 import Response
from ..typing import StatusLike
from . import handshake
from .base import ECLOSED, BaseConnection
from .deciding import rejection_of
from .listening import Listening
from .serving import Settings

C = TypeVar("C", bound=BaseConnection)


class Hosted:
    """What connections of servers have, of both kinds."""

    #: Set by `basic_auth`: who it is.
    username: str
    _handler: Any = None

    def respond(self, status: StatusLike, text: str) -> Response:
        """A plain text answer, for `process_request` and `process_response` to return."""
        return handshake.plain_response(status, text)


class BaseServer(Generic[C]):
    """A server: its connections, and how their handshakes are answered."""

    def __init__(self, settings: Settings, connection_class: Any) -> None:
        self.logger = settings.logger
        self._settings = settings
        self._decider = settings.decider
        self._create: Callable[..., C] = settings.create_connection or connection_class
        self._connections: dict[C, None] = {}
        self._sockets: tuple[Listening, ...] = ()

    # -- what is of one kind

    def _new_connection(self) -> C:
        raise NotImplementedError

    def _begin_handshake(self, native: Any, connection: C) -> None:
        """Decide, where that may take its time, and have _answer() called."""
        raise NotImplementedError

    def _begin(self, connection: C) -> None:
        """Run the handler."""
        raise NotImplementedError

    def _has_stopped(self) -> None:
        raise NotImplementedError

    # -- what the library tells

    def _register(self, native: NativeServer, connect_hooks: Callable[[Any], None]) -> None:
        native.on_http(lambda request: self._on_request(request, None))
        native.on_stopped(lambda _: self._has_stopped())
        for pattern, handler in self._settings.handlers.items():
            endpoint = native.endpoint(pattern)
            connect_hooks(endpoint._hooks)
            endpoint.on_request(
                lambda request, handler=handler: self._on_request(request, handler))
            endpoint.on_open(self._on_open)
            endpoint.on_close(self._on_close)

    def _on_request(self, native: Any, handler: Any) -> None:
        native.defer()
        connection: Any = self._new_connection()
        connection._native_request = native
        connection._handler = handler
        if self._decider.is_simple and handler is not None:
            self._answer(native, connection, self._decider.accept_simply(connection))
        else:
            self._begin_handshake(native, connection)

    def _on_open(self, native: Any) -> None:
        connection = native.info
        native.info = None
        native.data = connection
        connection._native = native
        connection._opened = True
        self._connections[connection] = None
        self._begin(connection)

    def _on_close(self, native: Any, info: Any) -> None:
        connection = native.data
        if connection is not None:
            self._connections.pop(connection, None)
            connection._ended(info)

    # -- answering

    def _response_to(self, connection: C, exc: Exception) -> Response:
        """The answer where deciding failed."""
        response, is_failure = rejection_of(exc)
        if is_failure:
            connection.logger.error("opening handshake failed", exc_info=True)
        self._decider.add_server_header(response)
        return response

    def _answer(self, native: Any, connection: C, response: Response) -> None:
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

    # -- beginning and ending

    def _say_where(self, sockets: Sequence[Listening]) -> None:
        for listening in sockets:
            name = listening.getsockname()
            at = name if isinstance(name, str) else "%s:%d" % name[:2]
            self.logger.info("server listening on %s", at)

    def _accept_no_more(self, native: NativeServer) -> None:
        self.logger.info("server closing")
        for url in list(native.urls):
            native.unlisten(url)
        if self._settings.sock is not None:  # else who comes now would wait for ever
            self._settings.sock.close()

    @property
    def connections(self) -> set[C]:
        """The connections that are open."""
        return {c for c in list(self._connections) if c._native.is_open}

    @property
    def sockets(self) -> tuple[Listening, ...]:
        """What it listens at: each has `getsockname()`."""
        return self._sockets
