# SPDX-License-Identifier: MIT
"""The conversations of vectors.json with `wsock serve`: the client's part is sent, the server's is
compared."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../integration/tools"))

from tool import Serve  # noqa: E402
from ws_peer import TEXT, Client  # noqa: E402

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


class Actor:
    """A client that sends what it is told."""

    def __init__(self, port):
        self.client = Client(port, "/rooms", "wsock.rooms.v1")

    def put(self, frame):
        self.client.send(TEXT, json.dumps(frame))

    def take(self):
        return json.loads(self.client.receive_message())

    def enter(self, name, room):
        self.put([{"type": "hello", "name": name, "id": "hello"},
                  {"type": "join", "room": room, "id": "join"}])
        for which in ("hello", "join"):
            answer = self.take()
            if answer.get("re") != which or "ok" not in answer:
                raise Mismatch(f"{name} could not enter: {answer}")


def play(conversation):
    known = {}
    others = {}
    with Serve(*conversation.get("serve", [])) as serve:
        own = Actor(serve.port)
        for number, step in enumerate(conversation["steps"]):
            name = step.get("as")
            if "do" in step or "hears" in step:
                continue
            if name is not None and name not in others:
                others[name] = Actor(serve.port)
                others[name].enter(name, step["client"].removeprefix("enters "))
                continue
            actor = others[name] if name is not None else own
            try:
                if "client" in step:
                    actor.put(step["client"])
                elif "server_in_any_order" in step:
                    match_in_any_order(step["server_in_any_order"], actor.take, known)
                else:
                    match(step["server"], actor.take(), known)
            except Mismatch as error:
                raise Mismatch(f"step {number}: {error}") from None
        for actor in (own, *others.values()):
            actor.client.close()


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
