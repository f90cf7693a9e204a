#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plays the cases of hostile input: attack.py [--target PROGRAM] [--list] [FILE|CASE]...
FILE is one of cases/, without .py; a CASE may be a pattern (reset_*). README.md says how to add
one. --check-docs and --write-docs compare docs/hostile-input.md with the cases, or write it."""

import argparse
import fnmatch
import importlib
import pathlib
import select
import socket
import struct
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support" / "py")]

import notation  # noqa: E402
from target import CLIENT, SERVER, Failed, Target, check  # noqa: E402
from ws_peer import accept_key, masked, parse_fields  # noqa: E402

DOCS = HERE.parent.parent / "docs" / "hostile-input.md"
FILES = sorted(path.stem for path in (HERE / "cases").glob("*.py"))
CLOSE = 0x88
SLACK = 64 * 1024  # what the target may keep behind a case for the next (spare segments)
CONTEXTS = 512 * 1024  # and the compressors and buffers that connections share
BYSTANDER_WAITS = 2  # seconds at most, under whatever attack
CASE_TAKES = 10  # seconds at most


class Peer:
    """The bad peer's end of a connection."""

    def __init__(self, target, sock):
        self.target, self.role, self.sock = target, target.role, sock
        self.fields = {}  # of the client's request
        self.buffer = bytearray()  # taken from its front, which costs no copy
        self.ended = ""  # then "FIN" or "RST"

    # ---- out ----

    def send(self, data):
        """@return False when the target is gone: what it said is still to be read."""
        try:
            self.sock.sendall(data)
            return True
        except ConnectionError:
            return False

    def send_until_stalled(self, data, limit):
        """Again and again, until the target reads no more. @return bytes taken."""
        sent, idle = 0, 0
        self.sock.setblocking(False)
        while idle < 3:
            try:
                # The rest of one that was cut comes first.
                sent += self.sock.send(data[sent % len(data):])
                idle = 0
            except BlockingIOError:
                self.target.echo()
                idle += 1
            check(sent < limit, f"the target took {sent} bytes and read on")
        self.sock.settimeout(self.target.deadline)
        return sent

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def end(self):
        self.sock.shutdown(socket.SHUT_WR)

    def do(self, steps):
        for step in steps:
            if isinstance(step, notation.Step):
                step.act(self)
            else:
                self.send(notation.made(step, self))
            self.target.echo()

    # ---- in ----

    def _more(self):
        """@return False at the end of the stream."""
        try:
            part = self.sock.recv(256 * 1024)
        except socket.timeout:
            raise Failed(f"the target neither answers nor ends; so far: {bytes(self.buffer[:200])}")
        except ConnectionResetError:
            self.ended = "RST"
            return False
        self.ended = "" if part else "FIN"
        self.buffer += part
        return bool(part)

    def is_quiet(self, seconds):
        """Nothing comes for so long."""
        return not self.buffer and not select.select([self.sock], [], [], seconds)[0]

    def is_gone(self):
        """The stream has ended and nothing came before; looks without waiting."""
        return bool(self.ended) or not self.is_quiet(0) and not self._more()

    def read(self, count):
        while len(self.buffer) < count:
            if not self._more():
                check(not self.buffer, f"the stream ends inside {bytes(self.buffer[:200])}")
                return None
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_rest(self):
        while self._more():
            pass
        return self.read(len(self.buffer))

    def read_head(self):
        """(first line, fields) of an HTTP head; (None, {}) at the end of the stream."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                check(not self.buffer, f"the stream ends inside {bytes(self.buffer[:200])}")
                return None, {}
        text = self.read(self.buffer.index(b"\r\n\r\n") + 4)[:-4]
        lines = text.decode("latin-1").split("\r\n")
        return lines[0], parse_fields(lines[1:])

    def read_frame(self):
        """(first byte, payload); (None, b"") at the end of the stream."""
        start = self.read(2)
        if start is None:
            return None, b""
        length = start[1] & 0x7f
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(self.read(size), "big")
        check(bool(start[1] & 0x80) == (self.role == CLIENT), "the frame's mask bit is wrong")
        key = self.read(4) if start[1] & 0x80 else None
        payload = self.read(length) if length else b""
        return start[0], masked(payload, key) if key else payload

    def read_close(self):
        """Skip to the close frame. @return (code, reason); (None, "") when none came."""
        while True:
            first, payload = self.read_frame()
            if first is None:
                return None, ""
            if first == CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                return code, payload[2:].decode("utf-8")

    # ---- opening ----

    def take_request(self):
        first, self.fields = self.read_head()
        check(first == "GET / HTTP/1.1", f"the client asks {first!r}")

    def answer(self):
        self.send(notation.made(notation.answer(more=self._agreement()), self))

    def _agreement(self):
        """To compression, if the client offers that, on its terms."""
        offer = self.fields.get("sec-websocket-extensions")
        terms = [one for one in (offer or "").split("; ") if "client_max_window" not in one]
        return ["Sec-WebSocket-Extensions: " + "; ".join(terms)] if offer else []

    def open(self):
        """Compression is on if the target's options say so, and it is willing to."""
        if self.role == SERVER:
            self.send(notation.request(more=[
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]))
            first, fields = self.read_head()
            check(first == "HTTP/1.1 101 Switching Protocols", f"the server answers {first!r}")
            check(fields["sec-websocket-accept"] == accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
                  "the accept key is wrong")
        else:
            self.answer()
        self.target.await_event("open")


class Run:
    """One case against one target."""

    def __init__(self, target):
        self.target, self.role, self.peers = target, target.role, []

    def adopt(self, target, sock):
        peer = Peer(target, sock)
        self.peers.append(peer)
        return peer

    def connect(self, subprotocol=""):
        """A peer that is not open; of a client, its request was read."""
        peer = self.adopt(self.target, self.target.connect(subprotocol))
        if self.role == CLIENT:
            peer.take_request()
        return peer

    def open(self, subprotocol=""):
        peer = self.connect(subprotocol)
        peer.open()
        return peer

    def expect_told(self, cause, code, says, messages):
        """The application was told of the end in these words."""
        told = self.target.await_close()
        check((told.cause, told.code) == (cause, code),
              f"told {told.cause} {told.code} ({told.detail}), not {cause} {code}")
        check(says in told.detail + told.reason,
              f"told {told.detail!r}, reason {told.reason!r}, without {says!r}")
        check(messages in (None, told.messages),
              f"{told.messages} messages were delivered, not {messages}")

    def expect_close(self, peer, code, cause, says="", messages=0):
        """A close frame with the code (None: none), and nothing behind it."""
        if code is not None:
            got, reason = peer.read_close()
            check(got == code, f"the close code is {got} ({reason}), not {code}")
            if cause not in ("CLOSED",):
                check(says in reason, f"the close reason is {reason!r}, without {says!r}")
            elif self.role == CLIENT:
                peer.end()  # a client waits for that, RFC 6455 section 7.1.1
        if peer.sock.fileno() >= 0:
            rest = peer.read_rest()
            check(not rest or code is None, f"behind the close frame comes {rest[:200]}")
            peer.sock.close()
        self.expect_told(cause, 1006 if code is None else code, says, messages)

    def expect_still_open(self, peer, messages=None):
        """It echoes, and closes as it should."""
        peer.send(notation.made(notation.frame(0x81, b"still here"), peer))
        while True:
            first, payload = peer.read_frame()
            check(first not in (None, CLOSE), f"closed with {payload}")
            if (first, payload) == (0x81, b"still here"):
                break
        peer.send(notation.made(notation.close(1000), peer))
        more = None if messages is None else messages + 1
        self.expect_close(peer, 1000, "CLOSED", messages=more)

    @staticmethod
    def expect_answer(peer, status, says=""):
        """One HTTP answer, whole, and the end of the stream."""
        first, fields = peer.read_head()
        check(first is not None and first.startswith(f"HTTP/1.1 {status} "),
              f"the answer is {first!r}, not {status}")
        check("close" in fields["connection"].split(", "), "the end is not announced")
        length = int(fields["content-length"])
        body = peer.read_rest()
        check(len(body) == length, f"{len(body)} bytes follow, {length} are announced")
        peer.sock.close()
        if says:
            check(says in body.decode("utf-8"), f"it says {body!r}, without {says!r}")

    def expect_refusal(self, peer, status, says=""):
        """That answer, and nothing was told to the application."""
        self.expect_answer(peer, status, says)
        self.target.await_log("ended:")
        opened = [line for line in self.target.forget_events() if line[0] in ("open", "close")]
        check(not opened, f"the application was told of it: {opened}")

    def expect_failure(self, peer, cause, says=""):
        """The client gave up and sent nothing."""
        if peer.sock.fileno() >= 0:
            rest = peer.read_rest()
            check(not rest, f"the client goes on with {rest[:200]}")
            peer.sock.close()
        self.expect_told(cause, 1006, says, 0)


def play(case, target):
    target.greet_bystander()
    before = target.heap("mark")
    run, begun = Run(target), time.monotonic()
    try:
        case.play(run)
        target.echo()
        check(target.worst_echo < BYSTANDER_WAITS * target.patience,
              f"the bystander waited {target.worst_echo:.2f} s")
        took = time.monotonic() - begun
        check(took < CASE_TAKES * target.patience, f"it took {took:.2f} s")
        used = target.heap().peak - before.live
        check(used <= case.heap, f"it took {used} bytes of heap, {case.heap} are allowed")
    finally:
        for peer in run.peers:
            peer.sock.close()
    kept = SLACK + (CONTEXTS if "compression" in dict(case.options) else 0)
    after = target.settle(before.live + kept)
    check(after.live <= before.live + kept,
          f"{after.live - before.live} bytes of heap are still held")
    target.dismiss_bystander()
    return used


class Targets:
    """Processes, one for each role and set of options that cases ask for."""

    def __init__(self, program, patience):
        self.program, self.patience, self.running = program, patience, {}

    def get(self, role, options):
        if (role, options) not in self.running:
            self.running[role, options] = Target(self.program, role, options, self.patience)
        return self.running[role, options]

    def drop(self, role, options):
        target = self.running.pop((role, options))
        target.process.kill()
        target.process.wait()

    def stop(self):
        return [target.stop() for target in self.running.values()]


def play_all(cases, program, patience, verbose):
    targets = Targets(program, patience)
    played, failed, most, worst = 0, 0, (0, ""), (0.0, "")
    for case in cases:
        for role in case.roles:
            name, begun = f"{case.name} ({role})", time.monotonic()
            try:
                used = play(case, targets.get(role, case.options))
                most = max(most, (used, name))
                worst = max(worst, (targets.get(role, case.options).worst_echo, name))
                played += 1
                if verbose:
                    print(f"ok   {name}: {used} bytes, {time.monotonic() - begun:.2f} s")
            except (Failed, OSError, EOFError) as error:
                failed += 1
                print(f"FAIL {name}: {error}")
                if verbose:
                    traceback.print_exc(file=sys.stdout)
                # Nothing is known of it any more: the next case gets another.
                if (role, case.options) in targets.running:
                    targets.drop(role, case.options)
    try:
        targets.stop()
    except (Failed, OSError, EOFError) as error:
        failed += 1
        print(f"FAIL at the end: {error}")
    print(f"{played} cases were met, {failed} not")
    print(f"most heap: {most[0]} bytes in {most[1]}")
    print(f"longest wait of a bystander: {1000 * worst[0]:.1f} ms in {worst[1]}")
    return failed == 0 and played > 0


# ---- docs ----

def select_text(names, everything):
    """Names of cases, those with a common beginning as a pattern of it."""
    words, left = [], sorted(names)
    while left:
        best = (1, left[0], left[:1])
        for cut in [i for i, c in enumerate(left[0]) if c == "_"]:
            pattern = left[0][:cut + 1] + "*"
            hits = fnmatch.filter(everything, pattern)
            if set(hits) <= set(names):
                best = max(best, (len(hits), pattern, hits))
        words.append(f"`{best[1]}`")
        left = [name for name in left if name not in best[2]]
    return ", ".join(words)


def docs():
    """The file with its tables made anew."""
    text = DOCS.read_text(encoding="utf-8")
    begin, end = "<!-- made by tests/attack/attack.py --write-docs -->\n", "<!-- end -->\n"
    rows = []
    for name in FILES:
        title = sys.modules["cases." + name].__doc__.partition("\n\n")[0].partition(":")[0]
        rows += ["", f"## {title.rstrip('.')}", "", "| bad input | what happens | seen by |",
                 "|---|---|---|"]
        rows += [f"| {one.bad} | {one.happens} | {select_text(one.names, notation.cases)} |"
                 for one in notation.families if one.file == name]
    rows.append("")
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"{DOCS} has lost its marks"
    return text, before + begin + "\n".join(rows) + "\n" + end + after


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--target")
    parser.add_argument("--patience", type=float, default=1, help="stretches deadlines")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--verbose", "-v", action="store_true")
    parser.add_argument("--check-docs", action="store_true")
    parser.add_argument("--write-docs", action="store_true")
    parser.add_argument("what", nargs="*")
    arguments = parser.parse_args()
    files = [name for name in arguments.what if name in FILES]
    patterns = [name for name in arguments.what if name not in FILES]
    for name in FILES if patterns or not files else files:
        notation.file = name
        importlib.import_module("cases." + name)
    if arguments.check_docs or arguments.write_docs:
        have, want = docs()
        if arguments.write_docs:
            DOCS.write_text(want, encoding="utf-8")
        elif have != want:
            sys.exit("docs/hostile-input.md is not what the cases say: attack.py --write-docs")
        return
    cases = [case for case in notation.cases.values()
             if not patterns or any(fnmatch.fnmatch(case.name, p) for p in patterns)]
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return
    good = play_all(cases, arguments.target, arguments.patience, arguments.verbose)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
