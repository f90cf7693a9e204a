#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fails when a file of src/ includes a layer that is not below its own.

usage: layers.py SRC
"""

import pathlib
import posixpath
import re
import sys

from source import c_files

# What stands on one rank never meets: only a file above may include both.
RANKS = [["core"], ["proto", "io"], ["tls"], ["conn"], ["cluster"], ["room"], ["v1"], ["api"],
         ["serve"]]
RANK = {layer: rank for rank, layers in enumerate(RANKS) for layer in layers}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def target(src, path, name):
    """The included file, relative to src: next to the includer, or from src itself."""
    beside = posixpath.normpath(posixpath.join(path.parent.as_posix(), name))
    if (src / beside).is_file():
        return pathlib.PurePosixPath(beside)
    return pathlib.PurePosixPath(posixpath.normpath(name))


def complaint(src, path, name):
    """What is wrong with path (relative to src) including "name", or None."""
    layer = path.parts[0]
    if layer not in RANK:
        return f"{layer}/ is no layer"
    included = target(src, path, name)
    other = included.parts[0]
    if len(included.parts) < 2 or other not in RANK:
        return f'"{name}" is in no layer (public headers: <wsock/...>)'
    if not (src / included).is_file():
        return f'"{name}" does not exist'
    if other != layer and RANK[other] >= RANK[layer]:
        return f'{layer}/ may not include "{name}"'
    return None


def complaints(src):
    """One line for each include that breaks the order of the layers."""
    src = pathlib.Path(src)
    found = []
    for file in c_files(src):
        path = file.relative_to(src)
        text = _COMMENT.sub(lambda m: "\n" * m.group().count("\n"), file.read_text("utf-8"))
        for include in _INCLUDE.finditer(text):
            wrong = complaint(src, path, include.group(1))
            if wrong is not None:
                line = text.count("\n", 0, include.start(1)) + 1
                found.append(f"src/{path}:{line}: {wrong}")
    return found


def main(argv):
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if not c_files(argv[1]):
        print(f"layers: no source in {argv[1]}", file=sys.stderr)
        return 2
    found = complaints(argv[1])
    print("\n".join(found) if found else "layers: in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
