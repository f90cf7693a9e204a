-- SPDX-License-Identifier: MIT
-- Talks where Python answers and where C does, and prints what it hears at both:
--   talk.lua URL

local wsock = require "wsock"

local url = arg[1]
local heard = { python = {}, c = {} }

local closed = 0

local function enter(name)
  return assert(wsock.connect {
    url = url .. "/" .. name,
    on_message = function(_, data) heard[name][#heard[name] + 1] = data end,
    on_close = function() closed = closed + 1 end,
  })
end

local function await(condition)
  local deadline = wsock.now() + 20
  while not condition() do
    assert(wsock.now() < deadline, "it never came")
    assert(wsock.wait(1))
  end
end

local function both_heard(count)
  await(function() return #heard.python == count and #heard.c == count end)
end

local conns = { python = enter "python", c = enter "c" }
both_heard(1) -- Python says when all are there
for round = 1, 3 do
  for _, name in ipairs { "python", "c" } do
    assert(conns[name]:send("Lua, round " .. round))
    both_heard(#heard.c + 1)
  end
end
for i, text in ipairs(heard.c) do
  assert(heard.python[i] == text, "another order")
  print(text)
end
conns.c:close(1000, "thank you")
conns.python:close(4000, "goodbye")
await(function() return closed == 2 end)
