# SPDX-License-Identifier: MIT
"""wss: servers and clients, and whom they trust. The certificates are those of the tests in
C (tests/support/certificates.py)."""
import asyncio
import os
import pathlib
import ssl
import threading

import pytest

import wsock
from wsock import _options
from wsock.asyncio import client as asyncio_client
from wsock.asyncio import server as asyncio_server
from wsock.sync import client as sync_client
from wsock.sync import server as sync_server

FILES = pathlib.Path(os.environ["WSOCK_TEST_CERTIFICATES"])
ROOT = FILES / "root.pem"


def own(name, **more):
    return wsock.TLS(cert=FILES / f"{name}.pem", key=FILES / f"{name}.key", **more)


@pytest.fixture
def secure():
    """A server's end, by the name of its certificate."""
    servers = []

    def make(name="good", on_request=lambda request: None, **options):
        server = wsock.Server("wss://127.0.0.1:0", workers=1, tls=own(name), **options)
        servers.append(server)
        server.endpoint("/", on_request=on_request)
        server.start()
        return server

    yield make
    for server in servers:
        server.close()


def outcome(server, **options):
    """Connect: the connection, once it is open, or how it failed."""
    ends = []
    client = wsock.Client(server.urls[0] + "/", queue=server,
                          on_close=lambda conn, info: ends.append(info), **options)
    conn = client.connect()
    while not ends and not conn.is_open:
        server.queue.poll(timeout=20)
    return ends[0] if ends else conn


def test_both_ends_know_what_tls_there_is(secure):
    seen = []
    server = secure(on_request=lambda request: seen.append((request.is_secure,
                                                            request.tls["version"])))
    conn = outcome(server, tls=wsock.TLS(ca=ROOT))
    assert conn.is_open and conn.tls["version"] == "TLSv1.3"
    assert seen == [(True, "TLSv1.3")]
    assert "DNS:localhost" in conn.tls["names"] and conn.tls["pin"].startswith("sha256//")


@pytest.mark.parametrize("certificate, tls, error, alert", [
    ("good", {}, "UNKNOWN_ISSUER", "issuer"),
    ("other", {"ca": ROOT}, "WRONG_NAME", "another name"),
    ("expired", {"ca": ROOT}, "EXPIRED", "expired"),
    ("good", {"ca": ROOT, "server_name": "else.example"}, "WRONG_NAME", "another name"),
    ("good", {"ca": ROOT, "pin": "sha256//" + "A" * 43 + "="}, "PIN", "pinned"),
])
def test_who_is_not_trusted_is_named(secure, monkeypatch, certificate, tls, error, alert):
    trust_nobody(monkeypatch)
    info = outcome(secure(certificate), tls=wsock.TLS(**tls))
    assert info.cause == wsock.Cause.CERTIFICATE and alert in info.detail
    assert info.tls_error == getattr(wsock._wsock, "TLS_" + error)


def test_pins_names_and_no_check_let_in(secure):
    conn = outcome(secure(), tls=wsock.TLS(ca=ROOT))
    pins = ["sha256//" + "A" * 43 + "=", conn.tls["pin"]]
    assert outcome(secure(), tls=wsock.TLS(ca=ROOT, pin=pins)).is_open
    assert outcome(secure("selfsigned"), tls=wsock.TLS(verify=False)).is_open
    server = secure("other")
    conn = outcome(server, tls=wsock.TLS(ca=ROOT, server_name="other.example"))
    assert conn.is_open


def test_certificates_of_clients(secure):
    who = []
    server = secure(on_request=lambda request: who.append(request.tls.get("subject")),
                    tls_ca=FILES / "clients.pem", tls_verify_client="required")
    assert outcome(server, tls=own("alice", ca=ROOT)).is_open
    assert who == ["CN=alice,O=wsock"]
    for stranger in (wsock.TLS(ca=ROOT), own("mallory", ca=ROOT)):
        info = outcome(server, tls=stranger)
        assert info.cause == wsock.Cause.TLS and info.tls_alert != 0
    server.set("tls_verify_client", "optional")
    server.reload()
    assert outcome(server, tls=wsock.TLS(ca=ROOT)).is_open
    assert who[1:] == [None]


# ---- whom a client trusts that was told of nobody ----

def trust_nobody(monkeypatch):
    """As on a machine without any authorities."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: verify_paths(None))
    monkeypatch.setattr(_options, "CA_FILES", ("/nowhere/ca.pem",))


def verify_paths(cafile):
    return ssl.DefaultVerifyPaths(cafile, None, "", "", "", "")


@pytest.mark.parametrize("place", ["SSL_CERT_FILE", "python", "distribution", "option"])
def test_authorities_are_searched_for(secure, monkeypatch, place):
    trust_nobody(monkeypatch)
    server = secure()
    assert outcome(server).cause == wsock.Cause.CERTIFICATE
    options = {}
    if place == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", str(ROOT))
        monkeypatch.setattr(_options, "CA_FILES", (str(FILES / "foreign.pem"),))
    elif place == "python":
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: verify_paths(str(ROOT)))
        monkeypatch.setattr(_options, "CA_FILES", (str(FILES / "foreign.pem"),))
    elif place == "distribution":
        monkeypatch.setattr(_options, "CA_FILES", ("/nowhere", str(FILES), str(ROOT)))
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(FILES / "foreign.pem"))
        options["tls_ca"] = ROOT
    assert outcome(server, **options).is_open


# ---- the names of `websockets` ----

def test_connect_by_another_name_keeps_the_host(monkeypatch):
    trust_nobody(monkeypatch)

    async def say_host(ws):
        await ws.send(ws.request.headers["Host"])

    async def main():
        serving = asyncio_server.serve(say_host, "127.0.0.1", 0, ssl=own("other"))
        async with serving as server:
            port = server.sockets[0].getsockname()[1]
            tls = wsock.TLS(ca=ROOT)
            where = f"wss://127.0.0.1:{port}"
            async with asyncio_client.connect(where, ssl=tls,
                                              server_hostname="other.example") as ws:
                assert await ws.recv() == where[6:]
            async with asyncio_client.connect("wss://other.example", ssl=tls,
                                              host="localhost", port=port) as ws:
                assert await ws.recv() == "other.example"
            with pytest.raises(ssl.SSLCertVerificationError, match="another name"):
                await asyncio_client.connect(where, ssl=tls)
            with pytest.raises(ssl.SSLCertVerificationError, match="issuer"):
                await asyncio_client.connect(where, ssl=True)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_threads_speak_tls_too():
    def echo(ws):
        for message in ws:
            ws.send(message)

    tls = own("good", ca=FILES / "clients.pem", verify="required")
    with sync_server.serve(echo, "127.0.0.1", 0, ssl=tls) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with sync_client.connect(f"wss://localhost:{port}", ssl=own("alice", ca=ROOT)) as ws:
            ws.send("x")
            assert ws.recv(20) == "x"
        with sync_client.connect("wss://localhost", ssl=own("alice", ca=ROOT),
                                 host="127.0.0.1", port=port) as ws:
            ws.send("y")
            assert ws.recv(20) == "y"
        with pytest.raises(ssl.SSLError):
            sync_client.connect(f"wss://localhost:{port}", ssl=wsock.TLS(ca=ROOT))
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("server, client, protocol", [
    (None, None, "http/1.1"), (["ws", "http/1.1"], ["ws"], "ws"), ("ws", "none", None),
    (None, ["ws"], ...)])
def test_names_for_alpn(server, client, protocol):
    with wsock.Server("wss://127.0.0.1:0", tls=own("good", alpn=server)) as listening:
        listening.endpoint("/")
        listening.start()
        conn = outcome(listening, tls=wsock.TLS(ca=ROOT, alpn=client))
        if protocol is ...:
            assert conn.cause == wsock.Cause.TLS and conn.tls_alert == 120
        else:
            assert conn.tls.get("protocol") == protocol
