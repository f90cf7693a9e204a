#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""install.py MESON BUILD WORK OUTSIDE.C C++-COMPILER C-COMPILER...: installs into a directory of its
own with DESTDIR, then builds and runs a C11 and a C++17 program with nothing but what pkg-config
says."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def output(command, **more):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **more).stdout


def installed(root, pattern):
    found = sorted(root.rglob(pattern))
    if not found:
        sys.exit(f"nothing like {pattern} was installed")
    return found[0]


def main():
    meson, build, work, source, cxx, *cc = sys.argv[1:]
    root = pathlib.Path(work).resolve() / "root"
    shutil.rmtree(root, ignore_errors=True)
    output([meson, "install", "-C", build, "--no-rebuild", "--quiet"],
           env=dict(os.environ, DESTDIR=str(root)))
    pc_file = installed(root, "wsock.pc")
    env = dict(os.environ, PKG_CONFIG_LIBDIR=str(pc_file.parent),
               PKG_CONFIG_SYSROOT_DIR=str(root),
               LD_LIBRARY_PATH=str(installed(root, "libwsock.so.1").parent))
    env.pop("PKG_CONFIG_PATH", None)
    flags = output(["pkg-config", "--cflags", "--libs", "wsock"], env=env).split()
    version = output(["pkg-config", "--modversion", "wsock"], env=env).strip()
    for name, compiler in (("c11", [*cc, "-std=c11", "-x", "c"]),
                           ("c++17", [cxx, "-std=c++17", "-x", "c++"])):
        program = root / f"outside-{name}"
        output([*compiler, *WARNINGS, source, "-x", "none", "-o", str(program), *flags],
               cwd=root)
        said = output([str(program)], cwd=root, env=env)
        if not re.match(rf"{re.escape(version)} ", said):
            sys.exit(f"wsock.pc says {version}, the program says {said}")
        print(name, said.strip())


if __name__ == "__main__":
    main()
