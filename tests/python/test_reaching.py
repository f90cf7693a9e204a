# SPDX-License-Identifier: MIT
"""How clients get to their servers: over sockets that are connected already, and from
addresses that were chosen."""
import asyncio
import os
import socket

import pytest

import wsock
from conftest import until
from programs import PATIENCE, at, run, running
from wsock.asyncio import client as asyncio_client
from wsock.asyncio import server as asyncio_server
from wsock.exceptions import InvalidStatus, SecurityError
from wsock.sync import client as sync_client
from wsock.sync import server as sync_server


def connected(url):
    """A socket that is connected to a server there."""
    host, _, port = url.partition("//")[2].partition("/")[0].rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


# ---- sockets that are given: the native client


@pytest.mark.parametrize("as_number", [False, True])
def test_a_client_over_a_socket(world, as_number):
    joined = []
    world.server.on_open("/{path...}")(joined.append)
    world.server.start()
    client = wsock.Client("ws://elsewhere.example/a?b", queue=world.server)
    with connected(world.url) as sock:
        where = sock.getsockname()
        conn = client.connect(sock.fileno() if as_number else sock)
        assert sock.getsockname() == where  # it stays ours
    world.until(lambda: conn.is_open and joined)
    assert joined[0].request.host == "elsewhere.example"
    assert joined[0].request.path == "/a?b"
    assert conn.local_address == joined[0].remote_address == "%s:%d" % where


def test_what_is_no_connected_socket(world):
    client = wsock.Client(world.url, queue=world.server)
    sock, pipe = socket.socket(), os.pipe()
    for wrong, name in [(sock, "not connected"), (pipe[0], "non-socket"), (123456, "Bad file")]:
        with pytest.raises(wsock.Error, match=name) as caught:
            client.connect(wrong)
        assert caught.value.name == "WSOCK_EINVAL"
    assert sock.fileno() >= 0
    os.write(pipe[1], b"x")  # both are open
    sock.close()
    for end in pipe:
        os.close(end)
    with pytest.raises(ValueError):
        client.connect(sock)
    for wrong in ("3", 1.5, object()):
        with pytest.raises(TypeError):
            client.connect(wrong)


# ---- wsock.asyncio and wsock.sync


async def tell(connection):
    await connection.send(str(connection.request.path))
    async for message in connection:
        await connection.send(message)


def test_a_socket_on_a_loop():
    async def main():
        async with asyncio_server.serve(tell, "127.0.0.1", 0) as server:
            sock = connected(at(server))
            where = sock.getsockname()
            async with asyncio_client.connect("ws://elsewhere.example/p", sock=sock,
                                              proxy="http://127.0.0.1:1") as websocket:
                assert sock.fileno() == -1  # the connection has it
                assert websocket.local_address == where
                assert await websocket.recv() == "/p"

    run(main())


def test_a_socket_in_threads():
    def work(connection):
        connection.send(connection.request.path)

    with running(sync_server.serve(work, "127.0.0.1", 0)) as server:
        sock = connected(at(server))
        where = sock.getsockname()
        with sync_client.connect("ws://elsewhere.example/p", sock=sock) as websocket:
            assert sock.fileno() == -1
            assert websocket.local_address == where
            assert websocket.recv() == "/p"


def test_tls_over_a_socket(certificate):
    async def main():
        own = wsock.TLS(cert=certificate)
        async with asyncio_server.serve(tell, "127.0.0.1", 0, ssl=own) as server:
            async with asyncio_client.connect(
                    "wss://localhost/s", sock=connected(at(server)),
                    ssl=wsock.TLS(ca=certificate)) as websocket:
                assert await websocket.recv() == "/s"

    run(main())


def test_a_pair_of_sockets():
    """A tunnel, such as one of ssh, is no more than that."""
    async def main():
        ours, theirs = socket.socketpair()
        with theirs:
            attempt = asyncio.ensure_future(
                asyncio_client.connect("ws://h/", sock=ours)._connect())
            theirs.setblocking(False)
            loop = asyncio.get_running_loop()
            assert (await loop.sock_recv(theirs, 4096)).startswith(b"GET / HTTP/1.1")
            await loop.sock_sendall(theirs, b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
            with pytest.raises(InvalidStatus):
                await attempt
            assert ours.fileno() == -1
            assert await loop.sock_recv(theirs, 1) == b""  # there is no other descriptor

    run(main())


def test_a_redirect_needs_another_socket():
    def lead(connection, request):
        response = connection.respond(302, "there")
        response.headers["Location"] = "/there"
        return response

    with running(sync_server.serve(tell, "127.0.0.1", 0, process_request=lead)) as server:
        with pytest.raises(SecurityError, match="no other socket"):
            sync_client.connect("ws://h/", sock=connected(at(server)))


@pytest.mark.parametrize("wrong", [{"host": "h"}, {"port": 1}, {"local_addr": ("127.0.0.1", 0)},
                                   {"_unix_path": "/p"}])
def test_a_socket_and_an_address(wrong):
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="sock"):
            sync_client.connect("ws://h/", sock=sock, **wrong)
        with pytest.raises(ValueError, match="sock"):
            asyncio_client.connect("ws://h/", sock=sock, **wrong)
        assert sock.fileno() >= 0


def test_a_socket_that_is_closed_or_not_connected():
    async def main():
        with socket.socket() as sock:
            with pytest.raises(wsock.Error, match="not connected"):
                await asyncio_client.connect("ws://h/", sock=sock)
            with pytest.raises(wsock.Error, match="not connected"):
                sync_client.connect("ws://h/", sock=sock)
            assert sock.fileno() >= 0
        for again in range(2):
            with pytest.raises(ValueError):
                await asyncio_client.connect("ws://h/", sock=sock)

    run(main())


# ---- addresses of this machine


def test_a_client_comes_from_the_address_that_it_is_told():
    with wsock.Queue() as queue, wsock.Server("ws://127.0.0.1:0", queue=queue) as server:
        server.endpoint("/")
        server.start()
        for local in "127.0.0.5", ["::1", "127.0.0.5"]:
            client = wsock.Client(server.urls[0], queue=queue, local_address=local)
            conn = client.connect()
            until(queue, lambda: conn.is_open)
            assert conn.local_address.startswith("127.0.0.5:")
        with pytest.raises(wsock.Error, match="local_address"):
            wsock.Client(server.urls[0], queue=queue, local_address="localhost")


def port_of(address):
    with socket.create_server((address, 0)) as sock:
        return sock.getsockname()[1]


def test_local_addr_on_a_loop_and_in_threads():
    async def main():
        async with asyncio_server.serve(tell, "127.0.0.1", 0) as server:
            port = port_of("127.0.0.6")
            for local, expected in [(("127.0.0.6", 0), "127.0.0.6"), (("localhost", 0), "127.0.0.1"),
                                    (("127.0.0.6", port), "127.0.0.6")]:
                async with asyncio_client.connect(at(server), local_addr=local) as websocket:
                    host, there = websocket.local_address
                    assert host == expected and (there == port or not local[1])
            with pytest.raises(OSError):
                await asyncio_client.connect(at(server), local_addr=("192.0.2.1", 0))
            with pytest.raises(OSError):  # of the other family
                await asyncio_client.connect(at(server), local_addr=("::1", 0))

            def in_a_thread():
                with sync_client.connect(at(server), local_addr=(None, port_of("0.0.0.0"))) as ws:
                    return ws.local_address[0]

            assert await asyncio.get_running_loop().run_in_executor(
                None, in_a_thread) == "127.0.0.1"

    run(main())
