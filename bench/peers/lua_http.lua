-- SPDX-License-Identifier: MIT
-- The echo of lua-http: lua_http.lua PORT.
local server = require "http.server"
local websocket = require "http.websocket"

local listener = assert(server.listen {
  host = "127.0.0.1",
  port = tonumber(arg[1]),
  tls = false,
  onstream = function(_, stream)
    local ws = websocket.new_from_stream(stream, assert(stream:get_headers()))
    assert(ws:accept())
    local data, kind = ws:receive()
    while data do
      assert(ws:send(data, kind))
      data, kind = ws:receive()
    end
    ws:close()
  end,
})

assert(listener:listen())
print "ready"
io.stdout:flush()
assert(listener:loop())
