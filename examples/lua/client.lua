-- SPDX-License-Identifier: MIT
-- A client that comes back: says hello whenever it is connected, shows what it hears, and
-- sends a line every second; what is said while there is no connection waits for the next:
--     lua client.lua [url [lines]]
local wsock = require "wsock"

local lines = tonumber(arg[2] or 10)
local said, client = 0, nil

client = assert(wsock.client {
  url = arg[1] or "ws://127.0.0.1:8080/echo",
  reconnect_delay = "200ms",
  reconnect_max_delay = "5s",
  reconnect_buffer_bytes = "64KiB",
  on_state = function(_, state, info)
    local why = info.why and ": " .. info.why.detail or ""
    print(("%s%s"):format(state, why))
    io.stdout:flush()
  end,
  on_open = function(conn) conn:send("hello") end,
  on_message = function(_, data)
    print("< " .. data)
    io.stdout:flush()
    if data == "line " .. lines then client:stop() end
  end,
})

wsock.every(tonumber(arg[3] or 1), function(timer)
  local ok, why = client:send("line " .. said + 1)
  if ok then said = said + 1 else print("not sent: " .. why) end
  if said == lines then timer:cancel() end
end)

assert(client:start())
wsock.loop()
