-- SPDX-License-Identifier: MIT
-- For the host: what a child has of its parent's runtime, and what of its own.

local wsock = require "wsock"
local t = require "support"

local server, url = t.serve { on_message = function(conn, data) conn:send(data) end }
local conn = t.connect(url)
local room = assert(server:room("r"))
local timer = wsock.after(3600, print)

local function child()
  local function refused(fn, ...)
    t.raises("process", fn, ...)
  end
  refused(conn.send, conn, "x")
  refused(conn.close, conn)
  refused(room.join, room, conn)
  refused(room.broadcast, room, "x")
  refused(server.stop, server)
  refused(timer.cancel, timer)
  refused(function() return server.urls end)
  -- The first new call makes a runtime of the child's own.
  local _, own = t.serve { on_message = function(c, data) c:send("child " .. data) end }
  local fresh = t.connect(own)
  fresh:send("x")
  t.await("an echo", function() return fresh.data[1] end)
  t.equal(fresh.data[1], "child x")
end

t.equal(fork(child), 0, "status of a child that goes on")
t.equal(fork(function() end), 0, "status of a child that only ends")
-- The parent's are as they were.
conn:send("parent")
t.await("an echo", function() return conn.data[1] end)
t.equal(conn.data[1], "parent")
