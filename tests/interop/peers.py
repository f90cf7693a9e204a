# SPDX-License-Identifier: MIT
"""The programs of the other languages: fetches and builds them, with the ordinary clients of
their registries, and tells the commands that run them."""
import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PREPARE_SECONDS = 900


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, timeout=PREPARE_SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}")


def prepare_python(there):
    run(sys.executable, "-m", "venv", "venv", cwd=there)
    run("venv/bin/pip", "install", "--quiet", "-r", "requirements.txt", cwd=there)


def prepare_node(there):
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=there)


def prepare_rust(there):
    run("cargo", "build", "--quiet", cwd=there)


def prepare_go(there):
    for role in ("client", "server"):
        run("go", "build", "-buildvcs=false", "-o", f"bin/{role}", f"./{role}", cwd=there)


# Peer: directory, how it is prepared, the command for a role.
PEERS = {
    "python": ("python", prepare_python, lambda role: ["venv/bin/python", f"{role}.py"]),
    "node": ("node", prepare_node, lambda role: ["node", f"{role}.js"]),
    "undici": ("node", prepare_node, lambda role: ["node", f"undici_{role}.js"]),
    "rust": ("rust", prepare_rust, lambda role: [f"target/debug/{role}"]),
    "go": ("go", prepare_go, lambda role: [f"bin/{role}"]),
}


def fingerprint(directory, there):
    """Of all that what is prepared depends on; a venv holds on to its place and Python."""
    seen = hashlib.sha256(f"{there} {sys.executable} {sys.version}".encode("utf-8"))
    files = [path for path in directory.rglob("*") if "__pycache__" not in path.parts]
    for path in sorted([pathlib.Path(__file__), *filter(pathlib.Path.is_file, files)]):
        seen.update(f"\0{path.name}\0".encode("utf-8") + path.read_bytes())
    return seen.hexdigest()


def command(peer, role, cache):
    """The command that runs the peer, and where. Who comes first prepares it, and others wait;
    later nothing is touched any more, because programs of other tests run from there."""
    name, prepare, command_of = PEERS[peer]
    there = cache / name
    there.mkdir(parents=True, exist_ok=True)
    stamp = cache / f"{name}.stamp"
    with open(cache / f"{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint(HERE / name, there)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            stamp.unlink(missing_ok=True)
            shutil.copytree(HERE / name, there, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("__pycache__"))
            prepare(there)
            stamp.write_text(wanted, encoding="utf-8")
    return command_of(role), there
