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

t.test("docs and annotations have every name", function()
  local request
  local server, url = t.serve { on_request = function(req) request = req end }
  local client = assert(wsock.client { url = url })
  local conn = t.connect(url)
  local objects = { wsock = wsock, server = server, client = client, conn = conn,
    room = assert(server:room("r")), request = request, timer = wsock.after(0, function() end),
    message = assert(wsock.message("x")), endpoint = assert(server:endpoint("/", {})) }
  -- What wsock.lua's parts call each other for.
  local internal = { new = true, opened = true, closed = true, tls_of = true,
    send_to_by = true }
  local docs, annotations = words_of("/docs/lua.md"), words_of("/bindings/lua/types/wsock.lua")
  local count, missing = 0, {}
  for kind, object in pairs(objects) do
    for name in pairs(t.names_of(object, true)) do
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
