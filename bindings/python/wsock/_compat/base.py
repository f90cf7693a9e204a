# SPDX-License-Identifier: MIT
"""What the connections of `wsock.asyncio` and `wsock.sync` have in common: everything that
neither waits nor wakes."""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, Optional, Union

from .. import _wsock
from .._errors import Error
from ..exceptions import ProtocolError
from ..frames import Close, CloseCode
from ..http11 import Request, Response
from ..protocol import State
from ..typing import Data, DataLike, LoggerLike, Subprotocol
from .closing import Ending
from .handshake import request_of

Address = Union[tuple[str, int], tuple[str, int, int, int], str, None]

ECLOSED, EAGAIN, EBUSY = -3, -4, -6
# A broadcast never waits: what a peer is too slow for is kept up to here.
OVERFLOW_BYTES = 4 * 1024 * 1024


def address_of(text: str) -> Address:
    """An address of the library's as the socket module has it."""
    if not text:
        return None
    if text.startswith("unix:"):
        return text[5:]
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, int(port[1:] or 0), 0, 0
    host, _, port = text.partition(":")
    return host, int(port or 0)


class BaseConnection:
    """A connection, of a server or a client."""

    def __init__(self, logger: LoggerLike) -> None:
        self._request: Optional[Request] = None
        self._native_request: Any = None
        #: The response of the opening handshake; None before it.
        self.response: Optional[Response] = None
        self._native: Any = None
        self._id: Optional[uuid.UUID] = None
        self._parent_logger = logger
        self._logger: Optional[LoggerLike] = None
        self._sent_close: Optional[Close] = None
        self._ending: Optional[Ending] = None
        self._opened = False
        self._latency = 0.0
        self._latency_rtt: Optional[int] = None

    # -- attributes

    @property
    def id(self) -> uuid.UUID:
        """A random identifier, for logs."""
        if self._id is None:
            self._id = uuid.uuid4()
        return self._id

    @id.setter
    def id(self, value: uuid.UUID) -> None:
        self._id = value

    @property
    def logger(self) -> LoggerLike:
        """The logger of this connection: its records have `websocket`, the connection."""
        if self._logger is None:
            self._logger = logging.LoggerAdapter(self._parent_logger, {"websocket": self})
        return self._logger

    @logger.setter
    def logger(self, value: LoggerLike) -> None:
        self._logger = value

    @property
    def request(self) -> Optional[Request]:
        """The request of the opening handshake."""
        if self._request is None and self._native_request is not None:
            self._request = request_of(self._native_request)
        return self._request

    @property
    def remote_address(self) -> Address:
        """The peer's address, as sockets have it: for IPv4 `(host, port)`."""
        if self._native is None:
            return None
        return address_of(_wsock.conn_remote_address(self._native))

    @property
    def latency(self) -> float:
        """Seconds that the last ping took to be answered; 0 before there was one."""
        rtt = None if self._native is None else _wsock.conn_rtt_us(self._native)
        if rtt is not None and rtt != self._latency_rtt:
            return float(rtt / 1e6)
        return self._latency

    def _measured(self, latency: float) -> None:
        self._latency = latency
        self._latency_rtt = _wsock.conn_rtt_us(self._native)

    @property
    def state(self) -> State:
        """How far it is; it may have changed by the time that you look."""
        if self._ending is not None:
            return State.CLOSED
        if not self._opened:
            return State.CONNECTING
        return State.OPEN if self._native.is_open else State.CLOSING

    @property
    def subprotocol(self) -> Optional[Subprotocol]:
        """The subprotocol that was agreed on; None when there is none."""
        name = None if self._native is None else _wsock.conn_subprotocol(self._native)
        return Subprotocol(name) if name else None

    @property
    def close_code(self) -> Optional[int]:
        """The code that the peer closed with: 1006 when it did not, None before the end."""
        return None if self._ending is None else self._ending.code

    @property
    def close_reason(self) -> Optional[str]:
        """The reason that came with it, "" without one; None before the end."""
        if self._ending is None:
            return None
        return self._ending.rcvd.reason if self._ending.rcvd is not None else ""

    # -- what both do

    def _log(self, level: int, text: str, *args: object, exc_info: Any = None) -> None:
        if self._parent_logger.isEnabledFor(level):
            self.logger.log(level, text, *args, exc_info=exc_info)

    def _begin_close(self, code: Union[CloseCode, int], reason: str) -> None:
        """Have the library close it; nothing when closing began before."""
        try:
            if self._native.close(int(code), reason):
                self._sent_close = Close(code, reason)
        except Error as error:
            if error.code != ECLOSED:
                raise ProtocolError(f"cannot close with {code}: {error}") from error

    def _ended(self, info: Any) -> None:
        self._ending = Ending(info, self._sent_close)
        self._native.data = None


def check_message(message: Any) -> None:
    """Raise TypeError for what nobody means to send."""
    if isinstance(message, Mapping):
        raise TypeError("a dict cannot be sent: choose what, such as json.dumps(it)")


def new_ping(data: Optional[DataLike], waiting: Mapping[bytes, Any]) -> bytes:
    """The payload of a ping: what was given, or one that no other waits for."""
    if data is not None:
        return data.encode() if isinstance(data, str) else bytes(data)
    while (payload := secrets.token_bytes(4)) in waiting:
        pass
    return payload


def decoded(message: Data, decode: Optional[bool]) -> Data:
    """A message as `recv(decode=)` wants it."""
    if decode is None:
        return message
    if decode:
        return message.decode() if isinstance(message, bytes) else message
    return message.encode() if isinstance(message, str) else message
