# SPDX-License-Identifier: MIT
"""Opening requests to a server."""

import select
import time

from notation import (END, KIB, RESET, SERVER, each_byte, family, flood, frame, made, refused,
                      request, script)
from target import check


def opened_with(name, sent, *, code=None, stays=False, says="", messages=0, heap=64 * KIB):
    """A request that is accepted, and whatever comes with it in the same bytes."""
    def play(run):
        peer = run.connect()
        peer.send(made(sent, peer))
        first, _ = peer.read_head()
        check(first == "HTTP/1.1 101 Switching Protocols", f"the answer is {first!r}")
        run.target.await_event("open")
        if stays:
            run.expect_still_open(peer, messages)
        else:
            run.expect_close(peer, code, "PROTOCOL", says, messages)
    play.__name__ = name
    script(SERVER, heap=heap)(play)


family("A head above `max_head_bytes` or `max_headers`", "431, and what still comes is dropped")
refused("head_of_megabytes", flood(b"GET / HTTP/1.1\r\n" + b"X-Filler: " + b"x" * 1000, 4 * KIB),
        status=431, says="larger than the limit", heap=256 * KIB)
refused("head_in_bytes_to_the_limit",
        each_byte((b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x" * 16 * KIB)[:16 * KIB]), status=431,
        says="larger than the limit")
refused("head_in_bytes_beyond_the_limit", each_byte(b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * KIB),
        flood(b"x", KIB * KIB), status=431, options={"max_head_bytes": "1KiB"}, heap=128 * KIB)
refused("head_without_a_line_end", b"G" * 20 * KIB, status=431, says="larger than the limit")
refused("headers_2000_and_upgrade_last", b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 2000 +
        request().partition(b"\r\n")[2], status=431, says="more headers")
refused("headers_2000_in_bytes", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 1000,
        each_byte(b"X: 1\r\n" * 1000 + b"\r\n"), status=431, says="more headers")
refused("headers_101", request(more=["X: 1"] * 96), status=431, says="more headers")
refused("spaces_32000_in_a_field_name", request(more=["X" + " " * 32000 + "Y: 1"]), status=431)
refused("spaces_32000_in_a_value", request(connection=" " * 32000 + "Upgrade"), status=431)
refused("spaces_32000_in_the_first_line", request("GET" + " " * 32000 + "/ HTTP/1.1"), status=431)

MIB_HEAD = {"max_head_bytes": "1MiB", "max_headers": "256"}
family("The same where `max_head_bytes` lets it pass", "400, 426; time and memory stay small")
refused("spaces_in_a_field_name", request(more=["X" + " " * 32000 + "Y: 1"]), status=400,
        options=MIB_HEAD, heap=256 * KIB)
refused("spaces_in_the_first_line", request("GET" + " " * 32000 + "/ HTTP/1.1"), status=400,
        options=MIB_HEAD, heap=256 * KIB)
refused("spaces_in_a_token", request(upgrade="web" + " " * 32000 + "socket", connection="x"),
        status=426, options=MIB_HEAD, heap=256 * KIB)
refused("commas_without_end", request(connection="," * 900_000), status=400, options=MIB_HEAD,
        heap=4096 * KIB)
refused("subprotocols_without_end", request(more=["Sec-WebSocket-Protocol: " + "a," * 300_000 + "\1"]),
        status=400, options=MIB_HEAD, heap=4096 * KIB)
refused("cookies_without_end", request("GET /?" + "a=b&" * 60_000 + " HTTP/1.1",
        ["Cookie: " + "a=b; " * 60_000], host=None), status=400, options=MIB_HEAD, heap=4096 * KIB)

family("A first line that is none", "400, 405, 505")
for name, first in (("no_method", " / HTTP/1.1"), ("two_blanks", "GET  / HTTP/1.1"),
                    ("no_version", "GET /"), ("lower_case_version", "GET / http/1.1"),
                    ("nul_in_target", "GET /\0 HTTP/1.1"), ("bare_cr", "GET /\r HTTP/1.1"),
                    ("fragment", "GET /#x HTTP/1.1"), ("high_bytes", "GET /\xe4 HTTP/1.1"),
                    ("no_target", "GET HTTP/1.1"), ("star", "GET * HTTP/1.1"),
                    ("tab", "GET\t/ HTTP/1.1"), ("trailing_blank", "GET / HTTP/1.1 ")):
    refused(f"first_line_{name}", request(first), status=400)
refused("first_line_post", request("POST / HTTP/1.1"), status=405)
refused("first_line_http_2", request("GET / HTTP/2.0"), status=505)
refused("first_line_http_0_9", request("GET / HTTP/0.9"), status=505)
refused("first_line_http_1_0", request("GET / HTTP/1.0"), status=400)
refused("tls_hello", bytes.fromhex("16030100c8010000c40303"), status=400, says="not HTTP")
refused("http_2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", status=505)
refused("frames_instead_of_a_request", frame(0x81, b"hello"), status=400, says="not HTTP")

family("CR, LF or NUL where they do not belong, folded lines, blanks before a colon", "400")
for name, line in (("bare_lf", "X: a\nY: b"), ("bare_cr", "X: a\rY: b"), ("nul", "X: a\0b"),
                   ("delete", "X: a\x7f"), ("folded", "X: a\r\n b"), ("blank_name", "X : a"),
                   ("empty_name", ": a"), ("no_colon", "X"), ("name_with_bracket", "X(: a"),
                   ("high_name", "X\xe4: a"), ("cr_cr_lf", "X: a\r\r\nY: b")):
    refused(f"field_{name}", request(more=[line]), status=400)
refused("lines_end_in_lf", request().replace(b"\r\n", b"\n"), status=400)

family("Host missing, empty, twice or malformed", "400")
for name, host in (("missing", None), ("empty", ""), ("twice", ["a", "b"]), ("same_twice", ["a", "a"]),
                   ("with_path", "a/b"), ("with_user", "u@a"), ("blank_inside", "a b"),
                   ("bad_port", "a:b"), ("port_65536", "a:65536"), ("open_bracket", "[::1")):
    refused(f"host_{name}", request(host=host), status=400)

family("A Sec-WebSocket-Key that is missing, empty, twice, of another length or not base64", "400")
for name, key in (("missing", None), ("empty", ""), ("twice", ["dGhlIHNhbXBsZSBub25jZQ=="] * 2),
                  ("of_15_bytes", "dGhlIHNhbXBsZSBub25j"), ("of_17_bytes", "dGhlIHNhbXBsZSBub25jZWE="),
                  ("of_24_letters", "d" * 24), ("not_base64", "dGhlIHNhbXBsZSBub25jZ$=="),
                  ("loose_bits", "dGhlIHNhbXBsZSBub25jZR=="), ("blank", "dGhlIHNhbXBsZSB1b25j Q=="),
                  ("unpadded", "dGhlIHNhbXBsZSBub25jZQ"), ("of_kilobytes", "A" * 8000)):
    refused(f"key_{name}", request(sec_websocket_key=key), status=400)

family("Another version, no upgrade, no connection", "426, 400")
for version in ("8", "14", "013", "+13", "13, 8", "x", "", "99999999999999999999"):
    refused(f"version_{version.replace(', ', '_and_') or 'empty'}",
            request(sec_websocket_version=version), status=426)
refused("version_missing", request(sec_websocket_version=None), status=400)
refused("version_twice", request(sec_websocket_version=["13", "13"]), status=400)
refused("upgrade_missing", request(upgrade=None), status=426)
refused("upgrade_to_another", request(upgrade="h2c"), status=426)
refused("connection_missing", request(connection=None), status=400)
refused("connection_keep_alive", request(connection="keep-alive"), status=400)

family("A body on the upgrade, lengths that differ, Transfer-Encoding", "400")
for name, lines in (("length", ["Content-Length: 5"]),
                    ("lengths_differ", ["Content-Length: 0", "Content-Length: 5"]),
                    ("length_list", ["Content-Length: 0, 0"]), ("length_sign", ["Content-Length: +0"]),
                    ("length_negative", ["Content-Length: -1"]), ("length_hex", ["Content-Length: 0x0"]),
                    ("length_empty", ["Content-Length:"]),
                    ("length_of_30_digits", ["Content-Length: " + "9" * 30]),
                    ("chunked", ["Transfer-Encoding: chunked"]),
                    ("identity", ["Transfer-Encoding: identity"]),
                    ("chunked_twice", ["Transfer-Encoding: chunked, chunked"]),
                    ("chunked_and_length", ["Transfer-Encoding: chunked", "Content-Length: 0"]),
                    ("coding_unknown", ["Transfer-Encoding: xchunked"])):
    refused(f"body_{name}", request(more=lines), b"HELLO", status=400)

family("A second request behind a refused one", "one answer, then the end: nothing is smuggled")
GOOD = request()
for name, first, status in (("bad", request(host=None), 400), ("post", request("POST / HTTP/1.1"), 405),
                            ("not_found", request("GET /nothing HTTP/1.1"), 404),
                            ("plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
                            ("chunked", request(more=["Transfer-Encoding: chunked"]) + b"0\r\n\r\n", 400),
                            ("version", request(sec_websocket_version="8"), 426)):
    refused(f"pipelined_behind_{name}", first + GOOD, status=status)
    refused(f"pipelined_behind_{name}_later", first, GOOD, status=status)
refused("pipelined_behind_bad_by_the_thousand", request(host=None), flood(GOOD, 20_000), status=400)

family("Hostile subprotocols", "400, or none is chosen")
for name, value in (("with_blank", "a b"), ("with_comma_quote", 'a, "b"'), ("with_control", "a\x01"),
                    ("with_slash", "a/b"), ("high", "\xe4"), ("with_semicolon", "a;b")):
    refused(f"subprotocol_{name}", request(more=[f"Sec-WebSocket-Protocol: {value}"]), status=400)
opened_with("subprotocol_list_empty", request(more=["Sec-WebSocket-Protocol: ,, ,"]), stays=True)
opened_with("subprotocol_list_of_thousands",
            request(more=["Sec-WebSocket-Protocol: " + "a, " * 5000]), stays=True)

family("Extensions, however they are written, while none is on", "ignored: none is in the answer")
for name, value in (("malformed", ";;;=,\""), ("unknown", "x-nothing; a=b; c"), ("of_kilobytes", "a" * 15_000),
                    ("by_the_thousand", "a, " * 5000), ("deflate", "permessage-deflate"),
                    ("quote_open", 'a; b="c'), ("high", "\xff\xfe")):
    opened_with(f"extension_{name}", request(more=[f"Sec-WebSocket-Extensions: {value}"]),
                stays=True)

family("Frames in the segment of the request", "taken as frames: echoed, or 1002")
opened_with("request_with_a_bad_frame", request() + frame(0xf1), code=1002, says="reserved bit")
opened_with("request_with_an_unmasked_frame", request() + frame(0x81, b"x", mask=False), code=1002)
opened_with("request_with_good_frames", request() + frame(0x81, b"x") * 100, stays=True, messages=100)
opened_with("request_with_another_request", GOOD + GOOD, code=1002)

family("A request that breaks off", "nothing is told to the application; its memory is given back")


@script(SERVER, heap=64 * KIB)
def reset_after_every_byte_of_the_request(run):
    for length in range(len(GOOD)):
        peer = run.connect()
        peer.do([GOOD[:length], RESET])


@script(SERVER, heap=64 * KIB)
def end_after_every_byte_of_the_request(run):
    for length in range(len(GOOD)):
        peer = run.connect()
        peer.do([GOOD[:length], END])
        check(not peer.read_rest(), f"{length} bytes are answered")


@script(SERVER, heap=64 * KIB)
def reset_behind_the_request(run):
    for _ in range(50):
        peer = run.connect()
        peer.send(GOOD)
        peer.reset()
        run.target.echo()


SLOW = 300
family("Slow requests by the hundred", "408 at `handshake_timeout`, however they drip; others are served")


@script(SERVER, options={"handshake_timeout": "2s"}, heap=SLOW * 4 * KIB)
def slow_requests_by_the_hundred(run):
    dripping = {}
    for number in range(SLOW):
        peer = run.connect()
        begun = GOOD[:number % len(GOOD)]
        peer.send(begun[:-1] if begun.endswith(b"\r") else begun)
        dripping[peer.sock] = peer
    deadline = time.monotonic() + 2 + 2 * run.target.patience
    while dripping:
        check(time.monotonic() < deadline, f"{len(dripping)} were not cut in time")
        for sock in select.select(list(dripping), [], [], 0)[0]:
            run.expect_answer(dripping.pop(sock), 408)
        for peer in dripping.values():  # each of them goes on, but never to the end
            peer.send(b"a")
        served = run.open()
        run.expect_still_open(served)


@script(SERVER, options={"handshake_timeout": "2s"}, heap=SLOW * 2 * KIB)
def silent_connections_by_the_hundred(run):
    peers = [run.connect() for _ in range(SLOW)]
    for peer in peers:
        while peer.is_quiet(0.02):
            run.target.echo()
        run.expect_answer(peer, 408)


CROWD = 100
family("Refused peers by the hundred that sent much and stay", "what they sent is not kept for them")


@script(SERVER, heap=CROWD * 4 * KIB + 512 * KIB)
def refused_by_the_hundred_and_stay(run):
    peers = [run.connect() for _ in range(CROWD)]
    for number, peer in enumerate(peers):
        bad = request(host=None) if number % 2 else b""
        peer.send(bad + b"x" * 200 * KIB)
        run.target.echo()
    for number, peer in enumerate(peers):
        run.expect_answer(peer, 400 if number % 2 else 431)
