-- SPDX-License-Identifier: MIT
-- For the host of states: a server and clients of its own, which talk to each other and to the
-- other state's server; the state that is first ends while all of that runs, and the other one
-- goes on.

local wsock = require "wsock"
local t = require "support"

local MESSAGES = 300
local everyone
local server, url = t.serve {
  on_open = function(conn) everyone:join(conn) end,
  on_message = function(conn, data) conn:send(data .. "!") end,
}
everyone = assert(server:room("everyone"))

-- A client that sends so many messages, each when the one before has come back.
local function talk(to, count, done)
  local got = 0
  return t.connect(to, {
    on_open = function(conn) conn:send("0") end,
    on_message = function(conn, data)
      local number = data:match("^(%d+)!$")
      if not number then return end -- of the room
      got = got + 1
      t.equal(tonumber(number), got - 1)
      if got == count then return done and done() end
      conn:send(tostring(got))
    end,
  })
end

local ticker = wsock.every(0.001, function() everyone:broadcast("to everyone") end)

local function await_other()
  local told
  t.await("the other state", function()
    told = told or ask()
    return told
  end)
  return told
end

tell(url)
local other = await_other()
assert(other ~= url)

local done = 0
local function count_done() done = done + 1 end
local own = { talk(url, MESSAGES, count_done), talk(url, MESSAGES, count_done) }
local theirs = talk(other, MESSAGES, count_done)
t.await("the talks", function() return done == 3 end)

-- Both have talked with both. Now the first leaves, with traffic under way; the other hears
-- that end, and its own connections do not.
tell("talked")
t.equal(await_other(), "talked")
if first then
  talk(url, math.huge)
  talk(other, math.huge)
  return
end
local closed = t.connect(other)
t.await("the ends", function() return theirs.data.closed and closed.data.closed end)
talk(url, MESSAGES, count_done)
t.await("a talk beside the end", function() return done == 4 end)
t.await("the other state's end", is_closed)
talk(url, MESSAGES, count_done)
t.await("a talk behind it", function() return done == 5 end)
t.equal(own[1].is_open and own[2].is_open, true)
ticker:cancel()
