# SPDX-License-Identifier: MIT
"""The echo of Python's websockets over TLS: websockets_tls.py PORT FILE, which has the chain
and the key."""
import asyncio
import logging
import ssl
import sys

import websockets


async def echo(ws):
    try:
        async for message in ws:
            await ws.send(message)
    except websockets.ConnectionClosed:
        pass


async def main():
    port, pem = sys.argv[1:]
    # Connections that end without a close frame are no news here.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    async with websockets.serve(echo, "127.0.0.1", int(port), ssl=context, compression=None):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
