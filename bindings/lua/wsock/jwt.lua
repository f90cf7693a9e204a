-- SPDX-License-Identifier: MIT
-- Signed tokens: keys, and what a token says that holds.

local core = require "wsock.core"
local check = require "wsock.check"

local JWT, Key, getters = {}, {}, {}
Key.__index = Key

function getters.subject(self)
  local subject = core.jwt_subject(self[1])
  return subject ~= "" and subject or nil
end

function getters.expires(self)
  local milliseconds = core.jwt_expires_ms(self[1])
  return milliseconds > 0 and milliseconds / 1000 or nil
end

function getters.claims(self) return core.jwt_claims(self[1]) end
function getters.info(self) return core.jwt_info(self[1]) end

JWT.__index = function(self, key)
  local method = JWT[key]
  if method ~= nil then return method end
  local getter = getters[key]
  return getter and getter(self)
end

local function allows(self, what, room)
  check.object(self, JWT, "token", 3)
  if what ~= core.JWT_DIRECT then check.text(room, 3) end
  return core.jwt_allows(self[1], what, room) == 1
end

--- Whether the claim rooms lets that room be joined: without it, all.
function JWT:may_join(room)
  return (allows(self, core.JWT_JOIN, room))
end

--- Whether the claim pub lets something be published in that room: without it, in all.
function JWT:may_publish(room)
  return (allows(self, core.JWT_PUBLISH, room))
end

--- Whether identities may be sent to: not where there is a claim pub.
function JWT:may_direct()
  return (allows(self, core.JWT_DIRECT))
end

local rules_known = { audience = true, issuer = true, leeway = true, now = true }

--- What a token says, if it holds; else nil, a text, a code, and with wsock.EACCESS one of
-- wsock.JWT_EXPIRED and the like. rules: audience, issuer, leeway, now.
function Key:verify(token, rules)
  check.object(self, Key, "key", 2)
  check.text(token, 2)
  if rules == nil then rules = {} end
  if type(rules) ~= "table" then error("the rules of a token are a table", 2) end
  check.names(rules, rules_known, "verify", 2)
  if rules.audience ~= nil then check.text(rules.audience, 2) end
  if rules.issuer ~= nil then check.text(rules.issuer, 2) end
  local now = rules.now ~= nil and math.max(check.milliseconds(rules.now, "now", 2), 1) or 0
  local leeway = rules.leeway ~= nil and check.milliseconds(rules.leeway, "leeway", 2) or 0
  local handle, message, code, why = core.jwt_verify(self[1], token, rules.audience,
    rules.issuer, leeway, now)
  if handle then return setmetatable({ handle }, JWT) end
  return nil, why and core.jwt_error_text(why) or message, code, why
end

local algorithms = { HS256 = core.JWT_HS256, RS256 = core.JWT_RS256 }
local known = { key = true, algorithm = true }

--- What tokens are verified with. options: key, for HS256 a secret of 32 bytes or more, for
-- RS256 a public RSA key or a certificate in PEM; algorithm ("HS256").
local function new(options)
  if type(options) ~= "table" then error("jwt_key takes a table", 2) end
  check.names(options, known, "jwt_key", 2)
  local name = options.algorithm == nil and "HS256" or options.algorithm
  local algorithm = algorithms[name]
  if not algorithm then error("algorithm is HS256 or RS256, not " .. tostring(name), 2) end
  check.text(options.key, 2)
  -- One of its own tells what is wrong: that of all may yet become one for tests.
  local runtime, message, code = core.runtime_new()
  if not runtime then return nil, message, code end
  local handle
  handle, message, code = core.runtime_jwt_key(runtime, algorithm, options.key)
  if handle then return setmetatable({ handle }, Key) end
  return nil, core.runtime_error(runtime) or message, code
end

return { key = new }
