-- SPDX-License-Identifier: MIT
-- Mistakes: in calls, in handlers, and with what has ended.

local wsock = require "wsock"
local core = require "wsock.core"
local t = require "support"
local unpack = table.unpack or unpack
local equal, await, test, raises, fails = t.equal, t.await, t.test, t.raises, t.fails

test("what fails for the world's sake answers nil, a text and a code", function()
  local _, url = t.serve {}
  local server, message, code = wsock.server { listen = url:gsub("/$", "") }
  fails(wsock.EADDRINUSE, server, message, code)
  assert(message:find("127.0.0.1", 1, true), message)
  fails(wsock.EURL, wsock.server { listen = "http://x" })
  fails(wsock.EURL, wsock.client { url = "nonsense" })
  fails(wsock.EINVAL, wsock.client {})
  fails(wsock.EINVAL, wsock.client { url = url, headers = { ["b a d"] = "x" } })
  fails(wsock.ERANGE, wsock.server { max_message_bytes = -5 })
  fails(wsock.EBUSY, wsock.set("workers", 3))
  fails(wsock.EOPTION, wsock.set("no_such_option", 3))
  equal(wsock.error_name(wsock.EADDRINUSE), "WSOCK_EADDRINUSE")
  equal(wsock.strerror(wsock.EAGAIN):find("backlog") ~= nil, true)
end)

test("misuse raises", function()
  local server, url = t.serve {}
  local conn = t.connect(url)
  raises("unknown option \"lisen\"", wsock.server, { lisen = "ws://x" })
  raises("takes a table", wsock.server, "ws://x")
  raises("takes a table", wsock.client)
  raises("unknown option", wsock.client, { url = url, on_massage = print })
  raises("on_message is a string", server.endpoint, server, "/", { on_message = "x" })
  raises("on_request is a table", server.endpoint, server, "/", { on_request = {} })
  raises("unknown option", server.endpoint, server, "/", { on_foo = print })
  raises("codec", server.endpoint, server, "/", { codec = {} })
  raises("table of handlers", server.endpoint, server, "/")
  raises("connection expected", conn.send, nil, "x")
  raises("connection expected", conn.send, {}, "x")
  raises("connection expected", conn.send, { io.stdout }, "x")
  raises("connection expected", conn.send, { 1 }, "x")
  raises("connection expected", conn.send, server, "x")
  raises("string expected", conn.send, conn)
  raises("string expected", conn.send, conn, 12)
  raises("string expected", conn.send, conn, {})
  raises("out of range", conn.close, conn, 1e300)
  raises("out of range", conn.close, conn, 0 / 0)
  raises("number expected", conn.close, conn, "x")
  raises("NUL", conn.close, conn, 1000, "a\0b")
  fails(wsock.ERANGE, conn:close(1))
  local room = assert(server:room("r"))
  raises("connection expected", room.join, room, nil)
  raises("connection expected", room.join, room, {})
  raises("connection expected", room.join, room, room)
  raises("connection expected", room.broadcast, room, "x", 5)
  raises("table expected", room.broadcast, nil, "x")
  raises("wsock.room expected", room.broadcast, conn, "x")
  raises("string expected", room.broadcast, room)
  raises("timers take a function", wsock.after, 1, "x")
  raises("out of range", wsock.after, -1, print)
  raises("out of range", wsock.after, 0 / 0, print)
  raises("number expected", wsock.after, nil, print)
  raises("at least 0.001", wsock.every, 0, print)
  raises("inside handlers", wsock.sleep, 1)
  raises("milliseconds", wsock.tick)
  raises("no such moment", wsock.tick_until, 1 / 0)
  raises("call takes", wsock.call, 1)
end)

test("no argument whatever makes a function of the core crash", function()
  wsock.on_error = function() end -- of nonsense that was posted
  local server, url = t.serve {}
  local conn = t.connect(url)
  local closed = t.connect(url)
  closed:reset()
  await("the end", function() return closed.data.closed end)
  local values = { false, true, 0, -1, 2 ^ 53, -1e300, 0 / 0, "", "x", "a\0b", {}, print, io.stdout,
    coroutine.create(function() end), server[1], conn[1], closed[1], assert(server:room("r"))[1],
    closed, setmetatable({}, { __index = function() return 1 end }) }
  local skip = { set_functions = true, end_runtime = true, dispatch = true, tick_until = true,
    runtime_stop = true, queue_close = true, server_stop = true }
  local calls, errors = 0, 0
  local random = 1
  local function pick()
    random = (random * 16807) % 2147483647
    local i = random % (#values + 1)
    return values[i]
  end
  for name, fn in pairs(core) do
    if type(fn) == "function" and not skip[name] then
      for round = 1, 150 do
        local arity = round % 5
        local ok = pcall(fn, unpack({ pick(), pick(), pick(), pick() }, 1, arity))
        calls, errors = calls + 1, errors + (ok and 0 or 1)
      end
    end
  end
  equal(select("#", core.take()), 0, "without an event nothing is taken")
  assert(calls > 15000 and errors > calls / 2, calls .. " " .. errors)
  wsock.poll()
end)

test("errors of handlers go to on_error, and the host goes on", function()
  local caught = {}
  local server, url = t.serve({
    on_request = function(req) if req.query.bad then error("bad request") end end,
    on_open = function(conn) if conn.request.query.shut then error({ "a table" }) end end,
    on_message = function(conn, data)
      if data == "bad" then error("bad message") end
      conn:send(data)
    end,
    on_close = function() error("bad close") end,
  }, {
    on_error = function(err, conn, traceback)
      caught[#caught + 1] = { err, conn, traceback }
      if conn then conn:close(4011) end
    end,
  })
  local good = t.connect(url)
  local refused = t.connect(url .. "?bad=1")
  equal(refused.data.info.http_status, 500)
  local bad = t.connect(url)
  bad:send("bad")
  await("the bad one's end", function() return bad.data.closed end)
  equal(bad.data.closed, 4011)
  local shut = t.connect(url .. "?shut=1")
  await("the end", function() return shut.data.closed end)
  good:send("still here")
  await("an answer", function() return good.data[1] end)
  equal(good.data[1], "still here")
  await("all errors", function() return #caught == 5 end)
  assert(tostring(caught[1][1]):find("bad request", 1, true))
  equal(caught[1][2], nil)
  assert(caught[2][1]:find("bad message", 1, true))
  assert(caught[2][3]:find("test_errors.lua", 1, true), caught[2][3])
  equal(server.stopped, false)
  local tables = 0
  for _, one in ipairs(caught) do tables = tables + (type(one[1]) == "table" and 1 or 0) end
  equal(tables, 1)
end)

test("without on_error a traceback is logged, and the connection closed with 1011", function()
  local _, url = t.serve { on_message = function() local x = nil; return x.y end }
  local conn = t.connect(url)
  local complaint = t.quietly(function()
    conn:send("x")
    await("the end", function() return conn.data.closed end)
  end)
  equal(conn.data.closed, 1011)
  assert(complaint:find("traceback", 1, true), complaint)
end)

test("an on_error that fails is reported, and the default done", function()
  wsock.on_error = function() error("worse") end
  local _, url = t.serve { on_message = function() error("bad") end }
  local conn = t.connect(url)
  local complaint = t.quietly(function()
    conn:send("x")
    await("the end", function() return conn.data.closed end)
  end)
  equal(conn.data.closed, 1011)
  assert(complaint:find("worse", 1, true) and complaint:find("bad", 1, true), complaint)
end)

test("errors of timers and calls go to on_error", function()
  local caught = {}
  wsock.on_error = function(err, conn) caught[#caught + 1] = tostring(err) .. tostring(conn) end
  wsock.after(0, function() error("timer", 0) end)
  wsock.call(function(what) error(what, 0) end, "call")
  await("both", function() return #caught == 2 end)
  table.sort(caught)
  equal(table.concat(caught, " "), "callnil timernil")
end)

-- A list of the lines that on_log gets.
local function hear_log()
  local lines = {}
  wsock.on_log = function(level, subject, text)
    lines[#lines + 1] = level .. " " .. subject .. " " .. text
  end
  return lines
end

-- They are held, as one that is collected says that it stopped.
local reloaded = {}

local function log_something()
  local server = assert(wsock.server {})
  reloaded[#reloaded + 1] = server
  assert(wsock.set("log_level", wsock.LOG_INFO))
  assert(server:reload())
end

test("on_log hears what the library logs, to the very end", function()
  local lines = hear_log()
  assert(wsock.set("log_level", wsock.LOG_INFO))
  local server = t.serve {}
  wsock.poll()
  equal(lines[1], "info server listens on " .. server.url)
  wsock.close(0)
  equal(lines[#lines], "info server stopped")
end)

test("what is logged ends a wait, and counts as a handler", function()
  local lines = hear_log()
  log_something()
  local begun = wsock.now()
  assert(wsock.wait(20) >= 1)
  assert(wsock.now() - begun < 10)
  equal(#lines, 1)
  equal(lines[1], "info server reloaded")
  log_something()
  assert(wsock.tick(1) >= 1)
  equal(#lines, 2)
end)

test("without on_log it goes to stderr", function()
  local text = t.quietly(function()
    log_something()
    wsock.poll()
  end)
  equal(text, "wsock: info: server: reloaded\n")
end)

test("an on_log may wait and fail like any handler", function()
  local errors, slept = {}, nil
  wsock.on_error = function(err, conn) errors[#errors + 1] = { err, conn } end
  wsock.on_log = function(level) slept = wsock.sleep(0.001) error(level .. " was logged", 0) end
  log_something()
  await("the error", function() return errors[1] end)
  equal(slept, true)
  equal(errors[1][1], "info was logged")
  equal(errors[1][2], nil)
end)

test("handlers cannot dispatch, and are told so", function()
  local answers
  local _, url = t.serve {
    on_open = function() answers = { wsock.poll() } end,
  }
  t.connect(url)
  await("the answers", function() return answers end)
  fails(wsock.EBUSY, answers[1], answers[2], answers[3])
end)

test("what has ended answers ECLOSED, and never crashes", function()
  local server, url = t.serve {}
  local conn = t.connect(url)
  local room = assert(server:room("r"))
  local client = assert(wsock.client { url = url })
  local timer = wsock.after(1000, print)
  local endpoint = assert(server:endpoint("/", {}))
  await("the server's", function() return #server.conns == 1 end)
  local peer = server.conns[1]
  equal(wsock.close(0), true)
  fails(wsock.ECLOSED, conn:send("x"))
  fails(wsock.ECLOSED, peer:send_binary("x"))
  fails(wsock.ECLOSED, conn:close())
  fails(wsock.ECLOSED, conn:ping())
  fails(wsock.ECLOSED, conn:pause())
  equal(room:join(peer), false)
  fails(wsock.ECLOSED, room:broadcast("x"))
  equal(#room:members(), 0)
  fails(wsock.ECLOSED, server:room("other"))
  fails(wsock.ECLOSED, server:listen("ws://127.0.0.1:0"))
  fails(wsock.ECLOSED, server:endpoint("/y", {}))
  fails(wsock.ECLOSED, client:connect())
  fails(wsock.ECLOSED, client:start())
  timer:cancel()
  server:stop()
  equal(conn.is_open, false)
  assert(conn.id and conn.remote_address and conn.buffered >= 0 and peer.params)
  equal(endpoint.pattern, "/")
  -- A new server begins anew.
  local _, again = t.serve { on_message = function(c, data) c:send(data) end }
  local fresh = t.connect(again)
  fresh:send("hello")
  await("an echo", function() return fresh.data[1] == "hello" end)
end)

t.done()
