# SPDX-License-Identifier: MIT
"""A broker that is there, but sick: it stalls, talks nonsense, begins what is enormous, or has no
memory or room left. Two nodes reach it through a proxy that can do the first three to what it
passes on; and two more, whose rooms keep nothing. While it lasts nodes say so, members of one
node hear each other, and memory stays; afterwards all is as before, and no message comes twice."""

import contextlib
import itertools
import os
import pathlib
import select
import signal
import socket
import threading
import unittest

from cluster import Cluster, DurableRedis, Nats, until
from tool import resident_kib

KEPT = ("--history", "1000")
QUEUE = 1 << 20   # bytes that wait for the broker, and that it may answer, at most
BOUND = 8 << 10   # KiB that a node may grow by


class Proxy:
    """Between nodes and a broker. Each direction of each connection has a thread, that ends
    with it."""

    def __init__(self, port):
        self.broker = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.stalls, self.poisons, self.poisoned = False, None, 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=[near], daemon=True).start()

    def connect(self, near):
        with contextlib.suppress(OSError), near, socket.create_connection(self.broker) as far:
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self.pump, args=(far, near, True), daemon=True)
            back.start()
            self.pump(near, far, False)
            back.join()

    def pump(self, source, sink, answers):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self.changed:
                    self.changed.wait_for(lambda: not self.stalls)
                    if answers and self.poisons:
                        data = next(self.poisons)
                        self.poisoned += 1
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def be(self, stalls=False, poisons=None):
        """@param poisons are said in turn, for each piece of what the broker says"""
        with self.changed:
            self.stalls, self.poisoned = stalls, 0
            self.poisons = itertools.cycle(poisons) if poisons else None
            self.changed.notify_all()

    def end(self):
        self.be()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Sick(Cluster):
    options = (*Cluster.options, "--set", "cluster_timeout=1s", "--set",
               f"cluster_queue_bytes={QUEUE}", "--set", f"cluster_answer_bytes={QUEUE}")

    def setUp(self):
        self.proxy = None
        super().setUp()
        self.proxy = Proxy(self.broker.port)
        self.addCleanup(self.proxy.end)
        self.kept = [self.node(*KEPT) for _ in range(2)]
        self.plain = [self.node("--set", "cluster_prefix=plain") for _ in range(2)]
        self.nodes_of_all = (*self.kept, *self.plain)
        for node in self.nodes_of_all:
            self.until_listed(node, lambda nodes: len(nodes) == 2)
        self.speaks, self.stays = (self.member(node, "Sue") for node in self.kept)
        self.leaves = self.member(self.kept[1], "Lea")
        self.near, self.far = ([self.member(node, "Ann"), self.member(node, "Bob")]
                               for node in self.plain)
        self.numbers = itertools.count()
        self.said = []
        self.say_and_hear(5)
        self.before = [resident_kib(node.popen.pid) for node in self.nodes_of_all]

    @property
    def url(self):
        return self.broker.url.replace(str(self.broker.port), str(self.proxy.port))

    def say_and_hear(self, count):
        """In the rooms that keep messages."""
        for _ in range(count):
            self.said.append(next(self.numbers))
            self.speaks.publish(self.said[-1])
        for member in (self.speaks, self.stays, self.leaves):
            member.hear(self.said[-1])

    def until_away(self):
        """Until each node says that it has no broker, and why."""
        for node in self.nodes_of_all:
            self.until_unlisted(node)
            until(lambda node=node: self.cluster_of(node)["state"] == "away")
            self.assertTrue(self.cluster_of(node)["why"])

    def assert_near_goes_on(self):
        """Members of one node hear each other at once in rooms that keep nothing."""
        speaks, hears = self.near
        for number in (next(self.numbers) for _ in range(3)):
            speaks.publish(number)
            hears.hear(number)

    def assert_refused(self, count=1, data=""):
        """Publishing where messages are kept is answered by errors. @return their codes"""
        numbers = [next(self.numbers) for _ in range(count)]
        for number in numbers:
            self.speaks.publish([number, data], id=number)
        errors = [self.speaks.answer(number)["err"] for number in numbers]
        for error in errors:
            self.assertIn(error["code"], ("failed", "busy"))
            self.assertTrue(error["text"])
        return [error["code"] for error in errors]

    def assert_well(self):
        """It has come back: all is heard again, and once."""
        for node in self.nodes_of_all:
            self.until_listed(node, lambda nodes: len(nodes) == 2)
            until(lambda node=node: self.cluster_of(node) == {"state": "up", "why": ""})
        self.assert_far_hears()
        last = self.speaks.say_until_kept(next(self.numbers) + 1000)
        self.numbers = itertools.count(last + 1)
        heard = [str(said) for said in self.stays.hear(last)]
        self.assertEqual(heard, [str(said) for said in self.speaks.heard])
        self.assertEqual(len(set(heard)), len(heard))
        self.assertEqual((self.speaks.epochs, self.stays.epochs), (0, 0))
        self.assertEqual(heard[:len(self.said)], [str(said) for said in self.said])
        self.leaves.sock.close()
        back = self.member(self.kept[0], "Lea", since=self.leaves.position)
        self.assertTrue(back.joined["recovered"], back.joined)
        self.assertEqual([str(said) for said in (*self.leaves.heard, *back.hear(last))], heard)
        self.leaves = back
        self.leaves.heard = list(self.stays.heard)
        self.said = list(self.stays.heard)

    def assert_far_hears(self):
        """What is said in a room that keeps nothing comes to the other node once."""
        speaks, hears = self.near[0], self.far[0]
        count = len(hears.heard)
        while len(hears.heard) == count:
            speaks.publish(next(self.numbers))
            if select.select([hears.sock], [], [], 0.05)[0]:
                hears.read_next()
        last = next(self.numbers)
        speaks.publish(last)
        for member in (hears, self.far[1], speaks, self.near[1]):
            member.hear(last)
            self.assertEqual(member.heard, sorted(set(member.heard)))
        self.assertTrue(set(hears.heard) <= set(speaks.heard))

    def assert_bounded(self):
        for node, before in zip(self.nodes_of_all, self.before):
            maps = pathlib.Path(f"/proc/{node.popen.pid}/maps").read_text("utf-8")
            if "san.so" not in maps:  # sanitizers hold back what is freed
                self.assertLess(resident_kib(node.popen.pid) - before, BOUND)

    def assert_end(self, why, of=None):
        """They end as ever, and their logs say why. @param of those that have noticed, if it
        is not all"""
        self.assert_bounded()
        for member in (self.speaks, self.stays, self.leaves, *self.near, *self.far):
            member.sock.close()  # who does not answer to its closing is waited for
        for node in self.nodes_of_all:
            node.signal(signal.SIGTERM)
        for node in self.nodes_of_all:
            status, _, log = node.finish()
            self.assertEqual(status, 0, log)
            if node in (of or self.nodes_of_all):
                self.assertIn(why, log)

    def fall_ill(self, poisons):
        """The proxy says those instead of what the broker says, until nobody believes it."""
        self.proxy.be(poisons=poisons)
        self.assert_near_goes_on()
        self.until_away()
        self.assert_near_goes_on()
        self.assert_refused()
        until(lambda: self.proxy.poisoned >= 2 * len(poisons))
        self.assert_bounded()
        self.proxy.be()
        self.assert_well()


class Stalls:
    def test_a_stall_is_waited_out(self):
        self.proxy.be(stalls=True)
        self.assert_near_goes_on()
        self.assertIn("busy", self.assert_refused(200, "x" * 16384))
        self.until_away()
        self.assert_near_goes_on()
        self.assert_bounded()
        self.proxy.be()
        self.assert_well()
        self.assert_end("without the broker")


class OverRedis(Stalls, Sick):
    make_broker = DurableRedis

    def test_nonsense_is_not_believed(self):
        self.fall_ill((b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(range(256))))
        self.assert_end("no answer of Redis")

    def test_answers_to_other_questions_are_noticed(self):
        """Some are left out: those that follow would be taken for them for ever."""
        self.fall_ill((b"-ERR \xff\x1b[2J\r\n", b"*1\r\n$-1\r\n", b":1\r\n"))
        self.assert_end("without the broker")

    def test_enormous_lengths_take_no_memory(self):
        self.fall_ill((b"$9999999999\r\n", b"*999999999\r\n", b"+" + bytes(8 << 20),
                       b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$99999999\r\nx"))
        self.assert_end("cluster_answer_bytes")

    def test_without_memory_it_keeps_nothing(self):
        self.broker.ask("CONFIG", "SET", "maxmemory", "1")
        self.assert_refused()
        self.assert_far_hears()  # that takes it no memory
        self.assert_bounded()
        self.broker.ask("CONFIG", "SET", "maxmemory", "0")
        self.assert_well()
        self.assert_end("OOM", of=self.kept[:1])


class SmallNats(Nats):
    """With little room for what it keeps."""

    room = 1 << 18

    def command(self):
        config = self.dir / "config"
        config.write_text(f'jetstream {{ store_dir: "{self.dir}", max_file: {self.room} }}', "ascii")
        plain = super().command()
        return [*plain[:plain.index("--jetstream")], "--config", str(config)]


@unittest.skipUnless(os.environ.get("NATS"), "this build has no NATS")
class OverNatsWithoutRoom(Sick):
    make_broker = SmallNats

    def test_without_room_it_keeps_nothing(self):
        answer = {}
        while "err" not in answer:
            number = next(self.numbers)
            self.speaks.publish([number, "x" * 16384], id=number)
            answer = self.speaks.answer(number)
            self.assertLess(number, 100)
        self.assert_refused(data="x" * 16384)
        self.assert_far_hears()
        self.assert_bounded()
        self.broker.kill()
        self.broker.room *= 100
        self.broker.start()
        self.assert_well()
        self.assert_end("insufficient", of=self.kept[:1])


@unittest.skipUnless(os.environ.get("NATS"), "this build has no NATS")
class OverNats(Stalls, Sick):
    make_broker = Nats

    def test_nonsense_is_not_believed(self):
        self.fall_ill((b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(range(256)),
                       b"-ERR '\xff\x1b[2J'\r\n"))
        self.assert_end("without the broker")

    def test_enormous_lengths_take_no_memory(self):
        self.fall_ill((b"MSG a 1 2147483647\r\n", b"MSG a 1 99999999999\r\n",
                       b"HMSG a 1 12 99999999999999999999\r\n", b"MSG " + b"a" * (8 << 20)))
        self.assert_end("without the broker")


if __name__ == "__main__":
    unittest.main()
