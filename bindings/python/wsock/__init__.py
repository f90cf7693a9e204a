# SPDX-License-Identifier: MIT
"""WebSocket servers and clients on libwsock.

Worker threads in C do the protocol; your handlers run on a thread of yours, when it asks
for them: `server.run()`, `queue.dispatch()`. Importing this starts no thread.

`connect`, `serve` and the other names of `wsock.asyncio` and `wsock.exceptions` that users of
`websockets` know are here, too, and loaded when they are first asked for.
"""
from typing import TYPE_CHECKING, Any, Union

from . import _wsock

_wsock.check_interpreter()  # before anything is shared with another interpreter

from ._asks import Ask, AskKind, Refused, RoomHooks
from ._clients import Client
from ._clusters import Cluster, ClusterState, Node
from ._connections import Connection, Fields, Headers, Request
from ._errors import (Began, Cause, CloseInfo, Error, State, StateInfo, log_and_close,
                      log_line)
from ._jwt import JWT, JWTError, JWTFault, JWTKey
from ._options import TLS
from ._queues import Queue, Runtime
from ._rooms import (LEFT_BY_CALL, LEFT_BY_CLOSE, LEFT_BY_END, LEFT_BY_KICK, Done, Joined,
                     Member, Outcome, Person, Position, Published, Room, RoomMessage)
from ._servers import Endpoint, Server
from ._wsock import (  # the codes of errors
    ENOMEM, EINVAL, ECLOSED, EAGAIN, EDEADLK, EBUSY, EEXIST, ENOENT, ERANGE, ENOTSUP,
    ETIMEDOUT, EURL, EOPTION, ETOOBIG, EUTF8, EADDRINUSE, EADDRNOTAVAIL, EACCESS, EMFILE,
    ECONNREFUSED, ECONNRESET, EUNREACHABLE, ERESOLVE, EHANDSHAKE, EPROTOCOL, ESYSTEM,
    ETLS, ERATE,
)

Timer = _wsock.Timer
Message = _wsock.Handle
Buffer = _wsock.Buffer
Payload = Union[str, bytes]  # what on_message brings where there is no codec

__version__: str = _wsock.version()


def secret_equal(given: str, secret: str) -> bool:
    """Compare what a client says with a secret, in a time that does not tell how much of it
    was right."""
    return bool(_wsock.secret_equal(given, secret))


def capsule(thing: Union[Runtime, Server, Endpoint, Connection, Room, Queue]) -> object:
    """A PyCapsule with a counted reference, for C in the same process.

    Its name is "wsock.server" and so on, after the type in the headers. WSOCK_ENOTSUP where
    the module has the library inside, as wheels do: that is none of C's.
    """
    return _wsock.capsule(getattr(thing, "_handle", thing))


if TYPE_CHECKING:
    from .asyncio.client import (ClientConnection as ClientConnection, connect as connect,
                                 unix_connect as unix_connect)
    from .asyncio.server import (ServerConnection as ServerConnection,
                                 basic_auth as basic_auth, broadcast as broadcast,
                                 serve as serve, unix_serve as unix_serve)
    from .datastructures import (HeadersLike as HeadersLike,
                                 MultipleValuesError as MultipleValuesError)
    from .exceptions import *
    from .frames import Close as Close, CloseCode as CloseCode, Opcode as Opcode
    from .http11 import Response as Response
    from .protocol import Side as Side
    from .typing import (Data as Data, LoggerLike as LoggerLike, Origin as Origin,
                         StatusLike as StatusLike, Subprotocol as Subprotocol)
else:
    def __getattr__(name: str) -> Any:
        from ._names import find

        found = globals()[name] = find(name)
        return found


# Tracebacks and repr() show where a class is found.
for _class in (Ask, AskKind, Began, Cause, CloseInfo, Cluster, ClusterState, Done, Error, Joined, JWT, JWTError, JWTFault, JWTKey, Member, Node, Outcome, Person, Position, Published,
               Refused, RoomHooks, RoomMessage, State, StateInfo):
    _class.__module__ = __name__
del _class

_wsock.set_classes(Error, Connection, Request, Ask, CloseInfo, StateInfo, log_and_close, log_line)
del log_line

__all__ = [
    "Ask", "AskKind", "Began", "Buffer", "capsule", "Cause", "Client", "CloseInfo", "Cluster", "ClusterState", "Connection", "Done", "EACCESS", "EADDRINUSE",
    "EADDRNOTAVAIL", "EAGAIN", "EBUSY", "ECLOSED", "ECONNREFUSED", "ECONNRESET",
    "EDEADLK", "EEXIST", "EHANDSHAKE", "EINVAL", "EMFILE", "Endpoint", "ENOENT", "ENOMEM",
    "ENOTSUP", "EOPTION", "EPROTOCOL", "ERANGE", "ERATE", "ERESOLVE", "Error", "ESYSTEM",
    "ETIMEDOUT", "ETLS", "ETOOBIG", "EUNREACHABLE", "EURL", "EUTF8", "Fields", "Headers",
    "Joined", "JWT", "JWTError", "JWTFault", "JWTKey", "LEFT_BY_CALL", "LEFT_BY_CLOSE", "LEFT_BY_END", "LEFT_BY_KICK",
    "log_and_close", "Member", "Message", "Node", "Outcome", "Payload", "Person", "Position", "Published",
    "Queue", "Refused", "Request", "Room", "RoomHooks", "RoomMessage", "Runtime", "secret_equal", "Server", "State", "StateInfo", "Timer", "TLS",
]
