#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hardening.py MESON BUILD WORK CET FORTIFIED C-COMPILER...: the library and the command, as they
are installed, carry what the build promises against broken memory (meson.build): the linker's
flags, the stack protector, checked calls (where FORTIFIED is 1), and the marks of landing pads
and shadow stacks (where CET is 1)."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

LAYERS = ("src", "tools")


def output(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def readelf(*arguments):
    return output("readelf", "-W", *arguments)


def marks(path):
    """The control flow protection that an object declares: of {"IBT", "SHSTK"}."""
    found = re.search(r"x86 feature: (.*)", readelf("-n", path))
    return set(re.findall(r"IBT|SHSTK", found[1])) if found else set()


def start_has_landing_pads(cc):
    """Whether the object with which the C library starts a program is marked. If it is not,
    no program can be, whatever its own code does."""
    return "IBT" in marks(output(*cc, "-print-file-name=Scrt1.o").strip())


def segments_of(path):
    return {line.split()[0]: line for line in readelf("-l", path).splitlines()
            if re.match(r"\s+(GNU_\w+|LOAD) ", line)}


def linked(path):
    """What the linker left out."""
    bad = []
    dynamic = readelf("-d", path)
    segments = segments_of(path)
    if not re.search(r"FLAGS_1\).*\bNOW\b", dynamic):
        bad.append("not bound at the start (-z now)")
    if "GNU_RELRO" not in segments:
        bad.append("no segment GNU_RELRO (-z relro)")
    if not re.search(r" RW +0x", segments.get("GNU_STACK", "")):
        bad.append("the stack is executable, or nothing says that it is not")
    if "TEXTREL" in dynamic:
        bad.append("relocations in the text")
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        bad.append("a path for libraries is built in")
    return bad


def called(path, is_fortified):
    """What the compiler left out, seen by the functions that it would have called."""
    symbols = readelf("--dyn-syms", path)
    bad = []
    if not re.search(r"UND __stack_chk_fail\b", symbols):
        bad.append("no stack protector")
    if is_fortified and not re.search(r"UND __\w+_chk@", symbols):
        bad.append("no checked call (_FORTIFY_SOURCE)")
    return bad


def complaints_library(path, is_fortified, has_cet):
    bad = linked(path) + called(path, is_fortified)
    if has_cet:
        bad += [f"not marked {mark}" for mark in sorted({"IBT", "SHSTK"} - marks(path))]
        # What the C library's objects would have called here has no landing pad.
        if "IBT" in marks(path) and re.search(r"\((INIT|FINI)\)", readelf("-d", path)):
            bad.append("marked IBT, but with a DT_INIT or DT_FINI")
    return bad


def complaints_command(path, is_fortified, has_cet, cc):
    bad = linked(path) + called(path, is_fortified)
    if not re.search(r"FLAGS_1\).*\bPIE\b", readelf("-d", path)):
        bad.append("not position independent")
    if has_cet:
        want = {"IBT", "SHSTK"} if start_has_landing_pads(cc) else {"SHSTK"}
        bad += [f"not marked {mark}" for mark in sorted(want - marks(path))]
    return bad


def complaints_objects(build):
    """Every object of the library and of the command, whatever rule compiled it."""
    objects = [o for part in LAYERS for o in sorted(pathlib.Path(build, part).rglob("*.o"))]
    if not objects:
        sys.exit(f"{build}: no objects")
    return [f"{o}: not marked {mark}" for o in objects
            for mark in sorted({"IBT", "SHSTK"} - marks(str(o)))]


def installed(root, pattern):
    """The one file that was installed under the name, links to it aside."""
    found = [p for p in root.rglob(pattern) if p.is_file() and not p.is_symlink()]
    if len(found) != 1:
        sys.exit(f"not one {pattern} was installed, but {len(found)}")
    return str(found[0])


def main():
    meson, build, work, cet, fortified, *cc = sys.argv[1:]
    root = pathlib.Path(work).resolve() / "hardened"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run([meson, "install", "-C", build, "--no-rebuild", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL, env=dict(os.environ, DESTDIR=str(root)))
    has_cet, is_fortified = cet == "1", fortified == "1"
    bad = [f"the library: {text}" for text in
           complaints_library(installed(root, "libwsock.so.*"), is_fortified, has_cet)]
    if any(root.rglob("bin/wsock")):
        bad += [f"the command: {text}" for text in
                complaints_command(installed(root, "bin/wsock"), is_fortified, has_cet, cc)]
    if has_cet:
        bad += complaints_objects(build)
    print("\n".join(bad) or "hardened")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
