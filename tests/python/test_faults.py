# SPDX-License-Identifier: MIT
"""What a client raises for each thing that can be wrong with a server's answer; the server is
a socket that says it."""
import asyncio
import base64
import contextlib
import hashlib
import socket
import threading

import pytest

from wsock import exceptions as e
from wsock.asyncio import client as asyncio_client
from wsock.sync import client as sync_client

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GOOD = {"Upgrade": "websocket", "Connection": "Upgrade"}


def answering(fields, line="HTTP/1.1 101 Switching Protocols"):
    """A server that gives everyone this answer. @return its URI"""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0] as conn:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += conn.recv(4096)
            key = asked.lower().partition(b"sec-websocket-key: ")[0]
            key = asked[len(key) + 19:].partition(b"\r\n")[0].decode()
            digest = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
            text = "\r\n".join([line, *(f"{name}: {value}" for name, value in fields), "", ""])
            conn.sendall(text.replace("RIGHT", digest).encode())
            with contextlib.suppress(ConnectionResetError):  # the client may cut it off
                while conn.recv(4096):
                    pass

    threading.Thread(target=serve, daemon=True).start()
    return "ws://127.0.0.1:%d/" % listener.getsockname()[1]


def fields(*more, **changed):
    right = {**GOOD, "Sec-WebSocket-Accept": "RIGHT",
             **{name.replace("_", "-"): value for name, value in changed.items()}}
    return [*((name, value) for name, value in right.items() if value is not None), *more]


def extension(value):
    return fields(("Sec-WebSocket-Extensions", value))


DEFLATE = "permessage-deflate"
AGREED = "permessage-deflate; server_max_window_bits=12"
CASES = [
    (fields(Upgrade=None), e.InvalidUpgrade, "missing Upgrade header"),
    (fields(Upgrade="h2c"), e.InvalidUpgrade, "invalid Upgrade header: h2c"),
    (fields(("Upgrade", "h2c")), e.InvalidUpgrade, "invalid Upgrade header: websocket, h2c"),
    (fields(Connection=None), e.InvalidUpgrade, "missing Connection header"),
    (fields(Connection="close"), e.InvalidUpgrade, "invalid Connection header: close"),
    (fields(Sec_WebSocket_Accept=None), e.InvalidHeader, "missing Sec-WebSocket-Accept header"),
    (fields(("Sec-WebSocket-Accept", "RIGHT")), e.InvalidHeader,
     "invalid Sec-WebSocket-Accept header: multiple values"),
    (fields(Sec_WebSocket_Accept="x"), e.InvalidHeaderValue,
     "invalid Sec-WebSocket-Accept header: x"),
    (fields(("Sec-WebSocket-Extensions", AGREED), Sec_WebSocket_Accept="x"),
     e.InvalidHeaderValue, "invalid Sec-WebSocket-Accept header: x"),
    (fields(("Sec-WebSocket-Protocol", "chat")), e.NegotiationError,
     "unsupported subprotocol: chat"),
    (fields(("Sec-WebSocket-Protocol", "one"), ("Sec-WebSocket-Protocol", "one")),
     e.InvalidHeader, "invalid Sec-WebSocket-Protocol header: multiple values: one, one"),
    (extension("x-other"), e.NegotiationError, "unsupported extension: x-other"),
    (extension(f"{DEFLATE}; server_no_context_takeover; server_no_context_takeover"),
     e.DuplicateParameter, "duplicate parameter: server_no_context_takeover"),
    (extension(f"{DEFLATE}; what"), e.InvalidParameterName, "invalid parameter name: what"),
    (extension(f"{DEFLATE}; server_max_window_bits=7"), e.InvalidParameterValue,
     "invalid value for parameter server_max_window_bits: 7"),
    (extension(f'{DEFLATE}; client_max_window_bits="x,;"'), e.InvalidParameterValue,
     "invalid value for parameter client_max_window_bits: x,;"),
    (extension(f"{AGREED}, {DEFLATE}"), e.NegotiationError, "the server's answer: the server "
     "chose permessage-deflate twice"),
    (extension(f"{DEFLATE}; =2"), e.InvalidHeaderFormat,
     f"invalid Sec-WebSocket-Extensions header: expected token at 20 in {DEFLATE}; =2"),
    (extension(f"{DEFLATE} x"), e.InvalidHeaderFormat,
     f"invalid Sec-WebSocket-Extensions header: expected comma at 19 in {DEFLATE} x"),
    (fields(("Content-Length", "0")), e.InvalidMessage, "the server's answer: a Content-Length "
     "header in a 101 answer"),
]


@pytest.mark.parametrize("said, kind, text", CASES)
def test_each_fault_of_an_answer_has_its_exception(said, kind, text):
    with pytest.raises(e.InvalidHandshake) as caught:
        sync_client.connect(answering(said), subprotocols=["one"], proxy=None)
    assert type(caught.value) is kind and str(caught.value) == text


def test_what_is_no_answer_is_an_invalid_message():
    for line in ("HTTP/1.1 101", "SSH-2.0-x", "HTTP/1.0 101 Switching Protocols"):
        with pytest.raises(e.InvalidMessage):
            sync_client.connect(answering(fields(), line), proxy=None)


def test_an_event_loop_raises_the_same():
    async def main():
        uri = answering(extension(DEFLATE))
        with pytest.raises(e.NegotiationError, match="unsupported extension: permessage"):
            await asyncio_client.connect(uri, compression=None, proxy=None)
        with pytest.raises(e.InvalidUpgrade):
            await asyncio_client.connect(answering(fields(Upgrade=None)), proxy=None)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_right_answer_is_none_of_these():
    for said in (fields(), fields(("Sec-WebSocket-Protocol", "one")), extension(AGREED)):
        ws = sync_client.connect(answering(said), subprotocols=["one"], proxy=None,
                                 close_timeout=0.01)
        ws.close()
