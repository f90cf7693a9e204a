-- SPDX-License-Identifier: MIT
-- Ticks, caps, timers and calls.

local wsock = require "wsock"
local t = require "support"
local equal, await, test = t.equal, t.await, t.test

test("tick never returns early, whatever happens", function()
  local _, url = t.serve { on_message = function(conn, data) conn:send(data) end }
  local conn
  conn = t.connect(url, { on_message = function(c, data) c:send(data) end })
  conn:send("round and round")
  local total = 0
  for _, ms in ipairs { 0, 1, 3, 10.5, 33 } do
    for _ = 1, 5 do
      local before = wsock.now()
      local events, late = assert(wsock.tick(ms))
      assert(wsock.now() - before >= ms / 1000, "too short")
      assert(late >= 0, late)
      total = total + events
    end
  end
  assert(total > 0, "nothing ran")
end)

test("what wakes the queue does not shorten a tick", function()
  wsock.stop()
  local before = wsock.now()
  equal(wsock.tick(30), 0)
  assert(wsock.now() - before >= 0.03)
end)

test("tick_until keeps a rate", function()
  wsock.call(function() end)
  local moment, begun = wsock.now(), wsock.now()
  for _ = 1, 20 do
    moment = moment + 1 / 200
    local _, late = assert(wsock.tick_until(moment))
    assert(wsock.now() >= moment and late >= 0)
  end
  assert(wsock.now() - begun >= 0.1)
  -- Who is too late still has what waits run, once.
  local ran
  wsock.call(function() ran = true end)
  local events, late = wsock.tick_until(wsock.now() - 1)
  equal(events, 1)
  equal(ran, true)
  assert(late >= 1)
end)

test("a cap bounds the events of a step, not its time", function()
  local count = 0
  for _ = 1, 100 do wsock.call(function() count = count + 1 end) end
  local before = wsock.now()
  local events = wsock.tick(20, 30)
  equal(events, 30)
  equal(count, 30)
  assert(wsock.now() - before >= 0.02)
  equal(wsock.tick(0, 0), 0)
  equal(wsock.poll(10), 10)
  equal(wsock.poll(), 60)
  equal(count, 100)
  equal(wsock.poll(), 0)
end)

test("timers come once, or at a rate, until they are cancelled", function()
  local after, ticks, never = 0, 0, 0
  local every
  wsock.after(0.01, function() after = after + 1 end)
  every = wsock.every(0.02, function(timer, missed)
    equal(timer, every)
    assert(missed >= 0)
    ticks = ticks + 1
    if ticks == 3 then timer:cancel() end
  end)
  local cancelled = wsock.after(0.03, function() never = never + 1 end)
  cancelled:cancel()
  cancelled:cancel()
  await("all", function() return ticks == 3 and after == 1 end)
  wsock.tick(60)
  equal(ticks, 3)
  equal(after, 1)
  equal(never, 0)
end)

-- A connection at the server, and the client's end of it.
local function open_pair(handlers)
  local server, url = t.serve(handlers or {})
  local conn = t.connect(url)
  await("the server's", function() return server.conns[1] end)
  return server.conns[1], conn
end

test("timers of a connection get it, and end with it", function()
  local conn, peer = open_pair()
  local log, ticks = {}, 0
  assert(conn:after(0.01, function(...)
    local c, timer, missed = ...
    equal(c, conn)
    equal(timer.conn, conn)
    equal(missed, 0)
    equal(select("#", ...), 3)
    log[#log + 1] = "after"
  end))
  local never = assert(conn:after(0.02, function() log[#log + 1] = "never" end))
  never:cancel()
  local every = assert(conn:every(0.005, function(c, timer)
    assert(c == conn and timer and c.is_open)
    ticks = ticks + 1
  end))
  assert(conn:after(3600, function() log[#log + 1] = "never" end))
  equal(conn:call(function(...)
    log[#log + 1] = select("#", ...) .. " " .. tostring((...) == conn)
  end, nil, 2, nil), true)
  await("all", function() return ticks >= 3 and #log == 2 end)
  table.sort(log)
  equal(table.concat(log, ", "), "4 true, after")
  peer:close()
  await("the end", function() return not conn.is_open and peer.data.closed end)
  local before = ticks
  wsock.tick(30)
  equal(ticks, before)
  t.fails(wsock.ECLOSED, conn:after(0, print))
  t.fails(wsock.ECLOSED, conn:every(1, print))
  every:cancel()
  await("calls are refused", function()
    local ok, _, code = conn:call(function() end)
    return ok == nil and code == wsock.ECLOSED
  end)
  t.raises("connection expected", conn.after, nil, 1, print)
  t.raises("connection expected", conn.every, {}, 1, print)
  t.raises("connection expected", conn.call, print)
  t.raises("takes a function", conn.call, conn, 5)
  t.raises("take a function", conn.after, conn, 5)
  t.raises("at least 0.001", conn.every, conn, 0, print)
end)

test("timers and calls of a connection take turns with its handlers", function()
  local log, missed, released = {}, 0, false
  local conn, peer = open_pair {
    on_message = function(_, data)
      log[#log + 1] = "+" .. data
      repeat wsock.sleep(0.001) until released
      log[#log + 1] = "-" .. data
    end,
  }
  peer:send("a")
  await("it begins", function() return log[1] end)
  local timer
  timer = assert(conn:every(0.005, function(_, _, n)
    missed = missed + n
    log[#log + 1] = "tick"
    timer:cancel()
    wsock.sleep(0.02) -- and messages wait for it in their turn
    log[#log + 1] = "tock"
  end))
  assert(conn:call(function(_, what) log[#log + 1] = what end, "call"))
  local cancelled = assert(conn:after(0, function() log[#log + 1] = "never" end))
  wsock.tick(40)
  cancelled:cancel()
  equal(table.concat(log, " "), "+a")
  released = true
  await("the tick", function() return log[#log] == "tick" end)
  peer:send("b")
  await("all", function() return log[#log] == "-b" end)
  local text = table.concat(log, " ")
  assert(text == "+a -a call tick tock +b -b" or text == "+a -a tick tock call +b -b", text)
  assert(missed >= 3, missed)
end)

test("what a connection's timers and calls raise comes with it", function()
  local conn, peer = open_pair()
  local caught = {}
  wsock.on_error = function(err, c) caught[#caught + 1] = { err, c } end
  assert(conn:after(0, function() error("timer", 0) end))
  await("one", function() return caught[1] end)
  assert(conn:call(function() wsock.sleep(0.001) error("call", 0) end))
  await("two", function() return caught[2] end)
  equal(caught[1][1], "timer")
  equal(caught[1][2], conn)
  equal(caught[2][1], "call")
  equal(caught[2][2], conn)
  wsock.on_error = nil
  t.quietly(function()
    conn:call(function() error("by default it is closed") end)
    await("the end", function() return peer.data.closed end)
  end)
  equal(peer.data.closed, 1011)
end)

test("ticks that the host was too busy for are counted", function()
  local missed = 0
  local timer = wsock.every(0.01, function(_, n) missed = missed + n end)
  local busy = wsock.now() + 0.1
  while wsock.now() < busy do end
  await("them", function() return missed >= 5 end)
  timer:cancel()
end)

test("calls run in order, with their arguments, and never at once", function()
  local seen = {}
  wsock.call(function(...)
    seen[#seen + 1] = select("#", ...)
    wsock.call(function() seen[#seen + 1] = "inner" end)
  end, nil, 2, nil)
  wsock.call(function() seen[#seen + 1] = "second" end)
  equal(#seen, 0)
  await("all", function() return #seen == 3 end)
  equal(seen[1], 3)
  equal(seen[2], "second")
  equal(seen[3], "inner")
end)

test("loop ends with the last server, and by stop", function()
  local server = t.serve {}
  wsock.after(0.02, function() server:stop() end)
  equal(wsock.loop(), true)
  equal(server.stopped, true)
  server = t.serve {}
  wsock.after(0.02, wsock.stop)
  equal(wsock.loop(), true)
  equal(server.stopped, false)
end)

test("a descriptor tells when handlers wait", function()
  local ran
  equal(wsock.arm(), true)
  wsock.call(function() ran = true end)
  equal(type(wsock.fd()), "number")
  equal(wsock.arm(), false)
  equal(wsock.poll(), 1)
  equal(ran, true)
end)

t.done()
