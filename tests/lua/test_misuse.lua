-- SPDX-License-Identifier: MIT
-- Every public name, with all kinds of values in each place where they are wrong: an error or
-- a refusal each time, and never a crash. A name that is not told here fails.

local wsock = require "wsock"
local t = require "support"
local equal, await, test = t.equal, t.await, t.test
local unpack = table.unpack or unpack

local huge = ("x"):rep(3 * 1024 * 1024)

-- What each function takes behind the object: kinds of values, with ? for what may be nil.
local signatures = {
  wsock = {
    server = { "table" }, client = { "table" }, connect = { "table" },
    tick = { "milliseconds", "count?" }, tick_until = { "moment", "count?" },
    poll = { "count?" }, wait = { "limit?" }, loop = {}, stop = {}, close = { "seconds?" },
    now = {}, after = { "seconds", "fn" }, every = { "period", "fn" }, call = { "fn", "any" },
    message = { "payload", "table?" }, sleep = { "seconds" }, resume = { "thread" },
    set = { "name", "number" }, fd = {}, arm = {}, secret_equal = { "text?", "text?" },
    jwt_key = { "key_options" }, strerror = { "code" }, error_name = { "code" }, cause_text = { "code" },
  },
  server = {
    endpoint = { "text", "table" }, listen = { "text" }, unlisten = { "text" },
    room = { "text", "table?" }, find_room = { "text" }, room_defaults = { "payload", "table" },
    subscribe = { "conn", "text" }, unsubscribe = { "conn", "text" },
    send_to = { "payload", "data" }, disconnect = { "text", "code?", "text?" },
    conns_of = { "payload" }, on_http = { "fn?" }, stop = {}, loop = {},
    reload = {}, set = { "name", "number" }, get = { "name" },
    tick = { "milliseconds", "count?" }, tick_until = { "moment", "count?" },
    poll = { "count?" }, after = { "seconds", "fn" }, every = { "period", "fn" },
    call = { "fn", "any" }, away = { "day", "any" }, rooms = { "text?" }, nodes = { "fn?" },
    cluster = {}, on_cluster = { "fn?" },
  },
  endpoint = { set = { "name", "number" } },
  client = {
    connect = {}, start = {}, stop = { "code?", "text?" }, send = { "data" },
    send_text = { "data" }, send_binary = { "data" }, set = { "name", "number" },
  },
  conn = {
    send = { "data" }, send_text = { "data" }, send_binary = { "data" }, begin = { "any" },
    append = { "payload" }, finish = {}, ping = { "payload?" }, close = { "code?", "text?" },
    reset = {}, pause = {}, resume = {}, drained = {}, response_header = { "text" },
    after = { "seconds", "fn" }, every = { "period", "fn" }, call = { "fn", "any" },
    set_identity = { "payload" },
  },
  room = {
    join = { "conn", "table?" }, leave = { "conn" }, broadcast = { "data", "conn?" },
    broadcast_text = { "data", "conn?" }, broadcast_binary = { "data", "conn?" },
    broadcast_if = { "fn", "data" }, count = {}, members = {}, with = { "codec" },
    publish = { "data", "table?" }, send_to = { "payload", "data" }, people = {}, position = {},
    info = { "conn" }, history = { "count?", "count?" }, kick = { "who", "text?" },
    close = { "text?" }, may_publish = { "conn" }, dropped = { "conn?" }, get = { "name" },
    on_join = { "fn?" }, on_leave = { "fn?" }, on_message = { "fn?" },
    people_everywhere = { "fn?" },
  },
  request = {
    offers = { "text" }, accept = { "table?" }, reject = { "code?", "text?" },
    respond = { "code", "payload?", "text?", "table?" }, defer = {},
  },
  timer = { cancel = {} },
  ask = {
    accept = { "table?" }, refuse = { "refusal?", "text?", "any" }, reply = { "json" }, defer = {},
  },
  jwt_key = { verify = { "token", "table?" } },
  jwt = { may_join = { "text" }, may_publish = { "text" }, may_direct = {} },
}
-- What wsock.lua's parts call each other for.
local internal = { new = true, opened = true, closed = true, tls_of = true,
  send_to_by = true }

local function number_in(low, high, whole)
  return function(v)
    return type(v) == "number" and v >= low and v <= high and (not whole or v % 1 == 0)
  end
end

local function of_type(name)
  return function(v) return type(v) == name end
end

-- Whether a value is of a kind, by the objects of the test.
local function kinds_with(objects)
  -- What has the handle of one is one.
  local function is(kind)
    return function(v)
      return type(v) == "table" and tostring(rawget(v, 1)):match("^wsock%.([%a_]+)") == kind
    end
  end
  local kinds = {
    table = of_type "table", fn = of_type "function", thread = of_type "thread",
    payload = of_type "string", milliseconds = number_in(-math.huge, 1e12),
    moment = number_in(-math.huge, 1e9), seconds = number_in(0, 1e9),
    limit = number_in(-math.huge, 2e6), period = number_in(0.001, 1e9),
    count = number_in(0, 2147483647, true), code = number_in(-2147483648, 2147483647, true),
    number = number_in(0, math.huge, true), any = function() return true end,
    text = function(v)
      return type(v) == "number" or type(v) == "string" and not v:find("%z")
    end,
    day = number_in(0, 86400), json = function(v) return v == objects.good.json end,
    refusal = function(v) return v == objects.good.refusal or v == "x" end,
    name = function(v) return v == objects.good.name end,
    token = function(v) return v == objects.good.token end,
    key_options = function(v) return v == objects.good.key_options end,
    who = function(v) return type(v) == "string" or is "conn"(v) end,
    data = function(v) return type(v) == "string" or is "message"(v) end,
    codec = function(v) return type(v) == "table" and v.encode ~= nil end,
  }
  for kind in pairs(signatures) do
    if kind ~= "wsock" then kinds[kind] = is(kind) end
  end
  return kinds
end

local values, count = {}, 0
local function add(value)
  count = count + 1
  values[count] = value
end

local good = {
  table = {}, fn = function() end, thread = coroutine.create(function() end), payload = "x", who = "x",
  milliseconds = 0, moment = 0, seconds = 1000, limit = 0, period = 1000, count = 0, code = 1000,
  number = 65536, any = 1, text = "x", name = "max_message_bytes", data = "x",
  codec = { encode = tostring, decode = tostring }, key_options = { key = t.secret },
  token = t.token, day = 1, json = "5", refusal = "no",
}

-- Objects of every class, and the values that the sweep is made of.
local function make_objects()
  local request
  local server, url = t.serve { on_request = function(req) request = req end }
  local objects = {
    wsock = wsock, server = server, client = assert(wsock.client { url = url }),
    conn = t.connect(url), closed = t.connect(url), room = assert(server:room("r")),
    request = request, timer = wsock.after(1000, good.fn), message = assert(wsock.message("x")),
    endpoint = assert(server:endpoint("/", {})), good = good,
  }
  local key, _, code = wsock.jwt_key(good.key_options)
  if key then
    objects.jwt_key, objects.jwt = key, assert(key:verify(good.token))
  else
    equal(code, wsock.ENOTSUP)
    signatures.jwt_key, signatures.jwt = nil, nil
  end
  objects.ask = t.open_question()
  if not objects.ask then signatures.ask = nil end
  objects.closed:reset()
  await("the end", function() return objects.closed.data.closed end)
  count = 0
  for _, value in ipairs { true, 0, -1, 1.5, 2 ^ 53, -1e300, 1e300, 0 / 0, 1 / 0, "", "x", "a\0b",
    {}, { 1 }, { io.stdout }, setmetatable({}, { __index = function() return 1 end }), good.fn,
    type, io.stdout, good.thread } do
    add(value)
  end
  add(false)
  add(nil)
  for kind, object in pairs(objects) do
    if kind ~= "good" then
      add(object)
      if kind ~= "wsock" then
        add(object[1])
        add({ object[1] })
      end
    end
  end
  good.conn = objects.conn
  return objects
end

local function show(value)
  local text = tostring(value)
  return type(value) .. " " .. text:sub(1, 40)
end

-- It failed in a way that a script can deal with.
local function failed(ok, first, second)
  if not ok then return type(first) == "string" end
  return not first and type(second) == "string"
end

local function in_coroutine(fn, ...)
  local co = coroutine.create(function(...) return fn(...) end) -- Lua 5.1 takes none of C's
  local results = { coroutine.resume(co, ...) }
  if results[1] and coroutine.status(co) == "suspended" then return true, "waits" end
  return unpack(results, 1, 4)
end

-- All wrong values in one place of a call, the others being right.
local function sweep(report, call, name, kinds, args, place, kind)
  local wrong = 0
  local optional = kind:sub(-1) == "?"
  local accepts = kinds[(kind:gsub("%?$", ""))]
  for i = 1, count do
    local value = values[i]
    local right = value == nil and optional
    if not right then right = accepts(value) end
    if not right then
      wrong = wrong + 1
      local n = args.n
      local given = { unpack(args, 1, n) }
      given[place] = value
      if not failed(call(unpack(given, 1, n))) then
        report[#report + 1] = ("%s accepts %s for argument %d"):format(name, show(value), place)
      end
    end
  end
  return wrong
end

local function arguments(object, signature)
  local args = { object }
  local n = object ~= wsock and 1 or 0
  for _, kind in ipairs(signature) do
    n = n + 1
    args[n] = good[(kind:gsub("%?$", ""))]
  end
  args.n = n
  return args
end

test("wrong arguments are refused by every public name", function()
  local objects = make_objects()
  local kinds = kinds_with(objects)
  local report, names, wrong = {}, 0, 0
  for kind, functions in pairs(signatures) do
    local object = objects[kind]
    for name, signature in pairs(functions) do
      local fn = object[name]
      equal(type(fn), "function", kind .. "." .. name)
      names = names + 1
      local full = kind .. "." .. name
      local function call(...)
        if name == "sleep" or name == "drained" then return in_coroutine(fn, ...) end
        return pcall(fn, ...)
      end
      local args = arguments(object, signature)
      local first = object ~= wsock and 1 or 0
      if first == 1 then
        wrong = wrong + sweep(report, call, full, kinds, args, 1, kind)
      end
      for i, of in ipairs(signature) do
        wrong = wrong + sweep(report, call, full, kinds, args, first + i, of)
      end
    end
  end
  table.sort(report)
  equal(table.concat(report, "\n"), "")
  assert(names > 75 and wrong > 3000, names .. " " .. wrong)
  equal(objects.conn.is_open, true)
  equal(objects.server.stopped, false)
end)

test("every public name is among them", function()
  local objects, missing = make_objects(), {}
  for kind, functions in pairs(signatures) do
    local names = t.names_of(objects[kind])
    for name in pairs(names) do
      if not functions[name] and not internal[name] then
        missing[#missing + 1] = kind .. "." .. name
      end
    end
  end
  table.sort(missing)
  equal(table.concat(missing, " "), "")
end)

test("huge texts are refused, or taken whole, everywhere", function()
  local objects = make_objects()
  local calls = 0
  for kind, functions in pairs(signatures) do
    for name, signature in pairs(functions) do
      local first = objects[kind] ~= wsock and 1 or 0
      for i, of in ipairs(signature) do
        if of:find("^text") or of:find("^name") or of:find("^payload") or of == "data" then
          local args = arguments(objects[kind], signature)
          args[first + i] = huge
          pcall(objects[kind][name], unpack(args, 1, args.n))
          calls = calls + 1
        end
      end
    end
  end
  assert(calls > 30, calls)
  t.fails(wsock.ETOOBIG, objects.closed:ping(huge))
  t.fails(wsock.EURL, wsock.server { listen = "ws://" .. huge })
  local server = assert(wsock.server {})
  t.fails(wsock.EINVAL, server:room(huge))
  assert(not pcall(wsock.server, { [huge] = 1 }))
  assert(not pcall(wsock.server, { max_message_bytes = huge }) or true)
end)

test("any arguments at all crash nothing", function()
  wsock.on_error = function() end -- of nonsense that was called later
  local objects = make_objects()
  local random, calls = 1, 0
  local function pick()
    random = (random * 16807) % 2147483647
    return values[random % count + 1]
  end
  -- These wait, or end what the others are tried on.
  local skip = { tick = true, tick_until = true, wait = true, loop = true, close = true, stop = true,
    after = true, every = true, set = true }
  for kind, functions in pairs(signatures) do
    for name in pairs(functions) do
      if not skip[name] then
        local fn = objects[kind][name]
        for round = 1, 200 do
          local own = round % 2 == 0 and objects[kind] or pick()
          in_coroutine(fn, unpack({ own, pick(), pick(), pick() }, 1, round % 5))
          calls = calls + 1
        end
      end
    end
  end
  assert(calls > 9000, calls)
  t.quietly(function() wsock.poll() end)
end)

test("what handlers are given is a function", function()
  for _, wrong in ipairs { 5, "x", {}, true } do
    assert(not pcall(function() wsock.on_error = wrong end))
    assert(not pcall(function() wsock.on_log = wrong end))
    for _, name in ipairs { "on_error", "on_stopped", "on_http" } do
      t.raises("not a function", wsock.server, { [name] = wrong })
    end
    for _, name in ipairs { "on_error", "on_state", "on_open", "on_message" } do
      t.raises("not a function", wsock.client, { url = "ws://127.0.0.1:1", [name] = wrong })
    end
  end
  t.raises("URL", wsock.server, { listen = { "ws://127.0.0.1:0", {} } })
  t.raises("URL", wsock.server, { listen = 5 })
  t.raises("option", wsock.message, "x", { compressed = true })
  equal(wsock.loop(), true, "nothing is left behind")
end)

t.done()
