# SPDX-License-Identifier: MIT
"""What is left behind in C: the same work again and again takes no more memory; and where the
address sanitizer is loaded, none of what is lost at the end was allocated by the binding or
the library."""
import os
import re
import subprocess
import sys
import textwrap

WORK = """
    import gc, json, sys
    import wsock
    from wsock import _wsock

    def work():
        ends = []
        server = wsock.Server("ws://127.0.0.1:0", workers=2, codec=(json.dumps, json.loads))
        queue = server.queue
        room = server.room("room")

        def asked(request):
            dict(request.query), dict(request.headers), request.params, request.tls
            if "no" in request.query:
                return request.reject(401, "no", headers={"X-A": "b"})
            if "error" in request.query:
                raise ValueError("asked")
            if "wait" in request.query:
                server.call(lambda: request.accept(identity="ann", info=request))
                return request.defer()
            return request.accept(identity="bob", info=[request])

        def opened(conn):
            conn.data = conn
            room.join(conn)
            conn.ping(b"x")

        def heard(conn, message):
            if message == "error":
                raise ValueError("heard")
            room.broadcast(json.dumps(message), only=lambda member: True)
            conn.send(message)

        server.on_error(lambda error, subject: subject.close(1011)
                        if isinstance(subject, wsock.Connection) else None)
        server.endpoint("/{id}", on_request=asked, on_open=opened, on_message=heard,
                        on_pong=lambda conn, data: None, on_drain=lambda conn: None,
                        on_close=lambda conn, info: None)
        server.start()
        for path in ("/a?no=1", "/a?error=1", "/a?wait=1", "/a", "/none/none"):
            client = wsock.Client(server.urls[0] + path, queue=queue, headers={"X-B": "c"},
                                  on_close=lambda conn, info: ends.append(info),
                                  on_message=lambda conn, m: conn.close(),
                                  on_open=lambda conn: conn.send('"error"' if len(ends) % 2
                                                                 else '"x"'))
            for _ in range(20):
                client.connect()
            before = len(ends)
            while len(ends) < before + 20:
                queue.poll(timeout=1)
        timers = [server.every(0.001, lambda: None), server.after(100, print)]
        message = server.message(b"x" * 1000)
        room.broadcast(message)
        for wrong in (lambda: wsock.Server("ws://127.0.0.1:1:2"), lambda: server.listen("x"),
                      lambda: server.set("idle_timeout", "x"), lambda: room.broadcast({})):
            try:
                wrong()
            except (wsock.Error, TypeError):
                pass
        queue.poll(timeout=0.01)
        timers[0].cancel()
        server.close()
"""


def run_script(text, **environment):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(WORK) + textwrap.dedent(text)],
                          env=dict(os.environ, **environment), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def test_the_same_again_takes_no_more_memory():
    status, out, err = run_script("""
        import ctypes

        class Info(ctypes.Structure):  # mallinfo(3)
            _fields_ = [(name, ctypes.c_size_t) for name in (
                "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                "uordblks", "fordblks", "keepcost")]

        mallinfo = ctypes.CDLL(None).mallinfo2
        mallinfo.restype = Info

        def in_use():
            gc.collect(); _wsock.reap()
            now = mallinfo()
            return now.uordblks + now.hblkhd
        for _ in range(10):
            work()
        before = in_use()
        for _ in range(30):
            work()
        print(in_use() - before)
    """, ASAN_OPTIONS="detect_leaks=0", PYTHONMALLOC="malloc", MALLOC_ARENA_MAX="1")
    assert status == 0, err
    # There are 3,000 connections: one block that each loses would be some 100,000.
    assert int(out) < 60000


def test_nothing_of_ours_is_lost_at_the_end():
    status, out, err = run_script("""
        work()
        gc.collect()
        _wsock.reap()
        print("ends")
    """, ASAN_OPTIONS="detect_leaks=1:exitcode=0", PYTHONMALLOC="malloc")
    assert status == 0 and out == "ends\n", err
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        leaks = re.split(r"\n(?=(?:Direct|Indirect) leak of)", err)
        ours = [leak for leak in leaks[1:] if re.search(
            r"in (?:wsock_|wsi_|wpy_|_wrap_)|/bindings/python/"
            r"|/src/(?:core|proto|io|tls|conn|room|api)/", leak)]
        assert not ours, "\n".join(ours[:5])
