-- SPDX-License-Identifier: MIT
-- Rooms: connections that hear each other.

local core = require "wsock.core"
local check = require "wsock.check"
local Message = require "wsock.message"

local Room, Encoding = {}, {}
Room.__index = Room

Room.broadcast = core.broadcast
Room.broadcast_text = core.broadcast
Room.broadcast_binary = core.broadcast_binary

function Room.new(handle)
  return setmetatable({ handle, name = core.room_name(handle) }, Room)
end

Room.__tostring = function(self) return "wsock room " .. self.name end

local function handle_of(conn)
  check.conn(conn, 3)
  return conn[1]
end

-- True when it changed anything, false when there was nothing to change.
local function changed(idle, result, message, code)
  if result ~= nil then return true end
  if idle[code] then return false, message, code end
  return nil, message, code
end

local joins_idly = { [core.EEXIST] = true, [core.ECLOSED] = true }
local leaves_idly = { [core.ENOENT] = true }

--- Make an open connection a member: false when it is one, or is not open (any more).
function Room:join(conn)
  return changed(joins_idly, core.room_join(self[1], handle_of(conn)))
end

--- Nothing broadcast after this reaches it: false when it is no member.
function Room:leave(conn)
  return changed(leaves_idly, core.room_leave(self[1], handle_of(conn)))
end

--- Send text, or a message, to the members of this moment of whom fn(conn) is true.
function Room:broadcast_if(fn, data)
  check.fn(fn, "broadcast_if takes a function", 2)
  local kind = core.TEXT
  if Message.is(data) then kind, data = Message.type_of(data), data.data end
  local chosen = {}
  for _, conn in ipairs(self:members()) do
    if fn(conn) then chosen[conn] = true end
  end
  return core.broadcast_to(self, kind, data, chosen)
end

--- The number of members.
function Room:count()
  return core.room_count(self[1])
end

--- The members of this moment, as a list.
function Room:members()
  return core.room_members(self[1])
end

-- A room that encodes what it broadcasts.
for name, method in pairs(Room) do Encoding[name] = method end
Encoding.__index = Encoding

local function encoded(self, value)
  return Message.is(value) and value or self._encode(value)
end

function Encoding:broadcast(value, except)
  return core.broadcast(self, encoded(self, value), except)
end

function Encoding:broadcast_if(fn, value)
  return Room.broadcast_if(self, fn, encoded(self, value))
end

--- The same room, with a codec: `local r = room:with(codec)`.
function Room:with(codec)
  if getmetatable(self) ~= Encoding then check.object(self, Room, "room", 2) end
  if type(codec) ~= "table" or not codec.encode then
    error("codec is a table with encode and decode", 2)
  end
  return setmetatable({ self[1], name = self.name, _encode = codec.encode }, Encoding)
end

Encoding.with = Room.with

return Room
