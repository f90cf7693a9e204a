-- SPDX-License-Identifier: MIT
-- libwsock from Lua: callback.lua PORT echo|room|dispatch, as callback.py.
local wsock = require "wsock"

local port, what = arg[1], arg[2]
local url = "ws://127.0.0.1:" .. port
local hosts = {}

local function ready()
  print "ready"
  io.stdout:flush()
end

function hosts.echo(server)
  assert(server:endpoint("/echo", {
    on_message = function(conn, data, binary)
      if binary then conn:send_binary(data) else conn:send(data) end
    end,
  }))
end

function hosts.room(server)
  local everybody = assert(server:room "all")
  assert(server:endpoint("/room", {
    on_open = function(conn) everybody:join(conn) end,
    on_message = function(_, data, binary)
      if binary then everybody:broadcast_binary(data) else everybody:broadcast(data) end
    end,
  }))
end

function hosts.dispatch(server)
  assert(server:endpoint("/dispatch", { on_message = function() end }))
end

local server = assert(wsock.server {})
hosts[what](server)
assert(server:listen(url))
if what == "dispatch" then
  assert(wsock.poll()) -- from now on it accepts
  ready()
  for line in io.lines() do
    local left = tonumber(line)
    while left > 0 do left = left - assert(wsock.wait()) end
    print "done"
    io.stdout:flush()
  end
  os.exit()
end
ready()
wsock.loop()
