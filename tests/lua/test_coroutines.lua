-- SPDX-License-Identifier: MIT
-- Handlers that yield.

local wsock = require "wsock"
local t = require "support"
local equal, await, test = t.equal, t.await, t.test

test("messages wait for a handler that waits, in order; other connections do not", function()
  local log, done = {}, {}
  local _, url = t.serve {
    on_message = function(conn, data)
      log[#log + 1] = "+" .. data
      while data:find("slow") and not done.b do wsock.sleep(0.005) end
      if data == "slow2" then wsock.sleep(0.03) end
      log[#log + 1] = "-" .. data
      done[data] = true
      conn:send(data)
    end,
    on_close = function() log[#log + 1] = "close" end,
  }
  local a, b = t.connect(url), t.connect(url)
  a:send("slow1")
  a:send("slow2")
  a:send("a3")
  a:close()
  b:send("b")
  await("all", function() return log[#log] == "close" end)
  local text = table.concat(log, " ")
  equal(text:gsub("[+-]b ?", ""), "+slow1 -slow1 +slow2 -slow2 +a3 -a3 close")
end)

test("on_open may wait, and messages come after it", function()
  local log = {}
  local _, url = t.serve {
    on_open = function() wsock.sleep(0.03) log[#log + 1] = "open" end,
    on_message = function(_, data) log[#log + 1] = data end,
  }
  local conn = t.connect(url)
  conn:send("first")
  await("both", function() return #log == 2 end)
  equal(table.concat(log, " "), "open first")
end)

test("on_request may wait before it answers", function()
  local _, url = t.serve {
    on_request = function(req)
      wsock.sleep(0.02)
      if req.query.no then return false, 404 end
      return { identity = "late" }
    end,
    on_open = function(conn) conn:send(conn.identity) end,
  }
  local conn = t.connect(url)
  await("a message", function() return conn.data[1] end)
  equal(conn.data[1], "late")
  equal(t.connect(url .. "?no=1").data.info.http_status, 404)
end)

test("errors behind a yield go to on_error too, and later messages still come", function()
  local caught, log = {}, {}
  wsock.on_error = function(err, conn, traceback)
    caught[#caught + 1] = { tostring(err), conn, traceback }
  end
  local _, url = t.serve {
    on_request = function(req)
      wsock.sleep(0.01)
      if req.query.bad then error("in request") end
    end,
    on_message = function(_, data)
      if data == "bad" then
        wsock.sleep(0.02)
        error("behind a yield")
      end
      wsock.sleep(0.001)
      log[#log + 1] = data
    end,
  }
  equal(t.connect(url .. "?bad=1").data.info.http_status, 500)
  local conn = t.connect(url)
  conn:send("bad")
  conn:send("good")
  conn:send("better")
  await("the rest", function() return #log == 2 end)
  equal(table.concat(log, " "), "good better")
  conn:send("best") -- it is read again
  await("a later one", function() return #log == 3 end)
  equal(#caught, 2)
  assert(caught[2][1]:find("behind a yield", 1, true))
  assert(caught[2][3]:find("test_coroutines.lua", 1, true), caught[2][3])
  assert(caught[2][2] and caught[2][2].is_open)
end)

test("drained waits for room to send", function()
  local total, chunks, waits = 0, 200, 0
  local _, url = t.serve({
    on_message = function(conn)
      for i = 1, chunks + 1 do
        while not conn:send(i > chunks and "done" or ("x"):rep(32768)) do
          waits = waits + 1
          if not conn:drained() then return end
        end
      end
    end,
  }, { max_backlog_bytes = "64KiB" })
  local conn = t.connect(url, { on_message = function(c, data)
    total = total + #data
    if data == "done" then c.data.done = true end
  end })
  conn:send("go")
  await("all of it", function() return conn.data.done end)
  equal(total, chunks * 32768 + 4)
  assert(waits > 0)
end)

test("a connection that ends wakes who waits to send", function()
  local result
  local server, url = t.serve({
    on_message = function(conn)
      repeat
        repeat until not conn:send(("x"):rep(32768))
      until not conn:drained()
      result = conn:drained()
    end,
  }, { max_backlog_bytes = "64KiB" })
  local conn = t.connect(url)
  conn:pause()
  conn:send("go")
  wsock.after(0.3, function() server.conns[1]:reset() end)
  await("an answer", function() return result ~= nil end)
  equal(result, false)
end)

test("coroutines of the script's own may dispatch, while handlers yield", function()
  local woken
  local _, url = t.serve {
    on_message = function(conn, data) wsock.sleep(0.01) conn:send(data) end,
  }
  local co = coroutine.wrap(function()
    local conn = t.connect(url)
    conn:send("x")
    await("an echo", function() coroutine.yield() wsock.poll() return conn.data[1] end)
    woken = conn.data[1]
  end)
  local look = wsock.every(0.005, function() end)
  while not woken do
    co()
    wsock.tick(2)
  end
  look:cancel()
  equal(woken, "x")
end)

test("a coroutine that died by other hands holds nothing up", function()
  local waiting, log = nil, {}
  local _, url = t.serve {
    on_message = function(_, data)
      log[#log + 1] = data
      if data ~= "wait" then return end
      waiting = coroutine.running()
      coroutine.yield()
      error("killed", 0)
    end,
    on_close = function() log[#log + 1] = "close" end,
  }
  local ways = {
    function(co) equal(select(2, coroutine.resume(co)), "killed") end,
    coroutine.close, -- of Lua 5.4
  }
  for _, kill in pairs(ways) do
    local conn = t.connect(url)
    waiting, log = nil, {}
    conn:send("wait")
    await("it waits", function() return waiting end)
    kill(waiting)
    -- The next event finds out.
    conn:send("behind")
    await("it", function() return log[2] end)
    conn:send("wait")
    await("it waits", function() return #log == 3 end)
    -- When events wait, and so no more are read, wsock.resume() does.
    conn:send("behind")
    wsock.tick(20)
    equal(#log, 3)
    kill(waiting)
    local caught
    wsock.on_error = function(err, c) caught = { err, c } end
    local ok, err = wsock.resume(waiting)
    equal(ok, false)
    equal(caught[1], err)
    equal(caught[2] and caught[2].is_open, true)
    conn:close()
    await("the end", function() return log[#log] == "close" end)
    equal(table.concat(log, " "), "wait behind wait behind close")
  end
end)

test("a handler that resumes itself is told, and answers all the same", function()
  local caught, resumed
  wsock.on_error = function(err, conn) caught = { tostring(err), conn } end
  local _, url = t.serve {
    on_request = function()
      resumed = { wsock.resume(coroutine.running()) }
      return { identity = "me" }
    end,
    on_open = function(conn) conn:send(conn.identity) end,
  }
  local conn = t.connect(url)
  await("a message", function() return conn.data[1] end)
  equal(conn.data[1], "me")
  equal(resumed[1], false)
  assert(caught[1]:find("cannot resume", 1, true), caught[1])
end)

test("a handler of on_drain waits for the handler before it", function()
  local log, released, peer = {}, false, nil
  local _, url = t.serve({
    on_message = function(conn)
      peer = conn
      repeat until not conn:send(("x"):rep(32768))
      log[#log + 1] = conn:drained() and "drained"
      repeat wsock.sleep(0.001) until released
      log[#log + 1] = "done"
    end,
    on_drain = function() log[#log + 1] = "on_drain" end,
  }, { max_backlog_bytes = "64KiB" })
  local conn = t.connect(url)
  conn:pause()
  conn:send("go")
  await("it is called", function() return peer end)
  conn:resume()
  await("room", function() return log[1] end)
  wsock.tick(10)
  equal(table.concat(log, " "), "drained")
  released = true
  await("all", function() return #log == 3 end)
  equal(table.concat(log, " "), "drained done on_drain")
end)

test("nobody dispatches while handlers run, from wherever", function()
  local server, url, answers
  local function tries()
    local function code_of(_, _, code) return code end
    answers = { code_of(server:tick(0)), code_of(wsock.tick_until(0)), code_of(wsock.poll()),
      code_of(wsock.wait(0)), code_of(server:loop()), code_of(wsock.loop()),
      code_of(wsock.close()) }
    -- And neither does a coroutine of the handler's.
    answers[#answers + 1] = coroutine.wrap(function() return code_of(wsock.poll()) end)()
  end
  server, url = t.serve { on_message = tries }
  local conn = t.connect(url)
  conn:send("x")
  await("answers", function() return answers end)
  for i = 1, 8 do equal(answers[i], wsock.EBUSY, i) end
  equal(conn.is_open, true)
end)

test("timers and calls may yield, too", function()
  local log = {}
  wsock.after(0, function() wsock.sleep(0.01) log[#log + 1] = "timer" end)
  wsock.call(function() wsock.sleep(0.03) log[#log + 1] = "call" end)
  await("both", function() return #log == 2 end)
end)

t.done()
