# SPDX-License-Identifier: MIT
"""The questions that the documentation of `websockets` answers about clients, about both ends,
about asyncio, and the rest."""
import asyncio
import base64
import functools
import hashlib
import signal
import socket
import sys
import threading

import pytest

import wsock
from programs import PATIENCE, at, run, running, script
from wsock.asyncio.client import ClientConnection, connect
from wsock.asyncio.server import serve
from wsock.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from wsock.sync import client as sync_client
from wsock.sync import server as sync_server


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


def sync_echo(websocket):
    for message in websocket:
        websocket.send(message)


# -- clients


def test_a_connection_lasts_as_long_as_its_block():
    async def work(websocket):
        await websocket.send("x")
        return await websocket.recv()

    async def main():
        async with serve(echo, "localhost", 0) as server:
            async with connect(at(server)) as websocket:
                task = asyncio.ensure_future(work(websocket))
            with pytest.raises(ConnectionClosedOK):
                await task
            async with connect(at(server)) as websocket:
                assert await work(websocket) == "x"
            assert websocket.close_code == 1000

    run(main())


async def tell_headers(websocket):
    for name in ("Origin", "User-Agent", "Authorization", "Sec-WebSocket-Protocol"):
        await websocket.send(str(websocket.request.headers.get(name)))


CHOSEN = {"origin": "https://a.example", "user_agent_header": "mine/1",
          "additional_headers": {"Authorization": "Bearer x"}, "subprotocols": ["two", "one"]}


def test_headers_of_request_and_response():
    async def main():
        async with serve(tell_headers, "localhost", 0, subprotocols=["one"]) as server:
            async with connect(at(server, "/p"), **CHOSEN) as websocket:
                assert [message async for message in websocket] == [
                    "https://a.example", "mine/1", "Bearer x", "two, one"]
                assert websocket.request.path == "/p"
                assert websocket.request.headers["Authorization"] == "Bearer x"
                assert websocket.response.headers["Sec-WebSocket-Protocol"] == "one"
                assert websocket.response.status_code == 101
                assert websocket.subprotocol == "one"
        async with serve(tell_headers, "localhost", 0) as server:
            async with connect(at(server), user_agent_header=None) as websocket:
                assert [message async for message in websocket] == ["None"] * 4
            async with connect(at(server)) as websocket:
                await websocket.recv()
                assert (await websocket.recv()).endswith(f"wsock/{wsock.__version__}")

    run(main())


def test_the_address_to_connect_to():
    async def tell(websocket):
        await websocket.send(websocket.request.headers["Host"])

    async def main():
        async with serve(tell, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            uri = f"ws://elsewhere.example:{port}/"
            async with connect(uri, host="127.0.0.1") as websocket:
                assert await websocket.recv() == f"elsewhere.example:{port}"

    run(main())


def test_reconnecting():
    async def three_words(websocket):
        for word in ("one", "two", "three"):
            await websocket.send(word)
        await websocket.close(1012, "back soon")

    async def main():
        heard = []
        async with serve(three_words, "localhost", 0) as server:
            async for websocket in connect(at(server)):
                try:
                    async for message in websocket:
                        heard.append(message)
                        if len(heard) == 7:
                            return heard
                except ConnectionClosed:
                    continue

    assert run(main()) == ["one", "two", "three"] * 2 + ["one"]


def test_an_error_breaks_out_of_reconnecting():
    async def main():
        async with serve(echo, "localhost", 0) as server:
            async for websocket in connect(at(server)):
                raise LookupError("mine")

    with pytest.raises(LookupError):
        run(main())


STOPPED_BY_A_SIGNAL = """
    import asyncio, signal, sys
    from wsock.asyncio.client import connect

    async def main():
        async with connect(sys.argv[1]) as websocket:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(
                signal.SIGTERM, lambda: loop.create_task(websocket.close()))
            async for message in websocket:
                print(message)

    sys.argv = ["", {uri!r}]
    asyncio.run(main())
"""


def test_a_signal_stops_a_client():
    def talk(websocket):
        websocket.send("message 1")
        codes.append(websocket.wait_closed() or websocket.close_code)

    codes = []
    with running(sync_server.serve(talk, "localhost", 0)) as server:
        with script(STOPPED_BY_A_SIGNAL.format(uri=at(server))) as client:
            client.until("message 1\n")
            client.signal(signal.SIGTERM)
            assert client.end() == ""
    assert codes == [1000]


def test_no_certificate_is_verified(certificate):
    tls = wsock.TLS(cert=certificate)

    async def main():
        async with serve(echo, "127.0.0.1", 0, ssl=tls) as server:
            uri = at(server).replace("ws:", "wss:")
            async with connect(uri, ssl=wsock.TLS(verify=False)) as websocket:
                await websocket.send("x")
                assert await websocket.recv() == "x"

    run(main())


# -- both ends


class Silent:
    """A server that opens connections and then says nothing: no pong, no close."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "ws://127.0.0.1:%d/" % self.socket.getsockname()[1]
        self.peers = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        peer, _ = self.socket.accept()
        self.peers.append(peer)  # before a client can have its answer
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(4096)
        key = next(line.split(b": ")[1] for line in head.split(b"\r\n")
                   if line.lower().startswith(b"sec-websocket-key"))
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                     + base64.b64encode(hashlib.sha1(key + guid).digest()) + b"\r\n\r\n")

    def close(self):
        for peer in self.peers:
            peer.close()
        self.socket.close()


@pytest.fixture
def silent():
    made = Silent()
    yield made
    made.close()


def test_a_connection_that_is_lost(silent):
    async def main():
        async with connect(silent.url) as websocket:
            silent.close()
            with pytest.raises(ConnectionClosedError) as caught:
                await websocket.recv()
        assert str(caught.value) == "no close frame received or sent"
        assert websocket.close_code == 1006

    run(main())


KEEPALIVE = "sent 1011 (internal error) keepalive ping timeout; no close frame received"


def test_a_peer_that_does_not_answer_pings(silent):
    async def main():
        async with connect(silent.url, ping_interval=0.1, ping_timeout=0.1) as websocket:
            with pytest.raises(ConnectionClosedError) as caught:
                await websocket.recv()
        assert str(caught.value) == KEEPALIVE

    run(main())


def test_a_peer_that_does_not_answer_pings_in_threads(silent):
    with sync_client.connect(silent.url, ping_interval=0.1, ping_timeout=0.1) as websocket:
        with pytest.raises(ConnectionClosedError) as caught:
            websocket.recv()
    assert str(caught.value) == KEEPALIVE


def test_without_a_timeout_pings_are_not_missed(silent):
    async def main():
        async with connect(silent.url, ping_interval=0.05, ping_timeout=None,
                           close_timeout=0.1) as websocket:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(websocket.recv(), 0.4)
            assert websocket.close_code is None

    run(main())


def test_receiving_in_time():
    async def main():
        async with serve(echo, "localhost", 0) as server, connect(at(server)) as websocket:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(websocket.recv(), 0.01)
            if sys.version_info >= (3, 11):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await websocket.recv()
            await websocket.send("x")
            assert await websocket.recv() == "x"

    run(main())
    with running(sync_server.serve(sync_echo, "localhost", 0)) as server:
        with sync_client.connect(at(server)) as websocket:
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.01)
            websocket.send("x")
            assert websocket.recv(timeout=PATIENCE) == "x"


def test_opening_in_time():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = "ws://127.0.0.1:%d/" % deaf.getsockname()[1]
        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            sync_client.connect(uri, open_timeout=0.05)

        async def main():
            async with connect(uri, open_timeout=0.05):
                raise AssertionError("it does not open")

        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            run(main())


def test_pings_keep_idle_connections_and_measure_them():
    async def main():
        async with serve(echo, "localhost", 0, ping_interval=0.05) as server:
            async with connect(at(server), ping_interval=None) as websocket:
                connection, = server.connections
                while not connection.latency:
                    await asyncio.sleep(0.01)
                assert 0 < connection.latency < PATIENCE and websocket.latency == 0
                assert 0 < await (await websocket.ping()) < PATIENCE
                assert websocket.latency > 0

    run(main())


def test_a_heartbeat_of_the_applications():
    async def beat(websocket):
        for number in range(3):
            await asyncio.sleep(0.01)
            try:
                await websocket.send(f"beat {number}")
            except ConnectionClosed:
                break

    async def main():
        async with serve(echo, "localhost", 0) as server, connect(at(server)) as websocket:
            task = asyncio.ensure_future(beat(websocket))
            try:
                assert [await websocket.recv() for _ in range(3)] == [
                    "beat 0", "beat 1", "beat 2"]
            finally:
                task.cancel()

    run(main())


def test_clients_of_a_class_of_ones_own():
    class Named(ClientConnection):
        def __init__(self, *args, name="?", **kwargs):
            super().__init__(*args, **kwargs)
            self.name = name

    async def main():
        async with serve(echo, "localhost", 0) as server:
            create = functools.partial(Named, name="ann")
            async with connect(at(server), create_connection=create) as websocket:
                assert isinstance(websocket, Named) and websocket.name == "ann"
                await websocket.send(websocket.name)
                assert await websocket.recv() == "ann"

    run(main())


# -- asyncio, and the rest


def test_two_coroutines_share_a_connection():
    async def main():
        async def send():
            for number in range(5):
                await websocket.send(str(number))
                await asyncio.sleep(0)

        async def receive():
            return [await websocket.recv() for _ in range(5)]

        async with serve(echo, "localhost", 0) as server, connect(at(server)) as websocket:
            _, received = await asyncio.gather(send(), receive())
            assert received == list("01234")

    run(main())


def test_what_blocks_goes_to_a_thread():
    async def handler(websocket):
        async for message in websocket:
            loop = asyncio.get_running_loop()
            await websocket.send(await loop.run_in_executor(None, blocking, message))

    def blocking(message):
        may_end.wait(PATIENCE)
        return message.upper()

    may_end = threading.Event()

    async def main():
        async with serve(handler, "localhost", 0) as server:
            async with connect(at(server)) as one, connect(at(server)) as two:
                await one.send("a")
                await two.send("b")
                await (await two.ping())
                may_end.set()
                assert [await one.recv(), await two.recv()] == ["A", "B"]

    run(main())


def test_what_a_benchmark_turns_off():
    fair = {"compression": None, "ping_interval": None, "max_size": None}
    big = bytes(3 * 2**20)

    async def main():
        async with serve(echo, "localhost", 0, **fair) as server:
            async with connect(at(server), **fair) as websocket:
                assert "Sec-WebSocket-Extensions" not in websocket.response.headers
                await websocket.send(big)
                assert await websocket.recv() == big

    run(main())
