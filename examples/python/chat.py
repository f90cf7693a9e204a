# SPDX-License-Identifier: MIT
"""Chat rooms by path, "/chat/{room}": python chat.py [URL]; test_chat.py tests it.

Who connects says a name in the query ("/chat/lobby?name=ann") and sends JSON: {"say": "hi"}. A
room keeps what is said for an hour. Who comes is told {"at": [epoch, offset]}, from where each
message of the room is one further; who comes back with what that has become, in the query as
epoch and offset, hears what it missed first.
"""
import json
import re
import sys
from typing import Any, Optional

import wsock

CODEC = (json.dumps, json.loads)


def position_of(request: wsock.Request) -> Optional[wsock.Position]:
    """Where a client says that it was; Position() where nothing was heard yet."""
    epoch, offset = request.query.get("epoch", ""), request.query.get("offset", "0")
    if not re.fullmatch("[0-9a-f]{0,16}", epoch) or not re.fullmatch("[0-9]{1,15}", offset):
        return None
    return wsock.Position(epoch, int(offset))


def make(url: str, **options: Any) -> wsock.Server:
    """The server; options as those of wsock.Server."""
    server = wsock.Server(url, codec=CODEC, **options)

    def room_of(conn: wsock.Connection) -> wsock.Room:
        return server.room(conn.params["room"], codec=CODEC, history=50, history_time=3600)

    @server.on_request("/chat/{room}")
    def asked(req: wsock.Request) -> bool:
        since = position_of(req)
        return req.reject(400, "no such position") if since is None else req.accept(info=since)

    @server.on_open("/chat/{room}")
    def joined(conn: wsock.Connection) -> None:
        conn.data = conn.request.query.get("name", f"guest {conn.id}")
        room = room_of(conn)
        done = room.join(conn, since=conn.info)
        if done is not None and done.position is not None:
            conn.send({"at": [done.position.epoch, done.position.offset - done.missed],
                       "recovered": done.recovered})
        room.broadcast({"joined": conn.data, "members": len(room)})

    @server.on_message("/chat/{room}")
    def said(conn: wsock.Connection, message: Any) -> None:
        # What is no JSON, or says nothing, is an exception: it closes that connection.
        room_of(conn).broadcast({"from": conn.data, "said": message["say"]})

    @server.on_close("/chat/{room}")
    def left(conn: wsock.Connection, info: wsock.CloseInfo) -> None:
        room_of(conn).broadcast({"left": conn.data})

    return server


def main(url: str) -> None:
    server = make(url)
    print("listening on", *server.urls, flush=True)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080")
