-- SPDX-License-Identifier: MIT
-- Rooms: connections that hear each other.

local core = require "wsock.core"
local check = require "wsock.check"
local events = require "wsock.events"
local Message = require "wsock.message"

local Room = {}
Room.__index = Room

Room.broadcast = core.broadcast
Room.broadcast_text = core.broadcast
Room.broadcast_binary = core.broadcast_binary

--- @param server which has its handlers
function Room.new(handle, server)
  return setmetatable({ handle, name = core.room_name(handle), _server = server }, Room)
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

local function table_of(options, what)
  if options ~= nil and type(options) ~= "table" then error(what .. " are a table", 3) end
  return options or {}
end

local function position_of(epoch, offset)
  return epoch and { epoch = epoch, offset = offset } or nil
end

local joins_with = { info = true, since = true, on_joined = true, wait = true }

-- A record to ask with, if a function is to be told, or the coroutine waits.
local function record_of(self, options, fn, what)
  if fn == nil and not options.wait then return nil end
  return events.record(fn, self._server, what, 3)
end

--- Make an open connection a member: false when it is one, or is not open (any more).
-- options: info, a string; since, a position; on_joined, a function that is told how it went,
-- when that is known; wait = true, wait for that. @return true, and how that went
function Room:join(conn, options)
  local handle = handle_of(conn)
  options = table_of(options, "the options of a join")
  check.names(options, joins_with, "join", 2)
  check.handler(options.on_joined, "on_joined", 2)
  local since, on_joined = table_of(options.since, "positions"), options.on_joined
  local record = record_of(self, options, on_joined and function(how)
    on_joined(conn, how)
  end, "join")
  conn._joined = true -- its end may be told before it is that it left
  local how, message, code = core.room_join(self[1], handle, options.info,
    options.since and (since.epoch or ""), since.offset or 0, record)
  if how == nil then
    events.forget(record)
    return changed(joins_idly, nil, message, code)
  end
  if not record then return true, how end
  if on_joined then
    if how.recovered ~= nil then events.tell_later(record, how) end
    return true, how
  end
  if how.recovered == nil then return true, (events.wait_for(record)) end
  events.forget(record)
  return true, how
end

--- Nothing broadcast after this reaches it: false when it is no member.
function Room:leave(conn)
  return changed(leaves_idly, core.room_leave(self[1], handle_of(conn)))
end

local function chosen_by(self, fn)
  local chosen = {}
  for _, conn in ipairs(self:members()) do
    if fn(conn) then chosen[conn] = true end
  end
  return chosen
end

-- What to send: of messages what they are, of all else the room's kind, text unless told.
local function payload_of(self, data)
  if Message.is(data) then return Message.type_of(data), data.data end
  return self._kind or core.TEXT, data
end

-- What except says: handles of connections, or an identity as it is.
local function excluded_by(except, level)
  if except == nil or type(except) == "string" then return except end
  if type(except) ~= "table" then
    error("except is a connection, a list of them, or an identity", level + 1)
  end
  if check.is_conn(except) then return { except[1] } end
  local handles = {}
  for i, conn in ipairs(except) do
    check.conn(conn, level + 1)
    handles[i] = conn[1]
  end
  return handles
end

--- Send text, or a message, to the members of this moment of whom fn(conn) is true.
function Room:broadcast_if(fn, data)
  check.fn(fn, "broadcast_if takes a function", 2)
  local kind
  kind, data = payload_of(self, data)
  local count, message, code = core.publish(self[1], kind, data, nil, nil, chosen_by(self, fn))
  if not count then return nil, message, code end
  return count
end

local published = {
  except = true, only = true, key = true, event = true, from = true, json = true,
  on_done = true, wait = true,
}

--- Send text, or a message. options: except, a connection, a list of them, or an identity;
-- only, a function of a connection; key, what it is about; event, what kind of message it
-- is; from, the identity that says it; json, true for text that is JSON; on_done, a function
-- that is told what became of it, when that is known; wait = true, wait for that.
-- @return for how many, its position in a room with history, and with wait what became of it
function Room:publish(data, options)
  options = table_of(options, "the options of a message")
  check.names(options, published, "publish", 2)
  check.handler(options.only, "only", 2)
  check.handler(options.on_done, "on_done", 2)
  local except = excluded_by(options.except, 2)
  local kind
  kind, data = payload_of(self, data)
  if options.json then kind = kind + core.JSON end
  local chosen = options.only and chosen_by(self, options.only)
  local record = record_of(self, options, options.on_done, "publish")
  local count, epoch, offset, done = core.publish(self[1], kind, data, except, options.key,
    chosen, options.event, options.from, record)
  if not count then
    events.forget(record)
    return nil, epoch, offset
  end
  local position = position_of(epoch, offset)
  if not record then return count, position end
  if options.on_done then
    if done then events.tell_later(record, done) end
    return count, position
  end
  if not done then return count, position, (events.wait_for(record)) end
  events.forget(record)
  return count, position, done
end

-- To how many of somebody's connections it was queued: 0 where none had room.
function Room.send_to_by(send, of, identity, data)
  check.text(identity, 3)
  local kind
  kind, data = payload_of(of, data)
  local count, message, code = send(of[1], identity, kind, data)
  if code == core.EAGAIN then return 0 end
  return count, message, code
end

--- Send text, or a message, to the connections of an identity that are members.
function Room:send_to(identity, data)
  return Room.send_to_by(core.room_send_to, self, identity, data)
end

--- Have all connections of an identity leave, or one connection. @return how many did
function Room:kick(who, reason)
  if type(who) == "string" then return core.room_kick(self[1], who, reason) end
  local ok, message, code = core.room_kick_conn(self[1], handle_of(who), reason)
  if code == core.ENOENT then return 0 end
  if not ok then return nil, message, code end
  return 1
end

--- End it: false when it has ended.
function Room:close(reason)
  local ok, message, code = core.room_close(self[1], reason)
  if code == core.ECLOSED then return false end
  if not ok then return nil, message, code end
  local heralds, name = self._server._heralds, self.name
  local mine = heralds[name]
  -- Behind what they are still told of it.
  if mine then
    events.call(function() if heralds[name] == mine then heralds[name] = nil end end)
  end
  return true
end

--- Where it is now; nil without history.
function Room:position()
  local epoch, offset, code = core.room_position(self[1])
  if epoch == nil then return nil, offset, code end
  return position_of(epoch, offset)
end

--- The last messages that are kept, at most so many, before an offset or at the newest.
function Room:history(limit, before)
  return core.room_history(self[1], before == nil and 0 or before, limit == nil and 100 or limit)
end

--- Who is there: a list of tables with identity, info and count.
function Room:people()
  return core.room_people(self[1])
end

--- Who is there on all servers of the cluster: tells fn(people, message, code), or without one
-- waits for them. count is on how many servers somebody is.
function Room:people_everywhere(fn)
  local record = events.record(fn, self._server, "people_everywhere", 2)
  local ok, message, code = core.people_everywhere(self[1], record)
  if ok then return events.wait_for(record) end
  events.forget(record)
  return nil, message, code
end

--- What a member joined with; nil when that was nothing.
function Room:info(conn)
  local info, message, code = core.room_info(self[1], handle_of(conn))
  if info == false then return nil end
  return info, message, code
end

--- Count one more message of a member: false when it is too much.
function Room:may_publish(conn)
  local ok, message, code = core.room_may_publish(self[1], handle_of(conn))
  if code == core.ERATE then return false, message, code end
  if not ok then return nil, message, code end
  return true
end

--- How many messages a member, or all, missed because they did not keep up.
function Room:dropped(conn)
  return core.room_dropped(self[1], conn ~= nil and handle_of(conn) or nil)
end

--- One of its options, as text.
function Room:get(name)
  return core.room_get_string(self[1], name)
end

-- Handlers are the server's, so that they stay as long as they are wanted.
local function on(kind, name)
  return function(self, handler)
    check.handler(handler, name, 2)
    local heralds = self._server._heralds
    local mine = heralds[self.name]
    if not mine or core.room_position(mine.handle) == nil then
      mine = { owner = self._server, handle = self[1], registered = {} }
    end
    if handler and not mine.registered[kind] then
      local ok, message, code = core.hook_room(self[1], mine, kind)
      if not ok then return nil, message, code end
      mine.registered[kind] = true
    end
    mine[kind] = handler
    local some = mine[events.ROOM_JOIN] or mine[events.ROOM_LEAVE] or mine[events.ROOM_MESSAGE]
    heralds[self.name] = some and mine or nil
    return true
  end
end

--- Call fn(member) when somebody joined, or left, and fn(message) when something was said.
Room.on_join = on(events.ROOM_JOIN, "on_join")
Room.on_leave = on(events.ROOM_LEAVE, "on_leave")
Room.on_message = on(events.ROOM_MESSAGE, "on_message")

for _, kind in ipairs { events.ROOM_JOIN, events.ROOM_LEAVE, events.ROOM_MESSAGE } do
  events.functions[kind] = function(hooks, told)
    local handler = hooks[kind]
    if not handler then return end
    events.heralds(hooks.owner)
    handler(told)
    events.heralds(nil)
  end
end

--- The number of members.
function Room:count()
  return core.room_count(self[1])
end

--- The members of this moment, as a list.
function Room:members()
  return core.room_members(self[1])
end

-- ---- rooms seen through a codec ----

local Coded = {}
for name, method in pairs(Room) do Coded[name] = method end
Coded.__index = Coded

local plain = { encode = function(data) return data end, decode = function(data) return data end }

local function encoded(self, value)
  return Message.is(value) and value or self._codec.encode(value)
end

-- What the library tells, with one of its fields decoded: in place, as it is told once.
local function decoded(codec, told, field)
  if told[field] ~= nil then told[field] = codec.decode(told[field]) end
  return told
end

local function all_decoded(self, list, field)
  for _, told in ipairs(list) do decoded(self._codec, told, field) end
  return list
end

function Coded:broadcast(value, except)
  return self._broadcast(self, encoded(self, value), except)
end

function Coded:publish(value, options)
  return Room.publish(self, encoded(self, value), options)
end

function Coded:send_to(identity, value)
  return Room.send_to(self, identity, encoded(self, value))
end

function Coded:broadcast_if(fn, value)
  return Room.broadcast_if(self, fn, encoded(self, value))
end

function Coded:join(conn, options)
  if type(options) == "table" and options.info ~= nil then
    local plainly = {}
    for name, value in pairs(options) do plainly[name] = value end
    plainly.info = self._codec.encode(options.info)
    options = plainly
  end
  return Room.join(self, conn, options)
end

function Coded:info(conn)
  local info, message, code = Room.info(self, conn)
  if info == nil then return nil, message, code end
  return self._codec.decode(info)
end

function Coded:people()
  local people, message, code = Room.people(self)
  if not people then return nil, message, code end
  return all_decoded(self, people, "info")
end

function Coded:people_everywhere(fn)
  local function told(people, ...)
    return people and all_decoded(self, people, "info"), ...
  end
  if fn ~= nil then
    check.fn(fn, "people_everywhere takes a function", 2)
    return Room.people_everywhere(self, function(...) return fn(told(...)) end)
  end
  return told(Room.people_everywhere(self))
end

function Coded:history(limit, before)
  local messages, message, code = Room.history(self, limit, before)
  if not messages then return nil, message, code end
  return all_decoded(self, messages, "data")
end

for name, field in pairs { on_join = "info", on_leave = "info", on_message = "data" } do
  Coded[name] = function(self, handler)
    check.handler(handler, name, 2)
    local codec = self._codec
    return Room[name](self, handler and function(told)
      return handler(decoded(codec, told, field))
    end)
  end
end

--- The same room, through a codec: `local r = room:with(codec)`; with binary what it sends is
-- binary, and then the codec may be nil.
function Room:with(codec, binary)
  if getmetatable(self) ~= Coded then check.object(self, Room, "room", 2) end
  if codec ~= nil or not binary then check.codec(codec, 2) end
  return setmetatable({ self[1], name = self.name, _server = self._server,
    _codec = codec or plain, _kind = binary and core.BINARY or core.TEXT,
    _broadcast = binary and core.broadcast_binary or core.broadcast }, Coded)
end

Coded.with = Room.with

return Room
