# SPDX-License-Identifier: MIT
"""Compression (permessage-deflate): what is agreed on, and what comes compressed."""

import base64
import functools
import random
import zlib

from notation import (KIB, MIB, RESET, SERVER, answer, case, each_byte, family, frame, made,
                      request, script, unopened)
from target import check

SHARED = {"compression": "shared"}
DEDICATED = {"compression": "dedicated"}
MODES = (("shared", SHARED), ("dedicated", DEDICATED))
TEXT, BINARY, PING, CLOSE = 0xc1, 0xc2, 0x89, 0x88  # messages are compressed
PART, CONT, LAST = 0x42, 0x00, 0x80
LIMIT = MIB  # the default of max_message_bytes
# The inflated message, and while it grows the smaller block beside it; contexts. Whatever the
# bomb would inflate to, it is no more. The echo of a whole one takes as much again, and a context.
WHOLE = 4 * MIB
REFUSED = 2 * MIB + 256 * KIB


class Packer:
    """A peer's compressor; its context goes on from message to message."""

    def __init__(self, bits=15):
        self.z = zlib.compressobj(9, zlib.DEFLATED, -bits)

    def pack(self, data):
        return (self.z.compress(data) + self.z.flush(zlib.Z_SYNC_FLUSH))[:-4]


def packed(data):
    return Packer().pack(data)


@functools.lru_cache(None)
def bomb(size):
    """1,024 : 1, and a little more for a long one."""
    return packed(bytes(size))


def fragments(payload, count):
    """Frames of a compressed message."""
    size = len(payload) // count + 1
    parts = [payload[i:i + size] for i in range(0, len(payload), size)]
    frames = [frame(PART if i == 0 else CONT, part) for i, part in enumerate(parts)]
    frames[-1] = frame(LAST, parts[-1])
    return frames


family("A bomb that inflates to the limit, or to a byte less", "it is a message; its memory is given back")
for name, options in MODES:
    for size in (LIMIT - 1, LIMIT):
        case(f"bomb_{name}_of_{size}", frame(BINARY, bomb(size)), messages=1, stays=True, heap=WHOLE,
             options=options)
        case(f"bomb_{name}_of_{size}_in_fragments", *fragments(bomb(size), 3), messages=1, stays=True,
             heap=WHOLE, options=options)
    case(f"bomb_{name}_again_and_again", *[frame(BINARY, bomb(LIMIT))] * 20, messages=20, stays=True,
         heap=WHOLE + 512 * KIB, options=options)

family("A bomb above the limit", "1009, when the first byte above it comes out of the inflater")
for name, options in MODES:
    for size in (LIMIT + 1, 16 * MIB):
        case(f"bomb_above_{name}_of_{size}", frame(BINARY, bomb(size)), code=1009, says="inflates",
             heap=REFUSED, options=options)
        case(f"bomb_above_{name}_of_{size}_in_fragments", *fragments(bomb(size), 3), code=1009,
             heap=REFUSED, options=options)
    case(f"bomb_above_{name}_in_bytes", each_byte(frame(TEXT, bomb(LIMIT + 1))), code=1009,
         heap=REFUSED, options=options)
    case(f"bomb_above_{name}_by_the_dozen", *[frame(BINARY, bomb(LIMIT))] * 12,
         frame(BINARY, bomb(LIMIT + 1)), code=1009, messages=12, heap=WHOLE + 512 * KIB, options=options)
packer = Packer()
case("bomb_above_with_takeover", frame(BINARY, packer.pack(b"x" * 200)),
     frame(BINARY, packer.pack(b"x" * (16 * MIB))), code=1009, messages=1, heap=REFUSED,
     options=DEDICATED)
case("bomb_above_a_small_limit", frame(BINARY, bomb(16 * MIB)), code=1009, heap=192 * KIB,
     options={"compression": "shared", "max_message_bytes": "80KiB"})
case("bomb_that_travels_above_the_limit", frame(BINARY, length=2 * MIB), code=1009,
     says="max_message_bytes", options=SHARED)
case("bomb_declared_7fffffffffffffff", frame(BINARY, length=2**63 - 1), code=1009, options=SHARED)

family("A compressed message that is no DEFLATE stream, or ends before its end", "1007")
STREAM = packed(b"".join(b"%d squared is %d. " % (i, i * i) for i in range(40)))
for name, payload in (("block_type_3", b"\x07"), ("noise", b"\xff" * 100), ("zlib_header", b"\x78\x9c" + STREAM),
                      ("gzip_header", b"\x1f\x8b\x08" + STREAM), ("bad_lengths", b"\x00\x05\x00\x00\x00hello"),
                      ("distance_too_far", b"\x4b\x04\x82\xff"), ("stored_cut", b"\x00\x05\x00\xfa\xffhel"),
                      ("stored_without_its_bytes", b"\x00\xff\xff\x00\x00")):
    case(f"deflate_of_{name}", frame(BINARY, payload), code=1007, says="DEFLATE", options=SHARED,
         heap=64 * KIB)


@script(options=SHARED, heap=128 * KIB)
def deflate_cut_at_every_byte(run):
    for length in range(1, len(STREAM)):
        peer = run.open()
        peer.do([frame(BINARY, STREAM[:length])])
        run.expect_close(peer, 1007, "PROTOCOL", "DEFLATE")


family("A stream that ends (BFINAL) before the message does", "what follows is another block, or 1007")
FINAL = zlib.compressobj(9, zlib.DEFLATED, -15)
FINAL = FINAL.compress(b"the end ") + FINAL.flush()
case("final_alone", frame(BINARY, FINAL + b"\0"), messages=1, stays=True, options=SHARED, heap=64 * KIB)
case("final_without_a_byte_behind", frame(BINARY, FINAL), code=1007, options=SHARED, heap=64 * KIB)
case("final_and_another_stream", frame(BINARY, FINAL + STREAM), messages=1, stays=True, options=SHARED,
     heap=512 * KIB)
case("final_and_noise", frame(BINARY, FINAL + b"\xff\xff\xff"), code=1007, options=SHARED, heap=64 * KIB)
case("final_and_noise_in_a_fragment", frame(PART, FINAL), frame(LAST, b"\x07"), code=1007, options=SHARED,
     heap=64 * KIB)
case("final_blocks_without_end", frame(BINARY, b"\x03\0" * (500 * KIB) + b"\0"), messages=1, stays=True,
     options=SHARED, heap=WHOLE)
case("final_and_a_tail_not_removed", frame(BINARY, STREAM + b"\0\0\xff\xff"), code=1007, options=SHARED,
     heap=64 * KIB)
case("empty_blocks_without_end", frame(BINARY, b"\0\0\0\xff\xff" * (200 * KIB) + b"\0"), messages=1, stays=True,
     options=SHARED, heap=WHOLE)
case("empty_payload", frame(TEXT), messages=1, stays=True, options=SHARED)

family("A reference to a message that has been forgotten", "1007")
packer = Packer()
PHRASE = bytes(range(256)) * 2
case("takeover_that_was_not_agreed", frame(BINARY, packer.pack(PHRASE)), frame(BINARY, packer.pack(PHRASE)),
     code=1007, messages=1, options=SHARED, heap=512 * KIB)
packer = Packer()
case("takeover_of_an_uncompressed_message", frame(0x82, PHRASE), frame(BINARY, b"\x4b\x04\x82\xff"),
     code=1007, messages=1, options=DEDICATED, heap=512 * KIB)

family("Text that inflates to something else than UTF-8", "1007")
case("inflated_text_bad", frame(TEXT, packed(b"good \xff")), code=1007, says="UTF-8", options=SHARED,
     heap=64 * KIB)
case("inflated_text_cut", frame(TEXT, packed(b"good \xe2\x82")), code=1007, says="UTF-8", options=SHARED,
     heap=64 * KIB)

family("RSV1 where it may not be, RSV2, RSV3, with compression on", "1002")
for name, first in (("ping", PING), ("close", CLOSE), ("pong", 0x8a)):
    case(f"rsv1_on_{name}", frame(first | 0x40), code=1002, says="RSV1", options=SHARED)
case("rsv1_on_continuation", frame(0x01, b"x"), frame(0xc0, b"x"), code=1002, says="RSV1", options=SHARED)
case("rsv1_on_compressed_continuation", frame(PART, STREAM), frame(0xc0), code=1002, says="RSV1",
     options=SHARED)
for bits in (0x10, 0x20, 0x30, 0x70):
    case(f"rsv_{bits:02x}_with_compression", frame(0x82 | bits), code=1002, says="reserved bit",
         options=SHARED)

family("A peer that vanishes in a compressed message", "`LOST`; its contexts are given back")
for name, options in MODES:
    case(f"vanishes_{name}_in_a_frame", frame(BINARY, STREAM[:50], length=len(STREAM)), RESET,
         cause="LOST", options=options)
    case(f"vanishes_{name}_in_a_message", frame(BINARY, STREAM), frame(PART, STREAM[:50]), RESET,
         cause="LOST", messages=1, options=options, heap=512 * KIB)

family("Compressed messages without end from a peer that does not read the echoes",
       "with `pause_read_when_backlogged`, which servers have on, it is read no more at "
       "`max_backlog_bytes`")


@script(options={"compression": "dedicated", "max_backlog_bytes": "64KiB", "write_timeout": "1s",
                 "pause_read_when_backlogged": "on"}, heap=1024 * KIB)
def compressed_flood_unread(run):
    peer = run.open()
    text = base64.b64encode(random.Random(1).randbytes(3000))  # leaves as it came
    one = made(frame(BINARY, packed(text)), peer)
    peer.send_until_stalled(one, 64 * MIB)
    run.expect_told("WRITE_STALL", 1006, "took no data", None)


CROWD = 100
family("Bombs by the hundred in one burst", "each is a message; others are served in between")


@script(options=SHARED, heap=WHOLE + 512 * KIB)
def bombs_in_a_burst(run):
    peer = run.open()
    run.target.bystander.send(1, "before")
    before = run.target.await_text("before")
    check(run.target.bystander.receive_message() == "before", "the bystander is not served")
    peer.send(made(frame(PING), peer))  # to be the first that is looked at
    peer.read_frame()
    with run.target.stopped():  # what comes now is there as a whole when it goes on
        peer.send(made(frame(BINARY, bomb(LIMIT)), peer) * CROWD)
        run.target.bystander.send(1, "in between")
    check(run.target.bystander.receive_message() == "in between", "the bystander is not served")
    served = run.target.await_text("in between") - before
    check(served <= 10, f"{served} messages were served before the bystander's")
    run.expect_still_open(peer, CROWD)


def offered(name, offer, agreed, options=None):
    """An offer, and what of it the server's answer names ("": nothing). The connection works."""
    def play(run):
        peer = run.connect()
        peer.send(request(more=[f"Sec-WebSocket-Extensions: {offer}"]))
        first, fields = peer.read_head()
        check(first == "HTTP/1.1 101 Switching Protocols", f"the answer is {first!r}")
        got = fields.get("sec-websocket-extensions", "")
        check(got == agreed, f"agreed on {got!r}, not {agreed!r}")
        run.target.await_event("open")
        peer.send(made(frame(BINARY, STREAM), peer))
        if agreed:
            run.expect_still_open(peer, 1)
        else:
            run.expect_close(peer, 1002, "PROTOCOL", "reserved bit")
    play.__name__ = name
    script(SERVER, options=options or SHARED, heap=512 * KIB)(play)


PMD = "permessage-deflate"
NO = "; server_no_context_takeover; client_no_context_takeover"
DECLINED = (("bits_0", "server_max_window_bits=0"), ("bits_7", "server_max_window_bits=7"),
            ("bits_16", "server_max_window_bits=16"), ("bits_08", "server_max_window_bits=08"),
            ("bits_huge", "server_max_window_bits=99999999999999999999"),
            ("bits_256_and_8", "server_max_window_bits=264"), ("bits_minus", "server_max_window_bits=-8"),
            ("bits_missing", "server_max_window_bits"), ("bits_word", "server_max_window_bits=ten"),
            ("bits_quoted_long", 'server_max_window_bits="15 "'.replace(" ", "0")),
            ("client_bits_0", "client_max_window_bits=0"), ("client_bits_7", "client_max_window_bits=7"),
            ("client_bits_16", "client_max_window_bits=16"),
            ("client_bits_huge", "client_max_window_bits=4294967304"),
            ("bits_twice", "server_max_window_bits=10; server_max_window_bits=10"),
            ("client_bits_twice", "client_max_window_bits; client_max_window_bits=10"),
            ("takeover_twice", "server_no_context_takeover; server_no_context_takeover"),
            ("takeover_with_value", "client_no_context_takeover=1"),
            ("unknown", "x_new_thing"), ("unknown_with_value", "x_new_thing=8"),
            ("other_case", "SERVER_NO_CONTEXT_TAKEOVER"), ("kilobytes", "a" * 10_000),
            ("thousands", "; ".join(["client_max_window_bits=15"] * 500)))

family("An offer with window bits of 0, 7, 16, huge or empty, a parameter twice or unknown",
       "declined: 101 without compression; the next offer is looked at")
for name, parameters in DECLINED:
    offered(f"offer_declined_{name}", f"{PMD}; {parameters}", "")
    offered(f"offer_after_declined_{name}", f"{PMD}; {parameters}, {PMD}", PMD + NO)

family("An offer that is malformed", "400")
for name, offer in (("semicolon", f"{PMD};"), ("empty_parameter", f"{PMD}; ; x"), ("equals", f"{PMD}; =8"),
                    ("empty_value", f"{PMD}; server_max_window_bits="),
                    ("empty_quotes", f'{PMD}; server_max_window_bits=""'),
                    ("open_quote", f'{PMD}; server_max_window_bits="8'), ("two_words", f"{PMD} x"),
                    ("slash", "a/b"), ("behind_a_good_one", f"{PMD}, ;"), ("escape_at_the_end", f'{PMD}; x="\\'),
                    ("blank_in_quotes", f'{PMD}; server_max_window_bits="1 0"')):
    def malformed(run, offer=offer):
        peer = run.connect()
        peer.send(request(more=[f"Sec-WebSocket-Extensions: {offer}"]))
        run.expect_refusal(peer, 400, "Sec-WebSocket-Extensions")
    malformed.__name__ = f"offer_malformed_{name}"
    script(SERVER, options=SHARED)(malformed)

family("An offer that is odd but good", "accepted")
offered("offer_good_of_8_bits", f"{PMD}; server_max_window_bits=8",
        f"{PMD}{NO}; server_max_window_bits=8")
offered("offer_good_quoted", f'{PMD}; server_max_window_bits="10"', f"{PMD}{NO}; server_max_window_bits=10")
offered("offer_good_escaped", f'{PMD}; server_max_window_bits="1\\0"',
        f"{PMD}{NO}; server_max_window_bits=10")
offered("offer_good_behind_thousands", "x, " * 3000 + PMD, PMD + NO)
offered("offer_good_among_empty_ones", f",, ,{PMD}, ,", PMD + NO)
offered("offer_good_twice", f"{PMD}, {PMD}; server_max_window_bits=9", PMD + NO)

family("An answer to the client that was not offered, is out of range, twice or unknown", "`HANDSHAKE`")
GOOD = PMD + NO
for name, value in (("without_takeover_flags", PMD), ("bits_0", f"{GOOD}; server_max_window_bits=0"),
                    ("bits_7", f"{GOOD}; server_max_window_bits=7"),
                    ("bits_16", f"{GOOD}; server_max_window_bits=16"),
                    ("bits_huge", f"{GOOD}; server_max_window_bits=4294967304"),
                    ("bits_missing", f"{GOOD}; server_max_window_bits"),
                    ("bits_empty", f"{GOOD}; server_max_window_bits="),
                    ("client_bits_0", f"{GOOD}; client_max_window_bits=0"),
                    ("client_bits_7", f"{GOOD}; client_max_window_bits=7"),
                    ("client_bits_16", f"{GOOD}; client_max_window_bits=16"),
                    ("client_bits_missing", f"{GOOD}; client_max_window_bits"),
                    ("bits_twice", f"{GOOD}; server_max_window_bits=9; server_max_window_bits=9"),
                    ("takeover_twice", f"{GOOD}; client_no_context_takeover"),
                    ("takeover_with_value", f"{PMD}; server_no_context_takeover=1; client_no_context_takeover"),
                    ("unknown", f"{GOOD}; x_new_thing"), ("extension_twice", f"{GOOD}, {GOOD}"),
                    ("another_extension", "x-webkit-deflate-frame"), ("and_another", f"{GOOD}, x-other"),
                    ("malformed", f"{GOOD};"), ("open_quote", f'{GOOD}; server_max_window_bits="8'),
                    ("other_case", GOOD.upper()), ("kilobytes", GOOD + "; " + "a" * 8000)):
    unopened(f"bad_agreement_{name}", answer(more=[f"Sec-WebSocket-Extensions: {value}"]), options=SHARED,
             says="", heap=48 * KIB)
unopened("bad_agreement_in_two_fields", answer(more=[f"Sec-WebSocket-Extensions: {GOOD}"] * 2),
         says="twice", options=SHARED)
unopened("bad_agreement_on_a_larger_window", answer(more=[f"Sec-WebSocket-Extensions: {PMD}"]),
         says="server_max_window_bits", options=DEDICATED)
