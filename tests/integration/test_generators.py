# SPDX-License-Identifier: MIT
"""The load generators of bench/, each for a moment: they count what they are told to, and
notice what is wrong."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import brokers

BENCH = os.environ["BENCH"]
REDIS = os.environ.get("REDIS")
CERTIFICATE = os.environ.get("CERTIFICATES", "") + "/together.pem"
TIMEOUT = 60  # seconds; what takes so long has failed
WINDOW = ("--warmup", "0.02", "--seconds", "0.1")


def program(name):
    return os.path.join(BENCH, name)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class EchoServer:
    """From the block's begin to its end. Another program may take the free port first."""

    def __init__(self, *args, scheme="ws", url=None):
        self.command = [program("echo_server"), *args]
        self.scheme, self.wanted = scheme, url

    def __enter__(self):
        for _ in range(5):
            self.url = self.wanted or f"{self.scheme}://127.0.0.1:{free_port()}"
            self.process = subprocess.Popen([*self.command, self.url], stdout=subprocess.PIPE,
                                            text=True)
            if self.process.stdout.readline() == "ready\n":
                return self
            self.__exit__()
        raise AssertionError("the server does not start")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=TIMEOUT)


def run(name, *args):
    return subprocess.run([program(name), *args], capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)


class Generators(unittest.TestCase):
    def result(self, name, *args):
        done = run(name, "--json", *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def test_load_counts_messages_or_measures_a_window(self):
        with EchoServer() as server:
            some = ("--connections", "3", "--depth", "2", "--payload", "300", server.url + "/echo")
            exact = self.result("load", "--messages", "60", *some)
            self.assertEqual((exact["messages"], exact["server_cpu_seconds"]), (60, None))
            window = self.result("load", *WINDOW, "--pid", str(server.process.pid), *some)
            self.assertGreater(window["messages"], 0)
            self.assertGreater(window["server_cpu_seconds"], 0)
            self.assertLess(0.09, window["seconds"])

    def test_with_fan_out_all_receive_what_one_sends(self):
        with EchoServer() as server:
            some = ("--fan-out", "--connections", "5", "--depth", "3", server.url + "/room")
            self.assertEqual(self.result("load", "--messages", "150", *some)["messages"], 150)
            self.assertGreater(self.result("load", *WINDOW, *some)["messages"], 0)
            alone = run("load", "--connections", "5", "--messages", "50", server.url + "/room")
        self.assertEqual(alone.returncode, 1)  # they get what the others send, too
        self.assertIn("a reply differs from what was sent", alone.stderr)

    def test_a_crowd_hears_each_publisher_in_order(self):
        shape = ("--members", "20", "--publishers", "7", "--depth", "3", "--payload", "9")
        with EchoServer() as server:
            heard = self.result("crowd", *WINDOW, "--pid", str(server.process.pid), *shape,
                                server.url + "/room")
            with subprocess.Popen([program("crowd"), "--seconds", "9", *shape,
                                   server.url + "/room"], stderr=subprocess.PIPE,
                                  text=True) as others:
                run("crowd", *WINDOW, "--payload", "10", server.url + "/room")
                strange = others.communicate(timeout=TIMEOUT)[1]
        self.assertEqual((heard["members"], heard["publishers"]), (20, 7))
        self.assertGreater(heard["deliveries"], 20)
        self.assertGreater(heard["server_cpu_seconds"], 0)
        self.assertIn("a message is not one of those that were published", strange)

    def test_nodes_time_what_comes_to_members_of_others(self):
        some = ("--members", "12", "--publishers", "3", "--rate", "400")
        with EchoServer() as server:
            # One server by two names stands for two that share a room.
            both = ",".join([server.url + "/room"] * 2)
            heard = self.result("nodes", *WINDOW, *some, both)
            lost = self.result("nodes", *WINDOW, *some, both.replace("room", "echo"))
        self.assertEqual((heard["nodes"], heard["wrong"]), (2, 0))
        self.assertEqual(heard["deliveries"], heard["due"])
        self.assertEqual(heard["near"]["count"] + heard["far"]["count"], heard["due"])
        self.assertGreater(heard["far"]["p99_us"], 0)
        self.assertEqual(lost["far"]["count"], 0)  # they come to nobody else there
        self.assertLess(lost["deliveries"], lost["due"])

    def test_joins_and_leaves_are_counted(self):
        with EchoServer() as server:
            some = ("--connections", "6", "--rooms", "2", "--depth", "3")
            counted = self.result("joins", *WINDOW, "--pid", str(server.process.pid), *some,
                                  server.url + "/rooms")
        with EchoServer("--set", "max_rooms=1") as full:
            refused = run("joins", *WINDOW, *some, full.url + "/rooms")
        self.assertGreater(counted["joins"], 0)
        self.assertEqual((counted["connections"], counted["rooms"]), (6, 2))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("too_many", refused.stderr)

    def come_back(self, meanwhile):
        """What becomes of a crowd whose server is killed and started again."""
        with contextlib.ExitStack() as stack:
            broker = stack.enter_context(brokers.running("redis"))
            some = ("--set", f"cluster={broker.url}", "--set", "history_messages=100")
            other = stack.enter_context(EchoServer(*some))
            node = stack.enter_context(EchoServer(*some))
            crowd = stack.enter_context(subprocess.Popen(
                [program("comeback"), "--json", "--members", "30", "--in-flight", "4", "--missed",
                 "5", f"{node.url}/rooms,{other.url}/rooms"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            self.assertEqual(crowd.stdout.readline(), "ready\n")
            node.process.kill()
            self.assertEqual(crowd.stdout.readline(), "published\n")
            node.process.wait(TIMEOUT)
            meanwhile(broker)
            again = stack.enter_context(EchoServer(*some, url=node.url))
            told, failed = crowd.communicate(f"{again.process.pid} {broker.pid}\n", TIMEOUT)
        return crowd.returncode, told, failed

    @unittest.skipUnless(REDIS, "a build without Redis or rooms.v1")
    def test_a_crowd_comes_back_to_what_it_missed(self):
        status, told, failed = self.come_back(lambda broker: None)
        self.assertEqual((status, failed), (0, ""))
        result = json.loads(told)
        # Of 10 messages before, three have heard one, three two, and so on, and 5 are said meanwhile.
        self.assertEqual((result["missed"], result["came"]), (30 // 10 * sum(range(5, 15)),) * 2)
        self.assertGreater(result["server_cpu_seconds"], 0)

    @unittest.skipUnless(REDIS, "a build without Redis or rooms.v1")
    def test_a_crowd_notices_that_it_lost_something(self):
        status, _, failed = self.come_back(lambda broker: broker.forget())
        self.assertEqual(status, 1)
        self.assertIn("a member is told that it has not recovered", failed)

    def test_load_text_inflates_what_comes_back(self):
        for mode in ("plain", "shared", "dedicated"):
            with self.subTest(mode), EchoServer("--set", f"compression={mode}" if mode != "plain"
                                                else "compression=off") as server:
                some = ("--mode", mode, "--connections", "2", "--count", "8", server.url + "/echo")
                self.assertEqual(self.result("load_text", "--verify", *some)["messages"], 16)
                self.assertGreater(self.result("load_text", *WINDOW, *some)["messages"], 0)

    @unittest.skipUnless(os.path.exists(CERTIFICATE), "a build without TLS")
    def test_handshakes_are_counted_new_and_resumed(self):
        with EchoServer("--set", f"tls_certificate={CERTIFICATE}", scheme="wss") as server:
            for kind in ((), ("--resume",), ("--tls12",), ("--tls12", "--resume")):
                with self.subTest(kind):
                    some = ("--in-flight", "2", *kind, server.url + "/echo")
                    self.assertEqual(self.result("handshakes", "--count", "6", *some)
                                     ["handshakes"], 6)
            self.assertGreater(self.result("handshakes", *WINDOW, *some)["handshakes"], 0)
            self.assertEqual(self.result("load", "--messages", "20", "--connections", "2",
                                         server.url + "/echo")["messages"], 20)

    @unittest.skipUnless(os.path.exists(CERTIFICATE), "a build without TLS")
    def test_bare_tls_counts_what_it_does(self):
        for args, what in (((), "handshakes"), (("--payload", "10", "--connections", "2"),
                                                "messages")):
            self.assertGreater(self.result("bare_tls", *WINDOW, *args, CERTIFICATE)[what], 0)

    def test_command_lines(self):
        for name in ("load", "load_text", "crowd", "nodes", "joins", "comeback", "bare_zlib"):
            with self.subTest(name):
                told = run(name, "--help")
                self.assertEqual((told.returncode, told.stderr), (0, ""))
                self.assertIn("bare_zlib" if name == "bare_zlib" else f"usage: {name}", told.stdout)
                wrong = run(name, "--nonsense")
                self.assertEqual((wrong.returncode, wrong.stdout), (2, ""))
                self.assertIn("usage: ", wrong.stderr)
                number = "--missed" if name == "comeback" else "--seconds"
                self.assertIn("malformed", run(name, number, "soon", "ws://x").stderr)
        self.assertEqual(run("load", "ws://127.0.0.1:1/", "ws://127.0.0.1:2/").returncode, 2)
        self.assertIn("the URL is missing", run("load").stderr)


if __name__ == "__main__":
    unittest.main()
