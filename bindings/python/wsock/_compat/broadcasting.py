# SPDX-License-Identifier: MIT
"""One message to many connections."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Optional

from .. import _wsock
from .._errors import Error
from ..exceptions import ConcurrencyError
from ..typing import DataLike
from .base import ECLOSED
from .runtime import runtime


def broadcast(connections: Iterable[Any], message: DataLike, text: Optional[bool],
              raise_exceptions: bool) -> None:
    """See wsock.asyncio.server.broadcast()."""
    if not isinstance(message, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"a message is str or bytes-like, not {type(message).__name__}")
    if raise_exceptions and sys.version_info < (3, 11):
        raise ValueError("raise_exceptions needs Python 3.11")
    is_text = isinstance(message, str) if text is None else text
    data = message.encode() if isinstance(message, str) else message
    encoded = _wsock.runtime_message(runtime()._handle,
                                     _wsock.TEXT if is_text else _wsock.BINARY, data)
    failures: list[Exception] = []
    for connection in list(connections):
        if connection._native is None:
            continue
        try:
            if connection._broadcast(encoded, len(data)):
                continue
            failure: Exception = ConcurrencyError("the peer is too slow")
        except Error as error:
            if error.code == ECLOSED:
                continue
            failure = error
        if raise_exceptions:
            failures.append(failure)
        else:
            connection.logger.warning("skipped broadcast: %s", failure)
    if failures and sys.version_info >= (3, 11):
        raise ExceptionGroup("skipped broadcast", failures)
