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
    local a, bad = t.connect(url .. "/chat/tea"), t.connect(url .. "/chat/tea")
    says(a, "1 here", "%d joined")
    bad:send_binary("nonsense")
    await("the bad one's end", function() return bad.data.closed end)
    equal(bad.data.closed, 1003)
    says(a, "%d left")
    local b, elsewhere = t.connect(url .. "/chat/tea"), t.connect(url .. "/chat/coffee")
    says(b, "2 here")
    says(elsewhere, "1 here")
    b:send("more?")
    says(a, ": more%?")
    equal(#elsewhere.data, 1)
  end)
end)

test("auth", function()
  serving("auth", function(url)
    local function with(token) return { headers = { Authorization = "Bearer " .. token } } end
    refused(url .. "/rooms/team", 401)
    refused(url .. "/rooms/team", 401, with "wrong")
    refused(url .. "/rooms/board", 403, with "ben-secret")
    local anna = t.connect(url .. "/rooms/team", with "anna-secret")
    local ben = t.connect(url .. "/rooms/team", with "ben-secret")
    equal(anna:response_header("x-user"), "anna")
    ben:send("first") -- the one who hears it is a member
    says(ben, "ben: first")
    anna:send("hello")
    says(ben, "anna: hello")
    says(anna, "anna: hello")
  end)
end)

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
