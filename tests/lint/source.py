# SPDX-License-Identifier: MIT
"""C source for the lints: the files of src/, and their text without comments and literals."""

import pathlib
import re

_SKIPPED = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL
)


def c_files(src):
    """Every .c and .h file below src, in a stable order."""
    return sorted(p for p in pathlib.Path(src).rglob("*.[ch]") if p.is_file())


def _blank(match):
    """As many lines as before, so that line numbers stay right."""
    return " " + "\n" * match.group().count("\n")


def code_lines(text):
    """(line number, line) without comments, strings and characters."""
    return list(enumerate(_SKIPPED.sub(_blank, text).split("\n"), 1))
