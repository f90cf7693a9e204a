# SPDX-License-Identifier: MIT
"""`openssl s_server` as a WebSocket server: it speaks TLS, and the test writes the rest into its
standard input. What it says of each handshake stands between what the client sends."""

import fcntl
import os
import signal
import subprocess
import termios
import threading

from tool import TIMEOUT
from ws_peer import Connection

FILES = os.environ["CERTIFICATES"]


def file(name):
    return f"{FILES}/{name}"


class Pipes:
    """Its standard input and output, in the place of a socket."""

    def __init__(self, process):
        self.process = process

    def settimeout(self, _):
        pass  # the process is killed when its time is over

    def recv(self, size):
        return os.read(self.process.stdout.fileno(), size)

    def sendall(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()


class OpensslServer:
    """From the block's begin to its end; takes one connection after the other."""

    def __init__(self, *args, name="good", chain="inter.pem"):
        more = ["-cert_chain", file(chain)] if chain else []
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", file(f"{name}.pem"),
             "-key", file(f"{name}.key"), *more, *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.timer = threading.Timer(TIMEOUT * 2, self.process.kill)
        self.stream = Connection(Pipes(self.process))

    def __enter__(self):
        self.timer.start()
        self.skip_to(b"ACCEPT 127.0.0.1:")
        self.port = int(self.skip_to(b"\n"))
        self.url = f"wss://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        self.timer.cancel()
        self.kill()

    def kill(self):
        """Nothing more comes from it, not even the end of TLS."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(TIMEOUT)
        self.process.stdin = None
        self.process.stdout.close()

    def skip_to(self, mark):
        """Read on to the mark, which is gone then. @return what was before it."""
        while mark not in self.stream.buffer:
            part = self.stream.sock.recv(65536)
            if not part:
                raise EOFError(f"s_server ended: {self.stream.buffer}")
            self.stream.buffer += part
        before, _, self.stream.buffer = self.stream.buffer.partition(mark)
        return before

    def accept(self, *fields, before=b""):
        """Open the next WebSocket. @return what s_server says of its handshake."""
        said = self.skip_to(b"GET ")
        self.stream.buffer = b"GET " + self.stream.buffer
        self.stream.read_request()
        self.stream.write(before)
        self.stream.accept(*fields)
        return said.decode("utf-8", "replace")

    def hang_up(self):
        """End this connection without a word, not even the end of TLS. The letter is a command
        only where a read of s_server begins."""
        unread = b"\1"
        while any(unread):
            unread = fcntl.ioctl(self.process.stdin, termios.FIONREAD, bytes(4))
        self.stream.write(b"q\n")
