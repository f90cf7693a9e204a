-- SPDX-License-Identifier: MIT
-- Rooms for those who are let in: a token in the header Authorization tells who somebody is,
-- and which rooms are theirs: lua auth.lua [url]
--
--     wsock connect --header 'Authorization: Bearer anna-secret' ws://127.0.0.1:8080/rooms/team
local wsock = require "wsock"

local users = {
  anna = { token = "anna-secret", rooms = { team = true, board = true } },
  ben = { token = "ben-secret", rooms = { team = true } },
}

-- All are compared, in a time that does not tell how much was right.
local function user_of(token)
  local found
  for name, user in pairs(users) do
    if wsock.secret_equal(token, user.token) then found = name end
  end
  return found
end

local server = assert(wsock.server { listen = arg[1] or "ws://127.0.0.1:8080" })

assert(server:endpoint("/rooms/{room}", {
  on_request = function(req)
    local name = user_of(req.token)
    if not name then return false, 401, "who are you?" end
    if not users[name].rooms[req.params.room] then return false, 403, "not your room" end
    return { identity = name, headers = { ["X-User"] = name } }
  end,
  on_open = function(conn)
    assert(server:room(conn.params.room)):join(conn)
  end,
  on_message = function(conn, text)
    assert(server:room(conn.params.room)):broadcast(conn.identity .. ": " .. text)
  end,
}))

print("listening on " .. server.url)
io.stdout:flush()
server:loop()
