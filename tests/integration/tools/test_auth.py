# SPDX-License-Identifier: MIT
"""Members who prove who they are to `wsock serve`: signed tokens, and a backend. Tokens are
made here and by the command openssl, not by libwsock."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from tool import TIMEOUT, Serve, run
from ws_peer import TEXT, Client

SECRET = b"a secret that only this test has"


class V1(Client):
    """A member that speaks wsock.rooms.v1."""

    def __init__(self, port, path="/rooms", headers=()):
        super().__init__(port, path, "wsock.rooms.v1", headers)
        self.ids = 0

    def put(self, **frame):
        self.send(TEXT, json.dumps(frame))

    def take(self):
        """The next frame, or the close code."""
        message = self.receive_message()
        return json.loads(message) if isinstance(message, str) else message

    def ask(self, **frame):
        """The answer to a request: what is ok, or the code of the error."""
        self.ids += 1
        self.put(id=self.ids, **frame)
        while True:
            answer = self.take()
            if isinstance(answer, int):
                return answer
            if answer.get("re") == self.ids:
                return answer["ok"] if "ok" in answer else answer["err"]


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(claims, secret=SECRET, header=None):
    signed = b64url(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode()) + b"." + \
        b64url(json.dumps(claims).encode())
    mac = hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + b64url(mac)).decode()


class Members(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(self.enter(tempfile.TemporaryDirectory()))

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def start(self, *args):
        self.serve = self.enter(Serve(*args))

    def v1(self, path="/rooms", headers=()):
        client = V1(self.serve.port, path, headers)
        self.addCleanup(client.sock.close)
        return client

    def refused(self, code, close, **hello):
        """A hello that is refused. @return the error"""
        client = self.v1()
        answer = client.ask(type="hello", **hello)
        self.assertEqual(answer.get("code"), code, answer)
        self.assertEqual(client.take(), close)
        return answer

    def welcomed(self, identity, **hello):
        client = self.v1()
        answer = client.ask(type="hello", **hello)
        self.assertEqual(answer.get("identity"), identity, answer)
        return client


class Tokens(Members):
    def setUp(self):
        super().setUp()
        (self.dir / "secret").write_bytes(SECRET + b"\n")

    def start(self, *args):
        super().start("--jwt-secret", str(self.dir / "secret"), *args)

    def test_token_says_who_it_is(self):
        self.start()
        client = self.welcomed("ann", token=token({"sub": "ann"}), name="bob")
        self.assertEqual(client.ask(type="join", room="lobby")["members"], ["ann"])
        self.assertEqual(client.ask(type="pub", room="lobby", data="hi"), True)

    def test_tokens_that_do_not_hold_are_refused(self):
        self.start()
        now = time.time()
        for text, bad in (
                ("a token is needed", None),
                ("the token is malformed", "x"),
                ("the signature of the token is wrong", token({"sub": "ann"}, b"z" * 32)),
                ("the token is not signed with the algorithm of the key",
                 token({"sub": "ann"}, header={"alg": "none"})),
                ("the token has expired", token({"sub": "ann", "exp": now - 31})),
                ("the token is not valid yet", token({"sub": "ann", "nbf": now + 60})),
                ("the token is for another audience", token({"sub": "ann", "aud": "them"})),
                ("the token does not say who it is for", token({})),
                ("a claim of the token has a value that it cannot have", token({"sub": "a\n"}))):
            with self.subTest(text=text):
                hello = {} if bad is None else {"token": bad}
                answer = self.refused("unauthorized", 4401, **hello)
                self.assertEqual((answer["text"], answer["retry"]), (text, False))

    def test_issuer_and_audience_are_asked_for(self):
        self.start("--jwt-issuer", "me", "--jwt-audience", "here")
        self.welcomed("ann", token=token({"sub": "ann", "iss": "me", "aud": ["there", "here"]}))
        self.refused("unauthorized", 4401, token=token({"sub": "ann", "aud": "here"}))
        self.refused("unauthorized", 4401, token=token({"sub": "ann", "iss": "me"}))

    def test_rooms_and_pub_decide(self):
        self.start()
        client = self.welcomed("ann", token=token(
            {"sub": "ann", "rooms": ["lobby", "match.*"], "pub": ["lobby"]}))
        self.assertEqual(client.ask(type="join", room="lobby")["type"], "joined")
        self.assertEqual(client.ask(type="join", room="match.1")["type"], "joined")
        self.assertEqual(client.ask(type="join", room="match")["code"], "forbidden")
        self.assertEqual(client.ask(type="pub", room="lobby", data=1), True)
        self.assertEqual(client.ask(type="pub", room="match.1", data=1)["code"], "forbidden")
        self.assertEqual(client.ask(type="direct", identity="ann", data=1)["code"], "forbidden")

    def test_join_may_bring_a_token_of_its_own(self):
        self.start()
        client = self.welcomed("ann", token=token({"sub": "ann", "rooms": []}))
        for claims, code in (({"rooms": ["vip"]}, None), ({"sub": "ann", "rooms": ["vip"]}, None),
                             ({"sub": "bob", "rooms": ["vip"]}, "unauthorized"),
                             ({"sub": "ann", "rooms": ["other"]}, "forbidden"),
                             ({"sub": "ann", "exp": 1}, "unauthorized")):
            with self.subTest(claims=claims):
                answer = client.ask(type="join", room="vip", token=token(claims))
                self.assertEqual(answer.get("code"), code, answer)
                if code is None:
                    client.ask(type="leave", room="vip")

    def test_info_of_the_token_is_what_others_see(self):
        self.start()
        first = self.welcomed("ann", token=token({"sub": "ann"}))
        first.ask(type="join", room="lobby")
        second = self.welcomed("bob", token=token({"sub": "bob", "info": {"colour": "red"}}))
        answer = second.ask(type="join", room="lobby", info={"colour": "gold"})
        self.assertEqual(answer["infos"], {"bob": {"colour": "red"}})

    def test_token_that_is_over_ends_the_connection(self):
        self.start()
        client = self.v1()
        answer = client.ask(type="hello", token=token({"sub": "ann", "exp": time.time() - 28.5}))
        self.assertTrue(0 < answer["expires_ms"] <= 1500, answer)
        self.assertEqual(client.take(), 4401)

    def test_refreshed_token_is_of_the_same_member(self):
        self.start()
        client = self.welcomed("ann", token=token({"sub": "ann", "rooms": [],
                                                   "exp": time.time() - 25}))
        answer = client.ask(type="refresh", token=token({"sub": "ann", "exp": time.time() + 600}))
        self.assertGreater(answer["expires_ms"], 600000)
        # it decides on rooms now
        self.assertEqual(client.ask(type="join", room="lobby")["type"], "joined")
        self.assertEqual(client.ask(type="refresh", token=token({"sub": "bob"}))["code"],
                         "unauthorized")

    def test_raw_members_show_it_at_the_handshake(self):
        self.start()
        good = f"Authorization: Bearer {token({'sub': 'ann', 'rooms': ['lobby']})}"
        client = Client(self.serve.port, "/rooms/lobby", headers=[good])
        client.send(TEXT, "hello")
        self.assertEqual(client.receive_message(), "hello")
        client.sock.close()
        for path, headers, code in (("/rooms/lobby", [], 4401), ("/rooms/other", [good], 4403),
                                    ("/rooms/lobby", ["Authorization: Bearer x.y.z"], 4401)):
            with self.subTest(path=path, headers=headers):
                client = Client(self.serve.port, path, headers=headers)
                self.assertEqual(client.receive_message(), code)
                client.sock.close()
        # so may the others
        client = self.v1(headers=[good])
        self.assertEqual(client.ask(type="hello")["identity"], "ann")

    def test_a_token_in_the_query_is_none_and_no_token_is_logged(self):
        self.start("--log-level", "debug")
        good = token({"sub": "ann", "rooms": ["lobby"]})
        bad = good[:-6] + "AAAAAA"
        query = f"token={good}&access_token={good}"
        for path, hello, headers in ((f"/rooms?{query}", {}, []), ("/rooms", {"token": good}, []),
                                     ("/rooms", {"token": bad}, []),
                                     ("/rooms", {}, [f"Authorization: Bearer {good}"])):
            client = self.v1(path, headers)
            answer = client.ask(type="hello", **hello)
            self.assertEqual("code" in answer, "?" in path or bad in hello.values(), answer)
            client.sock.close()
        raw = Client(self.serve.port, f"/rooms/lobby?{query}")
        self.assertEqual(raw.receive_message(), 4401)
        raw.sock.close()
        self.serve.signal(signal.SIGTERM)
        status, out, err = self.serve.finish()
        self.assertEqual(status, 0, err)
        self.assertIn("open: /rooms/lobby, ", err)
        for text in (good, good.rsplit(".", 1)[1], bad):
            self.assertNotIn(text, out + err)

    def test_somebody_on_two_connections_is_one_person(self):
        self.start("--admin", f"unix:{self.dir / 'admin'}")
        clients = [self.welcomed("ann", token=token({"sub": "ann"})) for _ in range(2)]
        answer = run("kick", "ann", "--reason", "be nice", "--admin", f"unix:{self.dir / 'admin'}")
        self.assertEqual((answer.returncode, answer.stdout), (0, "2\n"))
        for client in clients:
            self.assertEqual(client.take(), 4410)


class Keys(Members):
    """RS256, with keys and signatures of the command openssl."""

    def openssl(self, *args, data=None):
        return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True,
                              cwd=self.dir).stdout

    def token(self, claims, key="key.pem"):
        signed = b64url(b'{"alg":"RS256"}') + b"." + b64url(json.dumps(claims).encode())
        signature = self.openssl("dgst", "-sha256", "-sign", key, data=signed)
        return (signed + b"." + b64url(signature)).decode()

    def setUp(self):
        super().setUp()
        for name in ("key.pem", "other.pem"):
            self.openssl("genrsa", "-out", name, "2048")
        self.openssl("rsa", "-in", "key.pem", "-pubout", "-out", "public.pem")
        self.openssl("req", "-x509", "-key", "key.pem", "-subj", "/CN=signer", "-out",
                     "cert.pem")

    def test_public_key_and_certificate_verify(self):
        for name in ("public.pem", "cert.pem"):
            with self.subTest(name=name), Serve("--jwt-key", str(self.dir / name)) as self.serve:
                self.welcomed("ann", token=self.token({"sub": "ann"})).sock.close()
                self.refused("unauthorized", 4401, token=self.token({"sub": "ann"}, "other.pem"))
                # the public key is no secret that one could sign with
                pem = (self.dir / name).read_bytes()
                for secret in (pem, pem.rstrip(b"\n")):
                    for alg in ("HS256", "RS256"):
                        self.refused("unauthorized", 4401, token=token(
                            {"sub": "ann"}, secret, {"alg": alg}))

    def test_keys_that_are_none_are_refused_at_the_start(self):
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.pem")
        self.openssl("ec", "-in", "ec.pem", "-pubout", "-out", "ec_public.pem")
        (self.dir / "short").write_bytes(b"x" * 31 + b"\n")
        for args, text in (
                (("--jwt-secret", "short"), "32 bytes or more"),
                (("--jwt-secret", "public.pem"), "no secret"),
                (("--jwt-secret", "nowhere"), "cannot read"),
                (("--jwt-key", "key.pem"), "no public key"),
                (("--jwt-key", "ec_public.pem"), "no key of RSA"),
                (("--jwt-key", "short"), "no public key")):
            with self.subTest(args=args):
                result = run("serve", "ws://127.0.0.1:0", *args, cwd=self.dir)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(text, result.stderr)
        for args, text in (
                (("--jwt-key", "cert.pem", "--jwt-secret", "short"), "either"),
                (("--jwt-key", "cert.pem", "--auth-url", "http://127.0.0.1/"), "either"),
                (("--jwt-issuer", "x"), "have an effect"), (("--auth-header", "X-A"), "effect"),
                (("--auth-url", "ftp://127.0.0.1/"), "--auth-url takes"),
                (("--auth-url", "127.0.0.1"), "--auth-url takes"),
                (("--auth-url", "http://127.0.0.1/", "--auth-timeout", "0"), "at least")):
            with self.subTest(args=args):
                result = run("serve", "ws://127.0.0.1:0", *args, cwd=self.dir)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(text, result.stderr)


class Backend(http.server.ThreadingHTTPServer):
    """Who decides: `decide(question)` gives an answer, or (status, bytes)."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, decide):
        super().__init__(("127.0.0.1", 0), Handler)
        self.decide = decide
        self.lock = threading.Lock()
        self.questions = []
        self.active = self.most = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/decide?a=b"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def kinds(self):
        with self.lock:
            return [question["kind"] for question in self.questions]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.questions.append(question)
            server.active += 1
            server.most = max(server.most, server.active)
        try:
            answer = server.decide(question)
        finally:
            with server.lock:
                server.active -= 1
        status, body = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Decided(Members):
    def decide(self, by, *args):
        self.backend = self.enter(Backend(by))
        self.start("--auth-url", self.backend.url, *args)

    def test_backend_is_told_and_decides(self):
        def by(question):
            if question["kind"] == "hello":
                return {"allow": question.get("token") == "good", "identity": "ann",
                        "info": {"vip": True}, "expires_ms": 60000, "code": "unauthorized",
                        "text": "who are you?"}
            return {"allow": question["room"] == "lobby"}

        self.decide(by, "--auth-header", "X-Tenant")
        client = self.v1(headers=["Cookie: a=b", "X-Tenant: t1", "X-Other: no"])
        answer = client.ask(type="hello", token="good", name="Annie")
        self.assertEqual(answer["identity"], "ann")
        self.assertTrue(50000 < answer["expires_ms"] <= 60000)
        self.assertEqual(client.ask(type="join", room="lobby", token="t")["infos"],
                         {"ann": {"vip": True}})
        self.assertEqual(client.ask(type="pub", room="lobby", data=1), True)
        self.assertEqual(client.ask(type="join", room="other"),
                         {"code": "forbidden", "text": "refused", "retry": False})
        headers = {"Cookie": "a=b", "X-Tenant": "t1"}
        self.assertEqual(self.backend.questions, [
            {"kind": "hello", "token": "good", "name": "Annie", "address": "127.0.0.1",
             "headers": headers},
            {"kind": "join", "token": "t", "identity": "ann", "room": "lobby",
             "address": "127.0.0.1", "headers": headers},
            {"kind": "publish", "identity": "ann", "room": "lobby", "address": "127.0.0.1",
             "headers": headers},
            {"kind": "join", "identity": "ann", "room": "other", "address": "127.0.0.1",
             "headers": headers}])
        answer = self.refused("unauthorized", 4401, token="bad")
        self.assertEqual((answer["text"], answer["retry"]), ("who are you?", False))

    def test_answer_is_remembered_as_long_as_it_says(self):
        answers = {"hello": {"allow": True, "identity": "ann", "ttl_ms": 600000},
                   "join": {"allow": False, "ttl_ms": 600000},
                   "publish": {"allow": True}}
        self.decide(lambda question: answers[question["kind"]])
        for _ in range(3):
            client = self.welcomed("ann", token="t")
            self.assertEqual(client.ask(type="join", room="a")["code"], "forbidden")
            client.sock.close()
        self.assertEqual(self.backend.kinds(), ["hello", "join"])
        self.welcomed("ann", token="another")
        self.assertEqual(self.backend.kinds(), ["hello", "join", "hello"])

    def test_answer_that_is_over_is_asked_for_again(self):
        self.decide(lambda question: {"allow": True, "identity": "ann", "ttl_ms": 1})
        self.welcomed("ann", token="t")
        deadline = time.monotonic() + TIMEOUT
        while len(self.backend.kinds()) < 2:
            self.assertLess(time.monotonic(), deadline)
            self.welcomed("ann", token="t").sock.close()

    def test_answer_without_ttl_is_not_remembered(self):
        self.decide(lambda question: {"allow": True, "identity": "ann"})
        for _ in range(2):
            self.welcomed("ann", token="t")
        self.assertEqual(self.backend.kinds(), ["hello", "hello"])

    def test_backend_that_fails_lets_nobody_in(self):
        answers = [(500, b'{"allow": true}'), (302, b'{"allow": true}'), (204, b""),
                   (200, b""), (200, b"<html>"), (200, b"\xff\xfe"), (200, b"true"),
                   (200, b'{"allow": 1}'), (200, b'{"allow": "true"}'), (200, b"{}"),
                   (200, b'{"allow": false, "allow": true}'), (200, b'[{"allow": true}]'),
                   (200, b'{"allow": true, "p": "' + b"p" * 70000 + b'"}'),
                   (200, b"[" * 60000)]
        self.decide(lambda question: answers[int(question["token"])])
        for i, answer in enumerate(answers):
            with self.subTest(answer=answer[1][:40]):
                self.assertTrue(self.refused("unavailable", 1013, token=str(i))["retry"])

    def test_answers_that_cannot_be_are_refused(self):
        answers = [{"identity": ""}, {"identity": 7}, {"identity": "a\nb"}, {"identity": "x" * 256},
                   {"expires_ms": "1"}, {"expires_ms": -1}, {"expires_ms": 0}]
        self.decide(lambda question: {"allow": True, **answers[int(question["token"])]})
        for i, answer in enumerate(answers):
            with self.subTest(answer=answer):
                self.assertTrue(self.refused("failed", 1013, token=str(i))["retry"])

    def test_code_that_is_none_is_forbidden(self):
        self.decide(lambda question: {"allow": False, "code": "NOT A CODE", "text": "x" * 5000})
        self.assertEqual(self.refused("forbidden", 4403)["text"], "refused")

    def test_slow_backend_is_given_up(self):
        over = threading.Event()
        self.addCleanup(over.set)
        self.decide(lambda question: over.wait(TIMEOUT) and {}, "--auth-timeout", "0.3")
        begun = time.monotonic()
        self.assertTrue(self.refused("unavailable", 1013)["retry"])
        self.assertLess(time.monotonic() - begun, TIMEOUT / 2)

    def test_many_questions_are_asked_by_and_by(self):
        together = threading.Barrier(32)

        def by(question):
            if len(self.backend.questions) <= 32:  # as many as may be asked at one time
                together.wait(TIMEOUT)
            return {"allow": True, "identity": question["token"]}

        self.decide(by, "--auth-timeout", str(TIMEOUT))
        clients = [self.v1() for _ in range(80)]
        for i, client in enumerate(clients):
            client.put(type="hello", token=f"u{i}", id=1)
        for i, client in enumerate(clients):
            answer = client.take()
            self.assertEqual(answer, {"re": 1, "ok": {**answer["ok"], "identity": f"u{i}"}})
        self.assertEqual(self.backend.most, 32)

    def test_waiting_for_a_turn_counts_too(self):
        over = threading.Event()
        self.addCleanup(over.set)
        self.decide(lambda question: over.wait(TIMEOUT) and {}, "--auth-timeout", "0.5")
        clients = [self.v1() for _ in range(100)]
        begun = time.monotonic()
        for i, client in enumerate(clients):
            client.put(type="hello", token=f"u{i}", id=1)
        for client in clients:
            self.assertEqual(client.take()["err"]["code"], "unavailable")
        self.assertLess(time.monotonic() - begun, TIMEOUT / 2)
        self.assertLessEqual(self.backend.most, 100)

    def test_server_ends_while_the_backend_thinks(self):
        asked, over = threading.Event(), threading.Event()
        self.addCleanup(over.set)

        def by(_question):
            asked.set()
            over.wait(TIMEOUT)
            return {"allow": True}

        with Backend(by) as backend:
            begun = time.monotonic()
            with Serve("--auth-url", backend.url, "--auth-timeout", "1000",
                       "--set", "stop_timeout=100ms") as self.serve:
                client = self.v1()
                client.put(type="hello", id=1)
                self.assertTrue(asked.wait(TIMEOUT))
            over.set()
        self.assertLess(time.monotonic() - begun, TIMEOUT)

    def test_backend_that_comes_back_is_asked_again(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.start("--auth-url", f"http://127.0.0.1:{port}/")
        self.assertTrue(self.refused("unavailable", 1013)["retry"])
        self.assertRegex(self.serve.error_line(), "^wsock serve: no answer of the backend: ")
        self.refused("unavailable", 1013)  # and is not told again
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
            server.lock, server.questions = threading.Lock(), []
            server.active = server.most = 0
            server.decide = lambda question: {"allow": True, "identity": "ann"}
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.welcomed("ann")
            self.assertEqual(self.serve.error_line(), "wsock serve: the backend answers again")
            server.shutdown()

    def test_backend_that_ends_within_its_answer_lets_nobody_in(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def answer():
                for head in (b"", b"garbage\r\n\r\n",
                             b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"allow\": true}"):
                    peer, _ = listener.accept()
                    peer.settimeout(TIMEOUT)
                    peer.recv(65536)
                    with contextlib.suppress(OSError):
                        peer.sendall(head)
                    peer.close()

            threading.Thread(target=answer, daemon=True).start()
            self.start("--auth-url", f"http://127.0.0.1:{listener.getsockname()[1]}/",
                       "--auth-timeout", "5")
            for _ in range(3):
                self.assertTrue(self.refused("unavailable", 1013)["retry"])

    def test_raw_members_are_asked_about_too(self):
        self.decide(lambda question: {"allow": question["headers"].get("Cookie") == "s=1",
                                      "identity": "ann"})
        client = Client(self.serve.port, "/rooms/lobby", headers=["Cookie: s=1"])
        client.send(TEXT, "hello")
        self.assertEqual(client.receive_message(), "hello")
        client.sock.close()
        self.assertEqual(self.backend.kinds(), ["hello", "join", "publish"])
        client = Client(self.serve.port, "/rooms/lobby")
        self.assertEqual(client.receive_message(), 4403)
        client.sock.close()


if __name__ == "__main__":
    if shutil.which("openssl") is None:
        raise SystemExit("the command openssl is needed")
    unittest.main()
