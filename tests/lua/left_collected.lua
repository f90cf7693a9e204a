-- SPDX-License-Identifier: MIT
-- For the host: finalizers that call everything while the state closes, some before the
-- module's own and some behind. Whatever that answers, nothing crashes, and nothing is left.

local calls = 0

-- What calls fn when it is collected, in any Lua.
local function finalizer(fn)
  local proxy = rawget(_G, "newproxy") and newproxy(true)
  local meta = proxy and getmetatable(proxy) or {}
  meta.__gc = fn
  return proxy or setmetatable({}, meta)
end

local function call_all()
  local wsock = package.loaded.wsock
  local function try(fn, ...)
    calls = calls + 1
    pcall(fn, ...)
  end
  local function never() end
  for _, name in ipairs { "poll", "fd", "arm", "now", "stop" } do try(wsock[name]) end
  try(wsock.wait, 0)
  try(wsock.tick, 0)
  try(wsock.after, 0, never)
  try(wsock.call, never)
  try(wsock.message, "x")
  try(wsock.set, "workers", 1)
  try(function() kept[#kept + 1] = wsock.server { listen = "ws://127.0.0.1:0" } end)
  try(wsock.connect, { url = kept.url, on_open = never, on_close = never })
  for _, conn in ipairs(kept.conns) do
    for _, name in ipairs { "send", "send_binary", "ping", "begin", "append", "finish", "pause",
      "resume", "close", "reset" } do
      try(conn[name], conn, name ~= "close" and "x" or nil)
    end
    try(conn.after, conn, 0, never)
    try(conn.call, conn, never)
    try(kept.room.join, kept.room, conn)
    try(kept.room.leave, kept.room, conn)
    try(function() return conn.buffered, conn.remote_address, conn.request, conn.rtt, conn.tls end)
  end
  for _, name in ipairs { "broadcast", "broadcast_if", "members", "count" } do
    try(kept.room[name], kept.room, name == "broadcast_if" and never or "x", "x")
  end
  try(function() return kept.server.urls, kept.server.conns, kept.server.conn_count end)
  for _, name in ipairs { "room", "endpoint", "listen", "reload", "stop", "tick" } do
    try(kept.server[name], kept.server, "x", {})
  end
  for _, name in ipairs { "connect", "start", "send", "stop" } do
    try(kept.client[name], kept.client)
  end
  for _, name in ipairs { "accept", "reject", "defer" } do
    try(kept.request[name], kept.request)
  end
  try(kept.timer.cancel, kept.timer)
  try(wsock.close)
  try(function() kept[#kept + 1] = wsock.client { url = kept.url } end)
  kept[#kept]:start()
end

before = finalizer(call_all)
local wsock = require "wsock"
local t = require "support"
kept = { conns = {} }
local server, url = t.serve {
  on_request = function(req)
    if not req.query.keep then return end
    kept.request = req
    return req:defer()
  end,
  on_message = function(conn, data) conn:send(data) end,
}
kept.server, kept.url, kept.room = server, url, assert(server:room("r"))
for i = 1, 3 do kept.conns[i] = t.connect(url) end
t.await("the server's", function() return #server.conns == 3 end)
for _, conn in ipairs(server.conns) do
  kept.conns[#kept.conns + 1] = conn
  kept.room:join(conn)
end
kept.client = assert(wsock.client { url = url })
kept.client:start()
kept.timer = wsock.every(0.001, function() end)
assert(wsock.connect { url = url .. "?keep=1" })
t.await("a request", function() return kept.request end)
behind = finalizer(call_all)
