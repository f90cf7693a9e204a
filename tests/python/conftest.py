# SPDX-License-Identifier: MIT
"""What the tests of the binding share: a server with a client on the same queue."""
import subprocess
import time

import pytest

import wsock

PATIENCE = 20


def until(queue, condition):
    """Run handlers until it holds, but not for ever."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        queue.poll(timeout=0.5)


class World:
    """A server, whose handlers run while a test waits for something."""

    def __init__(self, **options):
        self.server = wsock.Server("ws://127.0.0.1:0", workers=2, **options)
        self.queue = self.server.queue
        self.url = self.server.urls[0]

    def until(self, condition):
        """Run handlers until it holds, but not for ever."""
        until(self.queue, condition)

    def client(self, path="/", **options):
        return wsock.Client(self.url + path, queue=self.server, **options)

    def close(self):
        self.server.close()
        self.queue.close()


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """One file with a certificate for localhost, signed by itself, and its key."""
    there = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", there / "key.pem",
                    "-out", there / "certificate.pem"], check=True, stderr=subprocess.DEVNULL)
    both = there / "localhost.pem"
    both.write_bytes((there / "key.pem").read_bytes()
                     + (there / "certificate.pem").read_bytes())
    return both
