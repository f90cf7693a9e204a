# SPDX-License-Identifier: MIT
"""What brokers and machines do to a cluster: a broker is killed, comes back with all it had, with
an old dump, empty, or is another one; a node dies, or has the name of another. Members count what
they hear: no message twice, none left out that the broker still had."""

import os
import shutil
import signal
import time
import unittest

from cluster import Cluster, DurableRedis, Nats, Redis, RedisCluster, SecretRedis

DAY = 24 * 3600


class Durable:
    """A broker that is killed and comes back with all it had."""

    def test_a_broker_that_comes_back_has_lost_nothing(self):
        one, two = self.node(), self.node()
        speaks, stays = self.member(two, "Sue"), self.member(one, "Sid")
        leaves = self.member(one, "Lea")
        for number in range(5):
            speaks.publish(number)
        for member in (speaks, stays, leaves):
            member.hear(4)
        leaves.sock.close()
        self.broker.kill()
        self.until_unlisted(one)
        self.until_unlisted(two)
        for number in range(5, 10):
            speaks.publish(number)
        self.broker.start()
        for member in (speaks, stays):
            self.assertEqual(member.hear(9), list(range(10)))
            self.assertEqual(member.epochs, 0)
        back = self.member(two, "Lea", since=leaves.position)
        self.assertTrue(back.joined["recovered"], (back.joined, leaves.position))
        self.assertEqual(back.hear(9), list(range(5, 10)))
        for node in (one, two):
            self.until_listed(node, lambda nodes: len(nodes) == 2)

    def test_what_is_under_way_when_it_is_killed_is_heard_by_all_or_none(self):
        one, two = self.node(), self.node()
        speaks, hears = self.member(two, "Sue"), self.member(one, "Hal")
        for turn in range(3):
            for number in range(turn * 1000, turn * 1000 + 100):
                speaks.publish(number)
            hears.hear(turn * 1000)  # some are through, others are not
            self.broker.kill()
            self.broker.start()
            for node in (one, two):
                self.until_listed(node, lambda nodes: len(nodes) == 2)
            last = speaks.say_until_kept(turn * 1000 + 500)
            self.assertEqual(hears.hear(last), speaks.heard)
        self.assertEqual((hears.epochs, speaks.epochs), (0, 0))
        self.assertEqual(hears.heard, sorted(set(hears.heard)))


class DurableCase(Cluster):
    options = (*Cluster.options, "--history", "1000")


class OverRedis(Durable, DurableCase):
    make_broker = DurableRedis


@unittest.skipUnless(SecretRedis.files, "this build has no TLS")
class OverTls(Durable, DurableCase):
    make_broker = SecretRedis
    options = (*DurableCase.options, "--set", f"cluster_ca={SecretRedis.files}/root.pem")


@unittest.skipUnless(os.environ.get("NATS"), "this build has no NATS")
class OverNats(Durable, DurableCase):
    make_broker = Nats


class OverRedisCluster(DurableCase):
    make_broker = RedisCluster

    def test_a_replica_takes_the_place_of_its_master(self):
        one, two = self.node(), self.node()
        speaks, stays = self.member(two, "Sue"), self.member(one, "Sid")
        leaves = self.member(one, "Lea")
        for number in range(5):
            speaks.publish(number)
        for member in (speaks, stays, leaves):
            member.hear(4)
        leaves.sock.close()
        self.broker.fail_over()
        number = speaks.say_until_kept(5)
        self.assertEqual(stays.hear(number), speaks.heard)
        self.assertEqual((speaks.epochs, stays.epochs), (0, 0))
        back = self.member(two, "Lea", since=leaves.position)
        self.assertTrue(back.joined["recovered"], (back.joined, leaves.position))
        self.assertEqual([*range(5), *back.hear(number)], speaks.heard)


class Forgetful(DurableCase):
    """A Redis that comes back without some or all that it had."""

    def setUp(self):
        super().setUp()
        self.one, self.two = self.node(), self.node()
        self.speaks, self.stays = self.member(self.two, "Sue"), self.member(self.one, "Sid")
        self.leaves = self.member(self.one, "Lea")

    def say(self, numbers):
        for number in numbers:
            self.speaks.publish(number)
        for member in (self.speaks, self.stays, self.leaves):
            member.hear(numbers[-1])

    def come_back(self):
        """The broker has been killed, and its dump changed."""
        for node in (self.one, self.two):
            self.until_unlisted(node)
        self.leaves.sock.close()
        self.broker.start()
        for node in (self.one, self.two):
            self.until_listed(node, lambda nodes: len(nodes) == 2)

    def assert_told(self):
        """Who stayed hears that the room begins anew, before anybody says something."""
        for member in (self.speaks, self.stays):
            position = member.take("missed")["position"]
            self.assertEqual(position["offset"], 0)
            self.assertNotEqual(position["epoch"], member.position["epoch"])

    def assert_goes_on(self, before):
        """In another epoch, with nothing heard twice; who comes back is told. @param before
        what is heard before that is said"""
        self.speaks.publish("new")
        for member in (self.speaks, self.stays):
            self.assertEqual(member.hear("new"), [*before, "new"])
            self.assertEqual(member.epochs, 1)
        back = self.member(self.two, "Lea", since=self.leaves.position)
        self.assertFalse(back.joined["recovered"], back.joined)
        self.assertEqual(back.position, self.stays.position)
        self.speaks.publish("newer")
        self.assertEqual(back.hear("newer"), ["newer"])
        again = self.member(self.one, "Lea", since=back.position)
        self.assertTrue(again.joined["recovered"], again.joined)

    def test_an_old_dump_begins_an_epoch(self):
        self.say(range(5))
        self.broker.ask("SAVE")
        self.say(range(5, 10))
        self.broker.kill()
        self.come_back()
        self.assert_told()
        self.assert_goes_on(range(10))

    def test_an_empty_broker_begins_an_epoch(self):
        self.say(range(5))
        self.broker.kill()
        self.come_back()
        self.assert_told()
        self.assert_goes_on(range(5))

    def test_another_broker_in_its_place_begins_an_epoch(self):
        """One that has the same room, with more messages: nobody here has heard them yet."""
        self.say(range(5))
        own, self.broker = self.broker, Redis()
        self.addCleanup(self.broker.end)
        self.broker.start()
        stranger = self.member(self.node(), "Eve")
        for number in range(100, 150):
            stranger.publish(number)
        stranger.hear(149)
        self.broker.ask("SAVE")
        self.broker.kill()
        own.kill()
        shutil.move(self.broker.dump, own.dump)
        self.broker = own
        self.come_back()
        self.assert_goes_on([*range(5), *range(100, 150)])


@unittest.skipUnless(os.environ.get("SKEW"), "it is not built")
class Skewed(DurableCase):
    """Nodes whose clocks are a day slow and a day fast: the broker's decides."""

    options = (*DurableCase.options, "--set", "history_time=10min")

    def skewed(self, seconds):
        # The sanitizer's library is not the first of the program then.
        asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return self.node("--log-level", "info",
                         env={**os.environ, "LD_PRELOAD": os.environ["SKEW"],
                              "SKEW_SECONDS": str(seconds), "ASAN_OPTIONS": asan})

    def test_the_clocks_of_nodes_decide_nothing(self):
        slow, fast = self.skewed(-DAY), self.skewed(DAY)
        now = time.time()
        for node, skew in ((slow, -DAY), (fast, DAY)):
            said = time.strptime(node.error_line()[:19], "%Y-%m-%dT%H:%M:%S")
            self.assertAlmostEqual(time.mktime(said), now + skew, delta=3600)
        ann, bob = self.member(slow, "Ann"), self.member(fast, "Bob")
        for number in range(0, 10, 2):
            ann.publish(number)
            ann.hear(number)
            bob.publish(number + 1)
            bob.hear(number + 1)
        ann.hear(9)
        self.assertEqual((ann.heard, bob.heard), (list(range(10)), list(range(10))))
        for told in (*ann.times, *bob.times):
            self.assertAlmostEqual(told / 1000, now, delta=3600)
        # One that comes from the fast one to the slow one, and the other way about.
        for node, member in ((slow, bob), (fast, ann)):
            position = {**member.position, "offset": 3}
            back = self.member(node, member.name, since=position)
            self.assertTrue(back.joined["recovered"], back.joined)
            self.assertEqual(back.hear(9), list(range(3, 10)))
        # Beats come and are believed, and stop.
        for node in (slow, fast):
            self.until_listed(node, lambda nodes: [n["connections"] for n in nodes] == [2, 2])
        ann.sock.close()
        bob.sock.close()
        for node in (slow, fast):
            self.until_listed(node, lambda nodes: [n["connections"] for n in nodes] == [1, 1])
        fast.signal(signal.SIGKILL)
        fast.finish()
        self.until_listed(slow, lambda nodes: len(nodes) == 1)


class Nodes(DurableCase):
    def test_a_node_that_is_killed_is_gone_after_three_beats(self):
        one, two, three = (self.node("--set", f"cluster_name={name}") for name in "abc")
        self.until_listed(one, lambda nodes: [node["name"] for node in nodes] == list("abc"))
        speaks, hears = self.member(one, "Sue"), self.member(three, "Hal")
        goes = self.member(two, "Tom")
        for member in (speaks, hears):
            member.see("joined", goes)
        two.signal(signal.SIGKILL)
        self.assertEqual(two.finish()[0], -signal.SIGKILL)
        for node in (one, three):
            self.until_listed(node, lambda nodes: [node["name"] for node in nodes] == ["a", "c"])
        for member in (speaks, hears):
            member.see("left", goes)
        two = self.node("--set", "cluster_name=b")
        for node in (one, two, three):
            self.until_listed(node, lambda nodes: [node["name"] for node in nodes] == list("abc"))
        speaks.publish("still")
        self.assertEqual(hears.hear("still"), ["still"])

    def test_nodes_of_one_name_are_two(self):
        one, two = (self.node("--set", "cluster_name=same") for _ in range(2))
        listed = self.until_listed(one, lambda nodes: len(nodes) == 2)
        self.assertEqual([node["name"] for node in listed], ["same", "same"])
        self.assertEqual(len({node["id"] for node in listed}), 2)
        ann, bob = self.member(one, "Ann"), self.member(two, "Bob")
        for number in range(0, 20, 2):
            ann.publish(number)
            ann.hear(number)
            bob.publish(number + 1)
            bob.hear(number + 1)
        ann.hear(19)
        self.assertEqual((ann.heard, bob.heard), (list(range(20)), list(range(20))))
        two.signal(signal.SIGKILL)
        two.finish()
        left = self.until_listed(one, lambda nodes: len(nodes) == 1)
        self.assertEqual((left[0]["name"], left[0]["self"]), ("same", True))
        back = self.member(one, "Bob", since=bob.position)
        self.assertTrue(back.joined["recovered"])
        ann.publish("more")
        self.assertEqual(back.hear("more"), ["more"])


if __name__ == "__main__":
    unittest.main()
