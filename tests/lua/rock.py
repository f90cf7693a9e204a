# SPDX-License-Identifier: MIT
"""`luarocks make` builds the module from the repository, without a download, and a script
finds it there: rock.py LUAROCKS LUA VERSION SOURCE-ROOT LIBRARY-DIRECTORY"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SCRIPT = """
local wsock = require "wsock"
local server = assert(wsock.server { listen = "ws://127.0.0.1:0" })
assert(server:endpoint("/", { on_message = function(conn, data) conn:send(data) end }))
assert(wsock.connect { url = server.url, on_open = function(conn) conn:send("hello") end,
  on_message = function(conn, data) print(data) server:stop() end })
server:loop()
"""


def main():
    luarocks, lua, version, root, libraries = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        # A copy, as building leaves files beside the sources.
        shutil.copytree(pathlib.Path(root) / "bindings", scratch / "bindings")
        tree = scratch / "tree"
        environment = dict(os.environ, HOME=str(scratch))
        # Nobody is there: a download would fail.
        offline = dict(environment, http_proxy="http://127.0.0.1:1",
                       https_proxy="http://127.0.0.1:1")
        subprocess.run(
            [luarocks, f"--lua-version={version}", f"--tree={tree}", "make",
             f"WSOCK_INCDIR={root}/include", f"WSOCK_LIBDIR={libraries}"],
            cwd=scratch / "bindings/lua", env=offline, check=True)
        environment.update(LUA_PATH=f"{tree}/share/lua/{version}/?.lua",
                           LUA_CPATH=f"{tree}/lib/lua/{version}/?.so")
        done = subprocess.run([lua, "-e", SCRIPT], env=environment, check=True, timeout=60,
                              stdout=subprocess.PIPE, text=True)
        assert done.stdout == "hello\n", done.stdout


main()
