-- SPDX-License-Identifier: MIT
-- Rooms: connections that hear each other.

local core = require "wsock.core"

local Room = {}
Room.__index = Room

Room.broadcast = core.broadcast
Room.broadcast_text = core.broadcast
Room.broadcast_binary = core.broadcast_binary

function Room.new(handle)
  return setmetatable({ handle, name = core.room_name(handle) }, Room)
end

Room.__tostring = function(self) return "wsock room " .. self.name end

local function handle_of(conn)
  local handle = type(conn) == "table" and conn[1]
  if type(handle) ~= "userdata" then error("connection expected", 3) end
  return handle
end

local function done(result, message, code)
  if result == nil then return nil, message, code end
  return true
end

function Room:join(conn)
  return done(core.room_join(self[1], handle_of(conn)))
end

function Room:leave(conn)
  return done(core.room_leave(self[1], handle_of(conn)))
end

--- The number of members.
function Room:count()
  return core.room_count(self[1])
end

--- The members of this moment, as a list.
function Room:members()
  return core.room_members(self[1])
end

--- A room that encodes what it broadcasts: `local r = room:with(codec)`.
function Room:with(codec)
  local encode = codec.encode
  return setmetatable({ self[1], name = self.name }, {
    __index = setmetatable({
      broadcast = function(room, value, except)
        return core.broadcast(room, encode(value), except)
      end,
    }, Room),
    __tostring = Room.__tostring,
  })
end

return Room
