# SPDX-License-Identifier: MIT
"""Builds a source distribution, a wheel from it without SWIG, installs that where nothing else
is, and runs tests with it, by the newest Python that is found:
    wheel.py SOURCE CACHE TEST...
An interpreter of meson's own needs no headers but its own, so this also covers those that
Debian's meson does not know."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from run import prepare

NEWEST, OLDEST = 13, 9


def works(path):
    """Does it run, and has it headers? A pyenv has commands that only say they do not."""
    code = ("import os, sysconfig, sys, venv, ensurepip;"
            "sys.exit(not os.path.exists(sysconfig.get_paths()['include'] + '/Python.h'))")
    return subprocess.run([path, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def newest():
    """@return the path of the newest one."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    for minor in range(NEWEST, OLDEST - 1, -1):
        name = f"python3.{minor}"
        found = [shutil.which(name), *sorted(pyenv.glob(f"versions/3.{minor}.*/bin/{name}"))]
        for path in found:
            if path is not None and works(path):
                return str(path)
    sys.exit("no Python with headers was found")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def main():
    source, cache, *tests = sys.argv[1:]
    interpreter = newest()
    print(f"with {interpreter}")
    python = prepare(interpreter, pathlib.Path(cache))
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("PYTHONPATH", "LD_LIBRARY_PATH", "CC")}
    with tempfile.TemporaryDirectory() as where:
        there = pathlib.Path(where)
        # What is committed, as who clones it has it.
        run("git", "clone", "--quiet", source, there / "clone")
        run(python, "-m", "build", "--sdist", "--outdir", there, there / "clone",
            env=environment)
        sdist, = there.glob("wsock-*.tar.gz")
        without_swig = there / "bin"
        without_swig.mkdir()
        (without_swig / "swig").write_text("#!/bin/sh\nexit 1\n")
        (without_swig / "swig").chmod(0o755)
        run(*pip, "wheel", "--no-deps", "--wheel-dir", there, sdist,
            env=dict(environment, PATH=f"{without_swig}:{environment['PATH']}"))
        wheel, = there.glob("*.whl")
        run(*pip, "install", "--no-deps", "--target", there / "site", wheel)
        module, = (there / "site").glob("wsock/_wsock*.so")
        needed = re.findall(r"NEEDED.*\[(\S+)\]", run("readelf", "-d", module))
        exported = re.findall(r" (?:GLOBAL|WEAK) +DEFAULT +\d+ (\w+)",
                              run("readelf", "--dyn-syms", "-W", module))
        assert not [name for name in needed if "wsock" in name], needed
        assert [name for name in exported if name.startswith("wsock_")] == []
        assert sorted(path.name for path in (there / "site").iterdir())[0] == "wsock"
        done = subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
                              env=dict(environment, PYTHONPATH=str(there / "site"),
                                       PYTHONDONTWRITEBYTECODE="1", WSOCK_TEST_WHEEL="1"))
    sys.exit(done.returncode)


main()
