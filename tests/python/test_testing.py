# SPDX-License-Identifier: MIT
"""wsock.testing: a world without ports, whose clock the test moves."""
import gc
import logging
import os
import weakref

import pytest

import wsock
from wsock.testing import World

pytest_plugins = ["wsock.pytest_plugin"]


def echo(world, **options):
    server = world.server("ws://echo", **options)
    server.on_message("/")(lambda conn, message: conn.send(message))
    return server


def test_peers_hear_what_is_said(wsock_world):
    echo(wsock_world)
    peer = wsock_world.connect("ws://echo/")
    assert peer.is_open
    peer.send("hello")
    peer.send(b"\x00\x01")
    assert peer.receive() == "hello"
    assert peer.receive_all() == [b"\x00\x01"]
    with pytest.raises(AssertionError, match="^nothing came$"):
        peer.receive()
    assert peer.close(4000, "bye").code == 4000
    assert not peer.is_open
    with pytest.raises(AssertionError, match="nothing came: closed by this end with 4000"):
        peer.receive()
    assert wsock_world.now == 0


def test_no_descriptor_but_of_the_queue_is_opened():
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with World() as world:
        echo(world)
        peers = [world.connect("ws://echo/") for _ in range(20)]
        assert all(peer.is_open for peer in peers)
        assert len(os.listdir("/proc/self/fd")) == before + 1
    del world, peers
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_program_of_its_own_runs_in_it(wsock_world):
    server = wsock.Server("ws://host:8080", queue=wsock_world)
    seen = []
    server.endpoint("/{name}", on_open=lambda conn: seen.append(conn.params["name"]),
                    on_message=lambda conn, message: server.stop())
    wsock_world.queue.call(server.start)
    client = wsock.Client("ws://host:8080/ann", queue=wsock_world,
                          on_open=lambda conn: conn.send("stop"))
    client.connect()
    server.run()  # which ends because the client says so
    assert seen == ["ann"]
    assert server.stopped


def test_waiting_for_ever_is_an_error(wsock_world):
    echo(wsock_world)
    with pytest.raises(wsock.Error, match="nothing is left") as raised:
        wsock_world.queue.run()
    assert raised.value.code == wsock.EDEADLK
    assert wsock_world.queue.wait(3600) is False
    assert wsock_world.now == 3600
    assert wsock_world.queue.poll(timeout=0.5) == 0
    assert wsock_world.now == 3600.5


def test_tls_is_spoken_in_memory_too(wsock_world, certificate):
    server = wsock_world.server("wss://localhost", tls=wsock.TLS(cert=str(certificate)))
    server.on_message("/")(lambda conn, message: conn.send(message))
    peer = wsock_world.connect("wss://localhost/", tls=wsock.TLS(ca=str(certificate)))
    peer.send("hidden")
    assert peer.receive() == "hidden"
    assert peer.conn.tls["version"] == "TLSv1.3"


def test_timers_run_at_their_time(wsock_world):
    seen = []
    queue = wsock_world.queue
    queue.after(3600, lambda: seen.append(("hour", wsock_world.now)))
    queue.every(25 * 60, lambda: seen.append(("tick", wsock_world.now)))
    wsock_world.run()
    assert wsock_world.next <= 1500
    wsock_world.advance(3599.999)
    assert seen == [("tick", 1500), ("tick", 3000)]
    wsock_world.advance(0.001)
    assert seen[2:] == [("hour", 3600)]


def test_nothing_is_to_come_where_nothing_was_begun(wsock_world):
    assert wsock_world.next is None
    with pytest.raises(ValueError):
        wsock_world.advance(-1)


def test_silent_peer_is_given_up_at_the_moment(wsock_world):
    ends = []
    server = echo(wsock_world, ping_interval=20, pong_timeout=5)
    server.on_close("/")(lambda conn, info: ends.append((wsock_world.now, info.cause)))
    peer = wsock_world.connect("ws://echo/")
    wsock_world.advance(60)
    assert ends == []
    wsock_world.hold(peer.conn)
    wsock_world.advance(24.999)
    assert ends == []
    wsock_world.advance(0.001)
    assert ends == [(85, wsock.Cause.PONG_TIMEOUT)]


def come_back(seed):
    """What a client that is kept up goes through, with the moments."""
    seen = []
    with World(seed=seed) as world:
        client = world.client("ws://echo/", on_state=lambda _, info: seen.append(
            (world.now, info.state, info.delay)))
        client.start()
        world.advance(10)
        echo(world)
        world.advance(120)
        world.cut(client.connection)
        world.advance(60)
        client.stop()
        world.run()
    return seen


def test_each_run_is_like_the_last():
    first = come_back(1)
    assert first == come_back(1)
    assert first != come_back(2)
    assert [state for _, state, _ in first].count(wsock.State.OPEN) == 2
    assert first[-1][:2] == (190, wsock.State.CLOSED)
    for (now, state, delay), (after, *_) in zip(first, first[1:]):
        if state == wsock.State.WAITING:
            assert after == pytest.approx(now + delay)


def test_faults(wsock_world):
    world = wsock_world
    echo(world)
    world.set_chunk(1)
    peer = world.connect("ws://echo/")
    peer.send("every byte by itself")
    assert peer.receive() == "every byte by itself"
    world.set_chunk(0)
    world.set_delay(0.1)
    peer.send("late")
    world.advance(0.199)
    assert peer.receive_all() == []
    world.advance(0.001)
    assert peer.receive() == "late"
    world.set_delay(0)
    world.hold()
    peer.send("held")
    assert peer.receive_all() == []
    world.release()
    assert peer.receive() == "held"
    world.hold(peer.conn)
    peer.send("held again")
    assert peer.receive_all() == []
    world.release(peer.conn)
    assert peer.receive() == "held again"
    world.cut(peer.conn)
    world.run()
    assert (peer.end.code, peer.end.cause) == (1006, wsock.Cause.LOST)
    with pytest.raises(wsock.Error) as raised:
        world.cut(peer.conn)
    assert raised.value.code == wsock.ECLOSED
    refused = world.connect("ws://nobody/")
    assert refused.end.cause == wsock.Cause.CONNECT


def test_full_backlog_drains(wsock_world):
    seen = []
    wsock_world.set_room(1000)
    server = wsock_world.server("ws://drain", max_backlog_bytes="64KiB")

    @server.on_message("/")
    def fill(conn, message):
        while conn.send(b"x" * 10_000):
            pass
        seen.append("full")

    server.on_drain("/")(lambda conn: seen.append("drained"))
    peer = wsock_world.connect("ws://drain/")
    wsock_world.hold()
    peer.send("go")
    wsock_world.release()
    wsock_world.run()
    assert seen == ["full", "drained"]
    assert len(peer.messages) > 6


def test_addresses_are_the_tests(wsock_world):
    seen = []
    server = echo(wsock_world)
    server.on_request("/")(lambda request: seen.append(request.remote_address))
    wsock_world.connect("ws://echo/")
    wsock_world.set_source("203.0.113.9")
    wsock_world.connect("ws://echo/")
    assert [address.rpartition(":")[0] for address in seen] == ["127.0.0.1", "203.0.113.9"]
    with pytest.raises(wsock.Error, match="no numeric address"):
        wsock_world.set_source("somewhere")


def test_exceptions_in_handlers_come_out(wsock_world):
    server = wsock_world.server("ws://bad")

    @server.on_message("/")
    def fails(conn, message):
        raise RuntimeError(message)

    peer = wsock_world.connect("ws://bad/")
    peer.send("one")
    peer.send("two")
    for text in ("one", "two"):
        with pytest.raises(RuntimeError, match=text):
            wsock_world.run()
    wsock_world.run()


def test_exceptions_go_to_on_error_where_asked(caplog):
    with World(raises=False) as world:
        server = world.server("ws://bad")
        server.on_message("/")(lambda conn, message: 1 / 0)
        peer = world.connect("ws://bad/")
        peer.send("x")
        with caplog.at_level(logging.ERROR, "wsock"):
            world.run()
        assert peer.end.code == 1011
    assert "ZeroDivisionError" in caplog.text


def test_endless_answers_are_noticed(wsock_world):
    echo(wsock_world)
    client = wsock_world.client("ws://echo/", on_open=lambda conn: conn.send("x"),
                                on_message=lambda conn, message: conn.send(message))
    client.connect()
    with pytest.raises(wsock.Error, match="there is more to do"):
        wsock_world.run()


def test_handlers_cannot_have_time_pass(wsock_world):
    seen = []
    server = echo(wsock_world)

    @server.on_open("/")
    def opened(conn):
        with pytest.raises(wsock.Error) as raised:
            wsock_world.run()
        seen.append(raised.value.code)

    wsock_world.connect("ws://echo/")
    assert seen == [wsock.EDEADLK]


def test_queues_of_a_program_are_dispatched_too(wsock_world):
    server = wsock.Server("ws://other", runtime=wsock_world.runtime)
    server.on_message("/")(lambda conn, message: conn.send(message.upper()))
    server.start()
    peer = wsock_world.connect("ws://other/")
    peer.send("loud")
    assert peer.receive() == "LOUD"
    server.close()
    assert server.stopped


def test_what_was_made_in_it_is_collected():
    world = World()
    server = echo(world)
    peer = world.connect("ws://echo/")
    gone = [weakref.ref(thing) for thing in (world, server, peer, peer.conn, world.runtime)]
    world.close()
    with pytest.raises(wsock.Error):
        world.run()
    del world, server, peer
    gc.collect()
    assert [ref() for ref in gone] == [None] * 5
