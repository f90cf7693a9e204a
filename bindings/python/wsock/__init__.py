# SPDX-License-Identifier: MIT
"""WebSocket servers and clients on libwsock.

Worker threads in C do the protocol; your handlers run on a thread of yours, when it asks
for them: `server.run()`, `queue.dispatch()`. Importing this starts no thread.
"""
from . import _wsock

_wsock.check_interpreter()  # before anything is shared with another interpreter

from ._clients import Client
from ._connections import Connection, Fields, Headers, Request
from ._errors import Began, Cause, CloseInfo, Error, State, StateInfo, log_and_close
from ._options import TLS
from ._queues import Queue, Runtime
from ._rooms import Room
from ._servers import Endpoint, Server

Timer = _wsock.Timer
Message = _wsock.Handle

__version__: str = _wsock.version()

for _name in dir(_wsock):
    # The codes of errors: wsock.EADDRINUSE.
    if _name.startswith("E") and _name.isupper() and _wsock.error_name(
            getattr(_wsock, _name)) == "WSOCK_" + _name:
        globals()[_name] = getattr(_wsock, _name)
del _name


def secret_equal(given: str, secret: str) -> bool:
    """Compare what a client says with a secret, in a time that does not tell how much of it
    was right."""
    return bool(_wsock.secret_equal(given, secret))


_wsock.set_classes(Error, Connection, Request, CloseInfo, StateInfo, log_and_close)

__all__ = [
    "Began", "Cause", "Client", "CloseInfo", "Connection", "Endpoint", "Error", "Fields",
    "Headers", "Message", "Queue", "Request", "Room", "Runtime", "Server", "State",
    "StateInfo", "TLS", "Timer", "log_and_close", "secret_equal",
]
