# SPDX-License-Identifier: MIT
"""The echo of wsock.asyncio, a coroutine for each connection: coroutines.py PORT."""
import asyncio
import sys

from wsock.asyncio.server import serve
from wsock.exceptions import ConnectionClosed


async def echo(ws):
    try:
        async for message in ws:
            await ws.send(message)
    except ConnectionClosed:
        pass


async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), compression=None):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
