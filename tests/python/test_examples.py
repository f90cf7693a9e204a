# SPDX-License-Identifier: MIT
"""Each example runs; it gets one bad request, and serves the next. All pass mypy --strict."""
import collections.abc
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

import wsock

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"
PATIENCE = 30


class Peer:
    """A client of the test's own, and all that it heard."""

    def __init__(self, queue, url, **options):
        self.queue, self.heard, self.end = queue, [], None
        client = wsock.Client(url, queue=queue, on_message=lambda _, m: self.heard.append(m),
                              on_close=self.ended, **options)
        self.conn = client.connect()

    def ended(self, conn, info):
        self.end = info

    def until(self, condition):
        limit = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < limit, (self.heard, self.end)
            self.queue.poll(timeout=0.5)

    def open(self):
        self.until(lambda: self.conn.is_open)
        return self

    def closed(self):
        self.until(lambda: self.end is not None)
        return self.end

    def hears(self, message):
        self.until(lambda: message in self.heard)


@contextlib.contextmanager
def running(name, *arguments):
    """The example's process."""
    process = subprocess.Popen([sys.executable, str(EXAMPLES / name), *arguments],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGINT, err
        process.errors = err
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def serving(name, *arguments):
    """The process of an example that serves, and its URL."""
    with running(name, "ws://127.0.0.1:0", *arguments) as process:
        words = process.stdout.readline().split()
        assert words[:2] == ["listening", "on"], words
        yield process, words[2]


@pytest.fixture
def queue():
    with wsock.Queue(workers=1) as made:
        yield made


def test_echo(queue):
    with serving("echo.py") as (_, url):
        assert Peer(queue, url + "/none").closed().http_status == 404
        peer = Peer(queue, url + "/echo").open()
        peer.conn.send("ä")
        peer.conn.send(b"\0")
        peer.hears("ä")
        peer.hears(b"\0")


def test_chat(queue):
    with serving("chat.py") as (process, url):
        nowhere = Peer(queue, url + "/chat/lobby?epoch=x&offset=1")
        assert nowhere.closed().http_status == 400
        ann = Peer(queue, url + "/chat/lobby?name=ann", codec=(None, json.loads)).open()
        ann.hears({"joined": "ann", "members": 1})
        bad = Peer(queue, url + "/chat/lobby?name=bad").open()
        bad.conn.send("this is no JSON")
        assert bad.closed().code == 1011
        ann.hears({"left": "bad"})
        bob = Peer(queue, url + "/chat/lobby?name=bob").open()
        bob.conn.send('{"say": "hi"}')
        ann.hears({"from": "bob", "said": "hi"})
    assert "JSONDecodeError" in process.errors


def test_auth(queue):
    def enter(token, room):
        return Peer(queue, f"{url}/rooms/{room}", headers={"Authorization": f"Bearer {token}"})

    with serving("auth.py") as (_, url):
        assert Peer(queue, url + "/rooms/lobby").closed().http_status == 401
        assert enter("bob-tokem", "lobby").closed().http_status == 401
        assert enter("bob-token", "staff").closed().http_status == 403
        ann = enter("ann-token", "lobby")
        ann.hears("here: ann")
        bob, again = enter("bob-token", "lobby"), enter("bob-token", "lobby")
        for conn in bob, again:
            conn.hears("here: ann, bob")
        bob.conn.send("hello")
        ann.hears("bob: hello")
        ann.conn.send("@bob psst")
        for conn in bob, again:
            conn.hears("ann to you: psst")
        ann.conn.send("@carl psst")
        ann.hears("carl does not hear you")
        bob.conn.send(b"\0")
        assert bob.closed().code == 1003
        again.conn.send("still here")
        ann.hears("bob: still here")
        again.conn.close()
        ann.hears("bob goes")
        enter("bob-token", "lobby").open()
        ann.until(lambda: ann.heard.count("bob comes") == 2)
        assert ann.heard.count("bob goes") == 1 and "ann to you: psst" not in ann.heard


class Page(Peer):
    """One that speaks rooms.v1."""

    def __init__(self, queue, url):
        super().__init__(queue, url, subprotocols=["wsock.rooms.v1"],
                         codec=(json.dumps, json.loads))
        self.open()

    def ask(self, **frame):
        number = len(self.heard) + 1000
        self.conn.send({"id": number, **frame})
        answers = []

        def answered():
            answers[:] = [each for each in self.heard if each.get("re") == number]
            return answers

        self.until(answered)
        return answers[0].get("ok", answers[0].get("err"))

    def hello(self, **fields):
        return self.ask(type="hello", v=1, **fields)


def test_rooms(queue):
    with serving("rooms.py") as (process, url):
        wrong = Page(queue, url + "/rooms")
        assert wrong.hello(token="ann-tokem")["code"] == "unauthorized"
        assert wrong.closed().code == 4401
        ann, bob, guest = (Page(queue, url + "/rooms") for _ in range(3))
        assert ann.hello(token="ann-token")["identity"] == "ann"
        assert bob.hello(token="bob-token")["identity"] == "bob"
        assert guest.hello()["identity"].startswith("guest-")
        for page in ann, bob, guest:
            page.ask(type="join", room="news")
        assert bob.ask(type="join", room="team.ann")["code"] == "forbidden"
        assert ann.ask(type="join", room="team.ann")["infos"] == {"ann": {"team": "team.ann"}}
        for page in bob, guest:
            assert page.ask(type="pub", room="news", data="x")["code"] == "read_only"
        assert ann.ask(type="call", name="hours", args="monday")["code"] == "failed"  # the bad one
        assert ann.ask(type="call", name="hours", args={"day": "monday"}) == {"hours": [9, 17]}
        assert ann.ask(type="call", name="other")["code"] == "unknown_call"
        assert ann.ask(type="pub", room="news", data="open")["offset"] == 1
        guest.until(lambda: any(each.get("data") == "open" for each in guest.heard))
        assert ann.ask(type="refresh", token="ann-token")["expires_ms"] > 0
    assert "TypeError" in process.errors


def test_client_comes_back(queue):
    heard = []
    server = wsock.Server("ws://127.0.0.1:0", queue=queue)

    @server.on_message("/")
    def answer(conn, message):
        heard.append(message)
        if len(heard) == 1:
            conn.reset()  # the bad one
        elif len(heard) == 2:
            conn.send(b"\x00\xff")
        else:
            conn.send("enough")

    server.start()
    with running("client.py", server.urls[0] + "/", "knock") as process:
        limit = time.monotonic() + PATIENCE
        while len(heard) < 3:
            assert time.monotonic() < limit
            queue.poll(timeout=0.5)
        for line in process.stdout:
            if line == "< enough\n":
                break
    server.close()
    assert heard[:3] == ["knock"] * 3


def test_ticker_to_a_thousand_subscribers(queue):
    count = 1000
    heard = set()
    with serving("ticker.py", "0.2") as (_, url):
        bad = Peer(queue, url + "/ticker").open()
        bad.conn.send("subscribe everything")
        assert bad.closed().code == 1008
        client = wsock.Client(url + "/ticker", queue=queue,
                              on_open=lambda conn: conn.send("subscribe XYZ"),
                              on_message=lambda conn, m: heard.add((conn, m[:4])))
        conns = [client.connect() for _ in range(count)]
        bad.until(lambda: len(heard) == count)
        assert {symbol for _, symbol in heard} == {"XYZ "}
        assert all(conn.is_open for conn in conns)


def test_the_chat_has_a_test_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p",
         "wsock.pytest_plugin", "test_chat.py"],
        cwd=EXAMPLES, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_examples_and_package_pass_mypy_strict(tmp_path, version):
    package = pathlib.Path(wsock.__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path),
         "--python-version", version,
         *map(str, sorted([*EXAMPLES.glob("*.py"), *package.rglob("*.py")]))],
        env=dict(os.environ, MYPYPATH=str(package.parent), LD_PRELOAD=""), cwd=tmp_path,
        stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


def test_all_that_is_public_has_a_docstring():
    missing = []
    for name in wsock.__all__:
        thing = getattr(wsock, name)
        if isinstance(thing, int) or name == "Payload":
            continue
        if not thing.__doc__:
            missing.append(name)
        for own, value in vars(thing).items() if isinstance(thing, type) else ():
            if own.startswith("_") or isinstance(value, int):
                continue
            if (callable(value) or isinstance(value, property)) and not value.__doc__:
                missing.append(f"{name}.{own}")
    assert not missing


def test_the_manual_has_every_name():
    manual = "".join((EXAMPLES.parents[1] / "docs" / name).read_text(encoding="utf-8")
                     for name in ("python.md", "testing.md"))
    known, missing = set(re.findall(r"\w+", manual)), []
    for name in wsock.__all__:
        thing = getattr(wsock, name)
        if isinstance(thing, int) and name.startswith("E"):  # the codes of errors
            continue
        if name not in known:
            missing.append(name)
        if isinstance(thing, type) and thing.__module__.startswith("wsock"):
            inherited = {own for base in (int, tuple, dict, Exception) if issubclass(thing, base)
                         for own in dir(base)} | set(dir(collections.abc.Mapping))
            missing += [f"{name}.{own}" for own in dir(thing)
                        if own[0] != "_" and own not in inherited and own not in known]
    assert not missing
