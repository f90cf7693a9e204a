# SPDX-License-Identifier: MIT
"""Clients on an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Callable, Optional, Union

from .._clients import Client
from .._compat.closing import failure_to_open
from .._compat.handshake import answer_of
from .._compat.reaching import (CONNECT_MORE, Destination, backoff, client_options,
                                headers_of, process_exception, unix_arguments)
from .._compat.settings import Limit, Limits, logger_of, refuse_unknown, tls_of
from ..datastructures import HeadersLike
from ..http11 import USER_AGENT
from ..typing import LoggerLike
from ._loops import LoopQueue, queue_of
from .connection import Connection, connect_hooks

__all__ = ["ClientConnection", "connect", "process_exception", "unix_connect"]


class ClientConnection(Connection):
    """A connection of a client."""


class connect:
    """Connect to a server.

    `async with connect(uri) as connection` closes it at the end; `await connect(uri)`
    leaves that to you; `async for connection in connect(uri)` connects again whenever the
    body goes on to the next, and when it cannot, waits and tries again.
    docs/python.md explains every argument; further ones are ssl, server_hostname, sock,
    host, port, local_addr, family.
    """

    def __init__(self, uri: str, *, origin: Optional[str] = None,
                 subprotocols: Optional[Sequence[str]] = None,
                 compression: Optional[str] = "deflate",
                 additional_headers: Optional[HeadersLike] = None,
                 user_agent_header: Optional[str] = USER_AGENT,
                 proxy: Union[str, bool, None] = True,
                 process_exception: Callable[
                     [Exception], Optional[Exception]] = process_exception,
                 open_timeout: Optional[float] = 10, ping_interval: Optional[float] = 20,
                 ping_timeout: Optional[float] = 20, close_timeout: Optional[float] = 10,
                 reconnect_delays: Callable[[], Iterator[float]] = backoff,
                 max_size: Limit = 2**20, max_queue: Limit = 16,
                 write_limit: Union[int, tuple[int, Optional[int]]] = 2**15,
                 logger: Optional[LoggerLike] = None,
                 create_connection: Optional[Callable[..., ClientConnection]] = None,
                 **kwargs: Any) -> None:
        refuse_unknown("connect",
                       [k for k in kwargs if k not in (*CONNECT_MORE, "_unix_path")],
                       [*connect.__init__.__annotations__, *CONNECT_MORE])
        limits = Limits(open_timeout, ping_interval, ping_timeout, close_timeout, max_size,
                        max_queue, write_limit, compression, subprotocols)
        self.uri = uri
        self.logger = logger_of(logger, "wsock.client")
        self.process_exception = process_exception
        self.reconnect_delays = reconnect_delays
        self._open_timeout = open_timeout
        self._max_queue = max_queue
        self._create = create_connection or ClientConnection
        self._destination = Destination(
            uri, headers_of(origin, user_agent_header, additional_headers),
            client_options(limits.options(), proxy, open_timeout), subprotocols,
            tls_of(kwargs.get("ssl"), is_server=False), kwargs.get("_unix_path"), kwargs)
        self.connection: Optional[ClientConnection] = None

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> ClientConnection:
        self.connection = await self._connect()
        return self.connection

    async def __aexit__(self, kind: Optional[type[BaseException]],
                        exc: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        assert self.connection is not None
        await self.connection.close()

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        delays: Optional[Iterator[float]] = None
        while True:
            try:
                connection = await self._connect()
            except Exception as exc:
                fatal = self.process_exception(exc)
                if fatal is exc:
                    raise
                if fatal is not None:
                    raise fatal from exc
                if delays is None:
                    delays = self.reconnect_delays()
                await self._rest(delays, exc)
                continue
            delays = None
            try:
                yield connection
            finally:
                await connection.close()

    async def _rest(self, delays: Iterator[float], exc: Exception) -> None:
        try:
            delay = next(delays)
        except StopIteration:
            raise exc from None
        self.logger.info("connect failed; reconnecting in %.1f seconds: %s", delay,
                         str(exc) or type(exc).__name__)
        await asyncio.sleep(delay)

    async def _connect(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        queue = queue_of(loop)
        connection = self._create(loop, self.logger, self._max_queue)
        connection._request = self._destination.request()
        opening: asyncio.Future[None] = loop.create_future()
        destination, found = self._destination, {}
        if destination.looks_up:
            found = await loop.run_in_executor(None, destination.look_up)
        client = destination.client(queue.queue, found)
        _listen(client, queue, connection, opening)
        queue.watch()
        try:
            native = destination.open(client)
        except BaseException:
            queue.unwatch()
            raise
        native.data = connection
        connection._native = native
        timer = None
        if self._open_timeout is not None:
            timer = loop.call_later(self._open_timeout, _expire, opening)
        try:
            await opening
        except BaseException:
            if connection._ending is None:
                native.close()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return connection


def _expire(opening: asyncio.Future[None]) -> None:
    if not opening.done():
        opening.set_exception(TimeoutError("timed out during opening handshake"))


def _listen(client: Client, queue: LoopQueue, connection: ClientConnection,
            opening: asyncio.Future[None]) -> None:
    """Have one connection of a client be heard, until its end."""

    def opened(native: Any) -> None:
        connection._opened = True
        connection.response = answer_of(native)
        if opening.done():  # too late
            native.close()
        else:
            opening.set_result(None)

    def ended(native: Any, info: Any) -> None:
        queue.unwatch()
        connection._ended(info)
        if not opening.done():
            assert connection.request is not None
            opening.set_exception(failure_to_open(native, info, connection.request))

    connect_hooks(client._hooks)
    client.on_open(opened)
    client.on_close(ended)


def unix_connect(path: Union[str, os.PathLike[str], None] = None, uri: Optional[str] = None,
                 **kwargs: Any) -> connect:
    """Connect to a Unix socket; the arguments are those of `connect`. What `uri` says
    beside its host, `ws://localhost/` unless given, is asked for there."""
    return connect(**unix_arguments(path, uri, kwargs))
