# SPDX-License-Identifier: MIT
"""Tells the time, in the shape of a quick start: to each at moments of its own, or, with the
argument `together`, to all at once."""
import asyncio
import datetime
import random
import sys

from wsock.asyncio.server import broadcast, serve

PAUSE = 0.05


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


async def pause():
    await asyncio.sleep(random.uniform(PAUSE / 2, PAUSE))


async def tell(websocket):
    while True:
        await websocket.send(now())
        await pause()


async def stay(websocket):
    await websocket.wait_closed()


async def tell_all(server):
    while True:
        broadcast(server.connections, now())
        await pause()


async def main(together):
    async with serve(stay if together else tell, "127.0.0.1", 0) as server:
        print("listening on ws://%s:%d" % server.sockets[0].getsockname(), flush=True)
        await (tell_all(server) if together else server.serve_forever())


if __name__ == "__main__":
    asyncio.run(main("together" in sys.argv))
