# SPDX-License-Identifier: MIT
"""Python's websockets as the server: prints its URL, then a line for each close. INTEROP_TLS
names a file with a certificate and its key, to speak TLS."""
import asyncio
import os
import ssl
import sys

import websockets

FRAGMENT = 1000


async def handle(ws):
    path = ws.request.path
    if path == "/close":
        await ws.close(4001, "asked")
    elif path == "/ping":
        await (await ws.ping(b"libwsock"))
        await ws.send("pong libwsock")
    try:
        async for message in ws:
            if path == "/fragments":
                starts = range(0, max(len(message), 1), FRAGMENT)
                message = [message[i:i + FRAGMENT] for i in starts]
            await ws.send(message)
    except websockets.ConnectionClosed:
        pass
    print("close", ws.close_code, ws.close_reason, flush=True)


async def main():
    identity, tls = os.environ.get("INTEROP_TLS"), None
    if identity:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(identity)
    async with websockets.serve(handle, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"{'wss' if tls else 'ws'}://127.0.0.1:{port}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
