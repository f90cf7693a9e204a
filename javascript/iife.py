# SPDX-License-Identifier: MIT
"""Makes of the module one script for pages without modules, which sets the global `wsock`:
iife.py MODULE OUT"""

import re
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        module = file.read()
    exported = re.compile(r"^export (?=(?:async )?(?:class|function) (\w+))", re.MULTILINE)
    names = exported.findall(module)
    body = exported.sub("", module)
    if re.search(r"^(?:export|import)\b", body, re.MULTILINE) or not names:
        sys.exit(f"{sys.argv[1]}: only classes and functions can be exported")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(f'var wsock = (() => {{\n"use strict";\n{body}\n'
                   f'return {{ {", ".join(names)} }};\n}})();\n')


if __name__ == "__main__":
    main()
