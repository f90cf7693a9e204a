# SPDX-License-Identifier: MIT
"""How servers answer requests: what the application's functions say, and what the package
itself has to refuse."""

from __future__ import annotations

import hmac
import http
import inspect
from collections.abc import Sequence
from typing import Any, Callable, Optional

from .. import _wsock
from ..exceptions import (InvalidHandshake, InvalidOrigin, InvalidUpgrade, NegotiationError,
                          SecurityError)
from ..http11 import Response
from ..typing import LoggerLike
from . import handshake

_warned = False


class Decider:
    """The decisions of one server."""

    def __init__(self, origins: Optional[handshake.Origins],
                 subprotocols: Optional[Sequence[str]], select_subprotocol: Any,
                 process_request: Any, process_response: Any,
                 server_header: Optional[str], logger: LoggerLike) -> None:
        self._origins = origins
        self._subprotocols = subprotocols
        self._select = select_subprotocol
        self._process_request = process_request
        self._process_response = process_response
        self._server_header = server_header
        self._warn(logger)

    def _warn(self, logger: LoggerLike) -> None:
        global _warned
        if self._origins is None and not _warned:
            _warned = True
            logger.warning("origins are not checked: any web page may connect; pass "
                           "origins=[...] to choose which")

    @property
    def is_simple(self) -> bool:
        """Whether everything is accepted without a question."""
        return (self._origins is None and self._process_request is None
                and self._process_response is None and self._select is None
                and self._subprotocols is None)

    def accept_simply(self, connection: Any) -> Response:
        """The answer where everything is."""
        response = handshake.accepting_response(connection.request, None)
        self.add_server_header(response)
        return response

    def add_server_header(self, response: Response) -> None:
        """Say who serves, as far as that is wanted."""
        if self._server_header is not None and "Server" not in response.headers:
            response.headers["Server"] = self._server_header

    def steps(self, connection: Any) -> Any:
        """Decide: a generator that yields what may have to be awaited, is sent what came
        of it, and returns the response."""
        request = connection.request
        response = None
        if self._process_request is not None:
            response = yield self._process_request(connection, request)
        if response is None:
            try:
                response = self._accept(connection, request)
            except InvalidHandshake as exc:
                response, _ = rejection_of(exc)
        self.add_server_header(response)
        connection.response = response
        if self._process_response is not None:
            changed = yield self._process_response(connection, request, response)
            if changed is not None:
                response = changed
        if not isinstance(response, Response):
            raise TypeError("process_request and process_response return a Response or None,"
                            f" not {type(response).__name__}")
        return response

    def _accept(self, connection: Any, request: Any) -> Response:
        if not _wsock.request_is_upgrade(connection._native_request):
            raise InvalidUpgrade("Upgrade", request.headers.get("Upgrade"))
        handshake.check_origin(request, self._origins)
        subprotocol = self._subprotocol(connection, request)
        return handshake.accepting_response(request, subprotocol)

    def _subprotocol(self, connection: Any, request: Any) -> Optional[str]:
        offered = handshake.offered_subprotocols(request)
        if self._select is not None:
            chosen: Optional[str] = self._select(connection, offered)
            if chosen is not None and chosen not in offered:
                raise NegotiationError(f"subprotocol {chosen} was not offered")
            return chosen
        if self._subprotocols is None:
            return None
        for name in self._subprotocols:
            if name in offered:
                return name
        if not offered:
            raise NegotiationError("missing subprotocol")
        raise NegotiationError("no subprotocol in common; one of "
                               + ", ".join(self._subprotocols))

    async def decide(self, connection: Any) -> Response:
        """On an event loop."""
        steps = self.steps(connection)
        result: Any = None
        try:
            while True:
                result = steps.send(result)
                if inspect.isawaitable(result):
                    result = await result
        except StopIteration as done:
            response: Response = done.value
            return response

    def decide_now(self, connection: Any) -> Response:
        """In a thread."""
        steps = self.steps(connection)
        result: Any = None
        try:
            while True:
                result = steps.send(result)
        except StopIteration as done:
            response: Response = done.value
            return response


def rejection_of(exc: Exception) -> tuple[Response, bool]:
    """The answer to a request that failed so, and whether that is a fault of ours."""
    if isinstance(exc, InvalidOrigin):
        status, text = http.HTTPStatus.FORBIDDEN, f"This page may not connect: {exc}.\n"
    elif isinstance(exc, InvalidUpgrade):
        status = http.HTTPStatus.UPGRADE_REQUIRED
        text = f"Only WebSockets are served here: {exc}.\n"
    elif isinstance(exc, (InvalidHandshake, SecurityError)):
        status, text = http.HTTPStatus.BAD_REQUEST, f"No WebSocket can be opened: {exc}.\n"
    else:
        return handshake.plain_response(http.HTTPStatus.INTERNAL_SERVER_ERROR,
                                        "The server failed. Its log may tell why.\n"), True
    return handshake.plain_response(status, text), False


def checker_of(credentials: Any,
               check_credentials: Optional[Callable[[str, str], Any]],
               ) -> Callable[[str, str], Any]:
    """What `basic_auth` asks whether user and password are right."""
    if (credentials is None) == (check_credentials is None):
        raise ValueError("basic_auth() takes either credentials or check_credentials")
    if check_credentials is not None:
        return check_credentials
    pairs = [credentials] if _is_pair(credentials) else list(credentials)
    if not all(_is_pair(pair) for pair in pairs):
        raise TypeError("credentials is a pair of str, or an iterable of such pairs")
    known = {user: password.encode() for user, password in pairs}

    def check(username: str, password: str) -> bool:
        # Also for users that there are not, so that the time does not tell.
        expected = known.get(username, b"")
        return hmac.compare_digest(password.encode(), expected) and username in known

    return check


def _is_pair(value: Any) -> bool:
    return (isinstance(value, tuple) and len(value) == 2
            and all(isinstance(part, str) for part in value))

