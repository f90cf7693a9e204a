# SPDX-License-Identifier: MIT
"""What the public headers say, read from their text and from the preprocessor."""
import pathlib
import re
import subprocess

GUARDS = re.compile(r"WSOCK_\w+_H$")
HELPERS = re.compile(r"WSOCK_\w+_$")  # undefined again where they are used


def files(directory):
    return sorted(pathlib.Path(directory).glob("wsock/*.h"))


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def declarations(directory):
    """{name: the whole declaration} of what is marked WSOCK_API."""
    found = {}
    for path in files(directory):
        text = without_comments(path.read_text())
        text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
        for declaration in re.findall(r"\bWSOCK_API\b([^;]*);", text):
            declaration = " ".join(declaration.split())
            name = re.search(r"(\w+) ?\(", declaration).group(1)
            found[name] = declaration
    return found


def preprocess(compiler, include, *flags):
    command = [*compiler, "-std=c11", "-E", *flags, "-I", str(include), "-x", "c", "-"]
    return subprocess.run(command, input="#include <wsock/wsock.h>\n", text=True, check=True,
                          stdout=subprocess.PIPE).stdout


def enum_constants(compiler, include):
    names = set()
    for body in re.findall(r"\benum\b\s*\w*\s*\{(.*?)\}", preprocess(compiler, include, "-P"),
                           re.S):
        names.update(re.findall(r"\b(WSOCK_\w+)\s*(?==|,|$)", body))
    return names


def macros(compiler, include):
    text = preprocess(compiler, include, "-dM")
    names = set(re.findall(r"^#define (WSOCK_\w+)", text, re.M))
    return {n for n in names if not GUARDS.match(n) and not HELPERS.match(n)}


def struct_names(directory):
    """Structs whose members are public."""
    text = "".join(without_comments(p.read_text()) for p in files(directory))
    return set(re.findall(r"\bstruct (\w+)\s*\{", text))
