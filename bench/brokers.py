# SPDX-License-Identifier: MIT
"""The message brokers that benchmarks of clusters start: Redis and NATS, each on a free port
of this machine, without anything on a disk that outlives it."""

import contextlib
import re
import socket
import subprocess
import tempfile

import harness

KINDS = ("redis", "nats")
START_S = 10


class Broker:
    """A process that runs, and how to reach it."""

    def __init__(self, kind, port, process):
        self.kind, self.port, self.pid = kind, port, process.pid
        self.url = f"{kind}://127.0.0.1:{port}"

    def forget(self):
        """Redis loses all that it keeps."""
        self._ask(b"FLUSHALL")

    def _ask(self, command):
        """The first line of the answer, and what follows it if that is a text."""
        with socket.create_connection(("127.0.0.1", self.port), START_S) as s:
            s.sendall(command + b"\r\n")
            with s.makefile("rb") as answer:
                line = answer.readline().decode()
                text = answer.read(int(line[1:])) if line[0] == "$" else b""
        return line, text.decode()

    def commands(self):
        """What Redis has done since it started: None for NATS. A load reads a page of a
        history with one XRANGE, and nothing else does where only their number is
        bounded; whatever the nodes ask for but that and subscriptions is a script, too."""
        if self.kind != "redis":
            return None
        _, text = self._ask(b"INFO commandstats")
        calls = {name.lower(): int(count)
                 for name, count in re.findall(r"cmdstat_([^:]+):calls=(\d+)", text)}
        scripts = sum(calls.get(name, 0) for name in ("eval", "evalsha"))
        return {"loads": calls.get("xrange", 0), "scripts": scripts}


def command(kind, port, there):
    if kind == "redis":
        return ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--port", str(port)]
    return ["nats-server", "-a", "127.0.0.1", "-js", "-p", str(port), "-sd", there]


def await_start(kind, process):
    """Its own lines tell when it listens; few follow, which stay in the pipe."""
    for line in process.stdout:
        if "eady to accept connections" in line or "Server is ready" in line:
            return
    raise harness.Failed(f"{kind} does not start (status {process.wait()})")


@contextlib.contextmanager
def running(kind, core=None):
    port = harness.free_port()
    with tempfile.TemporaryDirectory() as there:
        process = subprocess.Popen(command(kind, port, there), cwd=there, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   preexec_fn=harness.placed(core, False))
        try:
            await_start(kind, process)
            yield Broker(kind, port, process)
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()
