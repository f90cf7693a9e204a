# SPDX-License-Identifier: MIT
"""Signed tokens: which hold, what they say, and what is wrong with those that do not."""
import base64
import hashlib
import hmac
import json
import pickle
import subprocess
import time

import pytest

import wsock
from wsock import JWTFault

SECRET = b"0123456789abcdef0123456789abcdef"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(algorithm, claims):
    return encode(json.dumps({"alg": algorithm}).encode()) + "." + encode(
        json.dumps(claims).encode())


def token(secret=SECRET, algorithm="HS256", **claims):
    text = unsigned(algorithm, claims)
    return text + "." + encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())


@pytest.fixture
def key():
    return wsock.JWTKey(SECRET)


def fault_of(key, given, **rules):
    with pytest.raises(wsock.JWTError) as caught:
        key.verify(given, **rules)
    error = caught.value
    assert isinstance(error, wsock.Error) and error.code == wsock.EACCESS
    assert error.name == "WSOCK_EACCESS" and str(error) == f"{error.detail} (WSOCK_EACCESS)"
    return error.why


def test_a_token_that_holds_says_who_and_what(key):
    until = time.time() + 60
    jwt = key.verify(token(sub="änn", exp=until, info={"colour": "red"}, own=[1],
                           rooms=["lobby", "match.*"], pub=["lobby"]))
    assert isinstance(jwt, wsock.JWT)
    assert jwt.subject == "änn" and jwt.info == {"colour": "red"}
    assert jwt.expires == pytest.approx(until, abs=0.002)
    assert jwt.claims["own"] == [1] and jwt.claims["sub"] == "änn"
    assert jwt.may_join("lobby") and jwt.may_join("match.7")
    assert not jwt.may_join("match.7.chat") and not jwt.may_join("no room at all")
    assert jwt.may_publish("lobby") and not jwt.may_publish("match.7")
    assert jwt.may_direct() is False
    assert "änn" in repr(jwt) and "HS256" in repr(key)


def test_what_it_does_not_say_is_none(key):
    jwt = wsock.JWTKey(SECRET.decode()).verify(token().encode())
    assert jwt.subject is jwt.expires is jwt.info is None and jwt.claims == {}
    assert jwt.may_join("x") and jwt.may_publish("x") and jwt.may_direct()


@pytest.mark.parametrize("given, why", [
    (token(exp=1), JWTFault.EXPIRED),
    (token(nbf=time.time() + 3600), JWTFault.NOT_YET_VALID),
    (token(algorithm="RS256"), JWTFault.ALGORITHM),
    (token(algorithm="none"), JWTFault.ALGORITHM),
    (unsigned("none", {"sub": "ann"}) + ".", JWTFault.ALGORITHM),
    (token(secret=SECRET[::-1], sub="ann"), JWTFault.SIGNATURE),
    (token(aud="chat"), JWTFault.AUDIENCE),
    (token(sub=7), JWTFault.CLAIM),
    (token(own="x" * 9000), JWTFault.TOO_LONG),
    ("", JWTFault.MALFORMED),
    ("no token", JWTFault.MALFORMED),
])
def test_what_does_not_hold_is_told(key, given, why):
    assert fault_of(key, given) is why


def test_audience_and_issuer_are_asked_for(key):
    given = token(aud=["chat", "news"], iss="https://login.example")
    assert key.verify(given, audience="chat", issuer="https://login.example")
    assert fault_of(key, given, audience="mail") is JWTFault.AUDIENCE
    assert fault_of(key, token(), audience="chat") is JWTFault.AUDIENCE
    assert fault_of(key, given, audience="chat", issuer="https://x") is JWTFault.ISSUER


def test_time_is_told_or_the_systems(key):
    given = token(exp=1000)
    assert key.verify(given, now=999.9).expires == 1000
    assert fault_of(key, given, now=1000) is JWTFault.EXPIRED
    assert key.verify(given, now=1029.9, leeway=30)
    assert fault_of(key, given, now=1030, leeway=30) is JWTFault.EXPIRED
    for wrong in {"leeway": -1}, {"leeway": float("nan")}, {"now": 0}, {"now": -5}:
        with pytest.raises(ValueError):
            key.verify(given, **wrong)


def test_a_public_key_is_for_rs256(tmp_path, key):
    private = tmp_path / "key.pem"
    for command in (["genrsa", "-out", private, "2048"],
                    ["rsa", "-in", private, "-pubout", "-out", tmp_path / "public.pem"]):
        subprocess.run(["openssl", *command], check=True, stderr=subprocess.DEVNULL)
    public = (tmp_path / "public.pem").read_bytes()
    text = unsigned("RS256", {"sub": "ann"})
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", private], check=True,
                            input=text.encode(), stdout=subprocess.PIPE).stdout
    theirs = wsock.JWTKey(public, "RS256")
    assert theirs.verify(text + "." + encode(signed)).subject == "ann"
    assert fault_of(theirs, text + "." + encode(signed[::-1])) is JWTFault.SIGNATURE
    assert fault_of(theirs, token()) is JWTFault.ALGORITHM
    assert fault_of(key, text + "." + encode(signed)) is JWTFault.ALGORITHM
    with pytest.raises(wsock.Error, match="no secret") as caught:
        wsock.JWTKey(public)
    assert caught.value.code == wsock.EINVAL


def test_keys_that_are_none(key):
    for data, algorithm in (b"short", "HS256"), (SECRET, "RS256"):
        with pytest.raises(wsock.Error, match="the key of tokens: ") as caught:
            wsock.JWTKey(data, algorithm)
        assert caught.value.code == wsock.EINVAL
    with pytest.raises(ValueError, match="'none'"):
        wsock.JWTKey(SECRET, "none")
    for wrong in None, 5:
        with pytest.raises(TypeError):
            wsock.JWTKey(wrong)
        with pytest.raises(TypeError):
            key.verify(wrong)
    with pytest.raises(TypeError):
        key.verify(token(), audience=b"chat")
    with pytest.raises(TypeError):
        key.verify(token()).may_join(5)


def test_the_error_can_be_copied():
    error = pickle.loads(pickle.dumps(wsock.JWTError(JWTFault.EXPIRED)))
    assert error.why is JWTFault.EXPIRED and error.detail == "the token has expired"
    assert {fault.name for fault in JWTFault} == {
        name[4:] for name in dir(wsock._wsock)
        if name.startswith("JWT_")} - {"HS256", "RS256", "JOIN", "PUBLISH", "DIRECT", "NONE"}


def test_a_server_goes_by_them(world, key):
    ends, opened = [], []

    @world.server.on_request("/")
    def who(request):
        try:
            jwt = key.verify(request.bearer or "")
        except wsock.JWTError as error:
            return request.reject(401, error.detail)
        return request.accept(identity=jwt.subject, info=jwt)

    world.server.on_open("/")(lambda conn: opened.append((conn.identity, conn.info.may_direct())))
    world.server.start()
    for given in token(sub="ann"), token(sub="ann", exp=1):
        world.client(headers={"Authorization": "Bearer " + given},
                     on_close=lambda conn, info: ends.append(info),
                     max_refusal_bytes=100).connect()
    world.until(lambda: ends and opened)
    assert opened == [("ann", True)] and ends[0].http_status == 401
