#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libwsock against a peer of another language, in one role of the peer.

interop.py PEER ROLE MODE CACHE OUR_PROGRAM [CERTIFICATES]: prepares the peer in CACHE (peers.py), starts the
server of the pair, runs the client against it, and looks at the closes that the server saw
and at what went over the wire (wire.py). MODE is how we compress; or tls, with
the certificates of that directory, where nobody can look at the wire between the two. The peers' programs are in
the directories here, each a pair client and server that hold to one protocol (README.md)."""
import os
import pathlib
import subprocess
import sys
import threading

import agreed
import peers
from wire import Record, Relay, inflaters

RUN_SECONDS = 120
ECHO, FRAGMENTS = "/echo", "/fragments"
TEXT, ROW = b"wsock wsock", b"row "  # how messages begin that all clients send


def fail(why):
    sys.exit(f"interop: {why}")


def check(good, why):
    if not good:
        fail(why)


# ---- the two programs ----

def until_closed(server, count):
    """What the server prints until it has told the end of each connection."""
    lines = []
    while sum(line.startswith(("close ", "lost ")) for line in lines) < count:
        line = server.stdout.readline()
        check(line, f"the server ended and told {lines} of {count} connections")
        lines.append(line.rstrip("\n"))
    return lines


def run_client(command, cwd, env=None):
    try:
        client = subprocess.run(command, cwd=cwd, timeout=RUN_SECONDS, text=True, check=False,
                                encoding="utf-8", stdout=subprocess.PIPE,
                                env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired as late:
        fail(f"the client still runs and said {late.stdout}")
    print(client.stdout, flush=True)
    check(client.returncode == 0, f"the client ended with status {client.returncode}")
    return client.stdout.splitlines()


def meet(server_command, server_cwd, client_command, client_cwd):
    """@return what the server printed and what the client did, and the relay's records."""
    with subprocess.Popen(server_command, cwd=server_cwd, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, encoding="utf-8") as server:
        # What is awaited below ends with the server, so with this at the latest.
        deadline = threading.Timer(2 * RUN_SECONDS, server.kill)
        deadline.start()
        try:
            url = server.stdout.readline().strip()
            check(url.startswith("ws://"), f"the server did not say where it is: '{url}'")
            with Relay(int(url.rstrip("/").rpartition(":")[2])) as relay:
                seen = run_client([*client_command, relay.url], client_cwd)
                lines = until_closed(server, len(relay.records))
            rest, _ = server.communicate()
        finally:
            deadline.cancel()
            server.kill()
    check(server.returncode == 0, f"the server ended with status {server.returncode}")
    return lines + rest.splitlines(), seen, relay.records


def meet_over_tls(server_command, server_cwd, client_command, client_cwd, certificates):
    """As meet(), without a relay. @return what the server printed."""
    authority = f"{certificates}/root.pem"
    # OpenSSL's and Go's name for the file, and Node's; and what our peers' servers read.
    env = {"SSL_CERT_FILE": authority, "NODE_EXTRA_CA_CERTS": authority,
           "INTEROP_TLS": f"{certificates}/together.pem"}
    with subprocess.Popen(server_command, cwd=server_cwd, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, encoding="utf-8",
                          env={**os.environ, **env}) as server:
        deadline = threading.Timer(2 * RUN_SECONDS, server.kill)
        deadline.start()
        try:
            url = server.stdout.readline().strip()
            check(url.startswith("wss://"), f"the server did not say where it is: '{url}'")
            run_client([*client_command, url], client_cwd, env)
            lines, _ = server.communicate()
        finally:
            deadline.cancel()
            server.kill()
    check(server.returncode == 0, f"the server ended with status {server.returncode}")
    return lines.splitlines()


# ---- what must have happened ----

def check_closes(lines):
    """What the server must have seen of the client that closed, and of its own close."""
    closes = [line.strip() for line in lines if line.startswith("close ")]
    for wanted in ("close 1000 bye", "close 4001 see you ☃"):
        check(closes.count(wanted) == 1,
              f"the server did not see '{wanted}' once, but {closes}")
    own = [line for line in closes if line in ("close 4001", "close 4001 asked")]
    check(len(own) == 1, f"the server did not see its own close answered: {closes}")


def check_agreed(answers, lines, wanted):
    """On the wire, and by what wsock_conn_extensions() told on each connection."""
    check(answers and set(answers) == {wanted}, f"agreed on {answers}, not on '{wanted}'")
    told = [line[len("agreed "):] for line in lines if line.startswith("agreed ")]
    check(told == answers, f"told {told} of {answers}")


def check_compressed(who, messages, keeps_context):
    """Messages of one direction: texts shrink, and those in a row where a context is kept."""
    texts = [message for message in messages if message.content.startswith(TEXT)]
    row = [message for message in messages if message.content.startswith(ROW)]
    check(texts and len(row) == 8, f"{who}: {len(texts)} texts, {len(row)} in a row")
    for text in texts:
        check(text.compressed and text.size < len(text.content) / 8,
              f"{who}: {text.size} bytes for {len(text.content)} of text")
    for text in row[1:]:
        check((text.size < len(text.content) / 2) == keeps_context,
              f"{who}: {text.size} bytes for {len(text.content)} like those before")


def check_direction(peer, role, who, path, messages, answer):
    """What `who` sent, the client or the server of a pair whose peer has this role."""
    by_peer = who == role
    if answer and not (by_peer and peer in agreed.NEVER_COMPRESS):
        check_compressed(who, messages, f"{who}_no_context_takeover" not in answer)
    else:
        check(not any(message.compressed for message in messages), f"{who}: compresses")
    if by_peer and peer not in agreed.NEVER_FRAGMENT and (who == "client" or path == FRAGMENTS):
        check(any(message.frames > 1 for message in messages), f"{who}: no fragments")


def check_wire(peer, role, records, told, answer):
    """Of the connections that echo, that what came back is what went, and its sizes."""
    pairs = [(Record(up), Record(down)) for up, down in records]
    check_agreed([down.fields.get("sec-websocket-extensions", "") for _, down in pairs],
                 told, answer)
    echoes = 0
    for up, down in pairs:
        path = up.line.split()[1]
        if path not in (ECHO, FRAGMENTS):
            continue
        sent, back = (record.messages(inflate)
                      for record, inflate in zip((up, down), inflaters(answer)))
        check([message[:2] for message in sent] == [message[:2] for message in back],
              f"{path}: what came back differs")
        check_direction(peer, role, "client", path, sent, answer)
        check_direction(peer, role, "server", path, back, answer)
        echoes += 1
    check(echoes == 2, f"{echoes} connections that echo")


def main():
    peer, role, mode, cache, program, *certificates = sys.argv[1:]
    command, cwd = peers.command(peer, role, pathlib.Path(cache).resolve())
    if mode == "tls":
        ours = [os.path.abspath(program)]
        if role == "client":
            ours += [f"tls_certificate={certificates[0]}/together.pem", "wss://127.0.0.1:0"]
            lines = meet_over_tls(ours, None, command, cwd, certificates[0])
        else:
            ours += [f"tls_ca={certificates[0]}/root.pem"]
            lines = meet_over_tls(command, cwd, ours, None, certificates[0])
        check_closes(lines)
        return
    ours = [os.path.abspath(program), *agreed.OPTIONS[mode]]
    if role == "client":
        lines, _, records = meet(ours, None, command, cwd)
        told = lines
    else:
        lines, told, records = meet(command, cwd, ours, None)
    check_closes(lines)
    check_wire(peer, role, records, told, agreed.answer(peer, role, mode))


if __name__ == "__main__":
    main()
