# SPDX-License-Identifier: MIT
"""Sends every message back: python echo.py [URL]"""
import sys

import wsock


def main(url: str) -> None:
    server = wsock.Server(url)

    @server.on_message("/echo")
    def echo(conn: wsock.Connection, message: wsock.Payload) -> None:
        conn.send(message)

    print("listening on", *server.urls, flush=True)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080")
