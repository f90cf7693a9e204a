-- SPDX-License-Identifier: MIT
-- Handlers inside the loop of copas: require("wsock.copas").attach(), then copas.loop().
--
-- Copas waits for what looks like a server's socket; when that is readable, it asks it to
-- accept. So our descriptor is one whose accept() runs handlers, and accepts nobody.

local wsock = require "wsock"
local copas = require "copas"

local M = {}

--- Run handlers in copas's loop from now on. The loop goes on as long as they may come:
-- close() the result to end that.
function M.attach()
  local queue = {}

  local function run()
    repeat
      local ran, message = wsock.poll()
      if not ran then error(message) end
    until queue.closed or wsock.arm()
  end

  function queue.getfd() return queue.closed and -1 or wsock.fd() end
  function queue.dirty() return false end
  function queue.settimeout() return 1 end
  function queue.accept()
    run()
    return nil, "timeout"
  end
  function queue.close()
    if queue.closed then return end
    queue.closed = true -- copas 1 cannot take one out: without a descriptor it waits for none
    if copas.removeserver then copas.removeserver(queue, true) end
  end

  copas.addserver(queue, function() end)
  run()
  return queue
end

return M
