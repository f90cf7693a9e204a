# SPDX-License-Identifier: MIT
"""`wsock connect` and `wsock bench` by way of a proxy, and with addresses that are given. The
proxies are scripts here; real ones are met in tests/proxies."""

import base64
import os
import socket
import threading
import time
import unittest

from tool import TIMEOUT, Serve, run
from ws_peer import Server


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # reset by one of them
        pass


def relay(conn, port):
    """Let bytes through to a port of this machine, until both have ended."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as far:
        other = threading.Thread(target=pump, args=(far, conn.sock))
        other.start()
        pump(conn.sock, far)
        other.join()


class HttpProxy(Server):
    """Leads every CONNECT to one port, and keeps what was asked."""

    def __init__(self, port, answer="HTTP/1.1 200 OK"):
        super().__init__(self.serve)
        self.to, self.answer = port, answer
        self.heads = []
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, conn):
        self.heads.append(conn.read_head())
        conn.sock.sendall(f"{self.answer}\r\n\r\n".encode("ascii"))
        if self.answer.split()[1] == "200":
            relay(conn, self.to)


class SocksProxy(Server):
    """The same for SOCKS 5, without a user."""

    def __init__(self, port, reply=0):
        super().__init__(self.serve)
        self.to, self.reply = port, reply
        self.asked = []
        self.url = f"socks5://127.0.0.1:{self.port}"

    def serve(self, conn):
        conn.read(conn.read(2)[1])
        conn.sock.sendall(b"\x05\x00")
        head = conn.read(5)
        self.asked.append(head + conn.read(head[4] + 2))
        conn.sock.sendall(bytes([5, self.reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        if self.reply == 0:
            relay(conn, self.to)


def ask(url, *args, **environment):
    return run("connect", url, "-x", "hello", "--count", "1", *args,
               env={**os.environ, **environment})


class Proxies(unittest.TestCase):
    def assert_echoed(self, result):
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "hello\n", ""))

    def test_the_proxy_is_told_the_name_of_the_server(self):
        """Which nobody here could look up."""
        with Serve() as server, HttpProxy(server.port) as proxy:
            self.assert_echoed(ask("ws://a.invalid:81/echo", "--proxy", proxy.url))
            self.assert_echoed(ask("ws://[2001:db8::1]/echo", "--proxy", proxy.url))
        self.assertEqual(proxy.heads, [
            ["CONNECT a.invalid:81 HTTP/1.1", "Host: a.invalid:81"],
            ["CONNECT [2001:db8::1]:80 HTTP/1.1", "Host: [2001:db8::1]:80"]])

    def test_socks_is_told_the_name_of_the_server(self):
        with Serve() as server, SocksProxy(server.port) as proxy:
            self.assert_echoed(ask("ws://a.invalid:81/echo", "--proxy", proxy.url))
        self.assertEqual(proxy.asked, [b"\x05\x01\x00\x03\x09a.invalid\x00\x51"])

    def test_credentials_go_out_when_they_are_given(self):
        with Serve() as server, HttpProxy(server.port) as proxy:
            url = f"http://ann:p%40ss@127.0.0.1:{proxy.port}"
            self.assert_echoed(ask("ws://a.invalid/echo", "--proxy", url))
        basic = base64.b64encode(b"ann:p@ss").decode("ascii")
        self.assertIn(f"Proxy-Authorization: Basic {basic}", proxy.heads[0])

    def test_3_when_the_proxy_refuses(self):
        with HttpProxy(0, "HTTP/1.1 407 Proxy Authentication Required") as proxy:
            result = ask("ws://a.invalid/echo", "--proxy", proxy.url)
        self.assertEqual((result.returncode, result.stdout), (3, ""))
        self.assertIn("it answered 407 Proxy Authentication Required", result.stderr)
        with SocksProxy(0, 5) as proxy:
            result = ask("ws://a.invalid/echo", "--proxy", proxy.url)
        self.assertEqual(result.returncode, 3)
        self.assertIn("the server refused the connection", result.stderr)

    def test_6_with_its_name_when_it_is_too_slow(self):
        begun = time.monotonic()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            proxy = f"127.0.0.1:{silent.getsockname()[1]}"
            result = ask("ws://a.invalid/echo", "--proxy", proxy, "--connect-timeout", "0.2")
        self.assertLess(time.monotonic() - begun, 5)  # half of the default
        self.assertEqual((result.returncode, result.stderr), (
            6, f"wsock connect: the proxy {proxy} let nothing through in time\n"))

    def test_the_environment_names_proxies(self):
        with Serve() as server, HttpProxy(server.port) as proxy:
            self.assert_echoed(ask("ws://a.invalid/echo", http_proxy=proxy.url))
            self.assert_echoed(ask("ws://b.invalid/echo", ws_proxy=proxy.url,
                                   http_proxy="http://127.0.0.1:1"))
            self.assertEqual(len(proxy.heads), 2)
            # Directly: by the option, by no_proxy, by what means nothing.
            self.assert_echoed(ask(f"{server.url}/echo", "--proxy", "none",
                                   http_proxy=proxy.url))
            self.assert_echoed(ask(f"{server.url}/echo", http_proxy=proxy.url,
                                   no_proxy="10.0.0.0/8, 127.0.0.0/8"))
            self.assert_echoed(ask(f"{server.url}/echo", HTTP_PROXY=proxy.url))
            self.assert_echoed(ask(f"{server.url}/echo", "--proxy", proxy.url, "--set",
                                   "no_proxy=127.0.0.1"))
            self.assertEqual(len(proxy.heads), 2)

    def test_a_redirect_goes_by_way_of_the_proxy_again(self):
        def leads_on(conn):
            conn.read_head()
            conn.sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: ws://b.invalid:82/echo\r\n"
                              b"Content-Length: 0\r\n\r\n")

        class Crossing(HttpProxy):
            def serve(self, conn):
                self.heads.append(conn.read_head())
                conn.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                relay(conn, self.to["a.invalid" in self.heads[-1][0]])

        with Serve() as server, Server(leads_on) as first:
            with Crossing({True: first.port, False: server.port}) as proxy:
                url, *more = "ws://a.invalid/", "--proxy", proxy.url, "--set", "max_redirects=1"
                self.assert_echoed(ask(url, *more))
                self.assertEqual([head[0] for head in proxy.heads],
                                 ["CONNECT a.invalid:80 HTTP/1.1",
                                  "CONNECT b.invalid:82 HTTP/1.1"])

    def test_a_redirect_may_lead_to_who_needs_none(self):
        with Serve() as server:
            def leads_on(conn):
                conn.read_head()
                conn.sock.sendall(f"HTTP/1.1 302 Found\r\nLocation: {server.url}/echo\r\n"
                                  "Content-Length: 0\r\n\r\n".encode("ascii"))

            with Server(leads_on) as first, HttpProxy(first.port) as proxy:
                self.assert_echoed(ask("ws://a.invalid/", "--proxy", proxy.url, "--set",
                                       "max_redirects=1", "--set", "no_proxy=127.0.0.1"))
                self.assertEqual(len(proxy.heads), 1)

    def test_bench_takes_a_proxy(self):
        with Serve() as server, HttpProxy(server.port) as proxy:
            result = run("bench", "ws://a.invalid/echo", "--connections", "3", "--seconds", "0.2",
                         "--proxy", proxy.url)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(len(proxy.heads), 3)

    def test_2_for_a_proxy_that_is_none(self):
        for command in ("connect", "bench"):
            result = run(command, "ws://a.invalid", "--proxy", "ftp://u:secret@p")
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn("--proxy: ", result.stderr)
            self.assertIn("the scheme of a proxy is http, socks5 or socks5h", result.stderr)
            self.assertNotIn("secret", result.stderr)


class Addresses(unittest.TestCase):
    def test_an_address_that_is_given_is_not_looked_up(self):
        with Serve() as server:
            for host, name in (("a.invalid", "a.invalid"), ("A.invalid", "a.INVALID"),
                               ("a.invalid", "*"), ("192.0.2.1", "192.0.2.1")):
                result = ask(f"ws://{host}:{server.port}/echo", "--resolve",
                             f"{name}:{server.port}:127.0.0.1")
                self.assertEqual((result.returncode, result.stdout), (0, "hello\n"))
            result = run("bench", f"ws://a.invalid:{server.port}/echo", "--connections", "2",
                         "--seconds", "0.2", "--resolve", f"a.invalid:{server.port}:127.0.0.1")
            self.assertEqual(result.returncode, 0)

    def test_addresses_are_tried_in_turn(self):
        with Serve() as server:
            result = ask(f"ws://a.invalid:{server.port}/echo",
                         "--resolve", f"b.invalid:{server.port}:192.0.2.1",
                         "--resolve", f"a.invalid:{server.port}:127.0.0.2",
                         "--resolve", f"a.invalid:{server.port}:127.0.0.1")
        self.assertEqual((result.returncode, result.stdout), (0, "hello\n"))

    def test_the_proxy_too_may_have_one(self):
        with Serve() as server, HttpProxy(server.port) as proxy:
            result = ask("ws://a.invalid/echo", "--proxy", f"p.invalid:{proxy.port}",
                         "--resolve", f"p.invalid:{proxy.port}:127.0.0.1")
        self.assertEqual((result.returncode, result.stdout), (0, "hello\n"))

    def test_another_port_or_host_is_looked_up(self):
        with Serve() as server:
            for entry in (f"a.invalid:{server.port ^ 1}:127.0.0.1",
                          f"invalid:{server.port}:127.0.0.1"):
                result = ask(f"ws://a.invalid:{server.port}/echo", "--resolve", entry)
                self.assertEqual(result.returncode, 3)
                self.assertIn("cannot resolve a.invalid", result.stderr)

    def test_2_for_what_is_no_address(self):
        for entry, why in (("a:80", "it is not HOST:PORT:ADDRESS"),
                           ("a:80:b", "its address is malformed"),
                           ("a:0:127.0.0.1", "port 0 cannot be connected to"),
                           ("a:80:127.0.0.1" * 300, "too long")):
            for command in ("connect", "bench"):
                result = run(command, "ws://a.invalid", "--resolve", entry)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn("--resolve: ", result.stderr)
                self.assertIn(why, result.stderr)


if __name__ == "__main__":
    unittest.main()
