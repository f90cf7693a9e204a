# SPDX-License-Identifier: MIT
"""Sets up the Autobahn test suite, once, in a private directory.

It needs Python 2.7. pypy still is one and Debian 11 packages it, so its packages come from
the mirror that apt uses already, verified by apt, and are unpacked, never installed. The
suite comes from the package index that pip is configured for."""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
RELEASE = "bullseye"
# pypy itself, what builds extensions, pip, and the libraries that may be missing here.
PACKAGES = ["pypy", "pypy-lib", "pypy-dev", "python-pip-whl", "libffi7", "libssl1.1",
            "libexpat1"]
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
STEP_SECONDS = 900


def run(command, **more):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=STEP_SECONDS, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def mirrors():
    """Where apt gets this Debian from, in apt's own order."""
    codename = ""
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            codename = line.partition("=")[2].strip('"')
    targets = run(["apt-get", "indextargets", "--format",
                   "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"])
    found = []
    for line in targets.splitlines():
        release, component, uri = line.split(" ", 2)
        if release == codename and component == "main" and uri not in found:
            found.append(uri)
    if not found:
        sys.exit("conformance: apt knows no mirror of Debian to get pypy from")
    return found


def unpack_pypy(there):
    """pypy and its libraries below there/root, through an apt with a state of its own."""
    apt, debs = there / "apt", there / "debs"
    for path in (apt / "lists/partial", apt / "cache/archives/partial", debs):
        path.mkdir(parents=True)
    signed_by = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (apt / "sources.list").write_text(
        "".join(f"deb {signed_by}{uri} {RELEASE} main\n" for uri in mirrors()))
    (apt / "status").touch()
    command = ["apt-get", "-qq"]
    for name, value in (("Dir::Etc::sourcelist", apt / "sources.list"),
                        ("Dir::Etc::sourceparts", apt / "none"),
                        ("Dir::State", apt), ("Dir::State::status", apt / "status"),
                        ("Dir::Cache", apt / "cache"),
                        ("Acquire::Languages", "none"),
                        ("APT::Sandbox::User", "")):
        command += ["-o", f"{name}={value}"]
    run(command + ["update"])
    run(command + ["download", *PACKAGES], cwd=debs)
    for deb in sorted(debs.glob("*.deb")):
        run(["dpkg-deb", "-x", deb, there / "root"])
    shutil.rmtree(apt)
    shutil.rmtree(debs)


def interpreter(there):
    """(command, environment) of the Python 2.7 that sees the suite."""
    root = there / "root"
    wheels = sorted(root.glob("usr/share/python-wheels/*.whl"))
    libraries = [root / "usr/lib", *root.glob("usr/lib/*-linux-*")]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1",
                       LD_LIBRARY_PATH=os.pathsep.join(map(str, libraries)),
                       PYTHONPATH=os.pathsep.join(map(str, [there / "site", *wheels])))
    return [str(root / "usr/lib/pypy/bin/pypy-c")], environment


def install_suite(there):
    python, environment = interpreter(there)
    for requirements in ("requirements-build.txt", "requirements.txt"):
        run([*python, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps",
             "--no-build-isolation", "--target", there / "site",
             "-r", HERE / requirements], env=environment)


def prepare(cache):
    """Sets the suite up below cache unless it is there, and returns interpreter()'s pair."""
    there, stamp = cache / "suite", cache / "suite/stamp"
    wanted = hashlib.sha256(b"".join(
        (HERE / name).read_bytes()
        for name in ("requirements-build.txt", "requirements.txt", "suite.py"))).hexdigest()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            print("setting up the suite (once) ...", flush=True)
            shutil.rmtree(there, ignore_errors=True)
            there.mkdir()
            unpack_pypy(there)
            install_suite(there)
            stamp.write_text(wanted)
    return interpreter(there)
