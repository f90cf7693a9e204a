# SPDX-License-Identifier: MIT
"""`wsock connect` by way of tinyproxy (CONNECT) and microsocks (SOCKS 5) to `wsock serve`, with
and without TLS. Each proxy is started here and ended here. Neither takes a socket that is open
already; so each listens on an address of 127.0.0.0/8 that belongs to this process."""

import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from test_proxies import program
from tool import TIMEOUT, Serve, run

FILES = os.environ.get("CERTIFICATES", "")
USER, PASSWORD = "ann", "p.ss-w0rd"  # tinyproxy takes no others
ESCAPED = "%61nn:p%2Ess-w0rd"

TINYPROXY = """
Port {port}
Listen {host}
LogLevel Connect
Timeout 600
MaxClients 100
"""


def own_address():
    """One that no other process has that lives now: by the number of this one."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 128}.{pid >> 8 & 255}.{pid & 255}"


class Proxy:
    """On an address of its own, from the block's begin to its end."""

    def __init__(self, *, with_user=False, more=""):
        self.with_user = with_user
        self.more = more
        self.host = own_address()
        self.log = ""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        with socket.create_server((self.host, 0)) as free:
            self.port = free.getsockname()[1]
        self.said = open(f"{self.folder.name}/log", "w+b")
        self.process = subprocess.Popen(self.command(pathlib.Path(self.folder.name)),
                                        stdout=self.said, stderr=self.said)
        self.wait()
        return self

    def wait(self):
        """Until it listens, which neither of them tells."""
        until = time.monotonic() + TIMEOUT
        while True:
            try:
                socket.create_connection((self.host, self.port), TIMEOUT).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.__exit__(AssertionError)
                    raise AssertionError("the proxy does not listen") from None
                time.sleep(0.01)

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(TIMEOUT)
        finally:
            self.process.kill()
            self.said.seek(0)
            self.log = self.said.read().decode("utf-8", "replace")
            self.said.close()
            self.folder.cleanup()
        if kind is not None:
            print(self.log)

    def url(self, user=""):
        return f"{self.scheme}://{user}{'@' if user else ''}{self.host}:{self.port}"


class Tinyproxy(Proxy):
    scheme = "http"

    def command(self, there):
        config = there / "tinyproxy.conf"
        config.write_text(TINYPROXY.format(host=self.host, port=self.port) + self.more +
                          (f"BasicAuth {USER} {PASSWORD}\n" if self.with_user else ""))
        return [program("tinyproxy"), "-d", "-c", str(config)]


class Microsocks(Proxy):
    scheme = "socks5"

    def command(self, there):
        # Bound to IPv4, it looks names up as IPv4.
        return [program("microsocks"), "-i", self.host, "-p", str(self.port), "-b", "127.0.0.1",
                *(["-u", USER, "-P", PASSWORD] if self.with_user else [])]


def ask(url, *args, **environment):
    return run("connect", url, "-x", "by way of a proxy", "--count", "1", *args,
               env={**os.environ, **environment})


def secured():
    return Serve("--cert", f"{FILES}/good.pem", "--key", f"{FILES}/good.key",
                 urls=("wss://127.0.0.1:0",))


class Through:
    """What holds for both."""

    def assert_echoed(self, result):
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, "by way of a proxy\n", ""))

    def assert_refused(self, result, why):
        self.assertEqual((result.returncode, result.stdout), (3, ""))
        self.assertRegex(result.stderr, why)

    def test_messages_pass(self):
        with Serve() as server, self.make() as proxy:
            self.assert_echoed(ask(f"{server.url}/echo", "--proxy", proxy.url()))
            # Large ones, and many connections.
            result = run("bench", f"{server.url}/echo", "--proxy", proxy.url(), "--payload", "1M",
                         "--connections", "8", "--seconds", "0.5", "--set",
                         "max_message_bytes=2MiB")
            self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_tls_passes(self):
        with secured() as server, self.make() as proxy:
            self.assert_echoed(ask(f"{server.url}/echo", "--proxy", proxy.url(),
                                   "--ca", f"{FILES}/root.pem"))
            # The server's certificate counts, by the server's name.
            result = ask(f"{server.url}/echo", "--proxy", proxy.url())
            self.assertEqual(result.returncode, 4)

    def test_names_are_the_proxys_to_look_up(self):
        """Here the name has an address where nobody answers."""
        with secured() as server, self.make() as proxy:
            self.assert_echoed(ask(f"wss://localhost:{server.port}/echo", "--proxy", proxy.url(),
                                   "--ca", f"{FILES}/root.pem",
                                   "--resolve", f"localhost:{server.port}:192.0.2.1"))

    def test_credentials_must_be_right(self):
        with Serve() as server, self.make(with_user=True) as proxy:
            url = f"{server.url}/echo"
            self.assert_echoed(ask(url, "--proxy", proxy.url(ESCAPED)))
            self.assert_refused(ask(url, "--proxy", proxy.url("ann:wrong")), self.wrong_user)
            self.assert_refused(ask(url, "--proxy", proxy.url("bob:x")), self.wrong_user)
            self.assert_refused(ask(url, "--proxy", proxy.url()), self.no_user)

    def test_tls_passes_with_credentials(self):
        with secured() as server, self.make(with_user=True) as proxy:
            self.assert_echoed(ask(f"{server.url}/echo", "--proxy", proxy.url(ESCAPED),
                                   "--ca", f"{FILES}/root.pem"))

    def test_credentials_may_go_to_who_asks_for_none(self):
        with Serve() as server, self.make() as proxy:
            self.assert_echoed(ask(f"{server.url}/echo", "--proxy", proxy.url("ann:x")))

    def test_a_server_that_refuses_is_told(self):
        with socket.create_server((own_address(), 0)) as closed:
            port = closed.getsockname()[1]
        with self.make() as proxy:
            self.assert_refused(ask(f"ws://{own_address()}:{port}/", "--proxy", proxy.url()),
                                self.closed)

    def test_the_environment_names_it(self):
        with Serve() as plain, secured() as tls, self.make() as proxy:
            self.assert_echoed(ask(f"{plain.url}/echo", ws_proxy=proxy.url()))
            self.assert_echoed(ask(f"{tls.url}/echo", "--ca", f"{FILES}/root.pem",
                                   https_proxy=proxy.url(), ws_proxy="http://192.0.2.1:1"))
            self.assert_echoed(ask(f"{plain.url}/echo", ws_proxy="http://192.0.2.1:1",
                                   no_proxy="127.0.0.0/8"))


class Http(Through, unittest.TestCase):
    make = Tinyproxy
    wrong_user = "it answered 40[17] "  # tinyproxy 1.11 says 401, where 407 belongs
    no_user = "it answered 407 Proxy Authentication Required"
    closed = "it answered 500 Unable to connect"

    def test_the_proxy_sees_the_name(self):
        with Serve() as server, Tinyproxy() as proxy:
            self.assert_echoed(ask(f"ws://localhost:{server.port}/echo", "--proxy", proxy.url()))
        self.assertIn(f"CONNECT localhost:{server.port} HTTP/1.1", proxy.log)

    def test_a_port_that_it_does_not_allow_is_403(self):
        with Serve() as server, Tinyproxy(more="ConnectPort 1\n") as proxy:
            self.assert_refused(ask(f"{server.url}/echo", "--proxy", proxy.url()),
                                "it answered 403 Access violation")


class Socks(Through, unittest.TestCase):
    make = Microsocks
    wrong_user = "it does not accept the user or the password"
    no_user = "it wants a user and a password"
    closed = "the server refused the connection"


if __name__ == "__main__":
    unittest.main()
