# SPDX-License-Identifier: MIT
"""What tests of clusters share: brokers that the test starts, nodes on them, and members with
wsock.rooms.v1 that count what they hear."""

import json
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

from tool import TIMEOUT, Serve, run
from ws_peer import TEXT, Client


def free_port(host="127.0.0.1"):
    with socket.socket() as taken:
        taken.bind((host, 0))
        return taken.getsockname()[1]


def until(look, what="nothing of the kind happens"):
    """Ask for what nobody tells, often. @return the first answer that is true."""
    end = time.monotonic() + 2 * TIMEOUT
    while not (answer := look()):
        if time.monotonic() > end:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(0.01)
    return answer


class Broker:
    """A server with files of its own, on a port that stays its own. What it writes goes
    into a file: nobody has to read on."""

    ready = ""

    def __init__(self, host="127.0.0.1"):
        self.host, self.port = host, free_port(host)
        self.place = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.place.name)
        self.process = None

    def command(self):
        """@return its arguments."""

    def start(self):
        log = self.dir / "log"
        with open(log, "wb") as out:
            self.process = subprocess.Popen(self.command(), cwd=self.dir, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.STDOUT)
        until(lambda: self.ready in log.read_text("utf-8", "replace") or self.has_ended(),
              lambda: log.read_text("utf-8", "replace"))
        if self.has_ended():
            raise AssertionError(log.read_text("utf-8", "replace"))

    def has_ended(self):
        return self.process.poll() is not None

    def kill(self):
        self.process.kill()
        self.process.wait(TIMEOUT)

    def end(self):
        if self.process and not self.has_ended():
            self.kill()
        self.place.cleanup()


class Redis(Broker):
    """Without a disk, unless it is told to SAVE."""

    ready = "eady to accept connections"
    more = ()

    def command(self):
        return ["redis-server", "--bind", self.host, "--port", str(self.port), "--save", "",
                "--appendonly", "no", "--protected-mode", "no", *self.more]

    @property
    def url(self):
        return f"redis://{self.host}:{self.port}"

    @property
    def dump(self):
        return self.dir / "dump.rdb"

    def ask(self, *args):
        """@return what redis-cli prints of the answer."""
        result = subprocess.run(["redis-cli", "-h", self.host, "-p", str(self.port), *args],
                                capture_output=True, text=True, timeout=TIMEOUT, check=True)
        return result.stdout.strip()


class Member(Client):
    """One with wsock.rooms.v1, that has heard all messages of a room up to its position."""

    def __init__(self, port, name, since=None, room="lobby", host="127.0.0.1"):
        super().__init__(port, "/rooms", "wsock.rooms.v1", host=host)
        self.name, self.room, self.heard = name, room, []
        self.put(type="hello", name=name)
        assert self.take("welcome")["v"] == 1
        self.put(type="join", room=room, **({"since": since} if since else {}))
        self.joined = self.take("joined")
        self.position = since or self.joined.get("position")

    def put(self, **frame):
        self.send(TEXT, json.dumps(frame))

    def take(self, kind):
        """The next frame of a kind."""
        while True:
            message = self.receive_message()
            if not isinstance(message, str):
                raise AssertionError(f"closed with {message} before a {kind}")
            frame = json.loads(message)
            if frame.get("type") == kind:
                return frame
            if frame.get("err"):
                raise AssertionError(f"{frame} before a {kind}")

    def publish(self, data):
        self.put(type="pub", room=self.room, data=data)

    def follow(self, frame):
        """A message comes behind the one before it, with none between them."""
        assert frame["epoch"] == self.position["epoch"], (frame, self.position)
        assert frame["prev"] == self.position["offset"], (frame, self.position)
        self.position = {"epoch": frame["epoch"], "offset": frame["offset"]}
        self.heard.append(frame["data"])

    def hear(self, last):
        """Messages without a gap, until one says that."""
        while not self.heard or self.heard[-1] != last:
            self.follow(self.take("msg"))
        return self.heard


class Cluster(unittest.TestCase):
    """Nodes on a broker."""

    make_broker = Redis
    options = ("--set", "cluster_beat=200ms", "--set", "cluster_timeout=1s")

    def setUp(self):
        self.broker = self.make_broker()
        self.addCleanup(self.broker.end)
        self.broker.start()
        self.dir = pathlib.Path(self.enter(tempfile.TemporaryDirectory()))
        self.nodes = 0

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def node(self, *args, **more):
        """One that may be killed; who is left ends with the test, and well."""
        self.nodes += 1
        admin = f"unix:{self.dir}/{self.nodes}"
        serve = Serve("--cluster", self.broker.url, "--admin", admin, *self.options, *args, **more)
        serve.__enter__()
        serve.admin = admin
        self.assertEqual(serve.line(), f"admin at {admin}")
        self.addCleanup(lambda: serve.popen.poll() is None and serve.__exit__(None))
        return serve

    def member(self, node, name, **more):
        member = Member(node if isinstance(node, int) else node.port, name, **more)
        self.addCleanup(member.sock.close)
        return member

    def listed(self, node):
        """@return the nodes of its cluster; None while the broker does not answer."""
        result = run("cluster", "nodes", "--json", "--admin", node.admin)
        if result.returncode != 0:
            self.assertIn("broker", result.stderr)
            return None
        return json.loads(result.stdout)["nodes"]

    def until_listed(self, node, look):
        """Until it holds of the list. @return the list"""
        seen = []

        def asked():
            seen[:] = [self.listed(node)]
            return seen[0] is not None and look(seen[0])
        until(asked, lambda: f"its list of nodes stays {seen}")
        return seen[0]
