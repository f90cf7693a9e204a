# SPDX-License-Identifier: MIT
"""Rooms."""
import enum
import json
from typing import (Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple,
                    TypeVar, Union)

from . import _options, _wsock
from ._connections import Connection
from ._errors import Error

Fn = TypeVar("Fn", bound=Callable[..., Any])

LEFT_BY_CALL: int = _wsock.LEFT_BY_CALL
LEFT_BY_END: int = _wsock.LEFT_BY_END
LEFT_BY_KICK: int = _wsock.LEFT_BY_KICK
LEFT_BY_CLOSE: int = _wsock.LEFT_BY_CLOSE


class Position(NamedTuple):
    """A place in what a room with history said: behind the message of that offset. Offsets
    count within an epoch, 16 hexadecimal digits. Position() is where nothing was heard
    yet."""

    epoch: str = ""
    offset: int = 0


class Published(NamedTuple):
    """What became of a message: for how many it is meant, and its place in the history, None
    without one."""

    receivers: int
    position: Optional[Position]


class Outcome(enum.IntEnum):
    """What became of a message."""

    STORED = _wsock.STORED
    NOT_STORED = _wsock.NOT_STORED
    UNKNOWN = _wsock.UNKNOWN


class Done(NamedTuple):
    """What on_done of publish() is told: an Outcome (STORED also says that nothing had to be
    stored), where the message is, None without history, when the broker took it, as
    time.time(), and why it is not stored, else ""."""

    outcome: Outcome
    position: Optional[Position]
    time: Optional[float]
    why: str


class Joined(NamedTuple):
    """How a join went: whether nothing behind its position is missing, None while that is
    not known yet (on_joined tells); how many messages follow that were missed, and where
    the room is, None without history or a position to come back to."""

    recovered: Optional[bool]
    missed: int
    position: Optional[Position]


class RoomMessage(NamedTuple):
    """A message to a room: its data, str or bytes or what the codec makes, and without one
    of JSON what that says; its key, when it was published (as time.time()), its place in
    the history, None when it is not kept, the offset of the message before it, 0 for the
    first; its event, the identity that said it, None for the application, and whether it is
    JSON."""

    data: Any
    key: Optional[str]
    time: float
    position: Optional[Position]
    prev: int
    event: str
    sender: Optional[str]
    json: bool


class Member(NamedTuple):
    """Who joined a room or left it.

    identity and info: as it joined. first: with a join, nobody of its identity was there;
    last: with a leave, nobody of it is left. how: with a leave, one of LEFT_BY_CALL,
    LEFT_BY_END, LEFT_BY_KICK and LEFT_BY_CLOSE; reason: what the kick or close said.
    """

    conn: Connection
    identity: Optional[str]
    info: Any
    reason: str
    first: bool
    last: bool
    how: int


class Person(NamedTuple):
    """Somebody in a room: an identity, the info of the connection that joined last, and how
    many connections of it are members; of people_everywhere(), on how many nodes it is."""

    identity: str
    info: Any
    connections: int


Excluded = Union[Connection, str, Iterable[Connection], None]


class Room:
    """Connections that hear each other: all members receive what is broadcast, in one
    order. A connection that ends leaves its rooms by itself. Any thread."""

    def __init__(self, server: Any, handle: Any, codec: Any = None) -> None:
        self._server = server
        self._handle = handle
        self._encode, self._decode = codec_of(codec)

    @property
    def name(self) -> str:
        """Its name."""
        return str(_wsock.room_name(self._handle))

    def get(self, name: str) -> str:
        """One of its options, as text."""
        return str(_wsock.room_get_string(self._handle, name))

    # ---- joining ----

    def join(self, conn: Connection, *, since: Optional[Tuple[str, int]] = None,
             info: Any = None,
             on_joined: Optional[Callable[[Connection, Joined], Any]] = None
             ) -> Optional[Joined]:
        """Make an open connection a member. None when it is one, or is not open.

        since: where it was before; what it missed then comes before what is new, if the
        result says recovered. info: what others may know of it, up to the option
        max_info_bytes: bytes, or anything that JSON can say. on_joined: fn(conn, joined),
        called once when it is known how the join went: inside the call, or, in a cluster,
        where handlers run, before the member hears anything.
        """
        told = None if info is None else _info_to_bytes(info)
        where = None if since is None else _from_position(since)
        try:
            recovered, missed, *at = _wsock.join(
                self._handle, conn, told, where, self._server.queue,
                None if on_joined is None else self._told_joined(on_joined))
        except Error as error:
            if error.code in (_wsock.EEXIST, _wsock.ECLOSED):
                return None
            raise
        return _joined(recovered, missed, *at)

    def leave(self, conn: Connection) -> bool:
        """Nothing broadcast after this reaches it. False when it is no member."""
        return unless(_wsock.ENOENT, _wsock.room_leave, self._handle, conn)

    def kick(self, who: Union[str, Connection], reason: Optional[str] = None) -> int:
        """Have all connections of an identity leave, or one connection. They stay open, and
        may join again. Returns how many left."""
        if isinstance(who, str):
            return int(_wsock.room_kick(self._handle, who, reason))
        return int(unless(_wsock.ENOENT, _wsock.room_kick_conn, self._handle, who, reason))

    def close(self, reason: Optional[str] = None) -> bool:
        """End it: all leave, and nobody joins any more; its name may be another room's from
        then on. False when it has ended."""
        closed = unless(_wsock.ECLOSED, _wsock.room_close, self._handle, reason)
        if closed:
            self._server._heralds.close(self)
        return closed

    # ---- sending ----

    def broadcast(self, data: Any, *, text: Optional[bool] = None, exclude: Excluded = None,
                  only: Optional[Callable[[Connection], Any]] = None,
                  key: Optional[str] = None, event: Optional[str] = None,
                  sender: Optional[str] = None, json: bool = False,
                  compress: bool = True) -> int:
        """Send a message to all members. Returns for how many it is meant; who does not
        keep up misses it, by the option slow_members, and 0 is the answer when a worker is
        too far behind to take it.

        exclude: who does not get it: a connection, a collection of them, or an identity.
        only: a function of a connection, true for members that get it; such messages are
        not kept. key: what it is about: with slow_members="latest_only" the newer message
        of a key takes the place of the older. event, sender: what kind of message it is
        ("message"), and the identity that says it; raw members do not see them. json: data
        is anything that JSON can say, or the codec makes JSON of it; members that speak
        rooms.v1 get it as that.
        """
        return self.publish(data, text=text, exclude=exclude, only=only, key=key, event=event,
                            sender=sender, json=json, compress=compress).receivers

    def publish(self, data: Any, *, text: Optional[bool] = None, exclude: Excluded = None,
                only: Optional[Callable[[Connection], Any]] = None,
                key: Optional[str] = None, event: Optional[str] = None,
                sender: Optional[str] = None, json: bool = False, compress: bool = True,
                on_done: Optional[Callable[[Done], Any]] = None) -> Published:
        """As broadcast(), and tell where the message is in the history as well.

        on_done: fn(done), called once when it is known what became of the message, a Done:
        inside the call, or, in a cluster, where handlers run. With it a message that nobody
        takes is an Error (WSOCK_EAGAIN), of which on_done is not told."""
        if json:
            text = True
        if json and self._encode is None:
            data = _to_json(data)
        receivers, *at = _wsock.publish(self._handle, self._encoded(data), text, compress, exclude,
                                        only, key, event, sender, json, self._server.queue,
                                        None if on_done is None else self._told_done(on_done))
        return Published(receivers, _position(*at))

    def _once(self, fn: Any) -> Any:
        """What is called once for fn."""
        if not callable(fn):
            raise TypeError(f"expected a function, not {type(fn).__name__}")
        return self._server._once(fn)

    def _told_joined(self, fn: Any) -> Any:
        run = self._once(fn)
        return lambda conn, told: run(conn, _joined(*told))

    def _told_done(self, fn: Any) -> Any:
        run = self._once(fn)
        return lambda *told: run(_done(*told))

    def send_to(self, identity: str, data: Any, *, text: Optional[bool] = None,
                compress: bool = True) -> int:
        """Send a message to those members that are connections of an identity, in no order
        with what is broadcast. Returns to how many it was queued."""
        return int(_wsock.send_to(self._handle, identity, self._encoded(data), text, compress))

    def may_publish(self, conn: Connection) -> bool:
        """Count one more message of a member, by the option max_publish_rate. False when it
        is too much. Raises Error (WSOCK_ENOENT) when it is no member."""
        return unless(_wsock.ERATE, _wsock.room_may_publish, self._handle, conn)

    def dropped(self, conn: Optional[Connection] = None) -> int:
        """How many messages this member missed because it did not keep up; without one: all
        that there were."""
        return int(_wsock.dropped(self._handle, conn))

    def _encoded(self, data: Any) -> Any:
        if self._encode is None or isinstance(data, _wsock.Handle):
            return data
        return self._encode(data)

    # ---- history ----

    @property
    def position(self) -> Optional[Position]:
        """Where it is now; None without history."""
        at = _wsock.position(self._handle)
        return None if at is None else _position(*at)

    def history(self, limit: int = 100, *, before: int = 0) -> List[RoomMessage]:
        """The last messages that are kept, at most so many, the oldest of them first:
        before that offset, or at the newest. Raises Error (WSOCK_ENOTSUP) without history."""
        if limit < 0 or before < 0:
            raise ValueError("limit and before are 0 or more")
        return [self._message(*entry)
                for entry in _wsock.history(self._handle, before, limit)]

    def _message(self, data: Any, key: Optional[str], epoch: int, offset: int, prev: int,
                 time_ms: int, event: str, sender: Optional[str], is_json: bool) -> RoomMessage:
        if self._decode is not None:
            data = self._decode(data)
        elif is_json:
            data = json.loads(data)
        return RoomMessage(data, key, time_ms / 1000, _position(epoch, offset), prev, event,
                           sender, is_json)

    # ---- who is there ----

    @property
    def members(self) -> List[Connection]:
        """The members of this moment."""
        members: List[Connection] = _wsock.members(self._handle)
        return members

    @property
    def people(self) -> List[Person]:
        """The identities of this moment, however many connections each of them has."""
        return [Person(identity, _info_of(info), connections)
                for identity, info, connections in _wsock.people(self._handle)]

    def people_everywhere(self, fn: Callable[[List[Person], str], Any]) -> Any:
        """Ask the broker who is in the room on all nodes of the cluster: fn(people, why),
        called once, where handlers run; why is "", or why there is no list. Raises Error
        (WSOCK_ENOTSUP) without a cluster, (WSOCK_EAGAIN) while the broker is away."""
        run = self._once(fn)
        _wsock.people_everywhere(
            self._handle, self._server.queue, lambda people, why: run(
                [Person(identity, _info_of(info), nodes)
                 for identity, info, nodes in people], why))

    def info(self, conn: Connection) -> Any:
        """What a member joined with; None when that was nothing. Raises Error (WSOCK_ENOENT)
        when it is no member."""
        return _info_of(_wsock.info(self._handle, conn))

    def __len__(self) -> int:
        return int(_wsock.room_count(self._handle))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Connection]:
        return iter(self.members)

    def __contains__(self, conn: object) -> bool:
        return conn in self.members

    # ---- handlers ----

    def on_join(self, fn: Fn) -> Fn:
        """fn(member): somebody joined. Handlers of a room run one at a time, in its order,
        and keep it there until they are removed with None, it is closed, or its server has
        ended. Who joined before the first of them was set is not told of."""
        return self._on("on_join", fn, lambda fn, *told: fn(_member(*told)))

    def on_leave(self, fn: Fn) -> Fn:
        """fn(member): somebody left."""
        return self._on("on_leave", fn, lambda fn, *told: fn(_member(*told)))

    def on_message(self, fn: Fn) -> Fn:
        """fn(message): something was said, once for each RoomMessage, whoever it is for.
        While 16 MiB wait for this, broadcasts are for 0."""
        return self._on("on_message", fn, lambda fn, *told: fn(self._message(*told)))

    def _on(self, name: str, fn: Fn, call: Callable[..., Any]) -> Fn:
        if fn is not None and not callable(fn):
            raise TypeError(f"{name} is a function or None, not {type(fn).__name__}")
        self._server._heralds.set(self, name, fn, call)
        return fn

    def __repr__(self) -> str:
        return f"<wsock.Room {self.name!r}>"


class Heralds:
    """The handlers of a server's rooms, which lead to their rooms as a rule: so the server
    has them, and not the library, which Python's collector does not see through."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._hooks: Dict[str, Tuple[Any, Any]] = {}
        self._on_error: Any = None

    def _of(self, room: Room) -> Any:
        """Its hooks, made if need be."""
        handle, hooks = self._hooks.get(room.name, (None, None))
        if hooks is None or not _wsock.same(handle, room._handle):
            hooks = _wsock.Hooks(room._handle, self._server.queue)
            hooks.set("on_error", self._on_error)
            self._hooks[room.name] = room._handle, hooks
        return hooks

    def set(self, room: Room, name: str, fn: Any, call: Callable[..., Any]) -> None:
        """Set a handler, or remove it."""
        if fn is None and room.name not in self._hooks:
            return
        hooks = self._of(room)
        run = self._server._room_handler(room.name, fn)
        hooks.set(name, None if fn is None else lambda *told: call(run, *told))
        if all(hooks.get(each) is None for each in ("on_join", "on_leave", "on_message")):
            del self._hooks[room.name]

    def close(self, room: Room) -> None:
        """The room has ended; behind what its handlers are still told of that, they go."""
        name, handle = room.name, room._handle

        def drop() -> None:
            if name in self._hooks and _wsock.same(self._hooks[name][0], handle):
                del self._hooks[name]

        if name in self._hooks:
            self._server.call(drop)

    def set_on_error(self, fn: Any) -> None:
        """What is told of their errors."""
        self._on_error = fn
        for _, hooks in self._hooks.values():
            hooks.set("on_error", fn)

    def forget(self) -> None:
        """The server has ended."""
        self._hooks.clear()


def options_of(options: Dict[str, Any]) -> List[Tuple[str, str]]:
    """Options of a room as the library reads them; history is short for
    history_messages."""
    if "history" in options:
        options = {"history_messages": options["history"], **options}
        del options["history"]
    _options.check(options, _options.ROOM, ("history", "codec"))
    return [(name, _options.as_text(name, value)) for name, value in options.items()]


def unless(code: int, call: Any, *arguments: Any) -> bool:
    """Call; True, or False for that error."""
    try:
        call(*arguments)
    except Error as error:
        if error.code == code:
            return False
        raise
    return True


def _position(epoch: int, offset: int) -> Optional[Position]:
    return Position(f"{epoch:016x}", offset) if epoch else None


def _joined(recovered: Optional[bool], missed: int, *at: int) -> Joined:
    return Joined(recovered, missed, _position(*at))


def _done(outcome: int, epoch: int, offset: int, time_ms: int, why: str) -> Done:
    return Done(Outcome(outcome), _position(epoch, offset), time_ms / 1000 if time_ms else None,
                why)


def _from_position(position: Any) -> Tuple[int, int]:
    """A Position, or what was made of one on its way through a client: a pair."""
    epoch, offset = position
    if not isinstance(epoch, str) or not isinstance(offset, int):
        raise TypeError("a position is an epoch, which is str, and an offset")
    number = int(epoch, 16) if epoch else 0
    if not (0 <= number < 1 << 64 and 0 <= offset < 1 << 64):
        raise ValueError(f"no position: {position!r}")
    return number, offset


def _info_to_bytes(info: Any) -> bytes:
    if isinstance(info, (bytes, bytearray, memoryview)):
        return bytes(info)
    return _to_json(info).encode()


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _info_of(told: Optional[bytes]) -> Any:
    if told is None:
        return None
    try:
        return json.loads(told)
    except ValueError:  # bytes, as they were given
        return told


def _member(conn: Connection, identity: Optional[str], info: Optional[bytes], *rest: Any) -> Member:
    return Member(conn, identity, _info_of(info), *rest)


def codec_of(codec: Any) -> Any:
    """(encode, decode) of an object that has both, of a dict, or of a pair; either may be
    None."""
    if codec is None:
        return None, None
    if isinstance(codec, dict):
        extra = set(codec) - {"encode", "decode"}
        if extra:
            raise TypeError(f"a codec has encode and decode, not {sorted(extra)}")
        return codec.get("encode"), codec.get("decode")
    if isinstance(codec, tuple) and len(codec) == 2:
        return codec
    if hasattr(codec, "encode") and hasattr(codec, "decode") and not isinstance(codec, str):
        return codec.encode, codec.decode
    raise TypeError("a codec is a pair of functions (encode, decode), a dict or an object "
                    "with both")
