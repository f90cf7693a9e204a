# SPDX-License-Identifier: MIT
"""Rooms."""
from typing import Any, Callable, Iterator, List, Optional

from . import _wsock
from ._connections import Connection
from ._errors import Error


class Room:
    """Connections that hear each other: all members receive what is broadcast, in one
    order. A connection that ends leaves its rooms by itself. Any thread."""

    def __init__(self, handle: Any, codec: Any = None) -> None:
        self._handle = handle
        self._encode = codec_of(codec)[0]

    @property
    def name(self) -> str:
        """Its name."""
        return str(_wsock.room_name(self._handle))

    def join(self, conn: Connection) -> bool:
        """Make an open connection a member. False when it is one, or is not open."""
        try:
            _wsock.room_join(self._handle, conn)
        except Error as error:
            if error.code in (_wsock.EEXIST, _wsock.ECLOSED):
                return False
            raise
        return True

    def leave(self, conn: Connection) -> bool:
        """Nothing broadcast after this reaches it. False when it is no member."""
        try:
            _wsock.room_leave(self._handle, conn)
        except Error as error:
            if error.code == _wsock.ENOENT:
                return False
            raise
        return True

    def broadcast(self, data: Any, *, text: Optional[bool] = None,
                  exclude: Optional[Connection] = None,
                  where: Optional[Callable[[Connection], Any]] = None,
                  compress: bool = True) -> int:
        """Send a message to all members, or to all but one, or to those that a function
        accepts. Returns for how many it is meant; members whose backlog is full miss it,
        and 0 is the answer when a worker is too far behind to take it."""
        if exclude is not None and where is not None:
            accepts = where
            return self.broadcast(data, text=text, compress=compress,
                                  where=lambda conn: conn is not exclude and accepts(conn))
        if self._encode is not None and not isinstance(data, _wsock.Handle):
            data = self._encode(data)
        return int(_wsock.broadcast(self._handle, data, text, exclude, where, compress))

    @property
    def members(self) -> List[Connection]:
        """The members of this moment."""
        members: List[Connection] = _wsock.members(self._handle)
        return members

    def __len__(self) -> int:
        return int(_wsock.room_count(self._handle))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Connection]:
        return iter(self.members)

    def __contains__(self, conn: object) -> bool:
        return conn in self.members

    def __repr__(self) -> str:
        return f"<wsock.Room {self.name!r}>"


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
