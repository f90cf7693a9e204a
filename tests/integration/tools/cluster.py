# SPDX-License-Identifier: MIT
"""What tests of clusters share: brokers that the test starts, nodes on them, and members with
wsock.rooms.v1 that count what they hear."""

import itertools
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from tool import TIMEOUT, Serve, UnixConnection, run
from ws_peer import TEXT, Client


def free_port(host="127.0.0.1"):
    """One below those that connections get, so that none takes it before it is listened at."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as taken:
            try:
                taken.bind((host, port))
            except OSError:
                continue
            return port


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


class Closed(Exception):
    """Instead of a frame came the end, with this code."""


class DurableRedis(Redis):
    """That loses nothing when it is killed."""

    more = ("--appendonly", "yes", "--appendfsync", "always")


class SecretRedis(DurableRedis):
    """Over TLS."""

    files = os.environ.get("CERTIFICATES", "")

    def command(self):
        plain = super().command()
        plain[plain.index("--port")] = "--tls-port"
        return [*plain, "--port", "0", "--tls-cert-file", f"{self.files}/good.pem",
                "--tls-key-file", f"{self.files}/good.key", "--tls-ca-cert-file",
                f"{self.files}/root.pem", "--tls-auth-clients", "no"]

    @property
    def url(self):
        return f"rediss://localhost:{self.port}"


class RedisCluster:
    """Three masters that share the slots, and a replica of the one that has a room."""

    def __init__(self, room="lobby"):
        self.masters = [Redis() for _ in range(3)]
        self.replica = Redis()
        self.all = [*self.masters, self.replica]
        for redis in self.all:
            redis.more = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()),
                          "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")
        self.room, self.owner = room, None

    @property
    def url(self):
        return "redis://" + ",".join(f"127.0.0.1:{redis.port}" for redis in self.masters)

    def start(self):
        first = self.masters[0]
        for number, redis in enumerate(self.all):
            redis.start()
            redis.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for redis, slots in zip(self.masters, ("0 5460", "5461 10922", "10923 16383")):
            redis.ask("CLUSTER", "ADDSLOTSRANGE", *slots.split())
        for redis in self.all[1:]:
            redis.ask("CLUSTER", "MEET", "127.0.0.1", str(first.port), first.more[3])
        for redis in self.all:
            until(lambda redis=redis: self.is_whole(redis))
        slot = int(first.ask("CLUSTER", "KEYSLOT", self.room))
        self.owner = self.masters[min(slot * 3 // 16384, 2)]
        assert self.slots_begin(self.owner) <= slot
        self.replica.ask("CLUSTER", "REPLICATE", self.owner.ask("CLUSTER", "MYID"))
        until(self.has_all)

    @staticmethod
    def is_whole(redis):
        info = redis.ask("CLUSTER", "INFO")
        return "cluster_state:ok" in info and "cluster_known_nodes:4" in info

    @staticmethod
    def slots_begin(redis):
        return int(next(line for line in redis.ask("CLUSTER", "NODES").splitlines()
                        if "myself" in line).split(" ")[8].split("-")[0])

    def has_all(self):
        """Whether the replica has what its master has."""
        def offset(redis, name):
            fields = dict(line.strip().split(":", 1) for line
                          in redis.ask("INFO", "replication").splitlines() if ":" in line)
            return fields.get("master_link_status", "up") == "up" and fields.get(name)
        return (offset(self.replica, "slave_repl_offset")
                == offset(self.owner, "master_repl_offset"))

    def fail_over(self):
        """The master of the room dies, and its replica takes its place."""
        until(self.has_all)
        self.owner.kill()
        assert self.replica.ask("CLUSTER", "FAILOVER", "TAKEOVER") == "OK"

    def end(self):
        for redis in self.all:
            redis.end()


class Nats(Broker):
    """With JetStream."""

    ready = "Server is ready"

    def command(self):
        program = shutil.which("nats-server", path=os.environ["PATH"] + ":/usr/sbin")
        return [program, "--addr", self.host, "--port", str(self.port), "--jetstream",
                "--store_dir", str(self.dir / "jetstream")]

    @property
    def url(self):
        return f"nats://{self.host}:{self.port}"


class Member(Client):
    """One with wsock.rooms.v1, that has heard all messages of a room up to its position."""

    def __init__(self, port, name, since=None, room="lobby", host="127.0.0.1"):
        super().__init__(port, "/rooms", "wsock.rooms.v1", host=host)
        self.name, self.room, self.heard, self.answers = name, room, [], {}
        self.position, self.aways, self.epochs, self.times = None, [], 0, []
        if self.status != 101:
            raise Closed(self.status)
        self.put(type="hello", name=name)
        welcome = self.take("welcome")
        assert welcome["v"] == 1
        self.identity = welcome["identity"]
        self.put(type="join", room=room, **({"since": since} if since else {}))
        self.joined = self.take("joined")
        recovers = self.joined["recovered"]
        self.position = since if recovers else self.joined.get("position")

    def put(self, **frame):
        self.send(TEXT, json.dumps(frame))

    def read_next(self):
        """The next frame; of a message, and of an answer, it takes note."""
        message = self.receive_message()
        if not isinstance(message, str):
            raise Closed(message)
        frame = json.loads(message)
        if frame.get("type") == "msg":
            self.follow(frame)
        if frame.get("type") == "away":
            self.aways.append(frame)
        if "re" in frame:
            self.answers[frame["re"]] = frame
        return frame

    def take(self, kind):
        """The next frame of a kind."""
        while (frame := self.read_next()).get("type") != kind:
            assert "err" not in frame or frame["re"] is not None, (frame, kind)
        return frame

    def see(self, change, member):
        """Be told that somebody has joined or left, wherever that was."""
        while member.identity not in self.take("presence").get(change, ()):
            pass

    def publish(self, data, **more):
        self.put(type="pub", room=self.room, data=data, **more)

    def follow(self, frame):
        """A message comes behind the one before it, with none between them, or begins
        another epoch."""
        if self.position is not None:
            if frame["epoch"] != self.position["epoch"]:
                self.epochs += 1
            else:
                assert frame["prev"] == self.position["offset"], (frame, self.position)
            self.position = {"epoch": frame["epoch"], "offset": frame["offset"]}
        self.heard.append(frame["data"])
        self.times.append(frame["time"])

    def hear(self, last):
        """Messages without a gap, until one says that. @return all of them"""
        while not self.heard or self.heard[-1] != last:
            self.read_next()
        return self.heard

    def say_until_kept(self, number):
        """Numbers, until the broker has one, and it is heard: what was on its way to one that
        died may be lost. @return the last number"""
        for number in itertools.count(number):
            self.publish(number, id=number)
            if "ok" in self.answer(number):
                self.hear(number)
                return number

    def answer(self, number):
        """@return what came of the frame with that id."""
        while number not in self.answers:
            self.read_next()
        return self.answers[number]


class Cluster(unittest.TestCase):
    """Nodes on a broker."""

    make_broker = Redis
    options = ("--set", "cluster_beat=200ms")

    def setUp(self):
        self.broker = self.make_broker()
        self.addCleanup(self.broker.end)
        self.broker.start()
        self.dir = pathlib.Path(self.enter(tempfile.TemporaryDirectory()))
        self.nodes = 0

    @property
    def url(self):
        """Where nodes find it."""
        return self.broker.url

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def node(self, *args, **more):
        """One that may be killed; who is left ends with the test, and well."""
        self.nodes += 1
        admin = f"unix:{self.dir}/{self.nodes}"
        serve = Serve("--cluster", self.url, "--admin", admin, *self.options, *args, **more)
        serve.__enter__()
        serve.admin = admin
        self.assertEqual(serve.line(), f"admin at {admin}")
        self.addCleanup(lambda: serve.popen.poll() is None and serve.__exit__(None))
        return serve

    def member(self, node, name, **more):
        member = Member(node if isinstance(node, int) else node.port, name, **more)
        self.addCleanup(member.sock.close)
        return member

    @staticmethod
    def cluster_of(node):
        """@return what it says of its cluster."""
        connection = UnixConnection(node.admin.removeprefix("unix:"))
        connection.request("POST", "/info", "{}")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer["ok"]["cluster"]

    def listed(self, node):
        """@return the nodes of its cluster; None while the broker does not answer."""
        result = run("cluster", "nodes", "--json", "--admin", node.admin)
        if result.returncode != 0:
            self.assertIn("broker", result.stderr)
            return None
        return json.loads(result.stdout)["nodes"]

    def until_unlisted(self, node):
        """Until it has noticed that the broker is away."""
        until(lambda: self.listed(node) is None, "the broker stays")

    def until_listed(self, node, look):
        """Until it holds of the list. @return the list"""
        seen = []

        def asked():
            seen[:] = [self.listed(node)]
            return seen[0] is not None and look(seen[0])
        until(asked, lambda: f"its list of nodes stays {seen}")
        return seen[0]
