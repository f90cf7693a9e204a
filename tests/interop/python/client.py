# SPDX-License-Identifier: MIT
"""Python's websockets as the client: client.py URL. Ends with status 1 at the first surprise."""
import asyncio
import sys

import websockets
from cases import BINARIES, CLOSES, FRAGMENTS, ROW, TEXTS


async def expect(ws, sent, what):
    back = await ws.recv()
    assert back == sent, f"{what}: another echo"
    print("ok", what, flush=True)


async def echoes(ws):
    for text in TEXTS:
        await ws.send(text)
        await expect(ws, text, f"text of {len(text)} characters")
    for binary in BINARIES:
        await ws.send(binary)
        await expect(ws, binary, f"binary of {len(binary)} bytes")
    for text in ROW:
        await ws.send(text)
    for text in ROW:
        await expect(ws, text, text)
    await ws.send(FRAGMENTS)
    await expect(ws, "".join(FRAGMENTS), "text in three fragments")


async def main(url):
    for code, reason in CLOSES:
        async with websockets.connect(url + "/echo", open_timeout=20) as ws:
            await echoes(ws)
            await (await ws.ping(b"are you there"))
            print("ok ping", flush=True)
            await ws.close(code, reason)
            assert ws.close_code == code, f"close {code}: answered with {ws.close_code}"
            assert ws.close_reason in ("", reason), ws.close_reason
            print("ok close", code, flush=True)
    async with websockets.connect(url + "/ping") as ws:
        await expect(ws, "pong libwsock", "answer to a ping")
    async with websockets.connect(url + "/close") as ws:
        try:
            await ws.recv()
        except websockets.ConnectionClosed as end:
            assert (end.rcvd.code, end.rcvd.reason) == (4001, "asked"), end.rcvd
        print("ok close by the server", flush=True)


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
