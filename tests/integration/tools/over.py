# SPDX-License-Identifier: MIT
"""Runs a command with a broker of its own: over.py redis|nats COMMAND... The broker's URL is
in WSOCK_TEST_BROKER. The exit status is the command's."""

import os
import subprocess
import sys

env = dict(os.environ)  # before what is imported changes it

from cluster import Nats, Redis  # noqa: E402


def main():
    broker = {"redis": Redis, "nats": Nats}[sys.argv[1]]()
    try:
        broker.start()
        return subprocess.run(sys.argv[2:], env={**env, "WSOCK_TEST_BROKER": broker.url},
                              check=False).returncode
    finally:
        broker.end()


sys.exit(main())
