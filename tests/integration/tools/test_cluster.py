# SPDX-License-Identifier: MIT
"""Several `wsock serve --cluster` over a Redis that the test starts: what is said on one is
heard on the others, also when one of them is killed, and when the broker goes and comes."""

import itertools
import json
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from tool import TIMEOUT, Serve, run
from ws_peer import TEXT, Client


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Redis:
    """A broker without a disk, on a port that stays its own."""

    def __init__(self):
        self.port = free_port()
        self.place = tempfile.TemporaryDirectory()
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
             "--appendonly", "no"], cwd=self.place.name, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "eady to accept connections" in line:
                return
        raise AssertionError("redis-server does not start")

    def stop(self):
        self.process.kill()
        self.process.wait(TIMEOUT)
        self.process.stdout.close()

    def end(self):
        if self.process.poll() is None:
            self.stop()
        self.place.cleanup()


class Member(Client):
    """One with wsock.rooms.v1."""

    def __init__(self, node, name, **join):
        super().__init__(node.port, "/rooms", "wsock.rooms.v1")
        self.put(type="hello", name=name)
        assert self.take("welcome")["v"] == 1
        self.put(type="join", room="lobby", **join)
        self.joined = self.take("joined")

    def put(self, **frame):
        self.send(TEXT, json.dumps(frame))

    def take(self, kind):
        """The next frame of a kind."""
        while True:
            frame = json.loads(self.receive_message())
            if frame["type"] == kind:
                return frame


class Nodes(unittest.TestCase):
    def setUp(self):
        self.redis = Redis()
        self.addCleanup(self.redis.end)
        self.redis.start()

    def node(self, *args):
        serve = Serve("--cluster", f"redis://127.0.0.1:{self.redis.port}", *args)
        serve.__enter__()
        self.addCleanup(lambda: serve.popen.poll() is None and serve.__exit__(None))
        return serve

    def raw(self, node):
        client = Client(node.port, "/rooms/lobby")
        self.addCleanup(client.sock.close)
        return client

    def member(self, node, name, **join):
        member = Member(node, name, **join)
        self.addCleanup(member.sock.close)
        return member

    def say_until_heard(self, says, hears, first):
        """Numbers, until one comes across: the broker may not have subscribed the other node
        yet, or not have come back. @return (said last, heard first)"""
        end = time.monotonic() + 3 * TIMEOUT
        for number in itertools.count(first):
            says.send(TEXT, str(number))
            if select.select([hears.sock], [], [], 0.2)[0]:
                return number, int(hears.receive_message())
            self.assertLess(time.monotonic(), end, "nothing comes across")

    def test_what_is_said_on_one_is_heard_once_on_each(self):
        one, two, three = self.node(), self.node(), self.node()
        speaker, near, far, farther = (self.raw(n) for n in (one, one, two, three))
        last, heard = self.say_until_heard(speaker, far, 0)
        more, heard_farther = self.say_until_heard(speaker, farther, last + 1)
        speaker.send(TEXT, str(more + 1))
        for client, first in ((near, 0), (speaker, 0), (far, heard + 1),
                              (farther, heard_farther + 1)):
            said = [int(client.receive_message()) for _ in range(first, more + 2)]
            self.assertEqual(said, list(range(first, more + 2)))

    def test_who_comes_to_another_node_recovers(self):
        one, two = self.node("--history", "100"), self.node("--history", "100")
        speaker, hearer = self.member(two, "Sue"), self.member(one, "Hal")
        position = dict(hearer.joined["position"])
        for number in range(5):
            speaker.put(type="pub", room="lobby", data=number)
        for number in range(5):
            message = hearer.take("msg")
            self.assertEqual((message["data"], message["prev"]), (number, position["offset"]))
            position["offset"] = message["offset"]
        one.signal(signal.SIGKILL)
        self.assertEqual(one.finish()[0], -signal.SIGKILL)
        for number in range(5, 20):
            speaker.put(type="pub", room="lobby", data=number)
        # All of it is stored when it comes back to who said it.
        while speaker.take("msg")["data"] != 19:
            pass
        back = self.member(two, "Hal", since=position)
        self.assertTrue(back.joined["recovered"], (back.joined, position))
        self.assertEqual([back.take("msg")["data"] for _ in range(5, 20)], list(range(5, 20)))

    def test_without_the_broker_each_goes_on_alone(self):
        one, two = self.node(), self.node()
        speaker, near, far = self.raw(one), self.raw(one), self.raw(two)
        last, _ = self.say_until_heard(speaker, far, 0)
        self.redis.stop()
        speaker.send(TEXT, str(last + 1))
        self.assertEqual([int(near.receive_message()) for _ in range(last + 2)],
                         list(range(last + 2)))
        self.redis.start()
        self.say_until_heard(speaker, far, last + 2)

    def test_a_bad_url_is_refused_without_its_password(self):
        for url in ("redis://:secret@", "redis://:secret@h:99999", "gopher://:secret@h"):
            with self.subTest(url):
                result = run("serve", "ws://127.0.0.1:0", "--cluster", url)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn("cluster", result.stderr)
                self.assertNotIn("secret", result.stderr)


if __name__ == "__main__":
    unittest.main()
