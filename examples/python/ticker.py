# SPDX-License-Identifier: MIT
"""Prices for any number of subscribers: python ticker.py [URL [SECONDS]]

Who connects to /ticker sends the symbols that it wants to hear of, "subscribe XYZ"; each
symbol is a room, and a tick is encoded once however many hear it.
"""
import random
import sys
from typing import Dict

import wsock

SYMBOLS = ("ABC", "KLM", "XYZ")


def main(url: str, seconds: float) -> None:
    server = wsock.Server(url)
    # Who cannot follow misses prices, and gets the newest as soon as it can.
    server.room_defaults("ticker.*", slow_members="latest_only")
    prices: Dict[str, int] = {symbol: 10000 for symbol in SYMBOLS}

    @server.on_message("/ticker")
    def asked(conn: wsock.Connection, message: wsock.Payload) -> None:
        words = message.split() if isinstance(message, str) else []
        if len(words) != 2 or words[0] not in ("subscribe", "leave") or words[1] not in prices:
            conn.close(1008, "subscribe SYMBOL, or leave SYMBOL")
            return
        room = server.room(f"ticker.{words[1]}")
        if words[0] == "subscribe":
            room.join(conn)
        else:
            room.leave(conn)

    def tick() -> None:
        for symbol in SYMBOLS:
            prices[symbol] += random.randint(-50, 50)
            room = server.find_room(f"ticker.{symbol}")
            if room is not None:
                room.broadcast(f"{symbol} {prices[symbol] / 100:.2f}")

    server.every(seconds, tick)
    print("listening on", *server.urls, flush=True)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080",
         float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
