# SPDX-License-Identifier: MIT
"""The guide of `websockets` to authentication: a token in the first message, in the query, in
a cookie and in the user information of the URI; and programs as clients. On asyncio and in
threads."""
import http
import http.cookies
import urllib.parse
import urllib.request

import pytest

from programs import at, run, running
from wsock.asyncio import server as async_server
from wsock.asyncio.client import connect
from wsock.datastructures import Headers
from wsock.exceptions import ConnectionClosedError, InvalidStatus
from wsock.frames import CloseCode
from wsock.http11 import Response
from wsock.sync import client as sync_client
from wsock.sync import server as sync_server

TOKENS = {"token-of-ann": "ann", "token/of:bob": "bob"}
FORM = b"<!DOCTYPE html><title>sets the cookie</title>"


# What follows judges requests, and is the same for both kinds of servers.


def judge(connection, token):
    """None if it may enter, or the answer that refuses it."""
    if token is None:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no token\n")
    if token not in TOKENS:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "a wrong token\n")
    connection.username = TOKENS[token]
    return None


def by_query(connection, request):
    query = urllib.parse.parse_qs(urllib.parse.urlparse(request.path).query)
    return judge(connection, query.get("token", [None])[0])


def by_cookie(connection, request):
    if "Upgrade" not in request.headers:  # the page that sets it
        headers = Headers({"Content-Type": "text/html; charset=utf-8",
                           "Content-Length": str(len(FORM))})
        return Response(200, "OK", headers, FORM)
    cookies = http.cookies.SimpleCookie(request.headers.get("Cookie", ""))
    return judge(connection, cookies["token"].value if "token" in cookies else None)


def by_bearer(connection, request):
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return judge(connection, token if scheme == "Bearer" else None)


def is_token_of(username, password):
    return username == TOKENS.get(password)


async def by_query_later(connection, request):
    return by_query(connection, request)


async def is_token_of_later(username, password):
    return is_token_of(username, password)


# Each way: how a server judges, what reaches it, and what does not.

GOOD_QUERY, BAD_QUERY = "/?token=token-of-ann", "/?token=wrong"
WAYS = {
    "query": (by_query, (GOOD_QUERY, {}), ((BAD_QUERY, {}), ("/", {}))),
    "cookie": (by_cookie, ("/", {"Cookie": "a=b; token=token-of-ann"}),
               (("/", {"Cookie": "token=wrong"}), ("/", {"Cookie": "a=b"}), ("/", {}))),
    "bearer": (by_bearer, ("/", {"Authorization": "Bearer token-of-ann"}),
               (("/", {"Authorization": "Bearer wrong"}), ("/", {}))),
}


async def greet(websocket):
    await websocket.send(f"Hello {websocket.username}!")
    assert await websocket.recv() == f"Goodbye {websocket.username}."


def greet_now(websocket):
    websocket.send(f"Hello {websocket.username}!")
    assert websocket.recv() == f"Goodbye {websocket.username}."


async def enter(uri, **arguments):
    async with connect(uri, **arguments) as websocket:
        user = (await websocket.recv())[len("Hello "):-1]
        await websocket.send(f"Goodbye {user}.")
        await websocket.wait_closed()
        assert websocket.close_code == 1000
        return user


def enter_now(uri, **arguments):
    with sync_client.connect(uri, **arguments) as websocket:
        user = websocket.recv()[len("Hello "):-1]
        websocket.send(f"Goodbye {user}.")
        websocket.wait_closed()
        assert websocket.close_code == 1000
        return user


@pytest.mark.parametrize("way", [*WAYS, "query later"])
def test_a_token_with_the_request(way):
    check, good, bad = WAYS[way.split()[0]]
    if way == "query later":
        check = by_query_later

    async def main():
        async with async_server.serve(greet, "localhost", 0, process_request=check) as server:
            path, headers = good
            assert await enter(at(server, path), additional_headers=headers) == "ann"
            for path, headers in bad:
                with pytest.raises(InvalidStatus, match="HTTP 401") as caught:
                    await connect(at(server, path), additional_headers=headers)
                assert caught.value.response.status_code == 401

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_token_with_the_request_in_threads(way):
    check, good, bad = WAYS[way]
    with running(sync_server.serve(greet_now, "localhost", 0, process_request=check)) as server:
        path, headers = good
        assert enter_now(at(server, path), additional_headers=headers) == "ann"
        for path, headers in bad:
            with pytest.raises(InvalidStatus, match="HTTP 401"):
                sync_client.connect(at(server, path), additional_headers=headers)


def test_the_page_that_sets_the_cookie_comes_from_the_server():
    with running(sync_server.serve(greet_now, "localhost", 0,
                                   process_request=by_cookie)) as server:
        url = at(server, "/frame.html").replace("ws:", "http:")
        with urllib.request.urlopen(url) as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert answer.read() == FORM


def test_a_token_in_the_first_message():
    async def first(websocket):
        user = TOKENS.get(await websocket.recv())
        if user is None:
            await websocket.close(CloseCode.INTERNAL_ERROR, "authentication failed")
            return
        websocket.username = user
        await greet(websocket)

    def first_now(websocket):
        user = TOKENS.get(websocket.recv())
        if user is None:
            websocket.close(CloseCode.INTERNAL_ERROR, "authentication failed")
            return
        websocket.username = user
        greet_now(websocket)

    async def main():
        async with async_server.serve(first, "localhost", 0) as server:
            async with connect(at(server)) as websocket:
                await websocket.send("token-of-ann")
                assert await websocket.recv() == "Hello ann!"
                await websocket.send("Goodbye ann.")
            async with connect(at(server)) as websocket:
                await websocket.send("wrong")
                with pytest.raises(ConnectionClosedError, match="authentication failed"):
                    await websocket.recv()
                assert websocket.close_code == 1011

    run(main())
    with running(sync_server.serve(first_now, "localhost", 0)) as server:
        with sync_client.connect(at(server)) as websocket:
            websocket.send("token-of-ann")
            assert websocket.recv() == "Hello ann!"
            websocket.send("Goodbye ann.")
        with sync_client.connect(at(server)) as websocket:
            websocket.send("wrong")
            with pytest.raises(ConnectionClosedError, match="authentication failed"):
                websocket.recv()


def users_of(server):
    """URIs that may enter with their users, and URIs that may not."""
    def uri(user, password):
        quoted = f"{user}:{urllib.parse.quote(password, safe='')}"
        return at(server).replace("//", f"//{quoted}@")

    good = {uri("ann", "token-of-ann"): "ann", uri("bob", "token/of:bob"): "bob"}
    return good, (uri("ann", "token/of:bob"), uri("token", "wrong"), at(server))


@pytest.mark.parametrize("check", [is_token_of, is_token_of_later])
def test_user_information_in_the_uri(check):
    async def main():
        auth = async_server.basic_auth("tokens", check_credentials=check)
        async with async_server.serve(greet, "localhost", 0, process_request=auth) as server:
            good, bad = users_of(server)
            for uri, user in good.items():
                assert await enter(uri) == user
            for uri in bad:
                with pytest.raises(InvalidStatus, match="HTTP 401") as caught:
                    await connect(uri)
                challenge = caught.value.response.headers["WWW-Authenticate"]
                assert challenge == 'Basic realm="tokens", charset="UTF-8"'

    run(main())


@pytest.mark.parametrize("how", [
    {"check_credentials": is_token_of},
    {"credentials": [("ann", "token-of-ann"), ("bob", "token/of:bob")]},
])
def test_user_information_in_the_uri_in_threads(how):
    auth = sync_server.basic_auth("tokens", **how)
    with running(sync_server.serve(greet_now, "localhost", 0, process_request=auth)) as server:
        good, bad = users_of(server)
        for uri, user in good.items():
            assert enter_now(uri) == user
        for uri in bad:
            with pytest.raises(InvalidStatus, match="HTTP 401"):
                sync_client.connect(uri)
