-- SPDX-License-Identifier: MIT
-- Inside luv's loop.

local wsock = require "wsock"
local uv = require "luv"
local t = require "support"

t.test("handlers run in luv's loop, beside its own", function()
  local attached = require("wsock.luv").attach()
  local _, url = t.serve { on_message = function(conn, data) conn:send(data) end }
  local echoes, ticks = 0, 0
  local timer = uv.new_timer()
  timer:start(0, 1, function() ticks = ticks + 1 end)
  local conn
  conn = assert(wsock.connect {
    url = url,
    on_open = function(c) c:send("x") end,
    on_message = function(c)
      echoes = echoes + 1
      if echoes < 200 then c:send("x") else c:close() end
    end,
    on_close = function()
      timer:close()
      attached.close()
    end,
  })
  uv.run()
  t.equal(echoes, 200)
  assert(ticks > 0)
  assert(not conn.is_open)
end)

t.test("what other handlers of luv send and call arrives", function()
  local attached = require("wsock.luv").attach()
  local got = {}
  local server, url = t.serve { on_message = function(_, data)
    got[#got + 1] = data
    wsock.call(function() got[#got + 1] = "call" end)
  end }
  local conn = assert(wsock.connect { url = url })
  local timer = uv.new_timer()
  timer:start(1, 1, function()
    if conn.is_open and not conn.data.sent then conn.data.sent = conn:send("late") end
    if #got == 2 then
      timer:close()
      attached.close()
    end
  end)
  uv.run()
  t.equal(table.concat(got, " "), "late call")
  server:stop()
end)

t.test("a socket that luv connected becomes a connection", function()
  local attached = require("wsock.luv").attach()
  local server, url = t.serve { on_message = function(conn, data) conn:send(data) end }
  local tcp, got = uv.new_tcp(), nil
  local client = assert(wsock.client {
    url = "ws://elsewhere.invalid" .. url:match("//[^/]+(/.*)$"),
    on_open = function(conn) conn:send(conn.remote_address) end,
    on_message = function(conn, data)
      got = data
      conn:close()
    end,
    on_close = function() attached.close() end,
  })
  local host, port = url:match("//(.-):(%d+)")
  tcp:connect(host, tonumber(port), function(problem)
    assert(not problem, problem)
    assert(client:connect(tcp:fileno()))
    tcp:close()
  end)
  uv.run()
  t.equal(got, host .. ":" .. port)
  local conn, message, code = client:connect(-1)
  assert(conn == nil and code == wsock.EINVAL and message:find("Bad file descriptor"), message)
  server:stop()
end)

t.done()
