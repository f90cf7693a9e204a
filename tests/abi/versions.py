#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""versions.py INCLUDE LIST WORK C-COMPILER...: the list `symbols-in-versions` holds every function
and constant of the headers with the version it came in, and constants with their values, which
never change. Prints the lines that the list lacks."""
import pathlib
import subprocess
import sys

import headers

NO_VALUE = "-"  # functions; macros, whose value is text or belongs to the release


def values(compiler, include, names, work):
    """{name: value} of integer constants, as the compiler has them."""
    lines = "".join(f'    printf("{n} %lld\\n", (long long){n});\n' for n in sorted(names))
    source = pathlib.Path(work) / "constants.c"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("#include <stdio.h>\n#include <wsock/wsock.h>\n"
                      f"int main(void)\n{{\n{lines}    return 0;\n}}\n")
    program = source.with_suffix("")
    subprocess.run([*compiler, "-I", include, "-o", str(program), str(source)], check=True)
    out = subprocess.run([str(program)], check=True, text=True, stdout=subprocess.PIPE).stdout
    return dict(line.split() for line in out.splitlines())


def main():
    include, listing, work, *compiler = sys.argv[1:]
    actual = {name: NO_VALUE for name in headers.declarations(include)}
    actual.update({name: NO_VALUE for name in headers.macros(compiler, include)})
    actual.update(values(compiler, include, headers.enum_constants(compiler, include), work))
    listed, bad = {}, []
    lines = [line for line in open(listing) if not line.startswith("#")]
    if lines != sorted(lines):
        bad.append("the list is not sorted")
    for line in lines:
        name, _version, value = line.split()
        listed[name] = value
    bad += [f"not in the list: {n} VERSION {actual[n]}" for n in sorted(set(actual) - set(listed))]
    bad += [f"not in the headers: {n}" for n in sorted(set(listed) - set(actual))]
    bad += [f"{n} was {listed[n]} and is {actual[n]}" for n in sorted(set(actual) & set(listed))
            if actual[n] != listed[n]]
    print("\n".join(bad) or f"{len(listed)} names")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
