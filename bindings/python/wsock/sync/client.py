# SPDX-License-Identifier: MIT
"""Clients in threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

from .._compat.closing import failure_to_open
from .._compat.handshake import answer_of
from .._compat.reaching import (CONNECT_MORE, Destination, client_options, headers_of,
                                unix_arguments)
from .._compat.settings import Limit, Limits, logger_of, refuse_unknown, tls_of
from ..datastructures import HeadersLike
from ..http11 import USER_AGENT
from ..typing import LoggerLike
from . import _hub
from .connection import Connection, connect_hooks

__all__ = ["ClientConnection", "connect", "unix_connect"]


class ClientConnection(Connection):
    """A connection of a client."""


def connect(uri: str, *, origin: Optional[str] = None,
            subprotocols: Optional[Sequence[str]] = None,
            compression: Optional[str] = "deflate",
            additional_headers: Optional[HeadersLike] = None,
            user_agent_header: Optional[str] = USER_AGENT,
            proxy: Union[str, bool, None] = True, open_timeout: Optional[float] = 10,
            ping_interval: Optional[float] = 20, ping_timeout: Optional[float] = 20,
            close_timeout: Optional[float] = 10, max_size: Limit = 2**20,
            max_queue: Limit = 16,
            write_limit: Union[int, tuple[int, Optional[int]]] = 2**15,
            logger: Optional[LoggerLike] = None,
            create_connection: Optional[Callable[..., ClientConnection]] = None,
            legacy: Optional[bool] = None, **kwargs: Any) -> ClientConnection:
    """Connect to a server: `with connect(uri) as connection: ...`. The arguments are those
    of `wsock.asyncio.client.connect`, and `legacy`, which says of newer versions of
    `websockets` what holds here anyway: that this is a connection, to use without `with`."""
    if legacy is False:
        raise ValueError("connect() returns a connection: legacy is None or True")
    refuse_unknown("connect", [k for k in kwargs if k not in (*CONNECT_MORE, "_unix_path")],
                   [*connect.__annotations__, *CONNECT_MORE])
    limits = Limits(open_timeout, ping_interval, ping_timeout, close_timeout, max_size,
                    max_queue, write_limit, compression, subprotocols)
    destination = Destination(
        uri, headers_of(origin, user_agent_header, additional_headers),
        client_options(limits.options(), proxy, open_timeout), subprotocols,
        tls_of(kwargs.get("ssl"), is_server=False), kwargs.get("_unix_path"), kwargs)
    connection = (create_connection or ClientConnection)(logger_of(logger, "wsock.client"),
                                                         max_queue)
    connection._request = destination.request()
    opening = _Opening(destination, connection)
    opening.wait(open_timeout)
    return connection


class _Opening:
    """One connection of a client, heard until its end, and waited for until it opens."""

    def __init__(self, destination: Destination, connection: ClientConnection) -> None:
        client = destination.client(_hub.queue(), destination.look_up())
        self._connection = connection
        self._done = threading.Event()
        self._failure: Optional[Exception] = None
        connect_hooks(client._hooks)
        client.on_open(self._opened)
        client.on_close(self._ended)
        self._ready = threading.Lock()
        with self._ready:  # its handlers run on another thread, maybe already
            self._native = destination.open(client)
            self._native.data = connection
            connection._native = self._native

    def _opened(self, native: Any) -> None:
        with self._ready:
            self._connection._opened = True
            self._connection.response = answer_of(native)
        self._done.set()

    def _ended(self, native: Any, info: Any) -> None:
        with self._ready:
            if not self._connection._opened:
                assert self._connection.request is not None
                self._failure = failure_to_open(native, info, self._connection.request)
            self._connection._ended(info)
        self._done.set()

    def wait(self, timeout: Optional[float]) -> None:
        """Until it is open; raises why it is not."""
        try:
            in_time = self._done.wait(timeout)
        except BaseException:
            self._native.close()
            raise
        if not in_time:
            self._native.close()
            raise TimeoutError("timed out during opening handshake")
        if self._failure is not None:
            raise self._failure


def unix_connect(path: Union[str, os.PathLike[str], None] = None, uri: Optional[str] = None,
                 **kwargs: Any) -> ClientConnection:
    """Connect to a Unix socket; as `wsock.asyncio.client.unix_connect`."""
    return connect(**unix_arguments(path, uri, kwargs))
