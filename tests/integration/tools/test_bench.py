# SPDX-License-Identifier: MIT
"""`wsock bench`: what it counts, and what it calls an error."""

import itertools
import json
import signal
import socket
import threading
import unittest

from tool import TIMEOUT, Process, Serve, run
from ws_peer import CLOSE, Server


class Load(unittest.TestCase):
    def bench(self, url, *args):
        result = run("bench", url, "--json", *args)
        report = json.loads(result.stdout) if result.stdout else None
        return result.returncode, report, result.stderr

    def test_an_echo_is_measured(self):
        with Serve() as serve:
            status, report, err = self.bench(serve.url + "/echo", "--connections", "20",
                                             "--depth", "4", "--payload", "100",
                                             "--seconds", "0.5", "--workers", "2")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(report["connections"], 20)
        self.assertEqual(report["errors"]["total"], 0)
        self.assertGreater(report["messages"], 100)
        self.assertGreaterEqual(report["sent"], report["messages"])
        self.assertLessEqual(report["sent"] - report["messages"], 20 * 4 + 100)
        self.assertAlmostEqual(report["messages_per_second"],
                               report["messages"] / report["seconds"], delta=1)
        latency = report["latency_us"]
        values = [latency[k] for k in ("p50", "p90", "p99", "p99_9", "max")]
        self.assertEqual(values, sorted(values))
        self.assertGreater(values[0], 0)

    def test_a_room_delivers_every_message_to_all(self):
        with Serve() as serve:
            status, report, _ = self.bench(serve.url + "/rooms/load", "--fanout",
                                           "--connections", "10", "--seconds", "0.5", "--text")
        self.assertEqual((status, report["errors"]["total"]), (0, 0))
        self.assertGreater(report["messages"], report["sent"] * 5)

    def test_empty_messages_can_be_measured(self):
        with Serve() as serve:
            status, report, _ = self.bench(serve.url + "/echo", "--payload", "0",
                                           "--connections", "2", "--seconds", "0.2")
        self.assertEqual((status, report["errors"]["total"]), (0, 0))

    def test_what_was_agreed_is_told_and_whether_it_had_anything_to_do(self):
        with Serve() as serve:
            for payload, is_small in (("32", True), ("2KiB", False)):
                args = (serve.url + "/echo", "-c", "1", "-t", "0.2", "--compressed", "-p", payload)
                out = run("bench", *args).stdout
                self.assertIn("permessage-deflate", out)
                self.assertEqual("below compression_min_bytes" in out, is_small)
                status, report, _ = self.bench(*args)
                self.assertEqual((status, report["errors"]["total"]), (0, 0))
                self.assertIn("permessage-deflate", report["extensions"])
                self.assertEqual(report["payload_bytes"], 2048 if payload == "2KiB" else 32)
            _, report, _ = self.bench(serve.url + "/echo", "-c", "1", "-t", "0.1")
            self.assertEqual(report["extensions"], "")

    def test_a_payload_above_the_servers_limit_is_named(self):
        with Serve("--set", "max_message_bytes=4MiB") as serve:
            status, report, _ = self.bench(serve.url + "/echo", "-c", "1", "-t", "0.2", "-p", "3M")
            self.assertEqual((status, report["errors"]["total"]), (0, 0))
        with Serve() as serve:
            status, report, _ = self.bench(serve.url + "/echo", "-c", "1", "-t", "1", "-p", "2MiB")
        self.assertEqual((status, report["errors"]["connections"]), (1, 1))
        self.assertRegex(report["errors"]["first"],
                         "1009: .*max_message_bytes.*--payload 2097152 is more than the server")

    def test_the_report_for_people_has_the_percentiles(self):
        with Serve() as serve:
            result = run("bench", serve.url + "/echo", "--connections", "2", "--seconds", "0.2")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("p50", "p90", "p99", "p99.9", "/s", "errors     0"):
            self.assertIn(word, result.stdout)

    def test_a_signal_ends_it_with_what_it_has(self):
        runs = threading.Event()

        def echo(conn):
            conn.accept()
            for count in itertools.count():
                opcode, payload = conn.receive()
                conn.send(opcode, payload)
                if count == 100:
                    runs.set()
                if opcode == CLOSE:
                    return

        with Server(echo) as server:
            process = Process("bench", server.url, "--json", "--seconds", "600",
                              "--connections", "4")
            self.assertTrue(runs.wait(TIMEOUT))
            process.signal(signal.SIGINT)
            status, out, _ = process.finish()
        report = json.loads(out)
        self.assertEqual((status, report["interrupted"]), (0, True))
        self.assertEqual(report["errors"]["total"], 0)
        self.assertGreater(report["messages"], 100)
        self.assertLess(report["seconds"], 60)

    def test_1_when_nothing_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        status, report, _ = self.bench(f"ws://127.0.0.1:{port}/", "--connections", "3",
                                       "--seconds", "0.2")
        self.assertEqual((status, report["errors"]["connections"]), (1, 3))
        self.assertIn("refused", report["errors"]["first"].lower())
        self.assertIsNone(report["latency_us"])

    def test_1_when_answers_are_wrong_or_missing(self):
        def wrong(conn):
            conn.accept()
            while True:
                opcode, payload = conn.receive()
                conn.send(opcode, payload if opcode == CLOSE else b"x" * len(payload))
                if opcode == CLOSE:
                    return

        with Server(wrong) as server:
            status, report, _ = self.bench(server.url, "--connections", "1", "--seconds", "0.2")
        self.assertEqual((status, report["errors"]["wrong"]), (1, 1))

        def silent(conn):
            conn.accept()
            while True:
                opcode, payload = conn.receive()
                if opcode == CLOSE:
                    conn.send(opcode, payload)
                    return

        with Server(silent) as server:
            status, report, _ = self.bench(server.url, "--connections", "2", "--seconds", "0.2")
        self.assertEqual((status, report["errors"]["missing"]), (1, 2))

    def test_1_when_answers_come_with_the_close_only(self):
        def late(conn):
            conn.accept()
            kept = []
            while True:
                kept.append(conn.receive())
                if kept[-1][0] == CLOSE:
                    for frame in kept:
                        conn.send(*frame)
                    return

        with Server(late) as server:
            status, report, _ = self.bench(server.url, "--connections", "2", "--depth", "3",
                                           "--seconds", "0.2")
        self.assertEqual((status, report["messages"], report["errors"]["missing"]), (1, 0, 6))

    def test_1_when_connections_are_lost(self):
        def drops(conn):
            conn.accept()
            conn.receive()
            conn.abort()

        with Server(drops) as server:
            status, report, _ = self.bench(server.url, "--connections", "2", "--seconds", "5")
        self.assertEqual((status, report["errors"]["connections"]), (1, 2))
        self.assertLess(report["seconds"], 4, "it does not go on alone")


if __name__ == "__main__":
    unittest.main()
