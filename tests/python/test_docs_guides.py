# SPDX-License-Identifier: MIT
"""The other guides of `websockets`: patterns of handlers, ways to broadcast, routing, messages
in fragments, compression, proxies, and what happens to tokens of a web framework's users."""
import asyncio
import json
import socket
import threading

import pytest

from programs import PATIENCE, at, run, running
from wsock.asyncio.client import connect
from wsock.asyncio.server import broadcast, serve
from wsock.exceptions import ConnectionClosed, ConnectionClosedOK, ProxyError
from wsock.sync import client as sync_client
from wsock.sync import server as sync_server


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


# -- patterns


def test_a_consumer_and_a_producer():
    consumed, produced = [], []

    async def consume(websocket):
        async for message in websocket:
            consumed.append(message)

    async def produce(websocket):
        number = 0
        while True:
            try:
                await websocket.send(str(number))
                await asyncio.sleep(0.001)
            except ConnectionClosed:
                break
            number += 1
        produced.append(number)

    async def both(websocket):
        await asyncio.gather(consume(websocket), produce(websocket))

    async def whichever_ends(websocket):
        tasks = [asyncio.ensure_future(consume(websocket)),
                 asyncio.ensure_future(produce(websocket))]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()

    async def main(handler):
        async with serve(handler, "localhost", 0) as server:
            async with connect(at(server)) as websocket:
                assert [await websocket.recv() for _ in range(3)] == ["0", "1", "2"]
                await websocket.send("a")
                await websocket.send("b")

    run(main(both))
    assert consumed == ["a", "b"] and produced[0] >= 2
    run(main(whichever_ends))
    assert consumed == ["a", "b"] * 2


def test_many_workers_consume_what_one_connection_brings():
    done = []

    async def work(queue):
        while True:
            message = await queue.get()
            await asyncio.sleep(0.01)
            done.append(message)
            queue.task_done()

    async def handler(websocket):
        queue = asyncio.Queue()
        workers = [asyncio.ensure_future(work(queue)) for _ in range(8)]
        try:
            async for message in websocket:
                await queue.put(message)
        finally:
            await queue.join()
            for worker in workers:
                worker.cancel()

    async def main():
        async with serve(handler, "localhost", 0) as server:
            async with connect(at(server)) as websocket:
                for number in range(40):
                    await websocket.send(str(number))
        assert sorted(done, key=int) == [str(number) for number in range(40)]

    run(main())


# -- ways to broadcast


class Naive:
    """Sends to one after the other."""

    def __init__(self):
        self.clients = set()

    async def handler(self, websocket):
        self.clients.add(websocket)
        try:
            await websocket.wait_closed()
        finally:
            self.clients.remove(websocket)

    async def broadcast(self, message):
        for websocket in self.clients.copy():
            try:
                await websocket.send(message)
            except ConnectionClosed:
                pass


class Concurrent(Naive):
    """Has a task for each."""

    async def send(self, websocket, message):
        try:
            await websocket.send(message)
        except ConnectionClosed:
            pass

    async def broadcast(self, message):
        for websocket in self.clients:
            asyncio.ensure_future(self.send(websocket, message))


class BuiltIn(Naive):
    """Is what comes with the package."""

    async def broadcast(self, message):
        broadcast(self.clients, message)


class Queues(Naive):
    """Has a queue for each client."""

    async def relay(self, queue, websocket):
        while True:
            await websocket.send(await queue.get())

    async def handler(self, websocket):
        queue = asyncio.Queue()
        relay = asyncio.ensure_future(self.relay(queue, websocket))
        self.clients.add(queue)
        try:
            await websocket.wait_closed()
        finally:
            self.clients.remove(queue)
            relay.cancel()

    async def broadcast(self, message):
        for queue in self.clients:
            queue.put_nowait(message)


class Stream(Naive):
    """A list of futures, which each client goes along at its own pace."""

    def __init__(self):
        super().__init__()
        self.next = asyncio.get_running_loop().create_future()

    async def values(self):
        here = self.next
        while True:
            value, here = await asyncio.shield(here)
            yield value

    async def handler(self, websocket):
        self.clients.add(websocket)
        async for value in self.values():
            try:
                await websocket.send(value)
            except ConnectionClosed:
                break
        self.clients.remove(websocket)

    async def broadcast(self, message):
        now, self.next = self.next, asyncio.get_running_loop().create_future()
        now.set_result((message, self.next))


@pytest.mark.parametrize("way", [Naive, Concurrent, BuiltIn, Queues, Stream])
def test_ways_to_broadcast(way):
    async def main():
        hub = way()
        async with serve(hub.handler, "localhost", 0) as server:
            clients = [await connect(at(server)) for _ in range(10)]
            while len(hub.clients) < 10:
                await asyncio.sleep(0.001)
            for number in range(20):
                await hub.broadcast(str(number))
            for client in clients:
                assert [await client.recv() for _ in range(20)] == [
                    str(number) for number in range(20)]
            await clients.pop().close()
            await hub.broadcast("rest")
            for client in clients:
                assert await client.recv() == "rest"
                await client.close()
            await hub.broadcast("nobody hears")

    run(main())


# -- routing


async def blue(websocket):
    await websocket.send("as the sky")


async def green(websocket):
    await websocket.send("as the grass")


COLOURS = {"blue": blue, "green": green}


def test_routing_by_the_path_and_by_the_first_message():
    async def by_path(websocket):
        handler = COLOURS.get(websocket.request.path[1:])
        if handler is not None:
            await handler(websocket)

    async def by_message(websocket):
        handler = COLOURS.get(json.loads(await websocket.recv())["colour"])
        if handler is not None:
            await handler(websocket)

    async def main():
        for routing in (by_path, by_message):
            async with serve(routing, "localhost", 0) as server:
                for colour, told in (("blue", ["as the sky"]), ("green", ["as the grass"]),
                                     ("red", [])):
                    async with connect(at(server, f"/{colour}")) as websocket:
                        if routing is by_message:
                            await websocket.send(json.dumps({"colour": colour}))
                        assert [message async for message in websocket] == told
                        assert websocket.close_code == 1000

    run(main())


# -- fragments


TEXTS, BYTES = ["Grüße ", "aus ", "Köln"], [b"\0\1", b"\2"]


def test_messages_in_fragments():
    async def in_pieces(websocket):
        for _ in range(2):
            pieces = [piece async for piece in websocket.recv_streaming()]
            await websocket.send(pieces)
        await websocket.send(slowly())

    async def slowly():
        for piece in TEXTS:
            yield piece
            await asyncio.sleep(0.01)

    async def main():
        async with serve(in_pieces, "localhost", 0) as server:
            async with connect(at(server)) as websocket:
                await websocket.send(TEXTS)
                assert await websocket.recv() == "".join(TEXTS)
                await websocket.send(iter(BYTES))
                assert [piece async for piece in websocket.recv_streaming()][0][:1] == b"\0"
                heard = [piece async for piece in websocket.recv_streaming()]
                assert "".join(heard) == "".join(TEXTS) and len(heard) >= 2
                with pytest.raises(ConnectionClosedOK):
                    async for _ in websocket.recv_streaming():
                        pass

    run(main())


def test_messages_in_fragments_in_threads():
    def in_pieces(websocket):
        for _ in range(2):
            websocket.send(list(websocket.recv_streaming()))

    with running(sync_server.serve(in_pieces, "localhost", 0)) as server:
        with sync_client.connect(at(server)) as websocket:
            websocket.send(TEXTS)
            assert websocket.recv() == "".join(TEXTS)
            websocket.send(piece for piece in BYTES)
            assert b"".join(websocket.recv_streaming()) == b"".join(BYTES)


def test_a_kind_that_is_forced():
    async def main():
        async with serve(echo, "localhost", 0) as server, connect(at(server)) as websocket:
            await websocket.send(b"bytes", text=True)
            assert await websocket.recv() == "bytes"
            await websocket.send("text", text=False)
            assert await websocket.recv() == b"text"
            await websocket.send("text")
            assert await websocket.recv(decode=False) == b"text"
            await websocket.send([b"in ", b"pieces"], text=True)
            assert "".join([piece async for piece in websocket.recv_streaming()]) == "in pieces"

    run(main())


# -- compression


@pytest.mark.parametrize("compression", ["deflate", None])
def test_compression_is_agreed_on_or_not(compression):
    async def main():
        async with serve(echo, "localhost", 0) as server:
            async with connect(at(server), compression=compression) as websocket:
                agreed = websocket.response.headers.get("Sec-WebSocket-Extensions", "")
                assert agreed.startswith("permessage-deflate") is (compression is not None)
                await websocket.send("x" * 10000)
                assert await websocket.recv() == "x" * 10000

    run(main())


# -- proxies


class Proxy:
    """Answers CONNECT, and passes on what comes behind; with `status` it refuses."""

    def __init__(self, status=b"200 OK"):
        self.asked = []
        self._status = status
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = "http://ann:secret@127.0.0.1:%d" % self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.asked.append(head.decode())
        client.sendall(b"HTTP/1.1 " + self._status + b"\r\n\r\n")
        if self._status.startswith(b"200"):
            host, _, port = head.split()[1].decode().rpartition(":")
            server = socket.create_connection((host.strip("[]"), int(port)))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()
        else:
            client.close()

    @staticmethod
    def _pass_on(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def test_through_a_proxy_of_the_environment_or_of_the_argument(monkeypatch):
    for name in ("ws_proxy", "http_proxy", "https_proxy", "socks_proxy", "all_proxy",
                 "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    proxy, refusing = Proxy(), Proxy(b"403 Forbidden")

    async def talk(uri, **arguments):
        async with connect(uri, **arguments) as websocket:
            await websocket.send("x")
            assert await websocket.recv() == "x"
        return len(proxy.asked)

    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert await talk(at(server)) == 0
            assert await talk(at(server), proxy=proxy.url) == 1
            assert proxy.asked[0].startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")
            assert "Basic YW5uOnNlY3JldA==" in proxy.asked[0]
            monkeypatch.setenv("http_proxy", proxy.url)
            assert await talk(at(server)) == 2
            monkeypatch.setenv("https_proxy", proxy.url)
            monkeypatch.setenv("http_proxy", refusing.url)
            assert await talk(at(server)) == 3
            monkeypatch.setenv("ws_proxy", proxy.url)
            monkeypatch.setenv("https_proxy", refusing.url)
            assert await talk(at(server)) == 4
            assert await talk(at(server), proxy=None) == 4
            monkeypatch.delenv("ws_proxy")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert await talk(at(server)) == 4
            with pytest.raises(ProxyError, match="403"):
                await talk(at(server), proxy=refusing.url)
            loop = asyncio.get_running_loop()
            with pytest.raises(ProxyError, match="403"):
                await loop.run_in_executor(
                    None, lambda: sync_client.connect(at(server), proxy=refusing.url))

    run(main())
    proxy.close()
    refusing.close()


# -- beside a web framework


def test_a_framework_checks_tokens_and_an_event_stream_reaches_who_may_see():
    """What reads a database blocks, and is done in a thread; events come from elsewhere."""
    rights = {"token 1": {1, 2}, "token 2": {2}}
    connections = {}

    async def handler(websocket):
        loop = asyncio.get_running_loop()
        seen = await loop.run_in_executor(None, rights.get, await websocket.recv())
        if seen is None:
            await websocket.close(1011, "authentication failed")
            return
        connections[websocket] = seen
        try:
            await websocket.send("ready")
            await websocket.wait_closed()
        finally:
            del connections[websocket]

    async def pass_on(events):
        while True:
            event = await events.get()
            about = json.loads(event)["about"]
            broadcast((websocket for websocket, seen in connections.items() if about in seen),
                      event)

    async def enter(uri, token):
        websocket = await connect(uri)
        await websocket.send(token)
        assert await websocket.recv() == "ready"
        return websocket

    async def main():
        async with serve(handler, "localhost", 0) as server:
            events = asyncio.Queue()
            passing = asyncio.ensure_future(pass_on(events))
            one, two = await enter(at(server), "token 1"), await enter(at(server), "token 2")
            for about in (1, 2):
                await events.put(json.dumps({"about": about}))
            assert [await one.recv(), await one.recv()] == ['{"about": 1}', '{"about": 2}']
            assert await two.recv() == '{"about": 2}'
            with pytest.raises(ConnectionClosed, match="authentication failed"):
                await asyncio.wait_for(enter(at(server), "token 3"), PATIENCE)
            await one.close()
            await two.close()
            passing.cancel()
        assert not connections

    run(main())
