# SPDX-License-Identifier: MIT
"""What two programs say to each other: a relay between them records it, and it is read here
without the help of either, with Python's zlib."""
import pathlib
import socket
import sys
import threading
import typing
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support/py"))

from ws_peer import BINARY, CONT, TEXT, Stream, parse_fields  # noqa: E402

FIN, RSV1 = 0x80, 0x40
STEP = 256  # bytes that are inflated at a time: zlib checks distances between the steps


class Relay:
    """Passes on what comes to its port to another one, and keeps it: a pair of bytearrays
    for each connection, of the client and of the server."""

    def __init__(self, port):
        self.upstream = port
        self.records = []
        self.sockets = []
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, kind, value, trace):
        """Waits for the ends of all connections, but not where something failed already."""
        end(self.listener)
        self.threads[0].join()
        for sock in self.sockets if kind is not None else ():
            end(sock)
        for thread in self.threads[1:]:
            thread.join()
        self.listener.close()

    def _start(self, function, *args):
        self.threads.append(threading.Thread(target=function, args=args))
        self.threads[-1].start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(client)
            self.records.append((bytearray(), bytearray()))
            self._start(self._pass_on, client, self.records[-1])

    def _pass_on(self, client, record):
        with client, socket.create_connection(("127.0.0.1", self.upstream)) as server:
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=pump, args=(server, client, record[1]))
            back.start()
            pump(client, server, record[0])
            back.join()


def end(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended already
        pass


def pump(source, target, record):
    """Until source ends; then target sees the end as well."""
    try:
        while data := source.recv(65536):
            record += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one of them was reset: neither can go on
        end(source)
        end(target)


class Message(typing.NamedTuple):
    opcode: int
    content: bytes
    compressed: bool
    size: int  # on the wire, without the headers of its frames
    frames: int


class Record(Stream):
    """One direction of a connection: the head's first line and fields, then frames."""

    def __init__(self, data):
        head, _, self.rest = bytes(data).partition(b"\r\n\r\n")
        self.at = 0
        lines = head.decode("latin-1").split("\r\n")
        self.line, self.fields = lines[0], parse_fields(lines[1:])

    def read(self, count):
        self.at += count
        if self.at > len(self.rest):
            raise EOFError("a frame ends too early")
        return self.rest[self.at - count:self.at]

    def messages(self, inflate):
        found, parts = [], []
        while self.at < len(self.rest):
            first, payload = self.receive_frame()
            if first & 0x0F not in (CONT, TEXT, BINARY):
                continue
            parts.append((first, payload))
            if first & FIN:
                opening, whole = parts[0][0], b"".join(part for _, part in parts)
                compressed = bool(opening & RSV1)
                found.append(Message(
                    opcode=opening & 0x0F, content=inflate(whole) if compressed else whole,
                    compressed=compressed, size=len(whole), frames=len(parts)))
                parts = []
        return found


class Inflater:
    """For one direction, as strict as was agreed on: keeps no context where none is kept,
    and reaches no further back than the window."""

    def __init__(self, bits, keeps_context):
        self.bits = bits
        self.keeps_context = keeps_context
        self.zlib = zlib.decompressobj(-bits)

    def __call__(self, payload):
        if not self.keeps_context:
            self.zlib = zlib.decompressobj(-self.bits)
        parts = [self.zlib.decompress(payload + b"\0\0\xff\xff", STEP)]
        while parts[-1] or self.zlib.unconsumed_tail:
            parts.append(self.zlib.decompress(self.zlib.unconsumed_tail, STEP))
        return b"".join(parts)


def inflaters(answer):
    """For what the client sends, and the server, by the server's answer; refuse all when
    nothing was agreed on."""
    def refuse(payload):
        raise ValueError(f"compressed without an agreement: {payload[:16]}")

    if not answer:
        return refuse, refuse
    _, *params = (part.strip() for part in answer.split(";"))
    values = dict(param.partition("=")[::2] for param in params)
    return tuple(Inflater(int(values.get(f"{who}_max_window_bits", 15)),
                          f"{who}_no_context_takeover" not in values)
                 for who in ("client", "server"))
