#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs scripts/demo as a reader of the README does, plain and with --tls: it builds, says where
it serves, answers a browser, lets two clients talk, and ends with status 0 when it is told to."""
import pathlib
import re
import signal
import ssl
import subprocess
import sys
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support/py"))
from ws_peer import TEXT, Client

ROOT = HERE.parent.parent
END_SECONDS = 30


def talk(port):
    with Client(port, "/rooms/lobby") as a, Client(port, "/rooms/lobby") as b:
        a.send(TEXT, "hello ☃")
        for member in (a, b):
            assert member.receive_message() == "hello ☃"
            member.close()


def talk_over_tls(port):
    """With the command that it builds, and the certificate that it makes."""
    build = ROOT / "build/demo-tls"
    said = subprocess.run(
        [build / "tools/wsock", "connect", f"wss://127.0.0.1:{port}/echo", "-x", "hello ☃",
         "--count", "1", "--ca", build / "cert.pem"],
        capture_output=True, text=True, timeout=END_SECONDS)
    assert said.stdout == "hello ☃\n", said


def serve(arguments, scheme, context, talk):
    command = [str(ROOT / "scripts/demo"), "--yes", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            output = ""
            address = None
            while address is None:
                line = demo.stdout.readline()
                output += line
                assert line != "", f"it ended before it served:\n{output}"
                address = re.search(scheme + r"://127\.0\.0\.1:(\d+)/", line)
            page = urllib.request.urlopen(address.group(), timeout=END_SECONDS, context=context())
            assert page.status == 200 and b"<html" in page.read().lower(), page.status
            talk(int(address.group(1)))
            demo.send_signal(signal.SIGTERM)
            assert demo.wait(END_SECONDS) == 0, f"status {demo.returncode}"
        finally:
            demo.kill()
    print(output, end="")


def trust():
    return ssl.create_default_context(cafile=ROOT / "build/demo-tls/cert.pem")


def refuse(arguments, says):
    """Before anything is built."""
    said = subprocess.run([str(ROOT / "scripts/demo"), "--yes", *arguments], capture_output=True,
                          text=True, timeout=END_SECONDS)
    assert said.returncode == 2 and said.stdout == "" and says in said.stderr, said


refuse(["--tls", "ws://127.0.0.1:0"], "wss://")
refuse(["--log-levle=debug"], "no option --log-levle;")
refuse(["--quiet", "--tls"], "--tls comes before")
serve(["ws://127.0.0.1:0"], "http", lambda: None, talk)
serve(["--tls", "wss://127.0.0.1:0"], "https", trust, talk_over_tls)
