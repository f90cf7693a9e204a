# SPDX-License-Identifier: MIT
"""wsock.sync: servers and clients in threads."""
import logging
import socket
import threading

import pytest

import wsock
from programs import at, running
from wsock.exceptions import (ConcurrencyError, ConnectionClosedError, ConnectionClosedOK,
                              InvalidStatus)
from wsock.protocol import State
from wsock.sync.client import ClientConnection, connect, unix_connect
from wsock.sync.server import basic_auth, broadcast, serve, unix_serve


def echo(connection):
    for message in connection:
        connection.send(message)


def test_echo_of_all_kinds():
    with running(serve(echo, "127.0.0.1", 0)) as server, connect(at(server)) as ws:
        for message in ("", "ä", b"\0\xff", "x" * 300_000):
            ws.send(message)
            assert ws.recv(20) == message
        ws.send(["a", "b"])
        assert "".join(ws.recv_streaming()) == "ab"
        ws.send(b"text", text=True)
        assert ws.recv(decode=False) == b"text"
        for wrong in ({"a": 1}, 3, None):
            with pytest.raises(TypeError):
                ws.send(wrong)
        with pytest.raises(TimeoutError):
            ws.recv(0.01)
        with pytest.raises(TimeoutError):
            ws.recv(0)
        assert ws.ping().wait(20) and ws.latency > 0
        ws.pong()


def test_a_socket_that_is_given():
    sock = socket.create_server(("127.0.0.1", 0))
    where = sock.getsockname()
    with running(serve(echo, sock=sock)) as server, connect(at(server)) as ws:
        assert server.socket.getsockname() == where == ws.remote_address
        ws.send("x")
        assert ws.recv() == "x"
    assert sock.fileno() == -1


def test_ends_are_told():
    def close(connection):
        connection.send("before")
        if connection.request.path != "/":
            connection.close(4000, "because")

    with running(serve(close, "127.0.0.1", 0)) as server:
        with connect(at(server)) as ws:
            assert list(ws) == ["before"]
            with pytest.raises(ConnectionClosedOK):
                ws.recv()
        with connect(at(server, "/x")) as ws:
            assert ws.recv() == "before"
            with pytest.raises(ConnectionClosedError):
                ws.recv()
            with pytest.raises(ConnectionClosedError):
                ws.send("late")
            assert (ws.close_code, ws.close_reason) == (4000, "because")


def test_one_thread_receives_at_a_time():
    began = threading.Event()

    class Watched(ClientConnection):
        def _start_receiving(self, call):
            super()._start_receiving(call)
            began.set()

    with running(serve(echo, "127.0.0.1", 0)) as server, \
            connect(at(server), create_connection=Watched) as ws:
        got = []
        thread = threading.Thread(target=lambda: got.append(ws.recv()))
        thread.start()
        assert began.wait(20)
        with pytest.raises(ConcurrencyError):
            ws.recv()
        ws.send("x")
        thread.join()
        assert got == ["x"]


def test_a_slow_receiver_gets_all():
    count = 2000

    def flood(connection):
        for i in range(count):
            connection.send(f"{i:1000}")
        connection.wait_closed()  # not until the receiver has them all

    with running(serve(flood, "127.0.0.1", 0)) as server:
        with connect(at(server), max_queue=4, compression=None) as ws:
            for i in range(count):
                assert int(ws.recv(20)) == i
                # Five have it pause; four more waited already, one was being put there.
                assert len(ws._messages) <= 10


def test_the_peer_may_have_closed_when_a_receiver_is_full(world, caplog):
    gone, full, ends = threading.Event(), threading.Event(), []

    class Late(ClientConnection):
        def _on_message(self, message):
            assert message != "4" or gone.wait(20)
            super()._on_message(message)
            if message == "4":
                full.set()

    def tell(conn):
        for i in range(5):
            conn.send(str(i))
        conn.close()

    world.server.endpoint("/", on_open=tell, on_close=lambda conn, info: ends.append(info))
    world.server.start()
    with connect(world.url, max_queue=4, create_connection=Late) as ws:
        world.until(lambda: ends)
        gone.set()
        assert full.wait(20)
        assert list(ws) == ["0", "1", "2", "3", "4"]
    assert "failed" not in caplog.text


def test_handlers_that_fail_and_requests_that_are_refused(caplog):
    def judge(connection, request):
        if request.path == "/health":
            return connection.respond(200, "fine\n")
        if request.path == "/bad":
            raise ValueError("bad")

    def fail(connection):
        if connection.request.path == "/fail":
            raise KeyError("fail")
        echo(connection)

    with running(serve(fail, "127.0.0.1", 0, process_request=judge)) as server:
        with connect(at(server, "/fail")) as ws:
            with pytest.raises(ConnectionClosedError, match="1011"):
                ws.recv()
        with pytest.raises(InvalidStatus) as caught:
            connect(at(server, "/bad"))
        assert caught.value.response.status_code == 500
        with connect(at(server)) as ws:
            ws.send("still")
            assert ws.recv() == "still"
    assert "connection handler failed" in caplog.text and "KeyError" in caplog.text
    assert "opening handshake failed" in caplog.text and "ValueError" in caplog.text


def test_basic_auth_and_broadcast():
    joined = set()

    def join(connection):
        joined.add(connection)
        connection.send(connection.username)
        echo(connection)

    auth = basic_auth(credentials=("ann", "secret"))
    with running(serve(join, "127.0.0.1", 0, process_request=auth)) as server:
        url = at(server).replace("//", "//ann:secret@")
        with pytest.raises(InvalidStatus):
            connect(at(server))
        with connect(url) as one, connect(url) as two:
            assert one.recv() == two.recv() == "ann"
            broadcast(joined, "all")
            assert one.recv() == two.recv() == "all"
            assert server.connections == joined


def test_unix_sockets_and_wrong_arguments(tmp_path):
    path = tmp_path / "s"
    with running(unix_serve(echo, path)), unix_connect(path) as ws:
        ws.send("x")
        assert ws.recv() == "x"
    with pytest.raises(TypeError, match="did you mean 'max_size'"):
        connect("ws://localhost", max_siz=1)
    with pytest.raises(ValueError, match="legacy"):
        connect("ws://localhost", legacy=False)
    with pytest.raises(OSError):
        connect("ws://127.0.0.1:1/", legacy=True)


def test_shutdown_says_what_happens(caplog):
    with caplog.at_level(logging.INFO, "wsock.server"):
        with running(serve(echo, "127.0.0.1", 0)) as server:
            ws = connect(at(server))
            server.shutdown(1012, "back soon")
            with pytest.raises(ConnectionClosedError, match="1012"):
                ws.recv()
    told = [r.message for r in caplog.records if r.levelname == "INFO"]
    assert "server closing" in told and "connection open" in told


def test_a_close_frame_is_heard_behind_what_nobody_receives():
    sent = threading.Event()

    def flood(connection):
        if connection.request.path == "/echo":
            return echo(connection)
        for i in range(100):
            connection.send(str(i))
        connection._close_soon(4000, "done")
        sent.set()
        connection.wait_closed()

    with running(serve(flood, "127.0.0.1", 0)) as server:
        with connect(at(server), max_queue=2) as ws, connect(at(server, "/echo")) as other:
            assert ws.recv() == "0" and sent.wait(20)
            other.send("x")  # what comes back is behind all that was not held back
            assert other.recv() == "x"
            assert ws.state is State.OPEN and ws.close_code is None
            assert list(map(int, (ws.recv() for _ in range(99)))) == list(range(1, 100))
            with pytest.raises(ConnectionClosedError, match="4000"):
                ws.recv()


def test_a_pong_that_nobody_asked_for_arrives():
    got = []
    server = wsock.Server("ws://127.0.0.1:0", workers=1)
    server.endpoint("/", on_pong=lambda conn, data: (got.append(data), server.stop()))
    thread = threading.Thread(target=server.run)
    thread.start()
    with connect(server.urls[0] + "/") as ws:
        ws.pong("alive")
        thread.join(20)
    server.close()
    assert got == [b"alive"]
