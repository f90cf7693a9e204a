# SPDX-License-Identifier: MIT
"""A connection in threads."""

from __future__ import annotations

import threading
import time
import types
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, Optional, Union

from .. import _wsock
from .._compat.base import (EAGAIN, EBUSY, ECLOSED, BaseConnection, answered_by,
                            check_fragment, check_message, decoded, new_ping,
                            type_of_fragments)
from .._compat.incoming import Incoming
from .._errors import Error
from ..exceptions import ConcurrencyError, ConnectionClosedOK
from ..frames import CloseCode
from ..typing import Data, DataLike, LoggerLike

__all__ = ["Connection"]


class Connection(BaseConnection):
    """A connection, of a server or a client, for threads: one may receive while others
    send.

    `for message in connection` receives until the connection is closed. It ends where it
    was closed with 1000, 1001, or no code, and raises `ConnectionClosedError` else.
    `with connection` closes it at the end.
    """

    def __init__(self, logger: LoggerLike, max_queue: Any = 16) -> None:
        super().__init__(logger, max_queue)
        self._news = threading.Condition()
        self._fragmenting = threading.Lock()
        self._drains = 0
        self._pings: dict[bytes, tuple[threading.Event, float, bool]] = {}

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], exc: Optional[BaseException],
                 trace: Optional[types.TracebackType]) -> None:
        self.close(CloseCode.NORMAL_CLOSURE if exc is None else CloseCode.INTERNAL_ERROR)

    # -- receiving

    def __iter__(self) -> Iterator[Data]:
        while True:
            try:
                message = self.recv()
            except ConnectionClosedOK:
                return
            yield message

    def recv(self, timeout: Optional[float] = None, decode: Optional[bool] = None) -> Data:
        """Receive the next message: `str` for text, `bytes` for binary; `decode` has it
        always be `str` (True) or `bytes` (False).

        Raises TimeoutError when none came in that many seconds, ConnectionClosed once it
        is closed and all that came was received, and ConcurrencyError while another thread
        receives.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._news:
            self._start_receiving("recv")
            try:
                message = self._first(end)
                if isinstance(message, Incoming):
                    message.wanted_whole = True
                    while not message.is_whole:
                        self._wait_for_more(end)
                    message = message.whole()
                self._messages.popleft()
            finally:
                self._receiving = False
            if self._paused and len(self._messages) <= self._low:
                self._resume()
        return decoded(message, decode)

    def recv_streaming(self, decode: Optional[bool] = None) -> Iterator[Data]:
        """Receive the next message piece by piece, while it comes; as in wsock.asyncio."""
        with self._news:
            self._start_receiving("recv_streaming")
        message: Union[Data, Incoming] = b""
        try:
            with self._news:
                message = self._first(None)
                self._messages.popleft()
            if not isinstance(message, Incoming):
                yield decoded(message, decode)
                return
            while (piece := self._piece(message, decode)) is not None:
                yield piece
        finally:
            self._receiving = False
            if isinstance(message, Incoming):
                message.is_wanted = False

    def _piece(self, message: Incoming, decode: Optional[bool]) -> Optional[Data]:
        with self._news:
            while not message.parts and not message.is_whole:
                self._wait_for_more(None)
            return message.take(decode) if message.parts else None

    def _first(self, end: Optional[float]) -> Union[Data, Incoming]:
        while not self._messages:
            self._wait_for_more(end)
        return self._messages[0]

    def _wait_for_more(self, end: Optional[float]) -> None:
        if self._ending is not None:
            raise self._ending.exception()
        if self._paused:
            self._resume()
        self._wait(end)

    def _wait(self, end: Optional[float]) -> None:
        left = None if end is None else end - time.monotonic()
        if (left is not None and left <= 0) or not self._news.wait(left):
            raise TimeoutError("timed out")

    def _wake(self) -> None:
        self._news.notify_all()

    # -- sending

    def send(self, message: Union[DataLike, Iterable[DataLike]],
             text: Optional[bool] = None) -> None:
        """Send a message: `str` as text, bytes-like as binary, unless `text` says otherwise.

        An iterable of either is sent as one message in fragments. It waits while too much
        waits to leave. Raises ConnectionClosed once closing began.
        """
        check_message(message)
        if isinstance(message, (str, bytes, bytearray, memoryview)):
            self._until_taken(lambda: bool(not self._overflow
                                           and self._native.send(message, text=text)))
        elif isinstance(message, Iterable):
            pieces: Any = message  # bytes-like ones were dealt with
            with self._fragmenting:
                self._send_fragments(pieces, text)
        else:
            raise TypeError("send() takes str, bytes-like, or an iterable of those, not "
                            f"{type(message).__name__}")

    def _send_fragments(self, fragments: Iterable[Any], text: Optional[bool]) -> None:
        is_str: Optional[bool] = None
        try:
            for fragment in fragments:
                found = check_fragment(fragment, is_str)
                if is_str is None:
                    self._part(_wsock.conn_send_begin, type_of_fragments(found, text))
                    is_str = found
                self._part(_wsock.conn_send_append, fragment)
            if is_str is not None:
                self._part(_wsock.conn_send_end)
        except BaseException:
            if is_str is not None:  # there is no way to take back what was sent
                self._close_soon(CloseCode.INTERNAL_ERROR, "error in fragmented message")
            raise

    def _part(self, call: Any, *args: Any) -> None:
        def is_taken() -> bool:
            try:
                call(self._native, *args)
            except Error as error:
                if error.code not in (EAGAIN, EBUSY):
                    raise
                return False
            return True

        self._until_taken(is_taken)

    def _until_taken(self, attempt: Any) -> None:
        """Try again after each on_drain, which may come before we wait for it."""
        while True:
            drains = self._drains
            try:
                if attempt():
                    return
            except Error as error:
                self._raise(error)
            with self._news:
                while drains == self._drains and self._ending is None:
                    self._wait(None)

    def _raise(self, error: Error) -> NoReturn:
        if error.code != ECLOSED:
            raise error
        self.wait_closed()
        assert self._ending is not None
        raise self._ending.exception() from None

    # -- the rest

    def close(self, code: Union[CloseCode, int] = CloseCode.NORMAL_CLOSURE,
              reason: str = "") -> None:
        """Close it, and wait until that is done, for `close_timeout` at most."""
        self._close_soon(code, reason)
        self.wait_closed()

    def _close_soon(self, code: Union[CloseCode, int], reason: str = "") -> None:
        with self._news:
            self._close_unless_ended(code, reason)

    def wait_closed(self) -> None:
        """Wait until it is closed; it does not begin to close it."""
        with self._news:
            while self._ending is None:
                self._wait(None)

    def ping(self, data: Optional[DataLike] = None,
             ack_on_close: bool = False) -> threading.Event:
        """Send a ping. The event is set when it is answered; also when the connection
        closes before that, if `ack_on_close`."""
        answered = threading.Event()
        with self._news:
            payload = new_ping(data, self._pings)
            if payload in self._pings:
                raise ConcurrencyError("another ping with this payload waits for its answer")
            self._pings[payload] = (answered, time.perf_counter(), ack_on_close)
        try:
            _wsock.conn_send_ping(self._native, payload)
        except Error as error:
            self._pings.pop(payload, None)
            self._raise(error)
        return answered

    def pong(self, data: DataLike = b"") -> None:
        """Send a pong that nobody asked for, as a sign of life."""
        try:
            _wsock.conn_send_pong(self._native,
                                  data.encode() if isinstance(data, str) else bytes(data))
        except Error as error:
            self._raise(error)

    # -- what the library tells, on the thread of _hub.py

    def _on_message(self, message: Data) -> None:
        with self._news:
            self._messages.append(message)
            self._wake()
            if len(self._messages) > self._high:
                self._pause()

    def _on_piece(self, *part: Any) -> None:
        with self._news:
            self._on_part(*part)

    def _on_pong(self, data: bytes) -> None:
        with self._news:
            now = time.perf_counter()
            for is_it, (answered, sent_at, _) in answered_by(data, self._pings):
                answered.set()
                if is_it:
                    self._measured(now - sent_at)

    def _on_drain(self) -> None:
        with self._news:
            self._flush()
            self._drains += 1
            self._news.notify_all()

    def _ended(self, info: Any) -> None:
        with self._news:
            super()._ended(info)
            for answered, _, ack_on_close in self._pings.values():
                if ack_on_close:
                    answered.set()
            self._pings.clear()
            self._news.notify_all()


def connect_hooks(hooks: Any) -> None:
    """Have a server's or client's connections hear what there is to hear, but for their
    opening and their end."""
    hooks.set("on_message", lambda conn, data: conn.data and conn.data._on_message(data))
    hooks.set("on_part", lambda conn, *part: conn.data and conn.data._on_piece(*part))
    hooks.set("on_pong", lambda conn, data: conn.data and conn.data._on_pong(data))
    hooks.set("on_drain", lambda conn: conn.data and conn.data._on_drain())
