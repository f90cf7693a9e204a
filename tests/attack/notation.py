# SPDX-License-Identifier: MIT
"""How cases are written (README.md): bytes that know the peer which sends them, the steps
in which they leave, and the list of all cases."""

import struct

from target import CLIENT, SERVER
from ws_peer import accept_key, masked

KIB, MIB = 1024, 1024 * 1024
BOTH = (SERVER, CLIENT)


# ---- bytes ----

class Bytes:
    """Bytes that are made when the peer is known: make(peer). They add up and repeat."""

    def __init__(self, make):
        self.make = make

    def __add__(self, other):
        return Bytes(lambda peer: self.make(peer) + made(other, peer))

    def __radd__(self, other):
        return Bytes(lambda peer: made(other, peer) + self.make(peer))

    def __mul__(self, count):
        return Bytes(lambda peer: self.make(peer) * count)


def made(what, peer):
    return what.make(peer) if isinstance(what, Bytes) else what


KEY = bytes.fromhex("37fa213d")


def frame(first, payload=b"", *, length=None, form=None, mask=True):
    """A frame whose first byte is given: FIN 0x80, reserved bits 0x70, opcode. It is masked as
    the peer's role demands (mask=False: the other way round). `length` is declared instead
    of the payload's; `form` 16 or 64 spells it longer than need be."""
    declared = len(payload) if length is None else length
    form = form or (7 if declared < 126 else 16 if declared < 65536 else 64)

    def make(peer):
        bit = 0x80 if (peer.role == SERVER) == mask else 0
        head = bytes([first, bit | {7: declared & 0x7f, 16: 126, 64: 127}[form]])
        if form == 16:
            head += struct.pack(">H", declared)
        elif form == 64:
            head += struct.pack(">Q", declared)
        return head + (KEY + masked(payload, KEY) if bit else payload)

    return Bytes(make)


def close(code, reason=b""):
    """A close frame; code None: without one."""
    return frame(0x88, b"" if code is None else struct.pack(">H", code) + reason)


def head(first, fields, changes, more):
    """Lines of a head. A change replaces the field of that name (with - for _): None leaves it
    out, a list repeats it."""
    lines = [first]
    for name, value in fields.items():
        value = changes.pop(name.lower().replace("-", "_"), value)
        for one in [] if value is None else value if isinstance(value, list) else [value]:
            lines.append(f"{name}: {one}")
    assert not changes, f"no such field: {changes}"
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1")


def request(first="GET / HTTP/1.1", more=(), **changes):
    """A good opening request, but for what is changed; `more` are lines behind it."""
    return head(first, {"Host": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade",
                        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                        "Sec-WebSocket-Version": "13"}, dict(changes), more)


def answer(first="HTTP/1.1 101 Switching Protocols", more=(), **changes):
    """A good answer to the client's request, but for what is changed."""
    return Bytes(lambda peer: head(
        first, {"Upgrade": "websocket", "Connection": "Upgrade",
                "Sec-WebSocket-Accept": accept_key(peer.fields["sec-websocket-key"])},
        dict(changes), more))


# ---- steps ----

class Step:
    """What a peer does; between two steps what it sent is awaited to be read."""

    def __init__(self, act):
        self.act = act


def each_byte(what):
    """One byte to a segment, each read before the next is sent."""
    def act(peer):
        for byte in made(what, peer):
            if not peer.send(bytes([byte])):
                return
            peer.target.echo()
    return Step(act)


def flood(what, times):
    """As often as said, or until the target has had enough; the bystander is heard in between."""
    def act(peer):
        piece = made(what, peer)
        batch = max(1, 64 * KIB // len(piece))
        for _ in range(0, times, batch):
            if not peer.send(piece * batch):
                return
            peer.target.echo()
    return Step(act)


RESET = Step(lambda peer: peer.reset())
END = Step(lambda peer: peer.end())


# ---- cases ----

class Family:
    """A row of docs/hostile-input.md."""

    def __init__(self, bad, happens):
        self.bad, self.happens, self.names = bad, happens, []
        self.file = file


class Case:
    def __init__(self, name, roles, play, options, heap):
        self.name, self.roles, self.play = name, roles, play
        self.options = tuple(sorted((options or {}).items()))
        self.heap = heap


file = ""  # of cases/, that is being read
families = []
cases = {}
CAUSES = {1002: "PROTOCOL", 1007: "PROTOCOL", 1008: "LIMIT", 1009: "LIMIT"}


def family(bad, happens):
    """The cases that follow show this: some bad input, and what happens."""
    families.append(Family(bad, happens))


def _add(case):
    assert case.name not in cases, f"two cases {case.name}"
    cases[case.name] = case
    families[-1].names.append(case.name)


def script(*roles, options=None, heap=16 * KIB):
    """The function is a case: it plays a Run (attack.py)."""
    def add(function):
        _add(Case(function.__name__, roles or BOTH, function, options, heap))
        return function
    return add


def case(name, *steps, code=None, cause=None, says="", messages=0, stays=False, roles=BOTH,
         options=None, heap=16 * KIB):
    """On an open connection the peer does the steps; then the target
      - sends a close frame with `code` and tells its application `cause` (that which goes with
        the code unless given), with `says` in the sentence; or
      - tells the cause without a close frame; or
      - `stays`: still echoes.
    It never has more than `heap` bytes for this peer, delivers `messages`, and echoes beside it
    for the bystander."""
    def play(run):
        peer = run.open()
        peer.do(steps)
        if stays:
            run.expect_still_open(peer, messages)
        else:
            run.expect_close(peer, code, cause or CAUSES[code], says, messages)
    assert stays or cause or code in CAUSES
    _add(Case(name, roles, play, options, heap))


def refused(name, *steps, status, says="", options=None, heap=48 * KIB):
    """A server that is sent this instead of an opening request answers with the status, once,
    and ends the connection; `says` is in its log."""
    def play(run):
        peer = run.connect()
        peer.do(steps)
        run.expect_refusal(peer, status, says)
    _add(Case(name, (SERVER,), play, options, heap))


def unopened(name, *steps, cause="HANDSHAKE", says="", subprotocol="", options=None,
             heap=16 * KIB):
    """A client that is answered this tells the cause with `says` in its sentence, sends nothing
    more, and ends the connection."""
    def play(run):
        peer = run.connect(subprotocol)
        peer.do(steps)
        run.expect_failure(peer, cause, says)
    _add(Case(name, (CLIENT,), play, options, heap))
