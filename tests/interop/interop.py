#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libwsock against a peer of another language, in one role of the peer.

interop.py PEER ROLE CACHE OUR_PROGRAM: fetches and builds the peer in CACHE (once, with the
ordinary client of its registry), starts the server of the pair, runs the client against it,
and looks at the closes that the server saw. The peers' programs are in the directories here,
each a pair client and server that hold to one protocol (README.md)."""
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PREPARE_SECONDS = 900
RUN_SECONDS = 120


def run(*command, cwd):
    done = subprocess.run([str(c) for c in command], cwd=cwd, timeout=PREPARE_SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}")


def prepare_python(there):
    run(sys.executable, "-m", "venv", "venv", cwd=there)
    run("venv/bin/pip", "install", "--quiet", "-r", "requirements.txt", cwd=there)
    return lambda role: ["venv/bin/python", f"{role}.py"]


def prepare_node(there):
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=there)
    return lambda role: ["node", f"{role}.js"]


def prepare_rust(there):
    run("cargo", "build", "--quiet", cwd=there)
    return lambda role: [f"target/debug/{role}"]


def prepare_go(there):
    for role in ("client", "server"):
        run("go", "build", "-buildvcs=false", "-o", f"bin/{role}", f"./{role}", cwd=there)
    return lambda role: [f"bin/{role}"]


PREPARE = {"python": prepare_python, "node": prepare_node, "rust": prepare_rust,
           "go": prepare_go}


def peer_command(peer, role, cache):
    """The command that runs the peer; prepares it first. Two tests of one peer take turns."""
    there = cache / peer
    there.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{peer}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.copytree(HERE / peer, there, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("__pycache__"))
        return PREPARE[peer](there)(role), there


def check_closes(lines):
    """What the server must have seen of the client that closed, and of its own close."""
    closes = [line.strip() for line in lines if line.startswith("close ")]
    for wanted in ("close 1000 bye", "close 4001 see you ☃"):
        if closes.count(wanted) != 1:
            sys.exit(f"the server did not see '{wanted}' once, but {closes}")
    own = [line for line in closes if line in ("close 4001", "close 4001 asked")]
    if len(own) != 1:
        sys.exit(f"the server did not see its own close answered: {closes}")


def meet(server_command, client_command, server_cwd, client_cwd):
    with subprocess.Popen(server_command, cwd=server_cwd, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, encoding="utf-8") as server:
        try:
            url = server.stdout.readline().strip()
            if not url.startswith("ws://"):
                sys.exit(f"the server did not say where it is: '{url}'")
            client = subprocess.run(client_command + [url.rstrip("/")], cwd=client_cwd,
                                    timeout=RUN_SECONDS)
            lines, _ = server.communicate(timeout=RUN_SECONDS)
        finally:
            server.kill()
    if client.returncode != 0:
        sys.exit(f"the client ended with status {client.returncode}")
    if server.returncode != 0:
        sys.exit(f"the server ended with status {server.returncode}")
    check_closes(lines.splitlines())


def main():
    peer, role, cache, ours = sys.argv[1:]
    command, cwd = peer_command(peer, role, pathlib.Path(cache).resolve())
    own = [os.path.abspath(ours)]
    if role == "client":
        meet(own, command, None, cwd)
    else:
        meet(command, own, cwd, None)


if __name__ == "__main__":
    main()
