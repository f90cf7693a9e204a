# SPDX-License-Identifier: MIT
"""Tests of chat.py without ports and waiting: pytest test_chat.py

The fixture wsock_world comes with the package wsock.
"""
import pytest
from wsock.testing import Peer, World

import chat


def enter(world: World, room: str, name: str) -> Peer:
    return world.connect(f"ws://chat/chat/{room}?name={name}", codec=chat.CODEC)


@pytest.fixture
def world(wsock_world: World) -> World:
    chat.make("ws://chat", queue=wsock_world).start()
    return wsock_world


def test_members_hear_who_comes_and_goes(world: World) -> None:
    ann = enter(world, "lobby", "ann")
    assert ann.receive() == {"joined": "ann", "members": 1}
    bob = enter(world, "lobby", "bob")
    assert ann.receive() == {"joined": "bob", "members": 2}
    bob.close()
    assert ann.receive() == {"left": "bob"}


def test_rooms_do_not_hear_each_other(world: World) -> None:
    ann, bob = enter(world, "one", "ann"), enter(world, "two", "bob")
    ann.receive_all(), bob.receive_all()
    ann.send({"say": "hi"})
    assert ann.receive() == {"from": "ann", "said": "hi"}
    assert bob.receive_all() == []


def test_what_says_nothing_is_an_error(world: World) -> None:
    ann = enter(world, "lobby", "ann")
    ann.send({"shout": "HI"})
    with pytest.raises(KeyError, match="say"):
        world.run()


def test_who_falls_silent_has_left_in_the_end(world: World) -> None:
    ann, bob = enter(world, "lobby", "ann"), enter(world, "lobby", "bob")
    ann.receive_all()
    world.hold(bob.conn)  # as if the cable were pulled
    world.advance(3600)
    assert ann.receive() == {"left": "bob"}
