# SPDX-License-Identifier: MIT
"""A number that everyone who watches may change, in the shape of a quick start."""
import asyncio
import json
import logging

from wsock.asyncio.server import broadcast, serve

STEPS = {"less": -1, "more": 1}


class Counter:
    def __init__(self):
        self.number = 0
        self.watching = set()

    def tell(self, what, value):
        broadcast(self.watching, json.dumps({"type": what, "is": value}))

    async def handler(self, websocket):
        try:
            self.watching.add(websocket)
            self.tell("watching", len(self.watching))
            await websocket.send(json.dumps({"type": "number", "is": self.number}))
            async for message in websocket:
                step = STEPS.get(json.loads(message)["do"])
                if step is None:
                    logging.error("nobody can do that: %s", message)
                    continue
                self.number += step
                self.tell("number", self.number)
        finally:
            self.watching.remove(websocket)
            self.tell("watching", len(self.watching))


async def main():
    server = await serve(Counter().handler, "127.0.0.1", 0)
    print("listening on ws://%s:%d" % server.sockets[0].getsockname(), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    logging.basicConfig()
    asyncio.run(main())
