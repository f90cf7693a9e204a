# SPDX-License-Identifier: MIT
"""The tutorial of `websockets`: part 1 sends and receives, part 2 routes by the first message
and broadcasts, part 3 deploys. The whole of it is pages/connect_four.py; the board in browsers
is in tests/integration/browser/test_python_pages.py."""
import asyncio
import contextlib
import itertools
import json
import logging
import signal
import urllib.error
import urllib.request

import pytest

from pages import connect_four
from pages.connect_four import FIRST, SECOND, Game
from programs import PAGES, Program, at, run, script, terminal
from wsock.asyncio.client import connect
from wsock.asyncio.server import serve
from wsock.exceptions import ConnectionClosedOK

# -- part 1

LISTENER = """
    import asyncio
    from wsock.asyncio.server import serve
    from wsock.exceptions import ConnectionClosedOK

    async def raises(websocket):
        while True:
            print("heard", await websocket.recv())

    async def catches(websocket):
        while True:
            try:
                message = await websocket.recv()
            except ConnectionClosedOK:
                break
            print("heard", message)

    async def iterates(websocket):
        async for message in websocket:
            print("heard", message)

    async def main():
        async def handler(websocket):
            try:
                await {handler}(websocket)
            finally:
                print("left")

        server = await serve(handler, "", 0)
        print("listening on ws://localhost:%d/" % server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())
"""


@pytest.mark.parametrize("handler", ["raises", "catches", "iterates"])
@pytest.mark.parametrize("leaving", ["end of input", "interrupt"])
def test_a_server_prints_what_the_terminal_says(handler, leaving):
    with script(LISTENER.format(handler=handler)) as server:
        uri = server.url()
        with terminal(uri) as client:
            client.until(f"Connected to {uri}.")
            client.type("Hello!\n")
            server.until("heard Hello!")
            if leaving == "interrupt":
                client.signal(signal.SIGINT)
            else:
                client.process.stdin.close()
            assert client.end().endswith("Connection closed: 1000 (OK).\n")
        server.until("left\n")
        server.signal(signal.SIGINT)
        told = server.end(-signal.SIGINT)
    noise = "wsock.exceptions.ConnectionClosedOK: received 1000 (OK); then sent 1000 (OK)"
    assert ("connection handler failed" in told and noise in told) is (handler == "raises")


def test_a_server_sends_moves_and_no_dict():
    moves = [(FIRST, 3, 0), (SECOND, 3, 1), (FIRST, 4, 0)]

    async def handler(websocket):
        for move in moves:
            await websocket.send(connect_four.played(*move))
        with pytest.raises(TypeError, match="dict"):
            await websocket.send({"type": "win", "player": FIRST})
        await websocket.send(connect_four.event("win", player=FIRST))

    async def main():
        async with serve(handler, "localhost", 0) as server, connect(at(server)) as websocket:
            events = [json.loads(message) async for message in websocket]
        assert [tuple(event.values())[1:] for event in events] == [*moves, (FIRST,)]
        assert [event["type"] for event in events] == ["play", "play", "play", "win"]

    run(main())


def test_the_rules():
    for columns, winner in (((0, 1, 0, 1, 0, 1, 0), FIRST), ((0, 6, 1, 6, 2, 5, 3), FIRST),
                            ((0, 1, 1, 2, 2, 3, 2, 3, 3, 5, 3), FIRST),
                            ((6, 3, 5, 3, 6, 3, 5, 3), SECOND), ((0, 0, 1, 1, 2, 2), None)):
        game = Game()
        for player, column in zip(itertools.cycle(connect_four.PLAYERS), columns):
            game.play(player, column)
        assert game.winner == winner
    full = Game()
    for player in (FIRST, SECOND) * 3:
        full.play(player, 0)
    for player, column, text in ((FIRST, 0, "full"), (SECOND, 1, "turn")):
        with pytest.raises(ValueError, match=text):
            full.play(player, column)


def test_two_players_at_one_browser():
    async def handler(websocket):
        game = Game()
        players = itertools.cycle(connect_four.PLAYERS)
        player = next(players)
        async for message in websocket:
            column = json.loads(message)["column"]
            try:
                row = game.play(player, column)
            except ValueError as error:
                await websocket.send(connect_four.event("error", message=str(error)))
                continue
            await websocket.send(connect_four.played(player, column, row))
            if game.winner is not None:
                await websocket.send(connect_four.event("win", player=game.winner))
            player = next(players)

    async def main():
        async with serve(handler, "localhost", 0) as server, connect(at(server)) as websocket:
            for column in (2, 2, 2, 2, 2, 2):
                await say(websocket, type="play", column=column)
                assert (await hear(websocket))["type"] == "play"
            await say(websocket, type="play", column=2)
            assert await hear(websocket) == {"type": "error",
                                             "message": "This column is full."}
            for column in (3, 0, 3, 0, 3, 0, 3):
                await say(websocket, type="play", column=column)
                last = await hear(websocket)
            assert last == {"type": "play", "player": FIRST, "column": 3, "row": 3}
            assert await hear(websocket) == {"type": "win", "player": FIRST}

    run(main())


# -- part 2


async def say(websocket, **event):
    await websocket.send(json.dumps(event))


async def hear(websocket):
    return json.loads(await websocket.recv())


async def begun(url):
    """@return the first player's connection, and the keys."""
    first = await connect(url)
    await say(first, type="init")
    keys = await hear(first)
    assert keys.pop("type") == "init" and keys["join"] != keys["watch"]
    return first, keys


def test_the_whole_conversation():
    async def main():
        async with serve(connect_four.handler, "", 0) as server, contextlib.AsyncExitStack() as s:
            url = "ws://localhost:%d/" % server.sockets[0].getsockname()[1]
            first, keys = await begun(url)
            second = await s.enter_async_context(connect(url))
            early = await s.enter_async_context(connect(url))
            await say(early, type="init", watch=keys["watch"])
            await say(first, type="play", column=3)
            move = {"type": "play", "player": FIRST, "column": 3, "row": 0}
            assert await hear(first) == await hear(early) == move
            await say(first, type="play", column=3)
            assert await hear(first) == {"type": "error",
                                         "message": "It is the other one's turn."}
            await say(second, type="init", join=keys["join"])
            assert await hear(second) == move
            late = await s.enter_async_context(connect(url))
            await say(late, type="init", watch=keys["watch"])
            assert await hear(late) == move
            everyone = (first, second, early, late)
            for row in (1, 2, 3):
                for websocket, player, column in ((second, SECOND, 0), (first, FIRST, 3)):
                    await say(websocket, type="play", column=column)
                    for listener in everyone:
                        heard = await hear(listener)
                        assert (heard["player"], heard["column"]) == (player, column)
                assert heard["row"] == row
            for websocket in everyone:
                assert await hear(websocket) == {"type": "win", "player": FIRST}
                await websocket.close(1000)
            async with connect(url) as lost:
                await say(lost, type="init", join=keys["join"])
                assert await hear(lost) == {"type": "error",
                                            "message": "There is no such game."}
                with pytest.raises(ConnectionClosedOK):
                    await lost.recv()
        assert not connect_four.JOINING and not connect_four.WATCHING

    run(main())


def test_games_do_not_mix_and_end_with_the_first_player(caplog):
    async def main():
        async with serve(connect_four.handler, "localhost", 0) as server:
            (one, its), (other, _) = await begun(at(server)), await begun(at(server))
            await say(one, type="play", column=0)
            await say(other, type="play", column=6)
            assert (await hear(one))["column"] == 0 and (await hear(other))["column"] == 6
            await one.close()
            async with connect(at(server)) as late:
                await say(late, type="init", join=its["join"])
                assert (await hear(late))["type"] == "error"
            async with connect(at(server)) as rude:
                await say(rude, type="play")
                await rude.wait_closed()
                assert rude.close_code == 1011
            await other.close()

    with caplog.at_level(logging.ERROR, "wsock.server"):
        run(main())
    assert [record.exc_info[0] for record in caplog.records] == [AssertionError]


# -- part 3


def get(url):
    return urllib.request.urlopen(url.replace("ws://", "http://"), timeout=20)


def test_deployed_where_the_environment_says():
    with Program(PAGES / "connect_four.py", PORT="0") as server:
        url = server.url()
        with get(url + "/healthz") as answer:
            assert (answer.status, answer.read()) == (200, b"all is well\n")
            assert answer.headers["Content-Type"].startswith("text/plain")
        with get(url + "/page") as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert b"Four in a row" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="426"):
            get(url)
        with terminal(url) as client:
            client.until("> ")
            client.type('{"type": "init"}\n')
            client.until('< {"type": "init", "join": "')
            server.signal(signal.SIGTERM)
            assert server.end() == ""
            client.until("Connection closed: 1001 (going away).")
            client.end()
