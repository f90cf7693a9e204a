#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples.py SOURCE-ROOT ECHO CHAT CLIENT PARTS AUTH STEADY QUEUE MEMBERS TICKER [ROOMS]: each program of examples/ does what its first comment
says, and the README shows the echo server as it is."""
import base64
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support/py"))
from ws_peer import BINARY, CLOSE, TEXT, Client, Server, close_payload

SECONDS = 60
root, echo, chat, client, parts, auth, steady, queue, members, ticker, *rooms = sys.argv[1:]


def await_handler(server):
    """The listener is announced before wsock_runtime_run() takes the signals."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        status = pathlib.Path(f"/proc/{server.pid}/status").read_text("utf-8")
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        os.sched_yield()
    sys.exit("the server does not take SIGTERM")


@contextlib.contextmanager
def serving(program, *arguments):
    """Starts a server on a free port and yields its URL; SIGTERM must end it well."""
    with subprocess.Popen([program, *arguments, "ws://127.0.0.1:0"], stdout=subprocess.PIPE,
                          text=True) as server:
        try:
            words = server.stdout.readline().split()
            assert words[:2] == ["listening", "on"], words
            await_handler(server)
            yield words[2].rstrip("/")
            server.send_signal(signal.SIGTERM)
            assert server.wait(SECONDS) == 0, f"{program}: status {server.returncode}"
        finally:
            server.kill()


def connect(url, path):
    return Client(int(url.rpartition(":")[2]), path)


def run_client(*arguments):
    done = subprocess.run([client, *arguments], timeout=SECONDS, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_queue():
    with subprocess.Popen([queue, "ws://127.0.0.1:0"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as host:
        try:
            url = host.stdout.readline().split()[2].rstrip("/")
            with connect(url, "/talk") as one, connect(url, "/talk") as other:
                one.send(TEXT, "hello")
                assert host.stdout.readline().endswith(": hello\n")
                other.send(TEXT, "there")  # then both are known to be in the room
                assert host.stdout.readline().endswith(": there\n")
                host.stdin.write("to all\n")
                host.stdin.flush()
                assert one.receive_message() == other.receive_message() == "to all\n"
                host.stdin.close()
                assert one.receive_message() == other.receive_message() == 1001
            assert host.wait(SECONDS) == 0
        finally:
            host.kill()


def test_echo_and_client():
    with serving(echo) as url:
        assert run_client(url + "/echo", "one", "zwei ☃", "") == (0, ["one", "zwei ☃", ""], "")
        assert run_client(url + "/echo") == (0, [], "")
        status, lines, error = run_client(url + "/elsewhere", "x")
        assert (status, lines) == (1, []) and "404" in error, error
        with connect(url, "/echo") as ws:
            ws.send(TEXT, "hello")
            assert ws.receive_message() == "hello"
            ws.send(CLOSE, close_payload(4001, "done"))
            assert ws.receive_message() == 4001
        with connect(url, "/echo") as open_one:  # noqa: F841
            taken = subprocess.run([echo, url], timeout=SECONDS, text=True,
                                   stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
            assert taken.returncode == 1 and url[len("ws://"):] in taken.stderr, taken
    assert run_client(url + "/echo", "x")[0] == 1  # nobody listens any more
    assert run_client("nonsense")[0] == 1
    assert run_client()[0] == 2


def test_chat():
    with serving(chat) as url:
        with connect(url, "/chat/lobby") as a, connect(url, "/chat/attic") as other:
            assert a.receive_message() == "* 1 here" and other.receive_message() == "* 1 here"
            with connect(url, "/chat/lobby") as b:
                assert a.receive_message() == b.receive_message() == "* 2 here"
                b.send(TEXT, "hello from b")
                assert a.receive_message() == b.receive_message() == "hello from b"
                b.close()
            a.send(TEXT, "anyone?")
            assert a.receive_message() == "anyone?"
            other.send(TEXT, "nobody came")  # and nothing of the lobby's
            assert other.receive_message() == "nobody came"
            a.send(TEXT, "x" * 5000)
            assert a.receive_message() == 1009
        with connect(url, "/chat/a*b") as refused:
            assert refused.receive_message() == 1008


def receive_parts(ws):
    """A binary message of any number of frames."""
    opcode, message = ws.receive()
    assert opcode == BINARY, opcode
    while True:
        opcode, part = ws.receive()
        assert opcode == 0, opcode
        if not part:  # the end of this server's messages is an empty frame
            return message
        message += part


def test_parts():
    content = os.urandom(3 * 1000 * 1000)  # more than a backlog holds
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        with serving(parts, file.name) as url:
            with connect(url, "/download") as ws:
                assert receive_parts(ws) == content
                assert ws.receive_message() == 1000
            with connect(url, "/upload") as ws:
                for i in range(5):
                    ws.send(0 if i else BINARY, content[:100 * 1000], fin=False)
                ws.send(0)
                assert ws.receive_message() == "500000 bytes"
                ws.send(TEXT, "four")
                assert ws.receive_message() == "4 bytes"
                ws.close()
    with serving(parts, "/nonexistent") as url, connect(url, "/download") as ws:
        assert ws.receive_message() == 1011
    assert subprocess.run([parts], timeout=SECONDS, stderr=subprocess.DEVNULL).returncode == 2


def ask(url, path, *headers):
    """The head of the answer to an upgrade that is expected to be refused."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), SECONDS) as sock:
        lines = (f"GET {path} HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
                 *headers, "", "")
        sock.sendall("\r\n".join(lines).encode("latin-1"))
        return sock.makefile("rb").read().decode("latin-1")


def test_auth():
    right, wrong = (base64.b64encode(text).decode("ascii") for text in (b"ann:secret", b"ann:x"))
    with serving(auth) as url:
        port = int(url.rpartition(":")[2])
        for headers in ((), (f"Authorization: Basic {wrong}",), ("Authorization: Basic ?",),
                        ("Authorization: Bearer let-me-in",)):
            answer = ask(url, "/basic", *headers)
            assert answer.startswith("HTTP/1.1 401 "), answer
            assert '\r\nWWW-Authenticate: Basic realm="example"\r\n' in answer, answer
            assert answer.endswith("\r\n\r\nsay who you are\n"), answer
        answer = ask(url, "/token", "Authorization: Bearer let-me-inn")
        assert answer.startswith("HTTP/1.1 401 ") and "WWW-Authenticate: Bearer\r" in answer, answer
        with Client(port, "/basic", headers=[f"Authorization: Basic {right}"]) as ws:
            ws.send(TEXT, "hello")
            assert ws.receive_message() == "ann: hello"
        with Client(port, "/token", headers=["Authorization: bearer let-me-in"]) as ws:
            ws.send(TEXT, "hello")
            assert ws.receive_message() == "?: hello"


class Page:
    """A client of rooms that says hello by a token."""

    def __init__(self, url, token):
        self.client = Client(int(url.rpartition(":")[2]), "/rooms", "wsock.rooms.v1")
        self.hello = self.ask(type="hello", token=token)

    def ask(self, **frame):
        self.client.send(TEXT, json.dumps(dict(frame, id=1)))
        while True:
            answer = json.loads(self.client.receive_message())
            if "re" in answer:
                return answer.get("ok", answer.get("err"))


def test_rooms():
    for program in rooms:
        with serving(program) as url:
            ann, bob = Page(url, "ann-secret"), Page(url, "bob-secret")
            assert ann.hello["identity"] == "ann" and ann.hello["expires_ms"] == 3600000, ann.hello
            assert Page(url, "secret").hello["code"] == "unauthorized"
            assert ann.ask(type="join", room="team.ann")["type"] == "joined"
            assert bob.ask(type="join", room="team.ann")["code"] == "private"
            assert ann.ask(type="join", room="news")["type"] == "joined"
            assert bob.ask(type="join", room="news")["type"] == "joined"
            assert bob.ask(type="pub", room="news", data="hm")["code"] == "read_only"
            assert bob.ask(type="call", name="hours") == {"from": 9, "to": 17}
            assert bob.ask(type="call", name="x")["code"] == "unknown_call"
            assert ann.ask(type="pub", room="news", data="hear, hear")["offset"] == 1
            for page in (ann, bob):
                page.client.close()


def test_steady():
    seen, left = [], [3, 0]

    def forgets_the_last(conn):
        """Hangs up after so many messages, without an answer to the last one."""
        conn.accept()
        many = left.pop(0) if left else -1
        while many != 0:
            opcode, payload = conn.receive()
            if opcode == TEXT:
                seen.append(int(payload))
            many -= 1
            if many != 0:
                conn.send(opcode, payload)
            if opcode == CLOSE:
                return

    with Server(forgets_the_last) as server:
        done = subprocess.run([steady, server.url, "100"], timeout=SECONDS, text=True,
                              stderr=subprocess.PIPE)
    assert done.returncode == 0, done
    assert done.stderr.count("; connecting again in ") == 2, done.stderr
    assert sorted(set(seen)) == list(range(1, 101)), seen
    assert seen[2:4] == [3, 3], seen  # what was not acknowledged came again
    with Server(lambda conn: conn.reject("404 Not Found")) as server:
        done = subprocess.run([steady, server.url, "1"], timeout=SECONDS, text=True,
                              stderr=subprocess.PIPE)
    assert done.returncode == 1 and "404" in done.stderr, done
    assert subprocess.run([steady], timeout=SECONDS, stderr=subprocess.DEVNULL).returncode == 2


def enter(url, path, name):
    return Client(int(url.rpartition(":")[2]), path,
                  headers=[f"Authorization: Bearer {name}-token"])


def until(ws, last):
    """What comes, to that line."""
    lines = [ws.receive_message()]
    while lines[-1] != last:
        lines.append(ws.receive_message())
    return lines


def test_members():
    with serving(members) as url:
        for path, status, *headers in (
                ("/rooms/lobby", 401), ("/rooms/lobby", 401, "Authorization: Bearer x"),
                ("/rooms/lobby?since=x", 400, "Authorization: Bearer ann-token")):
            assert ask(url, path, *headers).startswith(f"HTTP/1.1 {status} "), path
        with enter(url, "/rooms/lobby", "bob") as bob:
            heard = until(bob, "bob comes")
            assert "* here: bob" in heard, heard
            with enter(url, "/rooms/lobby", "ann") as ann:
                heard = until(ann, "ann comes")
                at = next(line for line in heard if line.startswith("* at ")).split()[2]
                epoch, _, offset = at.partition("-")
                ann.send(TEXT, "hello")
                heard += until(ann, "ann: hello")
                ann.send(TEXT, "@bob psst")
                ann.send(TEXT, "@carl psst")
                heard += until(ann, "* carl does not hear you")
                ann.close()
            # She knows where she was by counting, and comes back twice at once.
            at = f"{epoch}-{int(offset) + sum(not line.startswith('*') for line in heard)}"
            heard = until(bob, "ann goes")
            assert "ann to you: psst" in heard and "ann: hello" in heard, heard
            bob.send(TEXT, "where is she?")
            until(bob, "bob: where is she?")
            with enter(url, f"/rooms/lobby?since={at}", "ann") as ann:
                heard = until(ann, "ann comes")
                assert f"* at {at}" in heard, heard
                assert [line for line in heard if not line.startswith("*")] == [
                    "ann goes", "bob: where is she?", "ann comes"], heard
                with enter(url, "/rooms/lobby?since=1-1", "ann") as again:
                    assert "what was before is gone" in again.receive_message()
                    again.send(TEXT, "me, too")
                    until(ann, "ann: me, too")
                    again.send(BINARY, b"nonsense")
                    while again.receive_message() != 1003:
                        pass
                ann.send(TEXT, "still here")
                assert until(ann, "ann: still here") == ["ann: still here"]
        with enter(url, "/rooms/a*b", "ann") as ann:
            assert ann.receive_message() == 1008


def test_ticker():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving(ticker) as url, contextlib.ExitStack() as stack:
        with connect(url, "/ticker") as bad:
            bad.send(TEXT, "nonsense")
            while bad.receive_message() != 1008:
                pass
        many = [stack.enter_context(connect(url, "/ticker")) for _ in range(1000)]
        for ws in many:
            heard = {ws.receive_message().split()[0] for _ in range(6)}
            assert heard == {"ABC", "KLM", "XYZ"}, heard
        many[0].send(TEXT, "count")
        until(many[0], "count 1000")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_readme():
    code = pathlib.Path(root, "examples/echo.c").read_text().partition("#include")
    readme = pathlib.Path(root, "README.md").read_text()
    assert "```c\n" + code[1] + code[2] + "```" in readme, "README.md: not examples/echo.c"


for test in (test_echo_and_client, test_chat, test_parts, test_auth, test_members, test_ticker,
             test_rooms, test_steady, test_queue, test_readme):
    test()
    print("ok", test.__name__)
