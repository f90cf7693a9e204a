-- SPDX-License-Identifier: MIT
-- Rooms for pages, with an application that decides: who says hello with the token
-- "NAME-secret" is NAME, rooms "team.NAME" are for that one alone, only "ann" publishes in
-- "news", and a call "hours" is answered: lua rooms.lua [url]
--
-- A page: connect("ws://127.0.0.1:8080/rooms", { token: "ann-secret" }).room("news").
local wsock = require "wsock"

-- A real program asks somebody who knows.
local function name_in(token)
  return token and token:match("^(%w+)%-secret$")
end

local hooks = {
  on_hello = function(ask)
    local name = name_in(ask.token)
    if not name then return false, "unauthorized", "who are you?" end
    return { identity = name, expires_in = 3600 } -- ask again in an hour
  end,
  on_join = function(ask)
    local owner = ask.room:match("^team%.(.*)$")
    if owner and owner ~= ask.conn.identity then
      return false, "private", "this room is somebody else's"
    end
  end,
  on_publish = function(ask)
    if ask.room == "news" and ask.conn.identity ~= "ann" then
      return false, "read_only", "only ann writes the news"
    end
  end,
  on_call = function(ask)
    if ask.name == "hours" then return '{"from":9,"to":17}' end
    return false, "unknown_call", "there is only \"hours\""
  end,
}

local server = assert(wsock.server {
  listen = arg[1] or "ws://127.0.0.1:8080",
  endpoints = { ["/rooms"] = { rooms = hooks }, ["/rooms/{room}"] = { rooms = hooks } },
})
assert(server:room_defaults("news", { history = 100 }))

print("listening on " .. server.url)
io.stdout:flush()
server:loop()
