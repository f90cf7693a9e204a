# SPDX-License-Identifier: MIT
"""The echo and the fan-out of picows, over uvloop: picows_echo.py PORT echo|room."""
import asyncio
import sys

import picows
import uvloop

members = []


class Echo(picows.WSListener):
    def on_ws_frame(self, transport, frame):
        transport.send(frame.msg_type, frame.get_payload_as_bytes())


class Member(picows.WSListener):
    def on_ws_connected(self, transport):
        members.append(transport)

    def on_ws_frame(self, transport, frame):
        payload = frame.get_payload_as_bytes()
        for member in members:
            member.send(frame.msg_type, payload)

    def on_ws_disconnected(self, transport):
        members.remove(transport)


async def main():
    port, what = sys.argv[1:]
    listener = Echo if what == "echo" else Member
    server = await picows.ws_create_server(lambda request: listener(), "127.0.0.1", int(port))
    print("ready", flush=True)
    await server.serve_forever()


uvloop.run(main())
