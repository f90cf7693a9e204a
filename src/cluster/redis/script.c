/* SPDX-License-Identifier: MIT */
/*
 * The scripts. Numbers of Lua are doubles: epochs are microseconds and offsets count
 * messages, both far below 2^53, and are written by text() since tostring() rounds.
 *
 * An epoch is the broker's time when it began, or more than what somebody has seen: so
 * of two epochs the larger one is the later. Who has seen a later epoch than the
 * broker's, or in it a higher offset than the broker's, knows that the broker has lost
 * messages, and the script that hears of it begins another epoch: whoever comes second
 * finds it there.
 */
#include "cluster/redis/script.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proto/sha1.h"

/* From KEYS[1] the state of the room, KEYS[2] its stream; may begin an epoch. */
#define STATE                                                                        \
    "local function text(n) return string.format('%.0f', n) end\n"                   \
    "local clock = redis.call('TIME')\n"                                             \
    "local us = clock[1] * 1000000 + clock[2]\n"                                     \
    "local now = math.floor(us / 1000)\n"                                            \
    "local state = redis.call('HMGET', KEYS[1], 'e', 'o', 't', 'c')\n"               \
    "local epoch = tonumber(state[1])\n"                                             \
    "local offset = tonumber(state[2]) or 0\n"                                       \
    "local last = tonumber(state[3]) or 0\n"                                         \
    "local sum = tonumber(state[4]) or 0\n"                                          \
    "local function see(seen_epoch, seen_offset)\n"                                  \
    "  if epoch and (seen_epoch < epoch or\n"                                        \
    "      seen_epoch == epoch and seen_offset <= offset) then return end\n"         \
    "  epoch = math.max(us, seen_epoch + 1, (epoch or 0) + 1)\n"                     \
    "  offset, last, sum = 0, 0, 0\n"                                                \
    "  redis.call('DEL', KEYS[2])\n"                                                 \
    "  redis.call('HSET', KEYS[1], 'e', text(epoch), 'o', 0, 't', 0, 'c', 0)\n"      \
    "end\n"                                                                          \
    "local function expire(time)\n"                                                  \
    "  if time > 0 then redis.call('PEXPIRE', KEYS[1], text(time + 86400000)) end\n" \
    "end\n"

/*
 * KEYS: state, stream, the node's last. ARGV: bytes, node, seq; messages, time, bytes of
 * the window; epoch and offset that were seen; channel, how to publish.
 *
 * The node's last message tells a message that comes again from a new one; that of an
 * earlier number is looked for in the stream, which may have dropped it since: then
 * nobody knows.
 */
static const char append[] = STATE
    "local seq = tonumber(ARGV[3])\n"
    "local id = ARGV[2] .. ' ' .. ARGV[3]\n"
    "local time = tonumber(ARGV[5])\n"
    "see(tonumber(ARGV[7]), tonumber(ARGV[8]))\n"
    "local newest = -1\n"
    "local record = redis.call('GET', KEYS[3])\n"
    "if record then\n"
    "  local s, e, o, w = string.match(record, '^(%d+) (%d+) (%d+) (%d+)$')\n"
    "  if s and tonumber(e) == epoch then\n"
    "    newest = tonumber(s)\n"
    "    if newest == seq then return e .. ' ' .. o .. ' ' .. w end\n"
    "  end\n"
    "end\n"
    "if seq < newest then\n"
    "  local from, looked, first, older = '+', 0, 0, false\n"
    "  while looked < 1000 do\n"
    "    local page = redis.call('XREVRANGE', KEYS[2], from, '-', 'COUNT', 50)\n"
    "    if #page == 0 then break end\n"
    "    for _, entry in ipairs(page) do\n"
    "      local w, o = string.match(entry[1], '^(%d+)-(%d+)$')\n"
    "      if entry[2][2] == id then return text(epoch) .. ' ' .. o .. ' ' .. w end\n"
    "      local node, number = string.match(entry[2][2], '^(%x+) (%d+)$')\n"
    "      older = older or node == ARGV[2] and tonumber(number) < seq\n"
    "      first = tonumber(o)\n"
    "    end\n"
    "    looked = looked + #page\n"
    "    from = '(' .. page[#page][1]\n"
    "  end\n"
    "  if first ~= 1 and not older then return 'unknown' end\n"
    "end\n"
    "offset = offset + 1\n"
    "last = math.max(now, last)\n"
    "sum = sum + #ARGV[1]\n"
    "local add = {'XADD', KEYS[2]}\n"
    "if tonumber(ARGV[4]) > 0 then\n"
    "  add[3], add[4], add[5] = 'MAXLEN', '~', ARGV[4]\n"
    "end\n"
    "for _, field in ipairs({text(last) .. '-' .. text(offset), 'i', id, 'c', "
    "text(sum),\n"
    "    'b', ARGV[1]}) do add[#add + 1] = field end\n"
    "redis.call(unpack(add))\n"
    "redis.call('HSET', KEYS[1], 'e', text(epoch), 'o', text(offset), 't', text(last),\n"
    "  'c', text(sum))\n"
    "expire(time)\n"
    "if time > 0 then\n"
    "  redis.call('XTRIM', KEYS[2], 'MINID', '~', text(math.max(0, now - time)))\n"
    "  redis.call('PEXPIRE', KEYS[2], text(time))\n"
    "end\n"
    "if tonumber(ARGV[6]) > 0 then\n"
    "  for _ = 1, 4 do\n"
    "    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]\n"
    "    if not oldest or sum - tonumber(oldest[2][4]) < tonumber(ARGV[6]) then break "
    "end\n"
    "    redis.call('XDEL', KEYS[2], oldest[1])\n"
    "  end\n"
    "end\n"
    "if seq > newest then\n"
    "  redis.call('SET', KEYS[3], ARGV[3] .. ' ' .. text(epoch) .. ' ' .. text(offset) "
    "..\n"
    "    ' ' .. text(last), 'PX', 3600000)\n"
    "end\n"
    "local message = 'k' .. struct.pack('>I8I8I8', epoch, offset, last) .. ARGV[1]\n"
    "if ARGV[10] ~= 's' then redis.call('PUBLISH', ARGV[9], message) end\n"
    "if ARGV[10] ~= 'p' then redis.call('SPUBLISH', ARGV[9], message) end\n"
    "return text(epoch) .. ' ' .. text(offset) .. ' ' .. text(last)\n";

/* KEYS: state, stream. ARGV: time of the window, epoch and offset that were seen, where
 * to go on ('-': at the beginning), bytes. One page of what is kept, behind the newest
 * position and what time it is. */
static const char load[] = STATE
    "local time = tonumber(ARGV[1])\n"
    "see(tonumber(ARGV[2]), tonumber(ARGV[3]))\n"
    "expire(time)\n"
    "local from, left = ARGV[4], tonumber(ARGV[5])\n"
    "if from == '-' and time > 0 then from = text(math.max(0, now - time)) end\n"
    "local out = {text(epoch) .. ' ' .. text(offset) .. ' ' .. text(now)}\n"
    "local page = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 50)\n"
    "for _, entry in ipairs(page) do\n"
    "  left = left - #entry[2][6]\n"
    "  if left < 0 and #out > 1 then break end\n"
    "  out[#out + 1] = entry[1]\n"
    "  out[#out + 1] = entry[2][6]\n"
    "end\n"
    "return out\n";

#define NOW                              \
    "local clock = redis.call('TIME')\n" \
    "local now = clock[1] * 1000 + math.floor(clock[2] / 1000)\n"
#define ALIVE                                                                       \
    "redis.call('PEXPIRE', KEYS[2], ARGV[2])\n"                                     \
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))\n" \
    "redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])\n"  \
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"

/* KEYS: nodes, entries of one. ARGV: node, how long, whether to begin anew; then names
 * and what they have. */
static const char present[] = NOW
    "if ARGV[3] == '1' then redis.call('DEL', KEYS[2]) end\n"
    "for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end\n" ALIVE
    "return redis.call('HLEN', KEYS[2])\n";

/* The same KEYS. ARGV: node, names; without names: all of them. */
static const char absent[] =
    "for i = 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end\n"
    "if #ARGV == 1 then redis.call('DEL', KEYS[2]) end\n"
    "local left = redis.call('HLEN', KEYS[2])\n"
    "if left == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end\n"
    "return left\n";

/* The same KEYS. ARGV: node, how long. @return how many entries there are. */
static const char renew[] = "local count = redis.call('HLEN', KEYS[2])\n"
                            "if count > 0 then\n" NOW ALIVE "end\n"
                            "return count\n";

/* KEYS: nodes. */
static const char nodes[] = NOW
    "return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')\n";

const char *wsi_script_text(enum wsi_script script)
{
    static const char *const texts[WSI_SCRIPTS] = {
        [WSI_SCRIPT_APPEND] = append,   [WSI_SCRIPT_LOAD] = load,
        [WSI_SCRIPT_PRESENT] = present, [WSI_SCRIPT_ABSENT] = absent,
        [WSI_SCRIPT_RENEW] = renew,     [WSI_SCRIPT_NODES] = nodes,
    };

    return texts[script];
}

void wsi_script_sha(char out[WSI_SCRIPT_SHA_SIZE], enum wsi_script script)
{
    const char *text = wsi_script_text(script);
    uint8_t digest[WSI_SHA1_SIZE];

    wsi_sha1(digest, text, strlen(text));
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}
