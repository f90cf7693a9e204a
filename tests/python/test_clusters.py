# SPDX-License-Identifier: MIT
"""Servers that share their rooms: over a broker within the process, or the one that
WSOCK_TEST_BROKER names."""
import asyncio
import gc
import itertools
import os

import pytest

import wsock
import wsock.asyncio
from conftest import until
from programs import run
from wsock import ClusterState, Outcome

_names = itertools.count()


def a_cluster():
    """@return options of a server: a cluster of its own."""
    name = f"python{next(_names)}"
    return {"cluster": os.environ.get("WSOCK_TEST_BROKER", f"memory:{name}"),
            "cluster_prefix": name}


def raises(code):
    return pytest.raises(wsock.Error, check=lambda error: error.code == code)


class Nodes:
    """Two servers of one cluster, on one queue."""

    def __init__(self, queue, **options):
        self.queue, self.conns = queue, {}
        self.cluster = a_cluster()
        self.servers = [self.make(name, options) for name in ("one", "two")]
        self.until(lambda: all(server.cluster.state is ClusterState.UP for server in self.servers))

    def make(self, name, options):
        server = wsock.Server("ws://127.0.0.1:0", queue=self.queue, cluster_name=name,
                              cluster_beat=0.1, **self.cluster, **options)

        @server.on_request("/{who}")
        def check(request):
            return request.accept(identity=request.params["who"])

        @server.on_open("/{who}")
        def opened(conn):
            self.conns[conn.identity] = conn

        server.start()
        return server

    def connect(self, server, who):
        heard = []
        wsock.Client(f"{server.urls[0]}/{who}", queue=self.queue,
                     on_message=lambda _, message: heard.append(message)).connect()
        self.until(lambda: who in self.conns)
        return self.conns[who], heard

    def until(self, condition):
        until(self.queue, condition)

    def told(self, ask):
        """What a function that is called once is told."""
        told = []
        ask(lambda *arguments: told.append(arguments))
        self.until(lambda: told)
        answer, = told
        return answer


@pytest.fixture
def queue():
    with wsock.Queue(workers=2) as made:
        yield made


@pytest.fixture
def nodes(queue):
    return Nodes(queue, history_messages=10)


def test_rooms_are_shared_and_tell_what_became_of_a_message(nodes):
    one, two = nodes.servers
    (ann, heard), (bob, too) = nodes.connect(one, "ann"), nodes.connect(two, "bob")
    rooms = [server.room("lobby") for server in nodes.servers]
    outcomes, joins = [], []
    for room, conn in zip(rooms, (ann, bob)):
        joined = room.join(conn, since=wsock.Position(),
                           on_joined=lambda *told: joins.append(told))
        assert joined.recovered in (None, True)
    nodes.until(lambda: len(joins) == 2)
    assert {conn for conn, _ in joins} == {ann, bob}
    assert all(joined.recovered and joined.missed == 0 for _, joined in joins)
    rooms[0].publish("hello", on_done=outcomes.append)
    nodes.until(lambda: heard and too and outcomes)
    assert heard == too == ["hello"]
    done, = outcomes
    assert done.outcome is Outcome.STORED and done.why == "" and done.time > 1e9
    assert done.position == rooms[0].position and done.position.offset == 1
    assert [message.data for message in rooms[1].history()] == ["hello"]


def test_who_comes_back_to_a_node_that_has_to_load_first(nodes):
    one, two = nodes.servers
    (ann, _), (bob, heard) = nodes.connect(one, "ann"), nodes.connect(two, "bob")
    room, joins, done = one.room("lobby"), [], []
    for number in range(3):
        room.publish(str(number), on_done=done.append)
    nodes.until(lambda: len(done) == 3)
    there = two.room("lobby")
    first = there.join(bob, since=done[0].position, on_joined=lambda *told: joins.append(told))
    assert first.recovered in (None, True)
    nodes.until(lambda: joins and len(heard) == 2)
    (conn, joined), = joins
    assert conn is bob and joined.recovered is True and joined.missed == 2
    assert heard == ["1", "2"]


def test_people_and_nodes_are_asked_of_the_broker(nodes):
    one, two = nodes.servers
    (ann, _), (bob, _) = nodes.connect(one, "ann"), nodes.connect(two, "bob")
    one.room("lobby").join(ann, info={"colour": "red"})
    two.room("lobby").join(bob)
    people = []
    while len(people) < 2:  # the other node says it in a moment
        people, why = nodes.told(one.room("lobby").people_everywhere)
        assert why == ""
    assert sorted(people) == [("ann", {"colour": "red"}, 1), ("bob", None, 1)]
    listed = []
    while len(listed) < 2 or not all(node.connections == 1 for node in listed):
        listed, why = nodes.told(two.nodes)
        assert why == ""
    assert sorted((node.name, node.is_self) for node in listed) == [("one", False), ("two", True)]
    assert len({node.id for node in listed}) == 2 and all(len(node.id) == 32 for node in listed)


@pytest.mark.parametrize("options", [{}, {"history_messages": 100}])
def test_who_listens_by_pattern_hears_rooms_of_other_nodes_once(queue, options):
    nodes, names, numbers = Nodes(queue, **options), ("match.1", "match.2"), itertools.count()
    one, two = nodes.servers
    _, (bob, heard) = nodes.connect(one, "ann"), nodes.connect(two, "bob")
    assert two.subscribe(bob, "match.*")
    joined = []
    two.room("match.1").join(bob, on_joined=lambda *told: joined.append(told))
    nodes.until(lambda: joined)  # a room that he hears by the pattern, too
    rooms = {name: one.room(name) for name in names}
    other = one.room("other")

    def say():
        number = next(numbers)
        for name, room in rooms.items():
            room.publish(f"{name} {number}")
            other.publish("not for him")
        return number

    def heard_of(name):
        return [int(text.split()[1]) for text in heard if text.startswith(name)]

    while not all(map(heard_of, names)):  # the broker has it in a moment
        say()
        queue.poll(timeout=0.05)
    for _ in range(20):
        last = say()
    nodes.until(lambda: all(heard_of(name)[-1] == last for name in names))
    for name in names:
        numbers = heard_of(name)
        assert numbers == sorted(set(numbers)) and numbers[-20:] == list(range(last - 19, last + 1))
    assert "not for him" not in heard
    assert two.unsubscribe(bob, "match.*")


def test_people_are_reached_on_other_nodes(nodes):
    one, two = nodes.servers
    (_, told), (bob, heard) = nodes.connect(one, "ann"), nodes.connect(two, "bob")
    here, there = (server.room("lobby") for server in nodes.servers)
    joined, left = [], []
    there.on_leave(lambda member: left.append((member.identity, member.reason)))
    there.join(bob, on_joined=lambda *how: joined.append(how))
    nodes.until(lambda: joined)
    assert one.send_to("bob", "direct") == 0  # of its own connections
    assert here.send_to("bob", "in the room") == 0
    nodes.until(lambda: len(heard) == 2)
    assert sorted(heard) == ["direct", "in the room"]
    assert here.kick("bob", "go") == 0
    nodes.until(lambda: left)
    assert left == [("bob", "go")] and bob not in there
    assert two.disconnect("ann") == 0
    nodes.until(lambda: not one.connections_of("ann"))
    assert one.disconnect("bob") == 0
    nodes.until(lambda: not two.connections_of("bob"))
    assert not told


def test_the_cluster_is_told_of(queue):
    told = []
    server = wsock.Server(queue=queue, **a_cluster())
    assert server.cluster == (ClusterState.NONE, "")
    server.on_cluster(lambda *arguments: told.append(arguments))
    server.listen("ws://127.0.0.1:0")
    until(queue, lambda: told)
    assert told[-1] == (server, (ClusterState.UP, "")) and server.cluster == told[-1][1]
    server.on_cluster(None)
    with pytest.raises(TypeError):
        server.on_cluster(7)
    server.close()


def test_without_a_cluster_it_is_known_at_once(world):
    server, done, joined = world.server, [], []
    conns = []
    server.on_open("/")(conns.append)
    server.start()
    world.client().connect()
    world.until(lambda: conns)
    plain, kept = server.room("plain"), server.room("kept", history=2)
    plain.publish("x", on_done=done.append)
    kept.publish("x", on_done=done.append)
    assert done[0] == (Outcome.STORED, None, None, "") and done[1].position == kept.position
    kept.join(conns[0], since=wsock.Position(),
              on_joined=lambda *told: joined.append(told))
    assert joined == [(conns[0], (True, 1, kept.position))]
    assert kept.join(conns[0], on_joined=lambda *told: joined.append(told)) is None
    assert len(joined) == 1 and server.cluster.state is ClusterState.NONE
    with raises(wsock.ENOTSUP):
        server.nodes(print)
    with raises(wsock.ENOTSUP):
        plain.people_everywhere(print)


def test_rooms_are_listed(world):
    server = world.server
    held = [server.room(name) for name in ("match.1", "match.2.chat", "lobby")]
    assert {room.name for room in server.rooms()} == {room.name for room in held}
    assert [room.name for room in server.rooms("match.*")] == ["match.1"]
    assert len(server.rooms("match.>")) == 2 and server.rooms("nothing") == []
    for wrong, error in (("a..b", wsock.Error), (7, TypeError)):
        with pytest.raises(error):
            server.rooms(wrong)


def test_misuse(world):
    server, room = world.server, world.server.room("lobby")
    for wrong in (None, 7):
        with pytest.raises(TypeError):
            server.nodes(wrong)
        with pytest.raises(TypeError):
            room.people_everywhere(wrong)
    with pytest.raises(TypeError):
        room.publish("x", on_done=7)
    with pytest.raises(TypeError):
        room.join(None, on_joined=7)
    with pytest.raises(TypeError):
        room.publish(server.message("built"), on_done=print)
    with pytest.raises(TypeError):
        room.publish({"a": 1}, on_done=print)
    room.close()
    done = []
    with raises(wsock.ECLOSED):
        room.publish("x", on_done=done.append)
    assert not done and world.queue._kept() == 0


def test_errors_of_such_functions_go_to_on_error(world, caplog):
    errors = []
    world.server.on_error(lambda error, subject: errors.append((error, subject)))
    world.server.room("lobby").publish("x", on_done=lambda done: 1 / 0)
    assert isinstance(errors[0][0], ZeroDivisionError) and errors[0][1] is None


def test_what_is_asked_of_a_queue_that_closes_is_forgotten(queue):
    nodes, called = Nodes(queue), []

    class Fn:
        def __call__(self, *told):
            called.append(told)

    one, fn = nodes.servers[0], Fn()
    one.nodes(fn)
    one.room("lobby").people_everywhere(fn)
    one.room("lobby").publish("x", on_done=fn)
    assert gc.get_referrers(fn)
    queue.close()
    queue.runtime.close()
    for call in (lambda: one.nodes(fn), lambda: one.room("lobby"), lambda: one.cluster):
        try:
            call()
        except wsock.Error as error:
            assert error.code == wsock.ECLOSED
    assert not called


def test_the_function_may_close_the_queue(queue):
    nodes, told = Nodes(queue), []

    def close(*arguments):
        told.append(arguments)
        queue.close()

    nodes.servers[0].nodes(close)
    while not told:
        queue.poll(timeout=20)
    assert told[0][1] == "" and not queue._is_live()


def test_only_may_close_the_queue(world):
    """While its own message is told of: what was to be told stays alive for the call."""
    done, conns = [], []
    world.server.on_open("/")(conns.append)
    world.server.start()
    world.client().connect()
    world.until(lambda: conns)
    room = world.server.room("lobby")
    room.join(conns[0])
    room.publish("x", only=lambda conn: world.queue.close(), on_done=done.append)
    assert done and done[0].outcome is Outcome.STORED


def test_on_event_loops_it_is_awaited():
    async def main():
        states, errors, told = [], [], asyncio.Event()
        async with wsock.asyncio.Server("ws://127.0.0.1:0", history_messages=5,
                                        **a_cluster()) as server:
            server.on_error(lambda error, subject: errors.append(error))
            up, opened = asyncio.Event(), asyncio.Event()
            conns = []

            @server.on_cluster
            async def cluster(_, cluster):
                states.append(cluster.state)
                up.set()

            @server.on_request("/")
            def check(request):
                return request.accept(identity="ann")

            @server.on_open("/")
            def open_(conn):
                conns.append(conn)
                opened.set()

            server.start()
            await up.wait()
            async with wsock.connect(server.urls[0] + "/"):
                await opened.wait()
                room = server.room("lobby")
                joined = await room.join_and_wait(conns[0], info=7, since=wsock.Position())
                assert joined.recovered is True and joined.missed == 0
                assert await room.join_and_wait(conns[0]) is None
                done = await room.publish_and_wait("x", key="k")
                assert done.outcome is Outcome.STORED and done.position.offset == 1
                people = await room.people_everywhere()
                while not people:
                    people = await room.people_everywhere()
                assert people == [("ann", 7, 1)]
                node, = await server.nodes()
                assert node.is_self

                async def fail(done):
                    told.set()
                    raise KeyError("told")

                room.publish("y", on_done=fail)
                await told.wait()
        assert states == [ClusterState.UP] and [type(each) for each in errors] == [KeyError]
        with raises(wsock.ECLOSED):
            await server.nodes()

    run(main())
