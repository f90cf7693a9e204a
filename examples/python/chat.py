# SPDX-License-Identifier: MIT
"""Chat rooms by path, "/chat/{room}": python chat.py [URL]; test_chat.py tests it.

Who connects says a name in the query ("/chat/lobby?name=ann") and sends JSON: {"say": "hi"}.
"""
import json
import sys
from typing import Any

import wsock

CODEC = (json.dumps, json.loads)


def make(url: str, **options: Any) -> wsock.Server:
    """The server; options as those of wsock.Server."""
    server = wsock.Server(url, codec=CODEC, **options)

    def room_of(conn: wsock.Connection) -> wsock.Room:
        return server.room(conn.params["room"], codec=CODEC)

    @server.on_open("/chat/{room}")
    def joined(conn: wsock.Connection) -> None:
        conn.data = conn.request.query.get("name", f"guest {conn.id}")
        room = room_of(conn)
        room.join(conn)
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
