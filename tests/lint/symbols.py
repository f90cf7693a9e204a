#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fails when the archive of src/proto wants a symbol that is not on the short list.

The layer is sans-I/O: bytes in, bytes out. So it takes memory and buffers from core,
and from the C library only what computes; no clock, socket, file, stream or source of
random numbers, and nothing of core that has them.

usage: symbols.py NM ARCHIVE
"""

import re
import subprocess
import sys

ALLOWED = re.compile(
    r"""
    # core: memory, buffers, shared bytes
    wsi_(alloc|zalloc|alloc_array|realloc|free|strndup|strdup)
    | wsi_(buf|blob)_\w+
    # the C library, as far as it only computes
    | mem(cpy|move|set|cmp|chr|rchr|mem) | bcmp
    | str(len|nlen|cmp|ncmp|chr|rchr|spn|cspn)
    | __mem(cpy|move|set)_chk
    # zlib, with memory from core
    | deflate(Init2_|Bound|Reset|End)? | inflate(Init2_|Reset|End)?
    # libdeflate; its memory: src/proto/whole.c
    | libdeflate_(alloc_compressor(_ex)?|free_compressor)
    | libdeflate_deflate_compress(_bound)?
    # an assertion that fails in a debug build
    | __assert_fail
    # which instructions the processor has (compiler's run time)
    | __cpu_model | __cpu_indicator_init
    # written by the compiler: hardening, sanitizers, coverage
    | __stack_chk_fail(_local)? | _GLOBAL_OFFSET_TABLE_
    | __(asan|ubsan|tsan|msan|lsan|sanitizer)_\w+ | __(gcov|llvm_gcov|llvm_profile)_\w+
    """,
    re.VERBOSE,
)


def wanted(listing):
    """What `nm -A -P` says that the archive uses and does not define itself."""
    used, defined = {}, set()
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        where, name, kind = fields[0].rstrip(":"), fields[1], fields[2]
        if kind in "Uvw":
            used.setdefault(name, where)
        else:
            defined.add(name)
    return {name: where for name, where in used.items() if name not in defined}


def complaints(listing):
    return [
        f"{where}: {name}: not on the list of a layer without I/O"
        for name, where in sorted(wanted(listing).items())
        if ALLOWED.fullmatch(name) is None
    ]


def main(argv):
    if len(argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    nm = subprocess.run(
        [argv[1], "-A", "-P", argv[2]], stdout=subprocess.PIPE, text=True, check=True
    )
    if not nm.stdout.strip():
        print(f"symbols: {argv[2]} has none", file=sys.stderr)
        return 2
    found = complaints(nm.stdout)
    print("\n".join(found) if found else "symbols: all on the list")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
