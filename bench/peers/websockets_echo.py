# SPDX-License-Identifier: MIT
"""The compressed echo of Python's websockets: websockets_echo.py PORT LEVEL MEMORY_LEVEL.
Keeps what the client's offer lets it keep of its own context, and nothing of the
client's."""
import asyncio
import sys

import websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(ws):
    try:
        async for message in ws:
            await ws.send(message)
    except websockets.ConnectionClosed:
        pass


async def main():
    port, level, memory_level = (int(arg) for arg in sys.argv[1:])
    deflate = ServerPerMessageDeflateFactory(
        client_no_context_takeover=True,
        compress_settings={"level": level, "memLevel": memory_level})
    async with websockets.serve(echo, "127.0.0.1", port, compression=None,
                                extensions=[deflate]):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
