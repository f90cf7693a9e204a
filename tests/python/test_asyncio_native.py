# SPDX-License-Identifier: MIT
"""wsock.asyncio.Server, whose handlers are coroutine functions, and python -m wsock."""
import asyncio
import subprocess
import sys
import threading

import pytest

from wsock.asyncio import Server
from wsock.asyncio.client import connect
from wsock.exceptions import ConnectionClosedError, InvalidStatus
from wsock.sync.server import serve


def run(main):
    return asyncio.run(asyncio.wait_for(main, 20))


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


def test_the_command_converses():
    server = serve(lambda ws: [ws.send(m + "!") for m in ws], "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    uri = "ws://%s:%d/" % server.socket.getsockname()
    command = [sys.executable, "-m", "wsock", uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        process.stdin.write("hello\n")
        process.stdin.flush()
        heard = ""
        while "< hello!" not in heard:
            heard += process.stdout.readline()
        process.stdin.close()
        heard += process.stdout.read()
    server.shutdown()
    thread.join()
    assert f"Connected to {uri}." in heard and "Connection closed: sent 1000 (OK)" in heard
    assert process.returncode == 0
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "Failed to connect" in done.stderr
