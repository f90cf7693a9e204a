-- SPDX-License-Identifier: MIT
-- Arguments: an error, where the script called, for what is not of its kind.

local M = {
  conn_classes = setmetatable({}, { __mode = "k" }), -- of which connections are
}

--- Level is that of error() in the function that checks.
function M.fn(value, text, level)
  if type(value) ~= "function" then error(text, level + 1) end
end

function M.text(value, level)
  if type(value) ~= "string" then
    error("string expected, got " .. type(value), level + 1)
  end
end

--- Of what a class has methods: a dot instead of a colon is found here.
function M.object(value, class, what, level)
  if getmetatable(value) ~= class then
    error(what .. " expected, got " .. type(value) .. " (a dot for a colon?)", level + 1)
  end
end

function M.is_conn(value)
  local class = type(value) == "table" and getmetatable(value)
  return class and M.conn_classes[class] or false
end

function M.conn(value, level)
  if not M.is_conn(value) then
    error("connection expected, got " .. type(value), level + 1)
  end
end

function M.period(seconds, level)
  if type(seconds) ~= "number" or not (seconds >= 0.001) then
    error("a period is at least 0.001 seconds", level + 1)
  end
end

--- @return so many seconds in milliseconds
function M.milliseconds(seconds, what, level)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= 1e12) then
    error(what .. " is a number of seconds, 0 or more", level + 1)
  end
  return math.floor(seconds * 1000 + 0.5)
end

--- Options of a call: an unknown name is a mistake.
function M.names(options, known, call, level)
  for name in pairs(options) do
    if not known[name] then error(call .. " has no option " .. tostring(name), level + 1) end
  end
end

function M.codec(value, level)
  if not (type(value) == "table" and value.encode and value.decode) then
    error("codec is a table with encode and decode", level + 1)
  end
end

--- A handler that was given by that name, or none.
function M.handler(value, name, level)
  if value ~= nil and type(value) ~= "function" then
    error(name .. " is a " .. type(value) .. ", not a function", level + 1)
  end
end

return M
