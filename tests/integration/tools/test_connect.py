# SPDX-License-Identifier: MIT
"""`wsock connect` against servers that behave and servers that do not: what is printed
where, when it closes, and every exit status."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
import threading
import time
import unittest

import ws_peer
from tool import TIMEOUT, WSOCK, Process, Serve, run
from ws_peer import BINARY, CLOSE, PING, PONG, TEXT, Server, close_payload


def echo(conn):
    """Sends everything back, then answers the close with the same code."""
    conn.accept()
    echo_on(conn)


def echo_on(conn):
    while True:
        opcode, payload = conn.receive()
        conn.send(opcode, payload)
        if opcode == CLOSE:
            return


def closes_with(payload):
    def script(conn):
        conn.accept()
        conn.send(CLOSE, payload)
        while conn.receive()[0] != CLOSE:
            pass
    return script


def sends(*frames):
    """Sends these at once, then echoes the close."""
    def script(conn):
        conn.accept()
        for opcode, payload in frames:
            conn.send(opcode, payload)
        while True:
            opcode, payload = conn.receive()
            if opcode == CLOSE:
                conn.send(CLOSE, payload)
                return
    return script


class Messages(unittest.TestCase):
    def test_lines_go_out_as_text_and_answers_come_as_lines(self):
        with Server(echo) as server:
            result = run("connect", server.url, data="one\n\ntwo \u00e4\nlast")
        self.assertEqual(result.stdout, "one\n\ntwo \u00e4\nlast\n")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_end_of_input_closes_with_1000_and_prints_what_still_arrives(self):
        codes = []

        def script(conn):
            conn.accept()
            self.assertEqual(conn.receive(), (TEXT, b"question"))
            opcode, payload = conn.receive()
            codes.append((opcode, payload))
            conn.send(TEXT, "late answer")
            conn.send(CLOSE, payload)

        with Server(script) as server:
            result = run("connect", server.url, data="question\n")
        self.assertEqual(result.stdout, "late answer\n")
        self.assertEqual(codes, [(CLOSE, close_payload(1000))])

    def test_each_line_is_sent_when_it_is_typed(self):
        with Server(echo) as server:
            process = Process("connect", server.url)
            for line in ("first", "second"):
                process.write(line + "\n")
                self.assertEqual(process.line(), line)
            self.assertEqual(process.finish(), (0, "", ""))

    def test_a_message_is_one_line_whatever_it_holds(self):
        frames = ((TEXT, "a\nb\r\\n\x1b"), (BINARY, b"\x00A\\\n\xff"))
        with Server(sends(*frames)) as server:
            result = run("connect", server.url, "--count", "2")
        self.assertEqual(result.stdout, "a\\nb\\r\\n\x1b\n\\x00A\\\\\\n\\xff\n")

    def test_json_loses_nothing(self):
        frames = ((TEXT, "a\nb\x00\u20ac"), (BINARY, b"\x00\xff\n"), (BINARY, b""))
        with Server(sends(*frames)) as server:
            result = run("connect", server.url, "--json", "--count", "3")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(lines, [{"type": "text", "data": "a\nb\x00\u20ac"},
                                 {"type": "binary", "b64": "AP8K"},
                                 {"type": "binary", "b64": ""}])

    def test_x_sends_texts_and_leaves_standard_input_alone(self):
        with Server(echo) as server:
            result = run("connect", server.url, "-x", "a\nb", "-x", "", data="not this\n")
        self.assertEqual(result.stdout, "a\\nb\n\n")

    def test_b_sends_standard_input_as_one_binary_message(self):
        data = bytes(range(256)) * 400
        seen = []

        def script(conn):
            conn.accept()
            seen.append(conn.receive())
            seen.append(conn.receive())
            conn.send(*seen[1])

        with Server(script) as server:
            result = run("connect", "-b", server.url, data=data)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(seen, [(BINARY, data), (CLOSE, close_payload(1000))])

    def test_count_closes_after_so_many_and_prints_no_more(self):
        with Server(sends(*((TEXT, str(i)) for i in range(10)))) as server:
            process = Process("connect", server.url, "--count", "3")
            self.assertEqual(process.finish(), (0, "0\n1\n2\n", ""))

    def test_count_waits_for_messages_after_the_end_of_input(self):
        asked = threading.Event()

        def script(conn):
            conn.accept()
            conn.receive()
            asked.wait(TIMEOUT)
            conn.send(TEXT, "answer")
            conn.send(*conn.receive())

        with Server(script) as server:
            process = Process("connect", server.url, "--count", "1", "-x", "hi")
            asked.set()
            self.assertEqual(process.finish(), (0, "answer\n", ""))

    def test_wait_keeps_listening_after_the_end_of_input(self):
        with Server(echo) as server:
            start = time.monotonic()
            result = run("connect", server.url, "-w", "0.4", data="hi\n")
            self.assertGreaterEqual(time.monotonic() - start, 0.4)
        self.assertEqual((result.returncode, result.stdout), (0, "hi\n"))

    def test_a_line_that_is_no_utf8_is_told_and_not_sent(self):
        with Server(echo) as server:
            result = run("connect", server.url, data=b"good\n\xff\xfe\nmore\n")
        self.assertEqual(result.stdout, b"good\nmore\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn("UTF-8", result.stderr)

    def test_much_input_flows_without_loss(self):
        lines = "".join(f"line {i} {'x' * 50}\n" for i in range(50000))
        with Server(echo) as server:
            result = run("connect", server.url, data=lines)
        self.assertEqual(result.stdout, lines)
        self.assertEqual(result.returncode, 0)

    def test_a_flood_behind_the_close_is_cut_off(self):
        cut = threading.Event()

        def floods(conn):
            conn.accept()
            while conn.receive()[0] != CLOSE:
                pass
            try:
                for _ in range(3000):
                    conn.send(TEXT, "y" * 65536)
            except OSError:
                cut.set()

        with Server(floods) as server:  # and nobody reads the output
            process = Process("connect", server.url, "-x", "hi", "--set", "close_timeout=1h")
            self.assertTrue(cut.wait(TIMEOUT))
            self.assertEqual(process.finish()[0], 1)

    def test_output_that_does_not_block_is_waited_for(self):
        message = "y" * 1000
        with Server(sends(*((TEXT, message) for _ in range(1000)))) as server:
            ours, theirs = os.pipe()
            os.set_blocking(theirs, False)
            process = subprocess.Popen([WSOCK, "connect", server.url, "--count", "1000"],
                                       stdin=subprocess.DEVNULL, stdout=theirs,
                                       stderr=subprocess.PIPE)
            os.close(theirs)
            with os.fdopen(ours, encoding="ascii") as lines:
                self.assertEqual(lines.read(), (message + "\n") * 1000)
            self.assertEqual(process.communicate(timeout=TIMEOUT)[1], b"")
            self.assertEqual(process.returncode, 0)

    def test_a_closed_standard_input_is_an_empty_one(self):
        with Server(sends((TEXT, "hello"))) as server:
            result = subprocess.run(["sh", "-c", 'exec "$0" connect --count 1 "$1" <&-', WSOCK,
                                     server.url], capture_output=True, text=True,
                                    timeout=TIMEOUT, check=False)
        self.assertEqual((result.returncode, result.stdout), (0, "hello\n"))

    def test_it_reads_no_more_input_than_the_server_takes(self):
        go_on = threading.Event()

        def script(conn):
            conn.accept()
            go_on.wait(TIMEOUT)
            opcode, payload = conn.receive()
            while opcode != CLOSE:
                opcode, payload = conn.receive()
            conn.send(CLOSE, payload)

        with Server(script) as server:
            process = Process("connect", server.url)
            fd = process.popen.stdin.fileno()
            os.set_blocking(fd, False)
            written = 0
            line = b"y" * 1023 + b"\n"
            while True:  # until the pipe is full and stays so
                try:
                    written += os.write(fd, line * 16)
                except BlockingIOError:
                    if not select.select([], [fd], [], 0.5)[1]:
                        break
                self.assertLess(written, 64 << 20, "it swallows what nobody reads")
            go_on.set()
            os.set_blocking(fd, True)
            self.assertEqual(process.finish()[0], 0)

    def test_it_reads_no_more_messages_than_its_output_takes(self):
        stalled = threading.Event()

        def script(conn):
            conn.accept()
            conn.sock.settimeout(0.5)
            sent = 0
            block = ws_peer.frame(TEXT, b"z" * 8192) * 16
            try:
                while sent < 256 << 20:
                    sent += conn.sock.send(block)
            except TimeoutError:
                stalled.set()

        with Server(script) as server:
            process = Process("connect", server.url)
            self.assertTrue(stalled.wait(TIMEOUT), "it buffers what nobody reads")
            process.signal(signal.SIGTERM)
            self.assertEqual(process.finish()[0], 130)

    def test_it_ends_when_nobody_reads_its_output(self):
        with Server(sends((TEXT, "one"), (TEXT, "two"))) as server:
            read, write = os.pipe()
            os.close(read)
            process = subprocess.Popen([WSOCK, "connect", server.url], stdin=subprocess.PIPE,
                                       stdout=write, stderr=subprocess.PIPE)
            os.close(write)
            process.wait(TIMEOUT)
            process.stdin.close()
            process.stderr.close()
        self.assertEqual(process.returncode, 0)

    def test_headers_and_subprotocols_go_out_and_verbose_tells_what_came(self):
        fields = {}

        def script(conn):
            conn.read_request()
            fields.update(conn.fields)
            conn.accept("Sec-WebSocket-Protocol: two", "Server: by-hand")
            opcode, payload = conn.receive()
            while opcode != CLOSE:
                conn.send(PONG if opcode == PING else opcode, payload)
                opcode, payload = conn.receive()
            conn.send(opcode, payload)

        with Server(script) as server:
            result = run("connect", server.url, "-v", "-H", "X-Test: a b", "-H", "Cookie: c=d",
                         "-H", "User-Agent: me/1.0", "-s", "one", "-s", "two")
        self.assertEqual([fields[name] for name in ("x-test", "cookie", "user-agent")],
                         ["a b", "c=d", "me/1.0"])
        self.assertRegex(fields["sec-websocket-protocol"], r"^one,\s*two$")
        self.assertIn(f"connected to {server.url}\naddress: 127.0.0.1:{server.port}\n",
                      result.stderr)
        self.assertIn("extensions: none", result.stderr)
        self.assertIn("subprotocol: two", result.stderr)
        self.assertIn("server: by-hand", result.stderr)
        self.assertRegex(result.stderr, r"round trip: \d+\.\d{3} ms\n")
        self.assertIn("closed with 1000", result.stderr)
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def test_origin_and_user_are_headers(self):
        fields = {}

        def script(conn):
            conn.read_request()
            fields.update(conn.fields)
            conn.accept()
            conn.send(*conn.receive())

        with Server(script) as server:
            result = run("connect", server.url, "-o", "https://example.org",
                         "-u", "joe:pass word", "--connect-timeout", "9")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(fields["origin"], "https://example.org")
        self.assertEqual(fields["authorization"], "Basic am9lOnBhc3Mgd29yZA==")

    def test_location_follows_redirects_and_nothing_else_does(self):
        def script(conn):
            conn.read_request()
            if conn.request.split()[1] == "/":
                conn.write(b"HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n")
                return
            conn.accept()
            echo_on(conn)

        with Server(script) as server:
            stays = run("connect", server.url)
            follows = run("connect", server.url, "-L", "-v")
        self.assertEqual((stays.returncode, follows.returncode), (5, 0), follows.stderr)
        self.assertIn("302 Found", stays.stderr)
        self.assertIn("leads to /new; -L follows redirects", stays.stderr)
        self.assertNotIn("leads to", follows.stderr)
        self.assertIn(f"connected to {server.url}new\n", follows.stderr)


class Statuses(unittest.TestCase):
    def assert_status(self, status, message, script, *args, **more):
        with Server(script) as server:
            result = run("connect", server.url, *args, **more)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertRegex(result.stderr, message)
        self.assertEqual(result.stdout, "")

    def wait_forever(self, *args):
        """Standard input stays open: only the server ends it."""
        return {"stdin": subprocess.PIPE}

    def test_0_for_1000_1001_and_none(self):
        for payload in (close_payload(1000), close_payload(1001, "going"), b""):
            self.assert_status(0, "^$", closes_with(payload), "--count", "1")

    def test_1_for_other_codes_which_are_printed(self):
        for code, reason in ((1011, "broke"), (1008, ""), (4400, "\u00e4")):
            expected = f"closed by the server with {code}" + (f": {reason}" if reason else "")
            self.assert_status(1, re.escape(expected), closes_with(close_payload(code, reason)),
                               "--count", "1")

    def test_1_for_a_limit_of_this_end_and_how_to_raise_it(self):
        with Serve() as serve:
            result = run("connect", serve.url + "/echo", "-x", "too long", "--set",
                         "max_message_bytes=5", "--count", "1")
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, r"closed with 1009: .*--set max_message_bytes=")

    def test_5_with_what_the_server_says(self):
        with Serve() as serve:
            result = run("connect", serve.url + "/rooms", "-x", "hello")
            self.assertEqual(result.returncode, 5)
            self.assertRegex(result.stderr, "answered 400 Bad Request: .*wsock.rooms.v1")
            self.assertEqual(result.stderr.count("\n"), 1)

    def test_1_when_the_server_breaks_the_protocol(self):
        def script(conn):
            conn.accept()
            conn.write(b"\x83\x00")  # a reserved opcode
            self.assertEqual(conn.receive()[0], CLOSE)

        self.assert_status(1, ".", script, "--count", "1")

    def test_3_for_names_and_connections(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        result = run("connect", f"ws://127.0.0.1:{port}/")
        self.assertEqual(result.returncode, 3)
        self.assertIn("refused", result.stderr.lower())
        result = run("connect", "ws://no-such-name.invalid/")
        self.assertEqual(result.returncode, 3)
        self.assertIn("no-such-name.invalid", result.stderr)
        result = run("connect", "ws+unix:/nonexistent/socket")
        self.assertEqual(result.returncode, 3)

    def test_5_for_an_http_status(self):
        self.assert_status(5, "403", lambda conn: conn.reject("403 Forbidden"))
        self.assert_status(5, "503", lambda conn: conn.reject("503 Service Unavailable"))

    def test_5_for_an_answer_that_is_no_handshake(self):
        self.assert_status(5, ".", lambda conn: conn.accept(key="AAAAAAAAAAAAAAAAAAAAAAAAAAA="))

        def nonsense(conn):
            conn.read_request()
            conn.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

        self.assert_status(5, ".", nonsense)

    def test_6_when_nobody_takes_the_connection(self):
        begun = time.monotonic()
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
            with socket.create_connection(silent.getsockname()):  # the kernel's queue is full
                result = run("connect", f"ws://127.0.0.1:{silent.getsockname()[1]}/",
                             "--connect-timeout", "0.3")
        self.assertLess(time.monotonic() - begun, 5)  # half of the default
        self.assertEqual(result.returncode, 6)
        self.assertIn("the connection was not made in time", result.stderr)

    def test_6_when_the_handshake_takes_too_long(self):
        ended = threading.Event()

        def script(conn):
            conn.read_request()
            ended.wait(TIMEOUT)

        with Server(script) as server:
            result = run("connect", server.url, "--set", "handshake_timeout=300ms")
            ended.set()
        self.assertEqual(result.returncode, 6, result.stderr)

    def test_6_when_the_count_does_not_come_in_time(self):
        with Server(sends((TEXT, "one"))) as server:
            result = run("connect", server.url, "--count", "2", "-w", "0.3")
        self.assertEqual((result.returncode, result.stdout), (6, "one\n"))
        self.assertIn("1 of 2", result.stderr)

    def test_6_when_the_close_is_not_answered(self):
        ended = threading.Event()

        def script(conn):
            conn.accept()
            ended.wait(TIMEOUT)

        with Server(script) as server:
            result = run("connect", server.url, "--set", "close_timeout=300ms")
            ended.set()
        self.assertEqual(result.returncode, 6, result.stderr)

    def test_7_when_the_connection_is_lost(self):
        def resets(conn):
            conn.accept()
            conn.receive()
            conn.abort()

        def ends(conn):
            conn.accept()
            conn.receive()

        for script in (resets, ends):
            self.assert_status(7, ".", script, "--count", "1", "-x", "hi")

    def test_130_when_interrupted_after_a_clean_close(self):
        codes = []

        def script(conn):
            conn.accept()
            conn.send(TEXT, "hello")
            opcode, payload = conn.receive()
            codes.append((opcode, payload))
            conn.send(opcode, payload)

        for number in (signal.SIGINT, signal.SIGTERM):
            with Server(script) as server:
                process = Process("connect", server.url)
                self.assertEqual(process.line(), "hello")
                process.signal(number)
                self.assertEqual(process.popen.wait(TIMEOUT), 130)
                process.finish()
        self.assertEqual(codes, [(CLOSE, close_payload(1001))] * 2)

    def test_130_at_once_on_the_second_signal(self):
        closing = threading.Event()
        ended = threading.Event()

        def script(conn):
            conn.accept()
            conn.send(TEXT, "hello")
            conn.receive()
            closing.set()  # and is never answered
            ended.wait(TIMEOUT)

        with Server(script) as server:
            process = Process("connect", server.url)
            self.assertEqual(process.line(), "hello")
            process.signal(signal.SIGINT)
            closing.wait(TIMEOUT)
            start = time.monotonic()
            process.signal(signal.SIGINT)
            self.assertEqual(process.popen.wait(TIMEOUT), 130)
            self.assertLess(time.monotonic() - start, 1.7, "the answer is waited for")
            process.finish()
            ended.set()

    def test_130_while_connecting(self):
        asked = threading.Event()
        ended = threading.Event()

        def script(conn):
            conn.read_request()
            asked.set()
            ended.wait(TIMEOUT)

        with Server(script) as server:
            process = Process("connect", server.url)
            asked.wait(TIMEOUT)
            process.signal(signal.SIGINT)
            self.assertEqual(process.popen.wait(TIMEOUT), 130)
            process.finish()
            ended.set()


class Terminal(unittest.TestCase):
    """With a pseudo-terminal as standard input and error, a pipe as standard output."""

    def start(self, *arguments):
        self.master, slave = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen([WSOCK, "connect", *arguments], stdin=slave, stderr=slave,
                                        stdout=subprocess.PIPE, start_new_session=True)
        os.close(slave)
        self.addCleanup(os.close, self.master)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.kill)

    def type(self, text):
        os.write(self.master, text.encode("utf-8"))

    def expect(self, pattern):
        """Wait until the terminal shows it, behind what was expected before."""
        deadline = time.monotonic() + TIMEOUT
        while not re.search(pattern, self.seen):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                self.fail(f"no {pattern!r} in {self.seen!r}")
            self.seen += os.read(self.master, 4096).decode("utf-8", "replace")
        self.seen = self.seen[re.search(pattern, self.seen).end():]

    def message(self):
        return self.process.stdout.readline().decode("utf-8").rstrip("\n")

    def test_a_prompt_and_commands_as_whole_lines(self):
        with Server(echo) as server:
            self.start(server.url)
            self.expect(r"connected[^>]*> ")
            self.type("hello\n")
            self.assertEqual(self.message(), "hello")
            self.type("help\n")
            self.expect("disconnect")
            self.type("help me\n")
            self.assertEqual(self.message(), "help me")
            self.type("\\help\n")
            self.assertEqual(self.message(), "help")
            self.type("\\\\exit\n")
            self.assertEqual(self.message(), "\\exit")
            self.type("exit\n")
            self.assertEqual(self.process.wait(TIMEOUT), 0)

    def test_disconnect_stays_and_connect_comes_back(self):
        with Server(echo) as server, Server(sends((TEXT, "the other"))) as other:
            self.start(server.url)
            self.expect("connected")
            self.type("disconnect\n")
            self.expect("closed with 1000")
            self.type("lost\n")
            self.expect("not connected")
            self.type("connect\n")
            self.expect("connected")
            self.type("again\n")
            self.assertEqual(self.message(), "again")
            self.type(f"connect {other.url}\n")
            self.assertEqual(self.message(), "the other")
            self.type("exit\n")
            self.assertEqual(self.process.wait(TIMEOUT), 0)

    def test_the_prompt_stays_when_the_server_closes(self):
        with Server(closes_with(close_payload(4000, "bye"))) as server:
            self.start(server.url)
            self.expect("closed by the server with 4000: bye")
            self.expect("> ")
            self.type("exit\n")
            self.assertEqual(self.process.wait(TIMEOUT), 1)

    def test_what_is_told_takes_the_prompts_place(self):
        with Server(echo) as server:
            self.start(server.url)
            self.expect("> ")
            self.type("connect\n")
            self.expect("connected;")
            self.expect("> ")
            self.type("connect\n")
            self.expect(r"\r\x1b\[Kconnected;")
            self.expect("> ")
            self.process.send_signal(signal.SIGINT)
            self.expect(r"\r\n$")
            self.assertEqual(self.process.wait(TIMEOUT), 130)

    def test_a_url_that_is_none_leaves_all_as_it_is(self):
        with Server(echo) as server:
            self.start(server.url)
            self.expect("connected")
            self.type("connect nowhere\n")
            self.expect("try ws://nowhere")
            self.type("still here\n")
            self.assertEqual(self.message(), "still here")
            self.type("connect\n")
            self.expect("connected")
            self.type("again\n")
            self.assertEqual(self.message(), "again")
            self.type("exit\n")
            self.assertEqual(self.process.wait(TIMEOUT), 0)

    def test_lines_that_are_typed_while_it_is_down_are_refused(self):
        accepts = threading.Event()

        def once_now_and_once_later(conn):
            if accepts.is_set():
                conn.accept()
                echo_on(conn)
                return
            conn.read_request()
            conn.write(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n")

        with Server(once_now_and_once_later) as server:
            self.start(server.url, "--reconnect", "--set", "reconnect_delay=10ms", "--set",
                       "reconnect_max_delay=10ms")
            self.expect("connecting again in")
            self.type("lost\n")
            self.expect("not sent: there is no connection")
            accepts.set()
            self.expect("connected again")
            self.type("there\n")
            self.assertEqual(self.message(), "there")
            self.type("exit\n")
            self.assertEqual(self.process.wait(TIMEOUT), 0)

    def test_what_a_peer_says_does_not_steer_the_terminal(self):
        with Server(closes_with(close_payload(4000, "\x1b[2J\u009b2J\u00e4"))) as server:
            self.start(server.url)
            self.expect(r"with 4000: \?\[2J\?\?2J\u00e4\r\n")
            self.type("exit\n")
            self.assertEqual(self.process.wait(TIMEOUT), 1)

    def test_nor_does_a_message(self):
        master, slave = pty.openpty()
        try:
            with Server(sends((TEXT, "\x1b[2J\u009b2J\u00e4"))) as server:
                result = subprocess.run([WSOCK, "connect", server.url, "--count", "1"],
                                        stdin=subprocess.DEVNULL, stdout=slave,
                                        stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(os.read(master, 4096).decode("utf-8"),
                             "\\x1b[2J\\xc2\\x9b2J\u00e4\r\n")
        finally:
            os.close(master)
            os.close(slave)

    def test_end_of_input_closes(self):
        with Server(echo) as server:
            self.start(server.url)
            self.expect("> ")
            self.type("\x04")
            self.assertEqual(self.process.wait(TIMEOUT), 0)

    def test_a_server_that_cannot_be_reached_ends_it(self):
        self.start("ws+unix:/nonexistent/socket")
        self.assertEqual(self.process.wait(TIMEOUT), 3)

    def test_on_a_pipe_the_same_words_are_messages(self):
        words = "help\nexit\ndisconnect\nconnect\n\\x\n"
        with Server(echo) as server:
            self.assertEqual(run("connect", server.url, data=words).stdout, words)


class Reconnect(unittest.TestCase):
    """What is waited for is told; what is sent reaches whoever is there then."""

    SOON = ("--reconnect", "--set", "reconnect_delay=20ms")

    def test_lines_go_to_the_next_connection_when_one_ends(self):
        ends = [close_payload(1001, "later"), b"", close_payload(1012)]

        def one_message_each(conn):
            conn.accept()
            opcode, payload = conn.receive()
            conn.send(opcode, payload)
            if ends and opcode != CLOSE:
                end = ends.pop(0)
                if end:
                    conn.send(CLOSE, end)
                    conn.receive()
                return
            while opcode != CLOSE:
                opcode, payload = conn.receive()
                conn.send(opcode, payload)

        with Server(one_message_each) as server:
            process = Process("connect", server.url, *self.SOON)
            for i, why in enumerate((".* with 1001: later", ".*", ".* with 1012")):
                process.write(f"line {i}\n")
                self.assertEqual(process.line(), f"line {i}")
                self.assertRegex(process.error_line(),
                                 rf"^wsock connect: {why}; connecting again in 0\.\d\d\d s$")
                self.assertEqual(process.error_line(), "wsock connect: connected again")
            process.write("last\n")
            self.assertEqual(process.line(), "last")
            self.assertEqual(process.finish(), (0, "", ""))

    def test_a_line_that_is_read_while_it_closes_goes_to_the_next(self):
        closing, read = threading.Event(), threading.Event()

        def first_closes_slowly(conn):
            conn.accept()
            if not closing.is_set():
                conn.send(CLOSE, close_payload(1001))
                conn.receive()
                closing.set()
                read.wait(TIMEOUT)
                return
            echo_on(conn)

        with Server(first_closes_slowly) as server:
            process = Process("connect", server.url, *self.SOON)
            self.assertTrue(closing.wait(TIMEOUT))
            process.write("late\n")
            unread = b"\1"
            while any(unread):  # until the command has taken it from the pipe
                unread = fcntl.ioctl(process.popen.stdin, termios.FIONREAD, bytes(4))
            read.set()
            self.assertEqual(process.line(), "late")
            self.assertEqual(process.finish()[:2], (0, ""))

    def test_it_waits_for_a_server_that_is_not_there_yet(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        process = Process("connect", f"ws://127.0.0.1:{port}/echo", *self.SOON)
        self.assertRegex(process.error_line(), "cannot connect to .*; connecting again in ")
        with Serve(urls=(f"ws://127.0.0.1:{port}",)):
            process.write("there\n")
            self.assertEqual(process.line(), "there")
            status, out, _ = process.finish()
        self.assertEqual((status, out), (0, ""))

    def test_some_ends_are_for_good(self):
        with Server(lambda conn: conn.reject("404 Not Found")) as server:
            result = run("connect", server.url, *self.SOON, "-x", "x")
        self.assertEqual(result.returncode, 5)
        self.assertIn("404 Not Found", result.stderr)
        self.assertIn("not tried again (reconnect_stop)", result.stderr)
        self.assertNotIn("connecting again", result.stderr)

    def test_attempts_may_be_bounded(self):
        attempts = []

        def script(conn):
            conn.read_request()
            attempts.append(conn)

        with Server(script) as server:
            result = run("connect", server.url, *self.SOON, "--set", "reconnect_attempts=2")
        self.assertEqual((len(attempts), result.returncode), (3, 5), result.stderr)
        self.assertIn("not tried again (reconnect_attempts)", result.stderr)
        self.assertEqual(result.stderr.count("connecting again in"), 2)
        result = run("connect", "ws+unix:/nonexistent/socket", *self.SOON,
                     "--set", "reconnect_attempts=2")
        self.assertEqual(result.returncode, 3)
        self.assertEqual(result.stderr.count("connecting again in"), 2)

    def test_a_signal_ends_the_waiting(self):
        process = Process("connect", "ws+unix:/nonexistent/socket", "--reconnect",
                          "--set", "reconnect_delay=1h", "--set", "reconnect_max_delay=1h")
        self.assertIn("connecting again in ", process.error_line())
        process.signal(signal.SIGTERM)
        status, out, _ = process.finish()
        self.assertEqual((status, out), (130, ""))


if __name__ == "__main__":
    unittest.main()
