-- SPDX-License-Identifier: MIT
-- Sends everything back: lua echo.lua [url]
local wsock = require "wsock"

local server = assert(wsock.server { listen = arg[1] or "ws://127.0.0.1:8080" })

assert(server:endpoint("/echo", {
  on_message = function(conn, data, binary)
    if binary then conn:send_binary(data) else conn:send(data) end
  end,
}))

print("listening on " .. server.url)
io.stdout:flush()
server:loop()
