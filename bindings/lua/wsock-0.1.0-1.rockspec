-- In this directory, with libwsock and SWIG installed: luarocks make
rockspec_format = "3.0"
package = "wsock"
version = "0.1.0-1"
source = { url = "." }
description = {
  summary = "WebSocket servers and clients, with rooms",
  detailed = [[
Lua's side of libwsock: WebSocket servers and clients (RFC 6455) whose work is done by threads
of a C library, and whose handlers run where the script says, inside its own loop, luv's or
copas's.]],
  license = "MIT",
}
dependencies = { "lua >= 5.1, < 5.5" }
external_dependencies = {
  WSOCK = { header = "wsock/wsock.h", library = "wsock" },
}
build = {
  type = "make",
  build_variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    WSOCK_INCDIR = "$(WSOCK_INCDIR)",
    WSOCK_LIBDIR = "$(WSOCK_LIBDIR)",
  },
  install_variables = {
    INST_LUADIR = "$(LUADIR)",
    INST_LIBDIR = "$(LIBDIR)",
  },
}
