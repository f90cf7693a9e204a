# SPDX-License-Identifier: MIT
"""What is wrong with a server's answer, as an exception of its own kind. The library has
found that something is; here the fields say what."""

from __future__ import annotations

import re
from typing import Optional

from ..datastructures import Headers
from ..exceptions import (DuplicateParameter, InvalidHandshake, InvalidHeader,
                          InvalidHeaderFormat, InvalidHeaderValue, InvalidMessage,
                          InvalidParameterName, InvalidParameterValue, InvalidUpgrade,
                          NegotiationError)

_ACCEPT, _PROTOCOL = "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"
_EXTENSIONS = "Sec-WebSocket-Extensions"
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_VALUE = re.compile(r'([-!#$%&\'*+.^_`|~0-9a-zA-Z]+)|"((?:[^"\\]|\\.)*)"')
_BLANK = re.compile(r"[ \t]*")
_BITS = ("server_max_window_bits", "client_max_window_bits")
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")


def fault_of(detail: str, headers: Headers, offered: list[str],
             compresses: bool) -> InvalidHandshake:
    """Why an answer with the status 101 was not accepted. `detail` is the library's
    sentence, `offered` the subprotocols of the request."""
    return (_upgrade_fault(headers) or _accept_fault(headers)
            or _protocol_fault(headers, offered)
            or _extensions_fault(headers, compresses, detail)
            # What is there and well formed answers another key.
            or (InvalidHeaderValue(_ACCEPT, headers.get(_ACCEPT)) if _ACCEPT in detail
                else InvalidMessage(detail)))


def _only(headers: Headers, name: str) -> Optional[str]:
    """The value of a field; several are one that is wrong."""
    values = headers.get_all(name)
    return ", ".join(values) if values else None


def _upgrade_fault(headers: Headers) -> Optional[InvalidHandshake]:
    connection, upgrade = _only(headers, "Connection"), _only(headers, "Upgrade")
    options = [option.strip().lower() for option in (connection or "").split(",")]
    if "upgrade" not in options:
        return InvalidUpgrade("Connection", connection)
    if upgrade is None or upgrade.lower() != "websocket":
        return InvalidUpgrade("Upgrade", upgrade)
    return None


def _accept_fault(headers: Headers) -> Optional[InvalidHandshake]:
    values = headers.get_all(_ACCEPT)
    if not values:
        return InvalidHeader(_ACCEPT)
    return InvalidHeader(_ACCEPT, "multiple values") if len(values) > 1 else None


def _protocol_fault(headers: Headers, offered: list[str]) -> Optional[InvalidHandshake]:
    values = headers.get_all(_PROTOCOL)
    if len(values) > 1:
        return InvalidHeader(_PROTOCOL, "multiple values: " + ", ".join(values))
    if values and values[0] not in offered:
        return NegotiationError(f"unsupported subprotocol: {values[0]}")
    return None


# ---- extensions (RFC 6455 section 9.1, RFC 7692 section 7.1) ----

class _Reader:
    """Reads a field of extensions."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def _blank(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None  # it may be empty
        self._at = blank.end()

    def has(self, mark: str) -> bool:
        """Pass a mark, if it comes next."""
        self._blank()
        if not self._text.startswith(mark, self._at):
            return False
        self._at += 1
        return True

    def is_at_end(self) -> bool:
        self._blank()
        return self._at == len(self._text)

    def take(self, what: re.Pattern[str], name: str) -> re.Match[str]:
        self._blank()
        found = what.match(self._text, self._at)
        if found is None:
            raise InvalidHeaderFormat(_EXTENSIONS, f"expected {name}", self._text, self._at)
        self._at = found.end()
        return found

    def extensions(self) -> list[tuple[str, list[tuple[str, Optional[str]]]]]:
        """Names, each with its parameters."""
        found: list[tuple[str, list[tuple[str, Optional[str]]]]] = []
        while not self.is_at_end():
            if self.has(","):  # an empty element
                continue
            name = self.take(_TOKEN, "token").group()
            parameters = []
            while self.has(";"):
                parameter, value = self.take(_TOKEN, "token").group(), None
                if self.has("="):
                    given = self.take(_VALUE, "value")
                    value = given[1] if given[1] is not None else given[2]
                parameters.append((parameter, value))
            found.append((name, parameters))
            if not self.is_at_end() and not self.has(","):
                self.take(re.compile(","), "comma")
        return found


def _extensions_fault(headers: Headers, compresses: bool,
                      detail: str) -> Optional[InvalidHandshake]:
    try:
        extensions = _Reader(", ".join(headers.get_all(_EXTENSIONS))).extensions()
    except InvalidHeaderFormat as error:
        return error
    for name, parameters in extensions:
        if name != "permessage-deflate" or not compresses:
            return NegotiationError(f"unsupported extension: {name}")
        for parameter, value in parameters:
            if [other for other, _ in parameters].count(parameter) > 1:
                return DuplicateParameter(parameter)
            if parameter not in (*_BITS, *_FLAGS):
                return InvalidParameterName(parameter)
            if not _is_valid(parameter, value):
                return InvalidParameterValue(parameter, value)
    return NegotiationError(detail) if extensions and _ACCEPT not in detail else None


def _is_valid(parameter: str, value: Optional[str]) -> bool:
    if parameter in _FLAGS:
        return value is None
    return value in [str(bits) for bits in range(8, 16)]
