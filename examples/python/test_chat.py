# SPDX-License-Identifier: MIT
"""Tests of chat.py without ports and waiting: pytest test_chat.py

The fixture wsock_world comes with the package wsock.
"""
from typing import Any, List, Tuple

import pytest
from wsock.testing import Peer, World

import chat


def enter(world: World, room: str, name: str, more: str = "") -> Peer:
    return world.connect(f"ws://chat/chat/{room}?name={name}{more}", codec=chat.CODEC)


def heard_by(peer: Peer) -> Tuple[Any, List[Any]]:
    """What it alone was told when it came, and what was said in the room."""
    heard = peer.receive_all()
    told = [message for message in heard if "at" in message]
    return told[0] if told else None, [message for message in heard if "at" not in message]


@pytest.fixture
def world(wsock_world: World) -> World:
    chat.make("ws://chat", queue=wsock_world).start()
    return wsock_world


def test_members_hear_who_comes_and_goes(world: World) -> None:
    ann = enter(world, "lobby", "ann")
    assert heard_by(ann)[1] == [{"joined": "ann", "members": 1}]
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


def test_who_comes_back_hears_what_it_missed(world: World) -> None:
    ann, bob = enter(world, "lobby", "ann"), enter(world, "lobby", "bob")
    told, heard = heard_by(ann)
    epoch, offset = told["at"][0], told["at"][1] + len(heard)
    world.cut(ann.conn)
    world.run()
    bob.send({"say": "hi"})
    world.run()
    told, heard = heard_by(enter(world, "lobby", "ann", f"&epoch={epoch}&offset={offset}"))
    assert told == {"at": [epoch, offset], "recovered": True}
    assert heard == [{"left": "ann"}, {"from": "bob", "said": "hi"},
                     {"joined": "ann", "members": 2}]
    told, heard = heard_by(enter(world, "lobby", "carl", "&epoch=1&offset=1"))
    assert told["recovered"] is False and heard == [{"joined": "carl", "members": 3}]
    refused = enter(world, "lobby", "dora", "&epoch=1&offset=-1")
    world.run()
    assert refused.end is not None and refused.end.http_status == 400


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
