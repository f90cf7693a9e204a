# SPDX-License-Identifier: MIT
"""Types that appear in the signatures of `wsock.asyncio` and `wsock.sync`."""

from __future__ import annotations

import http
import logging
from typing import TYPE_CHECKING, Any, NewType, Union

__all__ = ["BytesLike", "Data", "DataLike", "LoggerLike", "Origin", "StatusLike",
           "Subprotocol"]

BytesLike = Union[bytes, bytearray, memoryview]
"""What is sent as a binary message."""

Data = Union[str, bytes]
"""A message or a fragment as it is received: `str` for text, `bytes` for binary."""

DataLike = Union[str, bytes, bytearray, memoryview]
"""A message or a fragment as it may be sent."""

if TYPE_CHECKING:
    LoggerLike = Union[logging.Logger, logging.LoggerAdapter[Any]]
else:  # LoggerAdapter takes no parameter before Python 3.11
    LoggerLike = Union[logging.Logger, logging.LoggerAdapter]
"""What may be given as `logger`."""

StatusLike = Union[http.HTTPStatus, int]
"""A status of HTTP."""

Origin = NewType("Origin", str)
"""The value of an Origin header."""

Subprotocol = NewType("Subprotocol", str)
"""The name of a subprotocol."""
