# SPDX-License-Identifier: MIT
"""Writes a C file that holds the given files, so that the command needs none of them
at run time: embed.py OUT FILE..."""

import os
import sys


def array(index, data):
    lines = [f"static const char file_{index}[] = {{"]
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        lines.append("    " + " ".join(f"{b if b < 128 else b - 256}," for b in part))
    lines.append("    0,\n};")
    return "\n".join(lines)


def main():
    out, names = sys.argv[1], sys.argv[2:]
    contents = []
    for name in names:
        with open(name, "rb") as file:
            contents.append(file.read())
    text = ["/* Made by embed.py. */", '#include "tool.h"', ""]
    text += [array(i, data) for i, data in enumerate(contents)]
    text.append("const struct embedded_file embedded_files[] = {")
    for i, name in enumerate(names):
        text.append(f'    {{"{os.path.basename(name)}", file_{i}, sizeof file_{i} - 1}},')
    text.append("};")
    text.append(f"const size_t embedded_count = {len(names)};")
    with open(out, "w", encoding="ascii") as file:
        file.write("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
