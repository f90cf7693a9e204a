-- SPDX-License-Identifier: MIT
-- Handlers: how they run, what becomes of one that yields or fails, and of timers and calls.
--
-- The C side resumes a coroutine with run(), which asks it for the handler and what it gets.
-- A handler that yields keeps that coroutine ("parked"); the messages of its connection wait
-- until it is done, in order, and the connection is not read meanwhile.

local core = require "wsock.core"
local check = require "wsock.check"

local M = {
  -- Keys of hooks and of functions, as in core.h.
  MESSAGE = 1, PART = 2, DRAIN = 3, PONG = 4, OPEN = 5, CLOSE = 6, CONN_TIMER = 7,
  CONN_CALL = 8, ASK = 9, REQUEST = 10, CANCELLED = 11, HTTP = 12, STATE = 13,
  STOPPED = 14, TIMER = 15, CALL = 16, LOG = 17, ROOM_JOIN = 18, ROOM_LEAVE = 19,
  ROOM_MESSAGE = 20, CLUSTER = 21, ANSWER = 22, BUSY = 23, FAILED = 24, PARKED = 25,
  FORGET = 26,
  functions = {},
  last = nil, -- what tells a connection's end; it is forgotten also when that failed
}

local take, now = core.take, core.now
local running, yield, status = coroutine.running, coroutine.yield, coroutine.status
local unpack = table.unpack or unpack

-- A coroutine that yielded inside a handler: its connection, which has it in _parked, or
-- false. There is one for a connection at most, as what comes behind it waits.
local parked = {}
local parked_count = 0
-- Whether one may have died that still has what waits behind it, for want of memory.
local stuck = false
-- Coroutine: the request or question that it answers, or the connection whose end it tells;
-- by these a failure finds whom it is about.
local requests = setmetatable({}, { __mode = "k" })
local ended = setmetatable({}, { __mode = "k" })
-- The same of who runs a handler of a room: the server.
local heralds = setmetatable({}, { __mode = "k" })

-- ---- errors ----

local function complain(text)
  io.stderr:write("wsock: ", text, "\n")
end

local function name_of(conn)
  return conn and "a handler of connection " .. tostring(conn.id) or "a handler"
end

-- What happens unless on_error says otherwise, and when that fails itself.
local function default_on_error(err, conn, traceback)
  if conn then conn:close(1011) end
  complain("error in " .. name_of(conn) .. ": " .. tostring(traceback or err))
end

-- Hand an error to on_error: of the server or client (nil: unknown), else of the module.
local function report(owner, err, conn, traceback)
  local on_error = owner and owner.on_error or M.on_error
  if not on_error then return default_on_error(err, conn, traceback) end
  local ok, second = pcall(on_error, err, conn, traceback)
  if not ok then
    complain("error in on_error: " .. tostring(second))
    default_on_error(err, conn, traceback)
  end
end

local function traceback_of(co, err)
  return debug.traceback(co, type(err) == "string" and err or tostring(err))
end

-- A coroutine has failed while it ran a handler.
local function failed(co, err, conn)
  local request = requests[co]
  conn = conn or ended[co]
  local server = heralds[co]
  requests[co], ended[co], heralds[co] = nil, nil, nil
  -- Who asked is told so, and goes on.
  if request then
    request:_fail()
    conn = nil
  end
  local owner = request and request._owner or conn and conn._hooks.owner or server
  report(owner, err, conn, traceback_of(co, err))
end

--- A line of the library's log: to on_log, or where errors go that nobody asked for.
M.functions[M.LOG] = function(level, subject, text)
  if M.on_log then return M.on_log(level, subject, text) end
  complain(level .. ": " .. subject .. ": " .. text)
end

-- ---- coroutines ----

local go_on

local function forget(co)
  local conn = parked[co]
  if conn ~= nil then
    parked[co] = nil
    parked_count = parked_count - 1
    if conn and conn._parked == co then conn._parked = nil end
  end
  return conn
end

local function park(co, conn)
  parked[co] = conn
  parked_count = parked_count + 1
  if conn then conn._parked = co end
end

-- What waits behind a handler that will not end any more has a coroutine of its own. Until
-- there is memory for that the dead one keeps its place.
local function run_rest(conn, dead)
  local queue = conn._waiting
  local began = queue and queue.began
  if began and began[1] == M.last then M.functions[M.FORGET](conn) end
  local rest = coroutine.create(go_on)
  park(rest, conn)
  local ok, err = M.resume(rest, rest)
  if not ok and status(rest) == "suspended" then
    forget(rest)
    conn._parked = dead
    error(err, 0)
  end
  forget(dead)
end

local function find_dead()
  for co in pairs(parked) do
    if status(co) == "dead" then return co end
  end
end

-- Behind a dispatch: nothing may come any more for whom one of them is in the way. Their
-- connections have missed something.
local function unstick()
  for co in find_dead do
    local conn = parked[co]
    if conn then
      core.conn_close(conn[1], 1011, nil)
      run_rest(conn, co)
    else
      forget(co)
    end
  end
  stuck = false
end

--- Resume a coroutine that yielded inside a handler. Its errors go to on_error.
-- @return true, or false and the error
function M.resume(co, ...)
  local was = status(co)
  local ok, err = coroutine.resume(co, ...)
  if ok then return true end
  -- One that runs, or waits for another that it resumed, goes on whatever we were told.
  if was == "running" or was == "normal" then
    report(nil, err, nil, traceback_of(co, err))
    return false, err
  end
  if status(co) == "suspended" then return false, err end -- without memory to begin
  local conn = parked[co] or nil
  stuck = true
  local told, why = pcall(failed, co, err, conn)
  if not told and conn then core.conn_close(conn[1], 1011, nil) end
  if conn then run_rest(conn, co) else forget(co) end
  if not told then error(why, 0) end
  return false, err
end

-- Runs in a parked coroutine, behind its handler: what waited for that.
function go_on(co)
  local conn = parked[co]
  local queue = conn and conn._waiting
  if queue then
    while queue.first do
      local event = queue.first
      queue.first, queue.began = event.behind, event
      event[1](unpack(event, 2, event.n))
    end
    conn._waiting = nil
    core.conn_resume_read(conn[1])
  end
  if conn then core.ready(conn[1]) end
  forget(co)
end

local function run()
  local handler, a, b, c = take()
  if handler then handler(a, b, c) end
  if parked_count > 0 then
    local co = running()
    if parked[co] ~= nil then go_on(co) end
  end
end

-- An event of a connection of which a handler is parked. They are a chain, as that grows
-- without memory, and nothing is half done when there is none.
local function wait(conn, handler, ...)
  local queue = conn._waiting
  local event = { handler, n = select("#", ...) + 1, behind = false, ... }
  if not queue then
    conn._waiting = { first = event, last = event, began = false }
    core.conn_pause_read(conn[1])
    return
  end
  if queue.first then queue.last.behind = event else queue.first = event end
  queue.last = event
end

-- A coroutine may have died otherwise than in M.resume(): closed, or resumed by hand.
local function is_parked(conn)
  local co = conn._parked
  if co and status(co) == "dead" then
    stuck = true
    run_rest(conn, co)
  end
  return conn._parked ~= nil
end

M.functions[M.BUSY] = function(conn, data, binary)
  local handler = conn._hooks[M.MESSAGE]
  if handler then M.in_turn(conn, handler, conn, data, binary) end
end

M.functions[M.PARKED] = function(co, _, _, conn)
  park(co, conn or false)
end

M.functions[M.FAILED] = function(co, err, kind, conn)
  -- A client's failed attempt has no object.
  conn = type(conn) == "table" and conn._hooks and conn or nil
  -- Without memory its end may have failed before it was forgotten.
  if conn and kind == M.CLOSE then M.functions[M.FORGET](conn) end
  failed(co, err, conn)
end

--- For handlers of rarer events: run, or wait behind the handler that is parked.
function M.in_turn(conn, handler, ...)
  if is_parked(conn) then
    wait(conn, handler, ...)
  else
    handler(...)
  end
end

--- Note that the coroutine that runs answers a request or question, or with nil, that it did.
function M.answers(request)
  local co = running()
  if co then requests[co] = request end
end

--- Note that it runs a handler of a room of that server, or with nil, that it did.
function M.heralds(server)
  local co = running()
  if co then heralds[co] = server end
end

--- Note that it runs the last handler of a connection, or with nil, that it did.
function M.ends(conn)
  local co = running()
  if co then ended[co] = conn end
end

-- ---- timers and calls ----

local Timer = {}
Timer.__index = Timer

function Timer:cancel()
  check.object(self, Timer, "timer", 2)
  self.fn = nil
  core.timer_stop(self[1])
end

M.functions[M.TIMER] = function(timer, missed)
  local fn = timer.fn
  if fn then fn(timer, missed) end
end

-- A tick that waited behind a parked handler; those that came meanwhile count as missed.
local function late_tick(timer)
  local conn, fn, missed = timer.conn, timer.fn, timer._missed
  timer._missed = nil
  if fn and conn.is_open then fn(conn, timer, missed) end
end

M.functions[M.CONN_TIMER] = function(timer, missed)
  local conn, fn = timer.conn, timer.fn
  if not fn then return end
  if timer._missed then
    timer._missed = timer._missed + missed + 1
  elseif is_parked(conn) then
    timer._missed = missed
    wait(conn, late_tick, timer)
  else
    fn(conn, timer, missed)
  end
end

local function start(fn, first, every, conn, co)
  check.fn(fn, "timers take a function", 3)
  local timer = setmetatable({ false, fn = fn, conn = conn, _co = co }, Timer)
  local handle, message, code = core.timer(timer, first, every, conn and conn[1])
  if not handle then return nil, message, code end
  timer[1] = handle
  return timer
end

--- Call fn once, after that many seconds.
function M.after(seconds, fn)
  return start(fn, seconds, 0)
end

--- Call fn(timer, missed) every so many seconds, at a fixed rate.
function M.every(seconds, fn)
  check.period(seconds, 2)
  return start(fn, seconds, seconds)
end

--- The same for a connection, of which fn gets to know first, as long as that is open.
function M.conn_after(conn, seconds, fn)
  check.conn(conn, 2)
  return start(fn, seconds, 0, conn)
end

function M.conn_every(conn, seconds, fn)
  check.conn(conn, 2)
  check.period(seconds, 2)
  return start(fn, seconds, seconds, conn)
end

M.functions[M.CALL] = function(call)
  call[1](unpack(call, 2, call.n))
end

M.functions[M.CONN_CALL] = function(call)
  M.in_turn(call[2], call[1], unpack(call, 2, call.n))
end

--- Call fn with the arguments once, the next time handlers run.
function M.call(fn, ...)
  check.fn(fn, "call takes a function", 2)
  return core.post { fn, n = select("#", ...) + 1, ... }
end

--- Call fn(conn, ...) once, between the handlers of the connection, unless that has ended.
function M.conn_call(conn, fn, ...)
  check.conn(conn, 2)
  check.fn(fn, "call takes a function", 2)
  return core.post({ fn, conn, n = select("#", ...) + 2, ... }, conn[1])
end

-- Its timer ticks until it was heard, since a tick may be lost for want of memory.
local AGAIN = 0.1

local function wake(timer)
  local co = timer._co
  if co and status(co) == "suspended" then M.resume(co) else timer:cancel() end
end

--- Inside a handler or coroutine: go on after that many seconds.
function M.sleep(seconds)
  local co, is_main = running()
  if not co or is_main then error("sleep works inside handlers and coroutines", 2) end
  local timer, message, code = start(wake, seconds, AGAIN, nil, co)
  if not timer then return nil, message, code end
  yield()
  timer._co = nil -- before the rest, which may fail
  timer:cancel()
  return true
end

-- ---- what is answered later ----

-- Records of what is to be told: { the function that is told, or the coroutine that waits, or
-- false; whether that was not possible, for want of memory; the server, for errors; what it
-- is, if that is known }.
local waits = {}
local lost = false -- whether there may be some that were not told
local no_memory = core.strerror(core.ENOMEM)

--- A record for a function, or without one for the coroutine that runs, to ask with. Then
-- wait_for() it, or forget() it where nothing will come.
function M.record(fn, owner, what, level)
  if fn ~= nil then
    check.fn(fn, what .. " takes a function", level + 1)
  else
    local co, is_main = running()
    if not co or is_main then
      error(what .. " waits inside handlers and coroutines; elsewhere it takes a function",
        level + 1)
    end
  end
  local record = { fn or false, false, owner, false }
  waits[record] = true
  return record
end

function M.forget(record)
  if record then waits[record] = nil end
end

--- Wait, if it is a coroutine's. @return what comes; true where a function is told that
function M.wait_for(record)
  if record[1] then return true end
  record[1] = running()
  local answer, message, code = yield()
  record[1] = false -- before anything else: so who tells knows that it went on
  return answer, message, code
end

-- A text is why there is no answer.
local function deliver(record, answer)
  local to, message, code = record[1], nil, nil
  if type(answer) == "string" then
    answer, message, code = nil, answer, answer == no_memory and core.ENOMEM or core.EAGAIN
  end
  if type(to) == "thread" then
    if status(to) == "suspended" then M.resume(to, answer, message, code) end
    if record[1] == to and status(to) == "suspended" then error(no_memory, 0) end
  elseif to then
    M.heralds(record[3])
    record[1] = false
    to(answer, message, code)
    M.heralds(nil)
  end
  waits[record] = nil
  return true
end

M.functions[M.ANSWER] = deliver

--- Tell a function what was known inside the call: like all else, behind it.
function M.tell_later(record, answer)
  local ok, posted = pcall(M.call, deliver, record, answer)
  if not (ok and posted) then record[2], record[4], lost = true, answer, true end
end

local function look_for_lost()
  if core.lost() then lost = true end
end

local function find_lost()
  for record in pairs(waits) do
    if record[2] then return record end
  end
end

-- Behind a dispatch. What fails here, for want of memory again, is done behind the next.
local function tell_lost()
  for record in find_lost do
    local answer, ok, told = record[4] or no_memory, nil, nil
    if type(record[1]) == "function" then
      ok, told = pcall(M.call, deliver, record, answer)
    else
      ok, told = pcall(deliver, record, answer)
    end
    if not (ok and told) then return end
    record[2] = false
  end
  lost = false
end

-- ---- dispatching ----

-- Servers that listen and accept nothing before handlers can run.
local unstarted = setmetatable({}, { __mode = "k" })

--- Have a server accept from the next dispatch on.
function M.accept_later(server)
  unstarted[server] = true
  M.call(function() end) -- wakes a host that waits for the descriptor
end

local function accept_now()
  for server in pairs(unstarted) do
    unstarted[server] = nil
    core.server_resume_accept(server[1])
  end
end

local function settled(ran, ...)
  if ran and stuck then unstick() end
  look_for_lost()
  if lost then tell_lost() end
  return ran, ...
end

--- Run what waits, at most max_events handlers (1,024 unless told).
-- @return how many; or nil, text and code
function M.poll(max_events)
  if next(unstarted) then accept_now() end
  return settled(core.dispatch(max_events == nil and 0 or max_events, 0))
end

--- Run handlers until the moment, of wsock.now(); never shorter.
-- @return how many, and how many seconds late it became; or nil, text and code
function M.tick_until(moment, max_events)
  if next(unstarted) then accept_now() end
  return settled(core.tick_until(moment, max_events))
end

function M.tick(milliseconds, max_events)
  if type(milliseconds) ~= "number" then error("tick takes milliseconds", 2) end
  return M.tick_until(now() + milliseconds / 1000, max_events)
end

--- Wait for handlers to run, and run them; for seconds at most, for ever without.
function M.wait(seconds)
  if next(unstarted) then accept_now() end
  look_for_lost()
  if stuck or lost then seconds = 0 end
  if seconds == nil then return settled(core.dispatch(0, -1)) end
  local limit_ms = math.floor(seconds * 1000 + 0.5)
  return settled(core.dispatch(0, limit_ms < 0 and 0 or limit_ms))
end

--- Nothing will resume handlers that wait any more, nor come for whom they are in the way.
function M.leave_parked()
  for co in pairs(parked) do forget(co) end
  waits, lost = {}, false
end

function M.start()
  core.set_functions(run, M.functions)
end

return M
