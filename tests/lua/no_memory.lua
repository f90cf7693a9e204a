-- SPDX-License-Identifier: MIT
-- For the host of failing memory: every call, and every event, with each of its allocations
-- failing in turn. A call raises a memory error, answers nil and a text, or works; what an
-- event was about does not hang; and nothing is left.

if rawget(_G, "jit") then jit.off() end -- compiling is not ours

local wsock = require "wsock"
local t = require "support"
local Conn = require "wsock.conn"
local Server = require "wsock.server"

local FOR_EVER = 1000000000
local handler = function() end
local steps, failures = 0, 0

local function sound(what, ok, first, second)
  if ok then
    if not first and type(second) ~= "string" then
      error(what .. " answered " .. tostring(first) .. ", " .. tostring(second))
    end
  elseif first ~= "not enough memory" and not tostring(first):find("not enough memory", 1, true)
    and not tostring(first):find("no memory", 1, true)
    and not tostring(first):find(wsock.strerror(wsock.ENOMEM), 1, true) then
    error(what .. " raised " .. tostring(first))
  end
  if not ok or not first then failures = failures + 1 end
end

-- act(subject) with one allocation behind the other failing, until none is left that could:
-- each alone, and with all that follow.
local function walk(what, prepare, act, undo)
  for _, of in ipairs { "lua", "library" } do
    for _, count in ipairs { 1, FOR_EVER } do
      local n = 0
      repeat
        local subject = prepare and prepare()
        fail_at(n, count, of)
        local ok, first, second = pcall(act, subject)
        local failed = stop_failing()
        local now = ("%s, %d of %s, %d"):format(what, n, of, count)
        sound(now, ok, first, second)
        if undo then undo(subject, ok and first or nil, now) end
        n, steps = n + 1, steps + 1
      until not failed
      assert(n < 2000, what)
    end
  end
end

local function await_none(live, what)
  t.await("all connections end: " .. what, function() return Conn.open_count == 0 end)
  t.await("all servers end: " .. what, function() return Server.live_count == live end)
end

local server

local function await_count(what, count)
  t.await(what, function() return #server.conns == count end)
end

-- ---- calls ----

walk("server", nil, function()
  return wsock.server { listen = "ws://127.0.0.1:0", stop_timeout = "1s", on_error = handler,
    endpoints = { ["/{id}"] = { on_request = handler, on_request_cancelled = handler,
      on_message = handler, on_pong = handler, codec = { encode = tostring, decode = tostring } } } }
end, function(_, server, what)
  if server then server:stop() end
  collectgarbage()
  await_none(0, what)
end)

local url
server = assert(wsock.server { listen = "ws://127.0.0.1:0", on_http = handler })
for _, path in ipairs { "/", "/crowd/{id}" } do assert(server:endpoint(path, {})) end
assert(server:endpoint("/{id}", {
  on_request = function(req) return { identity = req.params.id } end,
  on_message = function(conn, data) conn:send(data) end,
  on_pong = handler, on_drain = handler, on_close = handler,
}))
url = server.url .. "/x"

walk("client", nil, function()
  return wsock.client { url = url, headers = { ["X-A"] = "b" }, subprotocols = { "a" },
    on_message = handler, on_state = handler }
end)
walk("connect", function() return assert(wsock.client { url = url }) end,
  function(client) return client:connect() end,
  function(_, conn, what)
    if conn then conn:reset() end
    await_none(1, what)
  end)
walk("start", function() return assert(wsock.client { url = url }) end,
  function(client) return client:start() end,
  function(client, _, what)
    client:stop()
    await_none(1, what)
  end)

local conn = t.connect(url)
t.await("the server's", function() return #server.conns == 1 end)
local peer = server.conns[1]
local room = assert(server:room("r"))
local message = assert(wsock.message("x"))
local function cancel(_, timer)
  if timer then timer:cancel() end
end
local function leave() room:leave(peer) end
for what, act in pairs {
  send = function() return conn:send("x") end,
  send_message = function() return conn:send(message) end,
  send_binary = function() return conn:send_binary("x") end,
  ping = function() return conn:ping("x") end,
  pause = function() return conn:pause() end,
  resume = function() return conn:resume() end,
  message = function() return wsock.message(("x"):rep(1000), { uncompressed = true }) end,
  room = function() return server:room("another") end,
  find_room = function() return server:find_room("r") end,
  broadcast = function() return room:broadcast("x") end,
  broadcast_message = function() return room:broadcast(message, peer) end,
  broadcast_if = function() return room:broadcast_if(function() return true end, "x") end,
  with = function() return room:with { encode = tostring, decode = tostring } end,
  members = function() return room:members() end,
  facts = function() return conn.remote_address, conn.extensions, peer.request, peer.params end,
  here = function() return conn.local_address, peer.local_address end,
  request = function()
    local req = peer.request
    return req.headers, req.query, req.cookies, req.path, req.subprotocols
  end,
  server_facts = function() return server.urls, server.conns end,
  set = function() return server:set("max_message_bytes", 70000) end,
  get = function() return server:get("max_message_bytes") end,
  runtime_set = function() return wsock.set("log_level", wsock.LOG_WARN) end,
  call = function() return wsock.call(handler, 1, 2) end,
  conn_call = function() return conn:call(handler, 1, 2) end,
  unlisten = function() return server:unlisten("ws://127.0.0.1:1") end,
  resume_coroutine = function() return wsock.resume(coroutine.create(handler)) end,
} do
  walk(what, nil, act)
  repeat until wsock.poll() == 0
end
-- A build without OpenSSL or jansson has no keys.
local key, _, no_key = wsock.jwt_key { key = t.secret }
if key then
  walk("jwt_key", nil, function() return wsock.jwt_key { key = t.secret } end)
  walk("verify", nil, function() return key:verify(t.token, { leeway = 1 }) end)
else
  t.equal(no_key, wsock.ENOTSUP)
end
walk("after", nil, function() return wsock.after(1000, handler) end, cancel)
walk("every", nil, function() return wsock.every(1000, handler) end, cancel)
walk("conn.after", nil, function() return conn:after(1000, handler) end, cancel)
walk("join", nil, function() return room:join(peer) end, leave)
walk("leave", function() room:join(peer) end, function() return room:leave(peer) end, leave)
conn:reset() -- it may be paused, and would not hear of a close
await_none(1, "calls")

-- ---- questions, which a build without jansson has not ----

local serves_rooms = t.serves_rooms()
if serves_rooms then
  local question, of_rooms
  local hooks = { on_call = function(ask) question = ask return ask:defer() end,
    on_hello = handler, on_join = handler, on_publish = handler }
  walk("serve_rooms", nil, function()
    return wsock.server { listen = "ws://127.0.0.1:0", endpoints = { ["/"] = { rooms = hooks } } }
  end, function(_, made, what)
    if made then made:stop() end
    collectgarbage()
    await_none(1, what)
  end)
  of_rooms = assert(wsock.server { listen = "ws://127.0.0.1:0",
    endpoints = { ["/"] = { rooms = hooks } } })
  local asks = t.speak(of_rooms.url, '{"type":"hello","v":1}')
  local function ask()
    question = nil
    asks:send('{"type":"call","name":"x","args":[1],"id":1}')
    t.await("the question", function() return question end)
    return question
  end
  local function answer(own) own:accept() end
  walk("replace_hooks", nil, function()
    return of_rooms:endpoint("/", { rooms = hooks })
  end)
  walk("accept", ask, function(own) return own:accept() end, answer)
  walk("refuse", ask, function(own) return own:refuse("no", "why") end, answer)
  walk("reply", ask, function(own) return own:reply("[1]") end, answer)
  walk("question", ask, function(own)
    return own.data, own.name, own.room, own.event, own.key, own.token, own.json
  end, answer)
  walk("away", nil, function() return of_rooms:away(1) end)
  asks:reset()
  of_rooms:stop()
  await_none(1, "questions")
end

-- ---- rooms ----

local kept = assert(server:room("kept.1", { history = 4, max_publish_rate = 1000000 }))
local coded = kept:with { encode = tostring, decode = tonumber }
local start = kept:position()
for i = 1, 6 do kept:publish(tostring(i), { key = "k" }) end
conn = t.connect(url)
await_count("a server's", 1)
peer = server.conns[1]
local function part() kept:leave(peer) end
local function join() kept:join(peer, { info = "8" }) end

-- One that joined, and could not be told how, is a member: its handler has failed.
walk("join_with", nil, function()
  return kept:join(peer, { info = "red", since = start })
end, function(_, joined, what)
  if joined then t.equal(kept:count(), 1, what) end
  part()
end)
walk("coded_join", nil, function() return coded:join(peer, { info = 8, since = start }) end, part)
join()
for what, act in pairs {
  make_room = function() return server:room("kept.2", { history = 4, persistent = true }) end,
  coded_room = function()
    return server:room("kept.3", { codec = { encode = tostring, decode = tonumber } })
  end,
  room_defaults = function()
    return server:room_defaults("made.*", { max_members = 8, history_time = "2s" })
  end,
  position = function() return kept:position() end,
  history = function() return kept:history() end,
  coded_history = function() return coded:history(2, 6) end,
  people = function() return kept:people() end,
  coded_people = function() return coded:people() end,
  info = function() return kept:info(peer) end,
  coded_info = function() return coded:info(peer) end,
  publish = function() return kept:publish("9", { key = "k", except = "nobody" }) end,
  publish_as = function()
    return kept:publish("9", { event = "e", from = "f", json = true })
  end,
  publish_to_most = function() return kept:publish("9", { except = { peer } }) end,
  publish_to_some = function()
    return kept:publish("9", { only = function() return true end, except = peer })
  end,
  coded_publish = function() return coded:publish(9) end,
  coded_broadcast = function() return coded:broadcast(9) end,
  send_to = function() return kept:send_to("x", "hello") end,
  coded_send_to = function() return coded:send_to("x", 5) end,
  send_message_to = function() return kept:send_to("x", message) end,
  server_send_to = function() return server:send_to("x", "hello") end,
  conns_of = function() return server:conns_of("x") end,
  may_publish = function() return kept:may_publish(peer) end,
  dropped = function() return kept:dropped(peer) end,
  get_of_room = function() return kept:get("history_messages") end,
  set_identity = function() return peer:set_identity("another") end,
  identity = function() return peer.identity, "none" end,
  kick_nobody = function() return kept:kick("nobody", "why") end,
} do
  walk(what, nil, act)
  repeat until wsock.poll() == 0
end
t.equal(kept:count(), 1, "nothing but the kick changes who is there")
part()
walk("kick", join, function() return kept:kick("x", "why") end, part)
walk("kick_conn", join, function() return kept:kick(peer, "why") end, part)
walk("subscribe", nil, function() return server:subscribe(peer, "kept.*") end,
  function() server:unsubscribe(peer, "kept.*") end)
walk("unsubscribe", function() server:subscribe(peer, "kept.*") end,
  function() return server:unsubscribe(peer, "kept.*") end,
  function() server:unsubscribe(peer, "kept.*") end)
walk("close_room", function()
  local made = assert(server:room("closed", { history = 2 }))
  made:join(peer)
  made:on_leave(handler)
  return made
end, function(made) return made:close("over") end, function(made)
  made:close()
  repeat until wsock.poll() == 0
end)
walk("handlers", function() return assert(server:room("heard")) end, function(made)
  local ok, text, code = made:on_join(handler)
  if ok then ok, text, code = made:on_leave(handler) end
  if ok then ok, text, code = made:with({ encode = tostring, decode = tonumber })
    :on_message(handler) end
  return ok, text, code
end, function(made)
  made:close()
  repeat until wsock.poll() == 0
end)
conn:reset()
await_none(1, "rooms")
walk("identity_of_one", function()
  conn = t.connect(server.url .. "/")
  await_count("a server's", 1)
  return server.conns[1]
end, function(own) return own:set_identity("me") end, function(own, _, what)
  own:reset()
  await_none(1, what)
end)
walk("disconnect", function()
  conn = t.connect(url)
  await_count("a server's", 1)
end, function() return server:disconnect("x", 4000, "away") end, function(_, _, what)
  conn:reset()
  await_none(1, what)
end)

-- ---- clusters: what is answered later is told, with memory or without ----

local told
local node = assert(wsock.server { listen = "ws://127.0.0.1:0", cluster = "memory:none",
  on_cluster = handler })
t.await("the broker", function() return node:cluster() == "up" end)
local far, near = assert(node:room("far", { history = 4 })), assert(room)
local function tell() told = true end
local function prepare() told = false end
local function await_told(_, ok, what)
  if ok then t.await("it is told: " .. what, function() return told end) end
end
for what, act in pairs {
  nodes = function() return node:nodes(tell) end,
  people_everywhere = function() return far:people_everywhere(tell) end,
  on_done = function() return far:publish("x", { on_done = tell }) end,
  on_done_at_once = function() return near:publish("x", { on_done = tell }) end,
} do
  walk(what, prepare, act, await_told)
end
walk("rooms", nil, function() return server:rooms("*") end)
walk("cluster", nil, function() return node:cluster() end)
walk("on_cluster", nil, function() return node:on_cluster(handler) end)

-- A coroutine that waits goes on, whatever of the telling fails.
local function waits_in_each()
  local up = false
  local other = assert(wsock.server { listen = "ws://127.0.0.1:0", cluster = "memory:other",
    on_cluster = function(state) up = state == "up" end })
  t.await("the broker", function() return up end)
  for _, count in ipairs { 1, 3, 30 } do
    local n, failed = 0, true
    while failed do
      local ended = false
      local co = coroutine.create(function()
        local list, text = other:nodes()
        ended = list or text
      end)
      assert(coroutine.resume(co))
      assert(not ended)
      fail_at(n, count, "lua")
      pcall(wsock.wait, 0.05)
      failed = stop_failing()
      t.await("it goes on: " .. count .. ", " .. n, function()
        return ended or coroutine.status(co) == "dead"
      end)
      n, steps = n + 1, steps + 1
      assert(n < 3000)
    end
  end
  other:stop()
end

-- ---- events ----

-- A connection from its request to its end; a handler that fails closes it, by default.
local function live()
  return wsock.connect {
    url = url,
    on_open = function(c)
      c:send("x")
      c:ping("p")
      c:after(0.001, function(own) own:call(function() own:send("last") end) end)
    end,
    on_message = function(c, data) if data == "last" then c:close() end end,
    on_pong = handler,
    on_close = handler,
  }
end

-- The same with handlers that wait, and messages and the end waiting behind them.
local asleep = {}

local function sleep()
  asleep[coroutine.running()] = true
  wsock.sleep(0.001)
end

local function sleepy()
  return wsock.connect {
    url = url,
    on_open = function(c)
      sleep()
      c:send("x")
      c:send("last")
      c:ping("p")
    end,
    on_message = function(c, data)
      sleep()
      if data == "last" then c:close() end
    end,
    on_pong = sleep,
    on_close = sleep,
  }
end

local function all_awake()
  for co in pairs(asleep) do
    if coroutine.status(co) == "suspended" then return false end
    asleep[co] = nil
  end
  return true
end

local function until_ended()
  local deadline = wsock.now() + 0.05
  repeat wsock.wait(0.005) until Conn.open_count == 0 or wsock.now() > deadline
end

local function quietly(fn)
  local stderr = io.stderr
  io.stderr = { write = handler }
  fn()
  io.stderr = stderr
end

local function fail_in_each(what, connect, servers)
  for _, count in ipairs { 1, 3, 30 } do
    local n, failed = 0, true
    while failed do
      assert(connect())
      fail_at(n, count, "lua")
      pcall(until_ended)
      failed = stop_failing()
      local now = ("%s, %d, %d"):format(what, n, count)
      await_none(servers or 1, now)
      t.await("all go on: " .. now, all_awake)
      n, steps = n + 1, steps + 1
      assert(n < 3000)
    end
  end
end

-- A handler that waited fails when the end of its connection is all that still comes.
local function fail_before_end()
  local waiting, held
  walk("a failing handler", function()
    waiting = nil
    held = assert(wsock.connect { url = url, on_open = function()
      waiting = coroutine.running()
      coroutine.yield()
      error("no memory of it", 0)
    end })
    t.await("it waits", function() return waiting and #server.conns == 1 end)
    server.conns[1]:reset()
    t.await("the end waits behind it", function() return held._waiting end)
  end, function() return wsock.resume(waiting), "failed" end, function(_, _, what)
    await_none(1, what)
  end)
end

-- One whose rooms tell who comes, goes and speaks; it leaves them by its end.
local told = { 0, 0, 0 }
local crowd = assert(server:room("crowd", { history = 2 }))
local crowd_coded = crowd:with { encode = tostring, decode = tonumber }
local function count(kind) return function() told[kind] = told[kind] + 1 end end
crowd_coded:on_join(count(1))
crowd_coded:on_leave(count(2))
crowd_coded:on_message(count(3))
assert(server:endpoint("/crowd/{id}", {
  on_open = function(c) crowd_coded:join(c, { info = 7 }) end,
  on_message = function(c, data)
    if data == "last" then return c:close() end
    crowd_coded:broadcast(5)
  end,
}))

local function crowded()
  return wsock.connect {
    url = server.url .. "/crowd/x",
    on_open = function(c)
      c:send("x")
      c:send("last")
    end,
  }
end

-- One that asks all that can be asked, of hooks that answer, wait and change; it ends when the
-- last was answered, however. Where the hello is refused, it was ended.
local function hooked_of(of_rooms)
  return function()
    return wsock.connect {
      url = of_rooms.url,
      subprotocols = { "wsock.rooms.v1" },
      on_open = function(c)
        c:send('{"type":"hello","v":1,"token":"t"}')
        c:send('[{"type":"join","room":"r","info":1},{"type":"pub","room":"r","data":"d"},'
          .. '{"type":"direct","identity":"a","data":1},{"type":"call","name":"c","id":9}]')
      end,
      on_message = function(c, data) if data:find('"re":9', 1, true) then c:close() end end,
    }
  end
end

local function serve_hooks()
  return assert(wsock.server { listen = "ws://127.0.0.1:0", endpoints = { ["/"] = { rooms = {
    on_hello = function(ask) return { identity = ask.token, info = "1", expires_in = 60 } end,
    on_join = function(ask)
      sleep()
      return { info = ask.data }
    end,
    on_publish = function(ask) return { data = tostring(ask.data) } end,
    on_call = function(ask) return '"' .. ask.name .. '"' end,
  } } } })
end

quietly(function()
  waits_in_each()
  node:stop()
  await_none(1, "the cluster")
  if serves_rooms then
    local of_rooms = serve_hooks()
    fail_in_each("hooks", hooked_of(of_rooms), 2)
    of_rooms:stop()
    await_none(1, "hooks")
  end
  fail_before_end()
  fail_in_each("events", live)
  fail_in_each("rooms", crowded)
  for kind = 1, 3 do assert(told[kind] > 10, told[kind]) end
  fail_in_each("waiting", sleepy)
end)

server:stop()
await_none(0, "the last")
assert(steps > 600 and failures > 300, steps .. " " .. failures)
