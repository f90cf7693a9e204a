-- SPDX-License-Identifier: MIT
-- Tests of handlers: servers and clients meet in memory, by a clock that the test moves.
--
--   local server, peer, world = require("wsock.testing").pair {
--     on_message = function(conn, data) conn:send(data) end,
--   }
--   peer:send("hello")
--   assert(peer:receive() == "hello")
--   world:close()

local core = require "wsock.core"
local check = require "wsock.check"
local events = require "wsock.events"
local wsock = require "wsock"

local M = {}
local World, Peer = {}, {}
World.__index, Peer.__index = World, Peer

local ROUNDS_MAX = 100000 -- of handlers, without the clock's moving
local current             -- the world that is there

local function milliseconds(seconds, level)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= 1e9) then
    error("seconds are a number from 0 to 1e9", level + 1)
  end
  return math.floor(seconds * 1000 + 0.5)
end

-- wsock.close() ends it, too.
local function forget()
  if current then wsock.on_error = current._on_error end
  current = nil
end

local function world_of(self, level)
  check.object(self, World, "world", level + 1)
  if self ~= current or not core.is_for_tests() then
    error("this world was closed", level + 1)
  end
  return self._runtime
end

--- A world: what this Lua state makes from now on meets in memory, until world:close().
-- options: seed, what is left to chance follows from it (1); raises, whether run() and
-- advance() raise what fails in handlers that have no on_error (true).
function M.new(options)
  options = options or {}
  if core.is_for_tests() then error("there is a world already: close() it first", 2) end
  forget()
  local ok, message, code = core.test_runtime(options.seed or 1)
  if not ok then
    if code == core.EBUSY then
      error("servers and clients were made before: wsock.close() first", 2)
    end
    return nil, message, code
  end
  local runtime
  runtime, message, code = core.runtime()
  if not runtime then
    core.end_runtime()
    return nil, message, code
  end
  current = setmetatable({ _runtime = runtime, _on_error = wsock.on_error }, World)
  if options.raises ~= false and not wsock.on_error then
    local self = current
    wsock.on_error = function(err, conn)
      self._failure = self._failure or { err }
      if conn then conn:close(1011) end
    end
  end
  return current
end

-- ---- time ----

local function raise(self)
  local failure = self._failure
  self._failure = nil
  if failure then error(failure[1], 0) end
end

-- Handlers, and the time up to a moment.
local function pass(self, until_ms)
  local before, rounds = nil, 0
  repeat
    local ran, message, code = events.poll()
    if not ran then return nil, message, code end
    raise(self)
    local now_ms = core.testing_now_ms(self._runtime)
    rounds = now_ms == before and rounds + 1 or 0
    if rounds == ROUNDS_MAX then
      return nil, "there is more to do after " .. rounds .. " rounds", core.ETIMEDOUT
    end
    before = now_ms
    local more
    more, message, code = core.testing_wait(self._runtime, math.max(until_ms - now_ms, 0))
    if not more then return nil, message, code end
  until more == 0
  return true
end

--- Do what there is to do now, until nothing is left. The clock stands still.
function World:run()
  return pass(self, core.testing_now_ms(world_of(self, 2)))
end

--- The same, and then whatever happens in the next so many seconds, each at its time.
function World:advance(seconds)
  local now_ms = core.testing_now_ms(world_of(self, 2))
  return pass(self, now_ms + milliseconds(seconds, 2))
end

--- Seconds by its clock; wsock.now() is the same.
function World:now()
  return core.testing_now_ms(world_of(self, 2)) / 1000
end

--- In how many seconds something may happen by itself; nil: never.
function World:next()
  local ms = core.testing_next_ms(world_of(self, 2))
  return ms and ms / 1000
end

-- ---- the network ----

local function done(result, message, code)
  if result == nil then return nil, message, code end
  return true
end

local function hold(self, conn, held)
  local runtime = world_of(self, 3)
  if conn == nil then return done(core.testing_hold(runtime, held)) end
  conn = getmetatable(conn) == Peer and conn.conn or conn
  check.conn(conn, 3)
  return done(core.testing_conn_hold(conn[1], held))
end

--- Nothing of what this end (a connection or a peer) sends arrives; without one: nothing
-- at all does, and nobody is told.
function World:hold(conn) return hold(self, conn, 1) end

--- What was held arrives, in order; without a connection all of it.
function World:release(conn) return hold(self, conn, 0) end

--- Break a connection: both ends find it reset, and what is under way is lost.
function World:cut(conn)
  world_of(self, 2)
  conn = getmetatable(conn) == Peer and conn.conn or conn
  check.conn(conn, 2)
  return done(core.testing_conn_cut(conn[1]))
end

--- How long bytes, and attempts to connect, are under way from now on, in seconds.
function World:set_delay(seconds)
  return done(core.testing_set_delay(world_of(self, 2), milliseconds(seconds, 2)))
end

--- How many bytes one send or receive takes at most: 1 is every possible cut; 0 any.
function World:set_chunk(bytes)
  return done(core.testing_set_chunk(world_of(self, 2), bytes))
end

--- How many bytes are under way or unread at most before a sender waits, at first 65,536.
function World:set_room(bytes)
  return done(core.testing_set_room(world_of(self, 2), bytes))
end

--- Where who connects from now on comes from, at first "127.0.0.1".
function World:set_source(address)
  return done(core.testing_set_source(world_of(self, 2), address))
end

-- ---- peers ----

--- A client's connection, made, that keeps what it hears. options as wsock.client's.
function World:connect(url, options)
  world_of(self, 2)
  local peer = setmetatable({ world = self, messages = {} }, Peer)
  local own = {}
  for name, value in pairs(options or {}) do own[name] = value end
  own.url = url
  own.on_message = function(_, data, binary)
    peer.messages[#peer.messages + 1] = { data, binary }
  end
  own.on_close = function(_, _, _, info) peer.closed = info end
  local conn, message, code = wsock.connect(own)
  if not conn then return nil, message, code end
  peer.conn = conn
  local ok
  ok, message, code = self:run()
  if not ok then return nil, message, code end
  return peer
end

--- As the connection's; it arrives with the next run().
function Peer:send(data)
  check.object(self, Peer, "peer", 2)
  return self.conn:send(data)
end

function Peer:send_binary(data)
  check.object(self, Peer, "peer", 2)
  return self.conn:send_binary(data)
end

--- The next message: one that has come, or that comes without time's passing.
-- @return data and whether it is binary; nil and a text when none comes
function Peer:receive()
  check.object(self, Peer, "peer", 2)
  if #self.messages == 0 then
    local ok, message = self.world:run()
    if not ok then return nil, message end
  end
  local first = table.remove(self.messages, 1)
  if first then return first[1], first[2] end
  return nil, "nothing came" .. (self.closed and ": " .. self.closed.detail or "")
end

--- Close it, and run. @return the info of its end; nil while the other end is silent
function Peer:close(code, reason)
  check.object(self, Peer, "peer", 2)
  self.conn:close(code, reason)
  local ok, message = self.world:run()
  if not ok then return nil, message end
  return self.closed
end

-- ---- both together ----

--- A server with one endpoint "/", of these handlers and options, and a peer of it.
-- @return server, peer, world
function M.pair(handlers, options)
  local world, message, code = M.new(options)
  if not world then return nil, message, code end
  local server, peer
  local ok, err = pcall(function()
    server, message, code = wsock.server {
      listen = "ws://server", endpoints = { ["/"] = handlers or {} },
    }
    if server then peer, message, code = world:connect("ws://server/") end
  end)
  if peer then return server, peer, world end
  world:close()
  if not ok then error(err, 0) end
  return nil, message, code
end

--- End it all: what is made later is on the real network again. No handler runs any more.
function World:close()
  check.object(self, World, "world", 2)
  if self ~= current then return true end
  local ok, message, code = wsock.close(0)
  if not ok then return nil, message, code end
  forget()
  return true
end

return M
