# SPDX-License-Identifier: MIT
"""python -m wsock: the conversations that the documentation of `websockets` shows."""
import os
import pty
import subprocess
import sys

import pytest

import wsock
from programs import PATIENCE, at, running, terminal
from wsock.sync.server import serve


def authenticate(websocket):
    if websocket.recv() == "token":
        websocket.send("Hello Ann!")
        for message in websocket:
            websocket.send(message[::-1])
            websocket.send(message.encode())
    else:
        websocket.close(1011, "authentication failed")


def test_it_sends_lines_and_shows_what_comes():
    with running(serve(authenticate, "localhost", 0)) as server, terminal(at(server)) as client:
        client.until(f"Connected to {at(server)}.\n> ")
        client.type("token\n")
        client.until("< Hello Ann!\n")
        client.type("ab\a\n")
        client.until("< \\x07ba\n")
        client.until("< (binary) 616207\n")
        client.process.stdin.close()
        assert client.end().endswith("Connection closed: 1000 (OK).\n")


def test_it_ends_when_the_server_closes():
    with running(serve(authenticate, "localhost", 0)) as server, terminal(at(server)) as client:
        client.type("not a token\n")
        client.until("Connection closed: 1011 (internal error) authentication failed.\n")
        assert client.end() == ""


def test_at_a_terminal_what_is_typed_stays_below():
    with running(serve(authenticate, "localhost", 0)) as server:
        ours, theirs = pty.openpty()
        with subprocess.Popen([sys.executable, "-m", "wsock", at(server)], stdin=theirs,
                              stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, b"token\n")
            shown = b""
            while b"\x1b[L< Hello Ann!\x1b8" not in shown:
                shown += os.read(ours, 1000)
            os.write(ours, b"\x04")
            while b"\x1b[KConnection closed: 1000 (OK)." not in shown:
                shown += os.read(ours, 1000)
            assert process.wait(PATIENCE) == 0
        os.close(ours)


def test_over_tls_with_and_without_a_certificate_that_is_trusted(certificate):
    with running(serve(authenticate, "localhost", 0,
                       ssl=wsock.TLS(cert=certificate))) as server:
        uri = "wss://localhost:%d/" % server.socket.getsockname()[1]
        with terminal(uri, "--insecure") as client:
            client.type("token\n")
            client.until("< Hello Ann!")
        with terminal(uri) as client:
            assert f"Failed to connect to {uri}: " in client.end(1)


@pytest.mark.parametrize("arguments, status, text", [
    (["--version"], 0, f"wsock {wsock.__version__}\n"),
    (["--help"], 0, "usage: python -m wsock"),
    ([], 2, "usage: python -m wsock"),
    (["http://localhost/"], 1, "http://localhost/ isn't a valid URI"),
    (["ws://127.0.0.1:1/"], 1, "Failed to connect to ws://127.0.0.1:1/: "),
])
def test_arguments(arguments, status, text):
    done = subprocess.run([sys.executable, "-m", "wsock", *arguments], text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == status and text in done.stdout
