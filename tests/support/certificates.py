#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the certificates that the tests of TLS need, with the command openssl:
    certificates.py DIRECTORY STAMP
What is good is valid from 2020 to 2049, so that the files need making only once.

    root.pem -> inter.pem -> good, rsa, a, a_rsa, wild, other, expired, future, revoked, odd, responder
    foreign.pem -> foreign_leaf              an authority that nobody trusts
    clients.pem -> alice, bob                an authority of clients
    twin.pem -> mallory                      named like clients.pem, with another key
    selfsigned
NAME.pem is the certificate with its chain, NAME.key its key.
"""

import os
import shutil
import subprocess
import sys

CONFIG = """
[ca]
default_ca = it
[it]
database = {dir}/index
rand_serial = yes
new_certs_dir = {dir}
default_md = sha256
policy = any
copy_extensions = none
unique_subject = no
default_crl_days = 9000
[any]
organizationName = optional
commonName = supplied
[ca_extensions]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical, CA:false
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${{ENV::SAN}}
[self]
subjectAltName = ${{ENV::SAN}}
[nameless]
basicConstraints = critical, CA:false
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[responder]
basicConstraints = critical, CA:false
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
extendedKeyUsage = OCSPSigning
[odd]
DNS.1 = localhost
URI.1 = http://x/?a\\\\b, DNS:evil
[req]
distinguished_name = none
[none]
"""
ALWAYS = ("20200101000000Z", "20491231235959Z")
LOCAL = "DNS:localhost, IP:127.0.0.1, IP:::1"


def openssl(*arguments, env=None):
    result = subprocess.run(("openssl",) + arguments, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True,
                            env={**os.environ, "SAN": "DNS:x", **(env or {})})
    if result.returncode != 0:
        sys.exit(f"openssl {' '.join(arguments)}:\n{result.stderr}")


def read(name):
    with open(name, encoding="ascii") as file:
        return file.read()


def write(name, text):
    with open(name, "w", encoding="ascii") as file:
        file.write(text)


def key(name, kind="ec"):
    kinds = {"ec": ("EC", "ec_paramgen_curve:P-256"), "rsa": ("RSA", "rsa_keygen_bits:2048")}
    algorithm, option = kinds[kind]
    openssl("genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", f"{name}.key")


def request(name, subject):
    openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-config", "root.d/config",
            "-out", f"{name}.csr")


def authority(name, subject, issuer=None):
    os.mkdir(f"{name}.d")
    write(f"{name}.d/index", "")
    write(f"{name}.d/config", CONFIG.format(dir=f"{name}.d"))
    key(name)
    request(name, subject)
    if issuer is None:
        sign(name, name, "ca_extensions", ALWAYS, "-selfsign")
    else:
        sign(name, issuer, "ca_extensions", ALWAYS)


def sign(name, issuer, extensions, dates, *more, san=None):
    by = ("-keyfile", f"{name}.key") if issuer == name else (
        "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key")
    openssl("ca", "-batch", "-notext", "-config", f"{issuer}.d/config", *by,
            "-extensions", extensions, "-startdate", dates[0], "-enddate", dates[1],
            "-in", f"{name}.csr", "-out", f"{name}.pem", *more,
            env={"SAN": san} if san else None)


def leaf(name, issuer, san, dates=ALWAYS, kind="ec", subject=None, extensions=None):
    key(name, kind)
    request(name, subject or f"/CN={name}")
    sign(name, issuer, extensions or ("leaf" if san else "nameless"), dates, san=san)
    write(f"{name}.leaf", read(f"{name}.pem"))
    if issuer == "inter":
        write(f"{name}.pem", read(f"{name}.pem") + read("inter.pem"))


def answer(name, out, *hashed, signer="inter", days=("-ndays", "9000")):
    """A stapled answer about a leaf of inter."""
    openssl("ocsp", *hashed, "-issuer", "inter.pem", "-cert", f"{name}.leaf", "-no_nonce",
            "-reqout", "ocsp.req")
    openssl("ocsp", "-index", "inter.d/index", "-CA", "inter.pem", "-rsigner", f"{signer}.pem",
            "-rkey", f"{signer}.key", "-reqin", "ocsp.req", "-respout", out, *days)


def crl(issuer, out):
    openssl("ca", "-gencrl", "-config", f"{issuer}.d/config", "-cert", f"{issuer}.pem",
            "-keyfile", f"{issuer}.key", "-out", out)


def revoke(name, issuer):
    openssl("ca", "-revoke", f"{name}.leaf", "-config", f"{issuer}.d/config",
            "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key")


def make_authorities():
    authority("root", "/CN=wsock test root")
    authority("inter", "/CN=wsock test intermediate", "root")
    authority("foreign", "/CN=wsock foreign root")
    authority("clients", "/O=wsock/CN=clients")
    authority("twin", "/O=wsock/CN=clients")


def make_leafs():
    leaf("good", "inter", LOCAL)
    leaf("rsa", "inter", LOCAL, kind="rsa")
    leaf("a", "inter", "DNS:a.test.example")
    leaf("a_rsa", "inter", "DNS:a.test.example", kind="rsa")
    leaf("wild", "inter", "DNS:*.test.example")
    leaf("other", "inter", "DNS:other.example, IP:192.0.2.1")
    leaf("odd", "inter", "@odd")
    leaf("expired", "inter", LOCAL, ("20200101000000Z", "20210101000000Z"))
    leaf("future", "inter", LOCAL, ("20490101000000Z", ALWAYS[1]))
    leaf("revoked", "inter", LOCAL)
    leaf("responder", "inter", None, extensions="responder")
    leaf("retired", "inter", None, ("20200101000000Z", "20210101000000Z"),
         extensions="responder")
    leaf("foreign_leaf", "foreign", LOCAL)
    leaf("alice", "clients", "DNS:alice.example", subject="/O=wsock/CN=alice")
    leaf("bob", "clients", None, subject="/O=wsock/CN=bob")
    leaf("old", "clients", None, ("20200101000000Z", "20210101000000Z"))
    leaf("mallory", "twin", None, subject="/O=wsock/CN=mallory")
    key("selfsigned")
    request("selfsigned", "/CN=localhost")
    openssl("x509", "-req", "-in", "selfsigned.csr", "-signkey", "selfsigned.key",
            "-days", "9000", "-extfile", "root.d/config", "-extensions", "self",
            "-out", "selfsigned.pem", env={"SAN": LOCAL})


def make_rest():
    answer("good", "good.ocsp")
    answer("good", "sha256.ocsp", "-sha256")
    answer("good", "endless.ocsp", days=())
    answer("good", "delegated.ocsp", signer="responder")
    answer("good", "retired.ocsp", signer="retired")
    answer("good", "usurped.ocsp", signer="a")
    answer("good", "foreign.ocsp", signer="foreign")
    answer("a", "a.ocsp")
    revoke("revoked", "inter")
    answer("revoked", "revoked.ocsp")
    crl("inter", "inter.crl")
    crl("root", "root.crl")
    write("both.crl", read("inter.crl") + read("root.crl"))
    crl("clients", "clients.crl")
    revoke("bob", "clients")
    crl("clients", "clients_bob.crl")
    write("together.pem", read("good.key") + read("good.pem"))
    write("disordered.pem", read("good.leaf") + read("root.pem") + read("inter.pem"))
    write("unchained.pem", read("good.leaf"))
    write("garbage.pem", "no certificate\n")
    write("broken.pem", read("good.leaf") + read("inter.pem")[:200] + "\n-----END CERT")
    openssl("pkey", "-in", "good.key", "-aes256", "-passout", "pass:secret",
            "-out", "encrypted.key")


def main():
    directory, stamp = (os.path.abspath(path) for path in sys.argv[1:])
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    os.chdir(directory)
    make_authorities()
    make_leafs()
    make_rest()
    write(stamp, "")


if __name__ == "__main__":
    main()
