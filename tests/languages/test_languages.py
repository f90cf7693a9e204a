# SPDX-License-Identifier: MIT
"""One conversation of three languages: a server with a room is made in Python, one of its
endpoints is served by handlers in C, and a script in Lua talks at both.
In the environment: TALK, a library with the handlers in C; LUA, an interpreter of Lua."""
import ctypes
import os
import pathlib
import subprocess
import time

import pytest

import wsock

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 30

get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def pointer(thing, name):
    return get_pointer(wsock.capsule(thing), name)


class Meeting:
    """The server, its room, and all that a client in Python hears at the endpoint in C."""

    def __init__(self):
        self.server = wsock.Server("ws://127.0.0.1:0", workers=2)
        self.room = self.server.room("meeting")
        self.joined, self.closed, self.heard = [], [], []
        self.server.endpoint("/python", on_open=self.enter, on_message=self.hear,
                             on_close=lambda conn, info: self.closed.append(info))
        talk = ctypes.CDLL(os.environ["TALK"])
        talk.talk_serve.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p]
        assert talk.talk_serve(pointer(self.server, b"wsock.server"),
                               pointer(self.room, b"wsock.room"), b"/c") == 0
        self.server.start()
        self.url = self.server.urls[0]
        self.client = wsock.Client(self.url + "/c", queue=self.server,
                                   on_message=lambda conn, message: self.heard.append(message))

    def enter(self, conn):
        self.joined.append(conn)
        self.room.join(conn)

    def hear(self, conn, message):
        self.room.broadcast(f"Python heard {message}")

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "it never came"
            self.server.queue.poll(timeout=0.2)


@pytest.fixture
def meeting():
    made = Meeting()
    yield made
    made.server.close()


def test_three_languages_in_one_conversation(meeting):
    meeting.client.connect()
    command = [os.environ["LUA"], str(HERE / "talk.lua"), meeting.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as script:
        meeting.until(lambda: len(meeting.room) == 3 or script.poll() is not None)
        # Python knows those who came to it; C's are in the room as well.
        assert meeting.room.members == meeting.joined and len(meeting.joined) == 1
        meeting.room.broadcast("all are here")
        meeting.until(lambda: script.poll() is not None)
        told = script.stdout.read()
    assert script.returncode == 0, told
    assert told.splitlines() == ["all are here"] + [
        f"{who} heard Lua, round {number}" for number in (1, 2, 3) for who in ("Python", "C")]
    meeting.until(lambda: len(meeting.heard) == 7 and len(meeting.room) == 1)
    assert meeting.heard == told.splitlines()
    info, = meeting.closed
    assert (info.code, info.reason) == (4000, "goodbye")


def test_capsules_keep_what_they_refer_to():
    server = wsock.Server("ws://127.0.0.1:0", workers=1)
    room = server.room("kept")
    capsules = [wsock.capsule(thing) for thing in (
        server, room, server.queue, server.queue.runtime, server.endpoint("/"))]
    names = [b"wsock." + kind for kind in (b"server", b"room", b"queue", b"runtime",
                                           b"endpoint")]
    before = [get_pointer(capsule, name) for capsule, name in zip(capsules, names)]
    with pytest.raises(ValueError):
        get_pointer(capsules[0], b"wsock.room")
    server.close()
    runtime = server.queue.runtime
    runtime.close()
    del room
    assert before == [get_pointer(capsule, name) for capsule, name in zip(capsules, names)]
    with pytest.raises(wsock.Error) as caught:
        wsock.capsule(runtime)
    assert caught.value.code == wsock.ECLOSED
    child = os.fork()
    if child == 0:  # what is the parent's stays
        capsules.clear()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for wrong in (None, 3, server.after, wsock.TLS()):
        with pytest.raises(TypeError):
            wsock.capsule(wrong)
