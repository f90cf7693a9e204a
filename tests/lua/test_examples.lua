-- SPDX-License-Identifier: MIT
-- Each example in a process of its own: what it promises, and that it goes on after a
-- request and a message that are no good.

local wsock = require "wsock"
local t = require "support"
local equal, await, test = t.equal, t.await, t.test

local directory = assert(os.getenv("WSOCK_EXAMPLES"))
local support_directory = assert(os.getenv("WSOCK_TEST_DIRECTORY"))
local interpreter = arg[-1]

local function start(script, ...)
  local process = assert(io.popen(("ulimit -n $(ulimit -Hn); echo $$; exec '%s' '%s' %s 2>&1")
    :format(interpreter, script, table.concat({ ... }, " "))))
  return { pid = assert(process:read("*l")), out = process }
end

local function stop(example)
  os.execute("kill " .. example.pid .. " 2>/dev/null")
  example.out:close()
end

-- Run a server and give its URL to fn.
local function serving(name, fn)
  local example = start(directory .. "/" .. name .. ".lua", "ws://127.0.0.1:0")
  local url = (example.out:read("*l") or ""):match("^listening on (.*)$")
  local ok, err = pcall(fn, assert(url, name .. " does not listen"))
  stop(example)
  if not ok then error(err, 0) end
end

local function refused(url, status, options)
  local conn = t.connect(url, options)
  equal(conn.data.closed, 1006)
  equal(conn.data.info.http_status, status, url)
end

local function says(conn, ...)
  for i = 1, select("#", ...) do
    local expected = select(i, ...)
    await("\"" .. expected .. "\"", function()
      for _, line in ipairs(conn.data) do
        if line:find(expected) then return true end
      end
    end)
  end
end

test("echo", function()
  serving("echo", function(url)
    refused(url .. "/nowhere", 404)
    local conn = t.connect(url .. "/echo")
    conn:send("good")
    conn:send_binary("\0\1")
    says(conn, "^good$", "^%z\1$")
    equal(conn.data.kinds[1], false)
    equal(conn.data.kinds[2], true)
  end)
end)

test("chat", function()
  serving("chat", function(url)
    refused(url .. "/chat/a.b", 400)
    refused(url .. "/chat/tea?epoch=tea&offset=1", 400)
    refused(url .. "/chat/tea?epoch=1&offset=-1", 400)
    local a, bad = t.connect(url .. "/chat/tea"), t.connect(url .. "/chat/tea")
    says(a, "^%* at %x+ 0$", "^%* 1 here", "%d joined")
    bad:send_binary("nonsense")
    await("the bad one's end", function() return bad.data.closed end)
    equal(bad.data.closed, 1003)
    says(a, "%d left")
    local b, elsewhere = t.connect(url .. "/chat/tea"), t.connect(url .. "/chat/coffee")
    says(b, "^%* 2 here")
    says(elsewhere, "^%* 1 here", "joined")
    b:send("more?")
    says(a, ": more%?")
    equal(#elsewhere.data, 3)
  end)
end)

-- Where a chat's client is: each line of the room is one behind where it was told to be.
local function position_of(conn)
  local epoch, offset
  for _, line in ipairs(conn.data) do
    if line:find("^%* at") then epoch, offset = line:match("^%* at (%x+) (%d+)$") end
  end
  offset = tonumber(offset)
  for _, line in ipairs(conn.data) do
    if not line:find("^%*") then offset = offset + 1 end
  end
  return ("?epoch=%s&offset=%d"):format(epoch, offset)
end

test("chat: who comes back hears what it missed", function()
  serving("chat", function(url)
    local a, b = t.connect(url .. "/chat/tea"), t.connect(url .. "/chat/tea")
    b:send("one")
    says(a, ": one$")
    a:close()
    says(b, "left")
    for _, word in ipairs { "two", "three" } do b:send(word) end
    says(b, ": three$")
    local again = t.connect(url .. "/chat/tea" .. position_of(a))
    says(again, "^%* at", "left", ": two$", ": three$", "joined")
    local text = table.concat(again.data, "\n")
    assert(not text:find("gone") and not text:find("one"), text)
    again:send("four")
    says(again, ": four$")
    local stranger = t.connect(url .. "/chat/tea?epoch=1&offset=1")
    says(stranger, "gone", "joined")
    -- Who is new hears all that is kept.
    says(t.connect(url .. "/chat/tea"), ": one$", ": four$")
  end)
end)

test("auth", function()
  serving("auth", function(url)
    local function with(token) return { headers = { Authorization = "Bearer " .. token } } end
    refused(url .. "/rooms/team", 401)
    refused(url .. "/rooms/team", 401, with "wrong")
    refused(url .. "/rooms/board", 403, with "ben-secret")
    local anna = t.connect(url .. "/rooms/team", with "anna-secret")
    says(anna, "^here: anna$", "^anna comes$")
    local ben = t.connect(url .. "/rooms/team", with "ben-secret")
    equal(anna:response_header("x-user"), "anna")
    says(ben, "^here: anna, ben$")
    anna:send("hello")
    says(ben, "^anna: hello$")
    says(anna, "^ben comes$", "^anna: hello$")
    -- To one alone, on all of its connections; to one who is not there.
    local also = t.connect(url .. "/rooms/team", with "ben-secret")
    says(also, "^here: anna, ben$")
    anna:send("@ben psst")
    says(ben, "^anna to you: psst$")
    says(also, "^anna to you: psst$")
    anna:send("@carl psst")
    says(anna, "^carl does not hear you$")
    ben:send_binary("nonsense")
    await("its end", function() return ben.data.closed end)
    equal(ben.data.closed, 1003)
    also:send("still here")
    says(anna, "^ben: still here$")
    also:close()
    says(anna, "^ben goes$")
    t.connect(url .. "/rooms/team", with "ben-secret")
    local function count_of(what)
      return select(2, table.concat(anna.data, "\n"):gsub(what, ""))
    end
    await("he comes again", function() return count_of("ben comes") == 2 end)
    equal(count_of("ben goes"), 1)
    equal(count_of("anna to you"), 0)
  end)
end)

test("rooms", t.serves_rooms() and function()
  serving("rooms", function(url)
    url = url .. "/rooms"
    refused(url, 400)
    local function hello(token)
      return ('{"type":"hello","v":1,"token":"%s"}'):format(token)
    end
    local bad = t.speak(url, hello "wrong")
    says(bad, "who are you")
    await("the bad one's end", function() return bad.data.closed end)
    equal(bad.data.closed, 4401)
    local ben = t.speak(url, hello "ben-secret", '{"type":"join","room":"team.ann","id":1}',
      '{"type":"join","room":"news","id":2}', '{"type":"pub","room":"news","data":1,"id":3}',
      "nonsense", '{"type":"call","name":"days","id":4}', '{"type":"call","name":"hours","id":5}')
    says(ben, '"identity":"ben"', '"re":1.*"private"', '"re":2,"ok"', '"re":3.*"read_only"',
      '"bad_json"', '"re":4.*"unknown_call"', '"re":5,"ok":{"from":9,"to":17}')
    local ann = t.speak(url .. "/news", hello "ann-secret",
      '{"type":"join","room":"team.ann","id":1}',
      '{"type":"pub","room":"news","data":"hello","id":2}')
    says(ann, '"re":1,"ok"', '"re":2,"ok"', '"data":"hello"')
    says(ben, '"from":"ann".*"offset":1')
  end)
end or function() end)

test("client", function()
  local connections, lines = 0, {}
  local server, url = t.serve {
    on_open = function() connections = connections + 1 end,
    on_message = function(conn, data)
      lines[#lines + 1] = data
      if data == "line 2" and connections == 1 then return conn:close(1012) end
      conn:send(data)
    end,
  }
  wsock.tick(0)
  local example = start(directory .. "/client.lua", url, 5, 0.05)
  await("the last line", function() return lines[#lines] == "line 5" end)
  await("its end", function() return server.conn_count == 0 end)
  local text = example.out:read("*a")
  stop(example)
  equal(connections, 2)
  for _, expected in ipairs { "connecting", "open", "waiting: .*1012", "< hello", "< line 5",
    "closed" } do
    assert(text:find(expected), text)
  end
end)

test("ticker", function()
  serving("ticker", function(url)
    refused(url .. "/", 404)
    local bad = t.connect(url .. "/ticker")
    bad:send("nonsense")
    await("the bad one's end", function() return bad.data.closed end)
    equal(bad.data.closed, 1008)
    local many = start(support_directory .. "/subscribers.lua", url .. "/ticker", 1000)
    equal(many.out:read("*l"), "1000 heard, 0 wrong")
    stop(many)
    local conn = t.connect(url .. "/ticker")
    conn:send("count")
    says(conn, "^price ", "^count %d+$", "^tick %d+ ")
  end)
end)

test("game_server and game_bot", function()
  serving("game_server", function(url)
    refused(url .. "/match/m", 404)
    refused(url .. "/match/m/a%20b", 400)
    local a = t.connect(url .. "/match/m/anna")
    says(a, "joined anna", "^state %d+ anna ")
    refused(url .. "/match/m/anna", 409)
    local bad = t.connect(url .. "/match/m/bad")
    says(a, "joined bad")
    for _, text in ipairs { "go 2 0", "go nan 0", "go", "fly" } do
      bad = bad.is_open and bad or t.connect(url .. "/match/m/bad")
      bad:send(text)
      await("the bad one's end", function() return bad.data.closed end)
      equal(bad.data.closed, 1008, text)
      await("its leaving", function() return a.data[#a.data]:find("bad") == nil end)
    end
    says(a, "left bad")
    -- A bot in the same match and one in another.
    local bot = start(directory .. "/game_bot.lua", url, "m", "bot", 20)
    local other = start(directory .. "/game_bot.lua", url, "n", "bot", 5)
    a:send("go 1 0")
    says(a, "joined bot", "^state %d+ anna .* bot ", "left bot")
    assert(bot.out:read("*a"):find("over: 1000"))
    assert(other.out:read("*a"):find("over: 1000"))
    stop(bot)
    stop(other)
    local first, last = nil, 0
    for _, line in ipairs(a.data) do
      local number = tonumber(line:match("^state (%d+)"))
      if number then
        assert(number > last, "states out of order")
        first, last = first or number, number
      end
    end
    assert(last - first >= 20)
  end)
end)

t.done()
