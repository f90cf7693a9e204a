# SPDX-License-Identifier: MIT
"""A WebSocket peer by hand, for tests that need one that misbehaves: every byte is
written by the test. Standard library only; nothing of libwsock is used."""

import base64
import hashlib
import os
import socket
import struct
import threading

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
TIMEOUT = 10  # seconds a peer waits for anything; a test that takes so long has failed


def accept_key(key):
    digest = hashlib.sha1((key + GUID).encode("ascii")).digest()
    return base64.b64encode(digest).decode("ascii")


def masked(payload, key):
    """Mask or unmask, which is the same."""
    whole = key * (len(payload) // 4 + 1)
    return (int.from_bytes(payload, "big") ^
            int.from_bytes(whole[:len(payload)], "big")).to_bytes(len(payload), "big")


def frame(opcode, payload=b"", *, fin=True, mask=None):
    """One frame; `mask` is four bytes or None."""
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
    if mask:
        payload = masked(payload, mask)
        head += mask
    return head + payload


def close_payload(code, reason=""):
    return struct.pack(">H", code) + reason.encode("utf-8")


class Stream:
    """A socket with what both ends of a WebSocket need."""

    def __init__(self, sock, masks):
        sock.settimeout(TIMEOUT)
        self.sock = sock
        self.masks = masks
        self.buffer = b""

    def read(self, count):
        while len(self.buffer) < count:
            part = self.sock.recv(65536)
            if not part:
                raise EOFError("the peer is gone")
            self.buffer += part
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_head(self):
        """The lines of an HTTP head, without the empty one."""
        while b"\r\n\r\n" not in self.buffer:
            part = self.sock.recv(65536)
            if not part:
                raise EOFError("the peer is gone")
            self.buffer += part
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head.decode("latin-1").split("\r\n")

    def write(self, data):
        self.sock.sendall(data)

    def send(self, opcode, payload=b"", fin=True):
        if isinstance(payload, str):
            payload = payload.encode("utf-8")
        self.write(frame(opcode, payload, fin=fin, mask=os.urandom(4) if self.masks else None))

    def receive_frame(self):
        """The next frame: (its first byte, payload)."""
        first, second = self.read(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.read(8))
        mask = self.read(4) if second & 0x80 else None
        payload = self.read(length)
        return first, masked(payload, mask) if mask else payload

    def receive(self):
        """The next frame: (opcode, payload)."""
        first, payload = self.receive_frame()
        return first & 0x0F, payload

    def receive_message(self):
        """The next text (str) or binary (bytes) message or close code (int); pings are
        answered."""
        kind, parts = None, []
        while True:
            first, payload = self.receive_frame()
            opcode = first & 0x0F
            if opcode == PING:
                self.send(PONG, payload)
            elif opcode == CLOSE:
                return struct.unpack(">H", payload[:2])[0] if payload else 1005
            elif opcode in (CONT, TEXT, BINARY):
                kind = opcode or kind
                parts.append(payload)
                if first & 0x80:
                    message = b"".join(parts)
                    return message.decode("utf-8") if kind == TEXT else message

    def close(self, code=1000, reason=""):
        """Begin the closing handshake and finish it, skipping what still comes."""
        self.send(CLOSE, close_payload(code, reason))
        while not isinstance(self.receive_message(), int):
            pass
        self.sock.close()

    def abort(self):
        """End with a reset instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def parse_fields(lines):
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return fields


class Connection(Stream):
    """What the script of a Server gets."""

    def __init__(self, sock):
        super().__init__(sock, masks=False)
        self.request = ""
        self.fields = {}

    def read_request(self):
        lines = self.read_head()
        self.request = lines[0]
        self.fields = parse_fields(lines[1:])

    def accept(self, *extra, key=None):
        """Answer 101, with more header lines and another accept key when wanted."""
        if not self.request:
            self.read_request()
        key = key or accept_key(self.fields["sec-websocket-key"])
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                 "Connection: Upgrade", f"Sec-WebSocket-Accept: {key}", *extra, "", ""]
        self.write("\r\n".join(lines).encode("latin-1"))

    def reject(self, status="403 Forbidden", body=b"no\n"):
        self.read_request()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.write(head.encode("latin-1") + body)


class Server:
    """Runs script(connection) for each connection on a thread, until the block ends. What
    a script raises is raised at the end of the block."""

    def __init__(self, script):
        self.script = script
        self.errors = []
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/"
        self.acceptor = threading.Thread(target=self._accept)

    def __enter__(self):
        self.acceptor.start()
        return self

    def __exit__(self, kind, value, trace):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.acceptor.join()
        for thread in self.threads:
            thread.join()
        if kind is None and self.errors:
            raise self.errors[0]

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._run, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def _run(self, sock):
        with sock:
            try:
                self.script(Connection(sock))
            except Exception as error:  # handed to the test
                self.errors.append(error)


class Client(Stream):
    """The client's end, opened."""

    def __init__(self, port, path="/", subprotocol=None, headers=(), host="127.0.0.1",
                 source=None, tls=None, authority=None):
        """`source` is the address to connect from, `tls` an ssl.SSLContext, `authority` what the
        Host field says."""
        where = socket.create_connection((host, port), TIMEOUT, source and (source, 0))
        if tls:
            where = tls.wrap_socket(where, server_hostname=host)
        super().__init__(where, masks=True)
        key = base64.b64encode(os.urandom(16)).decode("ascii")
        lines = [f"GET {path} HTTP/1.1", f"Host: {authority or f'{host}:{port}'}", "Upgrade: websocket",
                 "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        if subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        self.write("\r\n".join([*lines, *headers, "", ""]).encode("utf-8"))
        answer = self.read_head()
        self.status = int(answer[0].split(" ")[1])
        self.fields = parse_fields(answer[1:])
        if self.status == 101 and self.fields["sec-websocket-accept"] != accept_key(key):
            raise ValueError("wrong Sec-WebSocket-Accept")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
