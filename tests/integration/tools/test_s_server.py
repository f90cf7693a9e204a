# SPDX-License-Identifier: MIT
"""`wsock connect` at a server that is OpenSSL's own command."""

import base64
import hashlib
import ssl
import subprocess
import tempfile
import unittest

import ws_peer
from s_server import OpensslServer, file
from tool import Process, run
from ws_peer import CLOSE, PING, PONG, TEXT

CA = ("--ca", file("root.pem"))
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </chat.css>\r\n\r\n"


def connect(server, *args, **more):
    return run("connect", f"{server.url}/", "-x", "hello", "--count", "1", *args, **more)


def pin_of(name):
    spki = subprocess.run(["openssl", "pkey", "-in", file(f"{name}.key"), "-pubout", "-outform",
                           "der"], capture_output=True, check=True).stdout
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")


def echo(stream):
    """Until the client closes."""
    opcode = None
    while opcode != CLOSE:
        opcode, payload = stream.receive()
        stream.send(PONG if opcode == PING else opcode, payload)


class Opens(unittest.TestCase):
    """s_server tells of the handshake, and a message comes back."""

    def talk(self, *args, client=(), **more):
        """@return what s_server says, and what the client says with -v."""
        with OpensslServer(*args, **more) as server:
            process = Process("connect", f"{server.url}/", "-v", "-x", "hello", "--count", "1",
                              *CA, *client)
            said = server.accept(before=HINTS)
            echo(server.stream)
            server.hang_up()
            status, out, err = process.finish()
        self.assertEqual((status, out), (0, "hello\n"), err)
        return said, err

    def test_in_every_version(self):
        for version in ("1.2", "1.3"):
            said, told = self.talk(f"-tls{version.replace('.', '_')}")
            self.assertIn("CIPHER is ", said)
            self.assertRegex(told, rf"(?m)^tls: TLSv{version}, \S+, new session\nalpn: none$")
            self.assertRegex(told, r"(?m)^certificate: CN=good$")
            self.assertRegex(told, r"(?m)^verified: yes$")

    def test_of_a_chain_that_does_not_hold_the_names_are_told(self):
        for version in ("1.2", "1.3"):
            with OpensslServer(f"-tls{version.replace('.', '_')}") as server:
                result = connect(server, "-v", "--ca", file("clients.pem"))
            self.assertEqual(result.returncode, 4, result.stderr)
            self.assertRegex(result.stderr, rf"^tls: TLSv{version}, \S+, new session\nalpn: none\n"
                                            r"certificate: CN=good\ncertificate: CN=.*\n"
                                            r"verified: no, .*\nwsock connect: TLS with ")

    def test_http_1_1_is_offered_and_chosen(self):
        said, told = self.talk("-alpn", "h2,http/1.1")
        self.assertIn("\nalpn: http/1.1\n", told)
        self.assertIn("ALPN protocols advertised by the client: http/1.1", said)
        self.assertIn("ALPN protocols selected: http/1.1", said)

    def test_a_chain_in_the_wrong_order_holds(self):
        with tempfile.NamedTemporaryFile("w") as chain:
            for name in ("root.pem", "inter.pem"):
                with open(file(name), encoding="ascii") as part:
                    chain.write(part.read())
            chain.flush()
            self.talk("-cert_chain", chain.name, chain=None)

    def test_the_client_shows_its_certificate(self):
        verify = ("-Verify", "1", "-CAfile", file("clients.pem"), "-verify_return_error")
        said, _ = self.talk(*verify, client=("--cert", file("alice.pem"),
                                             "--key", file("alice.key")))
        self.assertRegex(said, r"subject=O ?= ?wsock, ?CN ?= ?alice")

    def test_the_pinned_key_or_one_of_them(self):
        other = pin_of("rsa")
        self.talk(client=("--set", f"tls_pin={pin_of('good')}"))
        self.talk(client=("--set", f"tls_pin={other};{pin_of('good')}"))

    def test_a_list_of_revocations_that_has_others(self):
        self.talk(client=("--set", f"tls_crl={file('both.crl')}"))

    def test_sessions_are_resumed_when_it_comes_back(self):
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version), OpensslServer(version) as server:
                process = Process("connect", f"{server.url}/", "-v", "--reconnect",
                                  "--set", "reconnect_delay=10ms", *CA)
                for turn in range(3):
                    said = server.accept()
                    self.assertEqual("Reused session-id" in said, turn > 0, said)
                    process.write(f"{turn}\n")
                    opcode = PING  # of -v
                    while opcode != TEXT:
                        opcode, payload = server.stream.receive()
                    self.assertEqual(payload, str(turn).encode("ascii"))
                    server.stream.send(TEXT, payload)
                    self.assertEqual(process.line(), str(turn))
                    if turn < 2:
                        server.hang_up()
                process.popen.stdin.close()
                process.popen.stdin = None
                echo(server.stream)
                server.hang_up()
                status, _, err = process.finish()
            self.assertEqual(status, 0, err)
            self.assertEqual([line.rpartition(", ")[2] for line in err.splitlines()
                              if line.startswith("tls: ")],
                             ["new session", "resumed session", "resumed session"])


class Refuses(unittest.TestCase):
    def refuse(self, status, why, *args, name="good", chain="inter.pem", server=("-www",)):
        with OpensslServer(*server, name=name, chain=chain) as there:
            result = connect(there, *args)
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        self.assertRegex(result.stderr, why)

    def test_each_fault_of_a_certificate_is_named(self):
        self.refuse(4, "has expired", *CA, name="expired")
        self.refuse(4, "not valid yet", *CA, name="future")
        self.refuse(4, "another name", *CA, name="other")
        self.refuse(4, "self-signed", *CA, name="selfsigned", chain=None)
        self.refuse(4, "issuer is not known", *CA, name="foreign_leaf", chain=None)
        self.refuse(4, "issuer is not known", *CA, chain=None)  # the one in between is missing
        self.refuse(4, "issuer is not known")  # the system knows nothing of it
        self.refuse(4, "was revoked", *CA, "--set", f"tls_crl={file('both.crl')}", name="revoked")
        self.refuse(4, "pinned", *CA, "--set", f"tls_pin={pin_of('rsa')}")
        # Each of them is taken by who asks for nothing.
        for name in ("expired", "other", "selfsigned"):
            self.refuse(5, "200 OK", "-k", name=name, chain=None)

    def test_versions_below_the_least_one(self):
        self.refuse(4, 'the alert "protocol version"', *CA, "--set", "tls_min_version=1.3",
                    server=("-www", "-tls1_2"))
        self.refuse(4, 'the alert "protocol version"', *CA,
                    server=("-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"))

    def test_other_ciphers_than_ours(self):
        """Those of the option, and no others."""
        strong = ("--set", "tls_ciphers=ECDHE-ECDSA-AES256-GCM-SHA384")
        self.refuse(4, "alert", *CA, *strong,
                    server=("-www", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"))
        self.refuse(5, "200 OK", *CA, *strong, server=("-www", "-tls1_2"))

    def test_a_client_without_the_certificate_that_is_asked_for(self):
        verify = ("-Verify", "1", "-CAfile", file("clients.pem"), "-verify_return_error")
        self.refuse(4, "alert", *CA, server=("-www", *verify))
        self.refuse(4, "alert", *CA, "--cert", file("mallory.pem"), "--key", file("mallory.key"),
                    server=("-www", *verify))

    def test_other_protocols_by_alpn(self):
        self.refuse(4, "alert", *CA, server=("-www", "-alpn", "h2"))


class Ends(unittest.TestCase):
    def test_a_cut_stream_is_told_from_one_that_ended(self):
        with OpensslServer() as server:
            process = Process("connect", f"{server.url}/", *CA)
            server.accept()
            server.stream.send(TEXT, "here")
            self.assertEqual(process.line(), "here")
            server.kill()
            status, _, err = process.finish()
        self.assertEqual(status, 7)
        self.assertIn("without a close_notify", err)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file("good.pem"), file("good.key"))

        def ends_well(conn):
            with context.wrap_socket(conn.sock, server_side=True) as sock:
                conn.sock = sock
                conn.accept()
                conn.send(TEXT, "here")
                try:
                    sock.unwrap()
                except (ssl.SSLError, OSError):  # the client has ended without its own
                    pass

        with ws_peer.Server(ends_well) as server:
            process = Process("connect", f"wss://127.0.0.1:{server.port}/", *CA)
            self.assertEqual(process.line(), "here")
            status, _, err = process.finish()
        self.assertEqual(status, 7)
        self.assertNotIn("close_notify", err)


if __name__ == "__main__":
    unittest.main()
