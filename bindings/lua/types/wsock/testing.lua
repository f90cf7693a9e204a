---@meta wsock.testing
-- SPDX-License-Identifier: MIT
-- Annotations for editors (LuaCATS); docs/lua.md tells more.

local testing = {}

---@class wsock.testing.Options
---@field seed integer? what is left to chance follows from it
---@field raises boolean? whether run() and advance() raise what fails in handlers

---@class wsock.testing.World
local World = {}

---@class wsock.testing.Peer
---@field conn wsock.Conn
---@field world wsock.testing.World
---@field messages { [1]: string, [2]: boolean }[] those that were not received yet
---@field closed wsock.CloseInfo?
local Peer = {}

---@param handlers wsock.EndpointOptions?
---@param options wsock.testing.Options?
---@return wsock.Server? server, wsock.testing.Peer|string peer, wsock.testing.World|integer world
function testing.pair(handlers, options) end

---@param options wsock.testing.Options?
---@return wsock.testing.World? world, string? message, integer? code
function testing.new(options) end

---@return true? ok, string? message, integer? code
function World:run() end

---@param seconds number
---@return true? ok, string? message, integer? code
function World:advance(seconds) end

---@return number seconds
function World:now() end

---@return number? seconds
function World:next() end

---@param url string
---@param options wsock.ClientOptions?
---@return wsock.testing.Peer? peer, string? message, integer? code
function World:connect(url, options) end

---@param conn wsock.Conn|wsock.testing.Peer|nil
---@return true? ok, string? message, integer? code
function World:hold(conn) end

---@param conn wsock.Conn|wsock.testing.Peer|nil
---@return true? ok, string? message, integer? code
function World:release(conn) end

---@param conn wsock.Conn|wsock.testing.Peer
---@return true? ok, string? message, integer? code
function World:cut(conn) end

---@param seconds number
---@return true? ok, string? message, integer? code
function World:set_delay(seconds) end

---@param bytes integer
---@return true? ok, string? message, integer? code
function World:set_chunk(bytes) end

---@param bytes integer
---@return true? ok, string? message, integer? code
function World:set_room(bytes) end

---@param address string
---@return true? ok, string? message, integer? code
function World:set_source(address) end

---@return true? ok, string? message, integer? code
function World:close() end

---@param data any
---@return true? ok, string? message, integer? code
function Peer:send(data) end

---@param data string
---@return true? ok, string? message, integer? code
function Peer:send_binary(data) end

---@return string? data, boolean|string binary
function Peer:receive() end

---@param code integer?
---@param reason string?
---@return wsock.CloseInfo? info, string? message
function Peer:close(code, reason) end

return testing
