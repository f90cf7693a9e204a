# SPDX-License-Identifier: MIT
"""What comes by way of proxies.

The one that is listed is 127.0.0.2; all others, the bystander among them, connect from 127.0.0.1."""

import socket
import struct
import time

from notation import (KIB, RESET, SERVER, each_byte, family, flood, made, refused, request, script)
from target import check

HEADER = {"proxy_protocol_from": "127.0.0.2"}
FIELDS = {"trust_forwarded_from": "127.0.0.2, 10.0.0.0/8"}
GOOD = request()
LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
V4 = bytes([192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb])


def block(family_byte, rest, *, command=0x21, length=None):
    """A PROXY header of version 2; `length` lies about the rest."""
    size = len(rest) if length is None else length
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, family_byte]) + struct.pack(">H", size) + rest


def by_proxy(run):
    """A peer that connects as the proxy does."""
    where = ("127.0.0.1", run.target.port)
    sock = socket.create_connection(where, run.target.deadline, source_address=("127.0.0.2", 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return run.adopt(run.target, sock)


def cut_off(name, *steps, says, options=None, heap=48 * KIB):
    """The proxy that sends this gets no answer, and the log says why."""
    def play(run):
        peer = by_proxy(run)
        peer.do(steps)
        rest = peer.read_rest()
        check(not rest, f"it is answered: {rest[:200]}")
        run.target.await_log(f"127.0.0.2:{peer.sock.getsockname()[1]} is listed in "
                             f"proxy_protocol_from and cut off: {says}")
    play.__name__ = name
    script(SERVER, options=options or HEADER, heap=heap)(play)


def let_in(name, *steps, told, options, heap=64 * KIB):
    """The connection opens, with that address of its client in the log."""
    def play(run):
        peer = by_proxy(run)
        peer.do(steps)
        first, _ = peer.read_head()
        check(first == "HTTP/1.1 101 Switching Protocols", f"the answer is {first!r}")
        run.target.await_log(f"open: /, {told.replace('PORT', str(peer.sock.getsockname()[1]))}")
        run.target.await_event("open")
        run.expect_still_open(peer)
    play.__name__ = name
    script(SERVER, options=options, heap=heap)(play)


family("A PROXY header that is malformed or missing, from a proxy that is listed",
       "cut off without an answer, with a line in the log")
for one, text in (("missing", GOOD), ("lower_case", b"proxy TCP4"), ("tls_hello", b"\x16\x03\1"),
                  ("signature", b"\r\n\r\n\0\r\nQUIS\n")):
    cut_off(f"bad_proxy_header_{one}", text, says="no PROXY header")
for one, text in (("family", "TCP5 1.2.3.4 1.2.3.4 1 2"), ("no_port", "TCP4 1.2.3.4 1.2.3.4 1"),
                  ("port_65536", "TCP4 1.2.3.4 1.2.3.4 1 65536"), ("no_address", "TCP4 a b 1 2"),
                  ("octal", "TCP4 010.2.3.4 1.2.3.4 1 2"), ("v6", "TCP6 1.2.3.4 1.2.3.4 1 2"),
                  ("blanks", "TCP4  1.2.3.4 1.2.3.4 1 2"), ("more", "TCP4 1.2.3.4 1.2.3.4 1 2 3")):
    cut_off(f"bad_proxy_line_{one}", b"PROXY " + text.encode() + b"\r\n" + GOOD,
            says="the PROXY line is malformed")
cut_off("bad_proxy_line_with_nul", b"PROXY UNKNOWN\0\r\n" + GOOD, says="the PROXY line has a byte")
cut_off("bad_proxy_line_without_cr", LINE.replace(b"\r", b"") + GOOD, says="the PROXY line has a byte")
cut_off("bad_proxy_line_without_end", each_byte(b"PROXY UNKNOWN " + b"x" * 92),
        says="the PROXY line is longer")
cut_off("bad_proxy_line_of_megabytes", flood(b"PROXY UNKNOWN " + b"x" * 1000, 4 * KIB),
        says="the PROXY line is longer", heap=512 * KIB)
for one, text, says in (
        ("version", block(0x11, V4, command=0x11), "the PROXY header is of a version"),
        ("command", block(0x11, V4, command=0x2f), "the PROXY header has a command"),
        ("family", block(0x51, V4), "the PROXY header has a family"),
        ("short", block(0x21, V4), "the PROXY header ends inside its addresses"),
        ("tlv", block(0x11, V4 + b"\2\xff\xffx"), "the PROXY header ends inside a TLV"),
        ("checksum", block(0x11, V4 + b"\3\0\4abcd"), "the checksum"),
        ("of_64_kilobytes", block(0x11, V4, length=65535), "the PROXY header is longer")):
    cut_off(f"bad_proxy_block_{one}", text + GOOD, says=says)
    cut_off(f"bad_proxy_block_{one}_in_bytes", each_byte(text), says=says)

family("A PROXY header of a proxy that is not listed", "400, as for any bytes that are not HTTP")
refused("stranger_sends_a_line", LINE + GOOD, status=400, options=HEADER)
refused("stranger_sends_a_block", block(0x11, V4) + GOOD, status=400, options=HEADER)
refused("stranger_sends_a_line_to_none", LINE + GOOD, status=400)

family("A PROXY header in bytes, and what may follow it", "it is taken; what follows is judged as ever")
let_in("proxy_line_in_bytes", each_byte(LINE + GOOD), told="192.0.2.7:4711", options=HEADER)
let_in("proxy_block_in_bytes", each_byte(block(0x11, V4 + b"\2\0\1h") + GOOD),
       told="192.0.2.7:4711", options=HEADER)
let_in("proxy_block_local", block(0x00, b"", command=0x20) + GOOD, told="127.0.0.2:PORT",
       options=HEADER)
let_in("proxy_block_of_4096_bytes", block(0x00, b"\4\x0f\xfd" + bytes(4093)) + GOOD,
       told="127.0.0.2:PORT", options=HEADER)


@script(SERVER, options=HEADER, heap=64 * KIB)
def proxy_line_before_a_bad_request(run):
    peer = by_proxy(run)
    peer.do([LINE + request(host=None)])
    run.expect_refusal(peer, 400, "no Host header")


@script(SERVER, options=HEADER, heap=64 * KIB)
def proxy_line_twice(run):
    peer = by_proxy(run)
    peer.do([LINE + LINE + GOOD])
    run.expect_refusal(peer, 400)


@script(SERVER, options=HEADER, heap=64 * KIB)
def reset_after_every_byte_of_the_header(run):
    for length in range(len(LINE) + 1):
        peer = by_proxy(run)
        peer.do([LINE[:length], RESET])


SLOW = 100
SOON = {**HEADER, "handshake_timeout": "1s"}
family("PROXY headers by the hundred that never end", "cut off at `handshake_timeout`, however they drip")


@script(SERVER, options=SOON, heap=SLOW * 4 * KIB)
def proxy_headers_by_the_hundred(run):
    peers = [by_proxy(run) for _ in range(SLOW)]
    for number, peer in enumerate(peers):
        peer.send((block(0x11, V4) if number % 2 else LINE)[:number % 28])
    deadline = time.monotonic() + 1 + 4 * run.target.patience
    for peer in peers:
        while peer.is_quiet(0.02):
            check(time.monotonic() < deadline, "one was not cut in time")
            run.target.echo()
        check(not peer.read_rest(), "one is answered")


CROWD = 300
family("Connections of one client by the hundred", "429 above `max_connections_per_address`")


@script(SERVER, options={"max_connections_per_address": "10", **FIELDS}, heap=CROWD * 4 * KIB)
def connections_of_one_client_by_the_hundred(run):
    fields = request(more=["X-Forwarded-For: 192.0.2.7"])
    peers = [by_proxy(run) for _ in range(CROWD)]
    for peer in peers:
        peer.send(fields)
    statuses = [int(peer.read_head()[0].split()[1]) for peer in peers]
    check(sorted(set(statuses)) == [101, 429] and statuses.count(101) == 10,
          f"{statuses.count(101)} were let in, {statuses.count(429)} were not")


family("Forwarded fields from who is not listed, or that claim more than was seen",
       "ignored up to the first address that is not a listed proxy")
let_in("forwarded_by_a_stranger", made(request(more=["X-Forwarded-For: 192.0.2.7"]), None),
       told="127.0.0.2:PORT", options={"trust_forwarded_from": "127.0.0.3"})
for one, fields, told in (
        ("left_of_the_client", ["X-Forwarded-For: 198.51.100.9, 203.0.113.7"], "203.0.113.7"),
        ("a_proxy_left_of_the_client", ["X-Forwarded-For: 10.0.0.1, 203.0.113.7"], "203.0.113.7"),
        ("no_address", ["X-Forwarded-For: 203.0.113.7, <script>"], "127.0.0.2:PORT"),
        ("a_control_like_text", ["X-Forwarded-For: 203.0.113.7\xff"], "127.0.0.2:PORT"),
        ("by_the_thousand", ["X-Forwarded-For: " + "10.0.0.1," * 1500], "10.0.0.1"),
        ("in_a_hundred_fields", ["X-Forwarded-For: 10.0.0.1"] * 90, "10.0.0.1"),
        ("commas", ["X-Forwarded-For: " + "," * 15000], "127.0.0.2:PORT")):
    let_in(f"forwarded_{one}", request(more=fields), told=told, options=FIELDS)
NETWORKS = ",".join(f"10.{a}.{b}.0/24" for a in range(16) for b in range(256))
let_in("forwarded_through_many_networks",
       request(more=["X-Forwarded-For: " + "10.15.255.1," * 1200]), told="10.15.255.1",
       options={"trust_forwarded_from": "127.0.0.2," + NETWORKS})
