# SPDX-License-Identifier: MIT
"""Opening handshakes as `Request` and `Response`."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import http
import re
from collections.abc import Sequence
from typing import Any, Optional, Union

from .. import _wsock
from ..datastructures import Headers
from ..exceptions import InvalidOrigin
from ..http11 import Request, Response
from ..typing import Origin, StatusLike

Origins = Sequence[Union[Origin, str, "re.Pattern[str]", None]]

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
# What the library writes into every answer itself.
_OWN = frozenset(["connection", "upgrade", "content-length", "content-type",
                  "transfer-encoding", "sec-websocket-accept", "sec-websocket-protocol",
                  "sec-websocket-extensions", "sec-websocket-version"])


def request_of(native: Any) -> Request:
    """A request of the library's as it came in."""
    headers = Headers()
    index = 0
    while (field := _wsock.request_field_at(native, _wsock.FIELDS_HEADER, index)) is not None:
        headers[field[0]] = field[1]
        index += 1
    return Request(_wsock.request_target(native), headers, _wsock.request_method(native))


def reason_of(status: int) -> str:
    """The reason phrase of a status."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def plain_response(status: StatusLike, text: str) -> Response:
    """An answer of plain text."""
    body = text.encode()
    headers = Headers([
        ("Date", email.utils.formatdate(usegmt=True)),
        ("Connection", "close"),
        ("Content-Length", str(len(body))),
        ("Content-Type", "text/plain; charset=utf-8"),
    ])
    return Response(int(status), reason_of(status), headers, body)


def accepting_response(request: Request, subprotocol: Optional[str]) -> Response:
    """The 101 that the library is about to write, without its extensions."""
    key = request.headers.get("Sec-WebSocket-Key", "")
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    headers = Headers([
        ("Date", email.utils.formatdate(usegmt=True)),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", base64.b64encode(digest).decode()),
    ])
    if subprotocol:
        headers["Sec-WebSocket-Protocol"] = subprotocol
    return Response(101, reason_of(101), headers)


def check_origin(request: Request, origins: Optional[Origins]) -> None:
    """Raise InvalidOrigin unless pages of that origin may connect; None in the list allows
    requests without one, as programs send them."""
    if origins is None:
        return
    values = request.headers.get_all("Origin")
    if len(values) > 1:
        raise InvalidOrigin("more than one")
    origin = values[0] if values else None
    for allowed in origins:
        if isinstance(allowed, re.Pattern):
            if origin is not None and allowed.fullmatch(origin):
                return
        elif origin == allowed:
            return
    raise InvalidOrigin(origin)


def offered_subprotocols(request: Request) -> list[str]:
    """The subprotocols that the client offers, the preferred one first."""
    joined = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    return [name.strip() for name in joined.split(",") if name.strip()]


def _add_headers(native: Any, headers: Headers) -> None:
    for name, value in headers.raw_items():
        if name.lower() not in _OWN:
            _wsock.request_add_header(native, name, value)


def accept(native: Any, connection: Any, response: Response) -> None:
    """Answer with 101, the subprotocol of the response, and those of its headers that are
    not the library's own. The connection comes back as `info` when it opens."""
    _add_headers(native, response.headers)
    chosen = response.headers.get_all("Sec-WebSocket-Protocol")
    native.accept(info=connection, subprotocol=chosen[0] if chosen else "")


def respond(native: Any, response: Response) -> None:
    """Answer with another status."""
    _add_headers(native, response.headers)
    types = response.headers.get_all("Content-Type")
    _wsock.request_respond(native, int(response.status_code), types[0] if types else None,
                           bytes(response.body))
    native._settled()


def answer_of(native: Any, status: int = 101) -> Response:
    """What a server answered to a client's connection."""
    headers = Headers()
    index = 0
    while (field := _wsock.conn_response_field_at(native, index)) is not None:
        headers[field[0]] = field[1]
        index += 1
    return Response(status, reason_of(status), headers, native.response_body)
