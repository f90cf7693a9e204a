# SPDX-License-Identifier: MIT
"""The rooms of `wsock serve`: raw members, members with wsock.rooms.v1, and both."""

import base64
import json
import signal
import subprocess
import threading
import time
import unittest

from tool import TIMEOUT, Process, Serve, run
from ws_peer import BINARY, TEXT, Client


class V1(Client):
    """A member that speaks wsock.rooms.v1."""

    def __init__(self, port, path="/rooms"):
        super().__init__(port, path, "wsock.rooms.v1")
        self.ids = 0

    def put(self, **frame):
        self.send(TEXT, json.dumps(frame))

    def take(self):
        message = self.receive_message()
        return json.loads(message) if isinstance(message, str) else message

    def ask(self, **frame):
        """The answer to a request; other frames that come before it are an error."""
        self.ids += 1
        self.put(id=self.ids, **frame)
        answer = self.take()
        assert answer["re"] == self.ids, answer
        return answer

    def enter(self, name, room="lobby"):
        assert self.ask(type="hello", name=name)["ok"]["type"] == "welcome"
        return self.ask(type="join", room=room)["ok"]


class Rooms(unittest.TestCase):
    args = ()

    def setUp(self):
        self.serve = Serve(*self.args)
        self.serve.__enter__()
        self.addCleanup(self.serve.__exit__, None)

    def raw(self, path="/rooms/lobby"):
        client = Client(self.serve.port, path)
        self.addCleanup(client.sock.close)
        return client

    def v1(self, path="/rooms"):
        client = V1(self.serve.port, path)
        self.addCleanup(client.sock.close)
        return client

    def assert_error(self, answer, code):
        self.assertEqual(answer["err"]["code"], code)
        self.assertIsInstance(answer["err"]["text"], str)
        self.assertIsInstance(answer["err"]["retry"], bool)


class Raw(Rooms):
    def test_a_message_reaches_every_member_as_it_is(self):
        members = [self.raw() for _ in range(3)]
        other = self.raw("/rooms/other")
        for i, member in enumerate(members):  # each is in once its own message comes back
            member.send(TEXT, f"in {i}")
            while member.receive_message() != f"in {i}":
                pass
        members[0].send(TEXT, "mark")
        for member in members:
            while member.receive_message() != "mark":
                pass
        members[0].send(TEXT, "\u00e4 {\"not\": parsed}")
        members[0].send(BINARY, b"\x00\xff")
        for member in members:
            self.assertEqual(member.receive_message(), "\u00e4 {\"not\": parsed}")
            self.assertEqual(member.receive_message(), b"\x00\xff")
        other.send(TEXT, "elsewhere")
        self.assertEqual(other.receive_message(), "elsewhere")

    def test_names_that_are_none_are_refused_with_the_reason(self):
        for name in (".a", "a..b", "a.*", "%3E", "a%0Ab", "x" * 256):
            client = self.raw(f"/rooms/{name}")
            self.assertEqual(client.status, 400, name)
        self.assertEqual(self.raw("/rooms/match.17.chat").status, 101)
        self.assertEqual(self.raw("/rooms/" + "x" * 255).status, 101)

    def test_rooms_without_a_name_needs_the_subprotocol(self):
        self.assertEqual(self.raw("/rooms").status, 400)

    def test_two_terminals_chat(self):
        url = self.serve.url + "/rooms/lobby"
        ann = Process("connect", url)
        bob = Process("connect", url)
        ann.write("I am here\n")
        self.assertEqual(ann.line(), "I am here")
        bob.write("me too\n")
        while bob.line() != "me too":
            pass
        self.assertEqual(ann.line(), "me too")
        ann.write("bye\n")
        self.assertEqual(bob.line(), "bye")
        for process in (ann, bob):
            self.assertEqual(process.finish()[0], 0)


class Frames(Rooms):
    def test_hello_is_welcomed_with_an_identity_of_its_own(self):
        first, second, third = self.v1(), self.v1(), self.v1()
        answer = first.ask(type="hello", name="Ann", v=1, extra="ignored")["ok"]
        self.assertEqual(answer, {"type": "welcome", "v": 1, "identity": "Ann",
                                  "heartbeat_ms": 25000})
        self.assertEqual(second.ask(type="hello", name="Ann")["ok"]["identity"], "Ann-2")
        self.assertRegex(third.ask(type="hello")["ok"]["identity"], r"^guest-\d+$")
        first.close()
        deadline = time.monotonic() + TIMEOUT
        while self.v1().ask(type="hello", name="Ann")["ok"]["identity"] != "Ann":
            self.assertLess(time.monotonic(), deadline, "a name that is free again")

    def test_without_an_id_answers_come_as_frames(self):
        client = self.v1()
        client.put(type="hello", name="Ann")
        self.assertEqual(client.take()["type"], "welcome")
        client.put(type="join", room="lobby")
        joined = client.take()
        self.assertEqual(joined, {"type": "joined", "room": "lobby", "count": 1,
                                  "recovered": False, "members": ["Ann"]})
        client.put(type="pub", room="lobby", data=1)
        self.assertEqual(client.take()["type"], "msg")
        client.put(type="leave", room="lobby")
        self.assertEqual(client.take(), {"type": "left", "room": "lobby", "reason": "asked"})

    def test_the_room_of_the_path_is_joined_already(self):
        client = self.v1("/rooms/lobby")
        client.put(type="hello", name="Ann")
        self.assertEqual(client.take()["type"], "welcome")
        self.assertEqual(client.take()["members"], ["Ann"])
        self.assert_error(client.ask(type="join"), "already")
        self.assertIs(client.ask(type="pub", data="x")["ok"], True)
        self.assertEqual(client.take()["data"], "x")

    def test_who_says_what_and_who_comes_and_goes(self):
        ann, bob = self.v1(), self.v1()
        ann.enter("Ann")
        joined = bob.enter("Bob")
        self.assertEqual((sorted(joined["members"]), joined["count"]), (["Ann", "Bob"], 2))
        self.assertEqual(ann.take(), {"type": "presence", "room": "lobby", "count": 2,
                                      "joined": ["Bob"]})
        before = time.time() * 1000
        bob.put(type="pub", room="lobby", event="note", data={"a": [1, None, "\u00e4"]})
        for member in (ann, bob):
            msg = member.take()
            self.assertAlmostEqual(msg.pop("time"), before, delta=5000)
            self.assertEqual(msg, {"type": "msg", "room": "lobby", "event": "note",
                                   "data": {"a": [1, None, "\u00e4"]}, "from": "Bob"})
        bob.close()
        self.assertEqual(ann.take(), {"type": "presence", "room": "lobby", "count": 1,
                                      "left": ["Bob"]})

    def test_a_member_that_is_cut_off_leaves(self):
        ann, bob = self.v1(), self.v1()
        ann.enter("Ann")
        bob.enter("Bob")
        self.assertEqual(ann.take()["joined"], ["Bob"])
        bob.abort()
        self.assertEqual(ann.take()["left"], ["Bob"])

    def test_one_connection_may_be_in_many_rooms(self):
        ann, bob = self.v1(), self.v1()
        ann.enter("Ann", "one")
        self.assertEqual(ann.ask(type="join", room="two")["ok"]["room"], "two")
        bob.enter("Bob", "two")
        self.assertEqual(ann.take()["room"], "two")
        bob.put(type="pub", room="two", data=2)
        self.assertEqual((ann.take()["data"], bob.take()["data"]), (2, 2))
        self.assertEqual(ann.ask(type="leave", room="two")["ok"],
                         {"type": "left", "room": "two", "reason": "asked"})
        self.assertEqual(bob.take()["left"], ["Ann"])
        self.assert_error(ann.ask(type="pub", room="two", data=1), "not_member")
        self.assertIs(ann.ask(type="pub", room="one", data=1)["ok"], True)

    def test_a_batch_is_answered_request_by_request(self):
        client = self.v1()
        batch = [{"type": "hello", "id": "h"}, {"type": "join", "room": "a", "id": "j"},
                 {"type": "nonsense", "id": "n"}, 7]
        client.send(TEXT, json.dumps(batch))
        answers = [client.take() for _ in batch]
        self.assertEqual([a["re"] for a in answers], ["h", "j", "n", None])
        self.assert_error(answers[2], "unknown_type")
        self.assert_error(answers[3], "bad_frame")
        client.send(TEXT, json.dumps([{"type": "hello"}] * 65))
        self.assert_error(client.take(), "too_big")

    def test_what_makes_no_sense_is_an_error_and_not_the_end(self):
        client = self.v1()
        self.assert_error(client.ask(type="join", room="lobby"), "hello_first")
        self.assert_error(client.ask(type="hello", name=""), "bad_name")
        self.assert_error(client.ask(type="hello", name="x" * 65), "bad_name")
        self.assert_error(client.ask(type="hello", name="a\nb"), "bad_name")
        self.assert_error(client.ask(type="hello", name="a\0b"), "bad_name")
        self.assert_error(client.ask(type="hello", name=5), "bad_name")
        self.assert_error(client.ask(type="hello", v=2), "bad_version")
        self.assertIn("ok", client.ask(type="hello", name="Ann"))
        self.assert_error(client.ask(type="hello", name="Ann"), "already")
        for room in ("", "a..b", "*", "x" * 256, 5, None):
            self.assert_error(client.ask(type="join", room=room), "bad_room")
        self.assert_error(client.ask(type="join"), "bad_room")
        self.assertIn("ok", client.ask(type="join", room="lobby"))
        self.assert_error(client.ask(type="join", room="lobby"), "already")
        self.assert_error(client.ask(type="pub", room="lobby"), "bad_frame")
        self.assert_error(client.ask(type="pub", room="lobby", data=1, event="e" * 65), "bad_frame")
        self.assert_error(client.ask(type="leave", room="other"), "not_member")
        self.assert_error(client.ask(type="history", room="lobby"), "no_history")
        self.assert_error(client.ask(type="pub", room="lobby", data={"b64": "="}), "bad_frame")

    def test_frames_are_bounded_before_they_are_parsed(self):
        client = self.v1()
        for text, code in (("{", "bad_json"), ("", "bad_json"), ("\"x\"", "bad_json"),
                           ("{\"type\": \"hello\", \"x\": " + "[" * 32 + "]" * 32 + "}", "bad_frame"), ("[" * 100000, "too_big"),
                           ("{\"type\": \"hello\", \"id\": {}}", "bad_frame"),
                           ("{\"type\": 5}", "bad_frame")):
            client.send(TEXT, text)
            answer = client.take()
            self.assertIsNone(answer["re"])
            self.assert_error(answer, code)
        client.send(BINARY, b"{}")
        self.assert_error(client.take(), "bad_frame")
        self.assertIn("ok", client.ask(type="hello"))


class Rate(Rooms):
    args = ("--set", "max_publish_rate=3")

    def test_a_v1_member_is_told_that_it_is_too_much(self):
        client = self.v1()
        client.enter("Ann")
        for _ in range(3):
            client.put(type="pub", room="lobby", data=1)
        client.put(type="pub", room="lobby", data=1, id=9)
        frames = [client.take() for _ in range(4)]
        self.assertEqual([f["data"] for f in frames if f.get("type") == "msg"], [1, 1, 1])
        answer = next(f for f in frames if f.get("re") == 9)
        self.assert_error(answer, "rate")
        self.assertIs(answer["err"]["retry"], True)

    def test_a_raw_member_is_sent_away(self):
        client = self.raw()
        for _ in range(4):
            client.send(TEXT, "x")
        answer = client.receive_message()
        while answer == "x":  # the close may overtake what it said to the room
            answer = client.receive_message()
        self.assertEqual(answer, 1008)


class Both(Rooms):
    args = ("--workers", "4", "--set", "max_backlog_bytes=64MiB")

    def test_raw_and_v1_members_hear_each_other(self):
        ann = self.v1()
        ann.enter("Ann")
        raw = self.raw("/rooms/lobby?name=Bob")
        self.assertEqual(ann.take()["joined"], ["Bob"])
        raw.send(TEXT, "hello \u00e4\n")
        msg = ann.take()
        self.assertEqual((msg["event"], msg["data"], msg["from"]),
                         ("message", "hello \u00e4\n", "Bob"))
        self.assertEqual(raw.receive_message(), "hello \u00e4\n")
        raw.send(BINARY, b"\x00\x01")
        self.assertEqual(ann.take()["data"], {"b64": "AAE="})
        self.assertEqual(raw.receive_message(), b"\x00\x01")
        for data, expected in (("text \u00e4", "text \u00e4"), ({"a": [1, 2]}, "{\"a\":[1,2]}"),
                               (None, "null"), (7, "7"), ("", ""),
                               ({"b64": base64.b64encode(b"\xff" * 7).decode()}, b"\xff" * 7),
                               ({"b64": "AA==", "x": 1}, "{\"b64\":\"AA==\",\"x\":1}")):
            ann.put(type="pub", room="lobby", data=data)
            self.assertEqual(ann.take()["data"], data)
            self.assertEqual(raw.receive_message(), expected)
        raw.close()
        self.assertEqual(ann.take()["left"], ["Bob"])

    def test_a_raw_name_that_is_none_gives_a_guest(self):
        ann = self.v1()
        ann.enter("Ann")
        self.raw("/rooms/lobby?name=" + "x" * 65)
        self.assertRegex(ann.take()["joined"][0], r"^guest-\d+$")
        self.raw("/rooms/lobby?name=Ann")
        self.assertEqual(ann.take()["joined"], ["Ann-2"])

    def test_all_members_see_one_order(self):
        """Three senders as fast as they can on different workers, two that only listen."""
        each = 4000
        room = self.serve.url + "/rooms/lobby"
        listeners = [Process("connect", room),
                     Process("connect", self.serve.url + "/rooms", "-s", "wsock.rooms.v1")]
        listeners[1].write('{"type":"hello","id":1}\n{"type":"join","room":"lobby","id":2}\n')
        while json.loads(listeners[1].line()).get("re") != 2:
            pass
        listeners[0].write("ready\n")
        self.assertEqual(listeners[0].line(), "ready")
        senders = [Process("connect", room, "-w", "60", stdout=subprocess.DEVNULL)
                   for _ in range(3)]
        for who, sender in enumerate(senders):
            threading.Thread(target=sender.write, args=(
                "".join(f"{who} {i}\n" for i in range(each)),)).start()
        raw = [listeners[0].line() for _ in range(3 * each)]
        v1 = []
        while len(v1) < 3 * each:
            frame = json.loads(listeners[1].line())
            if frame.get("type") == "msg" and frame["data"] != "ready":
                v1.append(frame["data"])
        self.assertEqual(raw, v1)
        for who in range(3):
            own = [line for line in raw if line.startswith(f"{who} ")]
            self.assertEqual(own, [f"{who} {i}" for i in range(each)])
        for process in senders + listeners:
            process.signal(signal.SIGTERM)
            process.finish()


class Heartbeat(Rooms):
    args = ("--heartbeat", "0.2")

    def test_the_server_is_heard_every_heartbeat(self):
        client = self.v1()
        self.assertEqual(client.ask(type="hello")["ok"]["heartbeat_ms"], 200)
        start = time.monotonic()
        for _ in range(3):
            self.assertEqual(client.take(), {"type": "hb"})
        self.assertGreater(time.monotonic() - start, 0.5)


class HeartbeatSet(Rooms):
    args = ("--heartbeat", "3", "--set", "heartbeat=7s")

    def test_what_is_said_last_counts(self):
        self.assertEqual(self.v1().ask(type="hello")["ok"]["heartbeat_ms"], 7000)

    def test_a_heartbeat_that_cannot_be_is_told(self):
        result = run("serve", "--heartbeat", "0.01")
        self.assertEqual(result.returncode, 2)
        self.assertIn("heartbeat", result.stderr)


class Hello(Rooms):
    args = ("--set", "auth_timeout=300ms")

    def test_who_does_not_say_hello_is_closed(self):
        polite, silent = self.v1(), self.v1()
        self.assertIn("ok", polite.ask(type="hello"))
        self.assertEqual(silent.take(), 4408)
        self.assertIn("ok", polite.ask(type="join", room="lobby"))


class Ends(Rooms):
    def test_a_server_stopped_in_mid_talk_closes_with_1001(self):
        ann = self.v1()
        ann.enter("Ann")
        raw = self.raw()
        self.assertEqual(ann.take()["count"], 2)
        self.serve.signal(signal.SIGTERM)
        for member in (ann, raw):
            message = member.receive_message()
            while not isinstance(message, int):
                message = member.receive_message()
            self.assertEqual(message, 1001)
            member.send(8, b"\x03\xe9")


if __name__ == "__main__":
    unittest.main()
