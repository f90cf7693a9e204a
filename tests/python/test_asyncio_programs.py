# SPDX-License-Identifier: MIT
"""Programs in the shape of the quick start, the tutorials and the guides that users of
`websockets` learn from, with the import changed: shared state, rooms of players, spectators,
tokens, logs, signals."""
import asyncio
import collections
import functools
import http
import json
import logging
import secrets
import signal
import subprocess
import sys
import textwrap
import urllib.parse
import urllib.request

import pytest

from wsock.asyncio.client import connect
from wsock.asyncio.server import basic_auth, broadcast, serve
from wsock.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from wsock.frames import CloseCode


def run(main):
    return asyncio.run(asyncio.wait_for(main, 20))


def at(server, path="/"):
    return "ws://%s:%d" % server.sockets[0].getsockname()[:2] + path


def test_quick_start_greets():
    async def greet(websocket):
        name = await websocket.recv()
        await websocket.send(f"Good morning, {name}!")

    async def main():
        async with serve(greet, "localhost", 0) as server:
            async with connect(at(server)) as websocket:
                await websocket.send("Ada")
                assert await websocket.recv() == "Good morning, Ada!"

    run(main())


def test_quick_start_shares_a_thermostat():
    viewers = set()
    state = {"degrees": 20}

    def event():
        return json.dumps({"viewers": len(viewers), **state})

    async def thermostat(websocket):
        viewers.add(websocket)
        try:
            broadcast(viewers, event())
            async for message in websocket:
                state["degrees"] += json.loads(message)["change"]
                broadcast(viewers, event())
        finally:
            viewers.remove(websocket)
            broadcast(viewers, event())

    async def main():
        async with serve(thermostat, "localhost", 0) as server:
            async with connect(at(server)) as one:
                assert json.loads(await one.recv()) == {"viewers": 1, "degrees": 20}
                async with connect(at(server)) as two:
                    for websocket in (one, two):
                        assert json.loads(await websocket.recv())["viewers"] == 2
                    await two.send('{"change": -3}')
                    for websocket in (one, two):
                        assert json.loads(await websocket.recv())["degrees"] == 17
                assert json.loads(await one.recv()) == {"viewers": 1, "degrees": 17}
                assert viewers == server.connections

    run(main())


class Race:
    """A game for two: who counts to three first wins; a player moves when it is his turn."""

    def __init__(self):
        self.moves = []
        self.connected = set()

    def play(self, player):
        if self.moves and self.moves[-1] == player:
            raise RuntimeError("it is not your turn")
        self.moves.append(player)
        return player if self.moves.count(player) == 3 else None


def test_tutorial_game_with_joining_and_watching():
    joining, watching = {}, {}

    async def complain(websocket, text):
        await websocket.send(json.dumps({"type": "error", "message": text}))

    async def play(websocket, race, player):
        async for message in websocket:
            assert json.loads(message) == {"type": "play"}
            try:
                winner = race.play(player)
            except RuntimeError as error:
                await complain(websocket, str(error))
                continue
            broadcast(race.connected, json.dumps({"type": "play", "player": player}))
            if winner is not None:
                broadcast(race.connected, json.dumps({"type": "win", "player": player}))

    async def begin(websocket):
        race = Race()
        join_key, watch_key = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
        joining[join_key] = watching[watch_key] = race
        race.connected.add(websocket)
        try:
            await websocket.send(json.dumps(
                {"type": "init", "join": join_key, "watch": watch_key}))
            await play(websocket, race, "first")
        finally:
            race.connected.remove(websocket)
            del joining[join_key], watching[watch_key]

    async def enter(websocket, race, player):
        race.connected.add(websocket)
        try:
            for mover in race.moves.copy():
                await websocket.send(json.dumps({"type": "play", "player": mover}))
            if player is None:
                await websocket.wait_closed()
            else:
                await play(websocket, race, player)
        finally:
            race.connected.remove(websocket)

    async def handler(websocket):
        event = json.loads(await websocket.recv())
        assert event["type"] == "init"
        if "join" in event:
            if event["join"] in joining:
                await enter(websocket, joining[event["join"]], "second")
            else:
                await complain(websocket, "there is no such race")
        elif "watch" in event:
            await enter(websocket, watching[event["watch"]], None)
        else:
            await begin(websocket)

    async def say(websocket, **event):
        await websocket.send(json.dumps(event))

    async def hear(websocket):
        return json.loads(await websocket.recv())

    async def main():
        async with serve(handler, "", 0) as server:
            url = "ws://localhost:%d/" % server.sockets[0].getsockname()[1]
            async with connect(url) as first, connect(url) as second, connect(url) as watcher:
                await say(first, type="init")
                keys = await hear(first)
                await say(second, type="init", join=keys["join"])
                await say(first, type="play")
                assert await hear(first) == {"type": "play", "player": "first"}
                assert await hear(second) == {"type": "play", "player": "first"}
                await say(first, type="play")
                assert (await hear(first))["message"] == "it is not your turn"
                await say(watcher, type="init", watch=keys["watch"])
                assert await hear(watcher) == {"type": "play", "player": "first"}
                for mover in (second, first, second, first):
                    await say(mover, type="play")
                    for websocket in (first, second, watcher):
                        assert (await hear(websocket))["type"] == "play"
                for websocket in (first, second, watcher):
                    assert await hear(websocket) == {"type": "win", "player": "first"}
            async with connect(url) as late:
                await say(late, type="init", join=keys["join"])
                assert (await hear(late))["type"] == "error"
                with pytest.raises(ConnectionClosedOK):
                    await late.recv()
        assert not joining and not watching

    run(main())


def test_users_get_messages_of_their_own():
    connections = collections.defaultdict(set)

    async def handler(websocket, prefix):
        user = await websocket.recv()
        connections[prefix + user].add(websocket)
        await websocket.send("welcome")
        try:
            await websocket.wait_closed()
        finally:
            connections[prefix + user].remove(websocket)

    async def tell(user, text):
        for websocket in connections[user].copy():
            try:
                await websocket.send(text)
            except ConnectionClosed:
                pass

    async def main():
        bound = functools.partial(handler, prefix="user ")
        async with serve(bound, "localhost", 0) as server:
            async with connect(at(server)) as ann, connect(at(server)) as bob:
                for name, websocket in (("ann", ann), ("bob", bob)):
                    await websocket.send(name)
                    assert await websocket.recv() == "welcome"
                await tell("user ann", "for ann")
                broadcast(connections["user bob"], "for bob")
                assert await ann.recv() == "for ann" and await bob.recv() == "for bob"
        assert not connections["user ann"]

    run(main())


def test_a_consumer_and_a_producer_at_once():
    async def handler(websocket):
        async def consume():
            async for message in websocket:
                heard.append(message)

        async def produce():
            for i in range(3):
                await websocket.send(str(i))
            await done.wait()

        done, heard = asyncio.Event(), []
        tasks = [asyncio.ensure_future(consume()), asyncio.ensure_future(produce())]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        all_heard.extend(heard)

    all_heard = []

    async def main():
        async with serve(handler, "localhost", 0) as server:
            async with connect(at(server)) as websocket:
                assert [await websocket.recv() for _ in range(3)] == ["0", "1", "2"]
                await websocket.send("a")
                await websocket.send("b")
        assert all_heard == ["a", "b"]

    run(main())


USERS = {"token-of-ann": "ann"}


def test_tokens_in_the_first_message_the_query_and_a_cookie():
    async def first_message(websocket):
        user = USERS.get(await websocket.recv())
        if user is None:
            await websocket.close(CloseCode.INTERNAL_ERROR, "authentication failed")
            return
        await websocket.send(f"Hello {user}!")

    async def by_query(connection, request):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(request.path).query)
        return judge(connection, query.get("token", [None])[0])

    def by_cookie(connection, request):
        cookies = http.cookies.SimpleCookie(request.headers.get("Cookie", ""))
        return judge(connection, cookies["token"].value if "token" in cookies else None)

    def judge(connection, token):
        if token is None:
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no token\n")
        if token not in USERS:
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "a wrong token\n")
        connection.username = USERS[token]

    async def hello(websocket):
        await websocket.send(f"Hello {websocket.username}!")

    async def refused(url, **arguments):
        with pytest.raises(Exception, match="HTTP 401"):
            await connect(url, **arguments)

    async def main():
        async with serve(first_message, "localhost", 0) as server:
            async with connect(at(server)) as websocket:
                await websocket.send("token-of-ann")
                assert await websocket.recv() == "Hello ann!"
            async with connect(at(server)) as websocket:
                await websocket.send("wrong")
                with pytest.raises(ConnectionClosedError, match="authentication failed"):
                    await websocket.recv()
        async with serve(hello, "localhost", 0, process_request=by_query) as server:
            async with connect(at(server, "/?token=token-of-ann")) as websocket:
                assert await websocket.recv() == "Hello ann!"
            await refused(at(server))
            await refused(at(server, "/?token=wrong"))
        async with serve(hello, "localhost", 0, process_request=by_cookie) as server:
            headers = {"Cookie": "a=b; token=token-of-ann"}
            async with connect(at(server), additional_headers=headers) as websocket:
                assert await websocket.recv() == "Hello ann!"
            await refused(at(server))

        async def check(username, password):
            return USERS.get(password) == "ann" and username == "token"

        auth = basic_auth(realm="tokens", check_credentials=check)
        async with serve(hello, "localhost", 0, process_request=auth) as server:
            url = at(server).replace("//", "//token:token-of-ann@")
            async with connect(url) as websocket:
                assert await websocket.recv() == "Hello token!"
            await refused(at(server))

    import http.cookies

    run(main())


def test_health_check_beside_websockets():
    def health(connection, request):
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")

    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)

    async def main():
        async with serve(echo, "localhost", 0, process_request=health) as server:
            url = at(server, "/healthz").replace("ws:", "http:")
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(None, urllib.request.urlopen, url)
            assert answer.status == 200 and answer.read() == b"OK\n"
            async with connect(at(server)) as websocket:
                await websocket.send("x")
                assert await websocket.recv() == "x"

    run(main())


def test_logs_say_which_connection(caplog):
    class Adapter(logging.LoggerAdapter):
        def process(self, text, arguments):
            websocket = arguments.get("extra", {}).get("websocket")
            if websocket is None:
                return text, arguments
            forwarded = websocket.request.headers.get("X-Forwarded-For")
            return f"{websocket.id} {forwarded} {text}", arguments

    async def handler(websocket):
        ids.append(str(websocket.id))
        websocket.logger.info("in the handler")

    ids = []

    async def main():
        logger = Adapter(logging.getLogger("mine"), None)
        async with serve(handler, "localhost", 0, logger=logger) as server:
            headers = {"X-Forwarded-For": "192.0.2.1"}
            async with connect(at(server), additional_headers=headers) as websocket:
                await websocket.wait_closed()

    with caplog.at_level(logging.INFO, "mine"):
        run(main())
    told = [record.message for record in caplog.records if record.name == "mine"]
    for text in ("connection open", "in the handler", "connection closed"):
        assert f"{ids[0]} 192.0.2.1 {text}" in told


SERVER = """
    import asyncio, signal
    from wsock.asyncio.server import serve

    async def handler(websocket):
        async for message in websocket:
            await websocket.send(message)

    async def main():
        server = await serve(handler, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        try:
            await server.wait_closed()
            print("ended by itself", flush=True)
        except asyncio.CancelledError:
            print("cancelled", flush=True)
            raise

    asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_server(number):
    async def main(port, process):
        async with connect(f"ws://127.0.0.1:{port}") as websocket:
            await websocket.send("x")
            assert await websocket.recv() == "x"
            process.send_signal(number)
            await websocket.wait_closed()
            assert websocket.close_code in (1001, 1006)

    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(SERVER)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        run(main(int(process.stdout.readline()), process))
        told, errors = process.communicate(timeout=20)
    if number == signal.SIGTERM:
        assert told == "ended by itself\n" and process.returncode == 0
    else:
        assert told == "cancelled\n" and "KeyboardInterrupt" in errors
