# SPDX-License-Identifier: MIT
"""Beginnings and ends: of interpreters, processes, threads and objects."""
import gc
import inspect
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest

import wsock
from wsock import _wsock

PATIENCE = 60


def run_script(text, interrupt_after=None, status=0):
    """Run a script that prints. @param interrupt_after the line to answer with SIGINT."""
    process = subprocess.Popen([sys.executable, "-X", "faulthandler", "-c",
                                textwrap.dedent(text)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    lines = []
    if interrupt_after is not None:
        for line in process.stdout:
            lines.append(line)
            if line.strip() == interrupt_after:
                process.send_signal(signal.SIGINT)
                break
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, (out, err)
    return "".join(lines) + out, err


OPEN_SERVER = """
    import wsock
    server = wsock.Server("ws://127.0.0.1:0", workers=2)
    server.endpoint("/", on_message=lambda conn, m: conn.send(m))
    conn = wsock.Client(server.urls[0] + "/", queue=server).connect()
    server.start()
    while not conn.is_open:
        server.queue.poll(timeout=1)
"""


def test_exit_with_a_live_server_and_connections():
    begun = time.monotonic()
    out, err = run_script(OPEN_SERVER + """
    conn.send("waits for ever")
    server.every(0.001, lambda: None)
    print("ends")
    """)
    assert out == "ends\n" and err == ""
    assert time.monotonic() - begun < 20


def test_exit_while_a_daemon_thread_dispatches():
    out, err = run_script(OPEN_SERVER + """
    import threading, time
    threading.Thread(target=server.run, daemon=True).start()
    for _ in range(200):
        conn.send("x" * 1000)
    print("ends")
    """)
    assert out == "ends\n" and "Fatal" not in err, err


def test_exit_by_an_exception_in_a_handler():
    _, err = run_script(OPEN_SERVER + """
    server.call(lambda: 1 // 0)
    server.queue.dispatch(timeout=5)
    """, status=1)
    assert "ZeroDivisionError" in err


def test_exit_from_inside_a_handler():
    _, err = run_script(OPEN_SERVER + """
    import sys
    server.call(lambda: sys.exit(3))
    server.run()
    """, status=3)
    assert err == ""


@pytest.mark.parametrize("busy", [False, True])
def test_keyboard_interrupt_ends_run_and_closes_connections(busy):
    out, _ = run_script(OPEN_SERVER + f"""
    server.after(0.01, lambda: print("runs", flush=True))
    if {busy}:
        server.every(0.001, lambda: sum(range(1000)))
    try:
        server.run()
    except KeyboardInterrupt:
        print("interrupted", server.stopped, conn.close_info.code)
    """, interrupt_after="runs")
    assert out == "runs\ninterrupted True 1001\n"


def test_keyboard_interrupt_while_dispatching_by_hand():
    out, _ = run_script(OPEN_SERVER + """
    server.after(0.01, lambda: print("runs", flush=True))
    try:
        while True:
            server.queue.dispatch(timeout=None)
    except KeyboardInterrupt:
        print("interrupted")
    """, interrupt_after="runs")
    assert out == "runs\ninterrupted\n"


def test_threads_send_while_the_main_one_dispatches(world):
    count = 300
    got = {}

    @world.server.on_message("/")
    def heard(conn, message):
        who, number = message.split()
        got.setdefault(who, []).append(int(number))

    world.server.start()
    conn = world.client(max_backlog_bytes="16MiB").connect()
    world.until(lambda: conn.is_open)

    def work(name):
        for i in range(count):
            assert conn.send(f"{name} {i}")

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(6)]
    for thread in threads:
        thread.start()
    world.until(lambda: sum(map(len, got.values())) == count * len(threads))
    for thread in threads:
        thread.join()
    assert all(numbers == list(range(count)) for numbers in got.values())


def test_stop_from_another_thread_ends_run():
    server = wsock.Server("ws://127.0.0.1:0", workers=1)
    timer = threading.Timer(0.05, server.stop)
    timer.start()
    server.run()
    assert server.stopped
    timer.join()


def test_a_forks_child_gets_errors_and_can_begin_anew():
    out, _ = run_script(OPEN_SERVER + """
    import os, sys
    room = server.room("r")
    timer = server.every(10, lambda: None)
    pid = os.fork()
    if pid == 0:
        errors = []
        for call in (lambda: conn.send("x"), lambda: server.queue.poll(), lambda: conn.id,
                     lambda: room.broadcast("x"), lambda: server.urls, lambda: conn.request,
                     lambda: server.after(1, print), lambda: server.run()):
            try:
                call()
            except wsock.Error as error:
                errors.append(error.name)
        timer.cancel()
        assert errors == ["WSOCK_ECLOSED"] * 8, errors
        assert not conn.is_open and "process" in repr(conn)
        del conn, room
        own = wsock.Server("ws://127.0.0.1:0", workers=1)
        got = []
        own.endpoint("/", on_message=lambda conn, m: (got.append(m), own.stop()))
        client = wsock.Client(own.urls[0] + "/", queue=own,
                              on_open=lambda conn: conn.send("child"))
        client.connect()
        own.run()
        print(got, flush=True)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    got = []
    client = wsock.Client(server.urls[0] + "/", queue=server,
                          on_message=lambda conn, m: got.append(m))
    other = client.connect()
    while not other.is_open:
        server.queue.poll(timeout=1)
    other.send("parent")
    while not got:
        server.queue.poll(timeout=1)
    print(got)
    """)
    assert out == "['child']\n['parent']\n"


def test_sub_interpreters_get_an_import_error():
    out, _ = run_script("""
    import sys
    import wsock
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    interpreter = interpreters.create()
    code = '''if True:
        import sys
        sys.path[:] = %r
        try:
            import wsock
        except ImportError as error:
            print("ImportError", flush=True)
    ''' % (sys.path,)
    run = getattr(interpreters, "run_string")
    run(interpreter, code)
    interpreters.destroy(interpreter)
    """)
    assert out == "ImportError\n"


class Host:
    """All that can make a cycle."""

    def __init__(self):
        self.server = wsock.Server("ws://127.0.0.1:0", workers=1)
        self.server.endpoint("/", on_open=self.opened, on_message=self.heard)
        self.server.on_error(self.failed)
        self.client = wsock.Client(self.server.urls[0] + "/", queue=self.server,
                                   on_message=self.heard)
        self.server.start()
        self.timer = self.server.every(1000, self.tick)
        self.conns = [self.client.connect()]

    def opened(self, conn):
        conn.data = self
        self.conns.append(conn)

    def heard(self, conn, message):
        pass

    def failed(self, error, subject):
        raise error

    def tick(self):
        self.conns.clear()


def test_cycles_through_handlers_are_collected():
    host = Host()
    while len(host.conns) < 2:
        host.server.queue.poll(timeout=1)
    seen = [weakref.ref(thing) for thing in (host, host.server, host.client, host.conns[0],
                                             host.conns[1], host.server.queue)]
    del host
    gc.collect()
    assert [ref() for ref in seen] == [None] * len(seen)
    _wsock.reap()


def count_objects():
    gc.collect()
    return len(gc.get_objects())


def test_ten_thousand_connections_leave_no_object(world):
    opened, ended = [0], [0]

    def on_open(conn):
        opened[0] += 1
        conn.data = {"self": conn}
        conn.request.params
        conn.close()

    def on_close(conn, info):
        ended[0] += 1

    world.server.set("max_connections", 20000)
    world.server.on_request("/")(lambda req: req.accept(info=[req, object()]))
    world.server.endpoint("/", on_open=on_open, on_close=on_close)
    world.server.start()
    client = world.client()

    def open_and_close(count):
        until = ended[0] + count
        for _ in range(count // 50):
            before = ended[0]
            for _ in range(50):
                client.connect()
            world.until(lambda: ended[0] >= before + 50)
        world.until(lambda: ended[0] >= until and world.queue._kept() == 0)

    open_and_close(500)
    before = count_objects()
    open_and_close(10000)
    assert opened[0] == ended[0] == 10500
    assert abs(count_objects() - before) < 50


def test_a_handler_may_not_dispatch_again(world):
    errors = []

    def again(conn):
        assert world.queue.is_dispatching
        for call in (world.queue.poll, world.queue.dispatch, world.queue.run):
            try:
                call()
            except wsock.Error as error:
                errors.append(error.name)

    world.server.endpoint("/", on_open=again)
    world.server.start()
    world.client().connect()
    world.until(lambda: errors)
    assert errors == ["WSOCK_EBUSY"] * 3
    assert not world.queue.is_dispatching


def test_a_handler_may_close_its_queue_and_runtime_is_closed_later():
    server = wsock.Server("ws://127.0.0.1:0", workers=1)
    ends = []
    server.endpoint("/", on_open=lambda conn: server.queue.close(),
                    on_close=lambda conn, info: ends.append(info))
    server.start()
    conn = wsock.Client(server.urls[0] + "/", queue=server).connect()
    with pytest.raises(wsock.Error) as caught:
        while True:
            server.queue.poll(timeout=5)
    assert caught.value.code == wsock.ECLOSED
    assert conn.close_info is None and not ends
    server.queue.runtime.close()
    with pytest.raises(wsock.Error):
        server.room("late")


def test_error_in_on_error_is_no_end(world, caplog):
    ends = []

    @world.server.on_error
    def on_error(error, subject):
        raise RuntimeError("on_error failed too")

    world.server.endpoint("/", on_message=lambda conn, m: 1 // 0,
                          on_close=lambda conn, info: ends.append(info))
    world.server.start()
    world.client(on_open=lambda conn: conn.send("x")).connect()
    hook = sys.unraisablehook
    seen = []
    sys.unraisablehook = lambda what: seen.append(what.exc_type)
    try:
        world.until(lambda: ends)
    finally:
        sys.unraisablehook = hook
    assert seen == [RuntimeError] and "ZeroDivisionError" in caplog.text


def test_every_function_takes_nonsense_and_raises():
    runtime = wsock.Runtime(workers=1)
    server = wsock.Server("ws://127.0.0.1:0", runtime=runtime)
    ended = wsock.Server("ws://127.0.0.1:0", workers=1)
    ended.close()
    things = [None, 3, -1, "x", "a\0b", b"x", object(), [], 1.5, 2**70, runtime._handle,
              ended._handle, ended.queue, server._handle, server.room("r")._handle,
              server.endpoint("/")._handle, server.queue]
    left_out = {"set_classes", "after_fork", "runtime_close", "queue_fd"}
    called = 0
    for name in sorted(dir(_wsock)):
        fn = getattr(_wsock, name)
        if not inspect.isbuiltin(fn) or name in left_out or name.startswith("SWIG"):
            continue
        for first in things:
            for rest in ([], [None], ["x"], [3], ["x", "y"], [3, b"z"], [None, None, None],
                         [first], [first, first], ["x", None, first, first]):
                called += 1
                try:
                    fn(first, *rest)
                except (TypeError, ValueError, OverflowError, wsock.Error):
                    pass
    assert called > 10000
    for kind in (_wsock.Conn, _wsock.Request, _wsock.Handle, _wsock.Timer):
        with pytest.raises(TypeError):
            kind()
    for kind in (wsock.Connection, wsock.Request):
        with pytest.raises(TypeError):
            kind()
    loose = _wsock.Queue()
    with pytest.raises(wsock.Error):
        loose._serve(0, 0, False, -1)
    with pytest.raises(wsock.Error):
        loose._call(print)
    server.queue.close()
    runtime.close()


def test_importing_starts_no_thread():
    out, _ = run_script("""
    import os
    import wsock
    runtime = wsock.Runtime()
    print(len(os.listdir("/proc/self/task")))
    """)
    assert out == "1\n"


def test_a_dropped_runtime_ends_by_itself():
    out, _ = run_script("""
    import gc, os, time
    import wsock
    def name_of(thread):
        try:
            with open(f"/proc/self/task/{thread}/comm") as file:
                return file.read()
        except OSError:  # it has just ended
            return ""

    def threads():  # the library's; sanitizers have some of their own
        return sum("wsock" in name_of(thread) for thread in os.listdir("/proc/self/task"))

    server = wsock.Server("ws://127.0.0.1:0", workers=3)
    server.start()
    begun = threads()
    del server
    gc.collect()
    end = time.monotonic() + 20
    while threads() > 0 and time.monotonic() < end:
        time.sleep(0.01)
    print(begun, threads())
    """)
    assert out == "3 0\n"


def test_descriptors_are_given_back():
    def count():
        gc.collect()
        _wsock.reap()
        return len(os.listdir("/proc/self/fd"))

    for measured in (False, True):
        before = count()
        for _ in range(5):
            with wsock.Server("ws://127.0.0.1:0", workers=1) as server:
                wsock.Client(server.urls[0], queue=server).connect()
                server.start()
                server.queue.poll(timeout=0.1)
        if measured:
            assert count() == before


def test_package_is_the_built_one():
    assert pathlib.Path(wsock.__file__).with_name("py.typed").exists()
