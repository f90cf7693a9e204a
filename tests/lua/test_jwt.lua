-- SPDX-License-Identifier: MIT
-- Signed tokens: which hold, what they say, and what is wrong with those that do not. Lua
-- signs nothing, so they were signed before: by a secret, and with a private key that is gone.

local wsock = require "wsock"
local t = require "support"
local equal, fails, raises, test = t.equal, t.fails, t.raises, t.test

local secret = t.secret
local tokens = {
  full = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjIwMDAsImluZm8iOnsiY29sb3VyIjo" ..
    "icmVkIn0sInJvb21zIjpbImxvYmJ5IiwibWF0Y2guKiJdLCJwdWIiOlsibG9iYnkiXX0.L6eCmcY" ..
    "3cpIdZ_0lr-Yk3_B28ewyUYfSzSFB0JM2qUE",
  empty = t.token,
  audience = "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOlsiY2hhdCJdLCJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1" ..
    "wbGUifQ.oQMjshE0fHOR_HSehKPby-bPue-Jje5QzQkoLjNkm78",
  early = "eyJhbGciOiJIUzI1NiJ9.eyJuYmYiOjIwMDB9.Y8aDQatb23BaTmWddTQEgeecyhdxDEb0rTR6M7" ..
    "6comQ",
  none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.",
  foreign = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.VXvTrM56BZeceCSTZysY66anXebpiWzIdNz8" ..
    "SBTwkCM",
  rs256 = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.g7mqGItEzdBoMjwJnAy1iVUei8NwnGfhQoM0" ..
    "VfEPeklNryEsy4YTp4HIMIAo6AVhP0J4BoKlWDrkxxneFTufMyesYx_ZEcKFA3VNupAa9Vq862rM" ..
    "QUZhTF7eHwd3WlqopxMdwVMzZ24LtKM46mKRrxHKhr1xK9KJbvPv5hFJUiaCGoMyHb9-XFn-y3-A" ..
    "tqGQBdjD7iqMF1OBw3IWB_vQLbr1lULs71vjVusk3UMeP1KAQGpw5YiZxTQk-Es7j07Hdr1ce7LZ" ..
    "UlX5lUCArAG1dn1p-meYcYrtBUIPd6YjxvoBgT_CHx5pz3a6Evh164rzubDal-ecBkIZ5CACJpio" ..
    "5Q",
}

local public = [[
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA4CSvjk5m03QK/IAOFRNP
yAjcOlUA8ZnAKSfrK8iiioo/76Qra1oqTgpiGjwYGwInlugQdJ27YG758Q0Lt/rw
IkBatlpLOXgXNxzkXHDVLeoAx7mYQM8bYL0p6im6qakdMs7Qq5RkpeMzuwjDBDtv
nngfrVFSxSsyd8g4WZqsyJR5NELruYAT0LLj1lf9JjQDfnyFaQqEli1R/mktt4ht
uZM1M5c9mzsBmMP4Zfbb6AYjYwyOIz+BtxHXvnlFyTYsRy58jTMx+3wKoFHS7BjR
zaAjevxzOtzuCz67UTNZ3bSHBsKGWUr6BJPi94pr5spwbrGA/XLkXTfRxRKu17nm
twIDAQAB
-----END PUBLIC KEY-----
]]

local key = assert(wsock.jwt_key { key = secret })

-- It is refused with that text and number.
local function refuses(why, text, given, rules, by)
  local jwt, message, code, got = (by or key):verify(given, rules)
  fails(wsock.EACCESS, jwt, message, code)
  equal(got, why)
  equal(message, text)
end

test("a token that holds says who and what", function()
  local jwt = assert(key:verify(tokens.full, { now = 1999.5 }))
  equal(jwt.subject, "ann")
  equal(jwt.expires, 2000)
  equal(jwt.info, '{"colour":"red"}')
  assert(jwt.claims:find('"rooms":["lobby","match.*"]', 1, true), jwt.claims)
  equal(jwt.nonsense, nil)
  equal(jwt:may_join("lobby"), true)
  equal(jwt:may_join("match.7"), true)
  equal(jwt:may_join("match.7.chat"), false)
  equal(jwt:may_publish("lobby"), true)
  equal(jwt:may_publish("match.7"), false)
  equal(jwt:may_direct(), false)
end)

test("what it does not say is nil, and forbids nothing", function()
  local jwt = assert(key:verify(tokens.empty))
  equal(jwt.subject, nil)
  equal(jwt.expires, nil)
  equal(jwt.info, nil)
  equal(jwt.claims, "{}")
  equal(jwt:may_join("x") and jwt:may_publish("x") and jwt:may_direct(), true)
  equal(jwt:may_join(""), false)
end)

test("what does not hold is told", function()
  local algorithm = "the token is not signed with the algorithm of the key"
  refuses(wsock.JWT_EXPIRED, "the token has expired", tokens.full)
  refuses(wsock.JWT_EXPIRED, "the token has expired", tokens.full, { now = 2030, leeway = 30 })
  assert(key:verify(tokens.full, { now = 2029.9, leeway = 30 }))
  refuses(wsock.JWT_NOT_YET_VALID, "the token is not valid yet", tokens.early, { now = 1999 })
  refuses(wsock.JWT_ALGORITHM, algorithm, tokens.none)
  refuses(wsock.JWT_ALGORITHM, algorithm, tokens.rs256)
  refuses(wsock.JWT_SIGNATURE, "the signature of the token is wrong", tokens.foreign)
  refuses(wsock.JWT_MALFORMED, "the token is malformed", "")
  refuses(wsock.JWT_TOO_LONG, "the token is longer than 8192 bytes", ("x"):rep(8193))
end)

test("audience and issuer are asked for", function()
  local audience = "the token is for another audience"
  local rules = { audience = "chat", issuer = "https://login.example" }
  assert(key:verify(tokens.audience, rules))
  refuses(wsock.JWT_AUDIENCE, audience, tokens.audience)
  refuses(wsock.JWT_AUDIENCE, audience, tokens.audience, { audience = "mail" })
  refuses(wsock.JWT_AUDIENCE, audience, tokens.empty, { audience = "chat" })
  rules.issuer = "https://x"
  refuses(wsock.JWT_ISSUER, "the token is from another issuer", tokens.audience, rules)
end)

test("a public key is for RS256", function()
  local theirs = assert(wsock.jwt_key { key = public, algorithm = "RS256" })
  equal(assert(theirs:verify(tokens.rs256)).subject, "ann")
  refuses(wsock.JWT_SIGNATURE, "the signature of the token is wrong",
    tokens.rs256:sub(1, -5) .. "AAAA", nil, theirs)
  refuses(wsock.JWT_ALGORITHM, "the token is not signed with the algorithm of the key",
    tokens.empty, nil, theirs)
end)

test("keys that are none", function()
  for _, wrong in ipairs { { key = "short" }, { key = public },
    { key = secret, algorithm = "RS256" } } do
    local made, message, code = wsock.jwt_key(wrong)
    fails(wsock.EINVAL, made, message, code)
    assert(message:find("the key of tokens: ", 1, true), message)
  end
  raises("algorithm is HS256 or RS256, not none", wsock.jwt_key,
    { key = secret, algorithm = "none" })
  raises("jwt_key has no option secret", wsock.jwt_key, { secret = secret })
  raises("string expected, got nil", wsock.jwt_key, {})
end)

test("wrong arguments are errors of the caller's", function()
  local jwt = assert(key:verify(tokens.empty))
  raises("test_jwt.lua", function() key:verify() end)
  raises("string expected, got nil", key.verify, key, nil)
  raises("a dot for a colon", key.verify, tokens.empty)
  raises("verify has no option aud", key.verify, key, tokens.empty, { aud = "chat" })
  raises("string expected", key.verify, key, tokens.empty, { audience = {} })
  raises("holds a NUL", key.verify, key, tokens.empty, { audience = "a\0b" })
  raises("leeway is a number", key.verify, key, tokens.empty, { leeway = -1 })
  raises("now is a number", key.verify, key, tokens.empty, { now = 0 / 0 })
  raises("test_jwt.lua", function() return (jwt:may_join()) end)
  raises("a dot for a colon", jwt.may_join, "x")
end)

test("a key that was made before a world of tests is no hindrance", function()
  local testing = require "wsock.testing"
  local made = assert(wsock.jwt_key { key = secret })
  local world = assert(testing.new())
  assert(made:verify(tokens.empty))
  world:close()
end)

t.done()
