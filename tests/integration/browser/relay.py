# SPDX-License-Identifier: MIT
"""A way from a page to a server: it can be cut, or fall silent without an end, as after sleep."""

import socket
import struct
import threading

TIMEOUT = 20
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets


class Way:
    """One connection: its two ends, and whether anything still comes through."""

    def __init__(self, near, port):
        self.ends = (near, socket.create_connection(("127.0.0.1", port), TIMEOUT))
        self.is_silent = False
        for end in self.ends:
            end.settimeout(None)

    def lead(self):
        """Until it has ended."""
        back = threading.Thread(target=self.pump, args=self.ends[::-1])
        back.start()
        self.pump(*self.ends)
        back.join()
        for end in self.ends:
            end.close()

    def pump(self, source, target):
        try:
            while data := source.recv(65536):
                if not self.is_silent:
                    target.sendall(data)
        except OSError:
            pass
        self.cut()

    def cut(self):
        for end in self.ends:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
            except OSError:  # it ended by itself
                pass


class Relay:
    """Leads to a port of this machine."""

    def __init__(self, port):
        self.to = port
        self.ways = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.is_open = True
        self.threads = [threading.Thread(target=self.accept)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join()
        self.listener.close()
        self.cut()
        for thread in self.threads:
            thread.join()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                way = Way(near, self.to) if self.is_open else None
            except OSError:
                way = None
            if way is None:
                near.close()
                continue
            self.ways.append(way)
            thread = threading.Thread(target=way.lead)
            thread.start()
            self.threads.append(thread)

    def cut(self):
        """End all connections without a close frame; there are no others until open()."""
        self.is_open = False
        for way in self.ways:
            way.cut()
        self.ways.clear()

    def open(self):
        self.is_open = True

    def silence(self):
        """Nothing comes through the connections that are there any more."""
        for way in self.ways:
            way.is_silent = True
