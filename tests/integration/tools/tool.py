# SPDX-License-Identifier: MIT
"""Runs the `wsock` command under test; WSOCK says where it is."""

import http.client
import os
import re
import signal
import socket
import subprocess
import threading

WSOCK = os.environ.get("WSOCK", "wsock")
TIMEOUT = 20  # seconds; what takes so long has failed

# Who runs the tests may be behind a proxy; what they start is not.
for name in ("ws_proxy", "wss_proxy", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
    os.environ.pop(name, None)
    os.environ.pop(name.upper(), None)


def run(*args, data=None, **more):
    """Run to the end. @return a CompletedProcess with text output."""
    more.setdefault("stdin", None if data is not None else subprocess.DEVNULL)
    if data is not None:
        del more["stdin"]
        more["input"] = data
    if isinstance(data, bytes):
        result = subprocess.run([WSOCK, *args], capture_output=True, timeout=TIMEOUT,
                                check=False, **more)
        result.stderr = result.stderr.decode("utf-8")
        return result
    return subprocess.run([WSOCK, *args], capture_output=True, timeout=TIMEOUT, text=True,
                          check=False, **more)


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Process:
    """A command that goes on: lines of standard output are awaited, never slept for. `by` is
    the command that runs it, by exec."""

    def __init__(self, *args, program=WSOCK, by=(), **more):
        more.setdefault("stdin", subprocess.PIPE)
        more.setdefault("stdout", subprocess.PIPE)
        self.popen = subprocess.Popen([*by, program, *args], stderr=subprocess.PIPE, **more)
        self.timer = threading.Timer(TIMEOUT * 2, self.popen.kill)
        self.timer.start()

    def write(self, text):
        self.popen.stdin.write(text.encode("utf-8"))
        self.popen.stdin.flush()

    def line(self):
        """The next line of standard output, "" at its end."""
        return self.popen.stdout.readline().decode("utf-8").rstrip("\n")

    def error_line(self):
        return self.popen.stderr.readline().decode("utf-8").rstrip("\n")

    def signal(self, number):
        self.popen.send_signal(number)

    def finish(self):
        """Wait for the end. @return (status, rest of stdout, rest of stderr)"""
        try:
            out, err = self.popen.communicate(timeout=TIMEOUT)
        finally:
            self.timer.cancel()
            if self.popen.poll() is None:
                self.popen.kill()
        return self.popen.returncode, (out or b"").decode("utf-8"), err.decode("utf-8")


class Serve(Process):
    """`wsock serve` on a free port, stopped at the end of the block."""

    def __init__(self, *args, urls=("ws://127.0.0.1:0",), **more):
        super().__init__("serve", *urls, *args, **more)
        self.url = ""
        self.page = ""
        self.port = 0

    def __enter__(self):
        line = self.line()
        match = re.fullmatch(r"listening on (\S+?)(?:, (?:chat page|files) at (\S+))?", line)
        if not match:
            status, _, err = self.finish()
            raise AssertionError(f"serve ended with {status}: {line!r} {err}")
        self.url, self.page = match[1], match[2]
        if self.page:
            self.port = int(self.page.rstrip("/").rsplit(":", 1)[1])
        return self

    def __exit__(self, kind, *_):
        if self.popen.poll() is None:
            self.signal(signal.SIGTERM)
        status, _, err = self.finish()
        if kind is None and status != 0:
            raise AssertionError(f"serve ended with {status}: {err}")
