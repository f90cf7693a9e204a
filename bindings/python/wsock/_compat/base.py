# SPDX-License-Identifier: MIT
"""What the connections of `wsock.asyncio` and `wsock.sync` have in common: everything that
neither waits nor wakes."""

from __future__ import annotations

import logging
import secrets
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Optional, TypeVar, Union

from .. import _wsock
from .._errors import Error
from ..exceptions import ConcurrencyError, ProtocolError
from ..frames import Close, CloseCode
from ..http11 import Request, Response
from ..protocol import State
from ..typing import Data, DataLike, LoggerLike, Subprotocol
from .closing import Ending
from .handshake import request_of
from .incoming import Incoming
from .settings import Limit, low_and_high

P = TypeVar("P")  # what a connection keeps of a ping

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

    def __init__(self, logger: LoggerLike, max_queue: Limit) -> None:
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
        self._low, self._high = low_and_high(max_queue, "max_queue")
        self._messages: deque[Union[Data, Incoming]] = deque()
        self._incoming: Optional[Incoming] = None
        self._receiving = False
        self._paused = False
        self._overflow: deque[tuple[Any, int]] = deque()
        self._overflow_bytes = 0

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
    def local_address(self) -> Address:
        """The address of this end, likewise."""
        if self._native is None:
            return None
        return address_of(_wsock.conn_local_address(self._native))

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

    def _close_unless_ended(self, code: Union[CloseCode, int], reason: str) -> None:
        """The same, unless there is nothing to close."""
        if self._native is None or self._ending is not None:
            return
        if self._paused:
            self._resume()
        self._begin_close(code, reason)

    def _ended(self, info: Any) -> None:
        self._ending = Ending(info, self._sent_close)
        self._native.data = None
        self._incoming = None
        self._overflow.clear()

    def _wake(self) -> None:
        """Something came for who receives."""
        raise NotImplementedError

    # -- what came

    def _start_receiving(self, call: str) -> None:
        if self._receiving:
            raise ConcurrencyError(f"{call}() while another call receives")
        self._receiving = True

    def _take(self) -> Optional[Data]:
        """What is there already, if it is whole."""
        messages = self._messages
        if messages and not self._receiving:
            message = messages[0]
            if type(message) is not Incoming:
                messages.popleft()
                if self._paused and len(messages) <= self._low:
                    self._resume()
                return message  # type: ignore[return-value]
        return None

    def _on_part(self, data: bytes, is_text: bool, is_first: bool, is_last: bool) -> None:
        if is_first:
            self._incoming = Incoming(is_text)
            self._messages.append(self._incoming)
        incoming = self._incoming
        if incoming is None:
            return
        if is_last:
            self._incoming = None
            incoming.is_whole = True
        if not incoming.is_wanted:
            return
        incoming.parts.append(data)
        self._wake()
        if len(self._messages) > self._high:
            self._pause()
        elif len(incoming.parts) > self._high and not incoming.wanted_whole:
            self._pause()

    def _pause(self) -> None:
        if self._sent_close is not None:
            self._drop_last()
        elif not self._paused:
            try:
                _wsock.conn_pause_read(self._native)
            except Error as error:  # the peer closed: nothing comes any more
                if error.code != ECLOSED:
                    raise
            else:
                self._paused = True

    def _drop_last(self) -> None:
        """Nobody may be there to receive it, and the close frame comes behind it."""
        last = self._messages[-1] if self._messages else None
        if isinstance(last, Incoming):
            if last.wanted_whole:
                return
            last.is_wanted = False  # nor are the parts that it still has
        if last is not None:  # else somebody streams it
            self._messages.pop()

    def _resume(self) -> None:
        self._paused = False
        try:
            _wsock.conn_resume_read(self._native)
        except Error as error:  # what is closing reads anyway
            if error.code != ECLOSED:
                raise

    # -- broadcasts

    def _broadcast(self, message: Any, size: int) -> bool:
        """Send what was encoded, without waiting; False when the peer is too slow even for
        that."""
        if not self._overflow and self._native.send(message):
            return True
        if self._overflow_bytes + size > OVERFLOW_BYTES:
            return False
        self._overflow.append((message, size))
        self._overflow_bytes += size
        return True

    def _flush(self) -> None:
        """Send what broadcasts left, as far as there is room."""
        overflow = self._overflow
        try:
            while overflow:
                message, size = overflow[0]
                if not self._native.send(message):
                    return
                overflow.popleft()
                self._overflow_bytes -= size
        except Error:  # closing began
            overflow.clear()


def check_fragment(fragment: Any, is_str: Optional[bool]) -> bool:
    """Raise TypeError for what cannot follow in a message of str (is_str) or of bytes. Whether
    it is str."""
    if not isinstance(fragment, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"fragments are str or bytes-like, not {type(fragment).__name__}")
    if is_str is not None and isinstance(fragment, str) is not is_str:
        raise TypeError("fragments of one message are all str or all bytes")
    return isinstance(fragment, str)


def type_of_fragments(is_str: bool, text: Optional[bool]) -> int:
    """What wsock_conn_send_begin() is told of a message whose first fragment is that."""
    is_text = is_str if text is None else text
    return int(_wsock.TEXT if is_text else _wsock.BINARY)


def answered_by(data: bytes, pings: dict[bytes, P]) -> Iterator[tuple[bool, P]]:
    """The pings that a pong answers, which leave `pings`, and whether it is the very one: an
    answer stands for those before as well (RFC 6455 section 5.5.3)."""
    if data in pings:
        for payload in list(pings):
            yield payload == data, pings.pop(payload)
            if payload == data:
                return


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
