# SPDX-License-Identifier: MIT
"""Rooms for pages, with an application that decides: python rooms.py [URL]

Who says hello with a token that is known is somebody; a guest may only look. Rooms
"team.NAME" are for that one alone, only Ann writes in "news", and the call "hours" is
answered. A page:

    connect("ws://127.0.0.1:8080/rooms", { token: "ann-token" }).room("news")
"""
import sys
from typing import Dict, Optional

import wsock

TOKENS = {"ann-token": "ann", "bob-token": "bob"}
HOURS = {"monday": [9, 17], "sunday": None}


def name_of(token: Optional[str]) -> Optional[str]:
    """Compares with all, in a time that tells nothing of how much was right."""
    found = None
    for own, name in TOKENS.items():
        if token is not None and wsock.secret_equal(token, own):
            found = name
    return found


def main(url: str) -> None:
    server = wsock.Server(url)
    server.room_defaults("news", history=100)
    hooks = server.serve_rooms("/rooms", "/rooms/{room}")

    @hooks.on_hello
    def who(ask: wsock.Ask) -> bool:
        if ask.token is None and ask.kind is wsock.AskKind.HELLO:
            return ask.accept()  # a guest
        name = name_of(ask.token)
        if name is None:
            return ask.refuse("unauthorized", "who are you?")
        return ask.accept(identity=name, info={"team": f"team.{name}"}, expires_in=3600)

    @hooks.on_join
    def may_join(ask: wsock.Ask) -> bool:
        room = ask.room or ""
        return not room.startswith("team.") or room == f"team.{ask.conn.identity}"

    @hooks.on_publish
    def may_publish(ask: wsock.Ask) -> None:
        if ask.conn.identity not in TOKENS.values():
            raise wsock.Refused("read_only", "guests only look")
        if ask.room == "news" and ask.conn.identity != "ann":
            raise wsock.Refused("read_only", "only Ann writes the news")

    @hooks.on_call
    def call(ask: wsock.Ask) -> Dict[str, object]:
        if ask.name != "hours":
            raise wsock.Refused("unknown_call", 'there is only "hours"')
        return {"hours": HOURS[ask.data["day"]]}  # of another day: a failure, which is logged

    print("listening on", *server.urls, flush=True)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080")
