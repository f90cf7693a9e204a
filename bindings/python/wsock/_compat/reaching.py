# SPDX-License-Identifier: MIT
"""How a client gets there: the arguments of `connect` as a native client."""

from __future__ import annotations

import dataclasses
import os
import random
import socket
from collections.abc import Generator, Mapping
from typing import Any, Optional, Union

from .._clients import Client
from .._connections import Connection
from .._errors import Error
from .._options import TLS
from .._queues import Queue
from ..datastructures import Headers
from ..exceptions import InvalidProxy, InvalidStatus, InvalidURI
from ..headers import build_authorization_basic, build_host
from ..http11 import Request
from ..uri import WebSocketURI, parse_uri
from .settings import number_from_environment, seconds_of

# Of the body of InvalidStatus.response.
REFUSAL_BYTES = 64 * 1024
CONNECT_MORE = ("ssl", "server_hostname", "host", "port", "local_addr", "family", "sock")


@dataclasses.dataclass
class Destination:
    """What to connect to, and what to say there."""

    uri: str
    headers: Headers
    options: dict[str, Any]
    subprotocols: Any
    tls: Optional[TLS]
    unix_path: Optional[str]
    more: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.parsed: WebSocketURI = parse_uri(self.uri)
        if self.more.get("sock") is not None:
            for name in ("host", "port", "local_addr"):
                if self.more.get(name) is not None:
                    raise ValueError(f"connect() takes {name}, or sock")
            if self.unix_path is not None:
                raise ValueError("unix_connect() takes a path, or connect() takes sock")
            self.options["proxy"] = "none"
        if self.parsed.secure:
            if self.tls is None:
                self.tls = TLS()
        elif self.tls is not None:
            raise ValueError("ssl is given, and the URI is ws://")
        if self.options.get("proxy") == "" and self.unix_path is None:
            self.options.update(_proxy_of_others(self.parsed.secure))

    @property
    def looks_up(self) -> bool:
        """Whether look_up() has something to do, which may take its time."""
        return self._has_address or self.more.get("local_addr") is not None

    @property
    def _has_address(self) -> bool:
        more = self.more
        return bool(more.get("host") or more.get("port")
                    or more.get("family", socket.AF_UNSPEC) != socket.AF_UNSPEC)

    def look_up(self) -> dict[str, str]:
        """Where to connect to in place of what the URI says, and from where, as options."""
        options = {}
        if self._has_address:
            found = socket.getaddrinfo(self.more.get("host") or self.parsed.host,
                                       self.more.get("port") or self.parsed.port,
                                       family=self.more.get("family", socket.AF_UNSPEC),
                                       type=socket.SOCK_STREAM)
            options["resolve"] = ",".join(
                f"{self._authority()}:{_with_port(*entry[4][:2])}" for entry in found)
        if self.more.get("local_addr") is not None:
            host, port = self.more["local_addr"]
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM,
                                       flags=socket.AI_PASSIVE)
            options["local_address"] = ",".join(
                _with_port(*entry[4][:2]) if entry[4][1] else str(entry[4][0])
                for entry in found)
        return options

    def client(self, queue: Queue, found: Mapping[str, str]) -> Client:
        """A client for one connection. `found` is what look_up() returned."""
        headers = self.headers.copy()
        user_info = self.parsed.user_info
        if user_info is not None and "Authorization" not in headers:
            headers["Authorization"] = build_authorization_basic(*user_info)
        options = {**self.options, **found}
        if self.more.get("server_hostname"):
            options["tls_server_name"] = self.more["server_hostname"]
        try:
            return Client(self._url(), queue=queue, headers=list(headers.raw_items()),
                          subprotocols=self.subprotocols or (), tls=self.tls, **options)
        except Error as error:
            raise self._refused(error) from error

    def open(self, client: Client) -> Connection:
        """Begin the connection. What was given as `sock` is its own from then on."""
        sock = self.more.get("sock")
        native = client.connect(sock)
        if sock is not None:
            sock.close()
        return native

    def _refused(self, error: Error) -> Exception:
        proxy = self.options.get("proxy")
        if "proxy" in error.detail and proxy:
            return InvalidProxy(str(proxy), error.detail)
        return InvalidURI(self.uri, error.detail) if error.name == "WSOCK_EURL" else error

    def _authority(self) -> str:
        return build_host(self.parsed.host, self.parsed.port, self.parsed.secure,
                          always_include_port=True)

    def _url(self) -> str:
        scheme = "wss" if self.parsed.secure else "ws"
        resource = self.parsed.resource_name
        if self.unix_path is not None:
            return f"{scheme}+unix:{self.unix_path}:{resource}"
        return f"{scheme}://{self._authority()}{resource}"

    def request(self) -> Request:
        """What is asked, as far as it is known here: the library adds its own fields."""
        headers = Headers()
        headers["Host"] = build_host(self.parsed.host, self.parsed.port, self.parsed.secure)
        headers["Upgrade"] = "websocket"
        headers["Connection"] = "Upgrade"
        headers["Sec-WebSocket-Version"] = "13"
        if self.subprotocols:
            headers["Sec-WebSocket-Protocol"] = ", ".join(self.subprotocols)
        headers.update(self.headers)
        return Request(self.parsed.resource_name, headers)


def _with_port(address: Any, port: Any) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def unix_arguments(path: Any, uri: Optional[str], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `unix_connect` as those of `connect`."""
    if path is None:
        raise TypeError("unix_connect() takes a path")
    if uri is None:
        uri = "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"
    return {"uri": uri, "_unix_path": os.fspath(path), **kwargs}


def headers_of(origin: Optional[str], user_agent: Optional[str], additional: Any) -> Headers:
    """The headers that a client adds to its requests."""
    headers = Headers()
    if origin is not None:
        headers["Origin"] = origin
    if additional is not None:
        headers.update(additional)
    if user_agent is not None and "User-Agent" not in headers:
        headers["User-Agent"] = user_agent
    return headers


def client_options(options: dict[str, Any], proxy: Union[str, bool, None],
                   open_timeout: Optional[float]) -> dict[str, Any]:
    """The options of clients beside those of both ends."""
    seconds = seconds_of(open_timeout, "open_timeout")
    options.update(
        connect_timeout=seconds, tls_timeout=seconds,
        max_refusal_bytes=REFUSAL_BYTES,
        max_redirects=number_from_environment("WSOCK_MAX_REDIRECTS", 10),
        proxy="" if proxy is True else "none" if not proxy else proxy)
    return options


def _proxy_of_others(secure: bool) -> dict[str, Any]:
    """What the library does not take from the environment, and `websockets` does: a proxy of
    socks_proxy, and for ws: that of https_proxy, where there is none for WebSockets alone."""
    def variable(name: str) -> str:
        return os.environ.get(name) or os.environ.get(name.upper()) or ""

    if variable("wss_proxy" if secure else "ws_proxy"):
        return {}
    proxy = variable("socks_proxy") or variable("https_proxy")
    # no_proxy counts by itself for what the library finds itself.
    return {"proxy": proxy, "no_proxy": variable("no_proxy")} if proxy else {}


def is_passing(exc: Exception) -> bool:
    """Whether it may go better next time: failures of the network, and servers that are
    overloaded or away."""
    if isinstance(exc, InvalidStatus):
        return exc.response.status_code in (500, 502, 503, 504)
    return isinstance(exc, (OSError, EOFError, TimeoutError))


def process_exception(exc: Exception) -> Optional[Exception]:
    """The default of `connect(process_exception=)`: None for what may go better next time,
    so that it is tried again, and the exception itself for what will not."""
    return None if is_passing(exc) else exc


def backoff() -> Generator[float, None, None]:
    """The default of `connect(reconnect_delays=)`: at first up to 5 seconds, at random so
    that not all come back at once; then 3, growing by half each time, up to 90."""
    yield random.uniform(0, 5)
    delay = 3.0
    while True:
        yield delay
        delay = min(delay * 1.5, 90.0)
