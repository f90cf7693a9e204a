# SPDX-License-Identifier: MIT
"""The admin listener of `wsock serve`, and the commands that speak to it."""

import base64
import http.client
import json
import os
import pathlib
import signal
import socket
import stat
import tempfile
import unittest

from tool import Process, Serve, UnixConnection, run
from ws_peer import TEXT, Client

KEY = "a-key.that_only~this+test/has="


def outer_address():
    """An address of this machine that is not loopback's, or None. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


class Admin(unittest.TestCase):
    by_http = False
    more = ()

    def setUp(self):
        self.dir = pathlib.Path(self.enter(tempfile.TemporaryDirectory()))
        self.key_file = self.dir / "key"
        self.key_file.write_text(KEY + "\n", "ascii")
        self.path = str(self.dir / "admin.sock")
        args = ["--admin", f"unix:{self.path}"]
        if self.by_http:
            args = ["--admin", "http://127.0.0.1:0", "--admin-key", str(self.key_file)]
        self.serve = self.enter(Serve(*args, *self.more))
        if isinstance(self.serve, Serve):
            self.url = self.serve.line().removeprefix("admin at ")

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def connection(self):
        if not self.by_http:
            return UnixConnection(self.path)
        return http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)

    def request(self, call, body=b"", method="POST", headers=None):
        """@return (status, headers, body)"""
        connection = self.connection()
        headers = {"Authorization": f"Bearer {KEY}"} if headers is None else headers
        connection.request(method, call, body, headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, response.headers, data

    def ask(self, call, **args):
        status, headers, body = self.request(call, json.dumps(args))
        self.assertEqual(headers["Content-Type"], "application/json")
        answer = json.loads(body)
        self.assertEqual(list(answer), ["ok"] if status == 200 else ["err"], answer)
        return answer["ok"] if status == 200 else (status, answer["err"]["code"])

    def member(self, room="lobby", name="ann"):
        client = Client(self.serve.port, f"/rooms/{room}?name={name}")
        self.addCleanup(client.sock.close)
        client.send(TEXT, "here")  # its answer says that it has joined
        self.assertEqual(client.receive_message(), "here")
        return client

    def command(self, *args, **more):
        place = ["--admin", self.url]
        if self.by_http:
            place += ["--admin-key", str(self.key_file)]
        return run(*args, *place, **more)


class Calls(Admin):
    more = ("--history", "3")

    def test_published_messages_reach_the_room(self):
        member = self.member()
        other = self.member("other")
        answer = self.ask("/publish", room="lobby", data="hello")
        self.assertEqual((answer["room"], answer["count"]), ("lobby", 1))
        self.assertEqual(answer["position"]["offset"], 2)
        self.assertEqual(len(answer["position"]["epoch"]), 16)
        self.assertEqual(member.receive_message(), "hello")
        self.ask("/publish", room="lobby", data={"b64": "AAEC"})
        self.assertEqual(member.receive_message(), b"\0\1\2")
        self.ask("/publish", room="lobby", data={"a": [1, None]})
        self.assertEqual(member.receive_message(), '{"a":[1,null]}')
        answer = self.ask("/broadcast", rooms=["lobby", "a..b", "other", 7], data="all")
        self.assertEqual([room.get("count") for room in answer["rooms"]], [1, None, 1, None])
        self.assertIn("1 to 255 bytes", answer["rooms"][1]["err"])
        self.assertEqual([room["position"]["offset"] for room in answer["rooms"][::2]], [5, 2])
        self.assertEqual(member.receive_message(), "all")
        self.assertEqual(other.receive_message(), "all")

    def test_members_of_rooms_v1_get_frames(self):
        first, second = (Client(self.serve.port, "/rooms/lobby", "wsock.rooms.v1")
                         for _ in range(2))
        for client, name in ((first, "ann"), (second, "bob")):
            self.addCleanup(client.sock.close)
            client.send(TEXT, json.dumps({"type": "hello", "name": name}))
            while self.frame(client)["type"] != "joined":
                pass
        answer = self.ask("/publish", room="lobby", data={"a": 1}, event="news", **{"from": "eve"})
        for client in (first, second):
            frame = self.frame(client, "msg")
            self.assertGreater(frame.pop("time"), 1600000000000)
            self.assertEqual(frame, {"type": "msg", "room": "lobby", "event": "news",
                                     "data": {"a": 1}, "from": "eve", "prev": 0,
                                     **answer["position"]})
        self.ask("/publish", room="lobby", data={"b64": "AAEC"}, **{"except": "ann"})
        self.assertEqual(self.frame(first, "skip")["offset"], 2)
        frame = self.frame(second, "msg")
        self.assertEqual((frame["data"], frame["event"]), ({"b64": "AAEC"}, "message"))
        self.assertNotIn("from", frame)
        answer = self.ask("/presence", room="lobby")
        self.assertEqual(sorted(member["identity"] for member in answer["members"]),
                         ["ann", "bob"])
        self.assertEqual((answer["people"], answer["connections"]), (2, 2))
        self.assertEqual(self.ask("/disconnect", identity="ann", room="lobby", reason="out"),
                         {"count": 1})
        self.assertEqual(self.frame(first, "left")["room"], "lobby")
        self.assertEqual(self.ask("/disconnect", identity="bob", code=4403), {"count": 1})
        while isinstance(message := second.receive_message(), str):
            pass
        self.assertEqual(message, 4403)
        self.assertEqual(self.ask("/disconnect", identity="ann", code=4409), {"count": 1})
        while isinstance(message := first.receive_message(), str):
            pass
        self.assertEqual(message, 4409)

    @staticmethod
    def frame(client, kind=None):
        """The next frame, of that type if one is named."""
        while True:
            frame = json.loads(client.receive_message())
            if kind in (None, frame["type"]):
                return frame

    def test_history_tells_the_last_messages(self):
        self.member()
        for n in range(4):
            self.ask("/publish", room="lobby", data=n, event="count", key="k")
        answer = self.ask("/history", room="lobby")
        self.assertEqual([m["data"] for m in answer["messages"]], [1, 2, 3])
        last = answer["messages"][-1]
        self.assertEqual((last["offset"], last["prev"], last["event"], last["key"]),
                         (5, 4, "count", "k"))
        self.assertEqual(answer["position"]["offset"], 5)
        answer = self.ask("/history", room="lobby", limit=1, before=4)
        self.assertEqual([m["offset"] for m in answer["messages"]], [3])
        self.assertEqual(self.ask("/history", room="nobody"), (404, "no_room"))

    def test_rooms_and_info_count(self):
        self.member()
        self.member("match.1")
        self.member("match.2")
        answer = self.ask("/rooms")
        self.assertEqual([room["room"] for room in answer["rooms"]],
                         ["lobby", "match.1", "match.2"])
        self.assertEqual([room["count"] for room in answer["rooms"]], [1, 1, 1])
        answer = self.ask("/rooms", pattern="match.*", limit=1)
        self.assertEqual((len(answer["rooms"]), answer["total"]), (1, 2))
        answer = self.ask("/info")
        self.assertEqual((answer["connections"], answer["rooms"]), (3, 3))
        self.assertEqual(answer["cluster"], {"state": "none", "why": ""})
        answer = self.ask("/presence", room="lobby")
        self.assertEqual(answer["connections"], 1)

    def test_arguments_that_make_no_sense_are_refused(self):
        for call, args in (
                ("/publish", {}), ("/publish", {"room": "lobby"}),
                ("/publish", {"room": 1, "data": 1}), ("/publish", {"room": "a*", "data": 1}),
                ("/publish", {"room": "lobby", "data": {"b64": "A"}}),
                ("/publish", {"room": "lobby", "data": 1, "event": ""}),
                ("/publish", {"room": "lobby", "data": 1, "event": 1}),
                ("/broadcast", {"rooms": "lobby", "data": 1}),
                ("/history", {"room": "a", "limit": -1}), ("/history", {"room": "a", "before": "1"}),
                ("/rooms", {"pattern": "a..b"}), ("/rooms", {"limit": 1.5}),
                ("/disconnect", {}), ("/disconnect", {"identity": "ann", "code": 99999}),
                ("/disconnect", {"identity": "ann", "code": 1006})):
            with self.subTest(call=call, args=args):
                self.assertEqual(self.ask(call, **args), (400, "bad_args"))
        for body in (b"[]", b"{", b"null", b'{"room":"a","room":"b"}', b"\xff"):
            with self.subTest(body=body):
                status, _, answer = self.request("/publish", body)
                self.assertEqual((status, json.loads(answer)["err"]["code"]), (400, "bad_json"))
        self.assertEqual(self.ask("/nothing"), (404, "unknown_call"))
        self.assertEqual(self.ask("/publish/"), (404, "unknown_call"))
        self.assertEqual(self.request("/rooms", method="GET")[0], 405)
        self.assertEqual(self.request("/publish", b"x" * 1048577)[0], 413)

    def test_an_upgrade_at_the_listener_is_404(self):
        status, _, _ = self.request("/rooms", method="GET", headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        self.assertEqual(status, 404)


class CallsByHttp(Calls):
    by_http = True


class Commands(Admin):
    def test_publish_takes_text_json_bytes_and_input(self):
        member = self.member()
        result = self.command("publish", "lobby", "hello")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(json.loads(result.stdout), {"room": "lobby", "count": 1})
        self.assertEqual(member.receive_message(), "hello")
        self.command("publish", "lobby", "--json", "[1, 2]")
        self.assertEqual(member.receive_message(), "[1,2]")
        self.command("publish", "lobby", data="from a pipe\n")
        self.assertEqual(member.receive_message(), "from a pipe\n")
        self.command("publish", "lobby", "-", "--binary", data=b"\0\xff")
        self.assertEqual(member.receive_message(), b"\0\xff")
        result = self.command("publish", "lobby", "-", data=b"\xff")
        self.assertEqual(result.returncode, 2)
        self.assertIn("no UTF-8", result.stderr)
        result = self.command("publish", "lobby", "{", "--json")
        self.assertEqual(result.returncode, 2)
        result = self.command("publish", "a..b", "x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("wsock publish: refused: ", result.stderr)

    def test_rooms_prints_a_table(self):
        self.member()
        self.member("match.1")
        self.member("match.1", "bob")
        result = self.command("rooms")
        self.assertEqual(result.stdout, "      1 lobby\n      2 match.1\n")
        result = self.command("rooms", "match.*", "--json")
        self.assertEqual(json.loads(result.stdout),
                         {"rooms": [{"room": "match.1", "count": 2}], "total": 1})
        result = self.command("rooms", "--limit", "1")
        self.assertEqual(result.stderr, "wsock rooms: and 1 more\n")

    def test_kick_of_nobody_is_told(self):
        result = self.command("kick", "nobody")
        self.assertEqual((result.returncode, result.stdout), (1, "0\n"))
        self.assertIn("nobody is not there", result.stderr)

    def test_environment_says_where(self):
        more = {"WSOCK_ADMIN": self.url}
        if self.by_http:
            more["WSOCK_ADMIN_KEY"] = str(self.key_file)
        result = run("rooms", env={**os.environ, **more})
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        if not self.by_http:
            result = run("rooms", env={**os.environ, **more, "WSOCK_ADMIN_KEY": ""})
            self.assertEqual((result.returncode, result.stdout), (0, ""))
        result = run("rooms", env={**os.environ, "WSOCK_ADMIN": "here"})
        self.assertEqual(result.returncode, 2)
        self.assertIn('WSOCK_ADMIN takes unix:/PATH', result.stderr)
        result = run("rooms", env={**os.environ, "WSOCK_ADMIN": ""})
        self.assertIn("where is the server?", result.stderr)

    def test_names_that_are_none_are_explained(self):
        result = self.command("publish", "a..b", "text")
        self.assertEqual(result.returncode, 1)
        self.assertIn("refused: room: 1 to 255 bytes", result.stderr)
        result = self.command("rooms", "a.**")
        self.assertEqual(result.returncode, 1)
        self.assertIn("refused: pattern: a name in which", result.stderr)

    def test_what_is_wrong_is_told(self):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith("WSOCK_ADMIN")}
        for args, status, text in (
                (("publish",), 2, "which room?"), (("kick",), 2, "whom?"),
                (("publish", "a", "b", "c"), 2, "one argument too many: c"),
                (("rooms",), 2, "WSOCK_ADMIN"),
                (("cluster",), 2, "wsock cluster nodes lists"),
                (("cluster", "node"), 2, "nothing but wsock cluster nodes"),
                (("rooms", "--admin", "ws://127.0.0.1:1"), 2, "--admin takes"),
                (("rooms", "--admin", "http://127.0.0.1:99999"), 2, "--admin takes"),
                (("rooms", "--admin", "unix:/nowhere/at/all"), 3, "No such file"),
                (("rooms", "--admin", "unix:/x", "--admin-key", "/nowhere"), 1, "cannot read"),
                (("kick", "a", "--code", "1"), 2, "--code takes"),
                (("rooms", "--limit", "0"), 2, "--limit takes")):
            with self.subTest(args=args):
                result = run(*args, env=env)
                self.assertEqual(result.returncode, status, result.stderr)
                self.assertIn(text, result.stderr)
        result = run("rooms", "--admin", f"http://127.0.0.1:{self.serve.port}")
        self.assertEqual(result.returncode, 1)
        self.assertIn("is no admin listener", result.stderr)


class CommandsByHttp(Commands):
    by_http = True


class Strangers(Admin):
    by_http = True

    def refused(self, status, call="/info", **more):
        answer = self.request(call, b"{}", **more)
        self.assertEqual(answer[0], status)
        self.assertNotIn(b"version", answer[2])
        return answer

    def test_who_has_no_key_or_a_wrong_one_is_refused(self):
        _, headers, _ = self.refused(401, headers={})
        self.assertEqual(headers["WWW-Authenticate"], "Bearer")
        for value in (f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer ", "Bearer", KEY,
                      f"Basic {base64.b64encode((':' + KEY).encode()).decode()}",
                      f"Bearer {KEY[:-2]}A="):
            with self.subTest(value=value):
                self.refused(401, headers={"Authorization": value})
        # who asks for what is not there learns no more
        self.refused(401, "/nothing", headers={})
        self.assertEqual(self.request("/info")[0], 200)

    def test_pages_are_refused_even_with_the_key(self):
        for name, value in (("Origin", "http://127.0.0.1"), ("Origin", "null"),
                            ("Sec-Fetch-Site", "same-origin")):
            with self.subTest(name=name):
                self.refused(403, headers={"Authorization": f"Bearer {KEY}", name: value})
        self.assertEqual(self.request("/info", method="OPTIONS")[0], 405)

    def test_public_listener_knows_no_calls(self):
        for call in ("/publish", "/info", "/rooms", "/disconnect"):
            connection = http.client.HTTPConnection("127.0.0.1", self.serve.port, timeout=20)
            connection.request("POST", call, b"{}", {"Authorization": f"Bearer {KEY}"})
            self.assertEqual(connection.getresponse().status, 405)
            connection.close()

    def test_no_other_address_of_the_machine_answers(self):
        outer = outer_address()
        port = int(self.url.rsplit(":", 1)[1])
        for address in ("127.0.0.2", outer) if outer else ("127.0.0.2",):
            with self.subTest(address=address), self.assertRaises(ConnectionRefusedError):
                socket.create_connection((address, port), timeout=20).close()


class Places(unittest.TestCase):
    def test_socket_is_its_owners(self):
        with tempfile.TemporaryDirectory() as name:
            path = os.path.join(name, "admin.sock")
            old = os.umask(0)
            try:
                serve = Serve("--admin", f"unix:{path}")
            finally:
                os.umask(old)
            with serve:
                self.assertEqual(serve.line(), f"admin at unix:{path}")
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
                # what else the server makes is not changed
            self.assertFalse(os.path.exists(path))

    def test_places_that_others_reach_are_refused(self):
        with tempfile.TemporaryDirectory() as name:
            key = os.path.join(name, "key")
            with open(key, "w", encoding="ascii") as file:
                file.write(KEY)
            for url in ("http://0.0.0.0:0", "http://*:0", "http://192.0.2.1:0", "http://[::]:0",
                        "http://example.com:0", "https://127.0.0.1:0", "ws://127.0.0.1:0",
                        "127.0.0.1:0", "http://127.0.0.1", "http://127.0.0.1:0/x", "unix:x",
                        "http://127.0.0.1:0@192.0.2.1:0", "http://[::ffff:192.0.2.1]:0",
                        "http://127.1:0"):
                with self.subTest(url=url):
                    result = run("serve", "ws://127.0.0.1:0", "--admin", url, "--admin-key", key)
                    self.assertEqual(result.returncode, 2, result.stderr)
                    self.assertIn("--admin takes", result.stderr)

    def test_http_without_a_key_is_refused(self):
        result = run("serve", "ws://127.0.0.1:0", "--admin", "http://127.0.0.1:0")
        self.assertEqual(result.returncode, 2)
        self.assertIn("needs --admin-key", result.stderr)
        result = run("serve", "ws://127.0.0.1:0", "--admin-key", "/x")
        self.assertEqual(result.returncode, 2)
        self.assertIn("with --admin only", result.stderr)

    def test_keys_that_are_none_are_refused(self):
        with tempfile.TemporaryDirectory() as name:
            key = os.path.join(name, "key")
            for text, status in (("short", 2), ("sixteen letters\nand", 2), ("x" * 70000, 1),
                                 ("with blanks in the middle", 2), ("", 2)):
                with self.subTest(text=text[:20]):
                    with open(key, "w", encoding="ascii") as file:
                        file.write(text)
                    result = run("serve", "ws://127.0.0.1:0", "--admin", "http://127.0.0.1:0",
                                 "--admin-key", key)
                    self.assertEqual(result.returncode, status, result.stderr)
                    self.assertIn("--admin-key", result.stderr)

    def test_key_of_a_unix_socket_is_needed_too(self):
        with tempfile.TemporaryDirectory() as name:
            key, path = os.path.join(name, "key"), os.path.join(name, "admin.sock")
            with open(key, "w", encoding="ascii") as file:
                file.write(KEY)
            with Serve("--admin", f"unix:{path}", "--admin-key", key) as serve:
                serve.line()
                self.assertEqual(run("rooms", "--admin", f"unix:{path}").returncode, 1)
                self.assertEqual(run("rooms", "--admin", f"unix:{path}", "--admin-key",
                                     key).returncode, 0)

    def test_flags_of_rooms_are_options(self):
        for flag, value in (("--history", "x"), ("--slow", "never")):
            result = run("serve", flag, value)
            self.assertEqual(result.returncode, 2)
            self.assertIn(flag, result.stderr)
        with Serve("--history", "5", "--slow", "latest_only"):
            pass

    def test_listener_goes_with_the_server(self):
        with tempfile.TemporaryDirectory() as name:
            path = os.path.join(name, "admin.sock")
            serve = Process("serve", "ws://127.0.0.1:0", "--admin", f"unix:{path}")
            serve.line()
            serve.line()
            waits = socket.socket(socket.AF_UNIX)  # who asks nothing holds up nothing
            waits.connect(path)
            serve.signal(signal.SIGTERM)
            status, _, err = serve.finish()
            self.assertEqual((status, err), (0, ""))
            waits.close()


if __name__ == "__main__":
    unittest.main()
