-- SPDX-License-Identifier: MIT
-- Plays game_server.lua: runs after whoever is nearest:
--     lua game_bot.lua [url [match [name [states]]]]
local wsock = require "wsock"

local base = arg[1] or "ws://127.0.0.1:8080"
local match, name = arg[2] or "first", arg[3] or "bot" .. math.random(1000)
local states_left = tonumber(arg[4] or 1 / 0)
local score = 0

-- @return the players of a state, by name
local function players_of(text)
  local players = {}
  for player, x, y, points in text:gmatch("(%w+) (%-?[%d.]+) (%-?[%d.]+) (%d+)") do
    players[player] = { x = tonumber(x), y = tonumber(y), score = tonumber(points) }
  end
  return players
end

local function nearest(players, me)
  local found, best = nil, 1 / 0
  for other, player in pairs(players) do
    local distance = (player.x - me.x) ^ 2 + (player.y - me.y) ^ 2
    if other ~= name and distance < best then found, best = player, distance end
  end
  return found
end

-- @return a direction of length 1, or none when it is there
local function towards(me, target)
  local dx, dy = target.x - me.x, target.y - me.y
  local length = math.sqrt(dx * dx + dy * dy)
  if length < 0.1 then return 0, 0 end
  return dx / length, dy / length
end

assert(wsock.connect {
  url = ("%s/match/%s/%s"):format(base, match, name),
  on_message = function(conn, text)
    local state = text:match("^state %d+ (.*)$")
    if not state then return print(text) end
    local players = players_of(state)
    local me = players[name]
    if not me then return end
    score, states_left = me.score, states_left - 1
    if states_left <= 0 then return conn:close() end
    conn:send(("go %.3f %.3f"):format(towards(me, nearest(players, me) or { x = 50, y = 50 })))
  end,
  on_close = function(_, code, reason, info)
    print(("over: %d %s (%s), score %d"):format(code, reason, info.detail, score))
  end,
})

wsock.loop()
