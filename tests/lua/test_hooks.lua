-- SPDX-License-Identifier: MIT
-- Endpoints that serve rooms: what their hooks are asked, and what becomes of each answer. All
-- of it in memory, where nothing is left to time.

local wsock = require "wsock"
local testing = require "wsock.testing"
local t = require "support"
local equal, fails, raises, test = t.equal, t.fails, t.raises, t.test
local unpack = table.unpack or unpack

-- A server whose path "/" serves rooms with these hooks, and a world to meet it in.
local function serve(hooks, options, of_server)
  local world = assert(testing.new { raises = false })
  local own, set = { rooms = hooks }, { listen = "ws://server", endpoints = {} }
  for name, value in pairs(options or {}) do own[name] = value end
  for name, value in pairs(of_server or {}) do set[name] = value end
  set.endpoints["/"], set.endpoints["/{room}"] = own, own
  return assert(wsock.server(set)), world
end

local function connect(world, path)
  return assert(world:connect("ws://server/" .. (path or ""),
    { subprotocols = { "wsock.rooms.v1" } }))
end

-- What comes back for a frame.
local function ask(peer, frame)
  peer:send(frame)
  return (peer:receive())
end

local function greeted(world, path, hello)
  local peer = connect(world, path)
  local answer = ask(peer, hello or '{"type":"hello","v":1}')
  return peer, answer
end

local function holds(text, ...)
  for i = 1, select("#", ...) do
    local part = select(i, ...)
    if not (text and text:find(part, 1, true)) then
      error(("%s is not in %s"):format(part, tostring(text)), 2)
    end
  end
end

test("a hello, a join, a message, a call: what is asked, and what is answered", function()
  local asked = {}
  local function note(a) asked[#asked + 1] = a end
  local _, world = serve {
    on_hello = function(a)
      note(a)
      return { identity = "ann", info = '{"colour":"red"}', expires_in = 60 }
    end,
    on_join = function(a) note(a) return true end,
    on_publish = note,
    on_call = function(a) note(a) return '{"from":9}' end,
  }
  local peer, welcome = greeted(world, "", '{"type":"hello","v":1,"token":"t","name":"n"}')
  holds(welcome, '"welcome"', '"identity":"ann"', '"expires_ms":60000')
  holds(ask(peer, '{"type":"refresh","token":"u","id":1}'), '"re":1', '"expires_ms":60000')
  holds(ask(peer, '{"type":"join","room":"r","token":"j","info":[1]}'), '"joined"', '"colour"')
  local answer = ask(peer, '{"type":"pub","room":"r","data":"hi","event":"e","key":"k","id":2}')
  holds(answer .. (peer:receive()), '"re":2', '"data":"hi"', '"from":"ann"', '"event":"e"')
  holds(ask(peer, '{"type":"direct","identity":"ben","data":{"a":1},"id":3}'), '"count":0')
  equal(ask(peer, '{"type":"call","name":"hours","args":[5],"id":4}'), '{"re":4,"ok":{"from":9}}')

  local kinds = {}
  for i, a in ipairs(asked) do kinds[i] = a.kind end
  equal(table.concat(kinds, " "), "hello refresh join publish direct call")
  local hello, refresh, join, publish, direct, call = unpack(asked)
  equal(hello.token, "t")
  equal(hello.name, "n")
  equal(hello.room, nil)
  equal(hello.data, nil)
  equal(hello.conn.identity, "ann")
  equal(refresh.token, "u")
  equal(refresh.conn, hello.conn)
  equal(join.room, "r")
  equal(join.token, "j")
  equal(join.data, "[1]")
  equal(publish.data, "hi")
  equal(publish.json, false)
  equal(publish.binary, false)
  equal(publish.event, "e")
  equal(publish.key, "k")
  equal(direct.name, "ben")
  equal(direct.json, true)
  equal(direct.data, '{"a":1}')
  equal(call.name, "hours")
  equal(call.data, "[5]")
  fails(wsock.ECLOSED, call:reply("1"))
end)

test("what is refused is told why, and the connection goes on", function()
  local _, world = serve {
    on_join = function() return false, "private", "this room is somebody else's", true end,
    on_publish = function() return false end,
    on_call = function(a) return a:refuse("no", nil) end,
  }
  local peer = greeted(world, "lobby")
  holds((peer:receive()), '"err"', '"private"', "somebody else's", '"retry":true')
  holds(ask(peer, '{"type":"join","room":"r","id":1}'), '"re":1', '"private"')
  holds(ask(peer, '{"type":"direct","identity":"x","data":1,"id":2}'), '"re":2', '"forbidden"',
    '"retry":false')
  holds(ask(peer, '{"type":"call","name":"x","id":3}'), '"code":"no"')
  equal(peer.closed, nil)
end)

test("a refused hello ends the connection, as its code says", function()
  local codes = { a = {}, b = { "closed" }, c = { "busy", "later", true } }
  local _, world = serve { on_hello = function(a) return false, unpack(codes[a.token]) end }
  for token, code in pairs { a = 4401, b = 4403, c = 1013 } do
    local peer, answer = greeted(world, "", '{"type":"hello","v":1,"token":"' .. token .. '"}')
    holds(answer, '"err"', token == "a" and "unauthorized" or codes[token][1])
    world:run()
    equal(peer.closed.code, code)
  end
end)

test("nothing to say is yes; without a hook all but calls is allowed", function()
  local _, world = serve { on_call = function() end }
  local peer, welcome = greeted(world)
  holds(welcome, '"identity":"guest-')
  holds(ask(peer, '{"type":"join","room":"r"}'), '"joined"')
  equal(ask(peer, '{"type":"call","name":"x","id":1}'), '{"re":1,"ok":true}')
  world:close()
  _, world = serve {}
  holds(ask((greeted(world)), '{"type":"call","name":"x","id":1}'), '"unknown_call"')
end)

test("what is said may be changed: text, JSON, bytes", function()
  local changes = {
    text = { data = "other" }, json = { data = "[1, 2]", json = true },
    bytes = { data = "\0\1", binary = true },
  }
  local _, world = serve { on_publish = function(a) return changes[a.data] end }
  local peer = greeted(world, "r")
  holds((peer:receive()), '"joined"')
  for data, seen in pairs { text = '"data":"other"', json = '"data":[1,', bytes = '"b64":"AAE="',
    none = '"data":"none"' } do
    holds(ask(peer, ('{"type":"pub","room":"r","data":"%s"}'):format(data)), seen)
  end
end)

test("bytes of a client are bytes; raw members are asked for like others", function()
  local asked = {}
  local _, world = serve {
    on_hello = function(a) return { identity = a.token or "raw" } end,
    on_publish = function(a) asked[#asked + 1] = { a.data, a.binary, a.conn.identity } end,
  }
  local peer = greeted(world, "r")
  peer:send '{"type":"pub","room":"r","data":{"b64":"AAEC"}}'
  local raw = assert(world:connect "ws://server/r")
  raw:send("hello")
  world:run()
  equal(asked[1][1], "\0\1\2")
  equal(asked[1][2], true)
  equal(asked[2][1], "hello")
  equal(asked[2][2], false)
  equal(asked[2][3], "raw")
end)

test("a codec stands between JSON and values", function()
  local codec = {
    encode = function(value)
      return type(value) == "table" and '{"n":' .. value.n .. "}" or tostring(value)
    end,
    decode = function(text) return { n = tonumber(text:match("%d+")) } end,
  }
  local _, world = serve({
    on_join = function() return { info = { n = 3 } } end,
    on_publish = function(a)
      return { data = type(a.data) == "table" and { n = a.data.n + 1 } or "text" }
    end,
    on_call = function(a) return { n = a.data.n * 2 } end,
  }, { codec = codec })
  local peer = greeted(world, "r")
  holds((peer:receive()), '{"n":3}')
  equal(ask(peer, '{"type":"call","name":"x","args":{"n":4},"id":1}'), '{"re":1,"ok":{"n":8}}')
  holds(ask(peer, '{"type":"pub","room":"r","data":{"n":1}}'), '"data":{"n":2}')
  holds(ask(peer, '{"type":"pub","room":"r","data":"x"}'), '"data":"text"')
end)

test("hooks may wait; who asks waits, and others do not", function()
  local log = {}
  local _, world = serve {
    on_hello = function(a)
      wsock.sleep(a.token == "slow" and 5 or 0)
      log[#log + 1] = a.token
      return { identity = a.token }
    end,
    on_join = function(a)
      wsock.sleep(1)
      log[#log + 1] = a.room
      return a.room == "a"
    end,
  }
  local slow, quick = connect(world), connect(world)
  slow:send '{"type":"hello","v":1,"token":"slow"}'
  slow:send '[{"type":"join","room":"a","id":1},{"type":"join","room":"b","id":2}]'
  quick:send '{"type":"hello","v":1,"token":"quick"}'
  assert(world:advance(1))
  equal(table.concat(log, " "), "quick")
  holds(quick:receive(), '"identity":"quick"')
  assert(world:advance(7))
  equal(table.concat(log, " "), "quick slow a b")
  holds(slow:receive(), '"identity":"slow"')
  holds(slow:receive(), '"re":1', '"ok"')
  holds(slow:receive(), '"re":2', '"forbidden"')
end)

test("an answer may come later, once, and not too late", function()
  local kept = {}
  local function keep(a)
    kept[#kept + 1] = a
    return a:defer()
  end
  local _, world = serve({ on_hello = keep, on_call = keep }, { ask_timeout = "10s" })
  local peer = greeted(world)
  equal(#kept, 1)
  equal(kept[1]:accept { identity = "ann" }, true)
  fails(wsock.ECLOSED, kept[1]:accept())
  fails(wsock.ECLOSED, kept[1]:refuse())
  holds(peer:receive(), '"identity":"ann"')
  peer:send '{"type":"call","name":"x","id":1}'
  world:run()
  fails(wsock.EINVAL, kept[2]:reply("no JSON"))
  equal(kept[2]:reply("5"), true)
  equal((peer:receive()), '{"re":1,"ok":5}')
  peer:send '{"type":"call","name":"x","id":2}'
  assert(world:advance(9))
  equal(#peer.messages, 0)
  assert(world:advance(2))
  holds(peer:receive(), '"timeout"')
  fails(wsock.ECLOSED, kept[3]:reply("5"))
  peer:send '{"type":"call","name":"x","id":3}'
  world:run()
  kept[4].conn:reset()
  world:run()
  fails(wsock.ECLOSED, kept[4]:reply("5"))
  equal(kept[4].conn.is_open, false)
end)

test("a question that is forgotten is refused", function()
  local _, world = serve { on_call = function(a) a:defer() end }
  local peer = greeted(world)
  peer:send '{"type":"call","name":"x","id":1}'
  world:run()
  collectgarbage()
  collectgarbage()
  holds(peer:receive(), '"re":1', '"failed"', '"retry":true')
end)

test("a hook that fails refuses, tells on_error, and the next one is served", function()
  local caught = {}
  local bad = {
    raise = function() error("bad hook", 0) end,
    wait = function() wsock.sleep(1) error("bad hook", 0) end,
    kind = function() return io.stdout end,
    json = function() return "no JSON" end,
    twice = function(a) a:refuse("NO CODE") end,
    deferred = function(a) a:defer() error("bad hook", 0) end,
    name = function(a) a:accept { identity = "x" } end,
    options = function(a) a:accept(5) end,
    good = function() return "5" end,
  }
  local _, world = serve({ on_call = function(a) return bad[a.name](a) end }, nil, {
    on_error = function(err, conn, traceback)
      equal(conn, nil)
      equal(type(traceback), "string")
      caught[#caught + 1] = tostring(err)
    end,
  })
  local peer, count = greeted(world), 0
  for name in pairs(bad) do
    peer:send(('{"type":"call","name":"%s","id":1}'):format(name))
    assert(world:advance(1))
    if name == "good" then
      equal((peer:receive()), '{"re":1,"ok":5}')
    else
      count = count + 1
      holds(peer:receive(), '"failed"', '"retry":true')
      equal(#caught, count, name)
      assert(caught[count]:find("bad hook") or caught[count]:find("on_call")
        or caught[count]:find("accept takes") or caught[count]:find("has no option"),
        caught[count])
    end
  end
  equal(ask(peer, '{"type":"call","name":"good","id":2}'), '{"re":2,"ok":5}')
  equal(peer.closed, nil)
end)

test("without an on_error a failing hook closes nobody", function()
  local _, world = serve { on_hello = function(a) return { identity = a.token } end,
    on_join = function() error("bad hook", 0) end }
  wsock.on_error = nil
  local peer = greeted(world, "", '{"type":"hello","v":1,"token":"ann"}')
  local told = t.quietly(function()
    holds(ask(peer, '{"type":"join","room":"r","id":1}'), '"failed"')
  end)
  assert(told:find("bad hook", 1, true), told)
  equal(peer.closed, nil)
end)

test("a wrong answer is no answer: nobody comes in by one", function()
  local results = {}
  local _, world = serve({ on_hello = function(a)
    results[#results + 1] = { a:accept { identity = "" } }
  end }, nil, { on_error = function() end })
  local _, answer = greeted(world)
  fails(wsock.EINVAL, unpack(results[1], 1, 3))
  holds(answer, '"failed"')
end)

test("who opened is told as ever, and what it keeps is there for hooks", function()
  local ended
  local _, world = serve({ on_join = function(a) return a.conn.data.may and true or false end }, {
    on_request = function(req) return { identity = req.query.who } end,
    on_open = function(conn) conn.data.may = conn.identity == "ann" end,
    on_close = function(conn, code) ended = { conn.identity, code } end,
  })
  local ann = greeted(world, "?who=ann")
  holds(ask(ann, '{"type":"join","room":"r"}'), '"joined"')
  holds(ask((greeted(world, "?who=ben")), '{"type":"join","room":"r"}'), '"forbidden"')
  ann:close(1000)
  equal(table.concat(ended, " "), "ann 1000")
end)

test("questions wait behind a handler of their connection that waits", function()
  local log = {}
  local _, world = serve({ on_hello = function() log[#log + 1] = "hello" end }, {
    on_open = function() wsock.sleep(1) log[#log + 1] = "open" end,
  })
  local peer = connect(world)
  peer:send '{"type":"hello","v":1}'
  assert(world:advance(2))
  equal(table.concat(log, " "), "open hello")
  holds(peer:receive(), '"welcome"')
end)

test("hooks are replaced, and never lost by an oversight", function()
  local server, world = serve { on_call = function() return "1" end }
  local peer = greeted(world)
  assert(server:endpoint("/", { rooms = { on_call = function() return "2" end } }))
  equal(ask(peer, '{"type":"call","name":"x","id":1}'), '{"re":1,"ok":2}')
  raises("hooks are missing", server.endpoint, server, "/", {})
  equal(ask(peer, '{"type":"call","name":"x","id":2}'), '{"re":2,"ok":2}')
  assert(server:endpoint("/", { rooms = {} }))
  holds(ask(peer, '{"type":"call","name":"x","id":3}'), '"unknown_call"')
end)

test("clients are told that the server goes", function()
  local server, world = serve {}
  local peer = greeted(world)
  equal(server:away(2.5), true)
  holds(peer:receive(), '"away"', '"after_ms":2500', '"reconnect":true')
  equal(server:away(0, false), true)
  holds(peer:receive(), '"reconnect":false')
  fails(wsock.ERANGE, server:away(86401))
end)

test("what is no hook is refused, and what comes too late", function()
  local server = assert(wsock.server { endpoints = { ["/x"] = {} } })
  for _, wrong in ipairs { 5, "x", { on_hello = 5 }, { on_helo = print } } do
    assert(not pcall(server.endpoint, server, "/", { rooms = wrong }))
  end
  for _, name in ipairs { "on_message", "on_part" } do
    raises(name, server.endpoint, server, "/", { rooms = {}, [name] = print })
  end
  fails(wsock.EBUSY, server:endpoint("/x", { rooms = {} }))
  assert(server:endpoint("/x", { on_message = print }))
  assert(server:listen("ws://127.0.0.1:0"))
  assert(server:endpoint("/y", { rooms = {} }))
  wsock.poll()
  fails(wsock.EBUSY, server:endpoint("/z", { rooms = {} }))
end)

test("many ask over sockets at once, and are answered at once, later, or never", function()
  local open, asked = {}, 0
  local server = assert(wsock.server { listen = "ws://127.0.0.1:0", endpoints = { ["/{room}"] = {
    rooms = {
      on_hello = function(a) return { identity = a.token } end,
      on_join = function() wsock.sleep(0.001) end,
      on_call = function(a)
        asked = asked + 1
        if a.name == "later" then open[#open + 1] = a end
        return a.name == "now" and "1" or a:defer()
      end,
    },
  } } })
  local conns = {}
  for i = 1, 20 do
    conns[i] = t.speak(server.url .. "/r", ('{"type":"hello","v":1,"token":"%d"}'):format(i),
      '{"type":"call","name":"now","id":1}', '{"type":"call","name":"later","id":2}',
      '{"type":"call","name":"never","id":3}')
  end
  t.await("all are asked", function()
    for _, a in ipairs(open) do a:reply("2") end
    open = {}
    return asked == 60
  end)
  for _, conn in ipairs(conns) do
    t.await("the answers", function()
      return table.concat(conn.data):find('{"re":2,"ok":2}', 1, true)
    end)
    holds(table.concat(conn.data), '"welcome"', '{"re":1,"ok":1}', '"joined"')
  end
end)

t.done()
