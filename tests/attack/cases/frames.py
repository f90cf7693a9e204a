# SPDX-License-Identifier: MIT
"""Frames on an open connection, to a server and to a client."""

from notation import (CLIENT, KIB, MIB, RESET, SERVER, Bytes, case, close, each_byte, family,
                      flood, frame, made, script)
from target import check

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8a
PART, CONT, LAST = 0x01, 0x00, 0x80  # a text that goes on; its middle; its end
UNLIMITED = {"max_message_bytes": "off", "max_fragments": "off"}

family("A reserved bit or opcode", "1002 at that byte")
for bits in (0x10, 0x20, 0x40, 0x70):
    case(f"reserved_bits_{bits:02x}", frame(TEXT | bits, b"x"), code=1002, says="reserved bit")
    case(f"reserved_bits_{bits:02x}_on_ping", frame(PING | bits), code=1002, says="reserved bit")
    case(f"reserved_bits_{bits:02x}_on_continuation", frame(PART, b"x"), frame(LAST | bits),
         code=1002, says="reserved bit")
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    case(f"reserved_opcode_{opcode}", frame(0x80 | opcode, b"x"), code=1002, says="opcode")
    case(f"reserved_opcode_{opcode}_alone", bytes([0x80 | opcode]), code=1002, says="opcode")

family("A frame to a server without a mask, or to a client with one", "1002 at the second byte")
for name, first in (("text", TEXT), ("binary", BINARY), ("ping", PING), ("close", CLOSE)):
    case(f"wrong_mask_on_{name}", frame(first, mask=False), code=1002, says="masked")
case("wrong_mask_on_two_bytes", Bytes(lambda peer: b"\x81\x01" if peer.role == SERVER else b"\x81\x81"),
     code=1002, says="masked")
case("wrong_mask_on_continuation", frame(PART, b"x"), frame(LAST, b"x", mask=False), code=1002,
     says="masked")

family("A control frame that is fragmented or above 125 bytes", "1002 at the header")
for name, first in (("close", CLOSE), ("ping", PING), ("pong", PONG)):
    case(f"fragmented_{name}", frame(first & 0x0f, b"xy"), code=1002, says="fragmented")
    for length in (126, 65536, 2**63 - 1):
        case(f"oversized_{name}_{length}", frame(first, length=length), code=1002, says="125 bytes")

family("A continuation of nothing, or a message inside another", "1002 at the first byte")
case("continuation_of_nothing", frame(LAST, b"x"), code=1002, says="continues no message")
case("continuation_of_nothing_without_end", frame(CONT, b"x"), code=1002)
case("continuation_after_the_end", frame(TEXT, b"x") + frame(LAST, b"x"), code=1002, messages=1)
case("message_inside_a_message", frame(PART, b"x"), frame(TEXT, b"y"), code=1002, says="new message")

family("A length that is not in its shortest form, or has its top bit set", "1002")
for length, form in ((0, 16), (125, 16), (0, 64), (125, 64), (126, 64), (65535, 64)):
    case(f"overlong_{length}_in_{form}_bits", frame(BINARY, length=length, form=form), code=1002,
         says="shortest")
for length in (2**63, 2**63 + 1, 2**64 - 10, 2**64 - 1):
    for name, options in (("", None), ("_without_limit", UNLIMITED)):
        case(f"top_bit_{length:x}{name}", frame(BINARY, length=length), code=1002,
             says="significant bit", options=options)
    case(f"top_bit_{length:x}_on_continuation", frame(PART, b"x"), frame(CONT, length=length),
         code=1002, says="significant bit", options=UNLIMITED)
case("top_bit_and_a_mask_in_raw_bytes", bytes.fromhex("82fffffffffffffffff6 37fa213d"),
     code=1002, roles=[SERVER], options=UNLIMITED)
case("top_bit_without_a_mask_in_raw_bytes", bytes.fromhex("827ffffffffffffffff6"),
     code=1002, roles=[CLIENT], options=UNLIMITED)

family("A declared length above the limit", "1009 at the header: nothing of it is kept")
for length in (MIB + 1, 2**31, 2**32, 2**63 - 1):
    case(f"declared_{length:x}", frame(BINARY, length=length), code=1009, says="max_message_bytes")
    case(f"declared_{length:x}_behind_a_part", frame(PART, b"x" * 100), frame(CONT, length=length),
         code=1009)
case("one_byte_above_the_limit", frame(BINARY, b"x" * 101), code=1009,
     options={"max_message_bytes": "100"})
case("sum_above_the_limit", frame(PART, b"x" * 60), frame(CONT, b"x" * 40), frame(LAST, b"x"),
     code=1009, options={"max_message_bytes": "100"})
case("sum_above_the_default_limit", *[frame(first, b"x" * (400 * KIB)) for first in
                                      (PART, CONT, CONT)], code=1009, heap=3 * MIB)
case("sum_at_the_limit", frame(PART, b"x" * 60), frame(LAST, b"x" * 40), messages=1, stays=True,
     options={"max_message_bytes": "100"})

family("A huge length without a limit", "memory follows what arrives, not what is declared")
case("huge_length_of_7fffffffffffffff", frame(BINARY, length=2**63 - 1),
     flood(b"x" * KIB, KIB), RESET, cause="LOST", options=UNLIMITED, heap=6 * MIB)
case("huge_length_that_overflows_the_sum", frame(0x02, b"x"), frame(CONT, length=2**63 - 1), code=1009,
     options=UNLIMITED)
case("huge_length_that_overflows_a_large_sum", frame(0x02, b"x" * KIB), frame(CONT, b"x" * KIB) * 200,
     frame(CONT, length=2**63 - 1) + b"x" * KIB, code=1009, options=UNLIMITED, heap=2 * MIB)

family("Fragments without end", "1008 at `max_fragments`, 1009 at the limit; else no memory is taken")
case("empty_fragments_to_the_limit", frame(PART), flood(frame(CONT), 2000), code=1008,
     says="fragments")
case("one_byte_fragments_to_the_limit", frame(PART, b"x"), flood(frame(CONT, b"x"), 2000),
     code=1008, says="fragments")
case("empty_fragments_without_limit", frame(PART), flood(frame(CONT), 300_000), frame(LAST),
     messages=1, stays=True, options={"max_fragments": "off"})
case("one_byte_fragments_to_the_size", frame(0x02, b"x"), flood(frame(CONT, b"x"), 70_000),
     code=1009, options={"max_fragments": "off", "max_message_bytes": "64KiB"}, heap=256 * KIB)

family("One byte to a segment", "the same verdict, at the same byte")
case("bytes_of_a_text", each_byte(frame(TEXT, "äöü".encode())), messages=1, stays=True)
case("bytes_of_fragments_around_a_ping",
     each_byte(frame(PART, b"\xe2\x82") + frame(PING, b"p" * 125) + frame(LAST, b"\xac")),
     messages=1, stays=True)
case("bytes_of_a_long_frame", each_byte(frame(BINARY, b"x" * 1000)), messages=1, stays=True)
case("bytes_of_a_bad_length", each_byte(frame(BINARY, length=2**64 - 1)), code=1002)
case("bytes_of_a_bad_text", each_byte(frame(TEXT, b"abc\xed\xa0\x80")), code=1007)
case("bytes_of_a_close", each_byte(close(1000, b"good night")), code=1000, cause="CLOSED",
     says="good night")

family("Text that is not UTF-8", "1007 at the first bad byte, also in the middle of a frame")
for sequence in ("80", "bf", "c0af", "c1bf", "e08080", "eda080", "edbfbf", "f0808080", "f4908080",
                 "f5808080", "fe", "ff", "e28020", "f09f92ff"):
    bad = bytes.fromhex(sequence)
    case(f"bad_utf8_{sequence}", frame(TEXT, b"good " + bad), code=1007, says="UTF-8")
    case(f"bad_utf8_{sequence}_unfinished", frame(TEXT, bad, length=1000), code=1007)
    case(f"bad_utf8_{sequence}_cut", frame(PART, bad[:1]), frame(CONT), frame(CONT, bad[1:] + b"."),
         code=1007)
for sequence in ("c3", "e282", "f09f92"):
    case(f"truncated_utf8_{sequence}", frame(TEXT, bytes.fromhex(sequence)), code=1007)
    case(f"truncated_utf8_{sequence}_in_fragments", frame(PART, bytes.fromhex(sequence)),
         frame(LAST), code=1007)

family("A close frame of half a code, or with a code that may not travel", "1002")
case("bad_close_with_half_a_code", frame(CLOSE, b"\x03"), code=1002, says="half a code")
for number in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
    case(f"bad_close_{number}", close(number), code=1002, says="invalid code")
    case(f"bad_close_{number}_with_reason", close(number, b"because"), code=1002)

family("A close frame that is good", "its code comes back, and the application is told both")
case("close_good_without_code", close(None), code=1005, cause="CLOSED")
for number in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
               4000, 4999):
    case(f"close_good_{number}", close(number), code=number, cause="CLOSED")
for size in (1, 123):
    case(f"close_good_reason_of_{size}", close(1000, b"r" * size), code=1000, cause="CLOSED",
         says="r" * size)

family("A close reason that is too long or not UTF-8", "1002, 1007")
case("close_reason_of_124", close(1000, b"r" * 124), code=1002, says="125 bytes")
case("close_reason_not_utf8", close(1000, b"\xff"), code=1007, says="UTF-8")
case("close_reason_cut_in_a_character", close(1000, b"r" * 121 + b"\xe2\x82"), code=1007)

family("Anything behind a close frame or an error", "dropped, for as long as the peer goes on")
case("message_behind_a_close", close(1000) + frame(TEXT, b"late"), code=1000, cause="CLOSED")
case("close_behind_a_close", close(1000) + close(3000), code=1000, cause="CLOSED")
case("error_behind_a_close", close(1001) + frame(0xff), code=1001, cause="CLOSED")
case("message_behind_an_error", frame(0x83) + frame(TEXT, b"late"), code=1002)
case("message_behind_an_error_later", frame(0x83), frame(TEXT, b"late"), code=1002)
case("flood_behind_an_error", frame(0x83), flood(frame(BINARY, b"x" * KIB), 8 * KIB), code=1002)
case("flood_behind_a_close", close(1000), flood(frame(BINARY, b"x" * KIB), 8 * KIB), code=1000,
     cause="CLOSED")

family("A peer that vanishes in the middle", "`LOST`, 1006, and all of its memory is given back")
for name, begun in (("header", bytes([0x82])), ("frame", frame(BINARY, b"x" * 900, length=1000)),
                    ("message", frame(PART, b"x" * 900)), ("nothing", b"")):
    case(f"reset_in_a_{name}", begun, RESET, cause="LOST")


def skip_to_the_last(peer, count, payload):
    """Pongs come, fewer than the pings, the newest last."""
    pongs = 0
    while True:
        first, got = peer.read_frame()
        check(first == PONG, f"a frame of {first} instead of a pong")
        pongs += 1
        if got == payload:
            break
    check(pongs < count, f"{pongs} pongs were kept for {count} pings")


family("Pings without end from a peer that does not read", "only the newest is answered")


@script(heap=192 * KIB)
def ping_flood_unread(run):
    count = 100_000
    peer = run.open()
    peer.do([flood(frame(PING, b"p" * 125), count), frame(PING, b"the newest")])
    skip_to_the_last(peer, count, b"the newest")
    run.expect_still_open(peer, messages=0)


family("Messages without end from a peer that does not read the echoes",
       "with `pause_read_when_backlogged`, which servers have on, it is read no more at "
       "`max_backlog_bytes`, and cut off after `write_timeout`")


@script(options={"max_backlog_bytes": "64KiB", "write_timeout": "1s",
                 "pause_read_when_backlogged": "on"}, heap=512 * KIB)
def message_flood_unread(run):
    peer = run.open()
    peer.send_until_stalled(made(frame(BINARY, b"x" * KIB), peer), 64 * MIB)
    run.expect_told("WRITE_STALL", 1006, "took no data", None)


family("A peer that answers nothing", "`IDLE`, 1006")


@script(options={"idle_timeout": "2s", "ping_interval": "500ms"})
def silence(run):
    peer = run.open()
    while peer.is_quiet(0.05) or peer.read_frame()[0] == PING:
        run.target.echo()  # the bystander must not be silent
    run.expect_close(peer, None, "IDLE")

family("A burst of the worst that is allowed", "all of it is taken, and others are served")
case("burst_of_empty_messages", flood(frame(TEXT), 20_000), messages=None, stays=True, heap=4 * MIB)
case("burst_of_pongs", flood(frame(PONG, b"x" * 125), 50_000), messages=0, stays=True)
