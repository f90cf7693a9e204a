-- SPDX-License-Identifier: MIT
-- Messages that are encoded once, and sent any number of times.

local core = require "wsock.core"

local Message, getters = {}, {}

function getters.data(self) return core.message_data(self[1]) end
function getters.binary(self) return core.message_type(self[1]) == core.BINARY end

Message.__index = function(self, key)
  local getter = getters[key]
  if getter then return getter(self) end
end

Message.__tostring = function(self)
  return ("wsock message of %d bytes"):format(core.message_len(self[1]))
end

local M = {}

function M.is(value)
  return getmetatable(value) == Message
end

--- What a message is, as sends have it: text or binary, and whether it is left as it is.
function M.type_of(message)
  local kind = core.message_type(message[1])
  return message.uncompressed and kind + core.UNCOMPRESSED or kind
end

local known = { binary = true, uncompressed = true }

--- Build one: text, unless the options say binary = true; with uncompressed = true it is
-- not compressed for anybody.
function M.new(data, options)
  if options ~= nil and type(options) ~= "table" then
    error("the options of a message are a table", 2)
  end
  if options == nil then options = {} end
  for name in pairs(options) do
    if not known[name] then error("a message has no option " .. tostring(name), 2) end
  end
  local runtime, text, code = core.runtime()
  if not runtime then return nil, text, code end
  local kind = options.binary and core.BINARY or core.TEXT
  if options.uncompressed then kind = kind + core.UNCOMPRESSED end
  local handle
  handle, text, code = core.runtime_message(runtime, kind, data)
  if not handle then return nil, text, code end
  return setmetatable({ handle, uncompressed = options.uncompressed and true or false },
    Message)
end

--- A sending function that encodes first what is no message yet.
function M.encoding(send, encode)
  return function(self, value, ...)
    if getmetatable(value) ~= Message then value = encode(value) end
    return send(self, value, ...)
  end
end

return M
