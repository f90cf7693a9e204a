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
