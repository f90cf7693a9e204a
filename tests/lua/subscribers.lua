-- SPDX-License-Identifier: MIT
-- For test_examples.lua, in a process that may open enough files: so many subscribers hear
-- ticks, in order: subscribers.lua url count
local wsock = require "wsock"
local t = require "support"

local url, count = arg[1], tonumber(arg[2])
local open, heard, wrong = 0, 0, 0
local client = assert(wsock.client {
  url = url,
  on_open = function() open = open + 1 end,
  on_message = function(conn, data)
    local number = tonumber(data:match("^tick (%d+)"))
    if not number then return end
    if conn.data.last and number <= conn.data.last then wrong = wrong + 1 end
    conn.data.last = number
    conn.data.heard = (conn.data.heard or 0) + 1
    if conn.data.heard == 3 then heard = heard + 1 end
  end,
})
for _ = 1, count do assert(client:connect()) end
t.await("all are open", function() return open == count end)
t.await("all hear", function() return heard == count end)
print(("%d heard, %d wrong"):format(heard, wrong))
