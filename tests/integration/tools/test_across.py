# SPDX-License-Identifier: MIT
"""What reaches the other node, over each broker: messages, people, what is for one person, the end
of a membership and of a connection; and that a broker is asked for no room that nobody is in."""

import itertools
import json
import os
import unittest
import urllib.request

from cluster import Closed, Cluster, Nats, Redis, RedisCluster, SecretRedis, free_port, until
from tool import run


class Across:
    """Each member at a node of its own."""

    def setUp(self):
        super().setUp()
        self.one, self.two = self.node(), self.node()
        self.ann, self.bob = self.member(self.one, "Ann"), self.member(self.two, "Bob")
        for member, other in ((self.ann, self.bob), (self.bob, self.ann)):
            if other.identity not in member.joined["members"]:
                member.see("joined", other)

    def meet(self):
        """Until what is said at one node is heard at the other. @return the last number"""
        for number in itertools.count():
            self.ann.publish(number)
            self.ann.hear(number)
            self.bob.put(type="direct", identity=self.bob.identity, data="back")
            if self.next_of(self.bob)["type"] == "msg":
                return number

    @staticmethod
    def next_of(member):
        """The next message, or direct one."""
        while (frame := member.read_next()).get("type") not in ("msg", "direct"):
            assert "err" not in frame, frame
        return frame

    def test_a_message_is_heard_once_by_each_and_by_who_said_it(self):
        last = self.meet()
        for number in range(last + 1, last + 51):
            self.ann.publish(number)
        self.ann.publish("last")
        self.assertEqual(self.ann.hear("last"), [*range(last + 51), "last"])
        heard = self.bob.hear("last")
        self.assertEqual(heard[-51:], [*range(last + 1, last + 51), "last"])
        self.bob.publish("more")
        self.assertEqual(self.ann.hear("more")[-2:], ["last", "more"])

    def test_one_person_is_spoken_to(self):
        carl = self.member(self.two, "Carl")
        self.ann.put(type="direct", identity=self.bob.identity, event="hint", data={"a": 1})
        frame = self.bob.take("direct")
        self.assertEqual((frame["data"], frame["event"], frame["from"]),
                         ({"a": 1}, "hint", self.ann.identity))
        carl.put(type="direct", identity=carl.identity, data="own")
        self.assertEqual(carl.take("direct")["data"], "own")

    def test_who_is_kicked_at_another_node_leaves(self):
        result = run("kick", self.bob.identity, "--room", "lobby", "--reason", "enough",
                     "--admin", self.one.admin)
        self.assertEqual((result.returncode, result.stdout), (0, "0\n"))  # none of its own
        self.assertEqual(self.bob.take("left")["reason"], "enough")
        self.ann.see("left", self.bob)
        run("kick", self.ann.identity, "--code", "4403", "--admin", self.two.admin)
        with self.assertRaises(Closed) as closed:
            self.ann.take("none")
        self.assertEqual(closed.exception.args, (4403,))


class ByNeed(Across):
    def test_only_rooms_with_members_are_asked_for(self):
        until(lambda: self.has("lobby"))
        self.assertFalse(self.has("elsewhere"))
        self.ann.sock.close()
        self.bob.put(type="leave", room="lobby")
        self.bob.take("left")
        until(lambda: not self.has("lobby"), "the broker is asked for a room that is empty")


class OverRedis(ByNeed, Cluster):
    def has(self, room):
        return room in self.broker.ask("PUBSUB", "CHANNELS")


@unittest.skipUnless(SecretRedis.files, "this build has no TLS")
class OverTls(Across, Cluster):
    make_broker = SecretRedis
    options = (*Cluster.options, "--set", f"cluster_ca={SecretRedis.files}/root.pem")


class OverRedisCluster(ByNeed, Cluster):
    make_broker = RedisCluster

    def has(self, room):
        """At the master that has the room, as channels of shards are."""
        told = [master.ask("PUBSUB", "SHARDCHANNELS") for master in self.broker.masters]
        self.assertFalse([text for master, text in zip(self.broker.masters, told)
                          if room in text and master is not self.broker.owner])
        self.assertFalse([master for master in self.broker.masters
                          if room in master.ask("PUBSUB", "CHANNELS")])
        return any(room in text for text in told)


class OpenNats(Nats):
    """One that tells what is asked of it."""

    def __init__(self):
        super().__init__()
        self.monitor = free_port()

    def command(self):
        return [*super().command(), "--http_port", str(self.monitor)]

    def subjects(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/connz?subs=1") as answer:
            return [subject for conn in json.load(answer)["connections"]
                    for subject in conn.get("subscriptions_list", ())]


@unittest.skipUnless(os.environ.get("NATS"), "this build has no NATS")
class OverNats(ByNeed, Cluster):
    make_broker = OpenNats

    def has(self, room):
        return any(room in subject for subject in self.broker.subjects())


class SecretNats(Nats):
    """Over TLS, for who has a certificate and knows the password."""

    files = SecretRedis.files

    def command(self):
        return [*super().command(), "--tlsverify", "--tlscert", f"{self.files}/good.pem",
                "--tlskey", f"{self.files}/good.key", "--tlscacert", f"{self.files}/root.pem",
                "--user", "me", "--pass", "p@ss"]

    @property
    def url(self):
        return f"tls://me:p%40ss@localhost:{self.port}"


@unittest.skipUnless(os.environ.get("NATS") and SecretNats.files, "this build has no NATS, or TLS")
class OverSecretNats(Across, Cluster):
    make_broker = SecretNats
    options = (*Cluster.options, "--set", f"cluster_ca={SecretNats.files}/root.pem",
               "--set", f"cluster_cert={SecretNats.files}/good.pem",
               "--set", f"cluster_key={SecretNats.files}/good.key")

    def node(self, *args, **more):
        # Threads of the client library may still be ending when the process does, with what
        # OpenSSL keeps for each.
        return super().node(*args, env={**os.environ, "ASAN_OPTIONS": ":".join(
            filter(None, (os.environ.get("ASAN_OPTIONS"), "detect_leaks=0")))}, **more)


class DatabaseRedis(Redis):
    """For who knows a user and a password."""

    def command(self):
        return [*super().command(), "--user", "me", "on", ">p@ss", "~*", "&*", "+@all",
                "--user", "default", "off"]

    @property
    def url(self):
        return f"redis://me:p%40ss@{self.host}:{self.port}/3"


class OverDatabaseRedis(Across, Cluster):
    make_broker = DatabaseRedis
    options = (*Cluster.options, "--history", "100", "--set", "cluster_prefix=mine")

    def test_all_lies_in_the_database_below_the_prefix(self):
        self.ann.publish("kept")
        self.ann.hear("kept")
        told = self.broker.ask("--user", "me", "--pass", "p@ss", "-n", "3", "--no-auth-warning",
                               "KEYS", "*")
        keys = told.splitlines()
        self.assertTrue(keys)
        self.assertEqual([key for key in keys if not key.startswith("mine")], [])
        info = self.broker.ask("--user", "me", "--pass", "p@ss", "--no-auth-warning", "INFO",
                               "keyspace")
        self.assertEqual([line[:3] for line in info.splitlines()[1:] if line], ["db3"])


if __name__ == "__main__":
    unittest.main()
