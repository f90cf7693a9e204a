#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""alone.py INCLUDE C++-COMPILER C-COMPILER...: every header compiles alone, as C11 and as C++17,
without a warning; and no exported signature holds what ABI.md rules out."""
import re
import subprocess
import sys

import headers

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wundef", "-Werror"]
# Types whose size a compiler, a language or a flag chooses, and what no binding can call.
RULED_OUT = re.compile(r"\b(bool|_Bool|long|short|enum|inline|va_list|unsigned char)\b|\.\.\.")


def compile_alone(command, path, include):
    done = subprocess.run([*command, *WARNINGS, "-fsyntax-only", "-I", include, "-"],
                          input=f"#include <wsock/{path.name}>\ntypedef int not_empty;\n",
                          text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return [] if done.returncode == 0 else [f"{path.name}: {' '.join(command)}: {done.stdout}"]


def main():
    include, cxx, *cc = sys.argv[1:]
    bad = []
    for path in headers.files(include):
        bad += compile_alone([*cc, "-std=c11", "-x", "c"], path, include)
        bad += compile_alone([cxx, "-std=c++17", "-x", "c++"], path, include)
        if re.search(r"^\s*static\b|\binline\b", headers.without_comments(path.read_text()), re.M):
            bad.append(f"{path.name}: a static or inline function")
    for name, declaration in headers.declarations(include).items():
        if RULED_OUT.search(declaration):
            bad.append(f"{name}: {RULED_OUT.search(declaration).group()} in its signature")
    print("\n".join(bad) or f"{len(headers.files(include))} headers")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
