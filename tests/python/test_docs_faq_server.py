# SPDX-License-Identifier: MIT
"""The questions that the documentation of `websockets` answers about servers."""
import asyncio
import collections
import functools
import http
import logging
import signal
import socket
import threading
import urllib.request

import pytest

from programs import at, run, running, script
from wsock.asyncio.client import connect
from wsock.asyncio.server import ServerConnection, broadcast, serve
from wsock.datastructures import Headers
from wsock.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from wsock.http11 import Response
from wsock.sync import client as sync_client
from wsock.sync import server as sync_server


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def stay(websocket):
    await websocket.wait_closed()


def test_a_connection_lasts_as_long_as_its_handler():
    async def work(websocket):
        await websocket.recv()
        await websocket.send("done")

    async def hasty(websocket):
        tasks.append(asyncio.ensure_future(work(websocket)))

    async def main():
        async with serve(hasty, "localhost", 0) as server, connect(at(server)) as websocket:
            with pytest.raises(ConnectionClosedOK):
                await websocket.recv()
            with pytest.raises(ConnectionClosedOK):
                await tasks[0]
        async with serve(work, "localhost", 0) as server, connect(at(server)) as websocket:
            await websocket.send("go on")
            assert await websocket.recv() == "done"

    tasks = []
    run(main())


def test_a_handler_without_a_loop_handles_one_message():
    async def one(websocket):
        await websocket.send(await websocket.recv())

    async def main():
        async with serve(one, "localhost", 0) as server, connect(at(server)) as websocket:
            await websocket.send("first")
            await websocket.send("second")
            assert [message async for message in websocket] == ["first"]
        async with serve(echo, "localhost", 0) as server, connect(at(server)) as websocket:
            for text in ("first", "second"):
                await websocket.send(text)
                assert await websocket.recv() == text

    run(main())


def test_clients_are_served_at_once():
    async def together(websocket):
        here.append(websocket)
        while len(here) < 2:
            await asyncio.sleep(0.001)
        await websocket.send("both are here")

    async def flood(websocket):
        while True:
            await websocket.send("drop")
            await asyncio.sleep(0)

    here = []

    async def main():
        async with serve(together, "localhost", 0) as server:
            async with connect(at(server)) as one, connect(at(server)) as two:
                assert await one.recv() == await two.recv() == "both are here"
        async with serve(flood, "localhost", 0) as server:
            async with connect(at(server)) as one, connect(at(server)) as two:
                for _ in range(100):
                    assert await one.recv() == await two.recv() == "drop"

    run(main())


def test_messages_to_all_to_one_and_to_those_of_a_topic():
    users, topics = collections.defaultdict(set), collections.defaultdict(set)

    async def handler(websocket):
        user, topic = (await websocket.recv()).split()
        users[user].add(websocket)
        topics[topic].add(websocket)
        await websocket.send("welcome")
        try:
            await websocket.wait_closed()
        finally:
            users[user].remove(websocket)
            topics[topic].remove(websocket)

    async def tell(user, text):
        for websocket in users[user].copy():
            try:
                await websocket.send(text)
            except ConnectionClosed:
                pass

    async def main():
        async with serve(handler, "localhost", 0) as server:
            async with connect(at(server)) as ann, connect(at(server)) as bob:
                for websocket, text in ((ann, "ann news"), (bob, "bob news")):
                    await websocket.send(text)
                    assert await websocket.recv() == "welcome"
                broadcast(server.connections, "for all")
                await tell("ann", "for ann")
                broadcast(users["bob"], "for bob")
                broadcast(topics["news"], "news")
                assert [await ann.recv() for _ in range(3)] == ["for all", "for ann", "news"]
                assert [await bob.recv() for _ in range(3)] == ["for all", "for bob", "news"]
                gone = next(iter(users["ann"]))
                await ann.close()
                await gone.wait_closed()
                users["ann"].add(gone)
                await tell("ann", "too late")
        assert not users["bob"] and not topics["news"]

    run(main())


def test_handlers_take_more_arguments():
    async def handler(websocket, greeting):
        await websocket.send(greeting)

    async def main():
        bound = functools.partial(handler, greeting="hello")
        async with serve(bound, "localhost", 0) as server, connect(at(server)) as websocket:
            assert await websocket.recv() == "hello"

    run(main())


def bless(connection, request, response):
    response.headers["X-Blessing"] = f"for {request.path} with {response.status_code}"


def test_path_headers_and_address_of_a_request():
    def look(connection, request):
        seen.append((request.path, request.headers["Authorization"]))

    async def tell(websocket):
        request, response = websocket.request, websocket.response
        for text in (request.path, request.headers["Authorization"],
                     response.headers["X-Blessing"], websocket.remote_address[0]):
            await websocket.send(text)

    seen = []

    async def main():
        async with serve(tell, "127.0.0.1", 0, process_request=look,
                         process_response=bless) as server:
            async with connect(at(server, "/a?b=c"),
                               additional_headers={"Authorization": "Bearer x"}) as websocket:
                assert [message async for message in websocket] == [
                    "/a?b=c", "Bearer x", "for /a?b=c with 101", "127.0.0.1"]
        assert seen == [("/a?b=c", "Bearer x")]

    run(main())


@pytest.mark.parametrize("header, value", [("mine/1", "mine/1"), (None, None)])
def test_headers_of_the_response(header, value):
    async def later(connection, request, response):
        await asyncio.sleep(0)
        bless(connection, request, response)

    async def main():
        async with serve(echo, "localhost", 0, server_header=header,
                         process_response=later) as server:
            async with connect(at(server)) as websocket:
                assert websocket.response.headers.get("Server") == value
                assert websocket.response.headers["X-Blessing"] == "for / with 101"

    run(main())


def test_the_address_to_listen_at():
    async def main():
        async with serve(echo, host="127.0.0.2", port=0) as server:
            assert server.sockets[0].getsockname()[0] == "127.0.0.2"
            async with connect(at(server)) as websocket:
                assert websocket.remote_address[0] == "127.0.0.2"
        async with serve(echo, "localhost", 0, family=socket.AF_INET) as server:
            assert [listening.family for listening in server.sockets] == [socket.AF_INET]
        for host in ("", None):
            async with serve(echo, host, 0) as server:
                port = server.sockets[0].getsockname()[1]
                async with connect(f"ws://127.0.0.1:{port}") as websocket:
                    (other,) = server.connections
                    assert other.local_address == ("127.0.0.1", port)
                    assert websocket.remote_address == other.local_address
                    assert other.remote_address == websocket.local_address
                    await websocket.send("x")
                    assert await websocket.recv() == "x"
        sock = socket.create_server(("127.0.0.1", 0))
        async with serve(echo, sock=sock) as server:
            assert server.sockets[0].getsockname() == sock.getsockname()
            async with connect(at(server)) as websocket:
                assert websocket.remote_address == sock.getsockname()
        assert sock.fileno() == -1
        with pytest.raises(ValueError, match="or sock"):
            serve(echo, "localhost", 0, sock=sock)
        async with serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
            assert [listening.getsockname()[0] for listening in server.sockets] == [
                "127.0.0.1", "127.0.0.2"]

    run(main())


@pytest.mark.parametrize("how", ["leave", "close", "cancel"])
def test_three_ways_to_stop(how):
    async def serving(started):
        server = await serve(stay, "localhost", 0)
        started.set_result(server)
        await server.serve_forever()

    async def main():
        if how == "leave":
            async with serve(stay, "localhost", 0) as server:
                websocket = await connect(at(server))
        elif how == "close":
            server = await serve(stay, "localhost", 0)
            websocket = await connect(at(server))
            server.close()
            await server.wait_closed()
        else:
            started = asyncio.get_running_loop().create_future()
            task = asyncio.ensure_future(serving(started))
            websocket = await connect(at(await started))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(ConnectionClosedOK, match="1001"):
            await websocket.recv()

    run(main())


STOPPED_BY_A_SIGNAL = """
    import asyncio, functools, signal
    from wsock.asyncio.server import serve

    async def handler(websocket):
        async for message in websocket:
            await websocket.send(message)

    async def main():
        server = await serve(handler, "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, {close})
        print("listening on ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1])
        await server.wait_closed()

    asyncio.run(main())
"""


def test_a_signal_stops_a_server():
    with script(STOPPED_BY_A_SIGNAL.format(close="server.close")) as server:
        with sync_client.connect(server.url()) as websocket:
            server.signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosedOK, match="1001"):
                websocket.recv()
        server.end()


def test_a_signal_stops_a_server_that_keeps_its_connections():
    close = "functools.partial(server.close, close_connections=False)"
    with script(STOPPED_BY_A_SIGNAL.format(close=close)) as server:
        url = server.url()
        with sync_client.connect(url) as websocket:
            websocket.send("there")
            assert websocket.recv() == "there"
            server.signal(signal.SIGTERM)
            while True:
                try:
                    sync_client.connect(url).close()
                except InvalidStatus as refused:  # it was accepted just before
                    assert refused.response.status_code == 503
                except OSError:
                    break
            websocket.send("still")
            assert websocket.recv() == "still" and server.process.poll() is None
        server.end()


def test_a_health_check():
    def by_text(connection, request):
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")

    def by_response(connection, request):
        if request.path == "/healthz":
            return Response(200, "OK", Headers({"Content-Length": "3"}), b"OK\n")

    def get(url):
        with urllib.request.urlopen(url.replace("ws:", "http:")) as answer:
            return answer.status, answer.read()

    async def main(check):
        async with serve(echo, "localhost", 0, process_request=check) as server:
            loop = asyncio.get_running_loop()
            got = await loop.run_in_executor(None, get, at(server, "/healthz"))
            assert got == (200, b"OK\n")
            async with connect(at(server)) as websocket:
                await websocket.send("x")
                assert await websocket.recv() == "x"

    for check in (by_text, by_response):
        run(main(check))
        with running(sync_server.serve(sync_echo, "localhost", 0,
                                       process_request=check)) as server:
            assert get(at(server, "/healthz")) == (200, b"OK\n")


# -- the same answers for threads


def sync_echo(websocket):
    for message in websocket:
        websocket.send(message)


def test_in_threads_a_handler_may_block():
    both = threading.Barrier(2)

    def together(websocket):
        both.wait(20)
        websocket.send(websocket.request.path + " " + websocket.remote_address[0])

    with running(sync_server.serve(together, "127.0.0.1", 0)) as server:
        with sync_client.connect(at(server, "/a")) as one:
            with sync_client.connect(at(server, "/b")) as two:
                assert (one.recv(), two.recv()) == ("/a 127.0.0.1", "/b 127.0.0.1")


def test_in_threads_headers_arguments_and_users():
    users = {}

    def look(connection, request):
        connection.user = request.headers["X-User"]

    def handler(websocket, greeting):
        users[websocket.user] = websocket
        websocket.send(greeting)
        sync_echo(websocket)

    bound = functools.partial(handler, greeting="hello")
    with running(sync_server.serve(bound, "localhost", 0, process_request=look,
                                   process_response=bless, server_header=None)) as server:
        with sync_client.connect(at(server), additional_headers={"X-User": "ann"}) as ann:
            assert ann.recv() == "hello" and "Server" not in ann.response.headers
            assert ann.response.headers["X-Blessing"] == "for / with 101"
            users["ann"].send("for ann")
            sync_server.broadcast(server.connections, "for all")
            assert [ann.recv(), ann.recv()] == ["for ann", "for all"]
            server.shutdown()
            with pytest.raises(ConnectionClosedOK, match="1001"):
                ann.recv()


# -- connections of a class of one's own


class Counting(ServerConnection):
    def __init__(self, *args, start=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.sent = start

    async def send(self, message, text=None):
        self.sent += 1
        await super().send(message, text)


def test_connections_of_a_class_of_ones_own():
    async def handler(websocket):
        async for message in websocket:
            await websocket.send(message)
            await websocket.send(str(websocket.sent))

    async def main():
        create = functools.partial(Counting, start=40)
        async with serve(handler, "localhost", 0, create_connection=create) as server:
            async with connect(at(server)) as websocket:
                await websocket.send("x")
                assert [await websocket.recv() for _ in range(2)] == ["x", "41"]

    run(main())


def test_a_failing_handler_is_told_of_in_the_log(caplog):
    async def lost(websocket):
        await websocket.recv()

    async def main():
        async with serve(lost, "localhost", 0) as server:
            websocket = await connect(at(server))
            websocket._native.reset()
            while not caplog.records:  # else the end of the server comes first
                await asyncio.sleep(0.001)

    with caplog.at_level(logging.ERROR, "wsock.server"):
        run(main())
    failed, = caplog.records
    assert failed.message == "connection handler failed"
    assert str(failed.exc_info[1]) == "no close frame received or sent"
