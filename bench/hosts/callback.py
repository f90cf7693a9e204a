# SPDX-License-Identifier: MIT
"""libwsock from Python, with callbacks: callback.py PORT echo|room|dispatch. "room" sends
what anybody says to everybody. "dispatch" does nothing with its messages: it lets them wait
until a line of standard input says how many events to take."""
import sys

import wsock


def echo(server):
    @server.on_message("/echo")
    def said(conn, message):
        conn.send(message)


def room(server):
    everybody = server.room("all")

    @server.on_open("/room")
    def joined(conn):
        everybody.join(conn)

    @server.on_message("/room")
    def said(_, message):
        everybody.broadcast(message)


def dispatch(server):
    @server.on_message("/dispatch")
    def said(_conn, _message):
        pass

    server.start()
    print("ready", flush=True)
    for line in sys.stdin:
        left = int(line)
        while left > 0:
            left -= server.queue.dispatch(0, None)
        print("done", flush=True)
    sys.exit()


def main():
    port, what = sys.argv[1:]
    with wsock.Server(f"ws://127.0.0.1:{port}") as server:
        {"echo": echo, "room": room, "dispatch": dispatch}[what](server)
        print("ready", flush=True)
        server.run()


main()
