# SPDX-License-Identifier: MIT
"""Rooms for pages: what hooks are asked, how they answer, and what becomes of it when they
do not."""
import asyncio
import gc
import json
import threading

import pytest

import wsock
import wsock.asyncio
from programs import run
from wsock import AskKind
from wsock.asyncio.client import connect

V1 = "wsock.rooms.v1"
CODEC = (json.dumps, json.loads)


class Page:
    """What a page is to a server."""

    def __init__(self, world, path="/rooms", subprotocols=(V1,), codec=CODEC, **options):
        self.world, self.heard, self.end, self.count = world, [], None, 0
        self.conn = world.client(path, subprotocols=subprotocols, codec=codec,
                                 on_message=lambda _, message: self.heard.append(message),
                                 on_close=self.ended, **options).connect()
        world.until(lambda: self.conn.is_open or self.end)

    def ended(self, conn, info):
        self.end = info

    def begin(self, **frame):
        """Send a frame, with an id of its own. Returns that."""
        self.count += 1
        self.conn.send(dict(frame, id=self.count))
        return self.count

    def answer(self, number):
        """The answer to it: what is ok, or the error."""
        def answers():
            return [each for each in self.heard if each.get("re") == number]

        self.world.until(lambda: answers() or self.end)
        answer, = answers()
        return answer.get("ok", answer.get("err"))

    def ask(self, **frame):
        return self.answer(self.begin(**frame))

    def hello(self, **fields):
        return self.ask(type="hello", v=1, **fields)

    def closed(self):
        self.world.until(lambda: self.end)
        return self.end


class Rooms:
    """A server with hooks, and what they were asked."""

    def __init__(self, world):
        self.world, self.server, self.asked, self.errors = world, world.server, [], []
        self.hooks = self.server.serve_rooms("/rooms", "/rooms/{room}")
        self.server.on_error(lambda error, subject: self.errors.append((error, subject)))

    def page(self, *args, **options):
        self.server.start()
        return Page(self.world, *args, **options)

    def member(self, room="lobby"):
        page = self.page()
        page.hello()
        page.ask(type="join", room=room)
        return page


@pytest.fixture
def rooms(world):
    return Rooms(world)


def refusal(code, text="refused", retry=False):
    return {"code": code, "text": text, "retry": retry}


def raises(code):
    return pytest.raises(wsock.Error, check=lambda error: error.code == code)


def test_hooks_are_asked_and_decide(rooms):
    asked, conns = [], []
    rooms.server.on_open("/rooms")(conns.append)

    @rooms.hooks.on_hello
    def hello(ask):
        asked.append((ask.kind, ask.room, ask.name, ask.token, ask.event, ask.key, ask.data))
        return ask.accept(identity="ann", info={"colour": "red"}, expires_in=3600)

    @rooms.hooks.on_join
    def join(ask):
        asked.append((ask.kind, ask.room, ask.name, ask.token, ask.event, ask.key, ask.data))
        return ask.room != "secret"

    @rooms.hooks.on_publish
    def publish(ask):
        asked.append((ask.kind, ask.room, ask.name, ask.token, ask.event, ask.key, ask.data))
        if ask.data == "rude":
            return ask.accept(data="kind")
        if ask.data == "bytes":
            return ask.accept(data=b"\0\1")
        if ask.data == "json":
            return ask.accept(data={"x": [None, 1]})
        return None

    @rooms.hooks.on_call
    def call(ask):
        assert ask.conn is conns[0] and ask.conn.identity == "ann"
        return {"name": ask.name, "args": ask.data}

    page = rooms.page()
    welcome = page.hello(token="let me in", name="me")
    assert welcome["identity"] == "ann" and 3_500_000 < welcome["expires_ms"] <= 3_600_000
    assert page.ask(type="join", room="lobby", info=[1], token="t")["infos"] == {
        "ann": {"colour": "red"}}
    assert page.ask(type="join", room="secret") == refusal("forbidden")
    for data in "text", {"x": 1}, {"b64": "AAE="}, "rude", "bytes", "json", None:
        assert page.ask(type="pub", room="lobby", data=data, event="e", key="k") is True
    said = [each["data"] for each in page.heard if each.get("type") == "msg"]
    assert said == ["text", {"x": 1}, {"b64": "AAE="}, "kind", {"b64": "AAE="},
                    {"x": [None, 1]}, None]
    assert page.ask(type="direct", identity="ann", data=7) == {"count": 1}
    assert page.ask(type="call", name="now", args={"a": 1}) == {"name": "now", "args": {"a": 1}}
    assert page.ask(type="call", name="nothing") == {"name": "nothing", "args": None}
    assert page.ask(type="refresh", token="new")["expires_ms"] > 3_500_000
    assert asked[0] == (AskKind.HELLO, None, "me", "let me in", None, None, None)
    assert asked[1] == (AskKind.JOIN, "lobby", None, "t", None, None, [1])
    assert asked[3:6] == [(AskKind.PUBLISH, "lobby", None, None, "e", "k", data)
                          for data in ("text", {"x": 1}, b"\0\1")]
    assert asked[10] == (AskKind.DIRECT, None, "ann", None, "message", None, 7)
    assert asked[11] == (AskKind.REFRESH, None, None, "new", None, None, None)
    assert not rooms.errors


def test_one_room_of_the_path_and_raw_members(rooms):
    heard = []
    rooms.hooks.on_publish(lambda ask: heard.append((ask.room, ask.data, ask.event)))
    page = rooms.page("/rooms/lobby")
    assert page.hello()["identity"].startswith("guest-")
    rooms.world.until(lambda: any(each.get("type") == "joined" for each in page.heard))
    raw = rooms.page("/rooms/lobby", subprotocols=(), codec=None)
    raw.conn.send("hello")
    raw.conn.send(b"\0")
    rooms.world.until(lambda: len(raw.heard) == 2)
    assert raw.heard == ["hello", b"\0"]
    assert heard == [("lobby", "hello", "message"), ("lobby", b"\0", "message")]


def test_without_hooks_all_is_allowed_but_calls(rooms):
    page = rooms.member()
    assert page.ask(type="pub", room="lobby", data=1) is True
    assert page.ask(type="call", name="x")["code"] == "unknown_call"
    rooms.hooks.on_call(lambda ask: 7)
    assert page.ask(type="call", name="x") == 7
    rooms.hooks.on_call(None)
    assert page.ask(type="call", name="x")["code"] == "unknown_call"
    rooms.server.serve_rooms("/rooms", on_call=lambda ask: 8, on_join=lambda ask: False)
    assert page.ask(type="call", name="x") == 8
    assert page.ask(type="join", room="other") == refusal("forbidden")


@pytest.mark.parametrize("what, code, close", (
    (lambda ask: False, "unauthorized", 4401),
    (lambda ask: ask.refuse("banned", "go away"), "banned", 4403),
    (lambda ask: ask.refuse("busy", retry=True), "busy", 1013)))
def test_who_is_refused_at_the_door_is_closed(rooms, what, code, close):
    rooms.hooks.on_hello(what)
    page = rooms.page()
    assert page.hello()["code"] == code and page.closed().code == close


def test_raising_refused_refuses_and_is_no_failure(rooms):
    @rooms.hooks.on_call
    def call(ask):
        if ask.data:
            raise wsock.Refused("read_only", "only ann writes", retry=True)
        raise wsock.Refused

    page = rooms.member()
    assert page.ask(type="call", name="x", args=1) == refusal(
        "read_only", "only ann writes", True)
    assert page.ask(type="call", name="x") == refusal("forbidden")
    assert not rooms.errors
    assert str(wsock.Refused("a", "b")) == "a: b" and str(wsock.Refused("a")) == "a"


def test_what_fails_is_refused_and_the_next_is_served(rooms):
    def hook(ask):
        if ask.data == "raise":
            raise KeyError("broken")
        if ask.data == "return":
            return 7
        return True

    rooms.hooks.on_publish(hook)
    rooms.hooks.on_call(lambda ask: {1, 2} if ask.data else float("nan"))
    page = rooms.member()
    failed = refusal("failed", "the application failed", True)
    assert page.ask(type="pub", room="lobby", data="raise") == failed
    assert page.ask(type="pub", room="lobby", data="return") == failed
    assert page.ask(type="call", name="set", args=1) == failed
    assert page.ask(type="call", name="nan") == failed
    assert page.ask(type="pub", room="lobby", data="fine") is True
    assert [type(error) for error, _ in rooms.errors] == [
        KeyError, TypeError, TypeError, ValueError]
    for _, subject in rooms.errors:
        assert isinstance(subject, wsock.Ask) and subject.conn.is_open
        assert repr(subject).startswith("<wsock.Ask ")


def test_by_default_failures_are_logged(world, caplog):
    world.server.serve_rooms("/rooms", on_join=lambda ask: 1 / 0)
    world.server.start()
    page = Page(world)
    page.hello()
    assert page.ask(type="join", room="lobby")["code"] == "failed"
    assert page.conn.is_open and "ZeroDivisionError" in caplog.text and "JOIN" in caplog.text


def test_dispatch_lets_failures_out(rooms):
    rooms.hooks.on_call(lambda ask: 1 / 0)
    page = rooms.member()
    number = page.begin(type="call", name="x")
    with pytest.raises(ZeroDivisionError):
        while True:
            rooms.world.queue.dispatch(timeout=20)
    assert page.answer(number)["code"] == "failed"


def test_misuse_is_told_and_leaves_the_question_open(rooms):
    caught = []

    def wrong(ask, error, **arguments):
        with pytest.raises(error) as info:
            ask.accept(**arguments)
        assert not ask.answered
        caught.append(getattr(info.value, "name", None))

    @rooms.hooks.on_hello
    def hello(ask):
        for identity in 7, b"ann":
            wrong(ask, TypeError, identity=identity)
        wrong(ask, ValueError, identity="a\0b")
        for identity in "", "x" * 256, "a\nb":
            wrong(ask, wsock.Error, identity=identity)
        for seconds in 0, -1, 31 * 24 * 3600:
            wrong(ask, wsock.Error, expires_in=seconds)
        wrong(ask, TypeError, expires_in="soon")
        wrong(ask, ValueError, info=float("inf"))
        wrong(ask, TypeError, info=object())
        wrong(ask, wsock.Error, data="x")
        with pytest.raises(TypeError):
            ask.accept("ann")
        with raises(wsock.EINVAL):
            ask.reply(1)
        for code in "", "No", "a b", "x" * 65:
            with raises(wsock.EINVAL):
                ask.refuse(code)
        for code in None, 7:
            with pytest.raises(TypeError):
                ask.refuse(code)
        with pytest.raises(TypeError):
            ask.refuse("a", 7)
        with raises(wsock.ETOOBIG):
            ask.refuse("a", "x" * 1025)
        assert not ask.answered
        return ask.accept(identity="ann")

    page = rooms.page()
    assert page.hello()["identity"] == "ann"
    assert set(caught) == {None, "WSOCK_EINVAL", "WSOCK_ERANGE"} and not rooms.errors
    with pytest.raises(TypeError):
        wsock.Ask()
    with pytest.raises(TypeError):
        rooms.hooks.on_join(7)
    with pytest.raises(TypeError):
        rooms.server.serve_rooms()
    with pytest.raises(TypeError):
        rooms.server.serve_rooms("/rooms", on_hallo=print)


def test_rooms_are_served_where_nothing_else_is(world):
    server = world.server
    server.on_message("/taken")(lambda conn, message: None)
    with raises(wsock.EBUSY):
        server.serve_rooms("/taken")
    server.serve_rooms("/rooms")
    for name in "on_message", "on_part":
        with raises(wsock.EBUSY):
            getattr(server, name)("/rooms")(lambda *_: None)
    server.endpoint("/late")
    server.start()
    with raises(wsock.EBUSY):
        server.serve_rooms("/late")
    with raises(wsock.EBUSY):
        server.serve_rooms("/new")


def test_answers_may_come_later_from_any_thread(rooms):
    asked, told = [], []

    @rooms.hooks.on_call
    def call(ask):
        asked.append(ask)
        ask.defer()
        return 1  # is not heard

    def answer():
        told.append(asked[0].reply("later"))
        with raises(wsock.ECLOSED):
            asked[0].reply("again")
        with raises(wsock.ECLOSED):
            asked[0].refuse("late")
        with raises(wsock.ECLOSED):
            asked[0].accept()
        told.append(asked[0].answered)

    page = rooms.member()
    number = page.begin(type="call", name="x")
    rooms.world.until(lambda: asked)
    assert not asked[0].answered
    thread = threading.Thread(target=answer)
    thread.start()
    assert page.answer(number) == "later"
    thread.join()
    assert told == [True, True]
    assert asked[0].name == "x" and asked[0].conn.identity  # it stays readable


def test_who_keeps_no_question_has_refused_it(rooms):
    rooms.hooks.on_call(lambda ask: ask.defer())
    page = rooms.member()
    assert page.ask(type="call", name="x")["code"] == "failed"


def test_what_comes_too_late_is_refused(world):
    asked = []
    world.server.serve_rooms("/rooms", on_call=lambda ask: asked.append(ask) or ask.defer(),
                             ask_timeout=0.05)
    world.server.start()
    page = Page(world)
    page.hello()
    assert page.ask(type="call", name="x")["code"] == "timeout"
    assert not asked[0].answered
    with raises(wsock.ECLOSED):
        asked[0].reply(1)
    assert asked[0].answered


def test_an_ended_connection_hears_no_answer(rooms):
    asked, ended = [], []
    rooms.server.on_close("/rooms")(lambda conn, info: ended.append(conn))
    rooms.hooks.on_call(lambda ask: asked.append(ask) or ask.defer())
    page = rooms.member()
    page.begin(type="call", name="x")
    rooms.world.until(lambda: asked)
    asked[0].conn.reset()
    rooms.world.until(lambda: ended)
    assert ended == [asked[0].conn]
    with raises(wsock.ECLOSED):
        asked[0].reply(1)


def test_a_question_outlives_its_server_and_runtime(world):
    asked = []
    server = wsock.Server("ws://127.0.0.1:0", workers=1)
    server.serve_rooms("/rooms", on_call=lambda ask: asked.append(ask) or ask.defer())
    server.start()
    frames = [{"type": "hello", "v": 1}, {"type": "call", "name": "x"}]
    wsock.Client(server.urls[0] + "/rooms", queue=server, subprotocols=[V1], codec=CODEC,
                 on_open=lambda conn: conn.send(frames)).connect()
    while not asked:
        server.queue.poll(timeout=20)
    server.queue.close()
    server.queue.runtime.close()
    assert asked[0].name == "x" and not asked[0].conn.is_open
    for answer in (asked[0].accept, asked[0].refuse, lambda: asked[0].reply(1)):
        with raises(wsock.ECLOSED):
            answer()
    asked.clear()
    gc.collect()


def test_a_server_tells_that_it_goes(rooms):
    page = rooms.page()
    page.hello()
    rooms.server.away(1.5)
    rooms.server.away(2, reconnect=False)
    rooms.world.until(lambda: sum(each.get("type") == "away" for each in page.heard) == 2)
    assert [(each["after_ms"], each["reconnect"]) for each in page.heard
            if each.get("type") == "away"] == [(1500, True), (2000, False)]
    with pytest.raises(ValueError):
        rooms.server.away(-1)
    with raises(wsock.ERANGE):
        rooms.server.away(25 * 3600)
    with pytest.raises(TypeError):
        rooms.server.away("soon")


# ---- on event loops ----

async def welcome(ws, **fields):
    await ws.send(json.dumps({"type": "hello", "v": 1, "id": "hello", **fields}))
    return json.loads(await ws.recv())


async def asking(ws, number, **frame):
    await ws.send(json.dumps({"id": number, **frame}))
    while True:
        answer = json.loads(await ws.recv())
        if answer.get("re") == number:
            return answer.get("ok", answer.get("err"))


def test_hooks_may_be_coroutine_functions():
    async def main():
        errors, order = [], []
        async with wsock.asyncio.Server("ws://127.0.0.1:0") as server:
            hooks = server.serve_rooms("/rooms")
            server.on_error(lambda error, subject: errors.append((error, subject)))

            @hooks.on_hello
            async def hello(ask):
                await asyncio.sleep(0)
                return ask.accept(identity=ask.token)

            @hooks.on_join
            async def join(ask):
                await asyncio.sleep(0)
                return ask.room == "lobby"

            @hooks.on_publish
            async def publish(ask):
                order.append(ask.data)
                await asyncio.sleep(0)
                order.append(ask.data)

            @hooks.on_call
            async def call(ask):
                await asyncio.sleep(0)
                if ask.name == "raise":
                    raise ValueError("broken")
                if ask.name == "refuse":
                    raise wsock.Refused("no", "not now", retry=True)
                if ask.name == "later":
                    ask.defer()
                    server.call(lambda: ask.reply("later"))
                    return "at once"
                return {"answer": ask.data}

            server.start()
            async with connect(server.urls[0] + "/rooms", subprotocols=[V1]) as ws:
                assert (await welcome(ws, token="ann"))["ok"]["identity"] == "ann"
                assert (await asking(ws, 1, type="join", room="lobby"))["count"] == 1
                assert await asking(ws, 2, type="join", room="x") == refusal("forbidden")
                for number in range(3, 8):
                    await ws.send(json.dumps({"type": "pub", "room": "lobby", "data": number}))
                assert await asking(ws, 8, type="call", name="raise") == refusal(
                    "failed", "the application failed", True)
                assert await asking(ws, 9, type="call", name="refuse") == refusal(
                    "no", "not now", True)
                assert await asking(ws, 10, type="call", name="later") == "later"
                assert await asking(ws, 11, type="call", name="x", args=1) == {"answer": 1}
            assert order == [number for number in range(3, 8) for _ in range(2)]
            (error, subject), = errors
            assert isinstance(error, ValueError) and subject.kind is AskKind.CALL

    run(main())


def test_a_coroutine_may_outlive_the_connection():
    async def main():
        conns, errors, decided = [], [], []
        gone, entered = asyncio.Event(), asyncio.Event()
        async with wsock.asyncio.Server("ws://127.0.0.1:0") as server:
            hooks = server.serve_rooms("/rooms")
            server.on_error(lambda error, subject: errors.append(error))
            server.on_open("/rooms")(conns.append)
            server.on_close("/rooms")(lambda conn, info: gone.set())

            @hooks.on_hello
            async def hello(ask):
                entered.set()
                await gone.wait()
                decided.append(ask.conn.is_open)
                return ask.accept(identity="ann")

            server.start()
            async with connect(server.urls[0] + "/rooms", subprotocols=[V1]) as ws:
                await ws.send(json.dumps({"type": "hello", "v": 1}))
                await entered.wait()
                conns[0].reset()
                await gone.wait()
        assert decided == [False] and errors == []

    run(main())


def test_an_answer_has_the_newest_that_fit(rooms):
    page = rooms.page()
    page.hello()
    room = rooms.server.room("lobby", history_messages=100)
    for number in range(40):  # what is kept is four times what one answer holds
        room.publish(f"{number} {'x' * 100_000}")
    page.ask(type="join", room="lobby")
    before = 0
    for numbers in range(30, 40), range(20, 30):
        messages = page.ask(type="history", room="lobby", before=before)["messages"]
        assert [int(each["data"].split()[0]) for each in messages] == list(numbers)
        before = messages[0]["offset"]
