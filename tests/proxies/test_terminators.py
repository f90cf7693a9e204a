# SPDX-License-Identifier: MIT
"""`wsock serve` behind nginx and HAProxy that end the TLS of clients, and speak plainly with it
or over TLS of their own."""

import os
import pathlib
import ssl
import tempfile
import unittest

from test_proxies import CLIENT, NGINX_HTTP, NGINX_STREAM, Case, HAProxy, Nginx
from tool import Serve, run
from ws_peer import Client

FILES = os.environ["CERTIFICATES"]
PROXY = "127.0.0.1"


def secured(*args):
    return Serve("--cert", f"{FILES}/good.pem", "--key", f"{FILES}/good.key", *args,
                 "--log-level", "debug", urls=("wss://127.0.0.1:0",))


class Terminators(Case):
    def setUp(self):
        self.tls = ssl.create_default_context(cafile=f"{FILES}/root.pem")

    def of(self, origin, port, authority=None):
        return self.status(port, f"Origin: {origin}", tls=self.tls, authority=authority)

    def assert_origins(self, port, inner_port):
        """A page of the proxy's may connect: by the scheme that the client used, not the one
        between proxy and server."""
        self.assertEqual(self.of(f"https://127.0.0.1:{port}", port), 101)
        self.assertEqual(self.of("https://example.org", port, "example.org"), 101)
        self.assertEqual(self.of("http://example.org", port, "example.org"), 403)
        self.assertEqual(self.of("https://example.org:8443", port, "example.org"), 403)
        self.assertEqual(self.of("https://evil.example", port, "example.org"), 403)
        self.assertEqual(self.of(f"http://127.0.0.1:{inner_port}", port), 403)

    def connect(self, port):
        return run("connect", f"wss://127.0.0.1:{port}/echo", "-x", "hello", "--count", "1",
                   "--ca", f"{FILES}/root.pem")

    def assert_served(self, serve, proxy, with_port):
        with Client(proxy.port, "/echo", source=CLIENT, tls=self.tls,
                    headers=["X-Forwarded-For: 198.51.100.9"]) as client:
            told = f"{CLIENT}:{client.sock.getsockname()[1]}" if with_port else CLIENT
            self.assert_opened(serve, told)
            self.assert_echo(client)
        result = self.connect(proxy.port)
        self.assertEqual((result.returncode, result.stdout), (0, "hello\n"), result.stderr)

    def test_nginx_tells_the_client_in_a_field(self):
        with Serve("--trust-forwarded", PROXY, "--log-level", "debug") as serve:
            with Nginx(serve.port, NGINX_HTTP, tls=True) as proxy:
                self.assert_served(serve, proxy, False)
                self.assert_origins(proxy.port, serve.port)

    def test_nginx_is_not_believed_unless_listed(self):
        with Serve("--trust-forwarded", "10.0.0.0/8", "--log-level", "debug") as serve:
            with Nginx(serve.port, NGINX_HTTP, tls=True) as proxy:
                self.assertEqual(self.of(f"https://127.0.0.1:{proxy.port}", proxy.port), 403)

    def test_nginx_sends_the_proxy_header(self):
        with Serve("--proxy-protocol", PROXY, "--log-level", "debug") as serve:
            with Nginx(serve.port, NGINX_STREAM, tls=True) as proxy:
                self.assert_served(serve, proxy, True)
                self.assertEqual(self.of(f"https://127.0.0.1:{proxy.port}", proxy.port), 101)

    def test_haproxy_says_in_its_header_that_it_was_tls(self):
        with Serve("--proxy-protocol", PROXY, "--log-level", "debug") as serve:
            with HAProxy(serve.port, "send-proxy-v2-ssl", tls=True) as proxy:
                self.assert_served(serve, proxy, True)
                self.assert_origins(proxy.port, serve.port)

    def test_tls_begins_behind_the_header(self):
        """Of the client, whom HAProxy lets through, or of HAProxy's own."""
        own = f"ssl verify required ca-file {FILES}/root.pem verifyhost localhost"
        for how, tls in (("send-proxy-v2", False), (f"send-proxy-v2-ssl {own}", True)):
            with secured("--proxy-protocol", PROXY) as serve:
                with HAProxy(serve.port, how, tls=tls) as proxy:
                    self.assert_served(serve, proxy, True)
                    self.assert_origins(proxy.port, serve.port)

    def test_haproxy_shows_its_certificate(self):
        """Who may speak for clients can be told by more than an address."""
        with secured("--proxy-protocol", PROXY, "--verify-client", "--ca",
                     f"{FILES}/clients.pem") as serve:
            with HAProxy(serve.port, "send-proxy-v2 ssl verify none", tls=True) as stranger:
                result = self.connect(stranger.port)
                self.assertNotEqual((result.returncode, result.stdout), (0, "hello\n"))
            with tempfile.NamedTemporaryFile("w") as both:
                for kind in ("pem", "key"):
                    both.write(pathlib.Path(f"{FILES}/alice.{kind}").read_text("ascii"))
                both.flush()
                with HAProxy(serve.port, f"send-proxy-v2 ssl verify none crt {both.name}",
                             tls=True) as proxy:
                    self.assert_served(serve, proxy, True)


if __name__ == "__main__":
    unittest.main()
