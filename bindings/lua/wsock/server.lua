-- SPDX-License-Identifier: MIT
-- Servers and their endpoints.

local core = require "wsock.core"
local check = require "wsock.check"
local events = require "wsock.events"
local Ask = require "wsock.ask"
local Conn = require "wsock.conn"
local Room = require "wsock.room"

local M = {
  live = {}, -- servers and clients that go on without the script
  live_count = 0,
}
local Server, Endpoint, getters = {}, {}, {}
Endpoint.__index = Endpoint

-- What an option takes is text; 10 and 10.0 are the same to Lua.
local function text_of(value)
  if type(value) == "number" and value % 1 == 0 and math.abs(value) <= 2 ^ 53 then
    return string.format("%d", value)
  end
  return tostring(value)
end

--- Set one option. An unknown name raises: it is a mistake in the script.
-- @return true, or nil, the detail and code
function M.set(set, why, handle, name, value)
  if type(name) ~= "string" then error("an option's name is a string", 3) end
  local ok, message, code = set(handle, name, text_of(value))
  if ok then return true end
  if code == core.EOPTION then return nil, why(handle), code end
  return nil, why and why(handle) or message, code
end

local function set_all(options, taken, set)
  for name, value in pairs(options) do
    if not taken[name] then
      local ok, message, code = set(name, value)
      if not ok then
        if code == core.EOPTION then error(message, 4) end
        return nil, message, code
      end
    end
  end
  return true
end
M.set_all = set_all

--- Keep an object from being collected until it has ended.
function M.anchor(object)
  if M.live[object] then return end
  M.live[object] = true
  M.live_count = M.live_count + 1
  local ok, err = pcall(core.keep, object[1])
  if not ok then -- without memory
    M.live[object] = nil
    M.live_count = M.live_count - 1
    error(err, 0)
  end
end

function M.unanchor(object)
  if not M.live[object] then return end
  M.live[object] = nil
  M.live_count = M.live_count - 1
  core.let_go(object[1])
end

-- ---- endpoints ----

--- Set an option of this endpoint.
function Endpoint:set(name, value)
  return M.set(core.endpoint_set, core.endpoint_error, self[1], name, value)
end

local requests = { on_request = events.REQUEST, on_request_cancelled = events.CANCELLED }

-- Who serves rooms goes on doing so, and never without the hooks by an oversight.
local function take_rooms(self, options)
  local rooms = options.rooms
  if rooms == nil then
    if self._serves then error("this endpoint serves rooms: its hooks are missing", 4) end
    return
  end
  for _, name in ipairs { "on_message", "on_part" } do
    if options[name] ~= nil then error(name .. ": the messages are those of the rooms", 4) end
  end
  self._hooks.rooms = Ask.hooks_of(rooms)
end

local function take_options(self, options)
  take_rooms(self, options)
  local taken = Conn.take_hooks(self._hooks, options)
  taken.rooms = true
  self._hooks.codec = options.codec
  for name, kind in pairs(requests) do
    local handler = options[name]
    check.handler(handler, name, 3)
    taken[name] = true
    self._hooks[kind] = handler
  end
  return set_all(options, taken, function(name, value) return self:set(name, value) end)
end

-- Before it has any other handler.
local function serve_rooms(self)
  local ok, message, code = Ask.serve(self[1], self._hooks)
  if ok then
    self._serves = true
    return true
  end
  if not self._serves then self._hooks.rooms = nil end
  if code == core.EBUSY then
    message = "an endpoint serves rooms from before it has handlers and the server accepts"
  end
  return nil, message, code
end

local function register(self)
  local hooks = self._hooks
  local ok, message, code = true, nil, nil
  if hooks.rooms then ok, message, code = serve_rooms(self) end
  if ok then ok, message, code = Conn.register(hooks, core.hook_endpoint, self[1]) end
  for _, kind in pairs(requests) do
    if ok and hooks[kind] and not hooks.registered[kind] then
      ok, message, code = core.hook_endpoint(self[1], hooks, kind)
      hooks.registered[kind] = ok
    end
  end
  return ok, message, code
end

-- ---- servers ----

--- Get the endpoint of a path, or make it, with these handlers and options from now on.
function Server:endpoint(pattern, options)
  if type(options) ~= "table" then error("an endpoint takes a table of handlers", 2) end
  local handle, message, code = core.server_endpoint(self[1], pattern)
  if not handle then return nil, core.server_error(self[1]) or message, code end
  pattern = core.endpoint_pattern(handle)
  local endpoint = self._endpoints[pattern]
  if not endpoint then
    endpoint = setmetatable(
      { handle, pattern = pattern, server = self, _hooks = { owner = self } }, Endpoint)
    self._endpoints[pattern] = endpoint
  end
  local ok
  ok, message, code = take_options(endpoint, options)
  if ok then ok, message, code = register(endpoint) end
  if not ok then return nil, message, code end
  return endpoint
end

-- The caller anchors it: last, so that what fails before is collected and listens no more.
local function listen(self, url)
  local ok, message, code
  if not self._accepts then
    ok, message, code = core.server_pause_accept(self[1])
    if not ok then return nil, message, code end
  end
  ok, message, code = core.server_listen(self[1], url)
  if not ok then return nil, core.server_error(self[1]) or message, code end
  if not self._accepts then
    events.accept_later(self)
    self._accepts = true
  end
  return true
end

--- Open a listener. It accepts once handlers can run: from the next tick, poll or loop on.
function Server:listen(url)
  local ok, message, code = listen(self, url)
  if ok then M.anchor(self) end
  return ok, message, code
end

function Server:unlisten(url)
  local ok, message, code = core.server_unlisten(self[1], url)
  if not ok then return nil, message, code end
  return true
end

--- Begin to end: connections get 1001; loop() returns when the last one has ended.
function Server:stop()
  core.server_stop(self[1])
  if not M.live[self] then self.stopped = true end
end

--- Tell clients that speak rooms.v1 that it will go: they spread their coming back over so
-- many seconds, or with reconnect = false do not come back. Connections stay open.
function Server:away(seconds, reconnect)
  check.object(self, Server, "server", 2)
  local _, message, code = core.server_away(self[1],
    check.milliseconds(seconds, "the time", 2), reconnect == false and 0 or 1)
  if code then return nil, message, code end
  return true
end

--- Read certificates and keys again.
function Server:reload()
  local ok, message, code = core.server_reload(self[1])
  if not ok then return nil, core.server_error(self[1]) or message, code end
  return true
end

--- Set an option of the server, or of what all servers and clients share.
function Server:set(name, value)
  local ok, message, code = M.set(core.server_set, core.server_error, self[1], name, value)
  if ok or code ~= core.EOPTION then return ok, message, code end
  local runtime = core.runtime()
  local second, why, second_code = M.set(core.runtime_set, core.runtime_error, runtime,
    name, value)
  if second or second_code ~= core.EOPTION then return second, why, second_code end
  return nil, message, code
end

--- An option as text.
function Server:get(name)
  return core.server_get_string(self[1], name)
end

-- Names and values of a room's options, as texts, but those of its handle.
local function room_options(options, of_handle)
  if type(options) ~= "table" then error("the options of rooms are a table", 3) end
  local list = {}
  for name, value in pairs(options) do
    if type(name) ~= "string" then error("an option's name is a string", 3) end
    if not (of_handle and of_handle[name]) then
      list[#list + 1] = name == "history" and "history_messages" or name
      list[#list + 1] = text_of(value)
    end
  end
  if of_handle and options.codec ~= nil then check.codec(options.codec, 3) end
  return list
end

-- The object for a room's handle, or one with a codec, as the options say.
local function room_of(self, handle, options)
  local room = Room.new(handle, self)
  if options.codec == nil and not options.binary then return room end
  return room:with(options.codec, options.binary)
end

-- An unknown option raises, as elsewhere.
local function refused(self, message, code)
  if code == core.EOPTION then error(core.server_error(self[1]), 3) end
  return nil, core.server_error(self[1]) or message, code
end

local of_handle = { codec = true, binary = true }

--- The room of that name, made if there is none. options: of rooms, history being short for
-- history_messages; one that is there with others is a failure (EEXIST); codec and binary are
-- those of what is returned.
function Server:room(name, options)
  options = options == nil and {} or options
  local list = room_options(options, of_handle)
  local handle, message, code = core.make_room(self[1], name, list)
  if not handle then return refused(self, message, code) end
  return room_of(self, handle, options)
end

--- The room of that name, with codec and binary if told; nil if there is none.
function Server:find_room(name, options)
  options = options == nil and {} or options
  room_options(options, of_handle)
  check.names(options, of_handle, "find_room", 2)
  local handle, message, code = core.server_find_room(self[1], name)
  if not handle then return nil, message, code end
  return room_of(self, handle, options)
end

--- The rooms of this moment, as a list; with a pattern those whose names match.
function Server:rooms(pattern)
  check.object(self, Server, "server", 2)
  if pattern ~= nil then check.text(pattern, 2) end
  local rooms, message, code = core.server_rooms(self[1], pattern)
  if not rooms then return nil, message, code end
  for i, handle in ipairs(rooms) do rooms[i] = Room.new(handle, self) end
  return rooms
end

--- Options of rooms that are made from now on, by a pattern of their names.
function Server:room_defaults(pattern, options)
  check.object(self, Server, "server", 2)
  check.text(pattern, 2)
  local list = room_options(options)
  for i = 1, #list, 2 do
    local ok, message, code = core.server_room_defaults(self[1], pattern, list[i], list[i + 1])
    if code then return refused(self, message, code) end
  end
  return true
end

local function changed(idle, result, message, code)
  if result ~= nil then return true end
  if idle[code] then return false, message, code end
  return nil, message, code
end

local subscribes_idly = { [core.EEXIST] = true, [core.ECLOSED] = true }
local unsubscribes_idly = { [core.ENOENT] = true }

--- Have a connection hear all rooms whose names match: false when it does, or is not open.
function Server:subscribe(conn, pattern)
  check.conn(conn, 2)
  return changed(subscribes_idly, core.server_subscribe(self[1], conn[1], pattern))
end

--- Take it back: false when there was no such subscription.
function Server:unsubscribe(conn, pattern)
  check.conn(conn, 2)
  return changed(unsubscribes_idly, core.server_unsubscribe(self[1], conn[1], pattern))
end

--- Send text, or a message, to all connections of an identity. @return to how many
function Server:send_to(identity, data)
  return Room.send_to_by(core.server_send_to, self, identity, data)
end

--- Begin to close all connections of an identity. @return how many
function Server:disconnect(identity, code, reason)
  return core.server_disconnect(self[1], identity, code == nil and 1000 or code, reason)
end

--- The open connections of an identity, as a list.
function Server:conns_of(identity)
  check.text(identity, 2)
  return core.identity_conns(self[1], identity)
end

-- A handler of the server's, registered with the first one.
local function on(kind, name)
  return function(self, handler)
    check.handler(handler, name, 2)
    self._hooks[kind] = handler
    if self._registered[kind] then return true end
    local ok, message, code = core.hook_server(self[1], self._hooks, kind)
    self._registered[kind] = ok
    return ok, message, code
  end
end

Server.on_http = on(events.HTTP, "on_http")
--- Call fn(state, why) when the broker of the cluster comes or goes.
Server.on_cluster = on(events.CLUSTER, "on_cluster")

local cluster_states = {
  [core.CLUSTER_NONE] = "none", [core.CLUSTER_AWAY] = "away", [core.CLUSTER_UP] = "up",
}

events.functions[events.CLUSTER] = function(hooks, state, why)
  local handler = hooks[events.CLUSTER]
  if not handler then return end
  events.heralds(hooks.owner)
  handler(cluster_states[state], why)
  events.heralds(nil)
end

--- How the cluster is: "none", "away" or "up", and why the broker is away.
function Server:cluster()
  local state, why, code = core.cluster(self[1])
  if code then return nil, why, code end
  return cluster_states[state], why
end

--- The servers of the cluster: tells fn(nodes, message, code), or without one waits for them.
function Server:nodes(fn)
  check.object(self, Server, "server", 2)
  local record = events.record(fn, self, "nodes", 2)
  local ok, message, code = core.nodes(self[1], record)
  if ok then return events.wait_for(record) end
  events.forget(record)
  return nil, message, code
end

--- Run handlers until this server has stopped.
function Server:loop()
  check.object(self, Server, "server", 2)
  if not M.live[self] and not self.stopped then return nil, "not listening", core.EINVAL end
  while not self.stopped do
    local ran, message, code = events.wait()
    if not ran then return nil, message, code end
  end
  return true
end

for _, name in ipairs { "tick", "tick_until", "poll", "after", "every", "call" } do
  local of_module = events[name]
  Server[name] = function(self, ...)
    check.object(self, Server, "server", 2)
    return of_module(...)
  end
end

--- The URLs of the listeners, with their real ports.
function getters.urls(self)
  local urls = {}
  while true do
    local url = core.server_url(self[1], #urls)
    if not url then return urls end
    urls[#urls + 1] = url
  end
end

function getters.url(self) return core.server_url(self[1], 0) or nil end
function getters.conn_count(self) return core.server_conn_count(self[1]) end

--- The connections of this moment, as a list.
function getters.conns(self)
  local conns = {}
  for conn in pairs(Conn.open) do
    if conn._hooks.owner == self then conns[#conns + 1] = conn end
  end
  return conns
end

Server.__index = function(self, key)
  local method = Server[key]
  if method ~= nil then return method end
  local getter = getters[key]
  if getter then return getter(self) end
end

events.functions[events.STOPPED] = function(hooks)
  local server = hooks.owner
  server.stopped = true
  server._heralds = {}
  M.unanchor(server)
  if server.on_stopped then server:on_stopped() end
end

local own = {
  listen = true, endpoints = true, on_http = true, on_cluster = true, on_error = true,
  on_stopped = true,
}

-- Before any of them listens, since a mistake raises.
local function urls_of(options)
  local urls = options.listen
  if type(urls) ~= "table" then urls = { urls } end
  for _, url in ipairs(urls) do
    if type(url) ~= "string" then error("listen is a URL or a list of them", 4) end
  end
  return urls
end

local function set_up(self, options)
  local urls = urls_of(options)
  local ok, message, code = set_all(options, own,
    function(name, value) return self:set(name, value) end)
  if ok then
    ok, message, code = core.hook_server(self[1], self._hooks, events.STOPPED)
  end
  for _, name in ipairs { "on_http", "on_cluster" } do
    if ok and options[name] then ok, message, code = self[name](self, options[name]) end
  end
  for pattern, endpoint in pairs(ok and options.endpoints or {}) do
    if ok then ok, message, code = self:endpoint(pattern, endpoint) end
  end
  for _, url in ipairs(urls) do
    if ok then ok, message, code = listen(self, url) end
  end
  if not ok then return nil, message, code end
  if urls[1] then M.anchor(self) end
  return self
end

--- wsock.server { listen = url or urls, endpoints, on_http, on_cluster, on_error,
-- on_stopped, options }
function M.new(options)
  if type(options) ~= "table" then error("wsock.server takes a table", 2) end
  for _, name in ipairs { "on_http", "on_cluster", "on_error", "on_stopped" } do
    check.handler(options[name], name, 2)
  end
  local runtime, queue, code = core.runtime()
  if not runtime then return nil, queue, code end
  local handle, message
  handle, message, code = core.server_new(runtime)
  if not handle then return nil, message, code end
  local ok
  ok, message, code = core.server_set_queue(handle, queue)
  if not ok then return nil, message, code end
  local self = setmetatable({
    handle, on_error = options.on_error, on_stopped = options.on_stopped, stopped = false,
    _endpoints = {}, _hooks = {}, _heralds = {}, _registered = {},
  }, Server)
  self._hooks.owner = self
  ok, message, code = set_up(self, options)
  if not ok then
    core.server_stop(handle)
    return nil, message, code
  end
  return self
end

return M
