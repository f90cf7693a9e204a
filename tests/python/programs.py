# SPDX-License-Identifier: MIT
"""For tests of programs: on an event loop, in threads, in processes of their own."""
import asyncio
import contextlib
import os
import pathlib
import queue
import signal
import subprocess
import sys
import textwrap
import threading

PATIENCE = 20
PAGES = pathlib.Path(__file__).resolve().parent / "pages"


def run(main):
    """Run a coroutine, not for ever."""
    async def patient():
        return await asyncio.wait_for(main, PATIENCE)

    return asyncio.run(patient())


def at(server, path="/"):
    """The URL of a server of wsock.asyncio or wsock.sync."""
    return "ws://%s:%d" % server.sockets[0].getsockname()[:2] + path


@contextlib.contextmanager
def running(server):
    """Has a server of wsock.sync serve meanwhile."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Program:
    """A process of Python, and what it prints, with its errors."""

    def __init__(self, *arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-u", *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **environment})
        self.output = ""
        self._pieces = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while piece := self.process.stdout.read(1):
            self._pieces.put(piece)
        self._pieces.put(None)

    def until(self, text):
        """Wait until it prints that. @return what came before it, and was not returned yet."""
        while text not in self.output:
            piece = self._pieces.get(timeout=PATIENCE)
            assert piece is not None, f"it ended without {text!r}: {self.output}"
            self.output += piece
        before, _, self.output = self.output.partition(text)
        return before

    def url(self):
        """Where it says that it listens."""
        self.until("listening on ")
        return self.until("\n")

    def type(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, status=0):
        """Wait until it ends by itself. @return what it printed that was not returned yet."""
        assert self.process.wait(PATIENCE) == status
        while (piece := self._pieces.get(timeout=PATIENCE)) is not None:
            self.output += piece
        return self.output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()


def script(text, **environment):
    """A Program whose text is that."""
    return Program("-c", textwrap.dedent(text), **environment)


def terminal(uri, *more):
    """`python -m wsock`, talking to a server."""
    return Program("-m", "wsock", *more, uri)
