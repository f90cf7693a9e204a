# SPDX-License-Identifier: MIT
"""A small WebSocket client for tests, of its own making: what it says is checked against the
RFC and not against libwsock. Blocking, with a deadline on every read."""
import base64
import hashlib
import os
import socket
import struct
import urllib.parse

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class WsClient:
    def __init__(self, url, timeout=20, subprotocol=None):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout)
        self.file = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16))
        offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
        self.socket.sendall(
            f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key.decode()}\r\n{offer}\r\n".encode())
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        for line in iter(self.file.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        assert self.status == 101, f"status {self.status}"
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        assert self.headers["sec-websocket-accept"] == accept, self.headers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send_frame(self, opcode, payload=b"", fin=True):
        size = len(payload)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 65536:
            length = struct.pack("!BH", 0x80 | 126, size)
        else:
            length = struct.pack("!BQ", 0x80 | 127, size)
        key = os.urandom(4)
        masked = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
        self.socket.sendall(bytes([fin << 7 | opcode]) + length + key + masked)

    def send(self, text):
        self.send_frame(TEXT, text.encode())

    def read(self, size):
        data = self.file.read(size)
        assert len(data) == size, "the connection ended"
        return data

    def read_frame(self):
        first, size = self.read(2)
        assert size < 128, "a server's frame is masked"
        if size == 126:
            size = struct.unpack("!H", self.read(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self.read(8))[0]
        return first >> 7, first & 15, self.read(size)

    def recv(self):
        """The next text as str, binary as bytes, or a close as (code, reason)."""
        kind, message = None, b""
        while True:
            fin, opcode, payload = self.read_frame()
            if opcode == PING:
                self.send_frame(PONG, payload)
            elif opcode == CLOSE:
                return (struct.unpack("!H", payload[:2])[0] if payload else 1005,
                        payload[2:].decode())
            elif opcode != PONG:
                kind = kind or opcode
                message += payload
                if fin:
                    return message.decode() if kind == TEXT else message

    def close(self, code=1000, reason=""):
        """The closing handshake from this side. Returns the answer and checks that the server
        ends the connection behind it."""
        self.send_frame(CLOSE, struct.pack("!H", code) + reason.encode())
        answer = self.recv()
        while not isinstance(answer, tuple):
            answer = self.recv()
        assert self.file.read(1) == b"", "bytes behind the close frame"
        return answer
