-- SPDX-License-Identifier: MIT
-- Questions of clients that speak rooms.v1, on endpoints that serve rooms: what they say, and
-- their answers.

local core = require "wsock.core"
local check = require "wsock.check"
local events = require "wsock.events"

local M = {}
local Ask, getters = {}, {}

local kinds = {
  [core.ASK_HELLO] = "hello", [core.ASK_REFRESH] = "refresh", [core.ASK_JOIN] = "join",
  [core.ASK_PUBLISH] = "publish", [core.ASK_DIRECT] = "direct", [core.ASK_CALL] = "call",
}
local hook_of = {
  hello = "on_hello", refresh = "on_hello", join = "on_join", publish = "on_publish",
  direct = "on_publish", call = "on_call",
}
local hooks_known = { on_hello = true, on_join = true, on_publish = true, on_call = true }

-- ---- what it says ----

function getters.room(self)
  local room = core.ask_room(self[1])
  return room ~= "" and room or nil
end

function getters.name(self) return core.ask_name(self[1]) end
function getters.token(self) return core.ask_token(self[1]) end
function getters.event(self) return core.ask_event(self[1]) end
function getters.key(self) return core.ask_key(self[1]) end

-- What it is, and as what it came, before it was changed.
local function look(self)
  local data, kind = core.ask_data(self[1])
  rawset(self, "json", kind ~= nil and kind >= core.JSON)
  rawset(self, "binary", kind == core.BINARY)
  if self.json and self._codec then data = self._codec.decode(data) end
  rawset(self, "data", data)
end

for _, name in ipairs { "data", "json", "binary" } do
  getters[name] = function(self)
    look(self)
    return rawget(self, name)
  end
end

Ask.__index = function(self, key)
  local method = Ask[key]
  if method ~= nil then return method end
  local getter = getters[key]
  if not getter then return nil end
  local value = getter(self)
  rawset(self, key, value)
  return value
end

-- ---- its answers ----

-- One value as JSON: with a codec any, without one a text that is JSON.
local function json_of(self, value, level)
  if self._codec then return self._codec.encode(value) end
  check.text(value, level + 1)
  return value
end

local set = {}

function set.identity(self, identity)
  check.text(identity, 3)
  return core.ask_set_identity(self[1], identity)
end

-- A refresh changes nothing that others see: what it was when it said hello stays.
function set.info(self, info)
  if self.kind == "refresh" then return true end
  return core.ask_set_info(self[1], info and json_of(self, info, 3) or nil)
end

function set.expires_in(self, seconds)
  return core.ask_set_expiry_ms(self[1], check.milliseconds(seconds, "expires_in", 3))
end

function set.data(self, data, options)
  local kind = options.binary and core.BINARY or core.TEXT
  if options.json or self._codec and type(data) ~= "string" then
    kind = core.TEXT + core.JSON
    data = type(data) == "string" and data or json_of(self, data, 3)
  end
  check.text(data, 3)
  return core.ask_set_data(self[1], kind, data)
end

local of_hello = { identity = true, info = true, expires_in = true }
local of_message = { data = true, binary = true, json = true }
local taken = {
  hello = of_hello, refresh = of_hello, join = { info = true }, publish = of_message,
  direct = of_message, call = {},
}

-- Until it is answered; what it was not answered with must not become an answer.
local function answered(self, result, message, code)
  if result == nil then
    self._failure = message
    return nil, message, code
  end
  self._answered = true
  return true
end

--- Allow it. options: of a hello identity, info and expires_in (seconds); of a join info; of
-- what is said data, and binary or json.
function Ask:accept(options)
  check.object(self, Ask, "question", 2)
  if options ~= nil and type(options) ~= "table" then error("accept takes a table", 2) end
  options = options or {}
  check.names(options, taken[self.kind], "the answer to a " .. self.kind, 2)
  for name, fn in pairs(set) do
    if options[name] ~= nil then
      local ok, message, code = fn(self, options[name], options)
      if not ok then return answered(self, nil, message .. ": " .. name, code) end
    end
  end
  return answered(self, core.ask_accept(self[1]))
end

local default_codes = { hello = "unauthorized", refresh = "unauthorized" }

--- Refuse it, with a code for programs, a text for people, and whether the same may succeed
-- later.
function Ask:refuse(code, text, retry)
  check.object(self, Ask, "question", 2)
  if code == nil then code = default_codes[self.kind] or "forbidden" end
  check.text(code, 2)
  if text ~= nil then check.text(text, 2) end
  return answered(self, core.ask_refuse(self[1], code, text, retry and 1 or 0))
end

--- Answer a call with a value: JSON, or what the codec makes that of.
function Ask:reply(value)
  check.object(self, Ask, "question", 2)
  return answered(self, core.ask_reply(self[1], json_of(self, value, 2)))
end

--- The answer comes later.
function Ask:defer()
  check.object(self, Ask, "question", 2)
  self._answered = true
  return true
end

--- Whose hook it was has failed.
function Ask:_fail()
  self._answered = true
  core.ask_fail(self[1])
end

-- ---- hooks ----

local function answer_with(self, verdict, code, text, retry)
  if verdict == false then return self:refuse(code, text, retry) end
  local is_value = verdict ~= nil and verdict ~= true
  if is_value and self.kind == "call" and (self._codec or type(verdict) == "string") then
    return self:reply(verdict)
  end
  if is_value and (self.kind == "call" or type(verdict) ~= "table") then
    return nil, "returned a " .. type(verdict)
  end
  return self:accept(verdict ~= true and verdict or nil)
end

local function answer(self, ...)
  if self._answered then return end
  local ok, message, code = nil, self._failure, nil
  if not message then ok, message, code = answer_with(self, ...) end
  -- The client may be gone meanwhile, which is no error of the script's.
  if not ok and code ~= core.ECLOSED then
    error(hook_of[self.kind] .. ": " .. message, 0)
  end
end

local function consult(handler, ask)
  events.answers(ask)
  answer(ask, handler(ask))
  events.answers(nil)
end

events.functions[events.ASK] = function(hooks, handle, conn)
  local kind = kinds[core.ask_kind(handle)]
  local handler = hooks.rooms[hook_of[kind]]
  -- A connection that had no memory for its object is about to be closed.
  if not handler or not conn then return core.ask_fail(handle) end
  events.in_turn(conn, consult, handler, setmetatable({
    handle, kind = kind, conn = conn, _owner = hooks.owner, _codec = hooks.codec,
  }, Ask))
end

--- Take hooks out of what an endpoint was given.
function M.hooks_of(rooms)
  local hooks = {}
  if type(rooms) ~= "table" then error("rooms are a table of hooks", 5) end
  check.names(rooms, hooks_known, "serving rooms", 5)
  for name in pairs(hooks_known) do
    check.handler(rooms[name], name, 5)
    hooks[name] = rooms[name]
  end
  return hooks
end

--- Have the endpoint serve rooms, with these hooks from now on.
function M.serve(handle, hooks)
  local rooms = hooks.rooms
  return core.serve_rooms(handle, hooks, rooms.on_hello, rooms.on_join, rooms.on_publish,
    rooms.on_call)
end

return M
