# SPDX-License-Identifier: MIT
"""wsock.sync: servers and clients in threads."""
import logging
import threading
import time

import pytest

from programs import at, running
from wsock.exceptions import (ConcurrencyError, ConnectionClosedError, ConnectionClosedOK,
                              InvalidStatus)
from wsock.sync.client import connect, unix_connect
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
    with running(serve(echo, "127.0.0.1", 0)) as server, connect(at(server)) as ws:
        got = []
        thread = threading.Thread(target=lambda: got.append(ws.recv()))
        thread.start()
        while not ws._receiving:
            time.sleep(0)
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

    with running(serve(flood, "127.0.0.1", 0)) as server:
        with connect(at(server), max_queue=4, compression=None) as ws:
            for i in range(count):
                assert int(ws.recv(20)) == i
                assert len(ws._messages) < 40


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
    with pytest.raises(OSError):
        connect("ws://127.0.0.1:1/")


def test_shutdown_says_what_happens(caplog):
    with caplog.at_level(logging.INFO, "wsock.server"):
        with running(serve(echo, "127.0.0.1", 0)) as server:
            ws = connect(at(server))
            server.shutdown(1012, "back soon")
            with pytest.raises(ConnectionClosedError, match="1012"):
                ws.recv()
    told = [r.message for r in caplog.records if r.levelname == "INFO"]
    assert "server closing" in told and "connection open" in told
