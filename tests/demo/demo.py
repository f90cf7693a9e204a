#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs scripts/demo as a reader of the README does: it builds, says where it serves, answers a
browser, lets two clients talk, and ends with status 0 when it is told to."""
import pathlib
import re
import signal
import subprocess
import sys
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support/py"))
from ws_peer import TEXT, Client

END_SECONDS = 30


def talk(port):
    with Client(port, "/rooms/lobby") as a, Client(port, "/rooms/lobby") as b:
        a.send(TEXT, "hello ☃")
        for member in (a, b):
            assert member.receive_message() == "hello ☃"
            member.close()


def main():
    command = [str(HERE.parent.parent / "scripts/demo"), "--yes", "ws://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            output = ""
            address = None
            while address is None:
                line = demo.stdout.readline()
                output += line
                assert line != "", f"it ended before it served:\n{output}"
                address = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            page = urllib.request.urlopen(address.group(), timeout=END_SECONDS)
            assert page.status == 200 and b"<html" in page.read().lower(), page.status
            talk(int(address.group(1)))
            demo.send_signal(signal.SIGTERM)
            assert demo.wait(END_SECONDS) == 0, f"status {demo.returncode}"
        finally:
            demo.kill()
    print(output, end="")


main()
