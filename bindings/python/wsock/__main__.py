# SPDX-License-Identifier: MIT
"""python -m wsock URI: talk to a server from the terminal. What is typed is sent, line by
line; what comes is shown. The end of input, or Ctrl-C, closes."""

from __future__ import annotations

import argparse
import sys
import threading
import unicodedata

from . import _wsock
from ._options import TLS
from .exceptions import ConnectionClosed, WebSocketException
from .frames import Close
from .sync.client import ClientConnection, connect
from .typing import Data


def _escaped(text: str) -> str:
    """What a peer sent cannot steer the terminal."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" else c for c in text)


class _Screen:
    """What two threads write, in whole lines, above the one that is being typed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_terminal = sys.stdout.isatty()
        self._has_ended = False

    def prompt(self) -> None:
        """Ask for a line."""
        with self._lock:
            if not self._has_ended:
                print("> ", end="", flush=True)

    def show(self, message: Data) -> None:
        """Show what came."""
        text = _escaped(message) if isinstance(message, str) else f"(binary) {message.hex()}"
        with self._lock:
            if self._is_terminal:
                # Save where the cursor is; make room below, for the last row of the screen;
                # insert a row; go back, to the row where the prompt is now.
                print(f"\x1b7\n\x1b[A\r\x1b[L< {text}\x1b8\x1b[B", end="", flush=True)
            else:
                print(f"\r< {text}\n> ", end="", flush=True)

    def end(self, text: str) -> None:
        """Show how it ended, last."""
        with self._lock:
            self._has_ended = True
            erase = "\r\x1b[K" if self._is_terminal else "\r"
            print(f"{erase}{_escaped(text)}", flush=True)


def _send_lines(connection: ClientConnection, screen: _Screen) -> None:
    try:
        screen.prompt()
        for line in sys.stdin:
            connection.send(line.rstrip("\r\n"))
            screen.prompt()
        connection.close()
    except ConnectionClosed:  # the other thread tells it
        pass


def _converse(connection: ClientConnection) -> None:
    screen = _Screen()
    # Nothing ends a thread that waits for a line, so it must not hold up the end.
    sender = threading.Thread(target=_send_lines, args=(connection, screen), daemon=True)
    try:
        sender.start()
        for message in connection:
            screen.show(message)
    except (ConnectionClosed, KeyboardInterrupt):
        pass
    connection.close()
    assert connection.close_code is not None and connection.close_reason is not None
    screen.end(f"Connection closed: {Close(connection.close_code, connection.close_reason)}.")


def main() -> int:
    """The command; its exit status is 0, or 1 when there was no connection."""
    parser = argparse.ArgumentParser(prog="python -m wsock", description=__doc__)
    parser.add_argument("--version", action="version", version=f"wsock {_wsock.version()}")
    parser.add_argument("--insecure", action="store_true",
                        help="take any certificate of the server's")
    parser.add_argument("uri", metavar="URI", help="ws://... or wss://...")
    arguments = parser.parse_args()
    uri = arguments.uri
    is_insecure = arguments.insecure and uri.startswith("wss://")
    try:
        connection = connect(uri, ssl=TLS(verify=False) if is_insecure else None)
    except (OSError, WebSocketException) as error:
        print(f"Failed to connect to {uri}: {error}.", file=sys.stderr)
        return 1
    print(f"Connected to {uri}.", flush=True)
    _converse(connection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
