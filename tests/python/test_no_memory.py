# SPDX-License-Identifier: MIT
"""Rooms while memory fails: every call, and what a room tells, with each allocation failing in
turn, Python's and the library's. A call raises MemoryError or an error that says so, or works;
what an event was about does not hang; and nothing is left."""
import base64
import gc
import hashlib
import hmac
import time
from functools import partial

import failing
import pytest
from conftest import PATIENCE, World

import wsock
from wsock import _wsock

FOR_EVER = 10**9
CODEC = (str, int)  # eval() and the like have faults of their own without memory

# A generator that is closed without memory can tell that to nobody.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Walk:
    """A server with rooms, and somebody in it."""

    def __init__(self, world):
        self.world, self.server = world, world.server
        self.conns = []
        self.steps = self.failures = 0

        @self.server.on_request("/{who}")
        def check(req):
            who = req.params["who"]
            return req.accept(identity=None if who == "nobody" else who)

        @self.server.on_open("/{who}")
        def opened(conn):
            self.conns.append(conn)

        self.server.start()

    def connect(self, who="ann"):
        """A connection of the server's, and its other end."""
        self.conns.clear()
        other = self.world.client("/" + who).connect()
        self.world.until(lambda: self.conns)
        return self.conns.pop(), other

    def sound(self, what, raised):
        """Whether that may come of a call while memory fails."""
        assert (raised is None or isinstance(raised, MemoryError)
                or isinstance(raised, wsock.Error) and raised.code == wsock.ENOMEM), (what, raised)
        self.failures += raised is not None

    def __call__(self, what, act, undo=lambda result: None, prepare=lambda: None):
        """Calls act with one allocation behind the other failing, until none is left that
        could: each alone, and with those that follow. Not all of Python's: an interpreter
        that cannot make an exception may end the process."""
        for of_library in False, True:
            for count in 1, FOR_EVER if of_library else 5:
                before, failed = 0, True
                while failed:
                    prepare()
                    failed, result, raised = failing.call(act, before, count, of_library)
                    self.sound((what, before, count, of_library), raised)
                    undo(result)
                    before += 1
                    self.steps += 1
                    assert before < 5000, what


@pytest.fixture
def walk(world):
    return Walk(world)


def test_calls(walk):
    server = walk.server
    room = server.room("kept", history=4, max_publish_rate=1000000)
    coded = server.room("kept", codec=CODEC)
    start = room.position
    for number in range(6):
        room.publish(str(number), key="k")
    ann, other = walk.connect()
    message = server.message("built")

    def leave(_=None):
        room.leave(ann)

    def join(_=None):
        room.join(ann, info=8)

    walk("join", lambda: room.join(ann, info={"a": 1}, since=start), leave)
    join()
    for name, act in {
        "make": lambda: server.room("another", history=4, codec=CODEC),
        "find": lambda: server.find_room("kept"),
        "defaults": lambda: server.room_defaults("made.*", max_members=8, history_time=2),
        "position": lambda: room.position,
        "history": lambda: room.history(),
        "coded history": lambda: coded.history(2, before=6),
        "people": lambda: room.people,
        "members": lambda: room.members,
        "contains": lambda: ann in room,
        "info": lambda: room.info(ann),
        "publish": lambda: room.publish("9", key="k", exclude="nobody"),
        "publish and be told": lambda: room.publish("9", on_done=lambda done: None),
        "join and be told": lambda: room.join(ann, on_joined=lambda *told: None),
        "rooms": lambda: server.rooms("*"),
        "cluster": lambda: server.cluster,
        "publish to most": lambda: room.publish("9", exclude=[ann]),
        "publish to some": lambda: room.publish("9", only=lambda conn: True),
        "broadcast": lambda: coded.broadcast(9),
        "broadcast bytes": lambda: room.broadcast(b"x", exclude=ann),
        "broadcast a message": lambda: room.broadcast(message),
        "send_to": lambda: coded.send_to("ann", 1),
        "send_to of a server": lambda: server.send_to("ann", "hello"),
        "connections_of": lambda: server.connections_of("ann"),
        "may_publish": lambda: room.may_publish(ann),
        "dropped": lambda: room.dropped(ann),
        "get": lambda: room.get("history_messages"),
        "identity": lambda: ann.identity,
        "kick nobody": lambda: room.kick("nobody", "why"),
    }.items():
        walk(name, act)
        assert len(room) == 1, name
    leave()
    walk("kick", lambda: room.kick("ann", "why"), leave, join)
    walk("kick one", lambda: room.kick(ann, "why"), leave, join)
    walk("leave", lambda: room.leave(ann), leave, join)
    walk("subscribe", lambda: server.subscribe(ann, "k.*"),
         lambda _: server.unsubscribe(ann, "k.*"))
    walk("unsubscribe", lambda: server.unsubscribe(ann, "k.*"),
         lambda _: server.unsubscribe(ann, "k.*"), lambda: server.subscribe(ann, "k.*"))

    def listen(room):
        room.on_join(lambda member: None)
        room.on_leave(lambda member: None)
        room.on_message(lambda message: None)

    def close(_):
        server.room("heard").close()
        while walk.world.queue.poll():
            pass

    walk("handlers", lambda: listen(server.room("heard", codec=CODEC)), close)
    walk("close", lambda: server.room("heard").close("over"), close,
         lambda: listen(server.room("heard", history=2)))
    assert walk.steps > 600 and walk.failures > 300, (walk.steps, walk.failures)


def test_tokens(walk):
    secret = b"0123456789abcdef0123456789abcdef"
    try:
        key = wsock.JWTKey(secret)
    except wsock.Error as error:  # a build without OpenSSL or jansson
        assert error.code == wsock.ENOTSUP
        return
    text = b"eyJhbGciOiJIUzI1NiJ9.e30"  # {"alg":"HS256"}.{}
    sign = base64.urlsafe_b64encode(hmac.new(secret, text, hashlib.sha256).digest())
    token = text + b"." + sign.rstrip(b"=")
    walk("key", lambda: wsock.JWTKey(secret))
    walk("verify", lambda: key.verify(token, leeway=1))
    walk("claims", key.verify(token).may_direct)
    assert walk.failures > 20, walk.failures


def test_calls_that_end_a_connection(walk):
    server, made = walk.server, []

    def again(who):
        made[:] = walk.connect(who)

    def end(_):
        made[0].reset()
        walk.world.until(lambda: made[0].close_info and made[1].close_info)

    walk("identity", lambda: setattr(made[0], "identity", "me"), end, lambda: again("nobody"))
    walk("disconnect", lambda: server.disconnect("ann", 4000, "away"), end, lambda: again("ann"))


def test_what_a_room_tells(walk):
    told = []
    room = walk.server.room("told", history=2, codec=CODEC)
    room.on_join(lambda member: told.append((member.identity, member.info)))
    room.on_leave(lambda member: told.append((member.identity, member.how)))
    room.on_message(lambda message: told.append(message.data))
    walk.server.on_error(lambda error, subject: None)
    queue, before, failed = walk.world.queue, 0, True
    while failed:
        ann, other = walk.connect()
        room.join(ann, info=[before])
        room.broadcast(before)
        ann.reset()
        failed, _, raised = failing.call(lambda: queue.poll(timeout=0.02), before, 1, False)
        walk.sound(("poll", before), raised)
        # Its end may have come within the poll, and been told of nothing.
        walk.world.until(lambda: ann._owner is None and not len(room))
        before += 1
        assert before < 5000
    assert before > 20 and len(told) > before


class Asking:
    """A page that asks, with a queue of its own, and what the hook is given."""

    def __init__(self, walk):
        self.world, self.heard, self.asks = walk.world, [], []
        self.queue = wsock.Queue(workers=1)
        self.page = wsock.Client(
            self.world.url + "/rooms", queue=self.queue, subprotocols=["wsock.rooms.v1"],
            on_message=lambda _, message: self.heard.append(message)).connect()
        self.until(lambda: self.page.is_open)
        self.page.send('{"type": "hello", "v": 1}')
        self.until(lambda: self.heard)

    def until(self, condition):
        """Run the handlers of both until it holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.heard
            self.queue.poll(timeout=0.005)
            self.world.queue.poll(timeout=0.005)

    def begin(self):
        """Have it ask something that the hook keeps."""
        self.asks.clear()
        self.page.send('{"type": "call", "name": "x", "args": [1]}')
        self.until(lambda: self.asks)

    def end(self, _=None):
        """Have it answered, if it is not, and heard."""
        if not self.asks[0].answered:
            self.asks[0].refuse("no")
        self.answered()

    def answered(self):
        count = len(self.heard)
        self.page.send('{"type": "leave", "room": "none", "id": %d}' % count)
        self.until(lambda: any(f'"re":{count}' in each for each in self.heard[count:]))


def test_hooks(world):
    def keep(ask):
        asking.asks.append(ask)
        ask.defer()

    server = world.server
    try:
        server.serve_rooms("/rooms", on_call=keep)
    except wsock.Error as error:  # a build without jansson
        assert error.code == wsock.ENOTSUP
        return
    walk = Walk(world)
    asking = Asking(walk)
    walk("serve", lambda: server.serve_rooms("/rooms", on_call=keep, on_join=bool))
    walk("away", lambda: server.away(1))
    server.serve_rooms("/rooms", on_call=keep)
    asking.begin()
    for name in "kind", "room", "name", "token", "event", "key", "data", "__repr__":
        walk(name, partial(getattr, asking.asks[0], name))
    asking.end()
    for name, act in {
        "accept": lambda: asking.asks[0].accept(),
        "reply": lambda: asking.asks[0].reply({"a": 1}),
        "refuse": lambda: asking.asks[0].refuse("no", "not you", retry=True),
    }.items():
        walk(name, act, asking.end, asking.begin)
    assert walk.failures > 100, walk.failures
    asking.queue.close()


def test_what_a_hook_is_asked(world):
    def hook(ask):
        return [ask.name, ask.data]

    server = world.server
    server.on_error(lambda error, subject: None)
    try:
        server.serve_rooms("/rooms", on_call=hook)
    except wsock.Error as error:
        assert error.code == wsock.ENOTSUP
        return
    walk = Walk(world)
    asking = Asking(walk)
    before, failed = 0, True
    while failed:
        asking.page.send('{"type": "call", "name": "x", "args": [1], "id": "x"}')
        assert world.queue.wait(PATIENCE)
        failed, _, raised = failing.call(world.queue.poll, before, 1, False)
        walk.sound(("poll", before), raised)
        asking.answered()
        before += 1
        assert before < 5000
    assert before > 20
    answers = [each for each in asking.heard if '"re":"x"' in each]
    assert len(answers) == before, "each is answered"
    assert any("failed" in each for each in answers) and '["x",[1]]' in answers[-1]
    asking.queue.close()


def test_what_is_told_once_of_a_cluster():
    told = []
    world = World(cluster="memory:python-no-memory")
    walk = Walk(world)
    server, room = world.server, world.server.room("kept", history=2)
    server.on_error(lambda error, subject: None)
    server.on_cluster(lambda server, cluster: told.append(cluster))
    world.until(lambda: server.cluster.state is wsock.ClusterState.UP)
    ann, _ = walk.connect()

    def drain(_=None):
        while world.queue.poll():
            pass

    walk("on_cluster", lambda: server.on_cluster(lambda *told: None), drain)
    walk("nodes", lambda: server.nodes(lambda *told: None), drain)
    walk("people", lambda: room.people_everywhere(lambda *told: None), drain)
    walk("publish", lambda: room.publish("x", on_done=lambda done: None), drain)
    walk("join", lambda: room.join(ann, since=("", 0), on_joined=lambda *told: None),
         lambda _: (room.leave(ann), drain()))
    assert walk.failures > 50, walk.failures
    world.until(lambda: world.queue._kept() <= 2)  # ann, at both ends
    for ask in server.nodes, room.people_everywhere:
        before, failed = 0, True
        while failed:
            # Without memory a link to the broker is lost, for a moment.
            world.until(lambda: server.cluster.state is wsock.ClusterState.UP)
            ask(lambda *arguments: told.append(arguments))
            assert world.queue.wait(PATIENCE)
            failed, _, raised = failing.call(world.queue.poll, before, 1, False)
            walk.sound(("poll", before), raised)
            before += 1
            assert before < 5000
        assert before > 1 and told
    world.close()


def test_nothing_is_left():
    """Of what the module in C does: Python itself loses references where it has no memory for
    the frame of a comprehension or a generator."""
    def work():
        world = World(history_messages=3)
        walk = Walk(world)
        ann, _ = walk.connect()
        server, room = world.server._handle, world.server.room("r")
        room.join(ann, info=1)
        room.broadcast("x", key="k")
        handle, all_of_them, arguments = room._handle, [ann], ["max_members", "5"]
        for name, act in {
            "make_room": partial(_wsock.make_room, server, "s", arguments),
            "history": partial(_wsock.history, handle, 0, 100),
            "position": partial(_wsock.position, handle),
            "people": partial(_wsock.people, handle),
            "members": partial(_wsock.members, handle),
            "info": partial(room.info, ann),
            "identity_conns": partial(_wsock.identity_conns, server, "ann"),
            "publish": partial(room.publish, "y", exclude=all_of_them, key="k"),
            "publish to some": partial(room.publish, "y", only=bool),
            "send_to": partial(room.send_to, "ann", "y"),
            "hooks": partial(_wsock.Hooks, handle, world.server.queue),
        }.items():
            walk(name, act)
            del act
        before = 0
        join = partial(room.join, ann, info=b"1", since=("", 0))
        while failing.call(join, before, 1, False)[0]:
            room.leave(ann)
            before += 1
        world.close()

    before = None
    for _ in range(3):
        work()
        gc.collect(), _wsock.reap()
        assert before in (None, failing.blocks())
        before = failing.blocks()
