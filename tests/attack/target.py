# SPDX-License-Identifier: MIT
"""The program under attack (target.c) and the well-behaved peer that stands beside every bad
one. Nothing here sleeps: each wait is for an event, with a deadline that only a failure
reaches."""

import collections
import contextlib
import signal
import socket
import subprocess
import threading
import time

from ws_peer import TEXT, Client, Connection

SERVER, CLIENT = "server", "client"  # roles of the target

Closed = collections.namedtuple("Closed", "cause code messages reason detail")
Heap = collections.namedtuple("Heap", "live peak")


class Failed(Exception):
    """What a case expected did not happen."""


def check(good, what):
    if not good:
        raise Failed(what)


class Target:
    """One process in one role. `patience` stretches every deadline (sanitizers)."""

    def __init__(self, program, role, options, patience):
        self.program, self.role = program, role
        self.patience, self.deadline = patience, 10 * patience  # seconds
        self.lines = collections.deque()  # events that nobody took yet
        self.replies = collections.deque()
        self.came = threading.Condition()
        self.worst_echo = 0.0
        self.echoes = 0
        arguments = [f"{name}={value}" for name, value in options]
        self.process = subprocess.Popen([program, role, *arguments], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.listener = None
        if role == SERVER:
            self.port = int(self._reply().rpartition(":")[2])
        else:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
            self.listener.settimeout(self.deadline)
            self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.bystander = None

    # ---- the control channel ----

    def _read(self):
        for line in self.process.stdout:
            with self.came:
                line = line.rstrip("\n")
                if line.startswith("= "):
                    self.replies.append(line[2:])
                else:
                    self.lines.append(line.split("\t"))
                self.came.notify_all()
        with self.came:
            self.lines.append(["gone"])
            self.replies.append("gone")
            self.came.notify_all()

    def _reply(self, deadline=None):
        with self.came:
            if not self.came.wait_for(lambda: self.replies, deadline or self.deadline):
                raise Failed("the target does not answer")
            reply = self.replies.popleft()
        check(reply != "gone", "the target has died")
        return reply

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._reply(2 * self.deadline)

    def await_event(self, kind, suits=lambda parts: True):
        """Take the next event of that kind; others are dropped."""
        until = time.monotonic() + self.deadline
        with self.came:
            while True:
                while self.lines:
                    line = self.lines.popleft()
                    check(line[0] != "gone", "the target has died")
                    if line[0] == kind and suits(line[1:]):
                        return line[1:]
                if not self.came.wait(until - time.monotonic()):
                    raise Failed(f"the target tells of no {kind}")

    def await_close(self):
        """How the next connection ended, as its application was told."""
        parts = self.await_event("close")
        return Closed(parts[1], int(parts[2]), int(parts[3]), *parts[4:])

    def await_log(self, text):
        self.await_event("log", lambda parts: text in parts[1])

    def forget_events(self):
        """@return those that nobody took."""
        with self.came:
            lines = list(self.lines)
            self.lines.clear()
        return lines

    def heap(self, command="heap"):
        return Heap(*map(int, self.command(command).split(" ")))

    def settle(self, limit):
        return self.heap(f"settle {limit} {int(self.deadline * 1000)}")

    def await_text(self, text):
        """@return how many messages were delivered to the application, up to this text."""
        return int(self.await_event("text", lambda parts: parts[1] == text)[0])

    @contextlib.contextmanager
    def stopped(self):
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    # ---- connections ----

    def connect(self, subprotocol=""):
        """A socket to it, not opened yet: in the client's role its request waits there."""
        if self.role == SERVER:
            sock = socket.create_connection(("127.0.0.1", self.port), self.deadline)
        else:
            self.command(f"connect {self.url} {subprotocol}".rstrip())
            sock, _ = self.listener.accept()
        sock.settimeout(self.deadline)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def greet_bystander(self):
        """A peer that behaves, to stand beside the bad one."""
        if self.role == SERVER:
            self.bystander = Client(self.port)
        else:
            self.bystander = Connection(self.connect())
            self.bystander.accept()
        self.bystander.sock.settimeout(self.deadline)
        self.bystander.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.await_event("open")
        self.worst_echo = 0.0
        self.echo()
        self.forget_events()

    def dismiss_bystander(self):
        self.bystander.close()
        self.await_close()

    def echo(self):
        """The bystander's message comes back. The target has one worker, so what any peer sent
        before has been read when this returns."""
        begun = time.monotonic()
        self.echoes += 1
        text = f"bystander {self.echoes}"
        self.bystander.send(TEXT, text)
        got = self.bystander.receive_message()
        check(got == text, f"the bystander received {got!r}")
        self.worst_echo = max(self.worst_echo, time.monotonic() - begun)

    def stop(self):
        """The target ends well: nothing leaked, nothing that a sanitizer found."""
        try:
            check(self.command("stop") == "ended", "the target did not end")
            self.process.stdin.close()
            status = self.process.wait(self.deadline)
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join()
            self.process.stdout.close()
            if self.listener is not None:
                self.listener.close()
        check(status == 0, f"the target ended with {status}")
