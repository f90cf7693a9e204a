# SPDX-License-Identifier: MIT
"""HAProxy in front of two nodes, which are drained and started again one after the other while
somebody talks: no client of a room with a history loses a message or hears one twice."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import unittest

from cluster import Closed, Cluster, Member, free_port, until
from tool import TIMEOUT

CLIENTS = 6
HAPROXY = """
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    retries 10
    option redispatch 1
frontend in
    bind fd@{fd}
    default_backend nodes
backend nodes
    balance roundrobin
    default-server check inter 100ms rise 1 fall 1
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two}
"""


class HAProxy:
    def __init__(self, folder, one, two):
        self.folder, self.ports = folder, {"one": one, "two": two}

    def __enter__(self):
        # The kernel keeps connections for it until it is ready.
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.set_inheritable(True)
        self.port = self.listener.getsockname()[1]
        config = self.folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(fd=self.listener.fileno(), **self.ports))
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        with open(self.folder / "haproxy.log", "wb") as log:
            self.process = subprocess.Popen([program, "-db", "-f", str(config)], stdout=log,
                                            stderr=log, pass_fds=[self.listener.fileno()])
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(TIMEOUT)
        self.listener.close()


class Steady(threading.Thread):
    """Follows the room by way of the proxy until it hears "end", and comes back as often as it
    is sent away."""

    def __init__(self, port, name):
        super().__init__(name=name, daemon=True)
        self.port, self.position = port, None
        self.heard, self.ends, self.failure = [], [], None
        self.is_there = threading.Event()
        self.start()

    def run(self):
        try:
            while "end" not in self.heard[-1:]:
                self.follow()
        except Exception as error:  # pylint: disable=broad-except; the test tells it
            self.failure = error
        self.is_there.set()

    def follow(self):
        member = None
        try:
            member = Member(self.port, self.name, since=self.position)
            if self.position is not None:
                assert member.joined["recovered"], (member.joined, self.position)
            self.is_there.set()
            member.hear("end")
        except (Closed, EOFError, ConnectionError) as error:
            self.ends.append((str(error), member.aways if member else None))
        if member:
            self.heard += member.heard
            self.position = member.position
            member.sock.close()


class Drain(Cluster):
    options = (*Cluster.options, "--history", "100000")

    def setUp(self):
        super().setUp()
        self.ports = [free_port(), free_port()]
        self.proxy = self.enter(HAProxy(self.dir, *self.ports))
        self.said = 0

    def start(self, which):
        return self.node(urls=(f"ws://127.0.0.1:{self.ports[which]}",))

    def say_until(self, speaks, look):
        """Each when the one before is stored."""
        def said():
            speaks.publish(self.said)
            speaks.hear(self.said)
            self.said += 1
            return look()
        until(said)

    def drain(self, node, speaks):
        node.signal(signal.SIGTERM)
        self.say_until(speaks, lambda: node.popen.poll() is not None)
        self.assertEqual(node.finish()[0], 0)

    def count(self, node):
        return {n["self"]: n["connections"] for n in self.listed(node) or ()}

    def test_nobody_loses_a_message_when_nodes_are_drained(self):
        one, two = self.start(0), self.start(1)
        speaks = self.member(two, "Sue")
        clients = [Steady(self.proxy.port, f"c{number}") for number in range(CLIENTS)]
        for client in clients:
            self.assertTrue(client.is_there.wait(2 * TIMEOUT), client.name)
        first = {client.name: len(client.heard) for client in clients}
        self.assertEqual(set(first.values()), {0})
        self.say_until(speaks, lambda: self.said == 20)
        self.drain(one, speaks)
        self.say_until(speaks, lambda: self.count(two).get(True) == CLIENTS + 1)
        one = self.start(0)
        after = [Steady(self.proxy.port, "after0")]

        def reached():
            if (self.count(two).get(False) or 0) > 0:
                return True
            after.append(Steady(self.proxy.port, f"after{len(after)}"))
            return after[-1].is_there.wait(2 * TIMEOUT) and False
        self.say_until(speaks, reached)
        moved = self.member(one, "Sam")
        speaks.sock.close()
        self.drain(two, moved)
        self.say_until(moved, lambda: self.count(one).get(True) == CLIENTS + len(after) + 1)
        moved.publish("end")
        for client in (*clients, *after):
            client.join(2 * TIMEOUT)
            self.assertFalse(client.is_alive(), (client.name, client.ends))
            self.assertIsNone(client.failure, client.ends)
        for client in clients:
            self.assertEqual(client.heard, [*range(self.said), "end"])
            # All were told before, and told to come back.
            self.assertGreaterEqual(len(client.ends), 1)
            self.assertEqual({away["reconnect"] for _, aways in client.ends
                              for away in aways or ()}, {True})
        for client in after:
            self.assertEqual(client.heard, [*range(client.heard[0], self.said), "end"])


if __name__ == "__main__":
    unittest.main()
