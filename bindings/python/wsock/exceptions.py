# SPDX-License-Identifier: MIT
"""What `wsock.asyncio` and `wsock.sync` raise.

    Error
    `-- WebSocketException
        |-- ConnectionClosed
        |   |-- ConnectionClosedOK
        |   `-- ConnectionClosedError
        |-- InvalidURI
        |-- InvalidProxy
        |-- InvalidHandshake
        |   |-- SecurityError
        |   |-- ProxyError
        |   |-- InvalidMessage
        |   |-- InvalidStatus
        |   |-- InvalidHeader
        |   |   |-- InvalidHeaderFormat
        |   |   |-- InvalidHeaderValue
        |   |   |-- InvalidOrigin
        |   |   `-- InvalidUpgrade
        |   `-- NegotiationError
        |       |-- DuplicateParameter
        |       |-- InvalidParameterName
        |       `-- InvalidParameterValue
        |-- ProtocolError
        |-- PayloadTooBig
        |-- InvalidState
        `-- ConcurrencyError

Failures of the network remain `OSError` and `TimeoutError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

from . import _wsock
from ._errors import Error
from .frames import Close, CloseCode

if TYPE_CHECKING:
    from .http11 import Response

__all__ = ["ConcurrencyError", "ConnectionClosed", "ConnectionClosedError",
           "ConnectionClosedOK", "DuplicateParameter", "InvalidHandshake",
           "InvalidHeader", "InvalidHeaderFormat", "InvalidHeaderValue",
           "InvalidMessage", "InvalidOrigin", "InvalidParameterName",
           "InvalidParameterValue", "InvalidProxy", "InvalidState", "InvalidStatus",
           "InvalidURI", "InvalidUpgrade", "NegotiationError", "PayloadTooBig",
           "ProtocolError", "ProxyError", "SecurityError", "WebSocketException"]


class WebSocketException(Error):
    """What all these are.

    `code`, `name` and `detail` are those of `Error`, where a class says nothing else.
    """

    _code: int = _wsock.EPROTOCOL

    def __init__(self, *args: Any) -> None:
        super().__init__(self._code, " ".join(str(arg) for arg in args))
        self.args = args

    def __str__(self) -> str:
        return self.args[0] if len(self.args) == 1 else str(self.args or "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.args))})"


class ConnectionClosed(WebSocketException):
    """The connection is closed: with what, and in which order, the close frames say.

    `rcvd` and `sent` are `Close` or None; `rcvd_then_sent` is None unless both are there.
    """

    _code: int = _wsock.ECLOSED

    def __init__(self, rcvd: Optional[Close], sent: Optional[Close],
                 rcvd_then_sent: Optional[bool] = None) -> None:
        super().__init__(rcvd, sent, rcvd_then_sent)
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent

    def __str__(self) -> str:
        received = f"received {self.rcvd}" if self.rcvd is not None else None
        sent = f"sent {self.sent}" if self.sent is not None else None
        if received is None and sent is None:
            return "no close frame received or sent"
        if received is None:
            return f"{sent}; no close frame received"
        if sent is None:
            return f"{received}; no close frame sent"
        if self.rcvd_then_sent:
            return f"{received}; then {sent}"
        return f"{sent}; then {received}"

    # Error.code is negative for all others; programs compare this one with 1000 or 1001.
    @property
    def code(self) -> int:
        """The close code that came; 1006 when none did."""
        return int(self.rcvd.code if self.rcvd else CloseCode.ABNORMAL_CLOSURE)

    @code.setter
    def code(self, value: int) -> None:
        pass

    @property
    def reason(self) -> str:
        """The reason that came with it."""
        return self.rcvd.reason if self.rcvd else ""


class ConnectionClosedOK(ConnectionClosed):
    """Closed with 1000, 1001, or a frame without a code, by both ends."""


class ConnectionClosedError(ConnectionClosed):
    """Closed in any other way: with another code, or without the closing handshake."""


class InvalidURI(WebSocketException):
    """It is no URI of WebSockets'."""

    _code: int = _wsock.EURL

    def __init__(self, uri: str, msg: str) -> None:
        super().__init__(uri, msg)
        self.uri = uri
        self.msg = msg

    def __str__(self) -> str:
        return f"{self.uri} isn't a valid URI: {self.msg}"


class InvalidProxy(WebSocketException):
    """It is no proxy that can be used."""

    _code: int = _wsock.EURL

    def __init__(self, proxy: str, msg: str) -> None:
        super().__init__(proxy, msg)
        self.proxy = proxy
        self.msg = msg

    def __str__(self) -> str:
        return f"{self.proxy} isn't a valid proxy: {self.msg}"


class InvalidHandshake(WebSocketException):
    """The opening handshake failed."""

    _code: int = _wsock.EHANDSHAKE


class SecurityError(InvalidHandshake):
    """It would break a rule of security, or is larger than a limit allows."""


class ProxyError(InvalidHandshake):
    """The proxy did not let the connection through."""


class InvalidMessage(InvalidHandshake):
    """The request or the response is malformed."""


class InvalidStatus(InvalidHandshake):
    """The server answered with another status than 101; `response` is its answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response

    def __str__(self) -> str:
        return f"server rejected WebSocket connection: HTTP {self.response.status_code}"


class InvalidHeader(InvalidHandshake):
    """A header field is missing, or has a wrong value."""

    def __init__(self, name: str, value: Optional[str] = None) -> None:
        super().__init__(*((name,) if value is None else (name, value)))
        self.name = name
        self.value = value

    def __str__(self) -> str:
        if self.value is None:
            return f"missing {self.name} header"
        if self.value == "":
            return f"empty {self.name} header"
        return f"invalid {self.name} header: {self.value}"


class InvalidHeaderFormat(InvalidHeader):
    """A header field cannot be parsed."""

    def __init__(self, name: str, error: str, header: str, pos: int) -> None:
        super().__init__(name, f"{error} at {pos} in {header}")
        self.args = (name, error, header, pos)


class InvalidHeaderValue(InvalidHeader):
    """A header field can be parsed, and its value is not acceptable."""


class InvalidOrigin(InvalidHeader):
    """Pages of that origin may not connect."""

    def __init__(self, origin: Optional[str]) -> None:
        super().__init__("Origin", origin)
        self.args = (origin,)


class InvalidUpgrade(InvalidHeader):
    """Upgrade or Connection do not ask for, or agree to, a WebSocket."""


class NegotiationError(InvalidHandshake):
    """The ends could not agree on an extension or a subprotocol."""


class DuplicateParameter(NegotiationError):
    """A parameter of an extension is there twice."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"duplicate parameter: {self.name}"


class InvalidParameterName(NegotiationError):
    """An extension has no such parameter."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"invalid parameter name: {self.name}"


class InvalidParameterValue(NegotiationError):
    """A parameter of an extension has a wrong value."""

    def __init__(self, name: str, value: Optional[str]) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        if self.value is None:
            return f"missing value for parameter {self.name}"
        if self.value == "":
            return f"empty value for parameter {self.name}"
        return f"invalid value for parameter {self.name}: {self.value}"


class ProtocolError(WebSocketException):
    """The peer, or a call, broke the protocol; the cause of a ConnectionClosedError."""


class PayloadTooBig(WebSocketException):
    """A message is larger than `max_size`; the cause of a ConnectionClosedError."""

    _code: int = _wsock.ETOOBIG

    def __init__(self, size_or_message: Union[int, None, str],
                 max_size: Optional[int] = None) -> None:
        if isinstance(size_or_message, str):
            super().__init__(size_or_message)
            self.size = None
        else:
            super().__init__(size_or_message, max_size)
            self.size = size_or_message
        self.max_size = max_size

    def __str__(self) -> str:
        if isinstance(self.args[0], str):
            return self.args[0]
        size = "" if self.size is None else f" with {self.size} bytes"
        return f"message{size} exceeds limit of {self.max_size} bytes"


class InvalidState(WebSocketException, AssertionError):
    """The call is not possible in the state that the connection is in."""

    _code: int = _wsock.EINVAL


class ConcurrencyError(WebSocketException, RuntimeError):
    """Two calls at the same time of which there can only be one."""

    _code: int = _wsock.EBUSY
