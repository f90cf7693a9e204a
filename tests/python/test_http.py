# SPDX-License-Identifier: MIT
"""Plain HTTP requests, and the bodies of those that have one."""
import http.client
import threading

import pytest

import wsock
from conftest import PATIENCE, World


def ask(world, method, body=None):
    """What a client of Python's own hears: (status, Content-Type, body)."""
    heard = []

    def talk():
        try:
            link = http.client.HTTPConnection(world.url[len("ws://"):], timeout=PATIENCE)
            link.request(method, "/note?x=1", body)
            answer = link.getresponse()
            heard.append((answer.status, answer.getheader("Content-Type"), answer.read()))
            link.close()
        except Exception as error:
            heard.append(error)
        finally:
            world.queue.wake()

    thread = threading.Thread(target=talk)
    thread.start()
    world.until(lambda: heard)
    thread.join()
    return heard[0]


@pytest.fixture
def seen():
    return []


@pytest.fixture
def notes(seen):
    """A server that takes bodies of 10 bytes."""
    made = World(max_body_bytes=10)

    @made.server.on_http
    def answer(request):
        assert not request.is_upgrade and request.path == "/note?x=1"
        seen.append((request.method, request.body))
        request.respond(201, request.body[::-1], content_type="text/x-note")

    made.server.start()
    yield made
    made.close()


@pytest.mark.parametrize("body", [b"hello", b"\0\xff\r\n\r\nGET", b"0123456789", b""])
def test_a_post_brings_its_body(notes, seen, body):
    assert ask(notes, "POST", body) == (201, "text/x-note", body[::-1])
    assert seen == [("POST", body)]


def test_what_is_no_post_has_none(notes, seen):
    assert ask(notes, "GET") == (201, "text/x-note", b"")
    assert seen == [("GET", b"")]


def test_a_body_that_is_too_large_never_comes(notes, seen):
    status, _, text = ask(notes, "POST", b"0123456789a")
    assert status == 413 and b"max_body_bytes" in text
    notes.server.set("max_body_bytes", 11)
    assert ask(notes, "POST", b"0123456789a")[0] == 201
    assert seen == [("POST", b"0123456789a")]


def test_without_the_option_there_is_no_post(world):
    world.server.on_http(lambda request: request.respond(200, "hi"))
    world.server.start()
    assert ask(world, "POST", b"hello")[0] == 405
    assert ask(world, "GET") == (200, "text/plain; charset=utf-8", b"hi")


def test_a_body_stays_readable_for_an_answer_that_comes_later():
    world, kept = World(max_body_bytes="1KiB"), []

    @world.server.on_http
    def later(request):
        request.defer()
        kept.append(request)
        world.server.after(0.01, lambda: request.respond(200, request.body + b"!"))

    world.server.start()
    assert ask(world, "POST", b"x" * 1024)[2] == b"x" * 1024 + b"!"
    assert kept[0].answered and kept[0].body == b"x" * 1024
    with pytest.raises(wsock.Error) as caught:
        kept[0].respond(200)
    assert caught.value.name == "WSOCK_ECLOSED"
    world.close()
