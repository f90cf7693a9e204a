# SPDX-License-Identifier: MIT
"""What docs/endings.md promises, on a whole server: peers that die, vanish, or lie, and a server
that stops in mid-traffic. One test has a terminal and a Python script in one room; the
browser joins them in tests/integration/browser."""

import os
import signal
import struct
import subprocess
import sys
import threading
import unittest

from tool import Process, Serve, resident_kib
from ws_peer import BINARY, CLOSE, TEXT, Client

# A peer as a process of its own: it says that it is open, and then does nothing.
PEER = """
import sys
from ws_peer import Client
client = Client(int(sys.argv[1]), sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


class Log:
    """The server's log on its standard error."""

    def __init__(self, serve):
        self.serve = serve

    def await_line(self, text):
        while True:
            line = self.serve.error_line()
            if text in line:
                return line
            if not line:
                raise AssertionError(f"the log ended without {text!r}")


def peer_process(port, path):
    peer = subprocess.Popen([sys.executable, "-c", PEER, str(port), path],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert peer.stdout.readline() == "open\n"
    return peer


class Endings(unittest.TestCase):
    def test_a_killed_peer_is_lost_with_1006_and_leaves_its_room(self):
        with Serve("--log-level", "debug") as serve:
            with Client(serve.port, "/rooms/a", subprotocol="wsock.rooms.v1") as watcher:
                watcher.send(TEXT, '{"type": "hello", "name": "watcher"}')
                peer = peer_process(serve.port, "/rooms/a?name=victim")
                while '"joined"' not in (said := watcher.receive_message()) or \
                        "victim" not in said:
                    pass
                peer.kill()  # SIGKILL
                peer.wait()
                peer.stdin.close()
                peer.stdout.close()
                while '"left"' not in (said := watcher.receive_message()):
                    pass
                self.assertIn("victim", said)
                self.assertIn("(code 1006)", Log(serve).await_line("ended:"))

    def test_a_peer_that_vanished_ends_by_a_ping(self):
        self.vanish("the peer did not answer a ping in time", "ping_interval=200ms",
                    "pong_timeout=300ms")

    def test_without_pings_it_ends_by_the_idle_timeout(self):
        self.vanish("nothing came for the idle timeout", "ping_interval=off",
                    "idle_timeout=600ms")

    def vanish(self, told, *options):
        sets = [word for option in options for word in ("--set", option)]
        with Serve("--log-level", "debug", *sets) as serve:
            peer = peer_process(serve.port, "/echo")
            peer.send_signal(signal.SIGSTOP)  # its TCP still acknowledges, it does not
            line = Log(serve).await_line("ended:")
            peer.kill()
            peer.communicate()
            self.assertIn(told + " (code 1006)", line)

    def test_a_declared_gibibyte_is_refused_at_the_header(self):
        with Serve() as serve:
            before = resident_kib(serve.popen.pid)
            for declared in (1 << 30, (1 << 63) - 1):
                with Client(serve.port, "/echo") as liar:
                    liar.write(bytes([0x80 | BINARY, 0xFF]) + struct.pack(">Q", declared) +
                               os.urandom(4))
                    opcode, payload = liar.receive()
                    self.assertEqual((opcode, payload[:2]), (CLOSE, struct.pack(">H", 1009)))
            with Client(serve.port, "/echo") as honest:
                honest.send(TEXT, "still here")
                self.assertEqual(honest.receive_message(), "still here")
            self.assertLess(resident_kib(serve.popen.pid) - before, 4096)

    def test_a_stop_in_mid_traffic_tells_everybody_and_ends_well(self):
        codes = []
        flowing = threading.Semaphore(0)

        def talk(client):
            try:
                for n in range(1_000_000):
                    client.send(TEXT, f"message {n}")
                    reply = client.receive_message()
                    if isinstance(reply, int):
                        codes.append(reply)
                        client.send(CLOSE, struct.pack(">H", reply))
                        return
                    if n == 10:
                        flowing.release()
            except OSError as error:
                codes.append(error)

        with Serve("--workers", "2") as serve:
            clients = [Client(serve.port, "/echo") for _ in range(20)]
            threads = [threading.Thread(target=talk, args=(client,)) for client in clients]
            for thread in threads:
                thread.start()
            for _ in threads:
                flowing.acquire()
            serve.signal(signal.SIGTERM)
            for thread in threads:
                thread.join()
            for client in clients:
                client.sock.close()
            status, _, err = serve.finish()
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(codes, [1001] * 20)

    def test_a_terminal_and_a_script_share_a_room(self):
        with Serve() as serve:
            with Client(serve.port, "/rooms/lobby") as script:
                terminal = Process("connect", f"ws://127.0.0.1:{serve.port}/rooms/lobby")
                terminal.write("from the terminal\n")
                self.assertEqual(script.receive_message(), "from the terminal")
                self.assertEqual(terminal.line(), "from the terminal")
                script.send(TEXT, "from the script")
                self.assertEqual(terminal.line(), "from the script")
                terminal.popen.stdin.close()
                terminal.popen.stdin = None
                self.assertEqual(terminal.finish(), (0, "", ""))


if __name__ == "__main__":
    unittest.main()
