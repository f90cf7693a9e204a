# SPDX-License-Identifier: MIT
"""The synthetic source of events: messages are brought into a host's queue before the host
takes any, and then it takes all of them. So its thread does nothing but dispatch while its
CPU clock is read, and neither sockets nor wake-ups are in the figure."""

import os
import pathlib
import socket
import struct

import harness

# What waits at a time is less than a queue takes by default, so that nothing is held back.
CONNECTIONS = 100
EACH = 25
TIMEOUT_S = 60


def frame(opcode, payload):
    """A masked frame; a key of zeroes leaves the payload as it is."""
    size = len(payload)
    head = struct.pack("!BB", 0x80 | opcode, 0x80 | size) if size < 126 else \
        struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    return head + bytes(4) + payload


def connect(port):
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    sock.sendall(b"GET /dispatch HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                 b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += receive(sock, 1)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise harness.Failed(f"the host answered {head!r}")
    return sock


def receive(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise harness.Failed("the host closed a connection")
        data += more
    return data


def fill(socks, messages, payload):
    """Messages on each connection, and a ping behind them: its pong says that they wait."""
    for sock in socks:
        sock.sendall(frame(2, os.urandom(payload)) * messages + frame(9, b""))
    for sock in socks:
        answer = receive(sock, 2)
        if answer != b"\x8a\x00":
            raise harness.Failed(f"the host sent {answer!r} where a pong was due")


def take(process, events):
    """Have the host take that many. @return what that cost its main thread, in ns"""
    clock = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/schedstat")
    before = int(clock.read_text().split()[0])
    process.stdin.write(f"{events}\n")
    process.stdin.flush()
    if process.stdout.readline() != "done\n":
        raise harness.Failed("the host did not take its events")
    return int(clock.read_text().split()[0]) - before


def dispatch(process, port, events, payload):
    """CPU time of the host's thread for an event, in ns."""
    socks = [connect(port) for _ in range(CONNECTIONS)]
    fills = max(1, events // (CONNECTIONS * EACH))
    take(process, CONNECTIONS)  # what opened
    cost = 0
    for _ in range(fills):
        fill(socks, EACH, payload)
        cost += take(process, CONNECTIONS * EACH)
    for sock in socks:
        sock.close()
    take(process, CONNECTIONS)  # what closed
    return cost / (CONNECTIONS * EACH * fills)
