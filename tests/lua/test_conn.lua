-- SPDX-License-Identifier: MIT
-- Requests, messages, rooms and ends, both ends of each in one state.

local wsock = require "wsock"
local t = require "support"
local equal, await, test = t.equal, t.await, t.test

test("text and binary come as they were sent", function()
  local kinds = {}
  local _, url = t.serve {
    on_message = function(conn, data, binary)
      kinds[#kinds + 1] = binary
      if binary then conn:send_binary(data) else conn:send(data) end
    end,
  }
  local conn = t.connect(url)
  equal(conn:send("grüße"), true)
  await("text", function() return conn.data[1] end)
  equal(conn.data[1], "grüße")
  equal(conn.data.kinds[1], false)
  equal(conn:send_binary("\0\255\1"), true)
  await("binary", function() return conn.data[2] end)
  equal(conn.data[2], "\0\255\1")
  equal(conn.data.kinds[2], true)
  equal(kinds[1], false)
  equal(kinds[2], true)
  t.fails(wsock.EUTF8, conn:send("\255"))
end)

test("with the option binary, send() sends binary", function()
  local _, url = t.serve {
    binary = true,
    on_message = function(conn, data) conn:send(data) conn:send_text(data) end,
  }
  local conn = t.connect(url)
  conn:send("x")
  await("both", function() return conn.data[2] end)
  equal(conn.data.kinds[1], true)
  equal(conn.data.kinds[2], false)
end)

test("a codec stands between handlers and the wire", function()
  local codec = {
    encode = function(value) return "<" .. value.text .. ">" end,
    decode = function(data) return { text = data:match("^<(.*)>$") or error("no value") } end,
  }
  local _, url = t.serve {
    codec = codec,
    on_message = function(conn, value) conn:send { text = value.text:upper() } end,
  }
  local conn = t.connect(url, { codec = codec })
  conn:send { text = "abc" }
  await("an answer", function() return conn.data[1] end)
  equal(conn.data[1].text, "ABC")
  conn:send_text("nonsense")
  local complaint = t.quietly(function()
    await("the end", function() return conn.data.closed end)
  end)
  equal(conn.data.closed, 1011)
  assert(complaint:find("no value", 1, true), complaint)
end)

test("a request tells what the client said", function()
  local seen
  local server = t.serve({})
  server:stop()
  server = assert(wsock.server { listen = "ws://127.0.0.1:0" })
  assert(server:endpoint("/rooms/{id}", {
    on_request = function(req)
      seen = {
        path = req.path, path_only = req.path_only, id = req.params.id, q = req.query.q,
        all = table.concat(req.query:get_all("q"), "+"), header = req.headers["X-Thing"],
        headers = table.concat(req.headers:get_all("x-thing"), "+"),
        cookie = req.cookies.a, method = req.method, user = req.user,
        password = req.password, authorization = req.authorization,
        peer = req.peer_address, remote = req.remote_address,
        subprotocols = table.concat(req.subprotocols, "+"), tls = req.tls,
        offers = req:offers("b"), nothing = req.headers.nothing, host = req.host,
        upgrade = req.upgrade, secure = req.secure,
      }
      return { identity = "bob", info = "i", subprotocol = "b",
        headers = { ["X-Answer"] = "yes" } }
    end,
    on_open = function(conn)
      conn:send(table.concat({ conn.identity, conn.info, conn.params.id,
        conn.request.query.q, conn.subprotocol }, " "))
    end,
  }))
  local url = server.url:gsub("//", "//me:secret@")
  local conn = t.connect(url .. "/rooms/a%20b?q=1&q=2", {
    headers = { ["x-thing"] = "one", Cookie = "a=b" }, subprotocols = { "a", "b" },
  })
  await("a message", function() return conn.data[1] end)
  equal(conn.data[1], "bob i a b 1 b")
  equal(conn:response_header("x-answer"), "yes")
  equal(conn.subprotocol, "b")
  equal(seen.path, "/rooms/a%20b?q=1&q=2")
  equal(seen.path_only, "/rooms/a b")
  equal(seen.id, "a b")
  equal(seen.q, "1")
  equal(seen.all, "1+2")
  equal(seen.header, "one")
  equal(seen.headers, "one")
  equal(seen.cookie, "b")
  equal(seen.method, "GET")
  equal(seen.user, "me")
  equal(seen.password, "secret")
  assert(seen.authorization:find("^Basic "))
  assert(seen.peer:find("^127%.0%.0%.1:"))
  equal(seen.peer, seen.remote)
  equal(seen.subprotocols, "a+b")
  equal(seen.tls, nil)
  equal(seen.offers, true)
  equal(seen.nothing, nil)
  equal(seen.upgrade, true)
  equal(seen.secure, false)
  assert(server.url:find(seen.host, 1, true))
end)

test("on_request refuses with a status and a text", function()
  local verdicts = {
    function() return false, 401, "who are you?" end,
    function(req) req:reject(418) end,
    function() return false end,
  }
  for i, status in ipairs { 401, 418, 403 } do
    local _, url = t.serve { on_request = verdicts[i] }
    local conn = t.connect(url)
    equal(conn.data.info.http_status, status)
    equal(conn.data.info.cause, wsock.CAUSE_REFUSED)
    equal(conn.is_open, false)
  end
end)

test("an answer that could not be given lets nobody in", function()
  local caught = {}
  local attempts = {
    function(req) return req:accept { identity = "" } end,
    function(req) return req:accept { headers = { ["a b"] = "c" } } end,
    function(req) req:accept { identity = "" } return false, 401 end,
    function(req) req:reject(99) end,
    function(req) if not req:accept { identity = "" } then req:accept { identity = "me" } end end,
  }
  for i, status in ipairs { 500, 500, 401, 500, 101 } do
    local server, url = t.serve({ on_request = attempts[i] },
      { on_error = function(err) caught[#caught + 1] = err end })
    local conn = t.connect(url)
    equal(conn.is_open, status == 101, i)
    if status ~= 101 then equal(conn.data.info.http_status, status) end
  end
  equal(#caught, 3)
  assert(caught[1]:find("identity", 1, true), caught[1])
end)

test("a request may be answered later, and not twice", function()
  local kept
  local _, url = t.serve { on_request = function(req) kept = req return req:defer() end }
  local conn = assert(wsock.connect { url = url })
  await("the request", function() return kept end)
  equal(conn.is_open, false)
  equal(kept:accept { identity = "seven" }, true)
  await("it opens", function() return conn.is_open end)
  t.fails(wsock.ECLOSED, kept:accept())
  t.fails(wsock.ECLOSED, kept:reject(400))
end)

test("on_request_cancelled tells of requests that it is too late for", function()
  local kept, cancelled, other = {}, {}, {}
  local server, url = t.serve({
    on_request = function(req)
      kept[#kept + 1] = req
      if req.query.slow then
        wsock.sleep(0.2)
        other.verdict = true
        return { identity = "one" }
      end
      return req:defer()
    end,
    on_request_cancelled = function(req)
      cancelled[#cancelled + 1] = req
      if req.query.bad then error("bad cancel") end
    end,
    on_open = function() other.opened = true end,
  }, { request_timeout = "50ms" })
  local caught = {}
  server.on_error = function(err, conn) caught[#caught + 1] = { tostring(err), conn } end
  local late = t.connect(url)
  equal(late.data.info.http_status, 503)
  await("it is told", function() return cancelled[1] end)
  equal(cancelled[1], kept[1], "the same object")
  t.fails(wsock.ECLOSED, cancelled[1]:accept())
  t.fails(wsock.ECLOSED, cancelled[1]:reject(400))
  -- Of a handler that waits, and whose verdict then comes to nothing.
  local slow = t.connect(url .. "?slow=1")
  equal(slow.data.info.http_status, 503)
  await("the verdict", function() return other.verdict end)
  equal(cancelled[2], kept[2])
  -- What it raises goes to on_error.
  t.connect(url .. "?bad=1")
  await("the error", function() return caught[1] end)
  assert(caught[1][1]:find("bad cancel", 1, true))
  equal(caught[1][2], nil)
  -- Nobody holds this one.
  assert(server:endpoint("/", {
    on_request = function(req) return req:defer() end,
    on_request_cancelled = function(req) collectgarbage() other.path = req.path end,
  }))
  local look = wsock.every(0.01, function() collectgarbage() end)
  t.connect(url .. "?x")
  await("it", function() return other.path end)
  look:cancel()
  equal(other.path, "/?x")
  equal(other.opened, nil)
  equal(#caught, 1)
end)

-- What curl hears: the status, and the body of the answer. Arguments are for the shell.
local function curl(server, path, arguments)
  local name = os.tmpname()
  os.execute(("env -u LD_PRELOAD curl -s -m 20 -w '|%%{http_code}' %s %s > %s &"):format(
    arguments or "", server.url:gsub("^ws", "http") .. path, name))
  local body, status
  local look = wsock.every(0.01, function() end) -- curl ends without an event of ours
  await("curl", function()
    local f = io.open(name)
    body, status = f:read("*a"):match("^(.*)|(%d%d%d)$")
    f:close()
    return status
  end)
  look:cancel()
  os.remove(name)
  return status, body
end

test("plain requests are answered by on_http", function()
  local paths = {}
  local server = assert(wsock.server {
    listen = "ws://127.0.0.1:0",
    on_http = function(req)
      paths[#paths + 1] = req.path
      if req.path == "/bad" then error("bad") end
      req:respond(200, "hello", "text/plain", { ["X-A"] = "b" })
    end,
  })
  t.quietly(function() equal(curl(server, "/bad"), "500") end)
  equal(table.concat({ curl(server, "/good") }, " "), "200 hello")
  equal(curl(server, "/note", "-d hello"), "405") -- there is no POST without the option
  equal(table.concat(paths, " "), "/bad /good")
end)

test("a plain POST brings its body, up to max_body_bytes", function()
  local seen = {}
  local server = assert(wsock.server {
    listen = "ws://127.0.0.1:0",
    max_body_bytes = 10,
    on_http = function(req)
      seen[#seen + 1] = req.method .. " " .. req.body
      req:respond(201, req.body:reverse())
    end,
  })
  local function post(body)
    return table.concat({ curl(server, "/note", "--data-binary '" .. body .. "'") }, " ")
  end
  equal(post("hello\r\n"), "201 \n\rolleh")
  equal(post("0123456789"), "201 9876543210")
  equal(post(""), "201 ")
  equal(curl(server, "/note"), "201")
  equal(post("0123456789a"), "413 the body is larger than max_body_bytes\n")
  assert(server:set("max_body_bytes", 11))
  equal(post("0123456789a"), "201 a9876543210")
  equal(table.concat(seen, "|"),
    "POST hello\r\n|POST 0123456789|POST |GET |POST 0123456789a")
end)

test("a room reaches its members, but one, in order", function()
  local server, url = t.serve {}
  local conns = {}
  server:endpoint("/", { on_open = function(conn) conns[#conns + 1] = conn end })
  local a, b = t.connect(url), t.connect(url)
  await("both", function() return #conns == 2 end)
  local room = assert(server:room("lobby.1"))
  equal(server:find_room("nowhere"), nil)
  equal(room.name, "lobby.1")
  for _, conn in ipairs(conns) do equal(room:join(conn), true) end
  equal(room:count(), 2)
  equal(room:broadcast("all"), 2)
  equal(assert(server:find_room("lobby.1")):broadcast_binary("most", conns[1]), 1)
  local members = room:members()
  equal(#members, 2)
  assert(members[1] == conns[1] or members[1] == conns[2], "the same objects")
  equal(room:leave(conns[1]), true)
  local codec = { encode = function(v) return "n" .. v end, decode = tonumber }
  equal(room:with(codec):broadcast(1), 1)
  await("the messages", function() return #a.data + #b.data == 4 end)
  t.fails(wsock.EINVAL, server:room("a..b"))
  t.fails(wsock.EUTF8, room:broadcast("\255"))
end)

test("the end comes once, with its code, reason and cause", function()
  local ends = {}
  local server, url = t.serve {
    on_close = function(conn, code, reason, info)
      ends[#ends + 1] = { conn, code, reason, info.cause, info.began }
    end,
  }
  local conn = t.connect(url)
  await("the server's", function() return #server.conns == 1 end)
  equal(conn:close(4001, "done"), true)
  await("both ends", function() return conn.data.closed and ends[1] end)
  equal(#ends, 1)
  equal(ends[1][2], 4001)
  equal(ends[1][3], "done")
  equal(ends[1][4], wsock.CAUSE_CLOSED)
  equal(ends[1][5], wsock.BY_PEER)
  t.fails(wsock.ECLOSED, ends[1][1]:send("x"))
  t.fails(wsock.ECLOSED, conn:close())
  equal(ends[1][1].is_open, false)
  equal(conn.url, url)
  equal(ends[1][1].url, "")
  assert(ends[1][1].id > 0 and ends[1][1].remote_address:find("127.0.0.1", 1, true))
  equal(ends[1][1].local_address, conn.remote_address)
  equal(conn.local_address, ends[1][1].remote_address)
  equal(server.conn_count, 0)
end)

test("handlers registered again replace those of open connections", function()
  local server, url = t.serve { on_message = function(conn) conn:send("old") end }
  local conn = t.connect(url)
  conn:send("?")
  await("old", function() return conn.data[1] == "old" end)
  assert(server:endpoint("/", { on_message = function(c) c:send("new") end }))
  conn:send("?")
  await("new", function() return conn.data[2] == "new" end)
  assert(server:endpoint("/", {}))
  equal(conn:send("?"), true)
end)

test("messages in parts, pings and pongs pass", function()
  local parts, pongs, bad = {}, {}, 0
  local _, url = t.serve {
    on_part = function(_, data, binary, first, last)
      parts[#parts + 1] = data .. (first and "[" or "") .. (last and "]" or "")
      if binary then bad = bad + 1 end
    end,
  }
  local conn = t.connect(url, { on_pong = function(_, data) pongs[#pongs + 1] = data end })
  equal(conn:begin(), true)
  t.fails(wsock.EBUSY, conn:begin(true))
  equal(conn:append("one"), true)
  equal(conn:finish(), true)
  t.fails(wsock.ENOENT, conn:finish())
  conn:ping("p")
  await("parts and pong", function()
    return #pongs > 0 and #parts > 0 and parts[#parts]:find("]", 1, true)
  end)
  equal(pongs[1], "p")
  equal(bad, 0)
  assert(parts[1]:find("[", 1, true))
end)

test("a full backlog answers nil, and on_drain follows", function()
  local drained
  local server, url = t.serve({ on_drain = function(conn) drained = conn end },
    { max_backlog_bytes = "64KiB" })
  local conn = t.connect(url)
  conn:pause()
  await("the server's", function() return #server.conns == 1 end)
  local peer, chunk = server.conns[1], ("x"):rep(32768)
  local ok, message, code
  repeat ok, message, code = peer:send(chunk) until not ok
  equal(message, "backlog full")
  equal(code, wsock.EAGAIN)
  -- One that the worker was taking over may have counted twice.
  assert(peer.buffered > 65536 - #chunk, peer.buffered)
  conn:resume()
  await("on_drain", function() return drained end)
  equal(drained, peer)
  equal(peer:send("more"), true)
end)

test("a client that is started comes back", function()
  local states = {}
  local server, url = t.serve { on_message = function(conn) conn:close(1012) end }
  local client = assert(wsock.client {
    url = url, reconnect_delay = "1ms", reconnect_max_delay = "1ms",
    on_state = function(_, state) states[#states + 1] = state end,
  })
  equal(client.state, "closed")
  t.fails(wsock.ECLOSED, client:send("x"))
  equal(client:start(), true)
  t.fails(wsock.EBUSY, client:start())
  await("open", function() return client.conn end)
  equal(client:send("go away"), true)
  await("open again", function() return #states >= 5 and client.state == "open" end)
  equal(client:stop(1000, "enough"), true)
  await("closed", function() return client.state == "closed" end)
  equal(table.concat(states, " "), "connecting open waiting connecting open closed")
  server:stop()
  equal(server:loop(), true)
end)

t.done()
