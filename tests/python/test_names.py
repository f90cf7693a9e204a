# SPDX-License-Identifier: MIT
"""The small things with the names of `websockets`: headers, close frames, errors, URIs."""
import pytest

import wsock
from wsock import exceptions as e
from wsock._compat.base import answered_by
from wsock.datastructures import Headers, MultipleValuesError
from wsock.frames import Close, CloseCode, Opcode
from wsock.headers import (build_authorization_basic, build_host,
                           build_www_authenticate_basic, parse_authorization_basic,
                           validate_subprotocols)
from wsock.http11 import Request, Response
from wsock.protocol import Side, State
from wsock.uri import parse_uri


def test_headers():
    headers = Headers([("A", "1"), ("a", "2")], B="3")
    assert headers.get_all("a") == ["1", "2"] and headers["b"] == "3" and "A" in headers
    assert list(headers) == ["a", "b"] and len(headers) == 2 and headers.get("c") is None
    with pytest.raises(MultipleValuesError, match="'a'"):
        headers["a"]
    with pytest.raises(KeyError):
        headers["c"]
    for name, value in (("a", "x\r\ny"), ("a\n", "x")):
        with pytest.raises(e.InvalidHeaderValue):
            headers[name] = value
    headers["b"] = "4"
    assert list(headers.raw_items())[-2:] == [("B", "3"), ("b", "4")]
    del headers["A"]
    assert headers == Headers({"b": "4"}, B="3") and headers != Headers(b="3")
    assert headers.copy() == headers and headers.copy() is not headers
    assert headers.serialize() == b"B: 3\r\nb: 4\r\n\r\n"
    assert Request("/x", Headers(A="b")).serialize() == b"GET /x HTTP/1.1\r\nA: b\r\n\r\n"
    assert Response(200, "OK", Headers(), b"hi").serialize() == b"HTTP/1.1 200 OK\r\n\r\nhi"


def test_errors_tell_what_happened():
    goes, private = Close(CloseCode.GOING_AWAY, "bye"), Close(4000, "")
    for args, text in (
            ((None, None), "no close frame received or sent"),
            ((goes, goes, True),
             "received 1001 (going away) bye; then sent 1001 (going away) bye"),
            ((private, goes, False),
             "sent 1001 (going away) bye; then received 4000 (private use)"),
            ((Close(3000, ""), None), "received 3000 (registered); no close frame sent"),
            ((None, Close(2999, "")), "sent 2999 (unknown); no close frame received")):
        assert str(e.ConnectionClosedError(*args)) == text
    closed = e.ConnectionClosedError(private, None)
    assert closed.code == 4000 and e.ConnectionClosedError(None, None).code == 1006
    assert closed.name == "WSOCK_ECLOSED" and isinstance(closed, wsock.Error)
    for error, text in (
            (e.InvalidURI("x", "no"), "x isn't a valid URI: no"),
            (e.InvalidProxy("x", "no"), "x isn't a valid proxy: no"),
            (e.InvalidStatus(Response(403, "Forbidden", Headers())),
             "server rejected WebSocket connection: HTTP 403"),
            (e.InvalidHeader("N"), "missing N header"),
            (e.InvalidHeader("N", ""), "empty N header"),
            (e.InvalidHeader("N", "v"), "invalid N header: v"),
            (e.InvalidHeaderFormat("N", "bad", "text", 2), "invalid N header: bad at 2 in text"),
            (e.InvalidOrigin(None), "missing Origin header"),
            (e.DuplicateParameter("p"), "duplicate parameter: p"),
            (e.InvalidParameterName("p"), "invalid parameter name: p"),
            (e.InvalidParameterValue("p", "v"), "invalid value for parameter p: v"),
            (e.PayloadTooBig(5, 4), "message with 5 bytes exceeds limit of 4 bytes"),
            (e.NegotiationError("text"), "text")):
        assert str(error) == text and isinstance(error, (e.WebSocketException, wsock.Error))
    assert e.InvalidHeader("N").name == "N"
    assert issubclass(e.ConcurrencyError, RuntimeError)
    assert issubclass(e.InvalidState, AssertionError)


def test_uris():
    uri = parse_uri("wss://u:p%40@h:99/x?y=1")
    assert (uri.secure, uri.host, uri.port) == (True, "h", 99)
    assert uri.user_info == ("u", "p@") and uri.resource_name == "/x?y=1"
    assert parse_uri("ws://h").resource_name == "/" and parse_uri("ws://[::1]/").host == "::1"
    assert parse_uri("wss://é.example/é?é").resource_name == "/%C3%A9?%C3%A9"
    assert parse_uri("wss://é.example/").host == "xn--9ca.example"
    for wrong in ("http://h", "ws://", "ws://h/#f", "ws://u@h/", "ws://h:x/"):
        with pytest.raises(e.InvalidURI):
            parse_uri(wrong)


def test_values_of_headers():
    assert build_host("h", 80, False) == "h" and build_host("::1", 81, False) == "[::1]:81"
    assert parse_authorization_basic(build_authorization_basic("a", "b:ä")) == ("a", "b:ä")
    for wrong in ("Bearer x", "Basic x", "Basic eA=="):
        with pytest.raises(e.InvalidHeaderValue):
            parse_authorization_basic(wrong)
    with pytest.raises(ValueError):
        build_authorization_basic("a:b", "c")
    assert build_www_authenticate_basic('a"b') == 'Basic realm="a\\"b", charset="UTF-8"'
    with pytest.raises(TypeError):
        validate_subprotocols("chat")
    with pytest.raises(ValueError):
        validate_subprotocols(["a b"])


def test_numbers():
    assert Opcode.PONG == 10 and CloseCode.TRY_AGAIN_LATER == 1013
    assert list(State) == [0, 1, 2, 3] and Side.CLIENT == 1


# What is not here, and what means another thing here, of the names of `import websockets`.
NOT_HERE = {"ClientProtocol", "ServerProtocol", "Protocol", "Frame", "Router", "route",
            "unix_route", "ExtensionName", "ExtensionParameter"}
NATIVE = {"Headers", "Request", "Server", "State"}


def test_names_at_the_top():
    """`import wsock` is enough where `import websockets` was."""
    import websockets
    import websockets.exceptions

    not_here = NOT_HERE | set(websockets.exceptions.__all__) - set(e.__all__)
    for name in websockets.__all__:
        if name in not_here:
            with pytest.raises(AttributeError, match=name):
                getattr(wsock, name)
        else:
            assert getattr(wsock, name) is not None
            assert (name in wsock.__all__) is (name in NATIVE)
    with pytest.raises(AttributeError, match="nonsense"):
        wsock.nonsense


def test_a_pong_answers_the_pings_before_it():
    pings = {b"1": "one", b"2": "two", b"3": "three"}
    assert list(answered_by(b"9", pings)) == []
    assert list(answered_by(b"2", pings)) == [(False, "one"), (True, "two")]
    assert pings == {b"3": "three"}
