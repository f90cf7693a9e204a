# SPDX-License-Identifier: MIT
"""Rooms for those who may enter them: python auth.py [URL]

A token in the Authorization header ("Bearer ann-token") says who somebody is; on_request
decides, and what it says is the identity of the connection from then on. A room tells who
comes and goes, however many connections somebody has, and "@bob hello" is for Bob's alone.
"""
import sys
from typing import Dict, NamedTuple, Optional

import wsock


class User(NamedTuple):
    name: str
    rooms: frozenset[str]


TOKENS: Dict[str, User] = {
    "ann-token": User("ann", frozenset({"staff", "lobby"})),
    "bob-token": User("bob", frozenset({"lobby"})),
}


def user_of(token: Optional[str]) -> Optional[User]:
    """Compares with all, in a time that tells nothing of how much was right."""
    found = None
    for own, user in TOKENS.items():
        if token is not None and wsock.secret_equal(token, own):
            found = user
    return found


def main(url: str) -> None:
    server = wsock.Server(url)

    @server.on_request("/rooms/{room}")
    def check(req: wsock.Request) -> bool:
        user = user_of(req.bearer)
        if user is None:
            return req.reject(401, "who are you?", headers={"WWW-Authenticate": "Bearer"})
        if req.params["room"] not in user.rooms:
            return req.reject(403, "not here")
        return req.accept(identity=user.name)

    @server.on_open("/rooms/{room}")
    def joined(conn: wsock.Connection) -> None:
        room = server.room(conn.params["room"])
        room.join(conn)
        conn.send("here: " + ", ".join(sorted(person.identity for person in room.people)))

    @server.on_message("/rooms/{room}")
    def said(conn: wsock.Connection, message: wsock.Payload) -> None:
        if isinstance(message, bytes):
            conn.close(1003, "text only")
            return
        room, (to, _, line) = server.room(conn.params["room"]), message.partition(" ")
        if not to.startswith("@"):
            room.broadcast(f"{conn.identity}: {message}")
        elif not room.send_to(to[1:], f"{conn.identity} to you: {line}"):
            conn.send(f"{to[1:]} does not hear you")

    def tell(room: wsock.Room) -> None:
        @room.on_join
        def came(member: wsock.Member) -> None:
            if member.first:
                room.broadcast(f"{member.identity} comes")

        @room.on_leave
        def went(member: wsock.Member) -> None:
            if member.last:
                room.broadcast(f"{member.identity} goes")

    for name in frozenset().union(*(user.rooms for user in TOKENS.values())):
        tell(server.room(name))
    print("listening on", *server.urls, flush=True)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080")
