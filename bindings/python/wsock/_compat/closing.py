# SPDX-License-Identifier: MIT
"""How a connection ended, as exceptions tell it."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Optional

from ..exceptions import (ConnectionClosed, ConnectionClosedError, ConnectionClosedOK,
                          InvalidHandshake, InvalidMessage, InvalidStatus, PayloadTooBig,
                          ProtocolError, ProxyError, SecurityError)
from ..frames import Close, CloseCode
from ..http11 import Request
from .faults import fault_of
from .handshake import answer_of, offered_subprotocols

# WSOCK_CAUSE_*, of wsock/conn.h.
CLOSED, LOST, PROTOCOL, LIMIT = range(4)
CLOSE_TIMEOUT, STOPPED, OVERLOAD = 6, 8, 10
RESOLVE, CONNECT, CONNECT_TIMEOUT, HANDSHAKE, REFUSED, HANDSHAKE_TIMEOUT = range(11, 17)
TLS, CERTIFICATE, TLS_TIMEOUT, PONG_TIMEOUT, PROXY = range(17, 22)
BY_PEER = 1

_FINE = (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD)


class Ending:
    """The close frames of both directions, and what went wrong, if anything did."""

    __slots__ = ("cause", "rcvd", "rcvd_then_sent", "sent")

    def __init__(self, info: Any, sent: Optional[Close]) -> None:
        self.rcvd: Optional[Close] = None
        self.sent = sent
        self.cause: Optional[BaseException] = None
        if info.cause in (PROTOCOL, LIMIT):
            self.sent = Close(CloseCode(info.code), info.reason or info.detail)
            self.cause = (PayloadTooBig(info.detail)
                          if info.code == CloseCode.MESSAGE_TOO_BIG
                          else ProtocolError(info.detail))
        elif info.cause == PONG_TIMEOUT:
            self.sent = Close(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
        elif info.code != CloseCode.ABNORMAL_CLOSURE:
            self.rcvd = Close(info.code, info.reason)
            if self.sent is None:  # the library answers with the code alone
                self.sent = Close(info.code, "")
        elif info.errno:
            self.cause = OSError(info.errno, os.strerror(info.errno))
        elif info.cause == CLOSE_TIMEOUT:
            self.cause = TimeoutError("timed out while closing connection")
        elif info.cause == STOPPED and self.sent is None:
            self.sent = Close(CloseCode.GOING_AWAY, "")
        elif info.cause == OVERLOAD:
            self.sent = Close(CloseCode.TRY_AGAIN_LATER, "")
        elif info.cause == LOST and self.sent is None:
            self.cause = EOFError("the stream ended without a close frame")
        both = self.rcvd is not None and self.sent is not None
        self.rcvd_then_sent = info.began == BY_PEER if both else None

    @property
    def code(self) -> int:
        """The peer's code, as `close_code`."""
        return int(self.rcvd.code if self.rcvd else CloseCode.ABNORMAL_CLOSURE)

    def exception(self) -> ConnectionClosed:
        """A new exception that says it."""
        fine = (self.rcvd is not None and self.sent is not None
                and self.rcvd.code in _FINE and self.sent.code in _FINE)
        kind = ConnectionClosedOK if fine else ConnectionClosedError
        exc = kind(self.rcvd, self.sent, self.rcvd_then_sent)
        exc.__cause__ = self.cause
        return exc


def failure_to_open(native: Any, info: Any, request: Request) -> Exception:
    """Why a client's connection did not open. `request` is what it asked."""
    cause, detail = info.cause, info.detail
    if cause == RESOLVE:
        return socket.gaierror(socket.EAI_NONAME, detail)
    if cause in (CONNECT_TIMEOUT, HANDSHAKE_TIMEOUT, TLS_TIMEOUT):
        return TimeoutError(f"timed out during opening handshake: {detail}")
    if cause == CONNECT:
        return OSError(info.errno or errno.ECONNREFUSED, detail)
    if cause == PROXY:
        return ProxyError(detail)
    if cause in (TLS, CERTIFICATE):
        import ssl

        kind = ssl.SSLCertVerificationError if cause == CERTIFICATE else ssl.SSLError
        return kind(1, detail)
    if cause == REFUSED:
        if info.http_status in (301, 302, 303, 307, 308):
            return SecurityError(detail)
        return InvalidStatus(answer_of(native, info.http_status))
    if cause == HANDSHAKE:
        headers = answer_of(native).headers
        if headers:
            return fault_of(detail, headers, offered_subprotocols(request),
                            native._owner.get("compression") != 0)
    if cause in (HANDSHAKE, LOST):
        return InvalidMessage(detail)
    return InvalidHandshake(detail)
