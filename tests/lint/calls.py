#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fails when src/ goes to the heap behind core/alloc.c, prints, or ends the process.

usage: calls.py SRC
"""

import pathlib
import re
import sys

from source import c_files, code_lines

# The one door to the heap, and the only file that may name these.
DOOR = "core/alloc.c"

HEAP = """malloc calloc realloc reallocarray free cfree aligned_alloc posix_memalign
    memalign valloc strdup strndup asprintf vasprintf getline getdelim
    open_memstream""".split()
PRINTS = """printf vprintf fprintf vfprintf dprintf vdprintf puts fputs putchar putc
    fputc perror psignal""".split()
ENDS = "abort exit _exit _Exit quick_exit".split()

_ATTRIBUTE = re.compile(r"__attribute__\s*\(\(.*?\)\)")


def _uses(names):
    """A call, or the function's address; a member or a method of that name is none."""
    name = "|".join(names)
    return re.compile(
        rf"(?<![\w.>*])(?:(?P<call>{name})\s*\((?!\s*\*)|(?<=[=(,&?:])\s*(?P<value>{name})\s*[,;):])"
    )


_HEAP, _PRINTS, _ENDS = _uses(HEAP), _uses(PRINTS), _uses(ENDS)
_STREAM = re.compile(r"(?<![\w.>])(stderr|stdout)\b")


def complaints_of(path, text):
    """One line for each forbidden call in text, the content of src/path."""
    rules = [
        (_PRINTS, "the library does not print"),
        (_STREAM, "the library does not print"),
        (_ENDS, "the library does not end the process"),
    ]
    if str(path) != DOOR:
        rules.append((_HEAP, "only core/alloc.c goes to the heap"))
    found = []
    for number, line in code_lines(text):
        line = _ATTRIBUTE.sub("", line)
        for pattern, why in rules:
            for use in pattern.finditer(line):
                name = use.group().strip("( \t,;):")
                found.append(f"src/{path}:{number}: {name}: {why}")
    return found


def complaints(src):
    src = pathlib.Path(src)
    found = []
    for file in c_files(src):
        found += complaints_of(file.relative_to(src), file.read_text("utf-8"))
    return found


def main(argv):
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if not c_files(argv[1]):
        print(f"calls: no source in {argv[1]}", file=sys.stderr)
        return 2
    found = complaints(argv[1])
    print("\n".join(found) if found else "calls: none that is forbidden")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
