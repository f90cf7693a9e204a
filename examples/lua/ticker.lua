-- SPDX-License-Identifier: MIT
-- Tells prices to all who listen, 10 times a second; each message is encoded once, however
-- many they are: lua ticker.lua [url]
local wsock = require "wsock"

local server = assert(wsock.server { listen = arg[1] or "ws://127.0.0.1:8080" })
-- Who cannot follow misses prices, and gets the newest as soon as it can.
local everyone = assert(server:room("ticker", { slow_members = "latest_only" }))
local price, number = 100, 0

assert(server:endpoint("/ticker", {
  on_open = function(conn)
    conn:send(("price %.2f"):format(price))
    everyone:join(conn)
  end,
  on_message = function(conn, text)
    if text ~= "count" then error("what is " .. text .. "?") end
    conn:send(("count %d"):format(everyone:count()))
  end,
}))

-- Of a subscriber who sends nonsense one line is enough.
server.on_error = function(err, conn)
  io.stderr:write("ticker: ", tostring(err), "\n")
  if conn then conn:close(1008, "nonsense") end
end

server:every(0.1, function(_, missed)
  number = number + 1 + missed
  price = math.max(1, price + math.random() - 0.5)
  everyone:broadcast(("tick %d %.2f"):format(number, price))
end)

print("listening on " .. server.url)
io.stdout:flush()
server:loop()
