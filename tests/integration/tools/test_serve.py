# SPDX-License-Identifier: MIT
"""`wsock serve`: listeners, the page, signals."""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from tool import TIMEOUT, WSOCK, Process, Serve, run
from ws_peer import CLOSE, TEXT, Client, close_payload


def get(port, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()
    finally:
        connection.close()


class Listeners(unittest.TestCase):
    def test_one_line_for_each_listener_with_its_real_port(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/a.sock"
            urls = ("ws://127.0.0.1:0", "ws://localhost:0", f"ws+unix:{path}")
            with Serve(urls=urls) as serve:
                self.assertRegex(serve.url, r"^ws://127\.0\.0\.1:[1-9]\d*$")
                self.assertEqual(serve.page, f"http://127.0.0.1:{serve.port}/")
                self.assertRegex(serve.line(), r"^listening on ws://\S+, chat page at http://")
                self.assertEqual(serve.line(), f"listening on ws+unix:{path}")
                self.assertTrue(os.path.exists(path))
                result = run("connect", f"ws+unix:{path}:/echo", "-x", "over unix")
                self.assertEqual((result.returncode, result.stdout), (0, "over unix\n"))

    def test_a_browser_at_a_websocket_is_told_what_it_is(self):
        with Serve() as serve:
            for path, status in (("/echo", 426), ("/rooms", 426), ("/rooms/lobby", 426),
                                 ("/nothing", 404)):
                got, _, body = get(serve.port, path)
                self.assertEqual(got, status)
                self.assertEqual(f"wsock connect {serve.url}{path}\n" in body.decode(),
                                 status == 426)

    def test_a_request_that_lost_its_upgrade_is_told_so(self):
        lines = ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        for www in ((), ("--www", os.path.dirname(__file__))):
            with Serve("--log-level", "info", *www) as serve:
                with socket.create_connection(("127.0.0.1", serve.port), TIMEOUT) as sock:
                    sock.sendall("\r\n".join(["GET /echo HTTP/1.1", "Host: inner", *lines, "",
                                              ""]).encode())
                    answer = b"".join(iter(lambda: sock.recv(4096), b"")).decode()
                self.assertIn(" 426 ", answer)
                self.assertIn("a proxy may have removed it", answer)
                self.assertNotIn("inner", answer)
                while 'at /echo without "Upgrade: websocket"' not in (line := serve.error_line()):
                    self.assertNotEqual(line, "")

    def test_quiet_prints_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = Process("serve", f"ws://127.0.0.1:{port}", "--quiet")
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                Client(port, "/echo").close()
                break
            except ConnectionRefusedError:
                self.assertLess(time.monotonic(), deadline)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.finish(), (0, "", ""))

    def test_a_port_in_use_is_one_clear_line_and_1(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = run("serve", f"ws://127.0.0.1:{port}")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, rf"^wsock serve: .*127\.0\.0\.1:{port}.*in use.*\n$")

    def test_a_second_server_on_the_same_port_is_refused(self):
        with Serve() as serve:
            result = run("serve", serve.url)
            self.assertEqual(result.returncode, 1)
            self.assertIn("in use", result.stderr)

    def test_public_allows_all_addresses(self):
        with Serve("--public", urls=("ws://*:0",)) as serve:
            with Client(serve.port, "/echo") as client:
                client.send(TEXT, "hi")
                self.assertEqual(client.receive_message(), "hi")


class Echo(unittest.TestCase):
    def test_it_sends_everything_back(self):
        with Serve() as serve, Client(serve.port, "/echo") as client:
            client.send(TEXT, "\u00e4")
            client.send(2, bytes(range(256)))
            self.assertEqual(client.receive_message(), "\u00e4")
            self.assertEqual(client.receive_message(), bytes(range(256)))
            client.close()

    def test_options_of_the_library_can_be_set(self):
        with Serve("--set", "max_message_bytes=100", "--workers", "2") as serve:
            with Client(serve.port, "/echo") as client:
                client.send(TEXT, "x" * 101)
                self.assertEqual(client.receive_message(), 1009)


class Page(unittest.TestCase):
    def test_the_page_is_served_from_within_the_command(self):
        with Serve() as serve:
            types = {"/": "text/html", "/index.html": "text/html", "/chat.js": "text/javascript",
                     "/chat.css": "text/css"}
            for path, kind in types.items():
                status, fields, body = get(serve.port, path)
                self.assertEqual(status, 200)
                self.assertTrue(fields["content-type"].startswith(kind))
                self.assertIn("script-src 'self'", fields["content-security-policy"])
                self.assertGreater(len(body), 500)
                status, fields, nothing = get(serve.port, path, "HEAD")
                self.assertEqual((status, nothing), (200, b""))
                self.assertEqual(fields["content-length"], str(len(body)))
            self.assertEqual(get(serve.port, "/nothing")[0], 404)
            self.assertEqual(get(serve.port, "/../etc/passwd")[0] // 100, 4)

    def test_www_serves_a_directory_instead(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/index.html", "w", encoding="ascii") as file:
                file.write("<p>mine</p>")
            with Serve("--www", folder) as serve:
                self.assertEqual(get(serve.port, "/")[2], b"<p>mine</p>")
                self.assertEqual(get(serve.port, "/chat.js")[0], 404)
                client = get(serve.port, "/wsock.js")
                self.assertEqual((client[0], b"export function connect" in client[2]), (200, True))
                with open(f"{folder}/wsock.js", "w", encoding="ascii") as file:
                    file.write("mine")
                self.assertEqual(get(serve.port, "/wsock.js")[2], b"mine")

    def test_a_directory_that_is_none_is_refused(self):
        result = run("serve", "ws://127.0.0.1:0", "--www", "/nonexistent/directory")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("/nonexistent/directory", result.stderr)


class Policy(unittest.TestCase):
    def status(self, port, lines, start=b""):
        """The status of the answer to an upgrade with these header lines; 0: there is none."""
        request = ("GET /echo HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
                   "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                   "Sec-WebSocket-Version: 13", *lines, "", "")
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as sock:
            sock.sendall(start + "\r\n".join(request).encode("ascii"))
            try:
                return int(sock.recv(4096).split()[1])
            except (ConnectionResetError, IndexError):
                return 0

    def test_origins_are_added_to_its_own(self):
        with Serve("--origin", "https://a.example", "--origin=https://*.b.example") as serve:
            for origin, status in ((f"http://127.0.0.1:{serve.port}", 101),
                                   ("https://a.example", 101), ("https://x.b.example", 101),
                                   ("https://b.example", 403), ("http://a.example", 403)):
                self.assertEqual(self.status(serve.port, [f"Origin: {origin}"]), status, origin)

    def test_an_origin_that_is_refused_is_told_with_the_host(self):
        with Serve("--log-level", "info") as serve:
            self.assertEqual(self.status(serve.port, ["Origin: https://a.example"]), 403)
            while 'origin "https://a.example"' not in (line := serve.error_line()):
                self.assertNotEqual(line, "")
            self.assertRegex(line, r'the host is "\S+" \(http\)')

    def test_the_log_tells_what_was_answered(self):
        with tempfile.TemporaryDirectory() as folder, \
                Serve("--log-level", "debug", "--www", folder) as serve:
            with open(f"{folder}/index.html", "w", encoding="utf-8") as page:
                page.write("hello")
            for path, status in (("/index.html", 200), ("/none", 404), ("/echo", 426)):
                self.assertEqual(get(serve.port, path)[0], status)
                while "ended: " not in (line := serve.error_line()):
                    self.assertNotEqual(line, "")
                self.assertRegex(line, rf"ended: answered with {status}$")

    def test_a_proxy_that_is_listed_tells_the_client(self):
        with Serve("--trust-forwarded", "10.0.0.0/8", "--trust-forwarded", "127.0.0.1",
                   "--log-level", "debug") as serve:
            self.assertEqual(self.status(serve.port, ["X-Forwarded-For: 192.0.2.7, 10.1.1.1"]), 101)
            while "open: /echo, 192.0.2.7" not in (line := serve.error_line()):
                self.assertNotEqual(line, "")

    def test_a_listed_proxy_must_send_the_header(self):
        with Serve("--proxy-protocol", "127.0.0.1", "--log-level", "debug") as serve:
            self.assertEqual(self.status(serve.port, []), 0)
            line = b"PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n"
            self.assertEqual(self.status(serve.port, [], line), 101)
            seen = []
            while "open: /echo, 192.0.2.7:5" not in (line := serve.error_line()):
                self.assertNotEqual(line, "")
                seen.append(line)
            self.assertIn("cut off: no PROXY header", "\n".join(seen))

    def test_lists_that_are_malformed_are_refused(self):
        for args in (("--origin", "a.example"), ("--proxy-protocol", "10.0.0.1/8"),
                     ("--trust-forwarded", "localhost"), ("--origin", "x" * 70000)):
            result = run("serve", "ws://127.0.0.1:0", *args)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertRegex(result.stderr, rf"^wsock serve: {args[0]}: .*\n$")


class Signals(unittest.TestCase):
    def test_a_signal_closes_every_connection_with_1001(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with Serve() as serve, Client(serve.port, "/echo") as client:
                client.send(TEXT, "here")
                self.assertEqual(client.receive_message(), "here")
                serve.signal(number)
                self.assertEqual(client.receive_message(), 1001)
                client.send(CLOSE, close_payload(1001))
                self.assertEqual(client.sock.recv(1), b"", "the server ends the stream")
                client.sock.close()
                self.assertEqual(serve.popen.wait(TIMEOUT), 0)

    def test_a_second_signal_cuts_off_at_once(self):
        with Serve("--set", "stop_timeout=60s", "--set", "close_timeout=60s") as serve:
            with Client(serve.port, "/echo") as client:
                client.send(TEXT, "here")
                self.assertEqual(client.receive_message(), "here")
                serve.signal(signal.SIGINT)
                self.assertEqual(client.receive_message(), 1001)  # and is not answered
                start = time.monotonic()
                serve.signal(signal.SIGINT)
                self.assertEqual(serve.popen.wait(TIMEOUT), 0)
                self.assertLess(time.monotonic() - start, 2)

    def test_connect_ends_with_0_when_the_server_stops(self):
        with Serve() as serve:
            process = Process("connect", serve.url + "/echo")
            process.write("here\n")
            self.assertEqual(process.line(), "here")
            serve.signal(signal.SIGTERM)
            self.assertEqual(process.popen.wait(TIMEOUT), 0)
            process.finish()

    def test_the_log_goes_to_standard_error(self):
        with Serve("--log-level", "debug") as serve:
            Client(serve.port, "/echo").close()
            self.assertRegex(serve.error_line(), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} \w+ +\S")


if __name__ == "__main__":
    unittest.main()
