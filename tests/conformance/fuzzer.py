# SPDX-License-Identifier: MIT
"""The suite's end, run by Python 2.7: fuzzer.py list | client SPEC | server SPEC.

Like wstest, with three differences: gc.collect() every few seconds (the suite makes cycles
of large buffers faster than pypy finds them), a server's port is chosen by the system and
printed, and nothing of TLS and WAMP is imported, which spares their many dependencies."""
from __future__ import print_function

import gc
import json
import os
import site
import socket
import sys
import types

site.addsitedir(os.environ["PYTHONPATH"].split(os.pathsep)[0])

from twisted.internet import epollreactor

epollreactor.install()

# Their places are taken, so that nothing imports them.
for name in ("twisted.internet.ssl", "autobahntestsuite.wstest"):
    sys.modules[name] = types.ModuleType(name)

import twisted.internet

twisted.internet.ssl = sys.modules["twisted.internet.ssl"]

from autobahntestsuite import fuzzing
from twisted.internet import reactor, task

GC_SECONDS = 3


def listen(spec):
    """The suite compares the Host field with its URL, so the port must be known first."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    listener.setblocking(False)
    spec["url"] = "ws://127.0.0.1:%d" % listener.getsockname()[1]
    factory = fuzzing.FuzzingServerFactory(spec)
    reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, factory)
    listener.close()
    print("listening on", spec["url"])
    sys.stdout.flush()


def main():
    if sys.argv[1] == "list":
        cases = fuzzing.CaseSet(fuzzing.CaseSetname, fuzzing.CaseBasename, fuzzing.Cases,
                                fuzzing.CaseCategories, fuzzing.CaseSubCategories)
        print("\n".join(cases.parseSpecCases({"cases": ["*"]})))
        return
    with open(sys.argv[2]) as spec_file:
        spec = json.load(spec_file)
    if sys.argv[1] == "client":
        fuzzing.FuzzingClientFactory(spec)
    else:
        listen(spec)
    task.LoopingCall(gc.collect).start(GC_SECONDS)
    reactor.run()


main()
