-- SPDX-License-Identifier: MIT
-- A request: what it says, looked up when it is asked for, and its answer.

local core = require "wsock.core"
local check = require "wsock.check"
local events = require "wsock.events"

local Request, getters = {}, {}
local HEADER, PARAM, QUERY, COOKIE = 0, 1, 2, 3

-- By their addresses those that handlers have seen, so that on_request_cancelled has the same.
local seen = setmetatable({}, { __mode = "v" })

-- Names and values of one kind: the first of each name by its name, all by get_all().
-- Header names are compared without their case.
local function fields(handle, kind, fold)
  local first, all, index = {}, {}, 0
  while true do
    local name, value = core.request_field_at(handle, kind, index)
    if not name then break end
    if fold then name = name:lower() end
    if first[name] == nil then first[name] = value end
    all[name] = all[name] or {}
    all[name][#all[name] + 1] = value
    index = index + 1
  end
  local function get_all(_, name)
    return all[fold and tostring(name):lower() or name] or {}
  end
  return setmetatable(first, {
    __index = function(_, name)
      if name == "get_all" then return get_all end
      if fold and type(name) == "string" then return rawget(first, name:lower()) end
    end,
  })
end

function getters.path(self) return core.request_target(self[1]) end
function getters.path_only(self) return core.request_path(self[1]) end
function getters.method(self) return core.request_method(self[1]) end
function getters.host(self) return core.request_host(self[1]) end
function getters.secure(self) return core.request_is_secure(self[1]) == 1 end
function getters.upgrade(self) return core.request_is_upgrade(self[1]) == 1 end
function getters.remote_address(self) return core.request_remote_address(self[1]) end
function getters.peer_address(self) return core.request_peer_address(self[1]) end
function getters.user(self) return core.request_basic_user(self[1]) end
function getters.password(self) return core.request_basic_password(self[1]) end
function getters.body(self) return core.request_body(self[1]) end
function getters.token(self) return core.request_bearer_token(self[1]) end
function getters.authorization(self) return core.request_header(self[1], "authorization") end
function getters.params(self) return fields(self[1], PARAM) end
function getters.query(self) return fields(self[1], QUERY) end
function getters.cookies(self) return fields(self[1], COOKIE) end
function getters.headers(self) return fields(self[1], HEADER, true) end

function getters.subprotocols(self)
  local list = {}
  for _, value in ipairs(self.headers:get_all("sec-websocket-protocol")) do
    for name in value:gmatch("[^%s,]+") do list[#list + 1] = name end
  end
  return list
end

local tls_facts = {
  version = 0, cipher = 1, server_name = 2, protocol = 3, resumed = 4, subject = 5,
  issuer = 6, names = 7, fingerprint = 8, pin = 9, verified = 10, chain = 11,
}

--- A table of what is known of TLS, or nil without; lookup(handle, fact) tells one.
function Request.tls_of(lookup, handle)
  if not lookup(handle, tls_facts.version) then return nil end
  local facts = {}
  for name, fact in pairs(tls_facts) do facts[name] = lookup(handle, fact) end
  return facts
end

function getters.tls(self) return Request.tls_of(core.request_tls, self[1]) end

Request.__index = function(self, key)
  local method = Request[key]
  if method ~= nil then return method end
  local getter = getters[key]
  if not getter then return nil end
  local value = getter(self)
  rawset(self, key, value)
  return value
end

--- @param owner (nullable) the server, for errors of its handlers
function Request.new(handle, owner)
  return setmetatable({ handle, _owner = owner }, Request)
end

--- Whether the client offers that subprotocol.
function Request:offers(subprotocol)
  check.text(subprotocol, 2)
  return core.request_offers(self[1], subprotocol) == 1
end

-- A client that is gone needs no answer any more. One that could not be given is remembered:
-- the nothing that a handler returns then is not to let the client in.
local function answered(self, result, message, code)
  if result == nil and code ~= core.ECLOSED then self._refused = message
  else self._answered = true end
  if result == nil then return nil, message, code end
  return true
end

local function add_headers(self, headers)
  for name, value in pairs(headers or {}) do
    local ok, message, code = core.request_add_header(self[1], name, tostring(value))
    if not ok then return answered(self, nil, message .. ": header " .. tostring(name), code) end
  end
  return true
end

--- Let the WebSocket open. options: identity, info, subprotocol, headers.
function Request:accept(options)
  if options == nil then options = {} end
  local ok, message, code = add_headers(self, options.headers)
  if not ok then return nil, message, code end
  if options.identity ~= nil then
    check.text(options.identity, 2)
    ok, message, code = core.request_set_identity(self[1], options.identity)
    if not ok then return answered(self, nil, message .. ": identity", code) end
  end
  if options.info ~= nil then core.carry(self[1], { info = options.info }) end
  return answered(self, core.request_accept(self[1], options.subprotocol))
end

--- Refuse, with a status from 300 on and a line of text.
function Request:reject(status, text)
  return answered(self, core.request_reject(self[1], status == nil and 403 or status, text))
end

--- Answer a plain request, or refuse with a body of your own.
function Request:respond(status, body, content_type, headers)
  local ok, message, code = add_headers(self, headers)
  if not ok then return nil, message, code end
  return answered(self, core.request_respond(self[1], status, content_type,
    body == nil and "" or body))
end

--- The answer comes later, from accept(), reject() or respond().
function Request:defer()
  check.object(self, Request, "request", 2)
  self._answered = true
  return true
end

--- Its handler has failed.
function Request:_fail()
  self:reject(500)
end

local function answer(self, verdict, status, text)
  if self._answered then return end
  if verdict == nil and self._refused then
    error("on_request: " .. self._refused, 0)
  elseif verdict == false then
    local ok, message = self:reject(status, text)
    if not ok then error("on_request: " .. message, 0) end
  elseif verdict == nil or verdict == true or type(verdict) == "table" then
    local ok, message, code = self:accept(verdict ~= true and verdict or nil)
    -- The client may be gone meanwhile, which is no error of the script's.
    if not ok and code ~= core.ECLOSED then error("on_request: " .. message, 0) end
  else
    error("on_request returned a " .. type(verdict), 0)
  end
end

events.functions[events.REQUEST] = function(hooks, handle, address)
  local handler = hooks[events.REQUEST]
  local request = Request.new(handle, hooks.owner)
  if not handler then return answer(request) end
  seen[address] = request
  events.answers(request)
  answer(request, handler(request))
  events.answers(nil)
end

events.functions[events.CANCELLED] = function(hooks, handle, address)
  local request = seen[address] or Request.new(handle, hooks.owner)
  request._answered = true
  local handler = hooks[events.CANCELLED]
  if not handler then return end
  events.answers(request)
  handler(request)
  events.answers(nil)
end

events.functions[events.HTTP] = function(hooks, handle)
  local handler = hooks[events.HTTP]
  local request = Request.new(handle, hooks.owner)
  if not handler then return request:reject(404) end
  events.answers(request)
  handler(request)
  events.answers(nil)
  if not request._answered then
    request:reject(500)
    error("on_http neither responded nor deferred", 0)
  end
end

return Request
