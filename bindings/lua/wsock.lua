-- SPDX-License-Identifier: MIT
-- WebSocket servers and clients: docs/lua.md tells every name.
--
-- All handlers of one Lua state run inside tick, tick_until, poll and loop, never elsewhere;
-- what does the work between is threads of the library, which know nothing of Lua.

local core = require "wsock.core"
local check = require "wsock.check"
local events = require "wsock.events"
require "wsock.request"
local Conn = require "wsock.conn"
local Message = require "wsock.message"
local Server = require "wsock.server"
local Client = require "wsock.client"
local jwt = require "wsock.jwt"

events.start()

local wsock = {
  server = Server.new,
  client = Client.new,
  message = Message.new,
  jwt_key = jwt.key,
  now = core.now,
  tick = events.tick,
  tick_until = events.tick_until,
  poll = events.poll,
  wait = events.wait,
  after = events.after,
  every = events.every,
  call = events.call,
  sleep = events.sleep,
  resume = events.resume,
  secret_equal = function(given, secret) return core.secret_equal(given, secret) == 1 end,
  strerror = core.strerror,
  error_name = core.error_name,
  cause_text = core.cause_text,
  version = core.version(),
}

-- Numbers of errors, causes of ends, and the like, by their names without WSOCK_.
for name, value in pairs(core) do
  if type(value) == "number" and name:match("^[A-Z]") then wsock[name] = value end
end

--- Set an option that all servers and clients share, such as workers or log_level.
function wsock.set(name, value)
  local runtime, message, code = core.runtime()
  if not runtime then return nil, message, code end
  return Server.set(core.runtime_set, core.runtime_error, runtime, name, value)
end

--- Make a client and open one connection with it.
function wsock.connect(options)
  local client, message, code = Client.new(options)
  if not client then return nil, message, code end
  return client:connect()
end

local looping

local function has_ended()
  return Server.live_count == 0 and Conn.open_count == 0
end

--- Run handlers until stop(), or as long as there are servers, clients or connections.
function wsock.loop()
  looping = true
  while looping and not has_ended() do
    local ran, message, code = events.wait()
    if not ran then return nil, message, code end
  end
  return true
end

--- Have loop() return.
function wsock.stop()
  looping = false
  local _, queue = core.runtime()
  if queue then core.queue_wake(queue) end
end

--- For loops of the host's own: what becomes readable when handlers wait, after arm()
-- returned true.
function wsock.fd()
  local _, queue = core.runtime()
  return core.queue_fd(queue)
end

--- @return true when it is time to wait for fd(); false when handlers wait already
function wsock.arm()
  local _, queue = core.runtime()
  return core.queue_arm(queue) == 0
end

local function stop_all()
  for object in pairs(Server.live) do object:stop() end
  for conn in pairs(Conn.open) do conn:close(1001) end
end

--- End all servers, clients and connections, give them that many seconds (1 unless told) to
-- close, and end the threads. What is made later begins anew.
function wsock.close(seconds)
  seconds = seconds == nil and 1 or seconds
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= 1e9) then
    error("seconds out of range", 2)
  end
  local ran, message, code = events.poll()
  if not ran then return nil, message, code end
  stop_all()
  local deadline = core.now() + seconds
  while not has_ended() and core.now() < deadline do
    events.wait(deadline - core.now())
  end
  core.end_runtime()
  -- Of these nobody heard the end in time.
  for conn in pairs(Conn.open) do Conn.forget(conn) end
  events.leave_parked()
  Server.live, Server.live_count = {}, 0
  return true
end

-- wsock.on_error = function(err, conn, traceback) is for what has no on_error of its own;
-- wsock.on_log = function(level, subject, text) hears what the library logs.
local handlers = { on_error = true, on_log = true }

return setmetatable(wsock, {
  __newindex = function(self, key, value)
    if not handlers[key] then return rawset(self, key, value) end
    check.handler(value, key, 2)
    events[key] = value
  end,
  __index = function(_, key)
    if handlers[key] then return events[key] end
  end,
})
