#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""layout.py INCLUDE LAYOUT.C C-COMPILER...: layout.c asserts every public struct, and holds."""
import re
import subprocess
import sys

import headers


def main():
    include, source, *compiler = sys.argv[1:]
    asserted = set(re.findall(r"^GROWS_AT_THE_TAIL\((\w+),", open(source).read(), re.M))
    public = headers.struct_names(include)
    bad = [f"{name}: not asserted in layout.c" for name in sorted(public - asserted)]
    done = subprocess.run([*compiler, "-std=c11", "-fsyntax-only", "-I", include, source],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        bad.append(done.stdout)
    print("\n".join(bad) or f"{len(public)} structs")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
