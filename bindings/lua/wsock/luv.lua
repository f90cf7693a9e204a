-- SPDX-License-Identifier: MIT
-- Handlers inside the loop of luv: require("wsock.luv").attach(), then uv.run().

local wsock = require "wsock"
local uv = require "luv"

local M = {}

--- Run handlers in luv's default loop from now on. The loop goes on as long as they may
-- come: close() the result to end that.
function M.attach()
  local poll = assert(uv.new_poll(wsock.fd()))
  -- Handlers run now, until there is reason to wait; what they send needs no help of ours.
  local function run()
    repeat
      local ran, message = wsock.poll()
      if not ran then error(message) end
    until wsock.arm()
  end
  assert(poll:start("r", run))
  run()
  return {
    close = function()
      if not poll:is_closing() then poll:close() end
    end,
  }
end

return M
