# SPDX-License-Identifier: MIT
"""`wsock serve` and `wsock connect` over TLS; and OpenSSL's own commands as peers."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
import unittest.mock

from tool import TIMEOUT, Process, Serve, run
from ws_peer import TEXT, Client

FILES = os.environ["CERTIFICATES"]
WSS = ("wss://127.0.0.1:0",)


def file(name):
    return f"{FILES}/{name}"


def identity(name):
    return "--cert", file(f"{name}.pem"), "--key", file(f"{name}.key")


def serve(*args, name="good"):
    return Serve(*identity(name), *args, urls=WSS)


def ask(server, *args):
    return run("connect", f"{server.url}/echo", "-x", "hello", "--count", "1", *args)


def s_client(port, *args, data=""):
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", file("root.pem"),
         "-verify_return_error", *args],
        input=data, capture_output=True, text=True, timeout=TIMEOUT, check=False)


class Commands(unittest.TestCase):
    def test_a_message_comes_back_over_tls(self):
        with serve() as server:
            self.assertRegex(server.page, r"^https://127\.0\.0\.1:\d+/$")
            result = ask(server, "--ca", file("root.pem"))
        self.assertEqual((result.returncode, result.stdout), (0, "hello\n"))

    def test_verbose_tells_of_tls(self):
        with serve() as server:
            good = ask(server, "--ca", file("root.pem"), "-v")
            unknown = ask(server, "-kv")
        self.assertRegex(good.stderr, r"(?m)^tls: TLSv1\.3, TLS_\w+, new session\n"
                                      r"alpn: http/1\.1$")
        self.assertRegex(good.stderr, r"(?m)^certificate: CN=good\n"
                                      r"certificate: CN=wsock test intermediate\nverified: yes$")
        self.assertEqual(unknown.returncode, 0)
        self.assertRegex(unknown.stderr, r"(?m)^verified: no, unable to get local issuer")

    def test_a_certificate_that_does_not_hold_is_4_with_its_reason(self):
        for name, reason in (("expired", "has expired"), ("future", "not valid yet"),
                             ("other", "another name"), ("selfsigned", "self-signed"),
                             ("foreign_leaf", "issuer is not known")):
            with self.subTest(name), serve(name=name) as server:
                result = ask(server, "--ca", file("root.pem"))
                self.assertEqual((result.returncode, result.stdout), (4, ""))
                self.assertIn(reason, result.stderr)
                self.assertEqual(ask(server, "--insecure").returncode, 0)

    def test_verbose_tells_of_tls_that_failed(self):
        def of_chain(leaf, verdict):
            return (rf"^tls: TLSv1\.3, \S+, new session\nalpn: http/1\.1\n"
                    rf"certificate: CN={leaf}\n(certificate: .*\n)*verified: no, {verdict}.*\n"
                    r"wsock connect: TLS with [^\n]*\n$")

        for name, leaf, verdict in (("expired", "expired", "certificate has expired"),
                                    ("selfsigned", "localhost", "self-signed certificate")):
            with self.subTest(name), serve(name=name) as server:
                result = ask(server, "-v", "--ca", file("root.pem"))
                self.assertEqual(result.returncode, 4)
                self.assertRegex(result.stderr, of_chain(leaf, verdict))
        with serve() as server:
            pinned = ask(server, "-v", "--ca", file("root.pem"), "--set",
                         "tls_pin=sha256//" + "A" * 43 + "=")
            self.assertRegex(pinned.stderr, of_chain("good", "the public key is none of"))
            kept = run("connect", server.url, "-v", "-x", "hello", "--reconnect",
                       "--set", "reconnect_attempts=1")
            self.assertEqual(kept.stderr.count("certificate: CN=good\n"), 1, kept.stderr)
            missing = run("connect", f"{server.url}/none", "-v", "--ca", file("root.pem"))
            self.assertRegex(missing.stderr, r"(?s)^tls: .*verified: yes\n.*404")
        with Serve() as server:
            plain = run("connect", f"wss://127.0.0.1:{server.port}/echo", "-v", "-x", "hello")
            self.assertNotIn("tls:", plain.stderr)

    def test_clients_show_their_certificate(self):
        alice = identity("alice") + ("--ca", file("root.pem"))
        mallory = identity("mallory") + ("--ca", file("root.pem"))
        nobody = ("--ca", file("root.pem"))
        for flag, statuses in (("--verify-client", (0, 4, 4)),
                               ("--verify-client=required", (0, 4, 4)),
                               ("--verify-client=optional", (0, 4, 0)),
                               ("--verify-client=none", (0, 0, 0))):
            with self.subTest(flag), serve("--ca", file("clients.pem"), flag) as server:
                self.assertEqual(tuple(ask(server, *who).returncode
                                       for who in (alice, mallory, nobody)), statuses)

    def test_what_cannot_be_used_is_named(self):
        cases = (
            (("serve", *WSS), 1, "tls_certificate"),
            (("serve", *WSS, "--cert", "/nowhere.pem"), 1, "/nowhere.pem"),
            (("serve", *WSS, "--cert", file("good.pem"), "--key", file("rsa.key")), 1,
             "is not the key"),
            (("serve", *WSS, *identity("good"), "--verify-client"), 1, "tls_ca"),
            (("serve", *WSS, "--verify-client=maybe"), 2, "--verify-client"),
            (("serve", *WSS, "--cert"), 2, "--cert needs a value"),
            (("connect", "wss://127.0.0.1:1", "--ca", "/nowhere.pem"), 4, "/nowhere.pem"),
            (("connect", "wss://127.0.0.1:1", "--ca", "/nowhere.pem"), 4, "(--ca sets tls_ca)"),
            (("connect", "wss://127.0.0.1:1", "--key", "x.pem"), 4,
             "(--cert sets tls_certificate, --key sets tls_key)"),
            (("serve", *WSS, "--key", "x.pem"), 1, "--cert sets tls_certificate"),
            (("connect", "wss://127.0.0.1:1", "--insecure=no"), 2, "takes no value"),
            (("bench", "wss://127.0.0.1:1", "--set", "tls_ca=/nowhere.pem"), 4, "/nowhere.pem"),
        )
        for arguments, status, says in cases:
            with self.subTest(arguments):
                result = run(*arguments)
                self.assertEqual(result.returncode, status)
                self.assertIn(says, result.stderr)

    def test_plain_and_tls_do_not_mix(self):
        with serve() as server:
            result = run("connect", f"ws://127.0.0.1:{server.port}/echo", "-x", "hello")
            self.assertEqual(result.returncode, 5)
            self.assertIn("if it speaks TLS, it wants wss instead of ws\n", result.stderr)
            bench = run("bench", "-t", "1", "-c", "1", f"ws://127.0.0.1:{server.port}/echo")
            self.assertIn("it wants wss instead of ws\n", bench.stdout)
            page = run("connect", f"{server.url}/none", "--ca", file("root.pem"))
            self.assertNotIn("instead of", page.stderr)
        with Serve() as server:
            result = run("connect", f"wss://127.0.0.1:{server.port}/echo", "-x", "hello")
            self.assertEqual(result.returncode, 4)
            self.assertIn("does not speak TLS; try ws instead of wss\n", result.stderr)

    def test_a_server_that_hangs_up_on_tls_may_want_none(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            def hang_up():
                connection, _ = listening.accept()
                connection.recv(65536)
                connection.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            result = run("connect", f"wss://127.0.0.1:{listening.getsockname()[1]}", "-x", "hello")
            thread.join()
        self.assertEqual(result.returncode, 4)
        self.assertIn("if it speaks no TLS, it wants ws instead of wss\n", result.stderr)


class Reload(unittest.TestCase):
    def subject(self, server):
        found = re.search(r"certificate: CN=(\w+)", ask(server, "-kv").stderr)
        return found and found[1]

    def test_sighup_reads_the_files_again(self):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"

            def install(name):
                shutil.copy(file(f"{name}.pem"), cert)
                shutil.copy(file(f"{name}.key"), key)

            install("good")
            with Serve("--cert", cert, "--key", key, "--log-level", "info",
                       urls=WSS) as server:
                stays = Process("connect", "-k", f"{server.url}/echo")
                stays.write("before\n")
                self.assertEqual(stays.line(), "before")
                self.assertEqual(self.subject(server), "good")
                install("rsa")
                self.hang_up(server, "reloaded")
                self.assertEqual(self.subject(server), "rsa")
                shutil.copy(file("garbage.pem"), cert)
                line = self.hang_up(server, "cannot reload")
                self.assertIn(cert, line)
                self.assertEqual(self.subject(server), "rsa")
                stays.write("after\n")
                self.assertEqual(stays.line(), "after")
                stays.popen.stdin.close()
                stays.popen.stdin = None
                self.assertEqual(stays.finish()[0], 0)

    def test_sighup_is_answered_at_every_log_level(self):
        for level in ((), ("--log-level", "off")):
            with tempfile.TemporaryDirectory() as folder:
                cert = f"{folder}/cert.pem"
                shutil.copy(file("good.pem"), cert)
                with Serve("--cert", cert, "--key", file("good.key"), *level,
                           urls=WSS) as server:
                    self.assertEqual(self.hang_up(server, "reloaded"), "wsock serve: reloaded")
                    shutil.copy(file("garbage.pem"), cert)
                    self.assertIn(cert, self.hang_up(server, "cannot reload"))

    def hang_up(self, server, says):
        server.signal(signal.SIGHUP)
        while True:
            line = server.error_line()
            self.assertNotEqual(line, "")
            if says in line:
                return line

    def test_without_tls_sighup_ends_it(self):
        # Who runs the tests may have it ignored (nohup), which the command inherits.
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGHUP, before)
        process = Process("serve", "ws://127.0.0.1:0")
        process.line()
        process.signal(signal.SIGHUP)
        self.assertEqual(process.finish()[0], -signal.SIGHUP)


POLICY = """
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = policy
[policy]
{rule}
"""
AES128, AES256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"


class System(unittest.TestCase):
    """What the system's policy says holds, unless an option says otherwise."""

    def under(self, rule, *args):
        """A server under such a policy, as OpenSSL reads it."""
        config = tempfile.NamedTemporaryFile("w", suffix=".cnf")
        self.addCleanup(config.close)
        config.write(POLICY.format(rule=rule))
        config.flush()
        with unittest.mock.patch.dict(os.environ, OPENSSL_CONF=config.name):
            return serve(*args)

    def cipher(self, server):
        return re.search(r"Cipher is (\S+)", s_client(server.port, "-tls1_2").stdout)[1]

    def test_versions(self):
        with self.under("MinProtocol = TLSv1.3") as server:
            self.assertNotEqual(s_client(server.port, "-tls1_2").returncode, 0)
            self.assertEqual(s_client(server.port, "-tls1_3").returncode, 0)
        with self.under("MinProtocol = TLSv1.3", "--set", "tls_min_version=1.2") as server:
            self.assertEqual(s_client(server.port, "-tls1_2").returncode, 0)
        with self.under("MinProtocol = TLSv1", "--set", "tls_ciphers=ALL:@SECLEVEL=0") as server:
            old = s_client(server.port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            self.assertNotEqual(old.returncode, 0)

    def test_ciphers(self):
        with self.under(f"CipherString = {AES128}") as server:
            self.assertEqual(self.cipher(server), AES128)
        with self.under(f"CipherString = {AES128}", "--set", f"tls_ciphers={AES256}") as server:
            self.assertEqual(self.cipher(server), AES256)

    def test_authorities(self):
        """OpenSSL's own variable says where they are; --ca replaces them."""
        with serve() as server, unittest.mock.patch.dict(os.environ,
                                                         SSL_CERT_FILE=file("root.pem")):
            self.assertEqual(ask(server).returncode, 0)
            self.assertEqual(ask(server, "--ca", file("foreign.pem")).returncode, 4)


class Peers(unittest.TestCase):
    """OpenSSL's command and Python's ssl against the server."""

    def test_openssl_agrees_about_names_and_versions(self):
        many = identity("good") + identity("a") + identity("wild")
        with Serve(*many, urls=WSS) as server:
            for name, subject in (("localhost", "good"), ("a.test.example", "a"),
                                  ("b.test.example", "wild"), ("unknown.example", "good")):
                for version in ("-tls1_2", "-tls1_3"):
                    result = s_client(server.port, version, "-servername", name)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertRegex(result.stdout, rf"subject=CN ?= ?{subject}\n")
                    self.assertIn("Verify return code: 0 (ok)", result.stdout)

    def test_openssl_is_refused_old_versions_and_other_protocols(self):
        with serve() as server:
            old = s_client(server.port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            h2 = s_client(server.port, "-alpn", "h2")
            http = s_client(server.port, "-alpn", "h2,http/1.1")
            renegotiation = s_client(server.port, "-tls1_2", data="R\n")
        self.assertNotEqual(old.returncode, 0)
        self.assertIn("no application protocol", h2.stderr)
        self.assertIn("ALPN protocol: http/1.1", http.stdout)
        self.assertIn("no renegotiation", renegotiation.stderr)

    def test_openssl_gets_the_stapled_answer(self):
        with serve("--set", f"tls_ocsp={file('good.ocsp')}") as server:
            result = s_client(server.port, "-status", "-servername", "localhost")
        self.assertIn("OCSP Response Status: successful", result.stdout)
        self.assertIn("Cert Status: good", result.stdout)

    def test_openssl_resumes_a_session(self):
        with serve() as server, tempfile.TemporaryDirectory() as folder:
            kept = f"{folder}/session"
            # With TLS 1.3 the ticket comes with what is read later.
            first = s_client(server.port, "-tls1_2", "-sess_out", kept)
            second = s_client(server.port, "-tls1_2", "-sess_in", kept)
        self.assertIn("New, TLSv1.2", first.stdout)
        self.assertIn("Reused, TLSv1.2", second.stdout)

    def test_python_speaks_with_the_echo(self):
        context = ssl.create_default_context(cafile=file("root.pem"))
        with serve() as server:
            client = Client(server.port, "/echo", tls=context)
            client.send(TEXT, b"hello")
            self.assertEqual(client.receive(), (TEXT, b"hello"))
            client.close()


if __name__ == "__main__":
    unittest.main()
