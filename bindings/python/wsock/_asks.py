# SPDX-License-Identifier: MIT
"""Rooms for pages: what an endpoint that serves them asks the application."""
import enum
import json
from typing import Any, Callable, Optional, Tuple, TypeVar

from . import _wsock
from ._connections import Connection
from ._errors import Error

Hook = TypeVar("Hook", bound=Callable[["Ask"], Any])

HOOKS = ("on_hello", "on_join", "on_publish", "on_call")


class AskKind(enum.IntEnum):
    """What is asked. Later versions may ask more: such questions are refused by themselves."""

    HELLO = _wsock.ASK_HELLO
    REFRESH = _wsock.ASK_REFRESH
    JOIN = _wsock.ASK_JOIN
    PUBLISH = _wsock.ASK_PUBLISH
    DIRECT = _wsock.ASK_DIRECT
    CALL = _wsock.ASK_CALL


class Refused(Exception):
    """Raised in a hook it refuses what is asked, as Ask.refuse() does; no handler of errors
    hears of it."""

    def __init__(self, code: str = "forbidden", text: Optional[str] = None, *,
                 retry: bool = False) -> None:
        self.code, self.text, self.retry = code, text, retry
        super().__init__(code, text)

    def __str__(self) -> str:
        return f"{self.code}: {self.text}" if self.text else self.code


class Ask(_wsock.Ask):
    """A question of a page, or of another program that speaks rooms.v1: what a hook is
    called with.

    It is answered once: in the hook, or, after defer(), later and from any thread; until
    the option ask_timeout, when it is refused with "timeout". One that nobody keeps any
    more and nobody answered is refused with "failed".
    """

    conn: Connection

    @property
    def kind(self) -> AskKind:
        """One of AskKind."""
        return AskKind(self._kind)

    @property
    def data(self) -> Any:
        """Of publish and direct: what is said, str, bytes, or what JSON says; of join: the
        info that the client wants others to see; of call: the arguments. None when there is
        nothing."""
        told = self._data()
        if told is None:
            return None
        kind, data = told
        return json.loads(data) if kind & _wsock.JSON else data

    # ---- answers ----

    def accept(self, *, identity: Optional[str] = None, info: Any = ...,
               expires_in: Optional[float] = None, data: Any = ...) -> bool:
        """Allow it; a call is answered with true. Returns True, for the hook to return.

        identity: of a hello, who it is; without it, what on_request said, or a guest. info:
        of a join, what others see of it in place of what the client says, anything that
        JSON can say, None for nothing; of a hello, the same in all rooms; a refresh leaves it. expires_in: of
        hello and refresh, for how many seconds that is good; the client has to refresh it
        before. data: of publish and direct, what is said instead: str, bytes, or anything
        else that JSON can say. Raises Error (WSOCK_ECLOSED) when it was answered, or is too
        late to be; (WSOCK_EINVAL) for what this kind of question does not take.
        """
        if identity is not None:
            self._set_identity(identity)
        if info is not ... and self.kind is not AskKind.REFRESH:
            self._set_info(None if info is None else _to_json(info))
        if expires_in is not None:
            self._set_expiry(_milliseconds(expires_in))
        if data is not ...:
            is_json = not _is_payload(data)
            self._set_data(_to_json(data) if is_json else data, is_json)
        self._accept()
        return True

    def refuse(self, code: str = "forbidden", text: Optional[str] = None, *,
               retry: bool = False) -> bool:
        """Refuse it: a code for programs, of a-z, 0-9 and "_", a text for people, and
        whether the same may succeed later. Returns False, for the hook to return.

        After a hello the connection is closed: with 4401 for "unauthorized", so that the
        client comes back with another token, with 1013 where it may retry, else with 4403.
        """
        self._refuse(code, text, retry)
        return False

    def reply(self, value: Any) -> bool:
        """Answer a call with anything that JSON can say. Returns True."""
        self._reply(_to_json(value))
        return True

    def defer(self) -> None:
        """It will be answered later: what the hook returns is none."""
        self._deferred = True

    @property
    def answered(self) -> bool:
        """Whether it was answered, or was found to be too late."""
        return self._answered

    def __repr__(self) -> str:
        if not self._is_live():
            return "<wsock.Ask of another process>"
        return f"<wsock.Ask {self.kind.name} of {self.conn!r}>"


def settle(ask: Ask, result: Any) -> None:
    """Answer by what a hook returned, where it did not."""
    if ask.answered or ask._deferred:
        return
    if ask.kind is AskKind.CALL:
        ask.reply(result)
    elif result is None or result is True:
        ask.accept()
    elif result is False:
        is_hello = ask.kind in (AskKind.HELLO, AskKind.REFRESH)
        ask.refuse("unauthorized" if is_hello else "forbidden")
    else:
        raise TypeError("a hook returns what accept(), refuse() or defer() return, a bool, or "
                        f"None; not {type(result).__name__}")


def settle_by(ask: Ask, error: Exception) -> bool:
    """Whether what a hook raised is no failure: it refuses, or nobody is left to hear."""
    if isinstance(error, Refused):
        if not ask.answered:
            ask.refuse(error.code, error.text, retry=error.retry)
        return True
    return (isinstance(error, Error) and error.code == _wsock.ECLOSED
            and not ask.conn.is_open)


def answering(fn: Callable[[Ask], Any]) -> Callable[[Ask], None]:
    """What is called for a hook."""
    def answer(ask: Ask) -> None:
        try:
            settle(ask, fn(ask))
        except Exception as error:
            if not settle_by(ask, error):
                raise

    return answer


class RoomHooks:
    """What Server.serve_rooms() returns: the hooks of endpoints that serve rooms. Each is a
    function of an Ask; it returns True or None to allow what is asked, False to refuse it,
    or calls accept(), refuse() or defer(); or raises Refused. Without a hook it is allowed,
    but calls. Hooks may be replaced at any time; None removes one."""

    def __init__(self, endpoints: Tuple[Any, ...]) -> None:
        self.endpoints = endpoints
        """The endpoints, one for each pattern."""

    def _on(self, name: str, fn: Hook) -> Hook:
        if fn is not None and not callable(fn):
            raise TypeError(f"{name} is a function or None, not {type(fn).__name__}")
        for endpoint in self.endpoints:
            endpoint._hooks.set(name, None if fn is None else endpoint._hook(fn))
        return fn

    def on_hello(self, fn: Hook) -> Hook:
        """fn(ask): who is this (AskKind.HELLO), and is that token good (REFRESH)? Without
        it: whom on_request says, or a guest."""
        return self._on("on_hello", fn)

    def on_join(self, fn: Hook) -> Hook:
        """fn(ask): may it be in that room?"""
        return self._on("on_join", fn)

    def on_publish(self, fn: Hook) -> Hook:
        """fn(ask): may it say that there (AskKind.PUBLISH), or to somebody (DIRECT)?"""
        return self._on("on_publish", fn)

    def on_call(self, fn: Hook) -> Hook:
        """fn(ask): something of the application's own, ask.name with ask.data. What it
        returns is the reply, anything that JSON can say."""
        return self._on("on_call", fn)

    def __repr__(self) -> str:
        return f"<wsock.RoomHooks {' '.join(each.pattern for each in self.endpoints)}>"


def _is_payload(data: Any) -> bool:
    return isinstance(data, (str, bytes, bytearray, memoryview))


def _milliseconds(seconds: float) -> int:
    return max(round(seconds * 1000), 1) if seconds > 0 else -1


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
