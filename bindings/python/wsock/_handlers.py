# SPDX-License-Identifier: MIT
"""What servers, endpoints and clients have in common: the handlers of connections, and
what is called where handlers run."""
from typing import Any, Callable, Dict, Optional, Tuple, TypeVar

from . import _wsock
from ._queues import Queue
from ._rooms import codec_of

Fn = TypeVar("Fn", bound=Callable[..., Any])

CONNECTION_EVENTS = ("on_open", "on_message", "on_part", "on_pong", "on_drain", "on_close",
                     "on_error")


def set_codec(hooks: Any, codec: Any) -> None:
    """What a connection's messages go through."""
    encode, decode = codec_of(codec)
    hooks.set("encode", encode)
    hooks.set("decode", decode)


def set_payload(hooks: Any, payload: Optional[str]) -> None:
    """How a connection's messages come: None, as str and bytes, or "buffer"."""
    if payload not in (None, "buffer"):
        raise ValueError(f'payload is "buffer" or None, not {payload!r}')
    hooks.set_buffers(payload == "buffer")


def take_handlers(options: Dict[str, Any], events: Tuple[str, ...]) -> Dict[str, Any]:
    """Those keywords that are handlers; they leave the options."""
    return {name: options.pop(name) for name in events if name in options}


class ConnectionHandlers:
    """Decorators that set the handlers of an endpoint's or a client's connections."""

    def _on(self, name: str, fn: Fn) -> Fn:
        raise NotImplementedError

    def on_open(self, fn: Fn) -> Fn:
        """fn(conn)"""
        return self._on("on_open", fn)

    def on_message(self, fn: Fn) -> Fn:
        """fn(conn, message): str for text, bytes for binary, or what the codec makes."""
        return self._on("on_message", fn)

    def on_part(self, fn: Fn) -> Fn:
        """fn(conn, data, text, first, last): messages in parts, as they come, for
        connections that open from now on. Where on_message is set too, it gets those that
        came in one part."""
        return self._on("on_part", fn)

    def on_pong(self, fn: Fn) -> Fn:
        """fn(conn, data)"""
        return self._on("on_pong", fn)

    def on_drain(self, fn: Fn) -> Fn:
        """fn(conn): after send() returned False, there is room again."""
        return self._on("on_drain", fn)


class Hosted:
    """What runs where the handlers of its queue run."""

    queue: Queue

    def call(self, fn: Callable[[], Any]) -> None:
        """Call fn once where the handlers run. Any thread."""
        self.queue.call(fn)

    def after(self, seconds: float, fn: Callable[[], Any]) -> "_wsock.Timer":
        """Call fn once, in that many seconds."""
        return self.queue.after(seconds, fn)

    def every(self, seconds: float, fn: Callable[[], Any]) -> "_wsock.Timer":
        """Call fn again and again; see Queue.every."""
        return self.queue.every(seconds, fn)
