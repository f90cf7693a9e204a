# SPDX-License-Identifier: MIT
"""Puts what SWIG makes into a source distribution: dist.py SWIG ARGUMENT..."""
import os
import pathlib
import subprocess
import sys
import tempfile

bindings = pathlib.Path(os.environ["MESON_DIST_ROOT"]) / "bindings"
with tempfile.TemporaryDirectory() as unused:
    subprocess.run([*sys.argv[1:], "-outdir", unused, "-o",
                    bindings / "python" / "generated" / "wsock_wrap.c", bindings / "wsock.i"],
                   check=True)
