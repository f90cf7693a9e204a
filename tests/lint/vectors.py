#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fails when the tables of rooms-v1.md and the conversations of vectors.json do not fit: each frame,
field, error and close code of the tables has a conversation, which has nothing that they have not.
A frame and a field need one that clients play too, which is one with `do`.

usage: vectors.py ROOMS_V1_MD VECTORS_JSON
"""

import json
import re
import sys

# Of answers, which the rules tell of and no table.
_ENVELOPE = {"type", "id", "re", "ok", "err"}
_FREE = "call"  # is answered with what the application says
_UNKNOWN = "later"  # a field that no version has: who hears it ignores it


def rows(text, heading):
    """The cells of a table below a heading, without its head."""
    part = re.split(r"^## ", text.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def names(cell):
    return re.findall(r"`([a-z0-9_]+)`", cell)


class Seen:
    """What stands in the conversations: whether clients play it, too."""

    def __init__(self):
        self.client, self.server, self.answers = {}, {}, {}
        self.errors, self.closes, self.reasons = {}, {}, set()

    @staticmethod
    def add(where, what, played):
        where[what] = where.get(what, False) or played

    def frame(self, where, kind, frame, played):
        self.add(where, (kind, None), played)
        for field in frame.keys() - _ENVELOPE - {_UNKNOWN}:
            self.add(where, (kind, field), played)

    def from_server(self, frame, asked, played):
        if "err" in frame:
            self.add(self.errors, frame["err"]["code"], played)
        elif isinstance(frame.get("ok"), dict) and "type" not in frame["ok"]:
            self.frame(self.answers, asked.get(frame["re"]), frame["ok"], played)
            for message in frame["ok"].get("messages", []):
                self.from_server(message, asked, played)
        elif isinstance(frame.get("ok", frame), dict):
            told = frame.get("ok", frame)
            self.frame(self.server, told["type"], told, played)
            if told["type"] == "left":
                self.reasons.add(told["reason"])

    def conversation(self, steps):
        played = any("do" in step for step in steps)
        asked = {}
        for step in steps:
            sent = step.get("client")
            for frame in sent if isinstance(sent, list) else [sent]:
                if isinstance(frame, dict) and "type" in frame:
                    asked[frame.get("id")] = frame["type"]
                    self.frame(self.client, frame["type"], frame, played and "as" not in step)
            for frame in [step.get("server"), *step.get("server_in_any_order", [])]:
                if frame is not None:
                    self.from_server(frame, asked, played and "as" not in step)
            if "closed" in step:
                self.add(self.closes, step["closed"], played)


def frames(text, heading, column=1):
    return {(names(row[0])[0], field) for row in rows(text, heading)
            for field in [None, *names(row[column])]}


def compare(what, told, seen, found):
    for kind, field in sorted(told, key=str):
        if not seen.get((kind, field), False):
            found.append(f"{what} {kind}, {field or 'the frame'}: in no conversation that clients play")
    for kind, field in sorted(seen.keys() - told, key=str):
        found.append(f"{what} {kind}, {field or 'the frame'}: is not in the table")


def answers(text):
    """Of requests whose answer is an object without a type."""
    cells = {names(row[0])[0]: row[2] for row in rows(text, "What a client sends")}
    return {kind: set(re.findall(r'"([a-z_]+)"', cell)) for kind, cell in cells.items()}


def of_answers(text, seen, found):
    told = {(kind, field) for kind, fields in answers(text).items() for field in fields}
    seen_of_ours = {(kind, field): played for (kind, field), played in seen.answers.items()
                    if field is not None and kind != _FREE}
    compare("answer to", told, seen_of_ours, found)


def of_codes(text, seen, found):
    for row in rows(text, "Errors"):
        for code in names(row[0]):
            if code not in seen.errors:
                found.append(f"error {code}: in no conversation")
    listed = {int(code) for row in rows(text, "Close codes") for code in re.findall(r"^44\d\d$", row[0])}
    for code in sorted(listed):
        if not seen.closes.get(code, False):
            found.append(f"close code {code}: in no conversation that clients play")
    if not any(4400 <= code <= 4499 and code not in listed for code in seen.closes):
        found.append("no conversation closes with another code from 4400 to 4499")


def of_fields(text, seen, found):
    described = {field for row in rows(text, "Fields") for field in names(row[0])}
    used = {field for where in (seen.client, seen.server, seen.answers)
            for kind, field in where if field is not None and (where, kind) != (seen.answers, _FREE)}
    for field in sorted(described - used):
        found.append(f"field {field}: in no conversation")
    for field in sorted(used - described):
        found.append(f"field {field}: is not in the table of fields")
    (reason,) = [row[1] for row in rows(text, "Fields") if names(row[0]) == ["reason"]]
    for name in names(reason):
        if name not in seen.reasons | {"left"}:
            found.append(f"reason {name}: in no conversation")


def complaints(text, vectors):
    seen = Seen()
    found = []
    for conversation in vectors["conversations"]:
        seen.conversation(conversation["steps"])
    unknown = {(kind, field) for kind, field in seen.client if (kind, None) not in
               frames(text, "What a client sends")}
    known = {key: played for key, played in seen.client.items() if key not in unknown}
    compare("client's", frames(text, "What a client sends"), known, found)
    compare("server's", frames(text, "What a server sends"), seen.server, found)
    of_answers(text, seen, found)
    of_fields(text, seen, found)
    of_codes(text, seen, found)
    return found


def main(doc, vectors):
    with open(doc, encoding="utf-8") as file:
        text = file.read()
    with open(vectors, encoding="utf-8") as file:
        found = complaints(text, json.load(file))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
