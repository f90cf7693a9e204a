# SPDX-License-Identifier: MIT
"""Masking keys of a client: RFC 6455 section 5.3 demands that they are fresh for each frame
and that nobody can predict them. A hostile server collects them.

The bounds are such that an honest source fails none of these tests in the life of this
project: six standard deviations or more."""

import collections
import math

from notation import CLIENT, KIB, family, script
from target import Target, check

FRAMES = 100_000
BITS = 32


def collect(target, run, count):
    """The keys of that many empty frames, on a connection of their own."""
    target.command(f"sending {count}")
    sock = target.connect()
    peer = run.adopt(target, sock)
    peer.take_request()
    peer.answer()
    keys = []
    while len(keys) < count:
        head = peer.read(2)
        check(head == b"\x82\x80", f"the client sends {head}")
        keys.append(int.from_bytes(peer.read(4), "big"))
    target.command("sending 0")
    return keys


def check_chance(what, happened, trials, chance, deviations=6):
    mean = trials * chance
    spread = deviations * math.sqrt(trials * chance * (1 - chance))
    check(abs(happened - mean) <= spread,
          f"{what}: {happened} of {trials}, where chance gives {mean:.0f} +- {spread:.0f}")


def check_keys(keys):
    # Of 100,000 keys of 32 bits 1.16 pairs are alike by chance; more than 12 never.
    repeats = len(keys) - len(set(keys))
    check(repeats <= 12, f"{repeats} of {len(keys)} keys are repeats")
    for bit in range(BITS):
        row = int("".join("1" if key >> bit & 1 else "0" for key in keys), 2)
        check_chance(f"bit {bit} is set", bin(row).count("1"), len(keys), 0.5)
        for lag in (1, 2, 64, 65):  # 64 keys are drawn from the system at a time
            pairs = len(keys) - lag
            differ = bin((row ^ row >> lag) % 2**pairs).count("1")
            check_chance(f"bit {bit} is another than {lag} frames ago", differ, pairs, 0.5)
    for shift in (0, 8, 16, 24):
        counts = collections.Counter(key >> shift & 0xff for key in keys)
        for value in range(256):
            check_chance(f"byte {value:02x} at bit {shift}", counts[value], len(keys), 1 / 256, 7)
    steps = collections.Counter((b - a) % 2**BITS for a, b in zip(keys, keys[1:]))
    check(steps.most_common(1)[0][1] <= 3, "keys follow each other in steps")


family("A server that would predict the masking keys of a client",
       "100,000 keys are as chance has them, and differ between connections and runs")


@script(CLIENT, heap=4096 * KIB)
def masks_are_as_chance_has_them(run):
    check_keys(collect(run.target, run, FRAMES))


@script(CLIENT, heap=64 * KIB)
def masks_differ_between_connections(run):
    first, second = (collect(run.target, run, 1000) for _ in range(2))
    check(len(set(first + second)) >= 1999, "connections share their keys")


@script(CLIENT, heap=64 * KIB)
def masks_differ_between_runs(run):
    runs = []
    for _ in range(2):
        other = Target(run.target.program, CLIENT, (), run.target.patience)
        runs += collect(other, run, 1000)
        run.peers[-1].reset()  # or it would wait for the closing handshake
        other.stop()
    check(len(set(runs)) >= 1999, "runs share their keys")


@script(CLIENT, heap=64 * KIB)
def masks_of_control_frames_are_fresh(run):
    peer = run.open()
    keys = set()
    for _ in range(1000):
        peer.send(b"\x89\x01p")
        head = peer.read(2)
        check(head == b"\x8a\x81", f"the client answers {head}")
        keys.add(peer.read(5)[:4])
    check(len(keys) >= 999, f"1,000 pongs have {len(keys)} keys")
    run.expect_still_open(peer)


@script(CLIENT, heap=750 * KIB)  # 200 that open at once, of 3.7 KiB each
def keys_of_requests_are_fresh(run):
    keys = {run.connect().fields["sec-websocket-key"] for _ in range(200)}
    check(len(keys) == 200, f"200 requests have {len(keys)} keys")
