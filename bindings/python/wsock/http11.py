# SPDX-License-Identifier: MIT
"""The request and the response of an opening handshake."""

from __future__ import annotations

import dataclasses
import sys

from . import _wsock
from .datastructures import Headers

__all__ = ["SERVER", "USER_AGENT", "Request", "Response"]

SERVER = USER_AGENT = (
    f"Python/{sys.version_info.major}.{sys.version_info.minor} wsock/{_wsock.version()}"
)
"""What the headers Server and User-Agent say unless told otherwise."""


@dataclasses.dataclass
class Request:
    """A request as it came in or went out; `path` is with the query, if there is one."""

    path: str
    headers: Headers
    method: str = "GET"
    protocol: str = "HTTP/1.1"

    def serialize(self) -> bytes:
        """The head as HTTP/1.1 writes it."""
        line = f"{self.method} {self.path} {self.protocol}\r\n"
        return line.encode() + self.headers.serialize()


@dataclasses.dataclass
class Response:
    """A response; also what `process_request` returns to refuse or to answer."""

    status_code: int
    reason_phrase: str
    headers: Headers
    body: bytes = b""

    def serialize(self) -> bytes:
        """Head and body as HTTP/1.1 writes them."""
        line = f"HTTP/1.1 {self.status_code} {self.reason_phrase}\r\n"
        return line.encode() + self.headers.serialize() + self.body
