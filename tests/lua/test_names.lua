-- SPDX-License-Identifier: MIT
-- Every public name is in docs/lua.md and in the annotations.

local wsock = require "wsock"
local t = require "support"

local root = assert(os.getenv("WSOCK_ROOT"))

local function words_of(path)
  local file = assert(io.open(root .. path))
  local words = {}
  for word in file:read("*a"):gmatch("[%w_]+") do words[word] = true end
  file:close()
  return words
end

local function add(names, of)
  for name, value in pairs(of) do
    if type(name) == "string" and type(value) == "function" and not name:find("^_") then
      names[name] = true
    end
  end
end

-- Methods and properties of an object: of its metatable, and what __index looks into.
local function names_of(object)
  local names, meta = {}, getmetatable(object)
  add(names, meta)
  for i = 1, 10 do
    if type(meta.__index) ~= "function" then break end
    local upvalue, value = debug.getupvalue(meta.__index, i)
    if not upvalue then break end
    if upvalue == "getters" or upvalue == "class" or value == meta
      or upvalue == "Request" then
      add(names, value)
    end
  end
  return names
end

t.test("docs and annotations have every name", function()
  local request
  local server, url = t.serve { on_request = function(req) request = req end }
  local client = assert(wsock.client { url = url })
  local conn = t.connect(url)
  local objects = { wsock = wsock, server = server, client = client, conn = conn,
    room = assert(server:room("r")), request = request, timer = wsock.after(0, function() end),
    endpoint = assert(server:endpoint("/", {})) }
  -- What wsock.lua's parts call each other for.
  local internal = { new = true, opened = true, closed = true, tls_of = true }
  local docs, annotations = words_of("/docs/lua.md"), words_of("/bindings/lua/types/wsock.lua")
  local count, missing = 0, {}
  for kind, object in pairs(objects) do
    local names = names_of(object)
    if object == wsock then add(names, wsock) end
    for name in pairs(names) do
      count = count + 1
      if not internal[name] and not (docs[name] and annotations[name]) then
        missing[#missing + 1] = kind .. "." .. name
      end
    end
  end
  table.sort(missing)
  t.equal(table.concat(missing, " "), "")
  assert(count > 90, count)
end)

t.done()
