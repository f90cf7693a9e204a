# SPDX-License-Identifier: MIT
"""Servers, clients and connections of the native API."""
import gc
import logging
import os
import socket
import threading
import time

import pytest

import wsock
from conftest import until


def test_echo_of_text_and_binary(world):
    got = []

    @world.server.on_message("/")
    def echo(conn, message):
        assert conn.send(message) is True

    world.server.start()
    conn = world.client(on_open=lambda conn: (conn.send("ä"), conn.send(b"\0\xff")),
                        on_message=lambda conn, message: got.append(message)).connect()
    world.until(lambda: len(got) == 2)
    assert got == ["ä", b"\0\xff"]
    conn.close(1001, "bye")
    world.until(lambda: conn.close_info is not None)
    assert conn.close_info.code == 1001
    assert not conn.is_open
    with pytest.raises(wsock.Error) as caught:
        conn.send("late")
    assert caught.value.name == "WSOCK_ECLOSED"
    assert conn.close() is False


def test_one_object_stands_for_a_connection_until_its_close(world):
    seen = []
    endpoint = world.server.endpoint(
        "/", on_open=lambda conn: seen.append(conn), on_message=lambda conn, m: seen.append(conn),
        on_close=lambda conn, info: seen.append(conn))
    endpoint.on_open(lambda conn: (seen.append(conn), setattr(conn, "data", "mine")))
    world.server.start()
    world.client(on_open=lambda conn: (conn.send("x"), conn.close())).connect()
    world.until(lambda: len(seen) == 3)
    assert seen[0] is seen[1] is seen[2]
    assert seen[0].data == "mine" and len({*seen}) == 1
    assert isinstance(seen[0], wsock.Connection)
    world.until(lambda: world.queue._kept() == 0)


def test_request_says_all_and_is_accepted_or_rejected(world):
    requests, ends = [], []

    @world.server.on_request("/chat/{room}")
    def judge(req):
        requests.append(req)
        if req.authorization is None:
            return req.reject(401, "who are you?", headers={"WWW-Authenticate": "Basic"})
        return req.accept(identity=req.basic[0], info={"a": 1}, subprotocol="two",
                          headers=[("X-Extra", "yes")])

    joined = []
    world.server.on_open("/chat/{room}")(joined.append)
    world.server.start()
    on_close = lambda conn, info: ends.append(info)  # noqa: E731
    world.client("/chat/a%20b?x=1&x=2&y=%C3%A4", on_close=on_close).connect()
    world.until(lambda: ends)
    assert ends[0].http_status == 401 and ends[0].cause == wsock.Cause.REFUSED
    for limit, body in ((5, b"who a"), (0, b"")):
        conn = world.client("/chat/a", on_close=on_close, max_refusal_bytes=limit).connect()
        world.until(lambda: conn.close_info)
        assert conn.response_body == body
    url = world.url.replace("//", "//ann:secret@")
    client = wsock.Client(url + "/chat/a%20b?x=1&x=2&y=%C3%A4", queue=world.queue,
                          headers={"Cookie": "a=b; c=d"}, subprotocols=["one", "two"])
    conn = client.connect()
    world.until(lambda: joined and conn.is_open)
    assert conn.subprotocol == "two" and conn.response_header("x-extra") == "yes"
    assert conn.url == url + "/chat/a%20b?x=1&x=2&y=%C3%A4" and joined[0].url == ""
    assert joined[0].identity == "ann" and joined[0].info == {"a": 1}
    assert joined[0].params == {"room": "a b"} and joined[0].subprotocol == "two"
    req = joined[0].request
    assert req is joined[0].request and isinstance(req, wsock.Request)
    assert req.path == "/chat/a%20b?x=1&x=2&y=%C3%A4" and req.path_only == "/chat/a b"
    assert req.query["x"] == "1" and req.query.get_all("x") == ["1", "2"]
    assert req.query["y"] == "ä" and "z" not in req.query and len(req.query) == 2
    assert req.headers["UPGRADE"] == "websocket" and req.cookies["c"] == "d"
    assert req.subprotocols == ["one", "two"] and req.basic == ("ann", "secret")
    assert req.method == "GET" and req.is_upgrade and not req.is_secure and req.tls is None
    assert req.remote_address == req.peer_address and req.host in world.url
    assert joined[0].remote_address == conn.local_address != conn.remote_address
    assert joined[0].local_address == conn.remote_address == req.host


@pytest.mark.parametrize("listen, reach, here", [
    ("127.0.0.3:0", "127.0.0.3", "127.0.0.3"),
    ("0.0.0.0:0", "127.0.0.2", "127.0.0.2"),
    ("*:0", "127.0.0.4", "127.0.0.4"),
    ("[::]:0", "[::1]", "[::1]"),
])
def test_the_address_of_this_end(listen, reach, here):
    joined = []
    with wsock.Queue() as queue, wsock.Server(f"ws://{listen}", queue=queue) as server:
        server.on_open("/")(joined.append)
        server.start()
        port = server.urls[0].rpartition(":")[2]
        conn = wsock.Client(f"ws://{reach}:{port}/", queue=queue).connect()
        until(queue, lambda: joined and conn.is_open)
        assert joined[0].local_address == f"{here}:{port}" == conn.remote_address
        assert joined[0].remote_address == conn.local_address
    assert joined[0].local_address == f"{here}:{port}"


def test_a_listener_from_a_descriptor(tmp_path):
    joined = []
    with wsock.Queue() as queue, wsock.Server(queue=queue) as server:
        server.on_open("/")(joined.append)
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as path:
            path.bind(f"{tmp_path}/s")  # and does not listen
            port = tcp.getsockname()[1]
            for sock in tcp, path:
                server.listen(f"ws+fd:{sock.fileno()}")
                assert sock.fileno() >= 0
        assert server.urls == [f"ws://127.0.0.1:{port}", f"ws+unix:{tmp_path}/s"]
        server.start()
        for url in server.urls:
            conn = wsock.Client(url, queue=queue).connect()
            until(queue, lambda: conn.is_open and joined)
            assert joined.pop().local_address == conn.remote_address
        server.unlisten(f"ws://127.0.0.1:{port}")
    assert (tmp_path / "s").exists()


@pytest.mark.parametrize("url, name", [
    ("ws+fd:", "WSOCK_EURL"), ("ws+fd:x", "WSOCK_EURL"), ("ws+fd:-1", "WSOCK_EURL"),
    ("ws+fd:3x", "WSOCK_EURL"), ("ws+fd:99999999999", "WSOCK_EURL"),
    ("ws+fd:123456", "WSOCK_EINVAL"), ("ws+fd:0", "WSOCK_EINVAL"),
])
def test_a_descriptor_that_is_no_socket(url, name):
    with wsock.Queue() as queue, wsock.Server(queue=queue) as server:
        with pytest.raises(wsock.Error) as caught:
            server.listen(url)
        assert caught.value.name == name


def test_the_address_of_an_end_at_a_path(tmp_path):
    url, joined = f"ws+unix:{tmp_path}/s", []
    with wsock.Queue() as queue, wsock.Server(url, queue=queue) as server:
        server.on_open("/")(joined.append)
        server.start()
        conn = wsock.Client(url, queue=queue).connect()
        until(queue, lambda: joined and conn.is_open)
        assert joined[0].local_address == f"unix:{tmp_path}/s" == conn.remote_address
        assert joined[0].remote_address == conn.local_address == "unix:"


def test_deferred_request_is_answered_from_a_thread(world):
    waiting, opened = [], []

    @world.server.on_request("/")
    def later(req):
        waiting.append(req)
        return req.defer()

    world.server.on_open("/")(opened.append)
    world.server.start()
    world.client().connect()
    world.until(lambda: waiting)
    thread = threading.Thread(target=lambda: waiting[0].accept(identity="seven"))
    thread.start()
    thread.join()
    world.until(lambda: opened)
    assert opened[0].identity == "seven"
    with pytest.raises(wsock.Error) as caught:
        waiting[0].reject()
    assert caught.value.code == wsock.ECLOSED


def test_failing_handler_closes_its_connection_only(world, caplog):
    got, ends = [], []

    @world.server.on_message("/")
    def echo(conn, message):
        if message == "bad":
            raise KeyError("bad")
        conn.send(message)

    world.server.start()
    on_close = lambda conn, info: ends.append(info)  # noqa: E731
    good = world.client(on_message=lambda conn, m: got.append(m)).connect()
    world.client(on_open=lambda conn: conn.send("bad"), on_close=on_close).connect()
    with caplog.at_level(logging.ERROR):
        world.until(lambda: ends and good.is_open)
    assert ends[0].code == 1011
    assert "KeyError" in caplog.text
    good.send("good")
    world.until(lambda: got)


def test_failing_on_request_answers_500(world):
    errors, ends = [], []
    world.server.on_error(lambda error, subject: errors.append((error, subject)))

    @world.server.on_request("/")
    def judge(req):
        raise ValueError("no")

    world.server.start()
    world.client(on_close=lambda conn, info: ends.append(info)).connect()
    world.until(lambda: ends)
    assert ends[0].http_status == 500
    assert isinstance(errors[0][0], ValueError) and isinstance(errors[0][1], wsock.Request)


def test_dispatch_lets_one_exception_out_and_keeps_the_rest(world):
    got = []

    @world.server.on_message("/")
    def fail(conn, message):
        got.append(message)
        raise ValueError(message)

    world.server.start()
    conn = world.client().connect()
    world.until(lambda: conn.is_open)
    for i in range(5):
        conn.send(str(i))
    raised = []
    while len(raised) < 5:
        try:
            world.queue.dispatch(timeout=5)
        except ValueError as error:
            raised.append(str(error))
            assert len(got) == len(raised)
    assert raised == got == ["0", "1", "2", "3", "4"]
    assert conn.is_open


def test_handlers_are_replaced_for_open_connections(world):
    got = []
    endpoint = world.server.endpoint("/", on_message=lambda conn, m: got.append("old"))
    world.server.start()
    conn = world.client().connect()
    world.until(lambda: conn.is_open)
    conn.send("x")
    world.until(lambda: got)
    endpoint.on_message(lambda conn, m: got.append("new"))
    conn.send("x")
    world.until(lambda: len(got) == 2)
    assert got == ["old", "new"]


def test_rooms(world):
    lobby = world.server.room("lobby")
    heard, joined = [], []

    @world.server.on_open("/")
    def join(conn):
        assert lobby.join(conn)
        assert lobby.join(conn) is None
        joined.append(conn)

    world.server.start()
    client = world.client(on_message=lambda conn, m: heard.append((conn, m)))
    first, second = client.connect(), client.connect()
    world.until(lambda: len(joined) == 2 and first.is_open and second.is_open)
    assert len(lobby) == 2 and set(lobby) == set(joined) and joined[0] in lobby
    assert lobby.broadcast("all") == 2
    world.until(lambda: len(heard) == 2)
    assert lobby.broadcast(b"one", exclude=joined[0]) == 1
    world.until(lambda: len(heard) == 3)
    assert lobby.broadcast("no", only=lambda conn: False) == 0
    with pytest.raises(ZeroDivisionError):
        lobby.broadcast("no", only=lambda conn: 1 // 0)
    with pytest.raises(TypeError):
        lobby.broadcast({"a": 1})
    message = world.server.message("built")
    assert lobby.broadcast(message) == 2
    world.until(lambda: len(heard) == 5)
    assert lobby.leave(joined[0]) is True and lobby.leave(joined[0]) is False
    assert world.server.find_room("lobby").name == "lobby"
    assert world.server.find_room("none") is None


def test_codec(world):
    import json
    got = []
    codec = (json.dumps, json.loads)
    world.server.endpoint("/", codec=codec, on_message=lambda conn, m: conn.send({"re": m}))
    world.server.start()
    world.client(codec=codec, on_open=lambda conn: conn.send([1, "x"]),
                 on_message=lambda conn, m: got.append(m)).connect()
    world.until(lambda: got)
    assert got == [{"re": [1, "x"]}]


def test_what_c_gets_of_an_object(world):
    """Where the library is inside the module, as in wheels (wheel.py says so), nothing."""
    endpoint, room = world.server.endpoint("/"), world.server.room("r")
    things = {"server": world.server, "endpoint": endpoint, "room": room, "queue": world.queue,
              "runtime": world.queue.runtime}
    for name, thing in things.items():
        if "WSOCK_TEST_WHEEL" in os.environ:
            with pytest.raises(wsock.Error, match="inside") as caught:
                wsock.capsule(thing)
            assert caught.value.name == "WSOCK_ENOTSUP"
        else:
            assert f'"wsock.{name}"' in repr(wsock.capsule(thing))


def test_messages_as_buffers(world):
    world.server.endpoint("/", payload="buffer", max_backlog_bytes="8MiB")
    heard, echoes = [], []
    world.server.on_message("/")(lambda conn, message: heard.append(message)
                                 or conn.send(message, text=message.is_text))
    world.server.start()
    conn = world.client(on_message=lambda conn, message: echoes.append(message),
                        max_backlog_bytes="8MiB").connect()
    world.until(lambda: conn.is_open)
    sent = ["", "ä", b"", b"\0\xff", b"x" * 4096, b"y" * 4097, "ö" * 300_000, bytes(900_000)]
    assert all(conn.send(message) for message in sent)
    world.until(lambda: len(echoes) == len(sent))
    assert echoes == sent
    for message, buffer in zip(sent, heard):
        assert isinstance(buffer, wsock.Buffer) and len(buffer) == len(bytes(buffer))
        if isinstance(message, str):
            assert buffer.is_text and str(buffer, "utf-8") == message
        else:
            assert not buffer.is_text and bytes(buffer) == message
        assert memoryview(buffer).readonly
    assert repr(heard[3]) == "<wsock.Buffer of 2 bytes, binary>"
    with pytest.raises(TypeError):
        memoryview(heard[5])[0] = 1


def test_what_looks_into_a_buffer_keeps_it(world):
    slices = []
    world.server.endpoint("/", payload="buffer", codec=(None, lambda buffer: buffer))
    world.server.on_message("/")(lambda conn, message: slices.append(memoryview(message)[2:8]))
    world.server.start()
    conn = world.client(max_backlog_bytes="8MiB").connect()
    world.until(lambda: conn.is_open)
    for i in range(50):
        conn.send(b"%06d" % i * 10_000)
    world.until(lambda: len(slices) == 50)
    world.close()
    gc.collect()
    for i, piece in enumerate(slices):
        whole = b"%06d" % i
        assert bytes(piece) == (whole * 2)[2:8]


def test_buffers_are_asked_for_and_taken_back(world):
    heard = []
    with pytest.raises(ValueError, match="payload"):
        world.server.endpoint("/", payload="bytes")
    with pytest.raises(ValueError, match="payload"):
        world.client(payload=True)
    world.server.on_open("/")(lambda conn: conn.send("hello"))
    world.server.start()
    conn = world.client(payload="buffer", on_message=lambda conn, m: heard.append(m)).connect()
    world.until(lambda: heard)
    assert str(heard.pop(), "utf-8") == "hello"
    endpoint = world.server.endpoint("/", on_message=lambda conn, m: heard.append(m))
    for payload, expected in [("buffer", wsock.Buffer), (None, str)]:
        endpoint.configure(payload=payload)
        conn.send("x")
        world.until(lambda: heard)
        assert type(heard.pop()) is expected


def test_calls_between_the_handlers_of_a_connection(world):
    order = []
    world.server.on_open("/")(lambda conn: conn.call(lambda: order.append(("call", conn))))
    world.server.on_message("/")(lambda conn, message: order.append(message))
    world.server.start()
    conn = world.client().connect()
    here = threading.get_ident()
    conn.call(lambda: order.append(threading.get_ident()))  # before it is open
    world.until(lambda: len(order) == 2)
    assert here in order
    (joined,) = [entry[1] for entry in order if entry != here]
    thread = threading.Thread(target=lambda: joined.call(
        lambda: order.append(threading.get_ident() == here)))
    thread.start()
    thread.join()
    world.until(lambda: len(order) == 3)
    assert order[2] is True
    with pytest.raises(TypeError):
        joined.call(3)


def test_nothing_is_called_behind_the_end_of_a_connection(world):
    failures = []

    def call_late(conn):
        with pytest.raises(wsock.Error) as caught:
            conn.call(lambda: failures.append("called"))
        failures.append(caught.value.name)

    world.server.endpoint("/", on_close=lambda conn, info: call_late(conn))
    world.server.start()
    conn = world.client().connect()
    world.until(lambda: conn.is_open)
    conn.reset()
    world.until(lambda: failures and conn.close_info)
    call_late(conn)
    world.queue.poll()
    assert failures == ["WSOCK_ECLOSED"] * 2


def test_timers_and_calls(world):
    ran = []
    ticks = world.server.every(0.005, lambda: ran.append("tick"))
    world.server.after(0.001, lambda: ran.append("once"))
    cancelled = world.server.after(0.01, lambda: ran.append("never"))
    cancelled.cancel()
    assert not cancelled.active and ticks.active
    thread = threading.Thread(target=lambda: world.server.call(lambda: ran.append("call")))
    thread.start()
    world.until(lambda: ran.count("tick") > 5 and "call" in ran and "once" in ran)
    thread.join()
    ticks.cancel()
    count = ran.count("tick")
    world.server.after(0.02, lambda: ran.append("end"))
    world.until(lambda: "end" in ran)
    assert ran.count("tick") == count and "never" not in ran and ran.count("once") == 1
    world.until(lambda: world.queue._kept() == 0)


def test_send_types(world):
    got = []
    world.server.endpoint("/", on_message=lambda conn, m: got.append(m))
    world.server.start()
    conn = world.client().connect()
    world.until(lambda: conn.is_open)
    conn.send("t", text=False)
    conn.send(b"b", text=True)
    conn.send(bytearray(b"array"))
    conn.send(memoryview(b"view")[1:])
    conn.send(world.server.message(b"message"))
    for wrong in ({"a": 1}, None, 3, ["x"]):
        with pytest.raises(TypeError):
            conn.send(wrong)
    with pytest.raises(wsock.Error) as caught:
        conn.send(b"\xff", text=True)
    assert caught.value.name == "WSOCK_EUTF8"
    with pytest.raises(UnicodeEncodeError):
        conn.send("\ud800")
    world.until(lambda: len(got) == 5)
    assert got == [b"t", "b", b"array", b"iew", b"message"]


def test_full_backlog_is_false_and_drains(world):
    drained, got = [], []
    world.server.endpoint("/", on_message=lambda conn, m: got.append(len(m)))
    world.server.start()
    conn = world.client(on_drain=drained.append, max_backlog_bytes=65536).connect()
    world.until(lambda: conn.is_open)
    sent = 0
    while conn.send(b"x" * 30000):
        sent += 1
        assert sent < 10000
    assert conn.buffered > 0
    world.until(lambda: drained and len(got) == sent)
    assert drained[0] is conn and conn.send("again") is True


def test_options_and_errors(world):
    with pytest.raises(TypeError, match="did you mean max_message_bytes"):
        wsock.Server(max_mesage_bytes=3)
    with pytest.raises(wsock.Error) as caught:
        wsock.Server(world.url)
    assert caught.value.name == "WSOCK_EADDRINUSE" and world.url[5:] in caught.value.detail
    assert caught.value.code == wsock.EADDRINUSE
    world.server.set("idle_timeout", 1.5)
    assert world.server.get("idle_timeout") == "1500 ms"
    world.server.set("idle_timeout", None)
    assert world.server.get("idle_timeout") == "off"
    with pytest.raises(wsock.Error, match="idle_timeout"):
        world.server.set("idle_timeout", "soon")
    with pytest.raises(TypeError, match="wsock.TLS"):
        wsock.Server(tls=object())
    with pytest.raises(ValueError, match="ping_interval is a number of seconds, 0 or more, not -1"):
        wsock.Server("ws://127.0.0.1:0", ping_interval=-1)
    assert all(kind.__module__ == "wsock" for kind in (
        wsock.Error, wsock.Cause, wsock.Began, wsock.CloseInfo, wsock.State, wsock.StateInfo))


def test_why_a_connection_ended_has_names(world):
    ends = []
    client = world.client(on_close=lambda conn, info: ends.append(info))
    with pytest.raises(wsock.Error, match="not started, or was stopped") as caught:
        client.send("early")
    assert caught.value.code == wsock.ECLOSED
    world.server.endpoint("/")
    world.server.start()
    conn = client.connect()
    world.until(lambda: conn.is_open)
    conn.close()
    world.until(lambda: ends)
    assert ends[0].cause is wsock.Cause.CLOSED and ends[0].began is wsock.Began.US
    assert isinstance(ends[0], tuple) and conn.close_info is ends[0]


def lines_of(caplog):
    return [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "wsock"]


def test_the_librarys_log_goes_to_logging_where_handlers_run(caplog):
    caplog.set_level(logging.DEBUG, "wsock")
    ends = []
    with wsock.Server("ws://127.0.0.1:0", workers=2, log_level=4) as server:
        assert not lines_of(caplog)  # nobody dispatched
        server.start()
        wsock.Client(server.urls[0], queue=server,
                     on_close=lambda conn, info: ends.append(info)).connect()
        while not ends:
            server.queue.dispatch(timeout=20)
    lines = lines_of(caplog)
    assert ("INFO", f"server: listens on {server_url(lines)}") == lines[0]
    assert any(level == "DEBUG" and "conn " in line for level, line in lines)
    assert lines[-1] == ("INFO", "server: stopped")
    assert {r.subject for r in caplog.records if "listens" in r.msg % r.args} == {"server"}
    assert {r.threadName for r in caplog.records} == {"MainThread"}


def server_url(lines):
    return lines[0][1].rpartition(" ")[2]


def test_a_line_of_the_log_wakes_who_waits(caplog):
    caplog.set_level(logging.INFO, "wsock")
    with wsock.Server("ws://127.0.0.1:0", workers=1, log_level=3) as server:
        server.queue.poll()
        caplog.clear()
        thread = threading.Timer(0.05, server.listen, ["ws://127.0.0.1:0"])
        thread.start()
        begun = time.monotonic()
        while not caplog.records:
            server.queue.poll(timeout=20)
        assert time.monotonic() - begun < 15
        thread.join()
        assert "listens on" in caplog.text


def test_lines_that_nobody_took_are_counted(caplog):
    caplog.set_level(logging.INFO, "wsock")
    with wsock.Server("ws://127.0.0.1:0", workers=1, log_level=3) as server:
        for _ in range(1100):
            server.listen("ws://127.0.0.1:0")
            server.unlisten(server.urls[-1])
        server.queue.poll()
        lines = lines_of(caplog)
        assert len(lines) == 1025
        assert lines[-1] == (
            "WARNING", "log: 77 lines were dropped, since the host was too busy")
        server.queue.poll()
        assert len(lines_of(caplog)) == 1025


def test_a_log_handler_that_raises_is_as_a_handler_that_does(caplog):
    class Failing(logging.Filter):
        def filter(self, record):
            raise ValueError("filter")

    failing, errors = Failing(), []
    logging.getLogger("wsock").addFilter(failing)
    try:
        with wsock.Server("ws://127.0.0.1:0", workers=1, log_level=3) as server:
            logging.getLogger("wsock").setLevel(logging.INFO)
            server.on_error(lambda error, subject: errors.append((error, subject)))
            server.queue.poll()
            server.listen("ws://127.0.0.1:0")
            with pytest.raises(ValueError):
                server.queue.dispatch()
            logging.getLogger("wsock").removeFilter(failing)
    finally:
        logging.getLogger("wsock").setLevel(logging.NOTSET)
        logging.getLogger("wsock").removeFilter(failing)
    assert [(str(error), subject) for error, subject in errors] == [("filter", None)]


def test_timers_of_a_connection_end_with_it(world):
    ticks, late = [], []

    @world.server.on_open("/")
    def opened(conn):
        conn.data = conn.every(0.001, lambda: ticks.append(conn))
        conn.after(0, lambda: ticks.append("once"))
        conn.after(1000, lambda: late.append("late"))

    world.server.start()
    conn = world.client().connect()
    world.until(lambda: len(ticks) > 3)
    server_side = next(tick for tick in ticks if tick != "once")
    assert ticks.count("once") == 1 and server_side.data.active
    conn.close()
    world.until(lambda: server_side.close_info is not None)
    world.until(lambda: world.queue._kept() == 0)  # nor are the functions kept any more
    assert not server_side.data.active and not late
    with pytest.raises(wsock.Error) as caught:
        server_side.after(1, print)
    assert caught.value.code == wsock.ECLOSED
    with pytest.raises(ValueError):
        conn.every(0, print)


def frames_of(data):
    """What a server says: (whether it is compressed, length) of each whole frame."""
    frames, at = [], 0
    while len(data) >= at + 4:
        size, begin = data[at + 1], at + 2
        if size == 126:
            size, begin = int.from_bytes(data[at + 2:at + 4], "big"), at + 4
        if len(data) < begin + size:
            break
        frames.append((bool(data[at] & 0x40), size))
        at = begin + size
    return frames


def test_what_is_secret_is_not_compressed(world):
    data = "x" * 10000
    world.server.set("compression", "shared")
    room = world.server.room("room")
    ways = (
        lambda conn, **how: conn.send(data, **how),
        lambda conn, **how: room.broadcast(data, **how),
        lambda conn, **how: room.broadcast(data, only=lambda member: True, **how),
        lambda conn, **how: conn.send(world.server.message(data, **how)),
    )

    @world.server.on_open("/")
    def opened(conn):
        room.join(conn)
        for way in ways:
            for how in ({}, {"compress": True}, {"compress": False}):
                way(conn, **how)

    world.server.start()
    host, port = world.url.rpartition("/")[2].split(":")
    with socket.create_connection((host, int(port))) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        came = bytearray()

        def read():
            while len(frames_of(came.partition(b"\r\n\r\n")[2])) < 3 * len(ways):
                came.extend(peer.recv(65536))
            world.queue.wake()

        peer.settimeout(20)
        thread = threading.Thread(target=read)
        thread.start()
        world.until(lambda: len(frames_of(came.partition(b"\r\n\r\n")[2])) == 3 * len(ways))
        thread.join()
    frames = frames_of(came.partition(b"\r\n\r\n")[2])
    assert [compressed for compressed, _ in frames] == [True, True, False] * len(ways)
    assert all(size == 10000 for compressed, size in frames if not compressed)
    with pytest.raises(TypeError, match="compress"):
        world.client().connect().send("x", compres=False)
