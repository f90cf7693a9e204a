# SPDX-License-Identifier: MIT
"""The arguments of `serve`, for servers of both kinds."""

from __future__ import annotations

import dataclasses
import functools
import socket
from collections.abc import Mapping
from typing import Any, Callable, Optional

from .._options import TLS
from ..typing import LoggerLike
from .deciding import Decider
from .listening import unix_url, urls_of
from .settings import Limit, Limits, logger_of, refuse_unknown, tls_of

_MORE = ("ssl", "sock", "start_serving", "reuse_port", "backlog", "family", "handlers")


@dataclasses.dataclass
class Settings:
    """What a server is made of."""

    handlers: Mapping[str, Any]
    urls: Callable[[], list[str]]
    options: Mapping[str, Any]
    decider: Decider
    logger: LoggerLike
    tls: Optional[TLS]
    max_queue: Limit
    sock: Optional[socket.socket]
    start_serving: bool
    create_connection: Any


def settings_of(function: Any, *, handler: Any, host: Any, port: Optional[int],
                kwargs: Mapping[str, Any], logger: Optional[LoggerLike], origins: Any,
                subprotocols: Any, select_subprotocol: Any, compression: Optional[str],
                process_request: Any, process_response: Any, server_header: Optional[str],
                max_queue: Limit, create_connection: Any, **limits: Any) -> Settings:
    """From the arguments of `serve`; TypeError and ValueError for wrong ones."""
    refuse_unknown("serve", [k for k in kwargs if k not in (*_MORE, "_unix_path")],
                   [*function.__annotations__, *_MORE])
    handlers = kwargs.get("handlers")
    if (handler is None) == (handlers is None):
        raise TypeError("serve() takes a handler, or handlers={path: handler}")
    sock = kwargs.get("sock")
    if sock is not None and (host is not None or port is not None):
        raise ValueError("serve() takes a host and a port, or sock")
    tls = tls_of(kwargs.get("ssl"), is_server=True)
    options = Limits(max_queue=max_queue, compression=compression, subprotocols=subprotocols,
                     **limits).options()
    options.update(origins="*", request_timeout=options["handshake_timeout"],
                   stop_timeout=options["close_timeout"])
    if kwargs.get("reuse_port"):
        options["reuse_port"] = True
    if "backlog" in kwargs:
        options["listen_backlog"] = kwargs["backlog"]
    chosen = logger_of(logger, "wsock.server")
    return Settings(
        handlers={"/": handler, "/{path...}": handler} if handlers is None else handlers,
        urls=functools.partial(_urls, host, port, kwargs, tls is not None),
        options=options,
        decider=Decider(origins, subprotocols, select_subprotocol, process_request,
                        process_response, server_header, chosen),
        logger=chosen, tls=tls, max_queue=max_queue,
        sock=sock, start_serving=kwargs.get("start_serving", True),
        create_connection=create_connection)


def _urls(host: Any, port: Optional[int], kwargs: Mapping[str, Any],
          secure: bool) -> list[str]:
    sock = kwargs.get("sock")
    if sock is not None:
        return [f"{'wss' if secure else 'ws'}+fd:{sock.fileno()}"]
    path = kwargs.get("_unix_path")
    if path is not None:
        return [unix_url(path, secure)]
    return urls_of(host, port, kwargs.get("family", socket.AF_UNSPEC), secure)
