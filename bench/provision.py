# SPDX-License-Identifier: MIT
"""The peers that the benchmarks compare with: fetched and built below the build directory
with the ordinary clients of their registries, once for each list of versions."""

import pathlib
import shutil
import subprocess
import sys

import harness

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
INTEROP = PEERS.parent.parent / "tests" / "interop"  # its lists name the peers' versions


def prepare(command, cwd):
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise harness.Failed(f"{' '.join(command)}: status {done.returncode}\n"
                             f"{done.stdout}")


def install(there, listed, commands):
    """Run the commands below the build directory, unless they did so for this list."""
    wanted, stamp = listed.read_text(), there / f"{listed.name}.installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.copy(listed, there)
    for command in commands:
        prepare(command, there)
    stamp.write_text(wanted)


def directory(build_dir):
    there = pathlib.Path(build_dir, "bench", "peers").resolve()
    there.mkdir(exist_ok=True)
    return there


def node(there, script, program="node"):
    """The command that runs a script of peers/, with ws installed."""
    install(there, INTEROP / "node" / "package.json",
            [["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]])
    shutil.copy(PEERS / script, there)
    return [program, str(there / script)]


def node_of(there, package):
    """The directory of a package of peers/ for Node, with what it needs installed."""
    shutil.copytree(PEERS / package, there / package, dirs_exist_ok=True)
    install(there / package, PEERS / package / "package.json",
            [["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]])
    return there / package


def python(there, script, *lists):
    """The same, with websockets installed, and what the other lists of peers/ name."""
    install(there, INTEROP / "python" / "requirements.txt",
            [[sys.executable, "-m", "venv", "venv"],
             ["venv/bin/pip", "install", "--quiet", "-r", "requirements.txt"]])
    for name in lists:
        install(there, PEERS / name, [["venv/bin/pip", "install", "--quiet", "-r", name]])
    shutil.copy(PEERS / script, there)
    return [str(there / "venv" / "bin" / "python"), str(there / script)]


def debian(package, probe, command):
    """The command, if the package is there; installing it is for scripts/install-deps."""
    try:
        there = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        there = False
    if not there:
        raise harness.Failed(f"{package} is missing (scripts/install-deps bench)")
    return command


def rust(there, crate):
    """The same of a crate of peers/, which names what it needs itself."""
    shutil.copytree(PEERS / crate, there / crate, dirs_exist_ok=True)
    prepare(["cargo", "build", "--release", "--quiet"], there / crate)
    return [str(there / crate / "target" / "release" / crate)]


def go(there, module):
    """The same of a module of peers/ in Go."""
    shutil.copytree(PEERS / module, there / module, dirs_exist_ok=True)
    prepare(["go", "build", "-trimpath", "-o", module, "."], there / module)
    return [str(there / module / module)]
