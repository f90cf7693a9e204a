# SPDX-License-Identifier: MIT
"""Rooms: options, who is there, what was said, and what is done to one of them."""
import gc
import os
import random
import threading
import time
import weakref

import pytest

import wsock


class Lobby:
    """A server whose connections are who they say, in the path, that they are."""

    def __init__(self, world):
        self.world = world
        self.server = world.server
        self.conns = {}
        self.heard = {}

        @self.server.on_request("/{who}")
        def check(req):
            return req.accept(identity=req.params["who"].partition("-")[0])

        @self.server.on_open("/{who}")
        def opened(conn):
            self.conns[conn.params["who"]] = conn

        self.server.start()

    def connect(self, *names):
        """Have these connect; "ann-2" is Ann's second one."""
        for name in names:
            self.heard[name] = []
            self.world.client("/" + name, on_message=lambda conn, message, name=name:
                              self.heard[name].append(message)).connect()
        self.until(lambda: all(name in self.conns for name in names))
        return [self.conns[name] for name in names]

    def until(self, condition):
        self.world.until(condition)

    def hears(self, **expected):
        """Wait until these have heard that, and nothing else."""
        self.until(lambda: all(len(self.heard[name]) >= len(what)
                               for name, what in expected.items()))
        for name, what in expected.items():
            assert self.heard[name] == what
            self.heard[name].clear()


@pytest.fixture
def lobby(world):
    return Lobby(world)


def raises(code):
    """A context that expects wsock.Error with this code."""
    return pytest.raises(wsock.Error, check=lambda error: error.code == code)


def test_identity_is_the_librarys(lobby):
    ann, again, bob = lobby.connect("ann", "ann-2", "bob")
    server = lobby.server
    assert ann.identity == again.identity == "ann" and bob.identity == "bob"
    assert set(server.connections_of("ann")) == {ann, again}
    assert server.connections_of("nobody") == []
    assert server.send_to("ann", "hello") == 2 and server.send_to("nobody", "x") == 0
    assert server.send_to("bob", "bytes", text=False) == 1
    lobby.hears(**{"ann": ["hello"], "ann-2": ["hello"], "bob": [b"bytes"]})
    with raises(wsock.EEXIST):
        ann.identity = "carol"
    for wrong in (None, 7, b"ann"):
        with pytest.raises(TypeError):
            ann.identity = wrong
    with pytest.raises(TypeError):
        server.send_to("ann", {"a": 1})
    with raises(wsock.ERANGE):
        server.disconnect("ann", 5)
    assert server.disconnect("ann", 4401, "again, please") == 2
    lobby.until(lambda: ann.close_info and again.close_info)
    assert (ann.close_info.code, bob.close_info) == (4401, None)
    assert ann.identity == "ann" and server.connections_of("ann") == []


def test_identity_may_be_told_later(world):
    told = []

    @world.server.on_message("/")
    def hello(conn, message):
        assert conn.identity is None
        conn.identity = message
        told.append(conn)

    world.server.start()
    client = world.client(on_open=lambda conn: conn.send("ann")).connect()
    world.until(lambda: told)
    assert told[0].identity == "ann" and world.server.connections_of("ann") == told
    assert client.identity is None
    with raises(wsock.ENOTSUP):
        client.identity = "ann"


def test_who_has_not_opened_here_is_not_shown(world):
    """The library has it open, and on_open waits to be told: there is no object yet."""
    asked = []

    @world.server.on_request("/")
    def check(req):
        asked.append(req)
        return req.accept(identity="ann", info="x")

    opened = []
    world.server.on_open("/")(opened.append)
    world.server.start()
    world.client().connect()
    while not asked:
        world.queue.dispatch(max_events=1, timeout=20)
    end = time.monotonic() + 20
    while world.server.send_to("ann", "early") == 0:
        assert time.monotonic() < end
    assert world.server.connections_of("ann") == [] and not opened
    world.until(lambda: opened)
    assert world.server.connections_of("ann") == opened and opened[0].info == "x"


@pytest.mark.parametrize("identity, error", (
    (7, TypeError), (b"ann", TypeError), ("", wsock.Error), ("a\nb", wsock.Error),
    ("x" * 256, wsock.Error), ("a\0b", ValueError)))
def test_identity_is_text(world, identity, error):
    ends, caught = [], []

    @world.server.on_request("/")
    def check(req):
        with pytest.raises(error) as info:
            req.accept(identity=identity)
        caught.append(info)
        return req.reject(400)

    world.server.start()
    world.client(on_close=lambda conn, info: ends.append(info)).connect()
    world.until(lambda: ends)
    assert caught and ends[0].http_status == 400


@pytest.mark.parametrize("name", ("", ".", "a..b", ".a", "a.", "*", "a.>", "a*", "a\nb", "a\x7f",
                                  "x" * 256, "é" * 128))
def test_names_that_are_none(world, name):
    for call in (world.server.room, world.server.find_room):
        with raises(wsock.EINVAL):
            call(name)


@pytest.mark.parametrize("name", ("x" * 255, "é" * 127, "a.b.c", "what / you {like} %"))
def test_names(world, name):
    assert world.server.find_room(name) is None
    room = world.server.room(name)
    assert room.name == world.server.find_room(name).name == name


def test_a_room_lives_as_long_as_something_keeps_it(lobby):
    ann, = lobby.connect("ann")
    server = lobby.server

    def is_there(name):
        lobby.world.queue.wake()
        return server.find_room(name) is not None

    assert not is_there("r")
    server.room("r").join(ann)
    assert is_there("r")
    server.find_room("r").leave(ann)
    lobby.until(lambda: not is_there("r"))
    held = server.room("r")
    assert is_there("r")
    del held
    assert not is_there("r")
    server.room("kept", history_time=0.05).broadcast("x")
    server.room("stays", persistent=True)
    assert is_there("kept") and is_there("stays")
    lobby.until(lambda: not is_there("kept"))
    old = server.find_room("stays")
    old.close()
    new = server.room("stays")
    assert new.join(ann) and len(new) == 1
    with raises(wsock.ECLOSED):
        old.broadcast("x")
    assert len(old) == 0


def test_options(lobby):
    server = lobby.server
    server.room_defaults("match.*", max_members=8, history_time=2.5)
    server.room_defaults("match.final", max_members=2)
    plain = server.room("plain")
    assert plain.get("max_members") == server.get("max_members")
    first = server.room("match.1")
    assert first.get("max_members") == "8"
    final = server.room("match.final", slow_members="latest_only", persistent=True)
    assert final.get("max_members") == "2" and final.get("slow_members") == "latest_only"
    assert "2500" in final.get("history_time") or "2.5" in final.get("history_time")
    assert server.room("kept", history=100).get("history_messages") == "100"
    with raises(wsock.EEXIST) as caught:
        server.room("plain", history=5)
    assert '"history_messages"' in str(caught.value) and "not 5" in str(caught.value)
    with raises(wsock.EEXIST) as caught:
        server.room("match.1", max_members=9)
    assert '"max_members" as 8, not 9' in str(caught.value)
    with raises(wsock.EOPTION):
        plain.get("nonsense")
    with raises(wsock.EINVAL):
        server.room("plain", slow_members="nonsense")
    with raises(wsock.EINVAL):
        server.room_defaults("a..b", max_members=1)
    with pytest.raises(TypeError, match="did you mean history"):
        server.room("new", histroy=100)
    with pytest.raises(TypeError):
        server.room_defaults("new", ping_interval=1)
    with pytest.raises(TypeError):
        server.room("new", history={})
    ann, bob, carol = lobby.connect("ann", "bob", "carol")
    assert final.join(ann) and final.join(bob)
    with raises(wsock.ETOOBIG):
        final.join(carol)


def test_options_of_a_server_are_its_rooms(world):
    server = wsock.Server(queue=world.queue, max_members=3, history_messages=5)
    assert server.room("r").get("max_members") == "3"
    server.set("max_members", 4)
    assert server.room("s").get("max_members") == "4"
    server.close()


def test_limits(world):
    server = wsock.Server("ws://127.0.0.1:0", queue=world.queue, max_rooms=3,
                          max_history_bytes=16384)
    conns = []
    server.endpoint("/", on_open=conns.append, max_rooms_per_connection=1)
    server.start()
    client = wsock.Client(server.urls[0], queue=world.queue)
    client.connect()
    world.until(lambda: conns)
    one, two, kept = server.room("one"), server.room("two"), server.room("kept", history=1000)
    with raises(wsock.ETOOBIG):
        server.room("more")
    assert one.join(conns[0])
    with raises(wsock.ETOOBIG):
        two.join(conns[0])
    with raises(wsock.ETOOBIG):
        server.subscribe(conns[0], ">")
    assert one.leave(conns[0]) and two.join(conns[0])
    for number in range(100):
        kept.broadcast(f"{number:01000}")
    assert 5 < len(kept.history()) < 16 and int(kept.history()[-1].data) == 99
    client.close()
    server.close()


def test_history_is_bounded_by_bytes_and_time(lobby):
    room = lobby.server.room("bytes", history_bytes=8000)
    for number in range(20):
        room.broadcast(f"{number:01000}")
    assert 3 < len(room.history()) < 8 and int(room.history()[-1].data) == 19
    room = lobby.server.room("time", history_time=0.05)
    room.broadcast("x")

    def is_over():
        lobby.world.queue.wake()
        return room.history() == []

    lobby.until(is_over)
    assert room.position.offset == 1


def test_broadcast_leaves_out_whom_it_should(lobby):
    ann, again, bob = lobby.connect("ann", "ann-2", "bob")
    room = lobby.server.room("r")
    for conn in (ann, again, bob):
        room.join(conn)
    assert room.broadcast("1", exclude=ann) == 2
    assert room.broadcast("2", exclude="ann") == 1
    assert room.broadcast("3", exclude=[again, bob]) == 1
    assert room.broadcast("4", exclude={bob}, only=lambda conn: conn is not ann) == 1
    assert room.broadcast("5", exclude=(), key="k") == 3
    assert room.broadcast("6", exclude=(conn for conn in (ann,))) == 2
    lobby.hears(**{"ann": ["3", "5"], "ann-2": ["1", "4", "5", "6"],
                   "bob": ["1", "2", "5", "6"]})
    other = lobby.server.room("other")
    other.join(bob)
    assert room.broadcast("7", exclude=other) == 2
    lobby.hears(**{"ann": ["7"], "ann-2": ["7"], "bob": []})
    message = lobby.server.message("built")
    assert room.broadcast(message, exclude=ann) == 2
    for wrong in ({"key": "k"}, {"exclude": "ann"}, {"exclude": [ann]}, {"only": bool},
                  {"event": "e"}, {"sender": "ann"}):
        with pytest.raises(TypeError):
            room.broadcast(message, **wrong)
    for wrong in ({"exclude": 7}, {"exclude": ["ann"]}, {"key": 7},
                  {"only": 7}):
        with pytest.raises(TypeError):
            room.broadcast("x", **wrong)
    with raises(wsock.ETOOBIG):
        room.broadcast("x", key="k" * 256)
    lobby.hears(**{"ann": [], "ann-2": ["built"], "bob": ["built"]})


def test_history_and_recovery(lobby):
    ann, bob = lobby.connect("ann", "bob")
    room = lobby.server.room("r", history=3)
    start = room.position
    assert start.offset == 0 and len(start.epoch) == 16 and room.history() == []
    before = time.time()
    first = room.publish("1", key="k")
    assert first == (0, (start.epoch, 1)) and room.position == first.position
    for number in (b"2", "3", "4"):
        room.broadcast(number)
    kept = room.history()
    assert [message.data for message in kept] == [b"2", "3", "4"]
    assert [message.position.offset for message in kept] == [2, 3, 4]
    assert [message.prev for message in kept] == [1, 2, 3]
    assert before - 1 < kept[0].time < time.time() + 1
    assert [message.data for message in room.history(1, before=4)] == ["3"]
    joined = room.join(ann, since=first.position)
    assert joined == (True, 3, (start.epoch, 4))
    # As it comes back from a client, by way of JSON.
    assert room.join(bob, since=[start.epoch, 0]) == (False, 0, (start.epoch, 4))
    room.broadcast("5")
    lobby.hears(ann=[b"2", "3", "4", "5"], bob=["5"])
    room.leave(ann), room.leave(bob)
    assert room.join(ann, since=wsock.Position("0123456789abcdef", 5)).recovered is False
    assert room.join(bob, since=wsock.Position()) == (False, 3, (start.epoch, 5))
    lobby.hears(ann=[], bob=["3", "4", "5"])
    assert room.publish("only", only=lambda conn: False) == (0, None)
    for wrong in (7, ("x", 1), (1, 1), ("ff", "1"), ("ff", -1), ("f" * 17, 1), ("ff",)):
        with pytest.raises((TypeError, ValueError)):
            room.join(ann, since=wrong)
    with pytest.raises(ValueError):
        room.history(-1)


def test_events_senders_and_json(lobby):
    ann, = lobby.connect("ann")
    room = lobby.server.room("r", history=9)
    heard = []
    room.on_message(heard.append)
    room.join(ann)
    room.broadcast("text")
    room.broadcast({"a": [1, None, "é"]}, json=True, event="moved", sender=ann.identity)
    room.broadcast("[1]", json=True, sender=None, only=lambda conn: True)
    room.publish(b"bytes", event="e", key="k", compress=False)
    lobby.hears(ann=["text", '{"a":[1,null,"é"]}', '"[1]"', b"bytes"])
    lobby.world.until(lambda: len(heard) == 4)
    assert [(m.data, m.event, m.sender, m.json) for m in heard] == [
        ("text", "message", None, False), ({"a": [1, None, "é"]}, "moved", "ann", True),
        ("[1]", "message", None, True), (b"bytes", "e", None, False)]
    assert room.history() == [heard[0], heard[1], heard[3]]
    coded = lobby.server.room("r", codec=(lambda value: str(value), int))
    assert coded.broadcast(7, json=True) == 1 and coded.history(1)[0][0] == 7
    assert room.history(1)[0].data == 7
    for code, wrong in ((wsock.EINVAL, {"data": float("nan"), "json": True}),
                        (wsock.EINVAL, {"data": "x", "event": ""}),
                        (wsock.ETOOBIG, {"data": "x", "event": "e" * 65}),
                        (wsock.EINVAL, {"data": "x", "sender": "a\n"})):
        with raises(code):
            room.broadcast(**wrong)
    for wrong in ({"event": 7}, {"sender": ann}, {"data": {"a"}, "json": True}):
        with pytest.raises(TypeError):
            room.broadcast(**{"data": "x", **wrong})


def test_rooms_without_history(lobby):
    ann, = lobby.connect("ann")
    room = lobby.server.room("r")
    assert room.position is None and room.publish("x") == (0, None)
    joined = room.join(ann, since=wsock.Position("ff", 3))
    assert joined.recovered is False and joined.position is None
    with raises(wsock.ENOTSUP):
        room.history()


def test_presence(lobby):
    ann, again, bob = lobby.connect("ann", "ann-2", "bob")
    room = lobby.server.room("r")
    told = []

    @room.on_join
    def came(member):
        told.append(("join", member.conn, member.identity, member.info, member.first))

    @room.on_leave
    def went(member):
        told.append(("leave", member.conn, member.last, member.how, member.reason))

    assert room.join(ann, info={"colour": "röt"}) and room.join(again, info=b"\xff\0")
    assert room.join(bob)
    assert room.info(ann) == {"colour": "röt"} and room.info(again) == b"\xff\0"
    assert room.info(bob) is None
    assert sorted(room.people) == [("ann", b"\xff\0", 2), ("bob", None, 1)]
    assert set(room.members) == {ann, again, bob} and ann in room and len(room) == 3
    room.leave(ann)
    assert room.kick("ann", "rude") == 1 and room.kick("ann") == 0
    assert room.join(ann) and room.kick(ann, "still") == 1 and room.kick(ann) == 0
    bob.close()
    lobby.until(lambda: len(told) == 8)
    assert told[:3] == [("join", ann, "ann", {"colour": "röt"}, True),
                        ("join", again, "ann", b"\xff\0", False),
                        ("join", bob, "bob", None, True)]
    assert told[3:5] == [("leave", ann, False, wsock.LEFT_BY_CALL, ""),
                         ("leave", again, True, wsock.LEFT_BY_KICK, "rude")]
    assert told[5:7] == [("join", ann, "ann", None, True),
                         ("leave", ann, True, wsock.LEFT_BY_KICK, "still")]
    assert told[7] == ("leave", bob, True, wsock.LEFT_BY_END, "")
    with raises(wsock.ENOENT):
        room.info(bob)
    with raises(wsock.ETOOBIG):
        room.join(again, info="x" * 100000)
    with pytest.raises(TypeError):
        room.join(again, info=object())
    with raises(wsock.ETOOBIG):
        room.kick("ann", "x" * 256)
    for wrong in (7, None, room):
        with pytest.raises(TypeError):
            room.kick(wrong)


def test_the_same_object_stands_for_who_left_behind_its_end(world):
    """The end of a connection may be told before it is that it left its room."""
    room = world.server.room("r")
    told, ends, alive = [], [], []

    @world.server.on_open("/")
    def opened(conn):
        conn.data = len(alive)
        alive.append(weakref.ref(conn))
        room.join(conn)
        conn.reset()
        end = time.monotonic() + 20
        while len(room):
            assert time.monotonic() < end

    world.server.endpoint("/", on_close=lambda conn, info: ends.append(conn.data))
    room.on_join(lambda member: told.append((member.conn.data, member.conn.id)))
    room.on_leave(lambda member: told.append((member.conn.data, member.conn.id)))
    world.server.start()
    client = world.client()
    for count in range(1, 20):
        client.connect()
        world.until(lambda: len(told) == 2 * count and len(ends) == count)
        assert [data for data, _ in told[-2:]] == [count - 1] * 2
        assert told[-1] == told[-2]
    world.until(lambda: world.queue._kept() == 0)
    gc.collect()
    assert not any(ref() for ref in alive)


def test_on_message_hears_all_once_in_order(lobby):
    ann, bob = lobby.connect("ann", "bob")
    room = lobby.server.room("r", history=5, codec=(repr, eval))
    heard, threads = [], set()

    @room.on_message
    def said(message):
        heard.append(message)
        threads.add(threading.get_ident())

    room.join(ann), room.join(bob)
    room.broadcast({"a": 1}, exclude=ann)
    room.broadcast([2], key="k")
    room.broadcast(3, only=lambda conn: conn is bob)
    lobby.until(lambda: len(heard) == 3)
    assert [message.data for message in heard] == [{"a": 1}, [2], 3]
    assert [message.key for message in heard] == [None, "k", None]
    assert [message.position and message.position.offset for message in heard] == [1, 2, None]
    assert threads == {threading.get_ident()}
    assert [message.data for message in room.history()] == [{"a": 1}, [2]]
    assert room.on_message(None) is None
    room.broadcast(4)
    lobby.hears(ann=["[2]", "4"], bob=["{'a': 1}", "[2]", "3", "4"])
    assert len(heard) == 3
    assert room.send_to("ann", {"b": 2}) == 1 and room.send_to("nobody", 1) == 0
    lobby.hears(ann=["{'b': 2}"], bob=[])
    with pytest.raises(TypeError):
        room.on_join("x")


def test_handlers_keep_their_room_until_it_ends(world):
    """Also where they lead to it themselves; and behind the end nothing is left."""
    server = wsock.Server("ws://127.0.0.1:0", queue=world.queue)
    told = []

    def make():
        room = server.room("r")

        @room.on_join
        def came(member):
            told.append((room.name, member.identity))

        return weakref.ref(came)

    made = make()
    gc.collect()
    server.on_open("/")(lambda conn: server.find_room("r").join(conn))
    server.start()
    client = wsock.Client(server.urls[0], queue=world.queue)
    client.connect()
    world.until(lambda: told)
    assert told == [("r", None)]
    replaced = made
    made = make()
    gc.collect()
    assert replaced() is None and made() is not None
    room = server.room("r")
    left = []
    room.on_leave(left.append)
    assert room.close("over") is True and room.close() is False
    with raises(wsock.ECLOSED):
        room.broadcast("x")
    world.until(lambda: left and not server._heralds._hooks)
    assert (left[0].how, left[0].reason) == (wsock.LEFT_BY_CLOSE, "over")
    del room, left
    gc.collect()
    assert made() is None
    assert server.find_room("r") is None
    made = make()
    server.close()
    gc.collect()
    assert made() is None


def test_error_in_a_rooms_handler_closes_nobody(lobby):
    ann, = lobby.connect("ann")
    room = lobby.server.room("r")
    errors = []

    @room.on_join
    def came(member):
        raise KeyError(member.identity)

    lobby.server.on_error(lambda error, subject: errors.append((error, subject)))
    room.join(ann)
    lobby.until(lambda: errors)
    assert isinstance(errors[0][0], KeyError) and errors[0][1] is None and ann.is_open
    room.on_message(lambda message: 1 // 0)
    room.broadcast("x")
    lobby.until(lambda: len(errors) == 2)
    assert isinstance(errors[1][0], ZeroDivisionError) and ann.is_open


def test_patterns(lobby):
    ann, bob = lobby.connect("ann", "bob")
    server = lobby.server
    one, two = server.room("match.1.chat"), server.room("match.1.moves")
    assert server.subscribe(ann, "match.*.chat") is True
    assert server.subscribe(ann, "match.*.chat") is False
    assert server.subscribe(ann, "match.>") is True
    assert one.broadcast("1") >= 1 and two.broadcast("2") == 1
    assert len(one) == 0
    assert server.room("match.2.chat").broadcast("3") >= 1
    lobby.hears(ann=["1", "2", "3"], bob=[])
    assert server.unsubscribe(ann, "match.>") is True
    assert server.unsubscribe(ann, "match.>") is False
    assert two.broadcast("4") == 0 and one.broadcast("5") == 1
    lobby.hears(ann=["5"], bob=[])
    for wrong in ("a..b", "", "a.>.b"):
        with raises(wsock.EINVAL):
            server.subscribe(ann, wrong)
    with raises(wsock.ETOOBIG):
        server.subscribe(ann, "*.*.*.*.*")
    with pytest.raises(TypeError):
        server.subscribe("match.>", ann)
    bob.close()
    lobby.until(lambda: bob.close_info)
    assert server.subscribe(bob, "match.>") is False


def test_rates_and_counters(lobby):
    ann, bob = lobby.connect("ann", "bob")
    room = lobby.server.room("r", max_publish_rate=3)
    room.join(ann)
    assert [room.may_publish(ann) for _ in range(5)] == [True, True, True, False, False]
    with raises(wsock.ENOENT):
        room.may_publish(bob)
    assert room.dropped() == 0 and room.dropped(ann) == 0
    with raises(wsock.ENOENT):
        room.dropped(bob)
    with pytest.raises(TypeError):
        room.dropped(7)


def test_members_that_do_not_keep_up(lobby):
    world, server = lobby.world, lobby.server
    room = server.room("r", slow_members="latest_only", slow_queue_messages=4)
    got = []
    client = world.client("/slow", on_message=lambda conn, message: got.append(message))
    lobby.heard["slow"] = got
    slow = client.connect()
    lobby.until(lambda: "slow" in lobby.conns)
    slow.pause()
    room.join(lobby.conns["slow"])

    def is_slow():
        for _ in range(20):
            room.broadcast("x" * 60000, key="state")
        world.queue.wake()
        return room.dropped() > 3

    lobby.until(is_slow)
    room.broadcast("last", key="state")

    def is_counted():  # its worker may be at the last of them yet
        world.queue.wake()
        return room.dropped(lobby.conns["slow"]) == room.dropped() > 3

    lobby.until(is_counted)
    slow.resume()
    lobby.until(lambda: got and got[-1] == "last")
    assert lobby.conns["slow"].is_open


@pytest.mark.parametrize("policy", ("drop_newest", "drop_oldest", "close"))
def test_policies_for_slow_members(lobby, policy):
    world, server = lobby.world, lobby.server
    room = server.room("r", slow_members=policy, slow_queue_messages=4)
    got, ends, said = [], [], []
    client = world.client("/slow", on_message=lambda conn, message: got.append(message),
                          on_close=lambda conn, info: ends.append(info.code))
    slow = client.connect()
    lobby.until(lambda: "slow" in lobby.conns)
    conn = lobby.conns["slow"]
    slow.pause()
    room.join(conn)

    def say(text):
        if room.broadcast(text):
            said.append(text)
        world.queue.wake()

    def is_behind():
        for _ in range(20):
            say(f"{len(said)}".ljust(60000))
        return room.dropped() > 3 or not conn.is_open

    lobby.until(is_behind)
    last = len(said) - 1
    if policy != "close":
        assert server.send_to("slow", "for you alone") == 1
    slow.resume()
    if policy == "close":
        lobby.until(lambda: ends)
        assert ends == [1013] and got == said[:len(got)]
        return

    if policy == "drop_oldest":  # the newest is what stays
        lobby.until(lambda: said[last] in got)

    def is_over():
        say("end")
        return "end" in got

    lobby.until(is_over)

    def is_counted():
        world.queue.wake()
        return len(got) - 1 + room.dropped() == len(said)

    lobby.until(is_counted)
    assert got.count("for you alone") == 1 and conn.is_open
    numbers = [int(text) for text in got if text[0].isdigit()]
    assert numbers == sorted(set(numbers))


def test_recovery_is_exact_while_connections_are_cut(lobby):
    """Publishers on threads go on while a member is cut off again and again: it hears each
    offset once, in order, and is recovered exactly when all that it missed is kept."""
    kept, dice = 200, random.Random(6)
    room = lobby.server.room("r", history=kept, slow_members="close")
    epoch, said, heard, ends = room.position.epoch, {}, {}, []
    at, ahead, over = 0, kept // 2, False

    def publish(name):
        number = 0
        while not over:
            if room.position.offset - at < ahead:
                number += 1
                said[room.publish(f"{name} {number}").position.offset] = f"{name} {number}"
            else:
                os.sched_yield()

    def hear(conn, message):
        nonlocal at
        at += 1
        heard[at] = message

    def reaches(offset):
        lobby.world.queue.wake()
        return offset()

    client = lobby.world.client("/ann", on_message=hear,
                                on_close=lambda conn, info: ends.append(info))
    threads = [threading.Thread(target=publish, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    try:
        answers = []
        for cut in range(30):
            lobby.conns.clear()
            conn = client.connect()
            lobby.until(lambda: "ann" in lobby.conns)
            joined = room.join(lobby.conns["ann"], since=(epoch, at))
            answers.append(joined.recovered)
            assert joined.recovered == (joined.position.offset - at <= kept)
            if not joined.recovered:
                at = joined.position.offset
            aim, ahead = at + dice.randrange(1, 100), kept // 2
            lobby.until(lambda: reaches(lambda: at >= aim))
            dice.choice((conn, lobby.conns["ann"])).reset()
            lobby.until(lambda: len(ends) == cut + 1)
            if cut % 3 == 2:
                ahead = 2 * kept
                lobby.until(lambda: reaches(lambda: room.position.offset - at > kept))
    finally:
        over = True
        for thread in threads:
            thread.join()
    assert answers.count(False) == 9 and len(answers) == 30
    assert heard == {offset: said[offset] for offset in heard}


def test_calls_from_threads(lobby):
    """Publishers on threads, joins and leaves on this one: what is heard has no gap."""
    ann, = lobby.connect("ann")
    room = lobby.server.room("r", history=1000)
    threads = [threading.Thread(target=lambda: [room.broadcast("x") for _ in range(100)])
               for _ in range(3)]
    for thread in threads:
        thread.start()
    position = room.join(ann, since=wsock.Position()).position
    for _ in range(10):
        room.leave(ann)
        room.join(ann)
    for thread in threads:
        thread.join()
    assert room.position.offset == 300 and position.epoch == room.position.epoch
    assert room.publish("end").position.offset == 301
    lobby.until(lambda: lobby.heard["ann"] and lobby.heard["ann"][-1] == "end")
