# SPDX-License-Identifier: MIT
"""Four in a row, for two browsers and those that watch, in the shape of a tutorial. The server
is what the tutorial has in the end; its page comes from the same port."""
import asyncio
import http
import json
import os
import pathlib
import secrets
import signal
import urllib.parse

from wsock.asyncio.server import broadcast, serve
from wsock.datastructures import Headers
from wsock.http11 import Response

PLAYERS = FIRST, SECOND = "red", "yellow"
COLUMNS, ROWS, TO_WIN = 7, 6, 4
PAGE = pathlib.Path(__file__).with_suffix(".html")


class Game:
    """The moves of a game, by whom, where and how high, and who hears of them."""

    def __init__(self):
        self.moves = []
        self.winner = None
        self.connected = set()

    def play(self, player, column):
        """@return the row where it comes to lie; ValueError tells which rule forbids it."""
        if self.winner is not None:
            raise ValueError("The game is over.")
        if player != PLAYERS[len(self.moves) % 2]:
            raise ValueError("It is the other one's turn.")
        row = sum(1 for _, other, _ in self.moves if other == column)
        if row == ROWS:
            raise ValueError("This column is full.")
        self.moves.append((player, column, row))
        if self._has_won(player, column, row):
            self.winner = player
        return row

    def _has_won(self, player, column, row):
        own = {move[1:] for move in self.moves if move[0] == player}

        def length(step, rise):
            x, y, count = column + step, row + rise, 0
            while (x, y) in own:
                x, y, count = x + step, y + rise, count + 1
            return count

        return any(length(step, rise) + 1 + length(-step, -rise) >= TO_WIN
                   for step, rise in ((1, 0), (0, 1), (1, 1), (1, -1)))


def event(kind, **more):
    return json.dumps({"type": kind, **more})


def played(player, column, row):
    return event("play", player=player, column=column, row=row)


async def play(websocket, game, player):
    """Play what a player says, until it leaves."""
    async for message in websocket:
        said = json.loads(message)
        assert said["type"] == "play"
        try:
            row = game.play(player, said["column"])
        except ValueError as error:
            await websocket.send(event("error", message=str(error)))
            continue
        broadcast(game.connected, played(player, said["column"], row))
        if game.winner is not None:
            broadcast(game.connected, event("win", player=game.winner))


JOINING, WATCHING = {}, {}


async def begin(websocket):
    """The first player: gets a key for the other one, and one for who watches."""
    game = Game()
    join, watch = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    JOINING[join] = WATCHING[watch] = game
    game.connected.add(websocket)
    try:
        await websocket.send(event("init", join=join, watch=watch))
        await play(websocket, game, FIRST)
    finally:
        game.connected.remove(websocket)
        del JOINING[join], WATCHING[watch]


async def enter(websocket, game, player):
    """The second player, or, without `player`, somebody who watches."""
    if game is None:
        await websocket.send(event("error", message="There is no such game."))
        return
    game.connected.add(websocket)
    try:
        for move in game.moves.copy():
            await websocket.send(played(*move))
        if player is None:
            await websocket.wait_closed()
        else:
            await play(websocket, game, player)
    finally:
        game.connected.remove(websocket)


async def handler(websocket):
    said = json.loads(await websocket.recv())
    assert said["type"] == "init"
    if "join" in said:
        await enter(websocket, JOINING.get(said["join"]), SECOND)
    elif "watch" in said:
        await enter(websocket, WATCHING.get(said["watch"]), None)
    else:
        await begin(websocket)


def answer(connection, request):
    """Answer what is no WebSocket: whether all is well, and the page."""
    path = urllib.parse.urlparse(request.path).path
    if path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "all is well\n")
    if path == "/page":
        body = PAGE.read_bytes()
        headers = Headers({"Content-Type": "text/html; charset=utf-8",
                           "Content-Length": str(len(body))})
        return Response(200, "OK", headers, body)
    return None


async def main():
    port = int(os.environ.get("PORT", "0"))
    async with serve(handler, "", port, process_request=answer) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        print("listening on ws://localhost:%d" % server.sockets[0].getsockname()[1], flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
