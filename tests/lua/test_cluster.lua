-- SPDX-License-Identifier: MIT
-- Servers that share their rooms, over the broker within the process or the one that
-- WSOCK_TEST_BROKER names: what is asked and answered later is told to functions, and
-- coroutines wait for it.

local wsock = require "wsock"
local t = require "support"
local equal, fails, raises, await, test = t.equal, t.fails, t.raises, t.await, t.test

local count = 0

-- So many servers of one cluster, that is up, with connections at "/NAME", who are NAME.
local function nodes(number, options)
  local list = {}
  count = count + 1
  for i = 1, number do
    local set = {
      listen = "ws://127.0.0.1:0", cluster_name = "n" .. i,
      cluster = os.getenv("WSOCK_TEST_BROKER") or "memory:lua" .. count,
      cluster_prefix = "lua" .. count,
      on_cluster = function() end, -- wakes who awaits the broker
      endpoints = { ["/{name}"] = {
        on_request = function(req) return { identity = req.params.name } end,
      } },
    }
    for name, value in pairs(options or {}) do set[name] = value end
    list[i] = assert(wsock.server(set))
  end
  for _, server in ipairs(list) do
    await("the broker", function() return server:cluster() == "up" end)
  end
  return list[1], list[2]
end

local function member(server, name)
  local client = t.connect(server.url .. "/" .. name)
  await("the server's", function() return server:conns_of(name)[1] end)
  return server:conns_of(name)[1], client
end

-- Run fn in a coroutine, and wait until it has returned.
local function run(fn)
  local done, failure
  wsock.call(function()
    local ok, err = xpcall(fn, debug.traceback)
    done, failure = true, not ok and err
  end)
  await("the coroutine", function() return done end)
  if failure then error(failure, 0) end
end

-- xpcall() of Lua 5.1 yields to nobody.
if not (table.pack or rawget(_G, "jit")) then
  run = function(fn)
    local done, failure
    wsock.on_error = function(err) failure = err end
    wsock.call(function()
      fn()
      done = true
    end)
    await("the coroutine", function() return done or failure end)
    if failure then error(failure, 0) end
  end
end

test("what is said on one server is heard on the other, in rooms of the same name", function()
  local a, b = nodes(2)
  local conn, client = member(b, "ben")
  assert(b:room("r"):join(conn))
  -- The other server hears of a plain room once it has told the broker so.
  run(function()
    repeat
      assert(a:room("r")):publish("hello", { wait = true })
      wsock.sleep(0.001)
    until client.data[1]
  end)
  equal(client.data[1], "hello")
end)

test("who publishes is told what became of it, in a function or a coroutine", function()
  local a = nodes(1)
  local plain, kept = assert(a:room("plain")), assert(a:room("kept", { history = 5 }))
  local told
  equal((plain:publish("x", { on_done = function(done) told = done end })), 0)
  equal(told, nil)
  await("the outcome", function() return told end)
  equal(told.outcome, "stored")
  equal(told.why, "")
  equal(told.position, nil)
  run(function()
    local number, _, first = kept:publish("1", { wait = true })
    equal(number, 0)
    equal(first.outcome, "stored")
    equal(#first.position.epoch, 16)
    assert(first.time > 1e9)
    local _, _, second = kept:publish("2", { wait = true })
    equal(second.position.epoch, first.position.epoch)
    equal(second.position.offset, first.position.offset + 1)
  end)
  raises("waits inside handlers", kept.publish, kept, "x", { wait = true })
  raises("on_done", kept.publish, kept, "x", { on_done = 5 })
end)

test("without a cluster it is known at once, and told behind the call", function()
  local server = assert(wsock.server { listen = "ws://127.0.0.1:0" })
  local room, told = assert(server:room("r", { history = 3 })), nil
  equal(server:cluster(), "none")
  room:publish("x", { on_done = function(done) told = done end })
  equal(told, nil)
  await("the outcome", function() return told end)
  equal(told.position.offset, 1)
  run(function()
    local _, position, done = room:publish("y", { wait = true })
    equal(done.outcome, "stored")
    equal(done.position.offset, position.offset)
  end)
  fails(wsock.ENOTSUP, server:nodes(print))
  fails(wsock.ENOTSUP, room:people_everywhere(print))
end)

test("who joins on a server that has to load the room is told how it went", function()
  local a, b = nodes(2)
  local options = { history = 10 }
  local start
  run(function()
    local room = assert(a:room("r", options))
    local _, _, done = room:publish("1", { wait = true })
    start = done.position
    room:publish("2", { wait = true })
  end)
  local ben, client = member(b, "ben")
  local carl, other = member(b, "carl")
  local told
  local room = assert(b:room("r", options))
  equal(room:join(carl, { since = start, on_joined = function(conn, how)
    told = { conn, how }
  end }), true)
  run(function()
    local joined, how = room:join(ben, { since = start, wait = true })
    equal(joined, true)
    equal(how.recovered, true)
    equal(how.missed, 1)
    equal(how.position.offset, start.offset + 1)
    -- Now it is loaded, and known at once.
    room:leave(ben)
    joined, how = room:join(ben, { since = { epoch = "1", offset = 1 }, wait = true })
    equal(joined, true)
    equal(how.recovered, false)
    joined = room:join(ben, { wait = true })
    equal(joined, false)
  end)
  await("the function", function() return told end)
  equal(told[1], carl)
  equal(told[2].recovered, true)
  await("what they missed", function() return client.data[1] and other.data[1] end)
  equal(client.data[1] .. other.data[1], "22")
end)

test("the people and servers of a cluster", function()
  local a, b = nodes(2)
  local ann = member(a, "ann")
  local ben = member(b, "ben")
  local codec = { encode = function(v) return "<" .. v .. ">" end,
    decode = function(v) return v:match("^<(.*)>$") end }
  assert(a:room("r", { codec = codec }):join(ann, { info = "red" }))
  assert(b:room("r"):join(ben))
  local names
  local function note(people)
    names = {}
    for i, person in ipairs(assert(people)) do
      names[i] = person.identity .. person.count .. (person.info or "")
    end
    table.sort(names)
    names = table.concat(names, " ")
  end
  -- The broker learns of people a moment later: ask until it has.
  run(function()
    repeat note(a:room("r"):people_everywhere()) until names == "ann1<red> ben1"
  end)
  names = nil
  assert(b:room("r", { codec = { encode = codec.encode, decode = function(v)
    return codec.decode(v):upper()
  end } }):people_everywhere(note))
  await("the people", function() return names end)
  equal(names, "ann1RED ben1")
  local seen
  run(function()
    repeat
      local list, selves = assert(a:nodes()), 0
      seen = {}
      for i, node in ipairs(list) do
        equal(#node.id, 32)
        equal(node.is_self, node.name == "n1")
        selves = selves + (node.is_self and 1 or 0)
        seen[i] = node.name
      end
      table.sort(seen)
    until #seen == 2
  end)
  equal(table.concat(seen, " "), "n1 n2")
  seen = nil
  assert(b:nodes(function(list) seen = list end))
  await("the nodes", function() return seen end)
  equal(#seen, 2)
end)

test("people are reached on other servers, and rooms by patterns", function()
  local a, b = nodes(2)
  local _, mine = member(a, "ann")
  local ben, client = member(b, "ben")
  local here, there = assert(a:room("match.1")), assert(b:room("match.1"))
  local left
  there:on_leave(function(gone) left = gone.identity .. " " .. gone.reason end)
  assert(there:join(ben))
  run(function()
    repeat -- the broker has it in a moment
      here:publish("near", { wait = true })
      wsock.sleep(0.001)
    until client.data[1]
  end)
  equal(a:send_to("ben", "direct"), 0) -- of its own connections
  equal(here:send_to("ben", "in the room"), 0)
  await("both", function()
    local heard = table.concat(client.data, ",")
    return heard:find("direct", 1, true) and heard:find("in the room", 1, true)
  end)
  equal(here:kick("ben", "go"), 0)
  await("its end", function() return left end)
  equal(left, "ben go")
  assert(b:subscribe(ben, "match.>"))
  local other = assert(a:room("match.2.chat"))
  run(function()
    repeat
      other:publish("far", { wait = true })
      wsock.sleep(0.001)
    until client.data[#client.data] == "far"
  end)
  equal(#mine.data, 0)
  equal(b:disconnect("ann"), 0)
  await("the end of ann", function() return not a:conns_of("ann")[1] end)
end)

test("a server hears of the broker", function()
  local states = {}
  local server = nodes(1, { on_cluster = function(state, why)
    states[#states + 1] = { state, why }
  end })
  await("it is up", function() return states[1] and states[#states][1] == "up" end)
  equal(states[#states][2], "")
  equal(server:on_cluster(nil), true)
end)

test("errors of those who are told go to on_error, and the next is told", function()
  local caught = {}
  local server = nodes(1, { on_error = function(err) caught[#caught + 1] = err end })
  local room, told = assert(server:room("r")), 0
  local function bad()
    told = told + 1
    error("bad " .. told, 0)
  end
  room:publish("x", { on_done = bad })
  server:nodes(bad)
  room:people_everywhere(bad)
  await("all", function() return #caught == 3 end)
  equal(told, 3)
  equal(table.concat(caught, " "), "bad 1 bad 2 bad 3")
end)

test("the rooms of a server, by pattern", function()
  local server = assert(wsock.server {})
  local kept = {}
  for i, name in ipairs { "a.1", "a.2", "b" } do kept[i] = assert(server:room(name)) end
  local function names(pattern)
    local list = {}
    for i, room in ipairs(server:rooms(pattern)) do list[i] = room.name end
    table.sort(list)
    return table.concat(list, " ")
  end
  equal(names(), "a.1 a.2 b")
  equal(names("a.*"), "a.1 a.2")
  equal(names("c"), "")
  fails(wsock.EINVAL, server:rooms("a..b"))
  equal(server:rooms("b")[1]:broadcast("x"), 0)
end)

test("what nobody waits for any more is not told", function()
  local server = nodes(1)
  local told = 0
  assert(server:nodes(function() told = told + 1 end))
  wsock.call(function()
    server:nodes()
    told = told + 1
  end)
  wsock.close(0)
  local before = told
  wsock.poll()
  equal(told, before)
end)

t.done()
