-- SPDX-License-Identifier: MIT
-- What is kept, what is collected, and how a script may end.

local wsock = require "wsock"
local t = require "support"
local equal, await, test = t.equal, t.await, t.test
local Conn = require "wsock.conn"

local function collect()
  -- Compiled code of LuaJIT's refers to objects that it has met.
  if rawget(_G, "jit") then jit.flush() end
  for _ = 1, 3 do collectgarbage() end
end

-- Workers may hold the last reference for a moment, so this is awaited.
local function await_collected(gone)
  local look = wsock.every(0.005, function() end)
  await("all are collected", function()
    collect()
    return next(gone) == nil
  end)
  look:cancel()
end

local function resident_kib()
  local file = assert(io.open("/proc/self/statm"))
  local _, pages = file:read("*n", "*n")
  file:close()
  return pages * 4
end

test("connections that come and go leave nothing behind", function()
  local total = tonumber(os.getenv("WSOCK_TEST_CONNECTIONS") or 10000)
  local opened, closed = 0, 0
  local _, url = t.serve {
    on_open = function(conn) conn.data.self = conn; opened = opened + 1 end,
    on_message = function(conn, data) conn:send(data) end,
    on_close = function() closed = closed + 1 end,
  }
  local client = assert(wsock.client {
    url = url,
    on_open = function(conn) conn:send("x") end,
    on_message = function(conn) conn:close() end,
  })
  local kib, resident
  for batch = 1, total / 100 do
    for _ = 1, 100 do assert(client:connect()) end
    await("a batch", function() return closed == batch * 100 and Conn.open_count == 0 end)
    if batch == total / 500 then
      wsock.poll()
      collect()
      kib, resident = collectgarbage("count"), resident_kib()
    end
  end
  equal(opened, total)
  wsock.poll()
  collect()
  wsock.poll() -- and what the library let go while the collector ran
  local more = collectgarbage("count") - kib
  assert(more < 40, ("Lua's heap has grown by %.1f KiB"):format(more))
  -- A sanitizer keeps what was freed for a while.
  if not (os.getenv("LD_PRELOAD") or ""):find("asan") then
    local grown = resident_kib() - resident
    assert(grown < 8192, ("the process has grown by %d KiB"):format(grown))
  end
end)

-- A function of its own, so that no register of the test's keeps what it made.
local function make_cycles(gone)
  local server, client, conn
  server = assert(wsock.server { listen = "ws://127.0.0.1:0" })
  assert(server:endpoint("/", { on_open = function() return server, client, conn end }))
  client = assert(wsock.client { url = server.url, on_open = function() return client, conn end })
  conn = assert(client:connect())
  conn.data.cycle = { conn, client, server }
  await("open", function() return conn.is_open end)
  local started
  started = assert(wsock.client { url = server.url, on_state = function() return started end })
  started:start()
  await("started", function() return started.conn end)
  started:stop()
  conn:close()
  await("closed", function() return started.state == "closed" and not started.conn end)
  server:stop()
  server:loop()
  gone[server], gone[client], gone[started], gone[conn] = 1, 1, 1, 1
  -- Never used at all:
  local idle
  idle = assert(wsock.client { url = "ws://127.0.0.1:1", on_open = function() return idle end })
  local deaf
  deaf = assert(wsock.server { on_http = function() return deaf end })
  gone[idle], gone[deaf] = 1, 1
end

test("servers and clients whose handlers refer to them are collected", function()
  local gone = setmetatable({}, { __mode = "k" })
  for _ = 1, 3 do make_cycles(gone) end
  await("all ends", function() return Conn.open_count == 0 end)
  await_collected(gone)
end)

test("what runs is kept without the script's help", function()
  local messages = 0
  do
    local _, url = t.serve { on_message = function() messages = messages + 1 end }
    assert(wsock.connect { url = url, on_open = function(conn)
      wsock.every(0.002, function() conn:send("x") end)
    end })
  end
  await("messages, whatever is collected", function()
    collect()
    return messages >= 20
  end)
end)

test("timers that are over, and calls that ran, are collected", function()
  local gone = setmetatable({}, { __mode = "k" })
  local count = 0
  local function make()
    local state = {}
    gone[state] = 1
    local timer = wsock.after(0.001, function() state.ran = true; count = count + 1 end)
    state.timer = timer
    wsock.call(function() state.called = true end)
    local repeated = wsock.every(0.001, function() return state end)
    repeated:cancel()
  end
  for _ = 1, 50 do make() end
  await("all", function() return count == 50 end)
  await_collected(gone)
end)

test("a connection that failed to open is collected", function()
  local gone = setmetatable({}, { __mode = "k" })
  local ended = 0
  local client = assert(wsock.client { url = "ws://127.0.0.1:1", on_close = function(conn)
    ended = ended + 1
    gone[conn] = 1
  end })
  for _ = 1, 20 do assert(client:connect()) end
  await("all", function() return ended == 20 end)
  await_collected(gone)
end)

-- Each in a process of its own: how it ends, with everything live.
local function status_of(script)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write([[
    local wsock = require "wsock"
    local server = assert(wsock.server { listen = "ws://127.0.0.1:0" })
    server:endpoint("/", { on_message = function(conn, data) handle(conn, data) end })
    local conn = assert(wsock.connect { url = server.url, on_open = function(c) c:send("x") end })
  ]], script)
  file:close()
  local interpreter = arg[-1]
  local a, _, b = os.execute(("timeout 20 '%s' '%s' 2>&1"):format(interpreter, name))
  os.remove(name)
  return b or a
end

test("a script may end in any way", function()
  local loop = " wsock.loop()"
  equal(status_of "wsock.tick(20)", 0)
  equal(status_of("function handle() os.exit(0) end" .. loop), 0)
  equal(status_of("function handle() os.exit(0, true) end" .. loop), 0)
  equal(status_of("wsock.on_error = function() os.exit(0, true) end"
    .. " function handle() error('x') end" .. loop), 0)
  equal(status_of("function handle() coroutine.yield() end wsock.tick(30)"), 0)
  equal(status_of("function handle() wsock.close() end wsock.tick(30)"), 0)
  equal(status_of("function handle() server = nil collectgarbage() end wsock.tick(30)"), 0)
  assert(status_of("function handle() end wsock.tick(10) error('on purpose', 0)") ~= 0)
end)

t.done()
