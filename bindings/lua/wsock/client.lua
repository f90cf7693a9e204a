-- SPDX-License-Identifier: MIT
-- Clients: connections made once, and one that comes back.

local core = require "wsock.core"
local check = require "wsock.check"
local events = require "wsock.events"
local Conn = require "wsock.conn"
local Message = require "wsock.message"
local Server = require "wsock.server"

local M = {}
local Client = {}
Client.__index = Client

local states = { "connecting", "open", "waiting", "closed" }

local function fail(self, message, code)
  return nil, core.client_error(self[1]) or message, code
end

--- Set an option, for connections to come if it is not live.
function Client:set(name, value)
  return Server.set(core.client_set, core.client_error, self[1], name, value)
end

--- Open one connection. @return it, at once: on_open or on_close tell the rest
--- @param fd (optional) of a socket that is connected; the library takes a duplicate
function Client:connect(fd)
  local handle, message, code
  if fd == nil then
    handle, message, code = core.client_connect(self[1])
  else
    handle, message, code = core.client_connect_fd(self[1], fd)
  end
  if not handle then return fail(self, message, code) end
  local made, conn = pcall(Conn.new, self._hooks, handle)
  if not made then
    core.conn_reset(handle)
    error(conn, 0)
  end
  return conn
end

--- From now on keep one connection up.
function Client:start()
  local ok, message, code
  if not self._hooks.registered[events.STATE] then
    ok, message, code = core.hook_client(self[1], self._hooks, events.STATE)
    if not ok then return nil, message, code end
    self._hooks.registered[events.STATE] = true
  end
  ok, message, code = core.client_start(self[1])
  if not ok then return fail(self, message, code) end
  Server.anchor(self)
  return true
end

--- Close that connection, and connect no more; on_state tells "closed".
function Client:stop(code, reason)
  local ok, message, number = core.client_stop(self[1], code == nil and 1000 or code, reason)
  if not ok then return nil, message, number end
  return true
end

local function send(self, type_of, data)
  local ok, message, code
  if Message.is(data) then
    ok, message, code = core.client_send_message(self[1], data[1])
  else
    ok, message, code = core.client_send(self[1], type_of, data)
  end
  if ok then return true end
  return nil, code == core.EAGAIN and "backlog full" or message, code
end

--- Send on the connection that start() keeps up.
function Client:send_text(data) return send(self, core.TEXT, data) end
function Client:send_binary(data) return send(self, core.BINARY, data) end

function Client:send(value)
  if self._codec and not Message.is(value) then value = self._codec.encode(value) end
  return send(self, self._binary and core.BINARY or core.TEXT, value)
end

function Client:opened(conn) self.conn = conn end

function Client:closed(conn)
  if self.conn == conn then self.conn = nil end
end

events.functions[events.STATE] = function(hooks, info)
  local client = hooks.owner
  client.state = states[info.state]
  if client.state == "closed" then Server.unanchor(client) end
  if client.on_state then client:on_state(client.state, info) end
end

local own = { url = true, headers = true, subprotocols = true, on_error = true, on_state = true }

local function set_up(self, options)
  local taken = Conn.take_hooks(self._hooks, options)
  for name in pairs(own) do taken[name] = true end
  local ok, message, code = Server.set_all(options, taken,
    function(name, value) return self:set(name, value) end)
  if ok then ok, message, code = Conn.register(self._hooks, core.hook_client, self[1]) end
  for name, value in pairs(ok and options.headers or {}) do
    if ok then ok, message, code = core.client_add_header(self[1], name, tostring(value)) end
  end
  for _, name in ipairs(ok and options.subprotocols or {}) do
    if ok then ok, message, code = core.client_add_subprotocol(self[1], name) end
  end
  return ok, message, code
end

--- wsock.client { url, headers, subprotocols, on_open, ..., on_state, on_error, options }
function M.new(options)
  if type(options) ~= "table" then error("wsock.client takes a table", 2) end
  check.handler(options.on_error, "on_error", 2)
  check.handler(options.on_state, "on_state", 2)
  local runtime, queue, code = core.runtime()
  if not runtime then return nil, queue, code end
  local handle, message
  handle, message, code = core.runtime_client(runtime, options.url)
  if not handle then return nil, core.runtime_error(runtime) or message, code end
  local ok
  ok, message, code = core.client_set_queue(handle, queue)
  if not ok then return nil, message, code end
  local self = setmetatable({
    handle, on_error = options.on_error, on_state = options.on_state, state = "closed",
    _codec = options.codec, _binary = options.binary, _hooks = {},
  }, Client)
  self._hooks.owner = self
  ok, message, code = set_up(self, options)
  if not ok then return nil, message, code end
  return self
end

return M
