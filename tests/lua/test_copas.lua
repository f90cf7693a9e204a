-- SPDX-License-Identifier: MIT
-- Inside copas's loop.

local wsock = require "wsock"
local copas = require "copas"
local socket = require "socket"
local t = require "support"

t.test("handlers run in copas's loop, beside its own servers", function()
  local attached = require("wsock.copas").attach()
  local _, url = t.serve { on_message = function(conn, data) conn:send(data) end }
  local echoes, lines = 0, {}
  local tcp = assert(socket.bind("127.0.0.1", 0))
  local _, port = tcp:getsockname()
  copas.addserver(tcp, function(peer)
    lines[#lines + 1] = copas.receive(peer)
  end)
  assert(wsock.connect {
    url = url,
    on_open = function(c) c:send("x") end,
    on_message = function(c)
      echoes = echoes + 1
      if echoes < 200 then return c:send("x") end
      c:close()
      copas.addthread(function()
        local client = socket.tcp()
        assert(copas.connect(client, "127.0.0.1", port))
        copas.send(client, "a line\n")
        attached.close()
      end)
    end,
  })
  local deadline = wsock.now() + 20
  while #lines == 0 and wsock.now() < deadline do copas.step(1) end
  t.equal(echoes, 200)
  t.equal(lines[1], "a line")
end)

t.done()
