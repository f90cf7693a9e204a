# SPDX-License-Identifier: MIT
"""Where a server listens: from `host` and `port` to URLs of the library's, and back to what
sockets tell."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from typing import Any, Optional, Union

from .._errors import Error
from .base import Address, address_of

Host = Union[str, Sequence[str], None]

_ERRNOS = {
    "EADDRINUSE": errno.EADDRINUSE,
    "EADDRNOTAVAIL": errno.EADDRNOTAVAIL,
    "EACCESS": errno.EACCES,
    "EMFILE": errno.EMFILE,
    "ECONNREFUSED": errno.ECONNREFUSED,
    "ESYSTEM": errno.EIO,
}


def network_error(error: Error) -> Exception:
    """What users expect where it is the network's fault: an OSError."""
    name = error.name.replace("WSOCK_", "")
    if name == "ERESOLVE":
        return socket.gaierror(socket.EAI_NONAME, error.detail)
    return OSError(_ERRNOS[name], error.detail) if name in _ERRNOS else error


def urls_of(host: Host, port: Optional[int], family: int, secure: bool) -> list[str]:
    """URLs to listen at; a name that has to be of one family is looked up here."""
    scheme = "wss" if secure else "ws"
    hosts = [host] if host is None or isinstance(host, str) else list(host)
    urls = []
    for name in hosts:
        if not name:
            name = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}.get(
                socket.AddressFamily(family), "*")
        elif family != socket.AF_UNSPEC:
            found = socket.getaddrinfo(name, port or 0, family=family, type=socket.SOCK_STREAM,
                                       flags=socket.AI_PASSIVE)
            name = str(found[0][4][0])
        urls.append(f"{scheme}://{f'[{name}]' if ':' in name else name}:{port or 0}")
    return urls


def unix_url(path: Union[str, os.PathLike[str]], secure: bool) -> str:
    """The URL of a Unix socket."""
    return f"{'wss' if secure else 'ws'}+unix:{os.fspath(path)}"


class Listening:
    """What stands for a listening socket in `Server.sockets`: it tells its address. The
    descriptors are the library's own."""

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET, AF_INET6 or AF_UNIX."""
        if isinstance(self._address, str):
            return socket.AF_UNIX
        return socket.AF_INET6 if len(self._address or ()) == 4 else socket.AF_INET

    def getsockname(self) -> Any:
        """The address, as `socket.socket.getsockname()`."""
        return self._address

    def __repr__(self) -> str:
        return f"<listening at {self._address!r}>"


def listening_at(urls: Sequence[str]) -> tuple[Listening, ...]:
    """One for each address that the URLs of listeners stand for."""
    return tuple(Listening(address) for url in urls for address in _addresses(url))


def _addresses(url: str) -> list[Address]:
    _, _, rest = url.partition("://")
    if not rest:
        return [url.partition(":")[2]]
    where = rest.partition("/")[0]
    host, _, port = where.rpartition(":")
    if host == "*":
        return [("0.0.0.0", int(port)), ("::", int(port), 0, 0)]
    if host.startswith("["):
        return [address_of(where)]
    found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM,
                               flags=socket.AI_PASSIVE)
    return [entry[4] for entry in found]  # type: ignore[misc]
