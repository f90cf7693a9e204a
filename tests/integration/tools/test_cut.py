# SPDX-License-Identifier: MIT
"""A node that the network cuts off from the broker and from the other nodes, while its clients
reach it, and that is healed. Nothing tells it: packets vanish. The node has a network
namespace of its own, in one that belongs to the test; neither has a name, and both end with
it. Where none can be made the test is skipped, and says so."""

import os
import subprocess
import sys
import unittest

from cluster import Cluster, Redis, until
from tool import TIMEOUT

INSIDE = "WSOCK_TEST_HAS_A_NAMESPACE"
SKIPPED = 77
BROKER = "10.17.9.1"  # of the test's loopback, so it stays when a link goes down


def ip(*args, by=()):
    subprocess.run([*by, "ip", *args], check=True, timeout=TIMEOUT)


class Namespace:
    """Another network, with a link to the broker and one to clients. It lasts as long as the
    process that was born in it."""

    def __enter__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        own, its = "/proc/self/ns/net", f"/proc/{self.holder.pid}/ns/net"
        until(lambda: os.readlink(its) != os.readlink(own))
        self.by = ("nsenter", f"--net={its}")
        ip("link", "set", "lo", "up", by=self.by)
        for number, link in enumerate(("broker", "clients")):
            ip("link", "add", link, "type", "veth", "peer", "name", link, "netns",
               str(self.holder.pid))
            ip("address", "add", f"10.17.{number}.1/24", "dev", link)
            ip("address", "add", f"10.17.{number}.2/24", "dev", link, by=self.by)
            ip("link", "set", link, "up", by=self.by)
            ip("link", "set", link, "up")
        ip("route", "add", BROKER, "via", "10.17.0.1", by=self.by)
        return self

    def __exit__(self, *_):
        for link in ("broker", "clients"):
            ip("link", "delete", link)
        self.holder.communicate(timeout=TIMEOUT)


class Cut(Cluster):
    options = (*Cluster.options, "--set", "cluster_timeout=4s", "--history", "1000")

    def make_broker(self):
        return Redis(BROKER)

    def setUp(self):
        super().setUp()
        self.namespace = self.enter(Namespace())
        self.cut_off = self.node("--public", urls=("ws://10.17.1.2:0",), by=self.namespace.by)
        self.other = self.node()
        self.until_listed(self.other, lambda nodes: len(nodes) == 2)

    def member_there(self, name, **more):
        return self.member(self.cut_off, name, host="10.17.1.2", **more)

    def cut(self):
        """The others take it for gone."""
        ip("link", "set", "broker", "down")
        self.until_listed(self.other, lambda nodes: len(nodes) == 1)

    def cut_until_noticed(self):
        """It takes the broker for gone, too, and will connect anew. Healed before, the
        connection would go on."""
        self.cut()
        self.until_unlisted(self.cut_off)

    def heal(self):
        ip("link", "set", "broker", "up")
        self.until_listed(self.other, lambda nodes: len(nodes) == 2)

    def test_who_stays_hears_all_once_when_it_is_healed(self):
        stays, speaks = self.member_there("Sid"), self.member(self.other, "Sue")
        for number in range(5):
            speaks.publish(number)
        stays.hear(4)
        self.cut_until_noticed()
        speaks.see("left", stays)
        for number in range(5, 10):
            speaks.publish(number)
        speaks.hear(9)
        # Who leaves the node for another one has missed nothing, either.
        moves = self.member(self.other, "Mia", since=stays.position)
        self.assertTrue(moves.joined["recovered"])
        self.assertEqual(moves.hear(9), list(range(5, 10)))
        self.heal()
        speaks.see("joined", stays)
        self.assertEqual(stays.hear(9), list(range(10)))
        speaks.publish(10)
        for member in (stays, speaks, moves):
            member.hear(10)
        self.assertEqual((stays.heard, speaks.heard), (list(range(11)), list(range(11))))
        self.assertEqual(stays.position, moves.position)

    def test_what_is_said_meanwhile_waits_and_is_stored_once(self):
        speaks, hears = self.member_there("Sue"), self.member(self.other, "Hal")
        speaks.publish("before")
        for member in (hears, speaks):
            member.hear("before")
        self.cut_until_noticed()
        for number in range(20):
            speaks.publish(number, id=number)
        self.heal()
        for number in range(20):
            self.assertIn("ok", speaks.answer(number))
        speaks.publish("after")
        for member in (hears, speaks):
            self.assertEqual(member.hear("after"), ["before", *range(20), "after"])

    def test_who_comes_back_to_the_node_recovers_there(self):
        hears, speaks = self.member_there("Hal"), self.member(self.other, "Sue")
        speaks.publish("one")
        hears.hear("one")
        hears.sock.close()
        self.cut()
        speaks.publish("two")
        speaks.hear("two")
        self.heal()
        back = self.member_there("Hal", since=hears.position)
        self.assertTrue(back.joined["recovered"], back.joined)
        self.assertEqual(back.hear("two"), ["two"])


def in_a_namespace():
    """Run this program once more, in a network of its own. @return its exit status"""
    unshare = ["unshare", "--net", *(() if os.getuid() == 0 else ("--map-root-user",))]
    try:
        possible = subprocess.run([*unshare, "ip", "link", "add", "type", "veth"],
                                  capture_output=True, text=True, check=False)
        why = possible.stderr if possible.returncode != 0 else ""
    except FileNotFoundError as error:
        why = str(error)
    if why:
        print(f"SKIPPED: no network namespace can be made here: {why}")
        return SKIPPED
    return subprocess.run([*unshare, sys.executable, *sys.argv], check=False,
                          env={**os.environ, INSIDE: "1"}).returncode


if __name__ == "__main__":
    if INSIDE not in os.environ:
        sys.exit(in_a_namespace())
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{BROKER}/32", "dev", "lo")
    unittest.main()
