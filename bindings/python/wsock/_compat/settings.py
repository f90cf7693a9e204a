# SPDX-License-Identifier: MIT
"""Arguments of `serve` and `connect`, and the library's options that they are.

The names and defaults are those that users of `websockets` expect; docs/python.md has the
table.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union

from .._options import TLS
from ..headers import validate_subprotocols
from ..typing import LoggerLike

Limit = Union[int, None, tuple[Optional[int], Optional[int]]]

# Where the library wants a limit and there is none: a day, the most that it takes.
_FOREVER = 24 * 3600.0
_NO_SUCH = {
    "extensions": "custom extensions do not exist: compression is built in",
    "extra_headers": "it is called additional_headers (connect) or process_response (serve)",
    "klass": "it is called create_connection",
    "read_limit": "limits are max_size and max_queue",
    "timeout": "it is called open_timeout or close_timeout",
    "ws_handler": "the handler is the first argument",
}


def refuse_unknown(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for a keyword that there is not, with the nearest that there is."""
    for name in given:
        near = difflib.get_close_matches(name, list(known), 1, 0.5)
        if name in _NO_SUCH:
            hint = f": {_NO_SUCH[name]}"
        else:
            hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"{function}() has no argument {name!r}{hint}")


def seconds_of(seconds: Optional[float], name: str) -> float:
    """Seconds, or None for no limit, as the options take them."""
    if seconds is None:
        return _FOREVER
    if seconds < 0:
        raise ValueError(f"{name} is None or not negative")
    return min(max(0.001, seconds), _FOREVER)


def low_and_high(limit: Limit, name: str) -> tuple[float, float]:
    """A mark to stop at, and one to go on at; a quarter of the former unless given."""
    high, low = limit if isinstance(limit, tuple) else (limit, None)
    if high is None:
        return 0, float("inf")
    if high < 0 or (low is not None and low < 0):
        raise ValueError(f"{name} is not negative")
    return (high // 4 if low is None else low), high


@dataclasses.dataclass
class Limits:
    """The timeouts and limits that servers and clients have in common."""

    open_timeout: Optional[float] = 10
    ping_interval: Optional[float] = 20
    ping_timeout: Optional[float] = 20
    close_timeout: Optional[float] = 10
    max_size: Limit = 2**20
    max_queue: Limit = 16
    write_limit: Union[int, tuple[int, Optional[int]]] = 2**15
    compression: Optional[str] = "deflate"
    subprotocols: Optional[Sequence[str]] = None

    def __post_init__(self) -> None:
        if self.compression not in ("deflate", None):
            raise ValueError(f"unsupported compression: {self.compression}")
        if self.subprotocols is not None:
            validate_subprotocols(self.subprotocols)

    def options(self) -> dict[str, Any]:
        """The library's options, by name, as the native classes take them."""
        size = self.max_size[0] if isinstance(self.max_size, tuple) else self.max_size
        mark = (self.write_limit[0] if isinstance(self.write_limit, tuple)
                else self.write_limit)
        _, queue = low_and_high(self.max_queue, "max_queue")
        return {
            "handshake_timeout": seconds_of(self.open_timeout, "open_timeout"),
            "ping_interval": self.ping_interval,
            "pong_timeout": self.ping_timeout,
            "close_timeout": seconds_of(self.close_timeout, "close_timeout"),
            # Who is silent is asked by pings, and nobody else is cut off.
            "idle_timeout": None,
            "write_timeout": None,
            "max_message_bytes": size,
            "max_backlog_bytes": max(1, mark),
            "conn_queue_messages": int(min(max(1, queue), 1024)),
            # send() waits, so handlers need no help against a full backlog.
            "pause_read_when_backlogged": False,
            "compression": "off" if self.compression is None else "dedicated",
        }


def logger_of(logger: Optional[LoggerLike], name: str) -> LoggerLike:
    """What was given as `logger`: a name's, or that of servers or clients."""
    if logger is None:
        return logging.getLogger(name)
    return logging.getLogger(logger) if isinstance(logger, str) else logger


def number_from_environment(name: str, default: int) -> int:
    """An integer of the environment."""
    text: Any = os.environ.get(name)
    return default if text is None else int(text)


def tls_of(ssl: Any, *, is_server: bool) -> Optional[TLS]:
    """What was given as `ssl=`; None for no TLS. An SSLContext is a TypeError that tells
    the call in its place."""
    if ssl is None or ssl is False:
        return None
    if isinstance(ssl, TLS):
        return ssl
    if ssl is True and not is_server:
        return TLS()
    call = "wsock.TLS(cert='cert.pem', key='key.pem')"
    if not is_server:
        call = "wsock.TLS(ca='ca.pem'), or ssl=True for the authorities of the system"
        if getattr(ssl, "verify_mode", None) == 0:  # ssl.CERT_NONE
            call = "wsock.TLS(verify=False)"
    if hasattr(ssl, "load_cert_chain"):
        raise TypeError("an ssl.SSLContext cannot be used, since Python tells nothing of "
                        f"its settings: pass ssl={call}")
    raise TypeError(f"ssl takes {call}; not {type(ssl).__name__}")
