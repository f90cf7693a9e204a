-- SPDX-License-Identifier: MIT
-- Rooms by path: who connects to /chat/NAME hears what others there say, and may say
-- something: lua chat.lua [url]
local wsock = require "wsock"

local server = assert(wsock.server { listen = arg[1] or "ws://127.0.0.1:8080" })

-- The name of a room comes from the peer: one that is no name is refused at the door.
local function room_of(conn)
  return assert(server:room("chat." .. conn.params.room))
end

assert(server:endpoint("/chat/{room}", {
  max_message_bytes = "4KiB",
  on_request = function(req)
    if not req.params.room:match("^[%w_-]+$") then return false, 400, "no such name" end
    return true
  end,
  on_open = function(conn)
    local room = room_of(conn)
    room:join(conn)
    conn:send(("%d here"):format(room:count()))
    room:broadcast(("%d joined"):format(conn.id), conn)
  end,
  on_message = function(conn, text, binary)
    if binary then return conn:close(1003, "text only") end
    room_of(conn):broadcast(("%d: %s"):format(conn.id, text), conn)
  end,
  on_close = function(conn)
    local room = server:find_room("chat." .. conn.params.room)
    if room then room:broadcast(("%d left"):format(conn.id)) end
  end,
}))

print("listening on " .. server.url)
io.stdout:flush()
server:loop()
