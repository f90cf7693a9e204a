# SPDX-License-Identifier: MIT
"""Several `wsock serve --cluster` over a Redis and a NATS that the test starts: what is said on
one is heard on the others, also when one of them is killed, and when the broker goes and comes."""

import itertools
import json
import os
import select
import signal
import time
import unittest

from cluster import Closed, Cluster, Nats, until
from tool import TIMEOUT, Serve, run
from ws_peer import TEXT, Client


class Nodes(Cluster):
    options = ()

    def raw(self, node):
        client = Client(node.port, "/rooms/lobby")
        self.addCleanup(client.sock.close)
        return client

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
        for number in range(5):
            speaker.publish(number)
        self.assertEqual(hearer.hear(4), list(range(5)))
        one.signal(signal.SIGKILL)
        self.assertEqual(one.finish()[0], -signal.SIGKILL)
        for number in range(5, 20):
            speaker.publish(number)
        speaker.hear(19)  # what comes back to who said it is stored
        back = self.member(two, "Hal", since=hearer.position)
        self.assertTrue(back.joined["recovered"], (back.joined, hearer.position))
        self.assertEqual(back.hear(19), list(range(5, 20)))

    def test_without_the_broker_each_goes_on_alone(self):
        one, two = self.node(), self.node()
        speaker, near, far = self.raw(one), self.raw(one), self.raw(two)
        last, _ = self.say_until_heard(speaker, far, 0)
        self.broker.kill()
        speaker.send(TEXT, str(last + 1))
        self.assertEqual([int(near.receive_message()) for _ in range(last + 2)],
                         list(range(last + 2)))
        self.broker.start()
        self.say_until_heard(speaker, far, last + 2)

    def test_nodes_are_listed_with_their_connections(self):
        one = self.node("--set", "cluster_name=one\u009b1m", *Cluster.options)
        two = self.node("--set", "cluster_name=two", *Cluster.options)
        clients = [self.raw(two) for _ in range(2)]
        listed = self.until_listed(
            one, lambda nodes: [node["connections"] for node in nodes] == [0, 2])
        self.assertEqual([node["name"] for node in listed], ["one\u009b1m", "two"])
        self.assertEqual([node["self"] for node in listed], [True, False])
        table = run("cluster", "nodes", env={**os.environ, "WSOCK_ADMIN": one.admin})
        self.assertEqual((table.returncode, table.stderr), (0, ""))
        self.assertEqual(table.stdout, "      0 {} * one?1m\n      2 {}   two\n".format(
            *(node["id"] for node in listed)))
        for client in clients:
            client.sock.close()
        self.until_listed(two, lambda nodes: [node["connections"] for node in nodes] == [0, 0])

    def test_without_a_cluster_or_a_broker_no_nodes_are_listed(self):
        one = self.node(*Cluster.options)
        self.until_listed(one, lambda nodes: len(nodes) == 1)
        self.broker.kill()
        until(lambda: "the broker is away" in self.refusal(one.admin))
        with Serve("--admin", f"unix:{self.dir}/alone") as alone:
            self.assertIn("in no cluster", self.refusal(alone.line().removeprefix("admin at ")))
        for args in ((), ("rooms",), ("nodes", "nodes")):
            with self.subTest(args=args):
                self.assertEqual(run("cluster", *args, "--admin", one.admin).returncode, 2)

    def admin(self, node, *args):
        return run(*args, env={**os.environ, "WSOCK_ADMIN": node.admin})

    def test_published_messages_are_told_where_they_are_kept(self):
        one, two = self.node("--history", "9"), self.node("--history", "9")
        member = self.member(one, "ann")
        for node in (one, two, two, one):
            result = self.admin(node, "publish", "lobby", "text")
            self.assertEqual(result.returncode, 0, result.stderr)
            member.take("msg")
            self.assertEqual(json.loads(result.stdout)["position"], member.position)
        self.until_listed(one, lambda nodes: len(nodes) == 2)
        self.broker.kill()
        self.until_unlisted(one)
        result = self.admin(one, "publish", "lobby", "text")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("refused: the broker ", result.stderr)

    def test_who_is_kicked_on_another_server_is_told_of_as_such(self):
        one, two = self.node(), self.node()
        ann, bob = self.member(two, "ann"), self.member(two, "bob")
        self.until_listed(one, lambda nodes: sorted(n["connections"] for n in nodes) == [0, 2])
        result = self.admin(one, "kick", "ann", "--room", "lobby")
        self.assertEqual((result.returncode, result.stdout), (0, "0\n"))
        self.assertIn("the others of its cluster are told", result.stderr)
        self.assertEqual(ann.take("left")["reason"], "kicked")
        result = self.admin(one, "kick", "bob")
        self.assertEqual((result.returncode, result.stdout), (0, "0\n"))
        with self.assertRaises(Closed):
            bob.take("nothing")
        result = self.admin(two, "kick", "ann")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "1\n", ""))
        self.broker.kill()
        self.until_unlisted(one)
        result = self.admin(one, "kick", "bob")
        self.assertEqual((result.returncode, result.stdout), (1, "0\n"))
        self.assertIn("the broker is away", result.stderr)

    def refusal(self, admin):
        result = run("cluster", "nodes", "--admin", admin)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        return result.stderr

    def test_a_bad_url_is_refused_without_its_password(self):
        for url in ("redis://:secret@", "redis://:secret@h:99999", "gopher://:secret@h"):
            with self.subTest(url):
                result = run("serve", "ws://127.0.0.1:0", "--cluster", url)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn("cluster", result.stderr)
                self.assertNotIn("secret", result.stderr)


@unittest.skipUnless(os.environ.get("NATS"), "this build has no NATS")
class NodesOverNats(Nodes):
    make_broker = Nats


if __name__ == "__main__":
    unittest.main()
