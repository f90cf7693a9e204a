# SPDX-License-Identifier: MIT
"""What goes wrong, and how connections end."""
import enum
import logging
from typing import Any, NamedTuple, Optional

from . import _wsock

logger = logging.getLogger("wsock")


class Error(Exception):
    """A call of the library failed.

    `code` is one of the negative numbers of the library (`wsock.EADDRINUSE`), `name` its
    name ("WSOCK_EADDRINUSE"), `detail` one sentence with the address, file or option that
    it is about.
    """

    code: int
    name: str
    detail: str

    def __init__(self, code: int, detail: Optional[str] = None) -> None:
        self.code = code
        self.name = _wsock.error_name(code) or "WSOCK_UNKNOWN"
        self.detail = detail if detail is not None else str(_wsock.strerror(code))
        super().__init__(code, self.detail)

    def __str__(self) -> str:
        return f"{self.detail} ({self.name})"


class Cause(enum.IntEnum):
    """Why a connection ended."""

    CLOSED = _wsock.CAUSE_CLOSED
    LOST = _wsock.CAUSE_LOST
    PROTOCOL = _wsock.CAUSE_PROTOCOL
    LIMIT = _wsock.CAUSE_LIMIT
    IDLE = _wsock.CAUSE_IDLE
    WRITE_STALL = _wsock.CAUSE_WRITE_STALL
    CLOSE_TIMEOUT = _wsock.CAUSE_CLOSE_TIMEOUT
    RESET = _wsock.CAUSE_RESET
    STOPPED = _wsock.CAUSE_STOPPED
    NO_MEMORY = _wsock.CAUSE_NO_MEMORY
    OVERLOAD = _wsock.CAUSE_OVERLOAD
    RESOLVE = _wsock.CAUSE_RESOLVE
    CONNECT = _wsock.CAUSE_CONNECT
    CONNECT_TIMEOUT = _wsock.CAUSE_CONNECT_TIMEOUT
    HANDSHAKE = _wsock.CAUSE_HANDSHAKE
    REFUSED = _wsock.CAUSE_REFUSED
    HANDSHAKE_TIMEOUT = _wsock.CAUSE_HANDSHAKE_TIMEOUT
    TLS = _wsock.CAUSE_TLS
    CERTIFICATE = _wsock.CAUSE_CERTIFICATE
    TLS_TIMEOUT = _wsock.CAUSE_TLS_TIMEOUT
    PONG_TIMEOUT = _wsock.CAUSE_PONG_TIMEOUT
    PROXY = _wsock.CAUSE_PROXY


class Began(enum.IntEnum):
    """Who began the end of a connection."""

    PEER = _wsock.BY_PEER
    US = _wsock.BY_US
    NETWORK = _wsock.BY_NETWORK


class State(enum.IntEnum):
    """How a client that was started stands."""

    CONNECTING = _wsock.STATE_CONNECTING
    OPEN = _wsock.STATE_OPEN
    WAITING = _wsock.STATE_WAITING
    CLOSED = _wsock.STATE_CLOSED


class _CloseInfo(NamedTuple):

    code: int
    """RFC 6455 section 7.1.5: the peer's code, 1005 for none, 1006 when no close frame came."""
    reason: str
    """Of the peer's close frame, "" when none."""
    detail: str
    """One sentence for people: what happened."""
    cause: Cause
    """Why."""
    http_status: int
    """A client's: the server's status, else 0."""
    errno: int
    """Of the system call that failed, else 0."""
    began: Began
    """Who began the end."""
    opened: bool
    """Whether it had opened."""
    tls_error: int
    """0 when TLS is not the reason."""
    tls_alert: int
    """RFC 8446 section 6: the alert that the peer sent, else 0."""


class CloseInfo(_CloseInfo):
    """How a connection ended: what on_close is told."""

    __slots__ = ()

    def __new__(cls, *fields: Any) -> "CloseInfo":
        """The module in C tells numbers."""
        info = _CloseInfo(*fields)
        return super().__new__(cls, *info._replace(cause=Cause(info.cause),
                                                   began=Began(info.began)))


class StateInfo(NamedTuple):
    """How a client that was started stands: what on_state is told."""

    state: int
    """One of `State`."""
    attempt: int
    """Of attempts in a row, from 1."""
    delay: float
    """Seconds until the next attempt, in WAITING; else 0."""
    why: Optional[CloseInfo]
    """How the connection or the attempt ended, in WAITING and CLOSED."""


def log_and_close(error: BaseException, subject: Any) -> None:
    """The default of on_error: log the traceback, and close the connection with 1011. (A
    request that was not answered gets 500.)"""
    logger.error("a handler failed%s", "" if subject is None else f" for {subject!r}",
                 exc_info=error)
    if isinstance(subject, _wsock.Conn):
        try:
            subject.close(1011)
        except Error:
            pass


_LEVELS = {_wsock.LOG_ERROR: logging.ERROR, _wsock.LOG_WARN: logging.WARNING,
           _wsock.LOG_INFO: logging.INFO, _wsock.LOG_DEBUG: logging.DEBUG}


def log_line(level: int, subject: str, text: str) -> None:
    """A line of the library's log; `subject` is "server" or "conn 17"."""
    logger.log(_LEVELS[level], "%s: %s", subject, text, extra={"subject": subject})
