# SPDX-License-Identifier: MIT
"""The quick start of `websockets`: greet, over TLS too, tell browsers the time, broadcast it,
keep a counter. Its pages are in tests/integration/browser/test_python_pages.py."""
import asyncio
import datetime
import json
import signal
import threading

import pytest

import wsock
from pages import clock, counter
from programs import PAGES, Program, at, run, running
from wsock.asyncio.client import connect
from wsock.asyncio.server import serve
from wsock.exceptions import ConnectionClosed
from wsock.sync import client as sync_client
from wsock.sync import server as sync_server


async def greet(websocket):
    name = await websocket.recv()
    await websocket.send(f"Good morning, {name}!")


def greet_now(websocket):
    name = websocket.recv()
    websocket.send(f"Good morning, {name}!")


def ask(uri, **arguments):
    with sync_client.connect(uri, **arguments) as websocket:
        websocket.send("Ada")
        return websocket.recv()


async def ask_later(uri, **arguments):
    async with connect(uri, **arguments) as websocket:
        await websocket.send("Ada")
        return await websocket.recv()


def test_greeting():
    async def main():
        async with serve(greet, "localhost", 0) as server:
            loop = asyncio.get_running_loop()
            assert await ask_later(at(server)) == "Good morning, Ada!"
            assert await loop.run_in_executor(None, ask, at(server)) == "Good morning, Ada!"

    run(main())
    with running(sync_server.serve(greet_now, "localhost", 0)) as server:
        assert ask(at(server)) == "Good morning, Ada!"
        assert run(ask_later(at(server))) == "Good morning, Ada!"


def test_greeting_over_tls(certificate):
    """One file has the certificate and its key, and the client trusts that file."""
    theirs, ours = wsock.TLS(cert=certificate), wsock.TLS(ca=certificate)

    async def main():
        async with serve(greet, "localhost", 0, ssl=theirs) as server:
            loop = asyncio.get_running_loop()
            uri = "wss://localhost:%d" % server.sockets[0].getsockname()[1]
            assert await ask_later(uri, ssl=ours) == "Good morning, Ada!"
            answer = await loop.run_in_executor(None, lambda: ask(uri, ssl=ours))
            assert answer == "Good morning, Ada!"

    run(main())
    with running(sync_server.serve(greet_now, "localhost", 0, ssl=theirs)) as server:
        uri = "wss://localhost:%d" % server.socket.getsockname()[1]
        assert ask(uri, ssl=ours) == "Good morning, Ada!"


def is_now(text):
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(text)
    return abs(age.total_seconds()) < 20


def test_a_server_tells_the_time(caplog):
    async def main():
        async with serve(clock.tell, "localhost", 0) as server:
            async with connect(at(server)) as one, connect(at(server)) as two:
                for _ in range(3):
                    for websocket in (one, two):
                        assert is_now(await websocket.recv())

    run(main())
    # Its loop knows no end but that its send() raises.
    failures = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(failures) == 2
    assert all(isinstance(record.exc_info[1], ConnectionClosed) for record in failures)


def test_everyone_is_told_the_same_time():
    async def main():
        async with serve(clock.stay, "localhost", 0) as server:
            telling = asyncio.ensure_future(clock.tell_all(server))
            async with connect(at(server)) as one, connect(at(server)) as two:
                told = [await one.recv() for _ in range(5)]
                first = await two.recv()
                while told[0] != first:  # the first one was there earlier
                    told = [*told[1:], await one.recv()]
                assert [await two.recv() for _ in range(4)] == told[1:]
                assert len(set(told)) == 5 and all(map(is_now, told))
            telling.cancel()

    run(main())


def test_everyone_is_told_the_same_time_by_threads():
    def stay(websocket):
        websocket.wait_closed()

    def tell_all(server, end):
        while not end.wait(clock.PAUSE):
            sync_server.broadcast(server.connections, clock.now())

    end = threading.Event()
    with running(sync_server.serve(stay, "localhost", 0)) as server:
        telling = threading.Thread(target=tell_all, args=(server, end))
        telling.start()
        with sync_client.connect(at(server)) as one, sync_client.connect(at(server)) as two:
            first = two.recv()
            while one.recv() != first:
                pass
            assert [one.recv() for _ in range(3)] == [two.recv() for _ in range(3)]
        end.set()
        telling.join()


async def hear(websocket, what, value):
    assert json.loads(await websocket.recv()) == {"type": what, "is": value}


def test_everyone_changes_one_number(caplog):
    async def main():
        counting = counter.Counter()
        async with serve(counting.handler, "localhost", 0) as server:
            async with connect(at(server)) as one:
                await hear(one, "watching", 1)
                await hear(one, "number", 0)
                async with connect(at(server)) as two:
                    await hear(one, "watching", 2)
                    await hear(two, "watching", 2)
                    await hear(two, "number", 0)
                    assert counting.watching == server.connections
                    await one.send('{"do": "less"}')
                    await two.send('{"do": "turn"}')
                    await hear(two, "number", -1)
                    await two.send('{"do": "more"}')
                    await hear(two, "number", 0)
                await hear(one, "number", -1)
                await hear(one, "number", 0)
                await hear(one, "watching", 1)

    run(main())
    assert 'nobody can do that: {"do": "turn"}' in caplog.text


@pytest.mark.parametrize("program", ["clock.py", "counter.py"])
def test_programs_end_at_ctrl_c(program):
    with Program(PAGES / program) as server, sync_client.connect(server.url()) as websocket:
        assert websocket.recv()
        server.signal(signal.SIGINT)
        assert "KeyboardInterrupt" in server.end(-signal.SIGINT)
        with pytest.raises(ConnectionClosed):
            while True:
                websocket.recv()
        assert websocket.close_code == 1001
