-- SPDX-License-Identifier: MIT
-- Rooms for those who are let in: a token in the header Authorization tells who somebody is,
-- and which rooms are theirs: lua auth.lua [url]
--
-- A room tells who comes and goes, however many connections somebody has, and "@ben hello" is
-- for Ben's alone.
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

for _, name in ipairs { "team", "board" } do
  local room = assert(server:room(name))
  room:on_join(function(member)
    if member.first then room:broadcast(member.identity .. " comes") end
  end)
  room:on_leave(function(member)
    if member.last then room:broadcast(member.identity .. " goes") end
  end)
end

local function room_of(conn)
  return assert(server:find_room(conn.params.room))
end

local function names_in(room)
  local names = {}
  for i, person in ipairs(room:people()) do names[i] = person.identity end
  table.sort(names)
  return table.concat(names, ", ")
end

assert(server:endpoint("/rooms/{room}", {
  on_request = function(req)
    local name = user_of(req.token)
    if not name then return false, 401, "who are you?" end
    if not users[name].rooms[req.params.room] then return false, 403, "not your room" end
    return { identity = name, headers = { ["X-User"] = name } }
  end,
  on_open = function(conn)
    local room = room_of(conn)
    room:join(conn)
    conn:send("here: " .. names_in(room))
  end,
  on_message = function(conn, text, binary)
    if binary then return conn:close(1003, "text only") end
    local to, line = text:match("^@(%w+) (.*)$")
    if not to then return room_of(conn):broadcast(conn.identity .. ": " .. text) end
    if room_of(conn):send_to(to, conn.identity .. " to you: " .. line) == 0 then
      conn:send(to .. " does not hear you")
    end
  end,
}))

print("listening on " .. server.url)
io.stdout:flush()
server:loop()
