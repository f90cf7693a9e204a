# SPDX-License-Identifier: MIT
"""URIs of RFC 6455 section 3, taken apart."""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import Optional

from .exceptions import InvalidURI

__all__ = ["WebSocketURI", "parse_uri"]

_RESERVED = ":/?#[]@!$&'()*+,;=%"


@dataclasses.dataclass
class WebSocketURI:
    """The parts of a `ws:` or `wss:` URI; `host` is as names are looked up."""

    secure: bool
    host: str
    port: int
    path: str
    query: str
    username: Optional[str] = None
    password: Optional[str] = None

    @property
    def resource_name(self) -> str:
        """What the request asks for: the path, with the query."""
        path = self.path or "/"
        return f"{path}?{self.query}" if self.query else path

    @property
    def user_info(self) -> Optional[tuple[str, str]]:
        """User and password, if the URI has them."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password


def parse_uri(uri: str) -> WebSocketURI:
    """Take a URI apart.

    Raises `InvalidURI` for what is none of WebSockets'. What is not ASCII is encoded: the
    host by IDNA, the rest as UTF-8 in percents.
    """
    try:
        parts = urllib.parse.urlparse(uri)
        port = parts.port
    except ValueError as error:
        raise InvalidURI(uri, str(error)) from error
    if parts.scheme not in ("ws", "wss"):
        raise InvalidURI(uri, "its scheme is neither ws nor wss")
    if not parts.hostname:
        raise InvalidURI(uri, "it names no host")
    if parts.fragment:
        raise InvalidURI(uri, "it has a fragment")
    if parts.username is not None and parts.password is None:
        raise InvalidURI(uri, "it names a user without a password")
    secure = parts.scheme == "wss"
    quote = urllib.parse.quote
    unquote = urllib.parse.unquote
    path = parts.path + (f";{parts.params}" if parts.params else "")
    return WebSocketURI(
        secure=secure,
        host=_ascii_host(uri, parts.hostname),
        port=port if port is not None else (443 if secure else 80),
        path=path if path.isascii() else quote(path, safe=_RESERVED),
        query=parts.query if parts.query.isascii() else quote(parts.query, safe=_RESERVED),
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def _ascii_host(uri: str, host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise InvalidURI(uri, f"its host cannot be encoded: {error}") from error
