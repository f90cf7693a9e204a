# SPDX-License-Identifier: MIT
"""A connection on an event loop."""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable
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

Message = Union[DataLike, Iterable[DataLike], AsyncIterable[DataLike]]


class Connection(BaseConnection):
    """A connection, of a server or a client, on an event loop.

    `async for message in connection` receives until the connection is closed. It ends
    where it was closed with 1000, 1001, or no code, and raises `ConnectionClosedError`
    else. `async with connection` closes it at the end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, logger: LoggerLike,
                 max_queue: Any = 16) -> None:
        super().__init__(logger, max_queue)
        self._loop = loop
        self._waiter: Optional[asyncio.Future[None]] = None
        # Each waits on a future of its own, so that cancelling one leaves the others.
        self._closed_waiters: list[asyncio.Future[None]] = []
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._fragmenting: Optional[asyncio.Lock] = None
        self._pings: dict[bytes, tuple[asyncio.Future[float], float]] = {}

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, kind: Optional[type[BaseException]],
                        exc: Optional[BaseException],
                        trace: Optional[types.TracebackType]) -> None:
        if exc is None:
            await self.close()
        else:
            await self.close(CloseCode.INTERNAL_ERROR)

    # -- receiving

    def __aiter__(self) -> AsyncIterator[Data]:
        return _Messages(self)

    async def recv(self, decode: Optional[bool] = None) -> Data:
        """Receive the next message: `str` for text, `bytes` for binary; `decode` has it
        always be `str` (True) or `bytes` (False).

        Raises ConnectionClosed once it is closed and all that came was received, and
        ConcurrencyError while another coroutine receives. Cancelling it loses nothing.
        """
        message = self._take()
        if message is None:
            message = await self._take_later()
        return message if decode is None else decoded(message, decode)

    async def _take_later(self) -> Data:
        self._start_receiving("recv")
        try:
            message = await self._first()
            if isinstance(message, Incoming):
                message.wanted_whole = True
                while not message.is_whole:
                    await self._wait_for_more()
                message = message.whole()
            self._messages.popleft()
        finally:
            self._receiving = False
        return message

    async def recv_streaming(self, decode: Optional[bool] = None) -> AsyncIterator[Data]:
        """Receive the next message piece by piece, while it comes.

        Pieces end where the peer, the network and the library happened to cut. Who leaves
        the loop before its end has the rest of the message thrown away.
        """
        self._start_receiving("recv_streaming")
        message: Union[Data, Incoming] = b""
        try:
            message = await self._first()
            self._messages.popleft()
            if not isinstance(message, Incoming):
                yield decoded(message, decode)
                return
            while message.parts or not message.is_whole:
                if message.parts:
                    yield message.take(decode)
                else:
                    await self._wait_for_more()
        finally:
            self._receiving = False
            if isinstance(message, Incoming):
                message.is_wanted = False

    async def _first(self) -> Union[Data, Incoming]:
        while not self._messages:
            await self._wait_for_more()
        return self._messages[0]

    async def _wait_for_more(self) -> None:
        """Until something came; ConnectionClosed when nothing will."""
        if self._ending is not None:
            raise self._ending.exception()
        if self._paused:
            self._resume()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- sending

    async def send(self, message: Message, text: Optional[bool] = None) -> None:
        """Send a message: `str` as text, bytes-like as binary, unless `text` says otherwise.

        An iterable or asynchronous iterable of either is sent as one message in fragments.
        It waits while more than `write_limit` waits to leave. Raises ConnectionClosed once
        closing began. Cancelled while it waits, it sends nothing; but of fragments some
        were sent, so then the connection is closed with 1011.
        """
        if not self._overflow and isinstance(message, (str, bytes)):
            try:
                if self._native.send(message, text=text):
                    return
            except Error as error:
                await self._raise(error)
        await self._send_later(message, text)

    async def _send_later(self, message: Message, text: Optional[bool]) -> None:
        check_message(message)
        if isinstance(message, (str, bytes, bytearray, memoryview)):
            while self._overflow or not await self._attempt(message, text):
                await self._drained()
        elif isinstance(message, AsyncIterable):
            # What comes slowly leaves at once: a compressor would wait for more of it.
            await self._send_fragments(message, text, _wsock.UNCOMPRESSED)
        elif isinstance(message, Iterable):
            pieces: Any = message  # bytes-like ones were dealt with
            await self._send_fragments(_as_async(pieces), text, 0)
        else:
            raise TypeError("send() takes str, bytes-like, or an iterable of those, not "
                            f"{type(message).__name__}")

    async def _attempt(self, message: DataLike, text: Optional[bool]) -> bool:
        try:
            return bool(self._native.send(message, text=text))
        except Error as error:
            await self._raise(error)

    async def _send_fragments(self, fragments: AsyncIterable[DataLike],
                              text: Optional[bool], flags: int) -> None:
        if self._fragmenting is None:
            self._fragmenting = asyncio.Lock()
        async with self._fragmenting:
            is_str: Optional[bool] = None
            try:
                async for fragment in fragments:
                    found = check_fragment(fragment, is_str)
                    if is_str is None:
                        await self._part(_wsock.conn_send_begin,
                                         type_of_fragments(found, text) | flags)
                        is_str = found
                    await self._part(_wsock.conn_send_append, fragment)
                if is_str is not None:
                    await self._part(_wsock.conn_send_end)
            except BaseException:
                if is_str is not None:  # there is no way to take back what was sent
                    self._close_soon(CloseCode.INTERNAL_ERROR, "error in fragmented message")
                raise

    async def _part(self, call: Any, *args: Any) -> None:
        while True:
            try:
                call(self._native, *args)
                return
            except Error as error:
                if error.code not in (EAGAIN, EBUSY):
                    await self._raise(error)
            await self._drained()

    async def _drained(self) -> None:
        """Until there is room again, or the connection has ended."""
        if self._ending is None:
            await self._wait_in(self._drain_waiters)

    async def _wait_in(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in waiters:
                waiters.remove(waiter)

    async def _raise(self, error: Error) -> NoReturn:
        """Raise what users expect in place of an error of the library's."""
        if error.code != ECLOSED:
            raise error
        await self.wait_closed()
        assert self._ending is not None
        raise self._ending.exception() from None

    # -- the rest

    async def close(self, code: Union[CloseCode, int] = CloseCode.NORMAL_CLOSURE,
                    reason: str = "") -> None:
        """Close it, and wait until that is done, for `close_timeout` at most.

        What was sent before still leaves. Calling it again only waits.
        """
        self._close_soon(code, reason)
        await self.wait_closed()

    def _close_soon(self, code: Union[CloseCode, int], reason: str = "") -> None:
        self._close_unless_ended(code, reason)

    async def wait_closed(self) -> None:
        """Wait until it is closed; it does not begin to close it."""
        if self._ending is None:
            await self._wait_in(self._closed_waiters)

    async def ping(self, data: Optional[DataLike] = None) -> Awaitable[float]:
        """Send a ping, with a payload of at most 125 bytes; a random one unless given.

        What it returns can be awaited: for the answer, and how many seconds it took.
        """
        payload = new_ping(data, self._pings)
        if payload in self._pings:
            raise ConcurrencyError("another ping with this payload waits for its answer")
        try:
            _wsock.conn_send_ping(self._native, payload)
        except Error as error:
            await self._raise(error)
        answered: asyncio.Future[float] = self._loop.create_future()
        self._pings[payload] = (answered, time.perf_counter())
        return answered

    async def pong(self, data: DataLike = b"") -> None:
        """Send a pong that nobody asked for, as a sign of life."""
        payload = data.encode() if isinstance(data, str) else bytes(data)
        try:
            _wsock.conn_send_pong(self._native, payload)
        except Error as error:
            await self._raise(error)

    # -- what the library tells, on the loop's thread

    def _on_pong(self, data: bytes) -> None:
        now = time.perf_counter()
        for is_it, (answered, sent_at) in answered_by(data, self._pings):
            if is_it:
                self._measured(now - sent_at)
            if not answered.done():
                answered.set_result(now - sent_at)

    def _on_drain(self) -> None:
        self._flush()
        if not self._overflow:
            _release(self._drain_waiters)

    def _ended(self, info: Any) -> None:
        super()._ended(info)
        assert self._ending is not None
        self._wake()
        _release(self._drain_waiters)
        _release(self._closed_waiters)
        for answered, _ in self._pings.values():
            if not answered.done():
                answered.set_exception(self._ending.exception())
                answered.exception()  # not everyone awaits it
        self._pings.clear()


class _Messages:
    """Iterates over a connection; apart from recv(), for the sake of each message."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> Data:
        message = self._connection._take()
        if message is not None:
            return message
        try:
            return await self._connection._take_later()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


async def _as_async(items: Iterable[DataLike]) -> AsyncIterator[DataLike]:
    for item in items:
        yield item


def feed(native: Any, message: Data) -> None:
    """A whole message came: the handler on_message of servers and clients."""
    self = native.data
    if self is None:
        return
    messages = self._messages
    messages.append(message)
    waiter = self._waiter
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
    if len(messages) > self._high:
        self._pause()


def connect_hooks(hooks: Any) -> None:
    """Have a server's or client's connections hear what there is to hear, but for their
    opening and their end."""
    hooks.set("on_message", feed)
    hooks.set("on_part", lambda native, *part: native.data and native.data._on_part(*part))
    hooks.set("on_pong", lambda native, data: native.data and native.data._on_pong(data))
    hooks.set("on_drain", lambda native: native.data and native.data._on_drain())
