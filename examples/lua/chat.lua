-- SPDX-License-Identifier: MIT
-- Rooms by path: who connects to /chat/NAME hears what others there say, and may say
-- something: lua chat.lua [url]
--
-- A room keeps its last lines for an hour. Who comes is told "* at EPOCH OFFSET", from where each
-- line of the room is one further (those with a star are for one alone). Who comes back with
-- what that has become, to "/chat/NAME?epoch=EPOCH&offset=OFFSET", hears what it missed first.
local wsock = require "wsock"

local server = assert(wsock.server { listen = arg[1] or "ws://127.0.0.1:8080" })

-- The name of a room comes from the peer: one that is no name is refused at the door. Rooms
-- that keep messages stay, so they must not keep them for ever.
local function room_of(conn)
  return assert(server:room("chat." .. conn.params.room,
    { history_messages = 50, history_time = "1h" }))
end

-- Where a peer says that it was; {} is where nothing was heard yet, nil no position.
local function position_of(query)
  if not query.epoch then return {} end
  local epoch, offset = query.epoch:match("^%x+$"), (query.offset or ""):match("^%d+$")
  if not (epoch and offset and #epoch <= 16 and #offset <= 15) then return nil end
  return { epoch = epoch, offset = tonumber(offset) }
end

assert(server:endpoint("/chat/{room}", {
  max_message_bytes = "4KiB",
  on_request = function(req)
    if not req.params.room:match("^[%w_-]+$") then return false, 400, "no such name" end
    local since = position_of(req.query)
    if not since then return false, 400, "no such position" end
    return { info = since }
  end,
  on_open = function(conn)
    local room = room_of(conn)
    local ok, joined = room:join(conn, { since = conn.info })
    if not ok then return conn:close(1013, joined) end -- so many members are there
    conn:send(("* at %s %d"):format(joined.position.epoch, joined.position.offset - joined.missed))
    if not joined.recovered then conn:send("* what was before is gone") end
    conn:send(("* %d here"):format(room:count()))
    room:broadcast(("%d joined"):format(conn.id))
  end,
  on_message = function(conn, text, binary)
    if binary then return conn:close(1003, "text only") end
    room_of(conn):broadcast(("%d: %s"):format(conn.id, text))
  end,
  on_close = function(conn)
    local room = server:find_room("chat." .. conn.params.room)
    if room then room:broadcast(("%d left"):format(conn.id)) end
  end,
}))

print("listening on " .. server.url)
io.stdout:flush()
server:loop()
