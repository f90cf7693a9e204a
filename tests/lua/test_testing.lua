-- SPDX-License-Identifier: MIT
-- wsock.testing: a network in memory, whose clock the test moves.

local wsock = require "wsock"
local testing = require "wsock.testing"
local t = require "support"
local equal, raises, fails = t.equal, t.raises, t.fails

-- A test in a world of its own.
local function test(name, fn, options)
  t.test(name, function()
    local world = assert(testing.new(options))
    local ok, err = xpcall(function() fn(world) end, debug.traceback)
    world:close()
    if not ok then error(err, 0) end
  end)
end

local function echo(options)
  options = options or {}
  options.on_message = options.on_message or function(conn, data, binary)
    if binary then conn:send_binary(data) else conn:send(data) end
  end
  local server = assert(wsock.server { listen = "ws://echo" })
  assert(server:endpoint("/", options))
  return server
end

t.test("a pair talks in memory", function()
  local server, peer, world = assert(testing.pair {
    on_message = function(conn, data) conn:send(data:upper()) end,
  })
  equal(server.url, "ws://server:80")
  equal(server.conn_count, 1)
  peer:send("hello")
  local data, binary = assert(peer:receive())
  equal(data, "HELLO")
  equal(binary, false)
  local none, why = peer:receive()
  equal(none, nil)
  equal(why, "nothing came")
  equal(peer:close(4000, "bye").code, 4000)
  none, why = peer:receive()
  equal(none, nil)
  equal(why, "nothing came: closed by this end with 4000")
  equal(world:now(), 0)
  raises("there is a world already", testing.new)
  world:close()
  raises("this world was closed", world.run, world)
  equal(world:close(), true)
  -- What is made later is on the real network again.
  local real = t.serve {}
  assert(real.url:find("^ws://127%.0%.0%.1:"), real.url)
  raises("were made before", testing.new)
end)

t.test("a pair that cannot be made leaves nothing", function()
  raises("on_message is a number", testing.pair, { on_message = 1 })
  assert(testing.pair())
  -- So does what ends everything.
  wsock.close(0)
  assert(testing.pair())
end)

test("binary stays binary, cut at every byte", function(world)
  echo()
  world:set_chunk(1)
  local peer = assert(world:connect("ws://echo/"))
  peer:send_binary("\0\1\255")
  local data, binary = peer:receive()
  equal(data, "\0\1\255")
  equal(binary, true)
end)

test("timers, ticks and sleeps go by the world's clock", function(world)
  local seen = {}
  wsock.after(3600, function() seen[#seen + 1] = wsock.now() end)
  wsock.call(coroutine.wrap(function()
    wsock.sleep(60)
    seen[#seen + 1] = wsock.now()
  end))
  world:run()
  assert(world:next() <= 60)
  world:advance(3599)
  equal(table.concat(seen, " "), tostring(60 / 1))
  world:advance(1)
  equal(seen[2], 3600)
  equal(world:next(), nil)
  -- A game's steps: exact, however often.
  local moment = wsock.now()
  for _ = 1, 300 do
    moment = moment + 1 / 30
    local ran, late = assert(wsock.tick_until(moment))
    equal(ran, 0)
    assert(late >= 0 and late < 0.001, late)
  end
  assert(wsock.now() - 3610 < 0.002, wsock.now())
  equal(wsock.tick(500), 0)
  fails(wsock.EDEADLK, wsock.wait())
  equal(wsock.wait(1.5), 0)
end)

test("a peer that fell silent is given up at the moment", function(world)
  local ends = {}
  echo { ping_interval = "20s", pong_timeout = "5s", on_close = function(_, _, _, info)
    ends[#ends + 1] = { world:now(), info.cause }
  end }
  local peer = assert(world:connect("ws://echo/"))
  world:advance(60)
  equal(#ends, 0)
  world:hold(peer)
  world:advance(24.999)
  equal(#ends, 0)
  world:advance(0.001)
  equal(ends[1][1], 85)
  equal(ends[1][2], wsock.CAUSE_PONG_TIMEOUT)
end)

local function come_back(seed)
  local world = assert(testing.new { seed = seed })
  local seen = {}
  local client = assert(wsock.client { url = "ws://echo/", on_state = function(_, state, info)
    seen[#seen + 1] = ("%.3f %s %.3f"):format(world:now(), state, info.delay)
  end })
  assert(client:start())
  world:advance(10)
  echo()
  world:advance(120)
  assert(world:cut(client.conn))
  world:advance(60)
  client:stop()
  world:run()
  world:close()
  return table.concat(seen, "\n")
end

t.test("each run is like the last", function()
  local first = come_back(1)
  equal(come_back(1), first)
  assert(come_back(2) ~= first)
  assert(first:find("190.000 closed", 1, true), first)
  local _, opened = first:gsub("open", "")
  equal(opened, 2)
end)

test("faults are the test's", function(world)
  echo()
  local peer = assert(world:connect("ws://echo/"))
  world:set_delay(0.1)
  peer:send("late")
  world:advance(0.199)
  equal(peer:receive(), nil)
  world:advance(0.001)
  equal(peer:receive(), "late")
  world:set_delay(0)
  world:hold()
  peer:send("held")
  equal(peer:receive(), nil)
  world:release()
  equal(peer:receive(), "held")
  world:hold(peer.conn)
  peer:send("held again")
  equal(peer:receive(), nil)
  world:release(peer)
  equal(peer:receive(), "held again")
  world:cut(peer)
  world:run()
  equal(peer.closed.cause, wsock.CAUSE_LOST)
  fails(wsock.ECLOSED, world:cut(peer))
  local refused = assert(world:connect("ws://nobody/"))
  equal(refused.closed.cause, wsock.CAUSE_CONNECT)
end)

test("a full backlog drains", function(world)
  local seen = {}
  world:set_room(1000)
  echo {
    max_backlog_bytes = "64KiB",
    on_message = function(conn)
      while conn:send(("x"):rep(10000)) do end
      seen[#seen + 1] = "full"
    end,
    on_drain = function() seen[#seen + 1] = "drained" end,
  }
  local peer = assert(world:connect("ws://echo/"))
  peer:send("go")
  world:run()
  equal(table.concat(seen, " "), "full drained")
  assert(#peer.messages > 6)
end)

test("clients come from where the test says", function(world)
  local seen = {}
  echo { on_request = function(req) seen[#seen + 1] = req.remote_address end }
  world:connect("ws://echo/")
  world:set_source("203.0.113.9")
  world:connect("ws://echo/")
  equal(seen[1], "127.0.0.1:49152")
  equal(seen[2], "203.0.113.9:49153")
  fails(wsock.EINVAL, world:set_source("somewhere"))
end)

test("what fails in a handler comes out of run", function(world)
  echo { on_message = function(_, data) error(data, 0) end }
  local peer = assert(world:connect("ws://echo/"))
  peer:send("too bad")
  raises("too bad", world.run, world)
  world:run()
  equal(peer.closed.code, 1011)
end)

test("or goes where it always does", function(world)
  echo { on_message = function() error "too bad" end }
  local peer = assert(world:connect("ws://echo/"))
  peer:send("x")
  local text = t.quietly(function() world:run() end)
  assert(text:find("too bad", 1, true), text)
  equal(peer.closed.code, 1011)
end, { raises = false })

test("answers without end are noticed", function(world)
  echo()
  assert(wsock.connect { url = "ws://echo/", on_open = function(conn) conn:send("x") end,
    on_message = function(conn, data) conn:send(data) end })
  fails(wsock.ETIMEDOUT, world:run())
end)

test("handlers do not have time pass", function(world)
  local code
  echo { on_open = function() code = select(3, world:run()) end }
  world:connect("ws://echo/")
  equal(code, wsock.EBUSY)
end)

test("mistakes raise", function(world)
  raises("world expected", world.run)
  raises("world expected", world.run, {})
  raises("seconds are", world.advance, world, -1)
  raises("seconds are", world.advance, world, "x")
  raises("connection expected", world.cut, world, {})
  raises("connection expected", world.hold, world, 1)
  raises("number", world.set_chunk, world, {})
  fails(wsock.ERANGE, world:set_room(0))
  local peer = assert(world:connect("ws://nobody/"))
  raises("peer expected", peer.receive, {})
  raises("peer expected", peer.send, {}, "x")
end)

test("docs and annotations have every name", function(world)
  local peer = assert(world:connect("ws://nobody/"))
  local root = assert(os.getenv("WSOCK_ROOT"))
  for _, path in ipairs { "/docs/lua.md", "/bindings/lua/types/wsock/testing.lua" } do
    local file = assert(io.open(root .. path))
    local text = file:read("*a")
    file:close()
    local count = 0
    for what, object in pairs { World = getmetatable(world), Peer = getmetatable(peer),
      testing = testing } do
      for name, value in pairs(object) do
        if type(value) == "function" and not name:find("^_") then
          count = count + 1
          assert(text:find("[:.`]" .. name .. "%("),
            path .. " lacks " .. what .. ":" .. name)
        end
      end
    end
    assert(count > 15, count)
  end
end)

t.done()
