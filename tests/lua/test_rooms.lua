-- SPDX-License-Identifier: MIT
-- Messages that are built once; who of a room gets what; and members that are gone or slow.

local wsock = require "wsock"
local t = require "support"
local equal, await, test, raises, fails = t.equal, t.await, t.test, t.raises, t.fails

-- A server of one room, and so many clients that are in it.
local function room_of(count, options, client_options)
  local server, url = t.serve({ on_message = function(conn, data) conn.data.name = data end },
    options)
  local room, conns = assert(server:room("r")), {}
  for i = 1, count do
    conns[i] = t.connect(url, client_options and client_options())
    conns[i]:send(tostring(i))
  end
  local peers = {}
  await("the names", function()
    local named = 0
    for _, conn in ipairs(server.conns) do
      if conn.data.name then
        named = named + 1
        peers[tonumber(conn.data.name)] = conn
      end
    end
    return named == count
  end)
  for i = 1, count do equal(room:join(peers[i]), true) end
  return room, peers, conns, server
end

test("a message is built once and sent to many", function()
  local room, peers, conns = room_of(2)
  local text = assert(wsock.message("grüße"))
  local binary = assert(wsock.message("\0\255", { binary = true }))
  equal(text.data, "grüße")
  equal(text.binary, false)
  equal(text.uncompressed, false)
  equal(binary.data, "\0\255")
  equal(binary.binary, true)
  assert(tostring(binary):find("2 bytes"))
  equal(room:broadcast(text), 2)
  equal(room:broadcast(binary, peers[1]), 1)
  equal(peers[1]:send(binary), true)
  equal(peers[1]:send_text(binary), true) -- a message is what it was built as
  await("them", function() return #conns[1].data == 3 and #conns[2].data == 2 end)
  equal(conns[1].data.kinds[1], false)
  equal(conns[1].data[1], "grüße")
  equal(conns[1].data.kinds[2], true)
  equal(conns[1].data.kinds[3], true)
  equal(conns[2].data.kinds[2], true)
  -- And from a client, masked.
  conns[1]:send(assert(wsock.message("renamed")))
  await("it", function() return peers[1].data.name == "renamed" end)
end)

test("messages pass codecs as they are", function()
  local codec = { encode = function(v) return "<" .. v .. ">" end,
    decode = function(data) return data end }
  local room, peers, conns = room_of(1)
  local _, url = t.serve { codec = codec,
    on_message = function(conn)
      conn:send(assert(wsock.message("plain")))
      conn:send("coded")
    end }
  local conn = t.connect(url, { codec = codec })
  conn:send(assert(wsock.message("x")))
  await("both", function() return #conn.data == 2 end)
  equal(conn.data[1], "plain")
  equal(conn.data[2], "<coded>")
  local coded = room:with(codec)
  equal(coded:broadcast(assert(wsock.message("plain"))), 1)
  equal(coded:broadcast("coded"), 1)
  equal(coded:broadcast("not for you", peers[1]), 0)
  equal(coded:broadcast_if(function() return true end, "chosen"), 1)
  equal(coded:broadcast_if(function() return true end, assert(wsock.message("as it is"))), 1)
  equal(coded:count(), 1)
  await("all", function() return #conns[1].data == 4 end)
  equal(table.concat(conns[1].data, " "), "plain <coded> <chosen> as it is")
end)

test("a client that is kept up sends messages, too", function()
  local got
  local _, url = t.serve { on_message = function(_, data, binary) got = { data, binary } end }
  local codec = { encode = tostring, decode = tostring }
  local client = assert(wsock.client { url = url, codec = codec })
  assert(client:start())
  await("open", function() return client.conn end)
  equal(client:send(assert(wsock.message("abc", { binary = true }))), true)
  await("it", function() return got end)
  equal(got[1], "abc")
  equal(got[2], true)
end)

-- How many bytes wait for a peer that does not read, after sends of that.
local function bytes_of(send)
  local _, peers, conns = room_of(1, { compression = "shared", compression_min_bytes = 0 },
    function() return { compression = "shared" } end)
  assert(peers[1].extensions:find("deflate"), "compression was agreed on")
  conns[1]:pause()
  local data = ("abcdefgh"):rep(65536)
  for _ = 1, 40 do
    local ok, _, code = send(peers[1], data)
    if not ok then
      equal(code, wsock.EAGAIN)
      return true
    end
  end
  return false
end

test("what is uncompressed is sent as it is", function()
  equal(bytes_of(function(conn, data) return conn:send(data) end), false)
  equal(bytes_of(function(conn, data) return conn:send(assert(wsock.message(data))) end), false)
  equal(bytes_of(function(conn, data)
    return conn:send(assert(wsock.message(data, { uncompressed = true })))
  end), true, "filled the backlog")
end)

test("broadcast_if sends to those of whom a function says so", function()
  local room, peers, conns = room_of(3)
  local asked = {}
  equal(room:broadcast_if(function(conn)
    asked[#asked + 1] = conn.data.name
    return conn ~= peers[2]
  end, "some"), 2)
  equal(#asked, 3)
  equal(room:broadcast_if(function(conn) return conn == peers[2] end,
    assert(wsock.message("\1", { binary = true, uncompressed = true }))), 1)
  equal(room:broadcast_if(function() return nil end, "nobody"), 0)
  await("them", function()
    return #conns[1].data == 1 and #conns[2].data == 1 and #conns[3].data == 1
  end)
  equal(conns[1].data[1], "some")
  equal(conns[2].data[1], "\1")
  equal(conns[2].data.kinds[1], true)
  equal(conns[3].data[1], "some")
  -- Who leaves meanwhile gets nothing; what the function raises comes out, and nothing is sent.
  equal(room:broadcast_if(function(conn)
    if conn == peers[1] then room:leave(conn) end
    return true
  end, "left"), 2)
  raises("on purpose", room.broadcast_if, room, function() error("on purpose") end, "x")
  raises("takes a function", room.broadcast_if, room, "x", "y")
  raises("string expected", room.broadcast_if, room, function() return true end, 5)
  fails(wsock.EUTF8, room:broadcast_if(function() return true end, "\255"))
  await("them", function() return #conns[2].data == 2 and #conns[3].data == 2 end)
  equal(#conns[1].data, 1)
end)

test("join and leave answer false where there is nothing to change", function()
  local room, peers, conns = room_of(2)
  local function idle(code, result, message, got)
    equal(result, false)
    equal(type(message), "string")
    equal(got, code)
  end
  idle(wsock.EEXIST, room:join(peers[1]))
  equal(room:leave(peers[1]), true)
  idle(wsock.ENOENT, room:leave(peers[1]))
  conns[1]:close()
  await("the end", function() return not peers[1].is_open and conns[1].data.closed end)
  idle(wsock.ECLOSED, room:join(peers[1]))
  fails(wsock.EINVAL, wsock.server {}:room("a..b"))
end)

test("broadcast answers 0 while a worker is too far behind, and goes on later", function()
  -- A worker is busy as long as it compresses for a connection with a context of its own.
  local room, peers = room_of(1, { compression = "dedicated" }, function()
    return { compression = "dedicated", max_message_bytes = 1000 }
  end)
  local state, words = 1, {}
  for i = 1, 65536 do
    state = (state * 16807) % 2147483647
    words[i] = ("%x"):format(state)
  end
  local slow, chunk = table.concat(words):rep(24), ("x"):rep(6 * 1024 * 1024)
  assert(peers[1].extensions:find("deflate"), "compression was agreed on")
  local message = assert(wsock.message(chunk, { uncompressed = true }))
  local answers = {}
  await("a worker is behind", function()
    peers[1]:send(slow)
    for _ = 1, 4 do answers[#answers + 1] = assert(room:broadcast(message)) end
    wsock.call(type, 1) -- so this is looked at again, without waiting
    return answers[#answers] == 0
  end)
  equal(answers[1], 1)
  equal(room:broadcast_if(function() return true end, message), 0)
  await("it goes on", function()
    wsock.tick(5)
    return room:broadcast("again") > 0 or room:count() == 0
  end)
end)

-- A server on which everybody is who the path says, and these are in its room "r".
local function people(...)
  local server, url = t.serve({}, {})
  assert(server:endpoint("/{who}", {
    on_request = function(req) return { identity = req.params.who } end,
  }))
  local conns, peers = {}, {}
  for i, who in ipairs { ... } do
    conns[i] = t.connect(url .. who)
    await("it opens", function() return #server.conns == i end)
    for _, conn in ipairs(server.conns) do
      local known = false
      for j = 1, i - 1 do known = known or peers[j] == conn end
      if not known then peers[i] = conn end
    end
  end
  return server, peers, conns
end

test("identities are the library's", function()
  local server, peers, conns = people("ann", "ann", "bob")
  equal(peers[1].identity, "ann")
  equal(#server:conns_of("ann"), 2)
  equal(server:send_to("ann", "hello"), 2)
  equal(server:send_to("nobody", "hello"), 0)
  fails(wsock.EEXIST, peers[1]:set_identity("carol"))
  await("them", function() return #conns[1].data == 1 and #conns[2].data == 1 end)
  equal(server:disconnect("ann", 4401, "again"), 2)
  await("the end", function() return conns[1].data.closed and conns[2].data.closed end)
  equal(conns[1].data.closed, 4401)
  equal(conns[3].is_open, true)
end)

test("rooms have options, by names and at making", function()
  local server = people()
  equal(server:room_defaults("match.*", { max_members = 8 }), true)
  equal(assert(server:room("match.1")):get("max_members"), "8")
  local kept = assert(server:room("kept", { history = 5, slow_members = "latest_only" }))
  equal(kept:get("history_messages"), "5")
  fails(wsock.EEXIST, server:room("match.1", { max_members = 9 }))
  raises("nonsense", server.room, server, "new", { nonsense = 1 })
end)

test("events, senders and JSON are told", function()
  local server, peers, conns = people("ann")
  local room = assert(server:room("r", { history = 9 }))
  local heard = {}
  room:on_message(function(message) heard[#heard + 1] = message end)
  room:join(peers[1])
  room:broadcast("text")
  equal(room:publish("[1]", { event = "moved", from = "ann", json = true }), 1)
  local coded = room:with { encode = tostring, decode = tonumber }
  equal(coded:publish(7, { json = true, only = function() return true end }), 1)
  await("all", function() return #heard == 3 and #conns[1].data == 3 end)
  equal(table.concat(conns[1].data, " "), "text [1] 7")
  local kept = room:history()
  for i, message in ipairs { heard[1], heard[2] } do
    for _, field in ipairs { "data", "event", "from", "json" } do
      equal(message[field], kept[i][field])
    end
  end
  equal(heard[1].event, "message")
  equal(heard[1].from, nil)
  equal(heard[1].json, false)
  equal(heard[2].event, "moved")
  equal(heard[2].from, "ann")
  equal(heard[2].json, true)
  equal(heard[3].data, "7")
  fails(wsock.EINVAL, room:publish("[", { json = true }))
  fails(wsock.EINVAL, room:publish(wsock.message("1", { binary = true }), { json = true }))
  fails(wsock.EINVAL, room:publish("x", { event = "" }))
  fails(wsock.ETOOBIG, room:publish("x", { event = ("e"):rep(65) }))
  fails(wsock.EINVAL, room:publish("x", { from = "a\n" }))
end)

test("history is told to who comes back", function()
  local server, peers, conns = people("ann", "bob")
  local room = assert(server:room("r", { history = 3 }))
  local _, first = room:publish("1", { key = "k" })
  equal(first.offset, 1)
  for i = 2, 4 do room:broadcast(tostring(i)) end
  equal(room:position().offset, 4)
  equal(#room:history(), 3)
  equal(room:history(1)[1].data, "4")
  local ok, joined = room:join(peers[1], { since = first })
  equal(ok, true)
  equal(joined.recovered, true)
  equal(joined.missed, 3)
  ok, joined = room:join(peers[2], { since = { epoch = first.epoch, offset = 0 } })
  equal(ok, true)
  equal(joined.recovered, false)
  equal(room:publish("5", { except = "bob" }), 1)
  equal(room:publish("6", { except = { peers[1] } }), 1)
  equal(room:publish("7", { except = peers[1], only = function() return true end }), 1)
  await("all", function() return #conns[1].data == 4 and #conns[2].data == 2 end)
  equal(table.concat(conns[1].data, " "), "2 3 4 5")
  equal(table.concat(conns[2].data, " "), "6 7")
  raises("hexadecimal", room.join, room, peers[1], { since = { epoch = "x", offset = 1 } })
  equal(assert(server:room("plain")):position(), nil)
end)

test("a room tells who comes, goes and speaks", function()
  local server, peers = people("ann", "ann", "bob")
  local room, told = assert(server:room("r")), {}
  local function note(text) told[#told + 1] = text end
  room:on_join(function(m) note("+" .. m.identity .. (m.info or "") .. tostring(m.first)) end)
  room:on_leave(function(m)
    note("-" .. m.conn.identity .. m.how .. m.reason .. tostring(m.last))
  end)
  room:on_message(function(m) note(m.data) end)
  room:join(peers[1], { info = "red" })
  room:join(peers[2])
  room:join(peers[3])
  equal(#room:people(), 2)
  equal(room:info(peers[1]), "red")
  room:broadcast("hi")
  equal(room:send_to("ann", "you"), 2)
  equal(room:kick("ann", "rude"), 2)
  equal(room:kick(peers[1]), 0)
  peers[3]:reset()
  await("all", function() return #told == 7 end)
  equal(table.concat(told, " "), "+annredtrue +annfalse +bobtrue hi -ann3rudefalse "
    .. "-ann3rudetrue -bob2true")
  equal(room:close("over"), true)
  equal(room:close(), false)
  await("nothing is kept", function()
    wsock.call(type, 1)
    return next(server._heralds) == nil
  end)
end)

-- Numbers and lists of them, in a form that is no text.
local packed = {
  encode = function(value)
    return "\255" .. (type(value) == "table" and table.concat(value, ",") or tostring(value))
  end,
  decode = function(data)
    assert(data:sub(1, 1) == "\255", "not packed")
    local list = {}
    for number in data:sub(2):gmatch("[^,]+") do list[#list + 1] = tonumber(number) end
    return list
  end,
}

local function equal_list(got, expected)
  equal(type(got) == "table" and table.concat(got, ",") or got, expected)
end

test("a room with a codec encodes what it is given, and decodes what it tells", function()
  local server, peers = people("ann", "bob")
  local heard = {}
  local coming = assert(wsock.client { url = server.url .. "/carol", codec = packed,
    on_message = function(_, list, binary)
      equal(binary, true)
      heard[#heard + 1] = table.concat(list, ",")
    end })
  local room = assert(server:room("r", { codec = packed, binary = true, history = 9 }))
  local told = {}
  room:on_join(function(m) told[#told + 1] = m.info or { 0 } end)
  room:on_leave(function(m) told[#told + 1] = m.info end)
  room:on_message(function(m) told[#told + 1] = m.data end)
  -- Who is there, and what they joined with.
  equal(room:join(peers[1], { info = { 1, 2 } }), true)
  equal(room:join(peers[2]), true)
  equal_list(room:info(peers[1]), "1,2")
  equal(room:info(peers[2]), nil)
  local seen = {}
  for _, person in ipairs(room:people()) do seen[person.identity] = person.info or "nothing" end
  equal_list(seen.ann, "1,2")
  equal(seen.bob, "nothing")
  -- What was said, each way of saying it.
  local _, first = room:publish({ 3 }, { key = "k" })
  equal(room:broadcast { 4, 5 }, 2)
  equal(room:broadcast_if(function(conn) return conn == peers[1] end, 6), 1)
  equal(room:broadcast(assert(wsock.message("\2557", { binary = true })), peers[1]), 1)
  local kept = room:history()
  equal(#kept, 3)
  for i, expected in ipairs { "3", "4,5", "7" } do
    equal_list(kept[i].data, expected)
    equal(kept[i].binary, true)
  end
  -- Who comes back gets what it missed by its own codec.
  coming:connect()
  await("it comes", function() return server:conns_of("carol")[1] end)
  local _, joined = room:join(server:conns_of("carol")[1], { since = first, info = 8 })
  equal(joined.missed, 2)
  equal(room:send_to("carol", { 9, 10 }), 1)
  room:leave(peers[1])
  await("all is told", function() return #told == 8 and #heard == 3 end)
  table.sort(heard) -- a direct message has no order with the room's
  equal(table.concat(heard, " "), "4,5 7 9,10")
  for i, expected in ipairs { "1,2", "0", "3", "4,5", "6", "7", "8", "1,2" } do
    equal_list(told[i], expected)
  end
end)

test("a codec's handle is one of several of a room", function()
  local server, peers, conns = people("ann")
  local text = { encode = function(v) return "<" .. v .. ">" end,
    decode = function(data) return (data:match("^<(.*)>$")) end }
  local room = assert(server:room("r", { history = 5 }))
  local coded = assert(server:find_room("r", { codec = text }))
  equal(room:join(peers[1], { info = "<red>" }), true)
  equal(coded:info(peers[1]), "red")
  equal(room:info(peers[1]), "<red>")
  equal(coded:broadcast("1"), 1)
  equal(coded:broadcast_text("2"), 1) -- as it is
  equal(coded:with(packed, true):broadcast(3), 1)
  equal(room:with(nil, true):broadcast("\0"), 1)
  equal(room:with(text):broadcast("4"), 1)
  await("all", function() return #conns[1].data == 5 end)
  equal(table.concat(conns[1].data, " "), "<1> 2 \2553 \0 <4>")
  local kinds = conns[1].data.kinds
  for i, binary in ipairs { false, false, true, true, false } do equal(kinds[i], binary) end
  equal(coded:history(1)[1].data, "4")
  equal(coded.name, "r")
  assert(tostring(coded):find("room r"))
  raises("not packed", function() return room:with(packed):history() end)
  raises("not packed", function() return room:with(packed):info(peers[1]) end)
  equal(server:find_room("other", { codec = text }), nil)
  fails(wsock.ENOTSUP, assert(server:room("plain", { codec = text })):history())
  fails(wsock.ENOENT, assert(server:room("plain", { codec = text })):info(peers[1]))
  -- Mistakes are found before there is a room.
  raises("codec is a table", server.room, server, "new", { codec = { encode = tostring } })
  raises("codec is a table", room.with, room, nil)
  raises("no option history", server.find_room, server, "r", { history = 5 })
  raises("codec", server.room_defaults, server, "x.*", { codec = text })
  raises("join has no option", room.join, room, peers[1], { inof = "x" })
  raises("string expected", function()
    return room:with({ encode = function() return {} end, decode = tostring }):broadcast("x")
  end)
  equal(server:find_room("new"), nil)
end)

test("what a codec cannot decode is an error of the room's handler", function()
  local server, peers = people("ann")
  local errors, said = {}, {}
  server.on_error = function(err, conn) errors[#errors + 1] = { err, conn } end
  local room = assert(server:room("r", { codec = packed, binary = true }))
  room:on_message(function(m) said[#said + 1] = m.data end)
  room:join(peers[1])
  room:broadcast_text("plain")
  room:broadcast(5)
  await("both", function() return #errors == 1 and #said == 1 end)
  assert(errors[1][1]:find("not packed"))
  equal(errors[1][2], nil)
  equal_list(said[1], "5")
  equal(peers[1].is_open, true)
end)

test("the same object stands for who left behind its end", function()
  -- The end of a connection may be told before it is that it left its room.
  local server, url, room
  local told, ends, alive, count = {}, {}, setmetatable({}, { __mode = "v" }), 0
  server, url = t.serve {
    on_open = function(conn)
      count = count + 1
      conn.data.number = count
      alive[count] = conn
      room:join(conn)
      conn:reset()
      local deadline = wsock.now() + 20
      while room:count() > 0 do assert(wsock.now() < deadline) end
    end,
    on_close = function(conn) ends[#ends + 1] = conn.data.number end,
  }
  room = assert(server:room("r"))
  local function note(member) told[#told + 1] = member.conn and member.conn.data.number or "?" end
  room:on_join(note)
  room:on_leave(note)
  local client = assert(wsock.client { url = url })
  for i = 1, 20 do
    client:connect()
    await("what is told of it", function() return #told == 2 * i and #ends == i end)
    equal(told[#told - 1], i)
    equal(told[#told], i)
  end
  local look = wsock.every(0.005, function() end)
  await("none is kept", function()
    if rawget(_G, "jit") then jit.flush() end
    collectgarbage()
    return next(alive) == nil
  end)
  look:cancel()
end)

test("patterns, rates and counters", function()
  local server, peers, conns = people("ann")
  equal(server:subscribe(peers[1], "match.*.chat"), true)
  equal((server:subscribe(peers[1], "match.*.chat")), false)
  local room = assert(server:room("match.1.chat", { max_publish_rate = 1 }))
  equal(room:broadcast("1"), 1)
  equal(server:unsubscribe(peers[1], "match.*.chat"), true)
  equal((server:unsubscribe(peers[1], "match.*.chat")), false)
  equal(room:broadcast("2"), 0)
  room:join(peers[1])
  equal(room:may_publish(peers[1]), true)
  equal((room:may_publish(peers[1])), false)
  equal(room:dropped(), 0)
  equal(room:dropped(peers[1]), 0)
  await("it", function() return conns[1].data[1] == "1" end)
end)

-- Look again soon, though no handler ran.
local function again(fn)
  return function()
    wsock.call(type, 1)
    collectgarbage()
    return fn()
  end
end

test("names are what they may be", function()
  local server = people()
  for _, name in ipairs { "", ".", "a..b", ".a", "a.", "*", "a.>", "a*", "a\n", ("x"):rep(256) } do
    fails(wsock.EINVAL, server:room(name))
  end
  for _, name in ipairs { ("x"):rep(255), "a.b.c", "grüße / {%}" } do
    equal(assert(server:room(name)).name, name)
  end
end)

test("a room lives as long as something keeps it, and an old handle names no new one", function()
  local server, peers = people("ann")
  local function is_there(name) return (server:find_room(name)) ~= nil end
  equal(is_there("r"), false)
  local room = assert(server:room("r"))
  room:join(peers[1])
  equal(room:count(), 1)
  equal(room:members()[1], peers[1])
  room = nil
  collectgarbage()
  equal(is_there("r"), true)
  server:find_room("r"):leave(peers[1])
  server:room("kept", { history_time = "50ms" }):broadcast("x")
  server:room("stays", { persistent = "yes" })
  await("they go", again(function()
    if rawget(_G, "jit") then jit.flush() end
    return not is_there("r") and not is_there("kept")
  end))
  equal(is_there("stays"), true)
  local old = server:find_room("stays")
  old:close()
  local new = assert(server:room("stays"))
  equal(new:join(peers[1]), true)
  fails(wsock.ECLOSED, old:broadcast("x"))
  equal(old:count(), 0)
  equal(new:count(), 1)
end)

test("another value of an option is an error that names both", function()
  local server = people()
  local room = assert(server:room("r", { max_members = 8 }))
  local _, why, code = server:room("r", { max_members = 9 })
  equal(code, wsock.EEXIST)
  assert(why:find('"max_members" as 8, not 9', 1, true), why)
  equal(room:get("max_members"), "8")
end)

test("rooms, members, rooms of a connection and what is kept have limits", function()
  local server, url = t.serve({},
    { max_rooms = 3, max_history_bytes = 16384, max_rooms_per_connection = 1 })
  t.connect(url)
  await("it opens", function() return #server.conns == 1 end)
  local conn = server.conns[1]
  local one, two = assert(server:room("one", { max_members = 1 })), assert(server:room("two"))
  local kept = assert(server:room("kept", { history = 1000 }))
  fails(wsock.ETOOBIG, server:room("more"))
  equal(one:join(conn), true)
  fails(wsock.ETOOBIG, two:join(conn))
  fails(wsock.ETOOBIG, server:subscribe(conn, ">"))
  t.connect(url)
  await("it opens", function() return #server.conns == 2 end)
  for _, other in ipairs(server.conns) do
    if other ~= conn then fails(wsock.ETOOBIG, one:join(other)) end
  end
  for i = 1, 100 do kept:broadcast(("%d"):format(i) .. (" "):rep(1000)) end
  local messages = kept:history()
  assert(#messages > 5 and #messages < 16)
  equal(messages[#messages].data:match("%d+"), "100")
  equal(messages[#messages].prev, messages[#messages - 1].offset)
end)

test("who matches twice hears once", function()
  local server, peers, conns = people("ann")
  for _, pattern in ipairs { "a.*", "a.>", ">" } do server:subscribe(peers[1], pattern) end
  local room = assert(server:room("a.b"))
  room:join(peers[1])
  room:broadcast("1")
  room:broadcast("2")
  await("both", function() return conns[1].data[#conns[1].data] == "2" end)
  equal(table.concat(conns[1].data, " "), "1 2")
end)

test("slow members get the newest value of a key, or are closed with 1013", function()
  for _, policy in ipairs { "latest_only", "close" } do
    local server, peers, conns = people("ann")
    local room = assert(server:room("r", { slow_members = policy, slow_queue_messages = 4 }))
    room:join(peers[1])
    conns[1]:pause()
    local said = 0
    await("it is behind", again(function()
      for _ = 1, 20 do
        said = said + 1
        room:publish(said .. (" "):rep(60000), { key = "k" })
      end
      return room:dropped() > 3 or not peers[1].is_open
    end))
    if policy == "close" then
      conns[1]:resume()
      await("the end", function() return conns[1].data.closed end)
      equal(conns[1].data.closed, 1013)
    else
      equal(server:send_to("ann", "for you alone"), 1)
      conns[1]:resume()
      await("it is taken", again(function() return room:publish("end", { key = "k" }) > 0 end))
      await("the newest", function() return conns[1].data[#conns[1].data] == "end" end)
      local alone, before = 0, 0
      for _, data in ipairs(conns[1].data) do
        alone = alone + (data == "for you alone" and 1 or 0)
        local number = tonumber(data:match("^%d+"))
        assert(not number or number > before)
        before = number or before
      end
      equal(alone, 1)
      equal(peers[1].is_open, true)
    end
  end
end)

test("recovery is exact while connections are cut and others publish", function()
  local KEPT = 200
  local server, url = t.serve({}, {})
  local room = assert(server:room("r", { history = KEPT, slow_members = "close" }))
  local epoch, at, said, heard, cuts, lost = room:position().epoch, 0, {}, {}, 0, 0
  local seed = 6
  local function below(limit)
    seed = seed * 16807 % 2147483647
    return seed % limit
  end
  local function publish(count)
    for _ = 1, count do
      local text = "message " .. below(1000000)
      local _, position = room:publish(text)
      said[position.offset] = text
    end
  end
  for cut = 1, 30 do
    local conn = t.connect(url, { on_message = function(_, data)
      at = at + 1
      heard[at] = data
    end })
    await("it is told", function() return #server.conns == 1 end)
    publish(below(50))
    local ok, joined = room:join(server.conns[1], { since = { epoch = epoch, offset = at } })
    equal(ok, true)
    equal(joined.recovered, joined.position.offset - at <= KEPT)
    if not joined.recovered then
      at = joined.position.offset
      lost = lost + 1
    end
    local aim = at + 1 + below(80)
    await("messages", again(function()
      if room:position().offset - at < KEPT / 2 then publish(3) end
      return at >= aim
    end));
    (cut % 2 == 0 and conn or server.conns[1]):reset()
    await("the end", function() return conn.data.closed and #server.conns == 0 end)
    publish(cut % 3 == 0 and KEPT + 1 or 7)
    cuts = cuts + 1
  end
  equal(cuts, 30)
  equal(lost, 9)
  for offset, data in pairs(heard) do equal(data, said[offset]) end
end)

t.done()
