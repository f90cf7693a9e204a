-- SPDX-License-Identifier: MIT
-- Every public name is in docs/lua.md, in the chapter about its kind, and in the annotations,
-- in its class and with its parameters.

local wsock = require "wsock"
local testing = require "wsock.testing"
local t = require "support"

local root = assert(os.getenv("WSOCK_ROOT"))

local function lines_of(path)
  local lines = {}
  for line in io.lines(root .. path) do lines[#lines + 1] = line end
  return lines
end

-- Chapter of docs/lua.md: words in it.
local function chapters_of(path)
  local chapters, words = {}, {}
  for _, line in ipairs(lines_of(path)) do
    local title = line:match("^## (.*)$")
    if title then
      words = {}
      chapters[title] = words
    end
    for word in line:gmatch("[%w_]+") do words[word] = true end
  end
  return chapters
end

-- What stands above a function says which parameters it has, in that order.
local function check_params(line, named)
  local params = {}
  for param in line:match("%((.-)%)"):gmatch("[%w_]+") do params[#params + 1] = param end
  t.equal(table.concat(named, ", "), table.concat(params, ", "), line)
  return line:find("...", 1, true) and "any" or #params
end

-- Class: its names, and of functions how many parameters they have.
local function classes_of(path, of_module)
  local classes, class, named, locals = { [of_module] = {} }, nil, {}, { [of_module] = of_module }
  for _, line in ipairs(lines_of(path)) do
    local param = line:match("^%-%-%-@param ([%w_]+)")
    local receiver, name = line:match("^function ([%w_]+)[.:]([%w_]+)%(")
    class = line:match("^%-%-%-@class ([%w_.]+)") or class
    if param then named[#named + 1] = param end
    if line:find("^%-%-%-@class") then classes[class] = classes[class] or {} end
    local field = line:match("^%-%-%-@field ([%w_]+)")
    if field then classes[class][field] = "any" end
    local own = line:match("^local ([%w_]+) = {}")
    if own and own ~= of_module then locals[own] = class end
    if name then classes[locals[receiver]][name] = check_params(line, named) end
    if not line:find("^%-%-%-") then named = {} end
  end
  return classes
end

-- How many parameters a function of Lua's has behind self, where that can be known.
local function count_params(fn, is_method)
  local info = type(fn) == "function" and debug.getinfo(fn, "u")
  if not info or info.isvararg or not info.nparams then return "any" end
  return info.nparams - (is_method and 1 or 0)
end

-- What wsock.lua's parts call each other for.
local internal = { new = true, opened = true, closed = true, tls_of = true, send_to_by = true }

-- What is wrong with names of an object, a line each.
local function look_at(wrong, object, class, words, names)
  local count = 0
  for name in pairs(names) do
    if not internal[name] then
      local annotated = class[name]
      local has = count_params(object[name], object ~= wsock and object ~= testing)
      count = count + 1
      if not words[name] then wrong[#wrong + 1] = name .. " is not in docs/lua.md" end
      if not annotated then wrong[#wrong + 1] = name .. " is not in the annotations"
      elseif annotated ~= "any" and has ~= "any" and annotated ~= has then
        wrong[#wrong + 1] = ("%s has %d parameters"):format(name, has)
      end
    end
  end
  return count
end

t.test("docs and annotations have every name", function()
  local request
  local server, url = t.serve { on_request = function(req) request = req end }
  local client = assert(wsock.client { url = url })
  local conn = t.connect(url)
  local room = assert(server:room("r"))
  local codec = { encode = tostring, decode = tostring }
  local chapters = chapters_of("/docs/lua.md")
  local classes = classes_of("/bindings/lua/types/wsock.lua", "wsock")
  local count, wrong = 0, {}
  local function look(object, class, chapter)
    count = count + look_at(wrong, object, assert(classes[class], class),
      assert(chapters[chapter], chapter), t.names_of(object, true))
  end
  look(wsock, "wsock", "The module")
  look(wsock.after(0, function() end), "wsock.Timer", "The module")
  look(assert(wsock.message("x")), "wsock.Message", "The module")
  local key, _, code = wsock.jwt_key { key = t.secret }
  if key then
    look(key, "wsock.JWTKey", "Signed tokens")
    look(assert(key:verify(t.token)), "wsock.JWT", "Signed tokens")
  else
    t.equal(code, wsock.ENOTSUP)
  end
  look(server, "wsock.Server", "Servers")
  look(assert(server:endpoint("/", {})), "wsock.Endpoint", "Servers")
  look(request, "wsock.Request", "Requests")
  look(conn, "wsock.Conn", "Connections")
  look(room, "wsock.Room", "Rooms")
  look(room:with(codec), "wsock.Room", "Rooms")
  look(client, "wsock.Client", "Clients")
  local ask = t.open_question()
  if ask then look(ask, "wsock.Ask", "Rooms for pages") end
  table.sort(wrong)
  t.equal(table.concat(wrong, "; "), "")
  assert(count > 130, count)
end)

t.test("so for tests of the script's own", function()
  local chapters = chapters_of("/docs/lua.md")
  local classes = classes_of("/bindings/lua/types/wsock/testing.lua", "testing")
  local wrong, count = {}, 0
  internal.new = nil -- is public there
  local _, peer, world = assert(testing.pair {})
  for class, object in pairs { testing = testing, ["wsock.testing.World"] = world,
    ["wsock.testing.Peer"] = peer } do
    local names = {}
    for name, value in pairs(object == testing and testing or getmetatable(object).__index) do
      if type(value) == "function" and not name:find("^_") then names[name] = true end
    end
    count = count + look_at(wrong, object, assert(classes[class], class), chapters.Tests, names)
  end
  world:close()
  t.equal(table.concat(wrong, "; "), "")
  assert(count > 12, count)
end)

t.done()
