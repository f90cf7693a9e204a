# SPDX-License-Identifier: MIT
"""Answers to a client's opening request."""

from notation import (CLIENT, END, KIB, RESET, answer, each_byte, family, flood, frame, made,
                      script, unopened)
from target import check

BIG_HEAD = {"max_head_bytes": "1MiB"}


def opened_by(name, sent, *, code=None, stays=False, says="", messages=0):
    """An answer that is good, and whatever comes behind it in the same bytes."""
    def play(run):
        peer = run.connect()
        peer.send(made(sent, peer))
        run.target.await_event("open")
        if stays:
            run.expect_still_open(peer, messages)
        else:
            run.expect_close(peer, code, "PROTOCOL", says, messages)
    play.__name__ = name
    script(CLIENT)(play)


family("An answer with a wrong accept key, or without", "`HANDSHAKE`")
for name, key in (("missing", None), ("empty", ""), ("wrong", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                  ("of_kilobytes", "A" * 8000)):
    unopened(f"accept_{name}", answer(sec_websocket_accept=key), says="Sec-WebSocket-Accept",
             heap=48 * KIB)
unopened("accept_is_the_key", answer(more=["X: y"], sec_websocket_accept="dGhlIHNhbXBsZSBub25jZQ=="),
         says="does not match")

family("An answer without Upgrade or Connection, or with others", "`HANDSHAKE`")
for name, value in (("missing", None), ("other", "h2c"), ("list", "websocket, h2c"),
                    ("twice", ["websocket", "websocket"]), ("empty", "")):
    unopened(f"answer_upgrade_{name}", answer(upgrade=value), says="Upgrade")
for name, value in (("missing", None), ("close", "close"), ("empty", "")):
    unopened(f"answer_connection_{name}", answer(connection=value), says="Connection")

family("Another status than 101", "`REFUSED`, with the status; nothing is followed")
for status, reason in ((200, "OK"), (204, "No Content"), (299, "x"), (301, "Moved Permanently"), (401, "Unauthorized"),
                       (407, "Proxy Authentication Required"), (426, "Upgrade Required"),
                       (500, "Oops"), (999, "x")):
    unopened(f"other_status_{status}", answer(f"HTTP/1.1 {status} {reason}", ["Location: ws://127.0.0.1:1/"]),
             cause="REFUSED", says=str(status) if status < 600 and status != 299 else "")

family("Interim answers (1xx) without end",
       "passed over; `HANDSHAKE` when all heads together have `max_head_bytes`")
CONTINUE = b"HTTP/1.1 100 x\r\n\r\n"
unopened("interim_answers_by_the_thousand", flood(CONTINUE, 64 * KIB), says="larger than the limit",
         heap=640 * KIB)
unopened("interim_answers_in_bytes", each_byte((CONTINUE * KIB)[:16 * KIB]),
         says="larger than the limit", heap=48 * KIB)
unopened("interim_answers_and_a_huge_head", CONTINUE * 600, answer(more=["X: " + "x" * 6000]),
         says="larger than the limit", heap=64 * KIB)
opened_by("interim_answers_before_a_good_one", CONTINUE * 200 + answer(), stays=True)

family("A first line that is none", "`HANDSHAKE`")
for name, first in (("http_2", "HTTP/2 101 x"), ("http_1_0", "HTTP/1.0 101 x"), ("no_reason", "HTTP/1.1 101"),
                    ("two_digits", "HTTP/1.1 10 x"), ("four_digits", "HTTP/1.1 1010 x"),
                    ("sign", "HTTP/1.1 +10 x"), ("zero", "HTTP/1.1 001 x"), ("lower_case", "http/1.1 101 x"),
                    ("two_blanks", "HTTP/1.1  101 x"), ("icy", "ICY 101 x"), ("nul", "HTTP/1.1 101 \0")):
    unopened(f"status_line_{name}", answer(first))
unopened("answer_is_frames", frame(0x81, b"hello"))
unopened("answer_is_a_request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
unopened("answer_is_an_empty_line", b"\r\n", answer())

family("CR, LF or NUL where they do not belong, folded lines", "`HANDSHAKE`")
for name, line in (("bare_lf", "X: a\nY: b"), ("bare_cr", "X: a\rY: b"), ("nul", "X: a\0b"),
                   ("folded", "X: a\r\n b"), ("blank_name", "X : a"), ("no_colon", "X"),
                   ("empty_name", ": a")):
    unopened(f"answer_field_{name}", answer(more=[line]))

family("A huge or endless head", "`HANDSHAKE` at `max_head_bytes` or `max_headers`")
unopened("answer_head_of_megabytes", flood(b"HTTP/1.1 101 x\r\nX: " + b"x" * 1000, 4 * KIB),
         heap=256 * KIB)
unopened("answer_head_in_bytes", each_byte((b"HTTP/1.1 101 x\r\n" + b"X: 1\r\n" * 4 * KIB)[:16 * KIB]),
         says="larger than the limit", heap=48 * KIB)
unopened("answer_head_without_a_line_end", b"H" * 20 * KIB, says="larger", heap=48 * KIB)
unopened("answer_headers_101", answer(more=["X: 1"] * 98), says="more headers")
unopened("answer_headers_by_the_thousand", answer(more=["X: 1"] * 50_000), says="more headers",
         options=BIG_HEAD, heap=2048 * KIB)
unopened("answer_spaces_32000", answer(upgrade=" " * 32000 + "websocket"), says="larger", heap=96 * KIB)

family("A subprotocol or an extension that was not offered", "`HANDSHAKE`")
for name, value in (("unasked", "chat"), ("empty", ""), ("list", "chat, x"), ("of_kilobytes", "c" * 8000)):
    unopened(f"answer_subprotocol_{name}", answer(more=[f"Sec-WebSocket-Protocol: {value}"]),
             says="subprotocol", heap=48 * KIB)
for name, value in (("another", "news"), ("case", "CHAT"), ("list", "chat, chat"), ("empty", "")):
    unopened(f"answer_to_an_offer_{name}", answer(more=[f"Sec-WebSocket-Protocol: {value}"]),
             says="subprotocol", subprotocol="chat")
unopened("answer_to_an_offer_twice", answer(more=["Sec-WebSocket-Protocol: chat"] * 2),
         says="two Sec-WebSocket-Protocol", subprotocol="chat")
for name, value in (("deflate", "permessage-deflate"), ("unknown", "x-nothing; a=b"),
                    ("malformed", ";;="), ("of_kilobytes", "a" * 8000)):
    unopened(f"answer_extension_{name}", answer(more=[f"Sec-WebSocket-Extensions: {value}"]),
             says="extension", heap=48 * KIB)

family("A 101 with a body announced", "`HANDSHAKE`")
for name, lines in (("length", ["Content-Length: 5"]), ("length_0", ["Content-Length: 0"]),
                    ("lengths_differ", ["Content-Length: 0", "Content-Length: 5"]),
                    ("chunked", ["Transfer-Encoding: chunked"]),
                    ("both", ["Transfer-Encoding: chunked", "Content-Length: 0"])):
    unopened(f"answer_body_{name}", answer(more=lines), b"HELLO")

family("Bytes behind the 101 in its segment", "taken as frames: echoed, or 1002")
opened_by("answer_with_a_bad_frame", answer() + frame(0xf1), code=1002, says="reserved bit")
opened_by("answer_with_a_masked_frame", answer() + frame(0x81, b"x", mask=False), code=1002)
opened_by("answer_with_good_frames", answer() + frame(0x81, b"x") * 100, stays=True, messages=100)
opened_by("answer_with_another_answer", answer() + b"HTTP/1.1 101 x\r\n\r\n", code=1002)

family("An answer that breaks off, or does not come",
       "`HANDSHAKE`, `HANDSHAKE_TIMEOUT`; its memory is given back")


def cut_after_every_byte(run, cut):
    for length in range(1000):
        peer = run.connect()
        whole = made(answer(), peer)
        if length == len(whole):
            peer.reset()
            break
        peer.do([whole[:length], cut])
        if cut is END:
            check(not peer.read_rest(), "the client goes on")
        run.expect_told("HANDSHAKE", 1006, "before", 0)


@script(CLIENT, heap=64 * KIB)
def reset_after_every_byte_of_the_answer(run):
    cut_after_every_byte(run, RESET)


@script(CLIENT, heap=64 * KIB)
def end_after_every_byte_of_the_answer(run):
    cut_after_every_byte(run, END)


@script(CLIENT, options={"handshake_timeout": "1s"}, heap=512 * KIB)
def slow_answers_by_the_hundred(run):
    peers = [run.connect() for _ in range(100)]
    for number, peer in enumerate(peers):
        peer.send(b"HTTP/1.1 101 x\r\nX: "[:number % 20])
    left = peers
    while left:
        for peer in left:  # those that are in the middle of a value go on and on
            peer.send(b"a" if peers.index(peer) % 20 == 19 else b"")
        run.target.echo()
        left = [peer for peer in left if not peer.is_gone()]
    for _ in peers:
        run.expect_told("HANDSHAKE_TIMEOUT", 1006, "in time", 0)
