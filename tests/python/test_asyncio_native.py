# SPDX-License-Identifier: MIT
"""wsock.asyncio.Server, whose handlers are coroutine functions."""
import asyncio

import pytest

from programs import run
from wsock.asyncio import Server
from wsock.asyncio.client import connect
from wsock.exceptions import ConnectionClosedError, InvalidStatus


def test_coroutine_handlers_run_in_order():
    async def main():
        async with Server("ws://127.0.0.1:0") as server:
            lobby = server.room("lobby")

            @server.on_request("/chat")
            async def judge(request):
                await asyncio.sleep(0)
                if request.query.get("who") is None:
                    return request.reject(401, "who are you?")
                return request.accept(identity=request.query["who"])

            @server.on_open("/chat")
            async def joined(connection):
                await asyncio.sleep(0.01)
                lobby.join(connection)

            @server.on_message("/chat")
            async def said(connection, message):
                await asyncio.sleep(0)
                lobby.broadcast(f"{connection.identity}: {message}")

            @server.on_message("/plain")
            def echo(connection, message):
                connection.send(message)

            serving = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(0)
            url = server.urls[0]
            with pytest.raises(InvalidStatus) as caught:
                await connect(url + "/chat")
            assert caught.value.response.status_code == 401
            async with connect(url + "/chat?who=ann") as ws:
                for i in range(500):
                    await ws.send(str(i))
                    if i % 100 == 99:
                        for k in range(i - 99, i + 1):
                            assert await ws.recv() == f"ann: {k}"
            async with connect(url + "/plain") as ws:
                await ws.send("x")
                assert await ws.recv() == "x"
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving

    run(main())


def test_coroutine_handlers_that_fail_close_their_connection(caplog):
    async def main():
        async with Server("ws://127.0.0.1:0") as server:
            @server.on_message("/")
            async def fail(connection, message):
                raise KeyError(message)

            @server.on_request("/bad")
            async def judge(request):
                raise ValueError("bad")

            server.start()
            async with connect(server.urls[0]) as ws:
                await ws.send("bad")
                with pytest.raises(ConnectionClosedError, match="1011"):
                    await ws.recv()
            with pytest.raises(InvalidStatus) as caught:
                await connect(server.urls[0] + "/bad")
            assert caught.value.response.status_code == 500

    run(main())
    assert "KeyError" in caplog.text and "ValueError" in caplog.text


def test_coroutine_handlers_of_a_room_run_in_order(caplog):
    async def main():
        told, done = [], asyncio.Event()
        async with Server("ws://127.0.0.1:0") as server:
            lobby = server.room("lobby")

            @lobby.on_join
            async def came(member):
                await asyncio.sleep(0.01)
                told.append(member.identity)

            @lobby.on_message
            async def said(message):
                told.append(message.data)
                if message.data == "bad":
                    raise KeyError("of a room")
                if message.data == "last":
                    done.set()

            @server.on_request("/{who}")
            def judge(request):
                return request.accept(identity=request.params["who"])

            @server.on_open("/{who}")
            def opened(connection):
                lobby.join(connection)
                for data in ("first", "bad", "last"):
                    lobby.broadcast(data)

            server.start()
            async with connect(server.urls[0] + "/ann") as ws:
                await asyncio.wait_for(done.wait(), 20)
                assert [await ws.recv() for _ in range(3)] == ["first", "bad", "last"]
        assert told == ["ann", "first", "bad", "last"]

    run(main())
    assert "of a room" in caplog.text
