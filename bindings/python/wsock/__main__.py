# SPDX-License-Identifier: MIT
"""python -m wsock URI: talk to a server from the terminal. What is typed is sent, line by
line; what comes is shown. The end of input, or Ctrl-C, closes."""

from __future__ import annotations

import argparse
import sys
import threading

from . import _wsock
from .exceptions import ConnectionClosed, WebSocketException
from .sync.client import ClientConnection, connect


def _show(connection: ClientConnection) -> None:
    try:
        while True:
            message = connection.recv()
            kind = "" if isinstance(message, str) else " (binary)"
            shown = message if isinstance(message, str) else message.hex()
            print(f"\r< {shown}{kind}\n> ", end="", flush=True)
    except ConnectionClosed as closed:
        print(f"\rConnection closed: {closed}.", flush=True)


def _send_lines(connection: ClientConnection) -> None:
    print("> ", end="", flush=True)
    for line in sys.stdin:
        connection.send(line.rstrip("\r\n"))
        print("> ", end="", flush=True)


def main() -> int:
    """The command; its exit status is 0, or 1 when there was no connection."""
    parser = argparse.ArgumentParser(prog="python -m wsock", description=__doc__)
    parser.add_argument("--version", action="version", version=f"wsock {_wsock.version()}")
    parser.add_argument("uri", metavar="URI", help="ws://... or wss://...")
    uri = parser.parse_args().uri
    try:
        connection = connect(uri)
    except (OSError, WebSocketException) as error:
        print(f"Failed to connect to {uri}: {error}.", file=sys.stderr)
        return 1
    print(f"Connected to {uri}.", flush=True)
    receiver = threading.Thread(target=_show, args=(connection,), daemon=True)
    receiver.start()
    try:
        _send_lines(connection)
    except (KeyboardInterrupt, ConnectionClosed):
        pass
    connection.close()
    receiver.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
