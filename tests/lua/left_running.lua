-- SPDX-License-Identifier: MIT
-- For the host: leaves everything running, and handlers that must never run again.

local wsock = require "wsock"
local t = require "support"

local closing = false
sentinel = setmetatable({}, { __gc = function() closing = true end })
local function check() assert(not closing, "a handler ran while the state closed") end

local server, url = t.serve {
  on_message = function(conn, data)
    check()
    if data == "wait" then wsock.sleep(3600) end
    conn:send(data)
  end,
  on_close = check,
}
wsock.every(0.001, check)
wsock.after(3600, check)
local conns = {}
for i = 1, 5 do
  conns[i] = t.connect(url, { on_message = check, on_close = check })
  conns[i]:send(i == 1 and "wait" or "x")
end
conns[2]:pause()
local client = assert(wsock.client { url = url, on_message = check, on_state = check })
assert(client:start())
t.await("the client opens", function() return client.conn end)
assert(wsock.connect { url = url }) -- is still opening at the end
local room = assert(server:room("r"))
for _, conn in ipairs(server.conns) do room:join(conn) end
-- Questions that are never answered: one waits in the script's hands, one in its hook.
question = t.open_question()
if question then
  local waits
  local of_rooms = assert(wsock.server { listen = "ws://127.0.0.1:0", endpoints = { ["/"] = {
    rooms = { on_hello = function()
      waits = true
      wsock.sleep(3600)
      check()
    end },
  } } })
  t.speak(of_rooms.url, '{"type":"hello","v":1}')
  t.await("the hook waits", function() return waits end)
end
-- Answers that have not come: to a function, and to a coroutine.
local node = assert(wsock.server { listen = "ws://127.0.0.1:0", cluster = "memory:left",
  on_cluster = function() end }) -- wakes who awaits the broker
t.await("the broker", function() return node:cluster() == "up" end)
t.await("a coroutine waits", (function()
  local waits
  wsock.call(function()
    waits = true
    node:nodes()
    check()
  end)
  return function() return waits end
end)())
assert(node:nodes(check))
assert(node:room("r"):publish("x", { on_done = check }))
wsock.call(check)
room:broadcast("unheard")
for _, conn in ipairs(conns) do conn:send("unheard") end
assert(threads() > 0)
