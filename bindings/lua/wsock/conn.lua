-- SPDX-License-Identifier: MIT
-- A connection, at either end: one object from its first event until its last, the same in
-- every handler, and usable after.

local core = require "wsock.core"
local check = require "wsock.check"
local events = require "wsock.events"
local Message = require "wsock.message"
local Request = require "wsock.request"

local M = {
  open = {}, -- connections whose on_close has not come yet
  open_count = 0,
}
local methods, getters = {}, {}
local id_of = core.conn_id

methods.send_text = core.send
methods.send_binary = core.send_binary
methods.send = core.send
methods.after = events.conn_after
methods.every = events.conn_every
methods.call = events.conn_call

local function done(result, message, code)
  if result == nil then return nil, message, code end
  return true
end

--- Begin the closing handshake, 1000 unless told.
function methods:close(code, reason)
  return done(core.conn_close(self[1], code == nil and 1000 or code, reason))
end

--- End it at once, without a handshake.
function methods:reset()
  return done(core.conn_reset(self[1]))
end

function methods:ping(data)
  return done(core.conn_send_ping(self[1], data == nil and "" or data))
end

--- Read nothing more, until as many resumes; messages under way still come.
function methods:pause()
  return done(core.conn_pause_read(self[1]))
end

function methods:resume()
  return done(core.conn_resume_read(self[1]))
end

-- A message in parts: begin, append..., finish.
function methods:begin(binary)
  return done(core.conn_send_begin(self[1], binary and core.BINARY or core.TEXT))
end

function methods:append(data)
  return done(core.conn_send_append(self[1], data))
end

function methods:finish()
  return done(core.conn_send_end(self[1]))
end

--- A header field of the answer that a client got.
function methods:response_header(name)
  check.text(name, 2)
  return core.conn_response_header(self[1], name)
end

--- Inside a handler or coroutine: wait until there is room to send.
-- @return true, or false when the connection ended
function methods:drained()
  check.conn(self, 2)
  local co, is_main = coroutine.running()
  if not co or is_main then error("drained works inside handlers and coroutines", 2) end
  if not self._full then return self.is_open end
  self._drainers = self._drainers or {}
  self._drainers[#self._drainers + 1] = co
  coroutine.yield()
  return self.is_open
end

--- Say who it is, once: for who tells in a message. Before, on_request says so.
function methods:set_identity(identity)
  check.text(identity, 2)
  return done(core.conn_set_identity(self[1], identity))
end

function getters.identity(self)
  local identity = core.conn_identity(self[1])
  return identity ~= "" and identity or nil
end

function getters.buffered(self) return core.conn_buffered(self[1]) end
function getters.is_open(self) return core.conn_is_open(self[1]) == 1 end
function getters.remote_address(self) return core.conn_remote_address(self[1]) end
function getters.response_body(self) return core.conn_response_body(self[1]) end
function getters.local_address(self) return core.conn_local_address(self[1]) end
function getters.url(self) return core.conn_url(self[1]) end
function getters.subprotocol(self) return core.conn_subprotocol(self[1]) end
function getters.extensions(self) return core.conn_extensions(self[1]) end
function getters.tls(self) return Request.tls_of(core.conn_tls, self[1]) end

--- The round-trip time in seconds, nil before the first answer to a ping.
function getters.rtt(self)
  local us = core.conn_rtt_us(self[1])
  return us and us / 1e6
end

function getters.request(self)
  local handle = core.conn_request(self[1])
  local request = handle and Request.new(handle)
  rawset(self, "request", request)
  return request
end

function getters.params(self)
  local request = self.request
  local params = request and request.params or {}
  rawset(self, "params", params)
  return params
end

local function make_class(own)
  local class = {}
  for name, method in pairs(methods) do class[name] = method end
  for name, method in pairs(own) do class[name] = method end
  class.__index = function(self, key)
    local method = class[key]
    if method ~= nil then return method end
    local getter = getters[key]
    if getter then return getter(self) end
  end
  check.conn_classes[class] = true
  class.__tostring = function(self)
    return "wsock connection " .. tostring(self.id)
  end
  return class
end

--- The class of connections: `binary` swaps what send() sends, a codec is put before it.
function M.class(binary, codec)
  local send = binary and core.send_binary or core.send
  return make_class { send = codec and Message.encoding(send, codec.encode) or send }
end

--- An object for a connection; its events come with it from now on.
function M.new(hooks, handle, carried)
  local conn = setmetatable({ handle, id = id_of(handle), data = {}, _hooks = hooks },
    hooks.class)
  if carried then
    conn.info = carried.info
  end
  -- In this order, as each may fail for want of memory: what is adopted is told its end.
  core.adopt(handle, conn)
  M.open[conn] = true
  M.open_count = M.open_count + 1
  return conn
end

local names = {
  on_open = events.OPEN, on_message = events.MESSAGE, on_part = events.PART,
  on_drain = events.DRAIN, on_pong = events.PONG, on_close = events.CLOSE,
}

--- Take handlers, codec and kind from a table of options into hooks, in place: open
-- connections have the new ones, too. @return the names that were taken
function M.take_hooks(hooks, options)
  local taken = { binary = true, codec = true }
  local codec = options.codec
  if codec ~= nil then check.codec(codec, 3) end
  for name, kind in pairs(names) do
    local handler = options[name]
    check.handler(handler, name, 3)
    taken[name] = true
    hooks[kind] = handler
  end
  if codec and options.on_message then
    local handler, decode = options.on_message, codec.decode
    hooks[events.MESSAGE] = function(conn, data, binary)
      return handler(conn, decode(data), binary)
    end
  end
  hooks.class = M.class(options.binary, codec)
  return taken
end

--- Register what hooks need with the library, once each.
function M.register(hooks, hook, handle)
  local kinds = { events.OPEN, events.DRAIN, events.CLOSE }
  -- Where rooms are served, messages are the library's.
  if not hooks.rooms then kinds[#kinds + 1] = events.MESSAGE end
  if hooks[events.PART] then kinds[#kinds + 1] = events.PART end
  if hooks[events.PONG] then kinds[#kinds + 1] = events.PONG end
  hooks.registered = hooks.registered or {}
  for _, kind in ipairs(kinds) do
    if not hooks.registered[kind] then
      local ok, message, code = hook(handle, hooks, kind)
      if not ok then return nil, message, code end
      hooks.registered[kind] = true
    end
  end
  return true
end

-- ---- events ----

events.functions[events.OPEN] = function(hooks, handle, carried)
  -- What a client's connect() returned is here already.
  local conn = carried
  if not carried or carried[1] == nil then conn = M.new(hooks, handle, carried) end
  local owner = hooks.owner
  if owner.opened then owner:opened(conn) end
  local handler = hooks[events.OPEN]
  if handler then handler(conn) end
end

events.functions[events.PART] = function(conn, data, flags)
  local handler = conn and conn._hooks[events.PART]
  if not handler then return end
  local bits = math.floor(flags / 256)
  events.in_turn(conn, handler, conn, data, flags % 256 == core.BINARY, bits % 2 == 1,
    bits >= 2)
end

events.functions[events.PONG] = function(conn, data)
  local handler = conn and conn._hooks[events.PONG]
  if handler then events.in_turn(conn, handler, conn, data) end
end

local function wake(conn)
  conn._full = nil
  local waiting = conn._drainers
  conn._drainers = nil
  for _, co in ipairs(waiting or {}) do events.resume(co) end
end

events.functions[events.DRAIN] = function(_, conn)
  if not conn then return end
  wake(conn)
  local handler = conn._hooks[events.DRAIN]
  if handler then events.in_turn(conn, handler, conn) end
end

--- No more events will come.
function M.forget(conn, behind)
  if not conn then return end
  if M.open[conn] then
    M.open[conn] = nil
    M.open_count = M.open_count - 1
  end
  -- That it left its rooms was queued before its end, and may be told behind it.
  if behind and conn._joined and pcall(events.call, core.release, conn[1]) then return end
  core.release(conn[1])
end

events.functions[events.FORGET] = M.forget

local function closed(hooks, conn, info)
  M.forget(conn, true)
  local owner = hooks.owner
  if owner.closed then owner:closed(conn) end
  local handler = hooks[events.CLOSE]
  if handler then
    events.ends(conn)
    handler(conn, info.code, info.reason, info)
    events.ends(nil)
  end
end

events.last = closed

events.functions[events.CLOSE] = function(hooks, conn, info)
  -- An attempt of a client that failed never had an object.
  if type(conn) == "userdata" then conn = M.new(hooks, conn) end
  if not conn then return end
  wake(conn)
  events.in_turn(conn, closed, hooks, conn, info)
end

return M
