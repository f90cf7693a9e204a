# SPDX-License-Identifier: MIT
"""The conversations of vectors.json with `wsock serve`, or with the application app.c: the client's
part is sent, the server's is compared."""

import json
import os
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../integration/tools"))

from tool import Process, Serve  # noqa: E402
from ws_peer import CLOSE, TEXT, Client, close_payload  # noqa: E402

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"),
          encoding="utf-8") as file:
    CONVERSATIONS = json.load(file)["conversations"]


class Mismatch(AssertionError):
    """A frame is not as it should be."""


def match(pattern, value, known, where="frame"):
    """Compare a frame; a text $name is any value, the same one wherever it stands."""
    if isinstance(pattern, str) and pattern.startswith("$"):
        if known.setdefault(pattern, value) != value:
            raise Mismatch(f"{where}: {value!r}, and before {pattern} was {known[pattern]!r}")
    elif isinstance(pattern, dict) and isinstance(value, dict):
        if pattern.keys() != value.keys():
            raise Mismatch(f"{where}: fields {sorted(value)}, not {sorted(pattern)}")
        for name, inner in pattern.items():
            match(inner, value[name], known, f"{where}.{name}")
    elif isinstance(pattern, list) and isinstance(value, list):
        if len(pattern) != len(value):
            raise Mismatch(f"{where}: {value!r}, not {pattern!r}")
        for index, inner in enumerate(pattern):
            match(inner, value[index], known, f"{where}[{index}]")
    elif pattern != value or isinstance(pattern, bool) != isinstance(value, bool):
        raise Mismatch(f"{where}: {value!r}, not {pattern!r}")


def match_in_any_order(patterns, take, known):
    left = list(patterns)
    for _ in patterns:
        value = take()
        for pattern in left:
            attempt = dict(known)
            try:
                match(pattern, value, attempt)
            except Mismatch:
                continue
            known.update(attempt)
            left.remove(pattern)
            break
        else:
            raise Mismatch(f"{value!r} is none of {left!r}")


def filled_in(pattern, known):
    """What the client repeats of what the server has chosen."""
    if isinstance(pattern, str):
        return known.get(pattern, pattern)
    if isinstance(pattern, list):
        return [filled_in(inner, known) for inner in pattern]
    if isinstance(pattern, dict):
        return {name: filled_in(inner, known) for name, inner in pattern.items()}
    return pattern


class Actor:
    """A client that sends what it is told."""

    def __init__(self, port):
        self.client = Client(port, "/rooms", "wsock.rooms.v1")
        self.is_open = True

    def put(self, frame):
        self.client.send(TEXT, json.dumps(frame))

    def take(self):
        text = self.client.receive_message()
        if not isinstance(text, str):
            raise Mismatch(f"{text!r} in the place of a frame")
        return json.loads(text)

    def enter(self, name, room):
        self.put([{"type": "hello", "name": name, "id": "hello"},
                  {"type": "join", "room": room, "id": "join"}])
        for which in ("hello", "join"):
            answer = self.take()
            if answer.get("re") != which or "ok" not in answer:
                raise Mismatch(f"{name} could not enter: {answer}")

    def is_closed_with(self, code):
        told = self.client.receive_message()
        if told != code:
            raise Mismatch(f"{told!r}, and not closed with {code}")
        self.client.send(CLOSE, close_payload(code))
        self.client.sock.close()
        self.is_open = False

    def lose(self):
        self.client.abort()
        self.is_open = False

    def close(self):
        if self.is_open:
            self.client.close()


class Application(Process):
    """The program app.c."""

    def __init__(self, *options):
        super().__init__(*options, program=os.environ["ROOMS_V1_APP"])
        self.port = 0

    def __enter__(self):
        line = self.line()
        if not line.startswith("listening on "):
            self.end()
            raise AssertionError(f"the application does not listen: {line!r}")
        self.port = urllib.parse.urlsplit(line.removeprefix("listening on ")).port
        return self

    def __exit__(self, kind, error, _):
        self.end(kind, error)

    def end(self, kind=None, error=None):
        """Its input has an end. What it says then tells of an error that it is the reason of."""
        status, _, err = self.finish()
        if status != 0 or (kind is not None and err):
            raise AssertionError(f"the application ended with {status}: {err}") from error

    def tell(self, what):
        self.write(json.dumps(what) + "\n")
        answer = self.line()
        if answer != "done":
            raise Mismatch(f"{what}: {answer!r}")


class Play:
    """A conversation; each kind of step is a method."""

    def __init__(self, conversation, server):
        self.conversation = conversation
        self.host = server
        self.known = {}
        self.others = {}
        self.own = Actor(server.port)

    def run(self):
        for number, step in enumerate(self.conversation["steps"]):
            try:
                for _ in range(step.get("times", 1)):
                    self.take(step)
            except Mismatch as error:
                raise Mismatch(f"step {number}: {error}") from None
        for actor in (self.own, *self.others.values()):
            actor.close()

    def take(self, step):
        name = step.get("as")
        if name is not None and name not in self.others:
            self.others[name] = Actor(self.host.port)
            self.others[name].enter(name, step["client"].removeprefix("enters "))
            return
        actor = self.others[name] if name is not None else self.own
        (kind,) = step.keys() - {"as", "times"}
        getattr(self, kind)(actor, step[kind])

    def client(self, actor, frame):
        actor.put(filled_in(frame, self.known))

    def text(self, actor, text):
        actor.client.send(TEXT, text)

    def server(self, actor, frame):
        match(frame, actor.take(), self.known)

    def server_in_any_order(self, actor, frames):
        match_in_any_order(frames, actor.take, self.known)

    def closed(self, actor, code):
        actor.is_closed_with(code)

    def lost(self, actor, _):
        actor.lose()

    def again(self, _, __):
        self.own = Actor(self.host.port)

    def app(self, _, what):
        self.host.tell(what)

    def skip(self, *_):
        """Of a client only."""

    do = hears = later = skip


def play(conversation):
    if "application" in conversation:
        server = Application(*conversation["application"])
    else:
        server = Serve(*conversation.get("serve", []))
    with server:
        Play(conversation, server).run()


class Vectors(unittest.TestCase):
    def test_conversations(self):
        for conversation in CONVERSATIONS:
            with self.subTest(conversation["name"]):
                play(conversation)

    def test_a_frame_that_differs_is_found(self):
        pattern = {"a": "$x", "b": [1, {"c": "$x"}]}
        match(pattern, {"a": 5, "b": [1, {"c": 5}]}, {})
        for value in ({"a": 5, "b": [1, {"c": 6}]}, {"a": 5, "b": [1]}, {"a": 5},
                      {"a": 5, "b": [True, {"c": 5}]}, {"a": 5, "b": [1, {"c": 5}], "d": 1}):
            with self.assertRaises(Mismatch):
                match(pattern, value, {})


if __name__ == "__main__":
    unittest.main()
