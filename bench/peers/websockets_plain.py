# SPDX-License-Identifier: MIT
"""The echo and the fan-out of Python's websockets, without compression:
websockets_plain.py PORT echo|room asyncio|uvloop."""
import asyncio
import sys

import uvloop
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

members = set()


async def echo(ws):
    try:
        async for message in ws:
            await ws.send(message)
    except ConnectionClosed:
        pass


async def member(ws):
    members.add(ws)
    try:
        async for message in ws:
            broadcast(members, message)
    except ConnectionClosed:
        pass
    finally:
        members.remove(ws)


async def main(port, what):
    handler = echo if what == "echo" else member
    async with serve(handler, "127.0.0.1", port, compression=None):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


run = uvloop.run if sys.argv[3] == "uvloop" else asyncio.run
run(main(int(sys.argv[1]), sys.argv[2]))
