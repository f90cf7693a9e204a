# SPDX-License-Identifier: MIT
"""wsock.asyncio: receiving, sending, closing, and what goes wrong; with asyncio's loop and
uvloop's. What the documentation of `websockets` shows is in test_docs_*.py."""
import asyncio
import gc
import logging
import socket

import pytest
import uvloop

import wsock
from wsock.asyncio.client import ClientConnection, connect, unix_connect
from wsock.asyncio.server import basic_auth, broadcast, serve, unix_serve
from wsock.datastructures import Headers
from wsock.exceptions import (ConcurrencyError, ConnectionClosed, ConnectionClosedError,
                              ConnectionClosedOK, InvalidStatus, InvalidURI, PayloadTooBig)
from wsock.frames import Close, CloseCode
from wsock.http11 import Response
from wsock.protocol import State


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    runner = asyncio.run if request.param == "asyncio" else uvloop.run

    def run_with_patience(main):
        async def patient():
            return await asyncio.wait_for(main, 20)

        return runner(patient())

    return run_with_patience


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def at(server, path="/"):
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}{path}"


def test_echo_of_all_kinds(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server, connect(at(server)) as ws:
            for message in ("", "ä", b"", b"\0\xff", "x" * 300_000, b"y" * 300_000):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(bytearray(b"array"))
            assert await ws.recv() == b"array"
            await ws.send(b"text", text=True)
            assert await ws.recv() == "text"
            await ws.send("bytes")
            assert await ws.recv(decode=False) == b"bytes"
            await ws.send(b"str")
            assert await ws.recv(decode=True) == "str"
        assert ws.state is State.CLOSED and ws.close_code == 1000 and ws.close_reason == ""

    run(main())


def test_fragments_go_out_and_come_in(run):
    async def tell(connection):
        assert await connection.recv() == "one two three"
        assert await connection.recv() == b"123"
        await connection.send(["ä" * 10, "b" * 10])

        async def slowly():
            yield b"first"
            assert await connection.recv() == "first came"
            yield b"second"

        await connection.send(slowly())
        await connection.send("behind")

    async def main():
        async with serve(tell, "127.0.0.1", 0) as server, connect(at(server)) as ws:
            await ws.send(["one ", "two ", "three"])
            await ws.send([])
            await ws.send(part for part in (b"1", b"2", b"3"))
            assert "".join([part async for part in ws.recv_streaming()]) == "ä" * 10 + "b" * 10
            parts = []
            async for part in ws.recv_streaming():
                parts.append(part)
                if b"".join(parts) == b"first":
                    await ws.send("first came")
            assert b"".join(parts) == b"firstsecond" and len(parts) > 1
            assert await ws.recv() == "behind"

    run(main())


def test_fragments_that_fail_close_with_1011(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            for wrong in (["a", b"b"], ["a", 3]):
                ws = await connect(at(server))
                with pytest.raises(TypeError):
                    await ws.send(wrong)
                await ws.wait_closed()
                assert ws.close_code == 1011

    run(main())


def test_what_cannot_be_sent_is_a_type_error(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server, connect(at(server)) as ws:
            for wrong in ({"a": 1}, None, 3, [1]):
                with pytest.raises(TypeError):
                    await ws.send(wrong)
            await ws.send("still")
            assert await ws.recv() == "still"

    run(main())


def test_iteration_ends_or_raises_by_the_code(run):
    async def close(connection):
        await connection.send("before")
        code = int(connection.request.path[1:])
        await connection.close(code, "because")

    async def main():
        async with serve(close, "127.0.0.1", 0) as server:
            for code in (1000, 1001):
                async with connect(at(server, f"/{code}")) as ws:
                    assert [message async for message in ws] == ["before"]
                with pytest.raises(ConnectionClosedOK) as caught:
                    await ws.recv()
                assert caught.value.rcvd == Close(code, "because")
                assert caught.value.rcvd_then_sent is True
            async with connect(at(server, "/4000")) as ws:
                with pytest.raises(ConnectionClosedError, match="4000 .private use. because"):
                    async for message in ws:
                        assert message == "before"
                assert ws.close_code == 4000 and ws.close_reason == "because"
                with pytest.raises(ConnectionClosedError):
                    await ws.send("late")
                with pytest.raises(ConnectionClosedError):
                    await ws.ping()

    run(main())


def test_cancelled_recv_loses_nothing(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server, connect(at(server)) as ws:
            for i in range(50):
                task = asyncio.ensure_future(ws.recv())
                await asyncio.sleep(0)
                await ws.send(str(i))
                if i % 2:
                    task.cancel()  # the message may be there already
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    assert await ws.recv() == str(i)
                else:
                    assert await task == str(i)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.01)

    run(main())


def test_recv_that_is_cancelled_within_a_message_loses_nothing(run):
    async def main():
        began, go_on = asyncio.Event(), asyncio.Event()

        class Watched(ClientConnection):
            def _on_part(self, *part):
                super()._on_part(*part)
                began.set()

        async def pieces():
            yield "one "
            await go_on.wait()
            yield "two"

        async def send_slowly(connection):
            await connection.send(pieces())

        async with serve(send_slowly, "127.0.0.1", 0) as server:
            async with connect(at(server), create_connection=Watched) as ws:
                task = asyncio.ensure_future(ws.recv())
                await began.wait()
                await asyncio.sleep(0)  # it has seen the first piece
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                go_on.set()
                assert await ws.recv() == "one two"

    run(main())


def test_two_receivers_are_a_concurrency_error(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server, connect(at(server)) as ws:
            first = asyncio.ensure_future(ws.recv())
            await asyncio.sleep(0)
            with pytest.raises(ConcurrencyError):
                await ws.recv()
            with pytest.raises(RuntimeError):
                async for _ in ws.recv_streaming():
                    pass
            await ws.send("x")
            assert await first == "x"

    run(main())


def test_pings(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server, connect(at(server)) as ws:
            assert ws.latency == 0
            first = await ws.ping("same")
            with pytest.raises(ConcurrencyError):
                await ws.ping(b"same")
            second = await ws.ping()
            assert 0 < await second < 20 and 0 < await first < 20
            assert ws.latency > 0
            await ws.pong(b"alive")
            await ws.send("x")
            assert await ws.recv() == "x"

    run(main())


def test_a_pong_that_nobody_asked_for_arrives(run):
    async def main():
        got = asyncio.get_running_loop().create_future()
        async with wsock.asyncio.Server("ws://127.0.0.1:0") as server:
            server.on_pong("/")(lambda conn, data: got.set_result(data))
            server.start()
            async with connect(server.urls[0] + "/") as ws:
                await ws.pong("alive")
                assert await got == b"alive"

    run(main())


def test_a_slow_receiver_holds_memory_and_gets_all(run):
    count = 3000

    async def flood(connection):
        for i in range(count):
            await connection.send(f"{i:1000}")

    async def main():
        paused = asyncio.Event()

        class Watched(ClientConnection):
            def _pause(self):
                super()._pause()
                paused.set()

        async with serve(flood, "127.0.0.1", 0) as server:
            async with connect(at(server), max_queue=4, compression=None,
                               create_connection=Watched) as ws:
                await paused.wait()
                async with connect(at(server), compression=None) as other:
                    for _ in range(count):  # more goes on meanwhile than would fit
                        await other.recv()
                assert len(ws._messages) < 40
                for i in range(count):
                    assert int(await ws.recv()) == i

    run(main())


def test_send_waits_for_a_peer_that_does_not_read(run):
    async def sleep(connection):
        await connection.wait_closed()

    async def main():
        async with serve(sleep, "127.0.0.1", 0, max_queue=1) as server:
            ws = await connect(at(server), compression=None, write_limit=1000,
                               close_timeout=0.2)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(_send_for_ever(ws), 0.5)
            await ws.close()
            assert ws.close_code in (1000, 1006)

    async def _send_for_ever(ws):
        while True:
            await ws.send(b"x" * 100_000)

    run(main())


def test_handlers_that_return_or_fail(run, caplog):
    async def fail(connection):
        if connection.request.path == "/bad":
            raise KeyError("bad")
        await connection.send("fine")

    async def main():
        with caplog.at_level(logging.INFO, "wsock.server"):
            async with serve(fail, "127.0.0.1", 0) as server:
                async with connect(at(server, "/bad")) as ws:
                    await ws.wait_closed()
                    assert ws.close_code == CloseCode.INTERNAL_ERROR
                async with connect(at(server)) as ws:
                    assert [m async for m in ws] == ["fine"]

    run(main())
    told = [(r.levelname, r.message.split(" on ")[0]) for r in caplog.records
            if r.message != "origins are not checked: any web page may connect; pass "
            "origins=[...] to choose which"]
    assert told[0] == ("INFO", "server listening")
    assert ("ERROR", "connection handler failed") in told
    assert told[-1] == ("INFO", "server closed") and ("INFO", "server closing") in told
    assert told.count(("INFO", "connection open")) == 2
    assert told.count(("INFO", "connection closed")) == 2
    failed = next(r for r in caplog.records if r.exc_info)
    assert failed.exc_info[0] is KeyError and failed.websocket.request.path == "/bad"


def test_process_request_and_response(run):
    async def judge(connection, request):
        await asyncio.sleep(0)
        if request.path == "/health":
            return connection.respond(200, "fine\n")
        if request.headers.get("X-Secret") != "open":
            headers = Headers({"X-Why": "secret", "Content-Type": "text/html"})
            return Response(403, "Forbidden", headers, b"<p>no")
        connection.who = request.headers["X-Secret"]

    def bless(connection, request, response):
        response.headers["X-Blessing"] = "yes"

    async def say(connection):
        await connection.send(connection.who)

    async def main():
        async with serve(say, "127.0.0.1", 0, process_request=judge, process_response=bless,
                         server_header="mine") as server:
            async with connect(at(server, "/a?b=1"),
                               additional_headers={"X-Secret": "open"}) as ws:
                assert await ws.recv() == "open"
                assert ws.response.headers["Server"] == "mine"
                assert ws.response.headers["X-Blessing"] == "yes"
            with pytest.raises(InvalidStatus) as caught:
                await connect(at(server))
            assert caught.value.response.status_code == 403
            assert caught.value.response.headers["X-Why"] == "secret"
            assert len(caught.value.response.body) == int(
                caught.value.response.headers["Content-Length"]) > 0
            host, port = server.sockets[0].getsockname()
            head, body = await _get(host, port, "/health")
            assert head.startswith("HTTP/1.1 200") and body == "fine\n"
            assert "X-Blessing: yes" in head
            head, body = await _get(host, port, "/")
            assert head.startswith("HTTP/1.1 403") and body == "<p>no"
            assert "Content-Type: text/html" in head

    run(main())


async def _get(host, port, path):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head, body


def test_failing_process_request_answers_500_and_the_next_is_served(run, caplog):
    def judge(connection, request):
        if request.path == "/bad":
            raise ValueError("bad")

    async def main():
        async with serve(echo, "127.0.0.1", 0, process_request=judge) as server:
            with pytest.raises(InvalidStatus) as caught:
                await connect(at(server, "/bad"))
            assert caught.value.response.status_code == 500
            async with connect(at(server)) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"
            head, _ = await _get(*server.sockets[0].getsockname(), "/")
            assert head.startswith("HTTP/1.1 426")

    run(main())
    assert "opening handshake failed" in caplog.text and "ValueError" in caplog.text


def test_origins_and_subprotocols(run):
    import re

    async def main():
        origins = ["https://a.example", re.compile(r"https://.*\.b\.example"), None]
        async with serve(echo, "127.0.0.1", 0, origins=origins,
                         subprotocols=["two", "one"]) as server:
            for origin in ("https://a.example", "https://x.b.example", None):
                async with connect(at(server), origin=origin,
                                   subprotocols=["one", "two"]) as ws:
                    assert ws.subprotocol == "two"
            with pytest.raises(InvalidStatus) as caught:
                await connect(at(server), origin="https://c.example", subprotocols=["one"])
            assert caught.value.response.status_code == 403
            with pytest.raises(InvalidStatus) as caught:
                await connect(at(server))
            assert caught.value.response.status_code == 400

        async with serve(echo, "127.0.0.1", 0, subprotocols=["a"],
                         select_subprotocol=lambda c, offered: offered[-1]) as server:
            async with connect(at(server), subprotocols=["x", "y"]) as ws:
                assert ws.subprotocol == "y"

    run(main())


@pytest.mark.parametrize("how", [
    {"credentials": ("ann", "secret")},
    {"credentials": [("bob", "x"), ("ann", "secret")]},
    {"check_credentials": lambda user, password: (user, password) == ("ann", "secret")},
])
def test_basic_auth(run, how):
    async def say(connection):
        await connection.send(connection.username)

    async def main():
        async with serve(say, "127.0.0.1", 0,
                         process_request=basic_auth("here", **how)) as server:
            url = at(server)
            async with connect(url.replace("//", "//ann:secret@")) as ws:
                assert await ws.recv() == "ann"
            for wrong in (url, url.replace("//", "//ann:wrong@")):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(wrong)
                assert caught.value.response.status_code == 401

    run(main())


def test_limits_close_with_their_cause(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0, max_size=10) as server:
            async with connect(at(server)) as ws:
                await ws.send("x" * 11)
                await ws.wait_closed()
                assert ws.close_code == CloseCode.MESSAGE_TOO_BIG
        async with serve(echo, "127.0.0.1", 0) as server:
            ws = await connect(at(server), max_size=10)
            await ws.send("x" * 11)
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.sent.code == 1009 and caught.value.rcvd is None
            assert isinstance(caught.value.__cause__, PayloadTooBig)

    run(main())


def test_broadcast_reaches_all_and_waits_for_none(run):
    connections = set()

    async def main():
        joined = asyncio.Semaphore(0)

        async def join(connection):
            connections.add(connection)
            joined.release()
            await connection.wait_closed()

        async with serve(join, "127.0.0.1", 0, write_limit=1000) as server:
            clients = [await connect(at(server)) for _ in range(5)]
            for _ in range(5):
                await joined.acquire()
            assert server.connections == connections
            for i in range(100):
                broadcast(connections, f"{i:1000}")
            broadcast(connections, b"bytes")
            for client in clients:
                for i in range(100):
                    assert int(await client.recv()) == i
                assert await client.recv() == b"bytes"
            await clients[0].close()
            broadcast(connections, "rest")
            assert await clients[1].recv() == "rest"
            for wrong in ({"a": 1}, None):
                with pytest.raises(TypeError):
                    broadcast(connections, wrong)
            for client in clients:
                await client.close()

    run(main())


def test_closing_drops_what_comes_in_parts(run, caplog):
    async def flood(connection):
        for _ in range(8):
            await connection.send(["x" * 100_000] * 10)

    async def stream(ws, heard):
        async for part in ws.recv_streaming():
            heard.append(len(part))
            await asyncio.sleep(0.001)

    async def main(is_streamed):
        async with serve(flood, "127.0.0.1", 0, compression=None) as server:
            async with connect(at(server), max_queue=1, compression=None) as ws:
                heard = []
                streaming = asyncio.ensure_future(stream(ws, heard)) if is_streamed else None
                while is_streamed and not heard:
                    await asyncio.sleep(0)
                await ws.close()
                assert ws.close_code == 1000
            if is_streamed:  # the end may come inside the message
                await asyncio.wait([streaming])
                assert isinstance(streaming.exception(), (ConnectionClosed, type(None)))

    for is_streamed in (False, True):
        run(main(is_streamed))
    assert "a handler failed" not in caplog.text


def test_server_close_tells_clients(run):
    async def main():
        server = await serve(echo, "127.0.0.1", 0)
        ws = await connect(at(server))
        assert server.is_serving()
        server.close(code=1012, reason="back soon")
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (1012, "back soon")
        await server.wait_closed()
        assert not server.is_serving() and server.sockets == ()

        server = await serve(echo, "127.0.0.1", 0)
        url = at(server)
        ws = await connect(url)
        server.close(close_connections=False)
        await asyncio.sleep(0)  # closing begins
        await ws.send("x")  # and is behind the listener's end, at the worker
        assert await ws.recv() == "x"
        with pytest.raises(OSError):
            await connect(url)
        await ws.close()
        await server.wait_closed()

        server = await serve(echo, "127.0.0.1", 0)
        task = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.is_serving()

    run(main())


HELLO = (b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


def test_who_is_there_stays_though_the_loop_has_not_heard_of_it(run):
    def talk(loop, server):
        host, port = server.sockets[0].getsockname()[:2]
        with socket.create_connection((host, port)) as peer, peer.makefile("rb") as heard:
            peer.sendall(HELLO)
            while heard.readline().strip():
                pass
            loop.call_soon_threadsafe(lambda: server.close(close_connections=False))
            peer.sendall(b"\x81\x81\0\0\0\0x")
            return heard.read(3)

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(100):
            server = await serve(echo, "127.0.0.1", 0)
            assert await loop.run_in_executor(None, talk, loop, server) == b"\x81\x01x"
            await server.wait_closed()

    run(main())


def test_failures_of_the_network_are_os_errors(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            url = at(server)
            with pytest.raises(OSError):
                await serve(echo, *server.sockets[0].getsockname())
        with pytest.raises(ConnectionRefusedError):
            await connect(url)
        with pytest.raises(socket.gaierror):
            await connect("ws://nowhere.invalid/")
        for wrong in ("http://localhost/", "ws://", "ws://localhost/#f"):
            with pytest.raises(InvalidURI):
                connect(wrong)
        silent = socket.create_server(("127.0.0.1", 0))
        with pytest.raises(TimeoutError):
            await connect("ws://127.0.0.1:%d" % silent.getsockname()[1], open_timeout=0.1)
        silent.close()

    run(main())


def test_a_client_that_reconnects(run, caplog):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
        opened = 0
        delays = []

        def quickly():
            for delay in (0.01, 0.02, 0.03):
                delays.append(delay)
                yield delay

        with caplog.at_level(logging.INFO, "wsock.client"):
            with pytest.raises(ConnectionRefusedError):
                async for ws in connect("ws://%s:%d" % address, reconnect_delays=quickly):
                    raise AssertionError("nobody is there")
        assert delays == [0.01, 0.02, 0.03]
        assert "connect failed; reconnecting in 0.0 seconds" in caplog.text

        async def hang_up(connection):
            pass

        async with serve(hang_up, *address) as server:
            async for ws in connect(at(server)):
                opened += 1
                try:
                    await ws.recv()
                except ConnectionClosed:
                    if opened < 3:
                        continue
                    break
        assert opened == 3

    run(main())


def test_unix_sockets(run, tmp_path):
    async def main():
        path = tmp_path / "s"
        async with unix_serve(echo, path), unix_connect(path, "ws://h/a?b") as ws:
            await ws.send("x")
            assert await ws.recv() == "x"

    run(main())


def test_routes_by_path(run):
    async def room(connection):
        await connection.send("room")

    async def main():
        handlers = {"/rooms/{id}": room, "/echo": echo}
        async with serve(handlers=handlers, host="127.0.0.1", port=0) as server:
            async with connect(at(server, "/rooms/1")) as ws:
                assert await ws.recv() == "room"
            with pytest.raises(InvalidStatus) as caught:
                await connect(at(server, "/none"))
            assert caught.value.response.status_code == 404

    run(main())


def test_wrong_arguments_say_what_is_right():
    import ssl

    with pytest.raises(TypeError, match="did you mean 'max_size'"):
        serve(echo, "localhost", 0, max_siz=3)
    with pytest.raises(TypeError, match="did you mean 'ping_interval'"):
        connect("ws://localhost", ping_intervall=3)
    with pytest.raises(TypeError, match="additional_headers"):
        connect("ws://localhost", extra_headers={})
    with pytest.raises(TypeError, match=r"ssl=wsock.TLS\(cert="):
        serve(echo, ssl=ssl.create_default_context())
    with pytest.raises(TypeError, match=r"ssl=wsock.TLS\(ca="):
        connect("wss://localhost", ssl=ssl.create_default_context())
    with pytest.raises(TypeError, match=r"subprotocols"):
        connect("ws://localhost", subprotocols="chat")
    with pytest.raises(ValueError):
        connect("ws://localhost", compression="bzip2")


def test_interrupt_comes_out_of_run(run, caplog):
    async def interrupted(connection):
        raise KeyboardInterrupt

    async def main():
        async with serve(interrupted, "127.0.0.1", 0) as server:
            await connect(at(server))
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        run(main())
    gc.collect()
    assert not caplog.records, caplog.text  # none was destroyed, or never retrieved


@pytest.mark.parametrize("compression", ["deflate", None])
def test_both_ways_with_the_other_package(run, compression):
    import websockets.asyncio.client
    import websockets.asyncio.server

    async def talk(ws):
        for message in ("ä" * 1000, b"\0" * 1000, "x" * 200_000, ""):
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(["a" * 400, "b" * 400])
        assert await ws.recv() == "a" * 400 + "b" * 400
        await (await ws.ping())
        await ws.close(4001, "enough")
        assert ws.close_code == 4001

    async def main():
        async with serve(echo, "127.0.0.1", 0, compression=compression) as server:
            async with websockets.asyncio.client.connect(at(server)) as ws:
                await talk(ws)
        async with websockets.asyncio.server.serve(
                _other_echo, "127.0.0.1", 0, compression=compression) as server:
            async with connect(at(server)) as ws:
                await talk(ws)

    async def _other_echo(ws):
        try:
            async for message in ws:
                await ws.send(message)
        except Exception:
            pass

    run(main())


def test_tls_by_its_settings(run, certificate):
    import ssl

    async def main():
        tls = wsock.TLS(cert=certificate)
        async with serve(echo, "127.0.0.1", 0, ssl=tls) as server:
            url = at(server).replace("ws:", "wss:")
            trusting = wsock.TLS(ca=certificate)
            for arguments in ({"ssl": trusting, "server_hostname": "localhost"},
                              {"ssl": wsock.TLS(verify=False)}):
                async with connect(url, **arguments) as ws:
                    await ws.send("x")
                    assert await ws.recv() == "x"
            named = url.replace("127.0.0.1", "localhost")
            async with connect(named, ssl=trusting, host="127.0.0.1") as ws:
                assert ws.state is State.OPEN
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(named, ssl=True)

    run(main())


def test_connections_leave_nothing_behind(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            url = at(server)

            async def once():
                async with connect(url) as ws:
                    await ws.send("x")
                    await ws.recv()

            async def objects():
                for _ in range(8):
                    await asyncio.gather(*(once() for _ in range(50)))
                while server._tasks:
                    await asyncio.wait(set(server._tasks))
                gc.collect()
                return len(gc.get_objects())

            # The loop fills pools of its own, of some 200 objects, in one round and empties them
            # in another, at times in turns; one object that each connection leaves behind is
            # 400 more in every round, so 1,200 between these halves.
            counts = [await objects() for _ in range(6)]
            assert min(counts[3:]) - min(counts[:3]) <= 300, counts
            assert not server.connections

    run(main())
