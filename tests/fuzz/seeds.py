#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets: seeds.py [DIRECTORY], corpus/ beside this file unless
named. Valid samples of each kind, and inputs that miss being valid by one thing. A file
that is not from here (a finding) is left alone."""
import pathlib
import struct
import sys
import zlib

KEY = bytes.fromhex("37fa213d")
SERVER, CLIENT = 0, 1
# Limits of target frame: ample, 300 bytes in 3 fragments, nothing in 1, none.
AMPLE, TIGHT, EMPTY, NONE = 0, 2, 4, 6
# Compression was agreed; delivery in parts when the input comes at once, byte by byte, in
# random pieces; by turns in random pieces.
COMPRESSION, PARTS, TURNS = 8, 0x80 | 0x40 | 0x10, 0x80 | 0x20


def frame(byte0, payload=b"", masked=True, size=None):
    """One frame; `size` lies about the length."""
    size = len(payload) if size is None else size
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([byte0, mask | size])
    elif size < 65536:
        head = struct.pack(">BBH", byte0, mask | 126, size)
    else:
        head = struct.pack(">BBQ", byte0, mask | 127, size)
    if not masked:
        return head + payload
    return head + KEY + bytes(b ^ KEY[i % 4] for i, b in enumerate(payload))


# Seeds of frames that are worth having for a client as well.
FOR_CLIENTS = ("text fragments close wrong_mask huge compressed compressed_fragments "
               "parts_fragments turns_fragments").split()


def received(data, role=SERVER, limits=AMPLE, cuts=7, more=0):
    return bytes([role | limits | more, cuts]) + data


def frames():
    text = "a\u00e9\u20ac\U0001f600\ud7ff\U0010ffff".encode()
    for role, masked in (("server", True), ("client", False)):
        number = SERVER if masked else CLIENT

        def f(byte0, payload=b"", size=None, masked=masked):
            return frame(byte0, payload, masked, size)

        yield f"{role}_text", received(f(0x81, b"Hello"), number)
        yield f"{role}_text_utf8", received(f(0x81, text) + f(0x81, text * 9), number)
        yield f"{role}_empty", received(f(0x81) + f(0x82), number)
        yield f"{role}_binary_126", received(f(0x82, bytes(range(126))), number)
        yield f"{role}_binary_600", received(f(0x82, bytes(range(200)) * 3), number, NONE)
        yield f"{role}_fragments", received(
            f(0x01, text[:4]) + f(0x89, b"in between") + f(0x00, text[4:5]) + f(0x80, text[5:]),
            number)
        yield f"{role}_too_many_fragments", received(
            f(0x01) + f(0x00) * 2 + f(0x80), number, TIGHT)
        yield f"{role}_three_fragments", received(
            f(0x01) + f(0x00) + f(0x80), number, TIGHT)
        yield f"{role}_sum_over_limit", received(
            f(0x02, bytes(200)) + f(0x80, bytes(101)), number, TIGHT)
        yield f"{role}_at_limit", received(f(0x82, bytes(300)), number, TIGHT)
        yield f"{role}_over_limit", received(f(0x82, b"x"), number, EMPTY)
        yield f"{role}_pings", received(f(0x89) + f(0x89, bytes(125)) + f(0x8A, b"x"), number)
        yield f"{role}_close", received(f(0x88, b"\x03\xe8bye") + f(0x81, b"late"), number)
        yield f"{role}_close_empty", received(f(0x88), number)
        yield f"{role}_close_inside_message", received(f(0x01, b"x") + f(0x88, b"\x0f\xa0"), number)
        yield f"{role}_close_half_code", received(f(0x88, b"\x03"), number)
        yield f"{role}_close_1005", received(f(0x88, b"\x03\xed"), number)
        yield f"{role}_close_1015", received(f(0x88, b"\x03\xf7"), number)
        yield f"{role}_close_bad_reason", received(f(0x88, b"\x03\xe8\xff"), number)
        yield f"{role}_close_123", received(f(0x88, b"\x03\xe9" + b"r" * 123), number)
        yield f"{role}_wrong_mask", received(frame(0x81, b"x", not masked), number)
        yield f"{role}_rsv1", received(f(0xC1, b"x"), number)
        yield f"{role}_reserved_opcode", received(f(0x83), number)
        yield f"{role}_reserved_control", received(f(0x8B), number)
        yield f"{role}_ping_fragment", received(f(0x09), number)
        yield f"{role}_ping_126", received(f(0x89, bytes(126)), number)
        yield f"{role}_stray_continuation", received(f(0x80, b"x"), number)
        yield f"{role}_text_inside_text", received(f(0x01, b"x") + f(0x81, b"y"), number)
        yield f"{role}_bad_utf8", received(f(0x81, b"good\xc0\x80"), number)
        yield f"{role}_surrogate", received(f(0x01, b"\xed") + f(0x80, b"\xa0\x80"), number)
        yield f"{role}_cut_utf8", received(f(0x81, b"\xe2\x82"), number)
        mask = 0x80 if masked else 0
        yield f"{role}_long_16", received(bytes([0x82, mask | 126, 0, 125]), number)
        yield f"{role}_long_64", received(
            bytes([0x82, mask | 127]) + struct.pack(">Q", 65535), number)
        yield f"{role}_top_bit", received(
            bytes([0x82, mask | 127]) + b"\x80" + bytes(7), number, NONE)
        yield f"{role}_huge", received(
            bytes([0x82, mask | 127]) + b"\x7f" + b"\xff" * 7 + KEY + b"some", number, NONE)
        yield f"{role}_sum_overflows", received(
            f(0x02, b"xx") + bytes([0x80, mask | 127]) + b"\x7f" + b"\xff" * 7 + KEY + b"z",
            number, NONE)
        yield f"{role}_unfinished", received(f(0x82, b"xy", 70000), number)
        # RSV1
        def deflate(*frames, limits=AMPLE, more=0, number=number):
            return received(b"".join(frames), number, limits, more=COMPRESSION | more)

        yield f"{role}_compressed", deflate(f(0xC1, b"\xff\xfe"), f(0x81, b"plain"), f(0xC2))
        yield f"{role}_compressed_fragments", deflate(
            f(0x41, b"\xf2\x48\xcd"), f(0x89), f(0x00), f(0x80, b"\xc9\xc9\x07\x00"),
            f(0x01, text[:1]), f(0x80, text[1:]))
        yield f"{role}_compressed_continuation", deflate(f(0x41, b"x"), f(0xC0, b"y"))
        yield f"{role}_compressed_ping", deflate(f(0xC9, b"x"))
        yield f"{role}_compressed_rsv2", deflate(f(0xA1, b"x"))
        yield f"{role}_compressed_rsv_both", deflate(f(0xE1, b"x"))
        yield f"{role}_compressed_at_limit", deflate(f(0xC2, bytes(405)), limits=TIGHT)
        yield f"{role}_compressed_over_limit", deflate(f(0x42, bytes(400)), f(0x80, bytes(6)),
                                                       limits=TIGHT)
        yield f"{role}_compressed_sum_at_limit", deflate(f(0x42, bytes(200)), f(0x80, bytes(205)),
                                                         limits=TIGHT)
        yield f"{role}_compressed_empty_limit", deflate(f(0xC2, bytes(64)), f(0xC2, bytes(65)),
                                                        limits=EMPTY)
        yield f"{role}_plain_after_compressed_over_limit", deflate(
            f(0xC2, bytes(400)), f(0x82, bytes(301)), limits=TIGHT)
        yield f"{role}_compressed_no_limit", deflate(f(0x42, b"x"), f(0x80, b"y", 1 << 40),
                                                     limits=NONE)
        # Parts, or whole and parts by turns.
        for name, flags in (("parts", PARTS), ("turns", TURNS)):
            def parts(*frames, limits=AMPLE, number=number, flags=flags):
                return received(b"".join(frames), number, limits, more=COMPRESSION | flags)

            yield f"{role}_{name}_text", parts(f(0x81, text * 5), f(0x81), f(0x82, b"x"))
            yield f"{role}_{name}_fragments", parts(
                f(0x01), f(0x00, text[:4]), f(0x89, b"ping"), f(0x00, text[4:5]), f(0x00),
                f(0x8A), f(0x80, text[5:]), f(0x42, bytes(30)), f(0x80), f(0x82, text))
            yield f"{role}_{name}_many", parts(*[f(0x82, bytes(n)) for n in range(12)])
            yield f"{role}_{name}_cut_utf8", parts(f(0x01, text[:4]), f(0x80))
            yield f"{role}_{name}_bad_utf8", parts(f(0x01, b"good"), f(0x80, b"bad \xff more"))
            yield f"{role}_{name}_over_limit", parts(f(0x02, bytes(200)), f(0x80, bytes(101)),
                                                     limits=TIGHT)
            yield f"{role}_{name}_close", parts(f(0x02, b"never ended"), f(0x88, b"\x03\xe8"))
            yield f"{role}_{name}_overflow", parts(
                f(0x02, b"xx"), bytes([0x80, mask | 127]) + b"\x7f" + b"\xff" * 7 + KEY + b"z",
                limits=NONE)


GET = "GET {} HTTP/1.1\r\n"
UPGRADE = ("Host: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n")


def requests():
    def upgrade(target="/chat", more="", start=GET, fields=UPGRADE):
        return start.format(target) + fields + more + "\r\n"

    yield "upgrade", upgrade()
    yield "with_frames_behind", upgrade() + "\x01\x02"
    yield "protocols", upgrade(more="Sec-WebSocket-Protocol: soap, chat\r\n"
                                    "Sec-WebSocket-Protocol: ,v2.x ,\r\n")
    yield "deflate_offer", upgrade(more="Sec-WebSocket-Extensions: permessage-deflate; "
                                        "client_max_window_bits\r\n")
    yield "query", upgrade("/chat/a%20b/c?x=1&y=%41+b&&z&=q&w=%zz&x=%00")
    yield "escaped_slash", upgrade("/chat/a%2Fb")
    yield "rest", upgrade("/files/a//b%2e/%2e%2e/c")
    yield "dots", upgrade("/chat/../x")
    yield "absolute", upgrade("http://a.example:80/chat?q")
    yield "absolute_only_query", upgrade("http://[::1]?q")
    yield "cookies", upgrade(more='Cookie: a=1; b="two"; =x; c\r\nCookie: d=\t\r\n')
    yield "browser", upgrade(more="Origin: http://a.example\r\nUser-Agent: M/5.0\r\n"
                                  "Accept-Encoding: gzip, deflate\r\nPragma: no-cache\r\n"
                                  "Cache-Control: no-cache\r\nAccept-Language: en\r\n")
    yield "foreign_origin", upgrade(more="Origin: https://b.example:8443\r\n")
    yield "basic", upgrade(more="Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")
    yield "basic_twice", upgrade(more="Authorization: Basic YTpi\r\n" * 2)
    yield "basic_no_colon", upgrade(more="Authorization: Basic YWI=\r\n")
    yield "basic_control", upgrade(more="Authorization: Basic YToA\r\n")
    yield "basic_padding_inside", upgrade(more="Authorization: basic  YTo=YTpi\r\n")
    yield "bearer", upgrade(more="Authorization: Bearer mF_9.B5f-4.1JqM==\r\n")
    yield "bearer_twice", upgrade(more="Authorization: Bearer a b\r\n")
    yield "same_origin", upgrade(more="Origin: http://a.example\r\n")
    yield "null_origin", upgrade(more="Origin: null\r\n")
    yield "origin_below", upgrade(more="Origin: https://b.a.example:443\r\n")
    yield "origin_not_below", upgrade(more="Origin: https://b-a.example\r\n")
    yield "origin_behind_it", upgrade(more="Origin: https://b.a.example.c\r\n")
    yield "two_origins", upgrade(more="Origin: http://a.example\r\n" * 2)
    yield "keep_alive", upgrade(fields=UPGRADE.replace(
        "Connection: Upgrade", "Connection: keep-alive,Upgrade\r\nConnection: x"))
    yield "host_port", upgrade(fields=UPGRADE.replace("a.example", "[2001:db8::1]:8080"))
    yield "plain", "GET /page.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
    yield "plain_1_0", "GET / HTTP/1.0\r\n\r\n"
    yield "head", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
    yield "options", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"
    yield "connect", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"
    yield "post", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde"
    yield "obs_text", upgrade(more="X: caf\xe9\r\nY:\t blank \t\r\nZ:\r\n")
    # Misses by one thing.
    yield "post_upgrade", upgrade(start="POST {} HTTP/1.1\r\n")
    yield "http_2", upgrade(start="GET {} HTTP/2.0\r\n")
    yield "two_blanks", upgrade(start="GET  {} HTTP/1.1\r\n")
    yield "no_target", "GET HTTP/1.1\r\nHost: h\r\n\r\n"
    yield "fragment", upgrade("/chat#x")
    yield "relative", upgrade("chat")
    yield "bad_escape", upgrade("/chat/%4")
    yield "version_8", upgrade(fields=UPGRADE.replace(": 13", ": 8"))
    yield "version_twice", upgrade(more="Sec-WebSocket-Version: 13\r\n")
    yield "no_key", upgrade(fields=UPGRADE.replace("Sec-WebSocket-Key", "X"))
    yield "short_key", upgrade(fields=UPGRADE.replace("dGhl", ""))
    yield "loose_key", upgrade(fields=UPGRADE.replace("jZQ==", "jZR=="))
    yield "two_keys", upgrade(more="Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    yield "no_connection", upgrade(fields=UPGRADE.replace("Connection", "X"))
    yield "no_host", upgrade(fields=UPGRADE.replace("Host: a.example\r\n", ""))
    yield "two_hosts", upgrade(more="Host: a.example\r\n")
    yield "empty_host", upgrade(fields=UPGRADE.replace("a.example", ""))
    yield "bad_host", upgrade(fields=UPGRADE.replace("a.example", "a@b"))
    yield "octal_host", upgrade(fields=UPGRADE.replace("a.example", "010.0.0.1"))
    yield "lengths_differ", upgrade(more="Content-Length: 0\r\nContent-Length: 1\r\n")
    yield "length_sign", upgrade(more="Content-Length: +1\r\n")
    yield "length_on_upgrade", upgrade(more="Content-Length: 5\r\n")
    yield "chunked", upgrade(more="Transfer-Encoding: chunked\r\n")
    yield "chunked_and_length", upgrade(more="Transfer-Encoding: chunked\r\nContent-Length: 1\r\n")
    yield "fold", upgrade(more="X: a\r\n b\r\n")
    yield "blank_before_colon", upgrade(more="X : a\r\n")
    yield "no_colon", upgrade(more="X\r\n")
    yield "no_name", upgrade(more=": x\r\n")
    yield "bad_name", upgrade(more="X(: x\r\n")
    yield "empty_protocol", upgrade(more="Sec-WebSocket-Protocol: ,\r\n")
    yield "bad_protocol", upgrade(more="Sec-WebSocket-Protocol: a b\r\n")
    yield "protocol_twice", upgrade(more="Sec-WebSocket-Protocol: a, a\r\n")
    yield "bare_lf", upgrade().replace("\r\n", "\n")
    yield "bare_cr", upgrade(more="X: a\rb\r\n")
    yield "nul", upgrade(more="X: a\0b\r\n")
    yield "escape", upgrade(more="X: a\x1bb\r\n")
    yield "tls_hello", "\x16\x03\x01\x02\0\x01"
    yield "unfinished", upgrade()[:-2]
    yield "fields_25", upgrade(more="".join(f"X{i}: {i}\r\n" for i in range(20)))
    yield "too_large", upgrade(more="X: " + "x" * 2000 + "\r\n")


SWITCH = "HTTP/1.1 101 Switching Protocols\r\n"
ACCEPT = ("Upgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")


def responses():
    def answer(start=SWITCH, fields=ACCEPT, more=""):
        return start + fields + more + "\r\n"

    yield "accept", answer()
    yield "accept_with_frames", answer() + "\x81\x02hi"
    yield "protocol", answer(more="Sec-WebSocket-Protocol: chat\r\n")
    yield "extensions", answer(more="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    yield "no_extension", answer(more="Sec-WebSocket-Extensions: ,\r\n")
    yield "no_reason", answer("HTTP/1.1 101 \r\n")
    yield "other_case", answer(fields=ACCEPT.replace("websocket", "WebSocket").lower()
                               .replace("s3pplmbitxaq9kygzzhzrbk+xoo=",
                                        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    yield "refused_403", answer("HTTP/1.1 403 Forbidden\r\n", "Content-Length: 0\r\n")
    yield "status_200", answer("HTTP/1.1 200 OK\r\n")
    yield "http_1_0", answer("HTTP/1.0 101 Switching Protocols\r\n")
    yield "no_blank_behind_status", answer("HTTP/1.1 101\r\n")
    yield "status_99", answer("HTTP/1.1 099 x\r\n")
    yield "http_2", answer("HTTP/2 101 x\r\n")
    yield "wrong_accept", answer(fields=ACCEPT.replace("s3p", "S3p"))
    yield "no_upgrade", answer(fields=ACCEPT.replace("Upgrade: websocket\r\n", ""))
    yield "upgrade_list", answer(fields=ACCEPT.replace("websocket", "websocket, h2c"))
    yield "no_connection", answer(fields=ACCEPT.replace("Connection", "X"))
    yield "two_protocols", answer(more="Sec-WebSocket-Protocol: chat, soap\r\n")
    yield "protocol_twice", answer(more="Sec-WebSocket-Protocol: chat\r\n" * 2)
    yield "unknown_protocol", answer(more="Sec-WebSocket-Protocol: other\r\n")
    yield "empty_protocol", answer(more="Sec-WebSocket-Protocol:\r\n")
    yield "chunked", answer(more="Transfer-Encoding: chunked\r\n")
    yield "length", answer(more="Content-Length: 0\r\n")
    yield "fold", answer(more="X: a\r\n\tb\r\n")
    yield "unfinished", answer()[:-1]
    yield "fields_25", answer(more="".join(f"X{i}: {i}\r\n" for i in range(22)))


def urls():
    for name, text in {
        "plain": "ws://a.example/chat?room=1",
        "secure_port": "wss://a.example:8443",
        "default_port": "wss://a.example:443/",
        "any_port": "ws://127.0.0.1:0",
        "upper": "WS://A.Example:80/",
        "ipv6": "ws://[2001:db8::1]:9/x",
        "ipv6_mapped": "ws://[::ffff:127.0.0.1]",
        "ipv6_zone": "ws://[fe80::1%25eth0]/",
        "ipv6_unclosed": "ws://[::1/x",
        "star": "ws://*:8080",
        "user": "ws://me:p%40ss@a.example/",
        "user_bad_escape": "ws://me%4@a.example/",
        "only_query": "ws://h?q=1",
        "escapes": "ws://h/a%20b?c=%ff",
        "bad_escape": "ws://h/%g0",
        "blank": "ws://h/a b",
        "fragment": "ws://h/#x",
        "no_host": "ws:///x",
        "http": "http://h/",
        "port_65536": "ws://h:65536",
        "port_empty": "ws://h:/",
        "digits": "ws://127.1/",
        "octal": "ws://010.0.0.1/",
        "long_host": "ws://" + "h" * 255,
        "longer_host": "ws://" + "h" * 256,
        "unix": "ws+unix:/run/chat.sock",
        "unix_target": "wss+unix:/run/a b.sock:/chat?x=1",
        "unix_query": "ws+unix:/run/s:?x",
        "unix_long": "ws+unix:/" + "s" * 107,
        "unix_relative": "ws+unix:run/s",
    }.items():
        yield name, text


def options():
    for name, text in {
        "workers": "1=workers=4",
        "mib": "2max_message_bytes=1MiB",
        "blank": "6max_message_bytes=64 KiB",
        "range": "2max_head_bytes=1",
        "more_hours": "3idle_timeout=25h",
        "off": "3ping_interval=off",
        "zero": "3ping_interval=0",
        "not_off": "3close_timeout=off",
        "negative": "1max_connections=-1",
        "overflow": "2max_byte_rate=9223372036854775808",
        "overflow_unit": "2max_byte_rate=9007199254740992 KiB",
        "int64_max": "2max_byte_rate=9223372036854775807",
        "text": "1origins=https://a.example, *",
        "empty_text": "1www=",
        "no_unit": "2max_fragments=5 s",
        "other_scope": "0max_message_bytes=1",
        "near_name": "2max_mesage_bytes=1",
        "newline": "0log_level=4\n5",
        "word": "1compression=Dedicated",
        "no_word": "1compression=share",
        "word_number": "2compression=1",
        "auto": "1compression_window_bits=auto",
        "not_auto": "1compression_level=auto",
        "below_words": "2compression_memory_level=0",
        "bits": "3compression_peer_window_bits=8",
    }.items():
        yield name, text


def pairs():
    """Steps: see fuzz_pair.c. The low bit chooses the end, the next three what it does."""
    compression = bytes([0x86])
    whole, parts, turns = ([bytes([0x06 | end | how << 4]) for end in (0, 1)] for how in range(3))

    def message(end, how, size, *cuts, wide=False, masked=None):
        masked = end == 0 if masked is None else masked
        head = bytes([end, how | (8 if wide else 0)])
        head += struct.pack(">H", size) if wide else bytes([size])
        head += bytes([0, 1, 2, 3, 4, 5, 6, 7])
        for cut in cuts:
            head += struct.pack(">H", cut) + KEY
        return head + KEY

    all_of = bytes([0x0E, 0x0F])
    one = bytes([0x08, 0x09])
    yield "empty", b""
    yield "text", message(0, 1, 30) + all_of + message(1, 1, 30) + all_of
    yield "binary", message(0, 0, 200) + bytes([0x0B, 50]) * 5 + message(1, 0, 0) + one * 3
    yield "fragments", message(0, 1 | 6, 60, 5, 7, 9) + one * 40 + all_of
    yield "fragments_with_pings", message(1, 1 | 4 | 32, 90, 11, 13) + one * 60 + all_of * 2
    yield "length_16", message(0, 0, 126) + message(1, 1, 125) + message(0, 0, 1000, wide=True)
    yield "length_64", message(0, 16, 0x9000, wide=True) + bytes([0x0B, 255]) * 4 + all_of
    yield "length_64_text", message(1, 17 | 2, 0x8800, 40000, wide=True) + one * 20
    yield "pings", bytes([0x14]) + bytes(12) + bytes([0xF5]) + bytes(12) + one * 30
    yield "pongs", bytes([0x44]) + bytes(12) + bytes([0xE5]) + bytes(12) + all_of
    yield "close_by_client", message(1, 1, 9) + bytes([0xF6, 3, 232, 20]) + bytes(12) + one * 40
    yield "close_by_server", bytes([0xF7, 15, 160, 123]) + bytes(12) + one * 200
    yield "both_close", bytes([0xF6, 3, 233, 9]) + bytes(12) + bytes([0xF7, 15, 161, 8]) + bytes(12)
    yield "compressed", compression + message(0, 0x41, 40) + message(1, 0x40, 90) + all_of \
        + message(0, 1, 40) + all_of
    yield "compressed_fragments", compression \
        + message(0, 0x41 | 6 | 32, 60, 5, 7, 9) + one * 60 + message(1, 1 | 2, 60, 5) + all_of
    yield "compressed_too_late", message(0, 0x41, 20) + compression + message(1, 0x41, 20) + all_of
    for name, end in (("client", 0), ("server", 1)):
        yield f"parts_of_{name}", parts[end] + message(1 - end, 1 | 6 | 32, 90, 11, 0, 13) \
            + one * 70 + message(1 - end, 0, 0) + message(1 - end, 1, 200) \
            + bytes([0x0A | end, 40]) * 9 + whole[end] + message(1 - end, 1, 70) + one * 80
        yield f"turns_of_{name}", compression + turns[end] \
            + (message(1 - end, 1 | 6, 60, 5, 7, 9) + message(1 - end, 0x41, 30)) * 4 \
            + bytes([0x0A | end, 9]) * 40
        yield f"parts_then_whole_{name}", parts[end] + message(1 - end, 1, 90) + one * 20 \
            + whole[end] + one * 30 + parts[end] + message(1 - end, 1, 90) + all_of
    yield "parts_64", parts[1] + message(0, 16, 0x9000, wide=True) + bytes([0x0B, 255]) * 40 + all_of
    yield "close_then_message", message(0, 1, 9) + bytes([0xF7, 0, 0, 0]) + bytes(12) \
        + message(0, 0, 70) + one * 90


def extensions():
    """Server, client, fields: see fuzz_extension.c."""
    pmd = "permessage-deflate"
    both = "; server_no_context_takeover; client_no_context_takeover"
    full = bytes([2, 0x00])
    shared = bytes([1, 0x00])
    small = bytes([2, 0x34])  # 11 bits for what it sends, 12 for what it keeps
    tiny = bytes([2, 0x77])
    one_way = bytes([2 | 8, 0x00])
    no_way = bytes([2 | 4 | 8, 0x21])
    off = bytes([0, 0x00])

    def seed(fields, server=full, client=full):
        return server + client + fields.encode("latin-1")

    for name, server in {"full": full, "shared": shared, "small": small, "tiny": tiny,
                         "one_way": one_way, "no_way": no_way, "off": off}.items():
        for number, client in enumerate((full, shared, small, tiny, one_way, off)):
            yield f"meet_{name}_{number}", seed("", server, client)
        yield f"{name}_bare", seed(pmd, server, full)
        yield f"{name}_all", seed(pmd + both + "; server_max_window_bits=10; "
                                  "client_max_window_bits=9", server, small)
        yield f"{name}_no_bits", seed(pmd + "; client_max_window_bits", server, tiny)
    for bits in range(8, 14):
        yield f"answer_{bits}", seed(pmd + both + f"; server_max_window_bits={bits}; "
                                     f"client_max_window_bits={21 - bits}", full, small)
    yield "answer_no_bits", seed(pmd + both, full, small)
    yield "answer_no_bits_context", seed(pmd, full, small)
    for name, fields in {
        "fallback": pmd + "; server_max_window_bits=7, " + pmd + "; mystery,\n" + pmd,
        "others_around": 'x-mux; a=b; c, foo; bar="baz", ' + pmd + ", y",
        "blanks": "\t" + pmd + " ;\tserver_max_window_bits = 9 ; client_max_window_bits ,",
        "commas": " , ," + pmd + ",,",
        "only_commas": ",, ,\n,",
        "quoted": pmd + '; server_max_window_bits="\\1\\0"',
        "quoted_leading_zero": pmd + '; server_max_window_bits="010"',
        "server_bits_8": pmd + "; server_max_window_bits=8",
        "server_bits_15": pmd + "; server_max_window_bits=15",
        "server_bits_16": pmd + "; server_max_window_bits=16",
        "server_bits_none": pmd + "; server_max_window_bits",
        "server_bits_huge": pmd + "; server_max_window_bits=18446744073709551625",
        "server_bits_twice": pmd + "; server_max_window_bits=9; server_max_window_bits=9",
        "client_bits_8": pmd + "; client_max_window_bits=8",
        "client_bits_07": pmd + "; client_max_window_bits=07",
        "client_bits_twice": pmd + "; client_max_window_bits; client_max_window_bits=9",
        "server_takeover": pmd + "; server_no_context_takeover",
        "server_takeover_value": pmd + "; server_no_context_takeover=1",
        "client_takeover": pmd + "; client_no_context_takeover",
        "client_takeover_twice": pmd + both + "; client_no_context_takeover",
        "twice": pmd + ", " + pmd,
        "two_fields": pmd + "\n" + pmd + "; client_max_window_bits",
        "upper": "Permessage-Deflate",
        "unknown": pmd + "; mystery=8",
        # Misses the grammar by one thing.
        "no_separator": pmd + " x",
        "no_param": pmd + ";",
        "empty_param": pmd + "; ; x",
        "empty_value": pmd + "; x=",
        "empty_quoted": pmd + '; x=""',
        "quoted_blank": pmd + '; x="a b"',
        "quoted_unclosed": pmd + '; x="a',
        "quoted_escape_at_end": pmd + '; x="a\\',
        "quoted_and_more": pmd + '; x="a"b',
        "no_name": "; x",
        "slash": pmd + "/1",
        "obs_text": pmd + "; x=\xff",
        "malformed_behind": pmd + ", y; =",
        "nul": pmd + "\0; x",
    }.items():
        yield name, seed(fields)


HELLO = bytes.fromhex("f248cdc9c90700")
FINAL = bytes.fromhex("f348cdc9c90700")  # the same in a final block


def deflated(*messages, bits=15):
    """Payloads of one context."""
    codec = zlib.compressobj(9, zlib.DEFLATED, -bits)
    return [(codec.compress(m) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4] for m in messages]


def hostile_payloads():
    """See fuzz_inflate.c."""
    def seed(*payloads, bits=15, takeover=True, limit=5000, abandon=-1):
        out = bytes([(15 - bits) << 1 | (0 if takeover else 16), 6])
        for i, payload in enumerate(payloads):
            out += struct.pack(">BHH", i == abandon, limit, len(payload)) + payload
        return out

    def h(text):
        return bytes.fromhex(text)

    yield "hello", seed(HELLO, h("f200110000"), b"\0", h("f200110000"), b"", h("f200110000"))
    yield "hello_forgotten", seed(HELLO, h("f200110000"), HELLO, takeover=False)
    yield "hello_without_history", seed(h("f200110000"), HELLO, h("f200110000"))
    yield "hello_abandoned", seed(HELLO, h("f200"), HELLO, h("f200110000"), abandon=1)
    yield "final_blocks", seed(FINAL + b"\0", FINAL * 2 + b"\0", FINAL + HELLO,
                               h("0300030003 0000"), h("01"), h("010500faff48656c6c6f00"))
    yield "final_blocks_cut", seed(FINAL, h("010500faff48656c6c6f"), FINAL + h("f200110000"))
    yield "two_blocks", seed(h("f24805000000ffffcac9c90700"))
    yield "stored", seed(h("000500faff48656c6c6f00"))
    yield "bytes_behind", seed(FINAL + b"\0\0", FINAL + h("00ffff"), HELLO + b"\0",
                               HELLO + b"\xff", HELLO + h("0000ffff"),
                               HELLO + h("0000ffff00"))
    yield "cut_short", seed(*(HELLO[:n] for n in range(1, 7)))
    yield "stored_cut_short", seed(*(h("000500faff48656c6c6f")[:n] for n in range(1, 11)))
    yield "stored_filled_by_the_tail", seed(h("00 0400 fbff"), h("00 0800 f7ff 01020304"),
                                            h("00 ffff 0000"))
    yield "no_deflate", seed(b"\x06", b"\xff", h("000500fbff48656c6c6f00"), b"\x02", h("7801"),
                             h("1f8b08"))
    for limit in (0, 4, 5, 6):
        yield f"limit_{limit}", seed(HELLO, FINAL * 2 + b"\0", b"\0", b"", HELLO, limit=limit)
    bomb = deflated(bytes(65000))[0]
    for limit in (4999, 64999, 65000):
        yield f"bomb_{limit}", seed(bomb, HELLO, bomb, limit=limit)
    # Short codes: a run and the end of its block share the last byte, and the run is more
    # than what is left of a buffer that doubles.
    yield "run_at_the_end", seed(*[deflated(bytes(258 * n + 1))[0] for n in (32, 64, 128)],
                                 limit=40000)
    yield "bomb_without_limit", seed(bomb[:40], HELLO, limit=0xffff)
    text = b"".join(b"%d times %d is %d. " % (i, i, i * i) for i in range(40))
    yield "text", seed(*deflated(text, text[100:], text[:50], b"", text * 3))
    yield "text_dynamic_cut", seed(deflated(text)[0][:30], deflated(text)[0][:-1])
    noise = bytes(i * i * 7 % 251 ^ i >> 3 & 255 for i in range(900))
    for bits in (8, 9, 12):
        yield f"text_{bits}", seed(*deflated(text, text, bits=max(bits, 9)), bits=bits)
        yield f"too_far_{bits}", seed(*deflated(noise + noise, noise), HELLO, bits=bits)


def round_trips():
    """See fuzz_inflate.c: parts of a message are literal, again, and noise."""
    def literal(data):
        return bytes([1, len(data)]) + data

    def again(distance, size):
        return struct.pack(">BHH", 2, distance - 1, size)

    def noise(number, size):
        return struct.pack(">BBH", 3, number, size)

    def skewed(number, mask, often, size):
        return struct.pack(">BBBBH", 4, number, mask, often, size)

    def message(*parts, at_once=False, limit=None, reset=False, too_long=False):
        out = bytes([at_once | (limit is not None) << 1 | reset << 2 | too_long << 3])
        out += struct.pack(">H", limit) if limit is not None else b""
        return out + b"".join(parts) + b"\0"

    def seed(*messages, bits=15, takeover=True, keeps=False, empties=False, level=6,
             memory=8, step=0, reader_bits=0, reader_step=7):
        first = 1 | (15 - bits) << 1 | (not takeover) << 4 | keeps << 5 | empties << 6
        return bytes([first, memory - 1 | level << 4, reader_bits | reader_step << 3, step]) \
            + b"".join(messages)

    hello = message(literal(b"Hello"))
    yield "trip_hello", seed(hello, hello, message(), hello)
    yield "trip_hello_forgotten", seed(hello, hello, takeover=False, keeps=True, empties=True)
    for end in (noise(5, 500), again(500, 400)):
        yield f"trip_forgotten_{end[0]}", seed(message(noise(5, 500)), message(end), message(end),
                                               takeover=False, step=90)
    yield "trip_at_once", seed(message(literal(b"Hello, hello"), at_once=True) * 3, step=5)
    yield "trip_empty", seed(message() * 3, message(at_once=True), hello, message(), hello)
    yield "trip_empty_limited", seed(hello, message(limit=0), hello, message(limit=1), hello)
    yield "trip_limited", seed(message(noise(1, 300)), message(noise(1, 300), limit=100),
                               message(again(300, 300)), message(noise(1, 300), limit=4),
                               message(again(300, 300), limit=50))
    yield "trip_reset", seed(hello, message(literal(b"Hello"), reset=True), hello)
    yield "trip_too_long", seed(hello, message(literal(b"Hello"), too_long=True), hello, hello)
    for bits in range(8, 16):
        window = 1 << bits
        far = [message(noise(bits, 3000), noise(bits + 1, 2000))]
        for distance in (window - 262, window - 261, window - 1, window, window + 1):
            far.append(message(again(max(distance, 3), 300), noise(distance & 255, 700)))
        yield f"trip_window_{bits}", seed(message(noise(3, 8000)) * (bits - 12 if bits > 12 else 0),
                                          *far, bits=bits, step=100, level=9)
    for level in (1, 4, 9):  # as one piece and without context: another compressor may do it
        for number, part in enumerate((
                noise(level, 3000), skewed(1, 0xff, 0, 8000), skewed(2, 0x2f, 0x21, 2000),
                skewed(3, 0x01, 0, 1024), skewed(4, 0x00, 0, 1500),
                noise(5, 900) + again(900, 3000) + skewed(5, 0x5f, 0x40, 700))):
            yield f"trip_whole_{level}_{number}", seed(
                message(part, at_once=True), message(part, skewed(6, 0xff, 1, 900), at_once=True),
                hello, message(part), takeover=False, level=level, memory=8 - number)
        yield f"trip_whole_blocks_{level}", seed(
            message(*[skewed(n, 0x0f, 0, 8000) for n in (1, 3)], skewed(5, 0xff, 0xf0, 8000),
                    *[noise(n, 8000) for n in (7, 8)], at_once=True),
            message(again(40000, 4000), *[skewed(9, mask, 0, 8000) for mask in (1, 255, 24)],
                    again(3, 4000), at_once=True), takeover=False, level=level)
    for bits in (8, 10, 12, 14):
        yield f"trip_whole_window_{bits}", seed(*[
            message(skewed(bits, 0x7f, 0x40, size), at_once=True)
            for size in (1023, 1024, 1025, 1 << 12, 4097, 8191)], takeover=False, bits=bits)
    yield "trip_larger_window", seed(hello, message(again(5, 900)), bits=9, reader_bits=6)
    for level in (0, 1, 3, 9):
        yield f"trip_level_{level}", seed(message(noise(1, 4000), again(4000, 3000)), hello,
                                          level=level, memory=1, step=33, reader_step=11)
    yield "trip_poorest", seed(message(noise(9, 8191)) * 3, level=1, memory=1, bits=9)
    yield "trip_long", seed(message(noise(1, 8000), *[again(8000, 4000)] * 10) * 2, step=250,
                            reader_step=12, memory=9)


def inflatings():
    yield from hostile_payloads()
    yield from round_trips()


LISTED = "10.0.0.0/8, 2001:db8::/32 ,unix:,192.0.2.1"


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def proxy_block(family, addresses, tlvs=b"", command=1, checksum=False, flip=0):
    """A PROXY header of version 2; `flip` spoils the checksum."""
    more = b"\x03\0\4" if checksum else b""
    size = len(addresses + tlvs + more) + 4 * checksum
    start = (b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, family])
             + struct.pack(">H", size) + addresses + tlvs + more)
    if not checksum:
        return start
    return start + struct.pack(">I", crc32c(start + bytes(4)) ^ flip)


def forwarded():
    def request(*fields, trusted=LISTED, header=b""):
        head = "GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f + "\r\n" for f in fields) + "\r\n"
        return trusted.encode() + b"\n" + header + head.encode("latin-1")

    def line(text, trusted=LISTED):
        return request(header=text.encode("latin-1"), trusted=trusted)

    yield "plain", request()
    for name, text in (
            ("v4", "TCP4 10.0.0.1 198.51.100.1 56324 443"), ("unknown", "UNKNOWN"),
            ("v6", "TCP6 2001:db8::1 ::ffff:1.2.3.4 0 65535"), ("unknown_more", "UNKNOWN 1 2"),
            ("v4_not_listed", "TCP4 11.0.0.1 1.2.3.4 1 2"), ("v6_in_v4", "TCP4 ::1 ::1 1 2"),
            ("mapped", "TCP6 ::ffff:10.0.0.1 ::1 1 2"), ("blank", "TCP4 1.2.3.4 1.2.3.4 1 2 "),
            ("port_65536", "TCP4 1.2.3.4 1.2.3.4 1 65536"), ("family", "TCP5 1.2.3.4 1.2.3.4 1 2"),
            ("port_zero", "TCP4 1.2.3.4 1.2.3.4 01 2"), ("three", "TCP4 1.2.3.4 1.2.3.4 1"),
            ("longest", "UNKNOWN " + "x" * 91), ("too_long", "UNKNOWN " + "x" * 92)):
        yield f"line_{name}", line(f"PROXY {text}\r\n")
    yield "line_lf", line("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n")
    yield "line_cr", line("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx")
    yield "line_nul", line("PROXY UNKNOWN \0\r\n")
    yield "line_unfinished", LISTED + "\nPROXY TCP4 1.2.3"
    v4, v6 = bytes([10, 0, 0, 1, 1, 2, 3, 4, 0, 80, 1, 187]), bytes(range(32)) + b"\0\1\0\2"
    un = b"/run/a".ljust(216, b"\0")
    for name, block in (
            ("v4", proxy_block(0x11, v4)), ("v6", proxy_block(0x21, v6)),
            ("dgram", proxy_block(0x12, v4)), ("unix", proxy_block(0x31, un)),
            ("unix_full", proxy_block(0x31, b"p" * 216)), ("local", proxy_block(0, b"", command=0)),
            ("local_block", proxy_block(0xFF, b"anything", command=0)),
            ("unspec", proxy_block(0, b"")), ("unspec_tlv", proxy_block(0, b"", b"\4\0\0")),
            ("tlvs", proxy_block(0x11, v4, b"\2\0\1h\x20\0\5\1\0\0\0\0\xee\0\0")),
            ("checksum", proxy_block(0x21, v6, b"\2\0\1h", checksum=True)),
            ("checksum_local", proxy_block(0, b"", checksum=True, command=0)),
            ("checksum_wrong", proxy_block(0x11, v4, checksum=True, flip=1)),
            ("checksum_short", proxy_block(0x11, v4, b"\3\0\3abc")),
            ("tlv_cut", proxy_block(0x11, v4, b"\2\0\2h")), ("tlv_head", proxy_block(0x11, v4, b"\2")),
            ("command", proxy_block(0x11, v4, command=2)), ("family", proxy_block(0x41, v4)),
            ("transport", proxy_block(0x13, v4)), ("short", proxy_block(0x21, v4)),
            ("version", proxy_block(0x11, v4, command=0x11))):
        yield f"block_{name}", request("X-Forwarded-For: 192.0.2.1", header=block)
    yield "block_unfinished", LISTED.encode() + b"\n" + proxy_block(0x11, v4)[:20]
    yield "block_huge", LISTED.encode() + b"\n" + proxy_block(0, b"")[:14] + b"\xff\xff"
    for name, value in (
            ("one", "203.0.113.7"), ("left", "198.51.100.1, 203.0.113.7"),
            ("hop", "198.51.100.1, 203.0.113.7,10.0.0.2 , 2001:db8::2"),
            ("claims", "10.0.0.9, 203.0.113.7, 10.0.0.2"), ("all", "10.0.0.3, 192.0.2.1"),
            ("ports", "203.0.113.7:99, [2001:db8::1]:5, 10.0.0.2:1"), ("brackets", "[2001:db9::1]"),
            ("mapped", "203.0.113.7, ::ffff:10.0.0.1"), ("unknown", "203.0.113.7, unknown"),
            ("garbage_behind", "203.0.113.7, _x, 10.0.0.2"), ("empty", " , ,"),
            ("zone", "fe80::1%1"), ("octal", "010.0.0.1"), ("many", ",".join(["10.0.0.1"] * 40))):
        yield f"for_{name}", request(f"X-Forwarded-For: {value}")
    yield "for_two_fields", request("X-Forwarded-For: 203.0.113.7", "X-Other: 1.1.1.1",
                                    "x-forwarded-for: 10.0.0.3,10.0.0.2")
    yield "host", request("X-Forwarded-Host: evil, a.example:8443", "X-Forwarded-Proto: http,WSS")
    yield "host_hops", request("X-Forwarded-For: 1.1.1.1, 10.0.0.2", "X-Forwarded-Host: a, b, c",
                               "X-Forwarded-Proto: ftp, https, http")
    yield "host_few", request("X-Forwarded-For: 1.1.1.1, 10.0.0.2", "X-Forwarded-Host: a",
                              "X-Forwarded-Proto: https")
    yield "host_none", request("X-Forwarded-Host: a/b", "X-Forwarded-Proto: gopher")
    for name, listed in (
            ("empty", ""), ("all_v4", "0.0.0.0/0"), ("all_v6", "::/0"), ("host_bits", "10.0.0.1/8"),
            ("mapped", "::ffff:10.0.0.0/104"), ("short_mapped", "::/90"), ("name", "localhost"),
            ("bits_33", "10.0.0.0/33"), ("bits_none", "10.0.0.0/"), ("unix_path", "unix:/run/x"),
            ("commas", ",,::1,,")):
        yield f"list_{name}", request("X-Forwarded-For: 203.0.113.7, 10.0.0.2", trusted=listed,
                                      header=proxy_block(0x11, v4))


def tunnels():
    def talk(answer, url="p:8", place="h:81", listed=""):
        return "\n".join((url, place, listed, answer)).encode("latin-1")

    def heads(*lines, behind="", **more):
        return talk("".join(line + "\r\n" for line in lines) + "\r\n" + behind, **more)

    ok = "HTTP/1.1 200 OK"
    yield "http", heads(ok)
    yield "http_behind", heads(ok, "Content-Length: 2", behind="abc")
    yield "http_10", heads("HTTP/1.0 200 Connection established", "Via: x")
    yield "http_content", heads(ok, "Content-Length: x", "Transfer-Encoding: ,")
    yield "http_interim", heads("HTTP/1.1 100 Continue", "", "HTTP/1.1 103 x", "Link: y", "", ok)
    yield "http_101", heads("HTTP/1.1 101 Switching Protocols")
    yield "http_407", heads("HTTP/1.1 407 " + "x" * 200, "Content-Length: 3", behind="abc")
    yield "http_403_content", heads("HTTP/1.1 403 x", "Content-Length: x")
    yield "http_unfinished", talk(ok + "\r\nX: y")
    yield "http_no_http", talk("SSH-2.0\r\n")
    yield "http_user", heads(ok, url="http://u%3F:p%20w@[::1]:3128/", place="[2001:db8::1]:443")
    yield "http_password", heads(ok, url="http://:w@p")
    for name, url in (("colon", "http://a%3ab@p"), ("control", "http://a:%0d@p"),
                      ("escape", "http://a:%4@p"), ("scheme", "https://p"), ("path", "http://p/x"),
                      ("port", "p:0"), ("no_user", "socks5://:w@p"), ("long", "a" * 256 + "@p"),
                      ("at", "a@b:c@d@p")):
        yield f"url_{name}", talk("", url=url)
    socks, user = {"url": "socks5://p"}, {"url": "socks5h://u:w@p:9"}
    v4, v6 = "\5\0\0\1abcdef", "\5\0\0\4" + "v" * 18
    yield "socks_v4", talk("\5\0" + v4, **socks)
    yield "socks_v6", talk("\5\0" + v6 + "behind", place="[::1]:1", **socks)
    yield "socks_name", talk("\5\0\5\0\0\3\2abcd", place="192.0.2.1:1", **socks)
    yield "socks_user", talk("\5\2\1\0" + v4, **user)
    yield "socks_user_refused", talk("\5\2\1\1" + v4, **user)
    yield "socks_user_not_asked", talk("\5\0" + v4, **user)
    yield "socks_method", talk("\5\xff", **socks)
    yield "socks_user_wanted", talk("\5\2\1\0" + v4, **socks)
    yield "socks_reply", talk("\5\0\5\5\0\1", **socks)
    yield "socks_address", talk("\5\0\5\0\0\2abcdef", **socks)
    yield "socks_version", talk("\4\0", **socks)
    yield "socks_unfinished", talk("\5\0" + v6[:-1], **socks)
    for name, listed, place in (
            ("all", "x,*", "h:1"), ("name", "a, example.com", "www.Example.com:1"),
            ("dot", ".example.com.", "example.com:1"), ("not_below", "example.com", "badexample.com:1"),
            ("v4", "10.0.0.0/8\t::1", "10.1.2.3:1"), ("v6", "[::1],x", "[0::1]:1"),
            ("mapped", "10.0.0.0/8", "[::ffff:10.0.0.1]:1"), ("garbage", "[],/8,10.0.0.1/8,.,..", "10.0.0.1:1")):
        yield f"list_{name}", talk("", listed=listed, place=place)


def tokens():
    raw, signed = b"\1", b"\2"
    header = b'{"alg":"HS256","typ":"JWT"}'

    def token(claims, header=header, how=signed, signature=b""):
        return how + b"\0".join((header, claims, signature))

    full = (b'{"sub":"ann","exp":1700000001,"nbf":1700000000,"iat":1,"iss":"a","info":{"n":[1,2.5]},'
            b'"rooms":["lobby","match.*.chat","team.>"],"pub":[]}')
    yield "full", token(full)
    yield "none", token(b"{}")
    yield "leeway", token(b'{"exp":1699999999.5,"nbf":1700000001}')
    yield "expired", token(b'{"exp":1}')
    yield "early", token(b'{"nbf":1800000000}')
    yield "date", token(b'{"exp":"1"}')
    yield "audience", token(b'{"aud":["us"]}')
    yield "rooms", token(b'{"rooms":["a..b"]}')
    yield "twice", token(b'{"sub":"a","sub":"b"}')
    yield "deep", token(b'{"info":' + b"[" * 32 + b"]" * 32 + b"}")
    yield "array", token(b"[]")
    yield "long", token(b'{"p":"' + b"p" * 6200 + b'"}')
    yield "utf8", token(b'{"sub":"\xc3\x84nne","p":"\xff"}')
    yield "algorithm_none", token(full, b'{"alg":"none"}')
    yield "algorithm_none_unsigned", token(full, b'{"alg":"none"}', b"\0")
    yield "algorithm_rs256", token(full, b'{"alg":"RS256"}')
    yield "critical", token(full, b'{"alg":"HS256","crit":["exp"]}')
    yield "unsigned", token(full, how=b"\0")
    yield "signature", token(full, how=b"\0", signature=bytes(32))
    yield "dots", raw + b".."
    yield "padded", raw + b"eyJhbGciOiJIUzI1NiJ9=.e30=.AAAA"
    yield "rfc7515_a1", raw + (
        b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6"
        b"Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")


def wires():
    DATA, KEY, EVENT, FROM, EXCEPT, IDENTITY, INFO, REASON, CODE, ROOM = range(1, 11)
    MESSAGE, DIRECT, KICK, CLOSE, DISCONNECT, JOINED, LEFT, RECOUNT = range(1, 9)

    def wire(kind, *fields, flags=0, version=1):
        head = bytes([version, kind, flags, 0]) + bytes(range(16)) + struct.pack(">Q", 1 << 40)
        return head + b"".join(struct.pack(">BI", tag, len(value)) + value for tag, value in fields)

    yield "message", wire(MESSAGE, (DATA, b"hello"), (KEY, b"k\0"), (EVENT, b"move\0"), (FROM, b"ann\0"), (EXCEPT, b"bob\0"))
    yield "message_empty", wire(MESSAGE)
    yield "message_binary", wire(MESSAGE, (DATA, bytes(range(256))), flags=1)
    yield "message_json", wire(MESSAGE, (DATA, b'{"a":[1]}'), flags=6)
    yield "message_utf8", wire(MESSAGE, (DATA, b"\xff"))
    yield "direct", wire(DIRECT, (DATA, b"hi"), (IDENTITY, b"ann\0"), (ROOM, b"a.b\0"))
    yield "direct_room", wire(DIRECT, (IDENTITY, b"ann\0"), (ROOM, b"a..b\0"))
    yield "kick", wire(KICK, (IDENTITY, b"ann\0"), (REASON, b"spam\0"))
    yield "kick_nobody", wire(KICK)
    yield "close", wire(CLOSE, (REASON, b"over\0"))
    yield "disconnect", wire(DISCONNECT, (IDENTITY, b"ann\0"), (CODE, b"\x0f\xa1"))
    yield "disconnect_code", wire(DISCONNECT, (IDENTITY, b"ann\0"), (CODE, b"\0\0"))
    yield "joined", wire(JOINED, (IDENTITY, b"ann\0"), (INFO, b"{}"))
    yield "left", wire(LEFT, (IDENTITY, b"\xc3\x84nne\0"))
    yield "recount", wire(RECOUNT)
    yield "twice", wire(LEFT, (IDENTITY, b"ann\0"), (IDENTITY, b"bob\0"))
    yield "unknown_field", wire(LEFT, (200, b"???"), (IDENTITY, b"ann\0"))
    yield "unknown_kind", wire(99)
    yield "unknown_version", wire(MESSAGE, version=2)
    yield "no_nul", wire(LEFT, (IDENTITY, b"ann"))
    yield "inner_nul", wire(LEFT, (IDENTITY, b"a\0n\0"))
    yield "long", wire(LEFT, (IDENTITY, b"a" * 256 + b"\0"))
    yield "size_lies", wire(LEFT)[:28] + struct.pack(">BI", IDENTITY, 0xffffffff) + b"ann\0"


def values():
    for name, text in {
        "object": '{"key": [1, -2.5e+3, "a\\u00e9\\n", true], "none": null}',
        "array": ' [ 0 , false , {} , [ ] , "" ] \r\n\t',
        "numbers": "[0,-0,10,0.5,1e5,1E-5,123456789012345678901234567890,1e999]",
        "number_zero_first": "01",
        "number_point_last": "1.",
        "number_plus": "+1",
        "number_no_exponent": "1e+",
        "escapes": '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uFfFf"',
        "pair": '"\\ud83d\\ude00"',
        "pair_half": '"\\ud83d"',
        "pair_other_half": '"\\ude00"',
        "pair_two_first": '"\\ud83d\\ud83d"',
        "escape_unknown": '"\\x41"',
        "escape_short": '"\\u12"',
        "control": '"a line\nof more than eight bytes"',
        "text": "no value, \"quoted\" \\ \x01\x1f\x7f",
        "utf8": "\"\u00e9\u20ac\U0001f600\"".encode(),
        "comma_last": "[1,]",
        "key_alone": '{"a"}',
        "key_number": "{1:2}",
        "mixed_ends": '{"a":[1}]',
        "two": "1 2",
        "words": "[true,false,null]",
        "word_short": "tru",
        "deep": "[" * 64 + "]" * 64,
        "too_deep": '{"a":' * 65 + "1" + "}" * 65,
        "empty": "",
    }.items():
        yield name, text


def replies():
    """A limit in two bytes, and answers of Redis."""
    wide = "\x10\x00"
    deep = "".join("*1\r\n" for _ in range(7))
    for name, text in {
        "plain": wide + "+OK\r\n-ERR no\r\n:12\r\n$3\r\nabc\r\n",
        "arrays": wide + "*2\r\n*0\r\n*2\r\n:-1\r\n$-1\r\n*-1\r\n",
        "message": wide + "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\n\r\n\r\n",
        "deep": wide + deep + ":1\r\n",
        "too_deep": wide + deep + "*1\r\n:1\r\n",
        "bulk_at_limit": wide + "$4000\r\n",
        "bulk_above_limit": wide + "$4001\r\n",
        "array_above_limit": wide + "*42\r\n",
        "array_enormous": wide + "*576460752303423488\r\n",
        "bulk_enormous": wide + "$999999999999999999\r\n",
        "number_too_long": wide + ":1234567890123456789\r\n",
        "number_minus_zero": wide + ":-0\r\n",
        "number_leading_zero": wide + ":01\r\n",
        "carriage_returns": wide + "+a\r\rb\r\n",
        "resp3": wide + ">1\r\n+a\r\n",
        "no_limit_left": "\x00\x5f+OK\r\n",
        "unfinished": wide + "*2\r\n+a\r\n",
    }.items():
        yield name, text


def conversations():
    yield "hello", b'{"type":"hello","v":1,"token":"t","name":"Ann","id":1}'
    yield "hello_version", b'{"type":"hello","v":2}'
    yield "refresh", b'{"type":"refresh","token":"t","id":"x"}'
    yield "join", b'{"type":"join","room":"a.b","since":{"epoch":"00ff","offset":3},"info":{"a":[1]}}'
    yield "join_since_bad", b'{"type":"join","room":"a","since":{"epoch":"zz"}}'
    yield "leave", b'{"type":"leave","room":"a","id":9007199254740993}'
    yield "pub_text", b'{"type":"pub","room":"a","data":"hi","event":"e","key":"k"}'
    yield "pub_bytes", b'{"type":"pub","room":"a","data":{"b64":"AAH/"}}'
    yield "pub_bytes_bad", b'{"type":"pub","room":"a","data":{"b64":"AAH"}}'
    yield "pub_json", b'{"type":"pub","data":[1,-2.5e3,"\\u0000\\ud83d\\ude00",null,{"a":true}]}'
    yield "history", b'{"type":"history","room":"a","limit":5,"before":7}'
    yield "direct", b'{"type":"direct","identity":"Bob","data":null}'
    yield "call", b'{"type":"call","name":"f","args":{"x":1},"id":2}'
    yield "batch", b'[{"type":"hello"},{"type":"join","room":"a"},{"type":"x","id":[]},5]'
    yield "batch_long", b"[" + b",".join([b"{}"] * 65) + b"]"
    yield "deep", b'{"type":"pub","data":' + b"[" * 31 + b"]" * 31 + b"}"
    yield "too_deep", b"[" * 33
    yield "escapes", b'{"type":"pub","data":"\\"[[[","event":"\\u0001"}'
    yield "number", b'{"type":"pub","data":123456789012345678901234567890}'


TARGETS = {"rooms": conversations, "reply": replies, "json": values, "wire": wires, "jwt": tokens, "forwarded": forwarded, "tunnel": tunnels, "frame": frames, "request": requests, "response": responses, "url": urls,
           "option": options, "pair": pairs, "extension": extensions,
           "inflate": inflatings}


def main():
    here = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 \
        else pathlib.Path(__file__).parent / "corpus"
    for target, seeds in TARGETS.items():
        (here / target).mkdir(parents=True, exist_ok=True)
        for name, content in seeds():
            if name.startswith("client_") and name[7:] not in FOR_CLIENTS:
                continue
            if isinstance(content, str):
                content = content.encode("latin-1")
            (here / target / name).write_bytes(content)


if __name__ == "__main__":
    main()
