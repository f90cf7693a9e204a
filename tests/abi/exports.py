#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""exports.py LIBRARY MAP INCLUDE: the library exports what the map names and what the headers
declare, neither more nor less, and has the soname and the flags that ABI.md promises."""
import re
import subprocess
import sys

import headers

SONAME = "libwsock.so.1"


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def exported(library):
    """{name: version node} of the defined dynamic symbols, the nodes' own symbols aside."""
    symbols = {}
    for line in readelf("--dyn-syms", library).splitlines():
        fields = line.split()
        if len(fields) < 8 or not fields[0].rstrip(":").isdigit() or fields[6] in ("UND", "ABS"):
            continue
        name, _, node = fields[7].partition("@@")
        symbols[name] = node
    return symbols


def mapped(path):
    """({name: node}, complaints) of the version script."""
    text = re.sub(r"/\*.*?\*/", "", open(path).read(), flags=re.S)
    names, complaints = {}, []
    for node, body in re.findall(r"([\w.]+)\s*\{(.*?)\}", text, re.S):
        listed = re.findall(r"([\w*]+);", body.split("local:")[0].replace("global:", ""))
        complaints += [f"{path}: a wildcard: {n}" for n in listed if "*" in n]
        if listed != sorted(listed):
            complaints.append(f"{path}: the names of {node} are not sorted")
        names.update({name: node for name in listed})
    return names, complaints


def differences(what, have, other, want):
    return ([f"{name}: in {what}, not in {other}" for name in sorted(set(have) - set(want))] +
            [f"{name}: in {other}, not in {what}" for name in sorted(set(want) - set(have))])


def main():
    library, map_file, include = sys.argv[1:]
    symbols = exported(library)
    names, bad = mapped(map_file)
    bad += differences("the map", names, "the headers", headers.declarations(include))
    bad += differences("the library", symbols, "the map", names)
    bad += [f"{n}: exported as {symbols[n]}, mapped as {names[n]}"
            for n in sorted(set(symbols) & set(names)) if symbols[n] != names[n]]
    dynamic = readelf("-d", library)
    if f"[{SONAME}]" not in dynamic:
        bad.append(f"the soname is not {SONAME}")
    # Brokers are spoken to by plug-ins.
    bad += [f"it needs {name}" for name in re.findall(r"NEEDED.*\[(.*)\]", dynamic)
            if re.match(r"lib(hiredis|nats)", name)]
    for flag in ("NODELETE", "NOW"):
        if not re.search(rf"FLAGS_1\).*\b{flag}\b", dynamic):
            bad.append(f"the flag {flag} is not set")
    print("\n".join(bad) or f"{len(names)} functions")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
