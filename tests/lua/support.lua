-- SPDX-License-Identifier: MIT
-- For the tests of the Lua module: each test is a sentence and a function, and what it made
-- is gone behind it.

local wsock = require "wsock"

local support = { failed = 0, count = 0 }
--- A key of signed tokens, and a token without claims that it signed.
support.secret = "0123456789abcdef0123456789abcdef"
support.token = "eyJhbGciOiJIUzI1NiJ9.e30.x68P15GCa1HmSDdw4rVLsw6ZdUMyLZHfITcI3kWE3Eg"

local PATIENCE = tonumber(os.getenv("WSOCK_TEST_PATIENCE") or 20)

--- Run handlers until a condition holds.
function support.await(what, condition)
  local deadline = wsock.now() + PATIENCE
  while not condition() do
    local left = deadline - wsock.now()
    if left <= 0 then error("timed out: " .. what, 2) end
    assert(wsock.wait(left))
  end
end

local function show(value)
  return type(value) == "string" and string.format("%q", value) or tostring(value)
end

function support.equal(got, expected, what)
  if got ~= expected then
    error((what and what .. ": " or "") .. "got " .. show(got) .. ", expected "
      .. show(expected), 2)
  end
end

--- The call raises an error that holds the text.
function support.raises(text, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("no error was raised, expected: " .. text, 2) end
  if not tostring(err):find(text, 1, true) then
    error("another error was raised: " .. tostring(err), 2)
  end
end

--- A call that failed: nil, a text and that code.
function support.fails(code, result, message, got)
  if result ~= nil or type(message) ~= "string" or got ~= code then
    error("got " .. show(result) .. ", " .. show(message) .. ", " .. show(got)
      .. ", expected a failure with " .. tostring(wsock.error_name(code)), 2)
  end
end

--- What is written to stderr meanwhile is kept out of the log, and returned.
function support.quietly(fn)
  local lines, stderr = {}, io.stderr
  io.stderr = { write = function(_, ...) lines[#lines + 1] = table.concat { ... } end }
  local ok, err = pcall(fn)
  io.stderr = stderr
  if not ok then error(err, 0) end
  return table.concat(lines)
end

local function add_names(names, of)
  for name, value in pairs(of) do
    if type(name) == "string" and type(value) == "function" and not name:find("^_") then
      names[name] = true
    end
  end
end

--- The names of an object's methods, and of its properties if asked for: from its metatable,
-- and what __index looks into. Those of the module are its own.
function support.names_of(object, properties)
  local names, meta = {}, getmetatable(object)
  add_names(names, object == wsock and wsock or meta)
  for i = 1, 10 do
    if type(meta.__index) ~= "function" then break end
    local upvalue, value = debug.getupvalue(meta.__index, i)
    if not upvalue then break end
    if properties and upvalue == "getters" or upvalue == "class" or value == meta
      or upvalue == "Request" then
      add_names(names, value)
    end
  end
  return names
end

function support.test(name, fn)
  support.count = support.count + 1
  local ok, err = xpcall(fn, debug.traceback)
  wsock.on_error, wsock.on_log = nil, function() end
  wsock.close(5)
  wsock.on_log = nil
  if ok then
    print("ok - " .. name)
  else
    support.failed = support.failed + 1
    print("not ok - " .. name .. "\n" .. tostring(err))
  end
end

function support.done()
  print(("%d tests, %d failed"):format(support.count, support.failed))
  os.exit(support.failed == 0 and 0 or 1, true)
end

--- A server with one endpoint "/", and its URL.
function support.serve(handlers, options)
  options = options or {}
  options.listen = options.listen or "ws://127.0.0.1:0"
  local server = assert(wsock.server(options))
  assert(server:endpoint("/", handlers))
  return server, server.url .. "/"
end

--- A connection to it that is open; what it receives is in conn.data.
function support.connect(url, options)
  options = options or {}
  options.url = url
  options.on_message = options.on_message or function(conn, data, binary)
    conn.data[#conn.data + 1] = data
    conn.data.kinds = conn.data.kinds or {}
    conn.data.kinds[#conn.data] = binary
  end
  local on_close = options.on_close
  options.on_close = function(conn, code, reason, info)
    conn.data.closed, conn.data.reason, conn.data.info = code, reason, info
    if on_close then on_close(conn, code, reason, info) end
  end
  local conn = assert(wsock.connect(options))
  support.await("the connection opens", function() return conn.is_open or conn.data.closed end)
  return conn
end

--- Whether the library was built with what serving rooms takes.
function support.serves_rooms()
  local server = assert(wsock.server {})
  local endpoint, _, code = server:endpoint("/", { rooms = {} })
  if not endpoint then support.equal(code, wsock.ENOTSUP) end
  return endpoint ~= nil
end

--- A connection that speaks rooms.v1, and has sent these frames.
function support.speak(url, ...)
  local conn = support.connect(url, { subprotocols = { "wsock.rooms.v1" } })
  for i = 1, select("#", ...) do assert(conn:send((select(i, ...)))) end
  return conn
end

--- A question that waits for its answer; nil in a build that serves no rooms.
function support.open_question()
  if not support.serves_rooms() then return nil end
  local ask
  local server = assert(wsock.server { listen = "ws://127.0.0.1:0", endpoints = { ["/"] = {
    rooms = { on_call = function(asked)
      ask = asked
      return ask:defer()
    end },
  } } })
  support.speak(server.url, '{"type":"hello","v":1}', '{"type":"call","name":"x"}')
  support.await("the question", function() return ask end)
  return ask
end

return support
