# SPDX-License-Identifier: MIT
"""Runs the tests of the Python binding with pytest, in a virtual environment that is made
once for each interpreter:
    run.py INTERPRETER CACHE PACKAGE LIBRARIES TEST...
PACKAGE is where the package wsock was built; LIBRARIES are loaded before Python ("": none),
for the sanitizers."""
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"


def prepare(interpreter, cache):
    """@return the environment's Python."""
    version = subprocess.run([interpreter, "-VV"], check=True, stdout=subprocess.PIPE).stdout
    seen = hashlib.sha256(version + str(interpreter).encode() + REQUIREMENTS.read_bytes())
    there = cache / seen.hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (there / "ready").exists():
            for command in ([interpreter, "-m", "venv", "--clear", there],
                            [there / "bin/pip", "install", "--quiet", "--no-input",
                             "--disable-pip-version-check", "-r", REQUIREMENTS]):
                done = subprocess.run(command, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)
                if done.returncode != 0:
                    sys.exit(f"{command}: status {done.returncode}\n{done.stdout}")
            (there / "ready").touch()
    return there / "bin/python"


def main():
    interpreter, cache, package, libraries, *tests = sys.argv[1:]
    python = prepare(interpreter, pathlib.Path(cache))
    environment = dict(os.environ, PYTHONPATH=package, PYTHONDONTWRITEBYTECODE="1",
                       PYTHONFAULTHANDLER="1")
    if libraries:
        environment["LD_PRELOAD"] = libraries
        # Python itself keeps memory until its end; tests/python/test_leaks.py counts ours.
        environment["ASAN_OPTIONS"] = "detect_leaks=0:" + environment.get("ASAN_OPTIONS", "")
        environment["PYTHONMALLOC"] = "malloc"
    os.execve(python, [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider",
                       "--rootdir", str(HERE), *tests], environment)


if __name__ == "__main__":
    main()
