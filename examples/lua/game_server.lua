-- SPDX-License-Identifier: MIT
-- A game of tag in many matches at once: lua game_server.lua [url [seconds]]
--
-- The world makes a step 30 times a second, and each match is a room, which gets its state
-- after each step. Players steer with "go X Y" (each from -1 to 1) and see
-- "state STEP NAME X Y SCORE ..." until they leave; a new state makes those before it
-- worthless, so a player whose line is slow misses some instead of getting all of them late.
--
-- It teaches two things: that the loop belongs to the game, with handlers run in the time
-- between two steps; and that what a peer sends ends in a check, never in the world.
local wsock = require "wsock"

local STEP, SIZE, SPEED, REACH = 1 / 30, 100, 20, 3
-- Handlers a step at most: a flood of messages waits, and the step comes in time.
local EVENTS_A_STEP = 2000

local server = assert(wsock.server { listen = arg[1] or "ws://127.0.0.1:8080" })
local until_moment = arg[2] and wsock.now() + tonumber(arg[2])

-- ---- the world: knows nothing of connections ----

local World = { matches = {}, step_number = 0 }

function World:plays(match_name, player_name)
  local match = self.matches[match_name]
  return match ~= nil and match.players[player_name] ~= nil
end

function World:join(match_name, player_name)
  if self:plays(match_name, player_name) then return false end
  local match = self.matches[match_name]
  if not match then
    match = { players = {}, order = {} }
    self.matches[match_name] = match
  end
  local player = { name = player_name, x = math.random() * SIZE, y = math.random() * SIZE,
    dx = 0, dy = 0, score = 0 }
  match.players[player_name] = player
  match.order[#match.order + 1] = player
  return true
end

function World:leave(match_name, player_name)
  local match = self.matches[match_name]
  if not match then return end
  match.players[player_name] = nil
  for i, player in ipairs(match.order) do
    if player.name == player_name then table.remove(match.order, i) break end
  end
  if #match.order == 0 then self.matches[match_name] = nil end
end

function World:steer(match_name, player_name, dx, dy)
  local player = self.matches[match_name].players[player_name]
  player.dx, player.dy = dx, dy
end

local function move(player)
  player.x = math.max(0, math.min(SIZE, player.x + player.dx * SPEED * STEP))
  player.y = math.max(0, math.min(SIZE, player.y + player.dy * SPEED * STEP))
end

-- Who is next to another scores.
local function tag(order)
  for i, a in ipairs(order) do
    for j = i + 1, #order do
      local b = order[j]
      if (a.x - b.x) ^ 2 + (a.y - b.y) ^ 2 < REACH ^ 2 then
        a.score, b.score = a.score + 1, b.score + 1
      end
    end
  end
end

local function describe(number, order)
  local words = { "state", number }
  for _, player in ipairs(order) do
    words[#words + 1] = ("%s %.1f %.1f %d"):format(player.name, player.x, player.y, player.score)
  end
  return table.concat(words, " ")
end

--- One step of all matches. @return each match's state by its name
function World:step()
  local states = {}
  self.step_number = self.step_number + 1
  for name, match in pairs(self.matches) do
    for _, player in ipairs(match.order) do move(player) end
    tag(match.order)
    states[name] = describe(self.step_number, match.order)
  end
  return states
end

-- ---- players ----

-- Latest only: of what a slow player misses the newest state comes when it can, and of who joined
-- and left the last; the state tells all who play.
local function room_of(match)
  return assert(server:room("match." .. match, { slow_members = "latest_only" }))
end

local function number_in(text)
  local value = tonumber(text)
  if not value or value ~= value or value < -1 or value > 1 then return nil end
  return value
end

assert(server:endpoint("/match/{match}/{player}", {
  max_message_bytes = 256,
  on_request = function(req)
    local match, player = req.params.match, req.params.player
    if not (match:match("^%w+$") and player:match("^%w+$")) then return false, 400, "bad name" end
    if World:plays(match, player) then return false, 409, "that name plays already" end
    return { identity = player, info = match }
  end,
  -- Only here does a player join: a request that was accepted may still come to nothing, and
  -- nobody would tell. So two may have been let in with one name, and one is too many.
  on_open = function(conn)
    conn.data.plays = World:join(conn.info, conn.identity)
    if not conn.data.plays then return conn:close(4009, "that name plays already") end
    room_of(conn.info):join(conn)
    room_of(conn.info):broadcast("joined " .. conn.identity)
  end,
  on_message = function(conn, text)
    local x, y = text:match("^go (%S+) (%S+)$")
    local dx, dy = number_in(x), number_in(y)
    if not conn.data.plays then return end
    if not (dx and dy) then return conn:close(1008, "go X Y, each from -1 to 1") end
    World:steer(conn.info, conn.identity, dx, dy)
  end,
  on_close = function(conn)
    if not conn.data.plays then return end
    World:leave(conn.info, conn.identity)
    room_of(conn.info):broadcast("left " .. conn.identity)
  end,
}))

-- ---- the loop ----

print("listening on " .. server.url)
io.stdout:flush()

local next_step, latest, steps = wsock.now(), 0, 0
while not server.stopped and (not until_moment or wsock.now() < until_moment) do
  next_step = next_step + STEP
  local _, late = assert(server:tick_until(next_step, EVENTS_A_STEP))
  if late > STEP then next_step = wsock.now() end -- do not run after what is lost
  latest, steps = math.max(latest, late), steps + 1
  for match, state in pairs(World:step()) do
    room_of(match):publish(state, { key = "state" })
  end
end
print(("%d steps, the latest %.1f ms late"):format(steps, latest * 1000))
wsock.close()
