/* SPDX-License-Identifier: MIT */
/*
 * RFC 3629 as a stream. Three parts share a text: a few words are enough for short
 * ASCII; the variant that cpu.c chose skips whole good characters of long runs; and
 * an automaton takes what is left, which is where a text was cut and where it is bad.
 *
 *            80..BF (C2..DF, E0: A0.., ED: ..9F, F0: 90.., F4: ..8F narrow the first)
 *    +-----+  C2..DF   +-----+  E0..EF  +-----+  F0..F4
 *    |  0  | --------> |  1  | <------- |  2  | <------- 3
 *    +-----+ <-------- +-----+  80..BF  +-----+  80..BF
 *     ASCII    80..BF
 *
 * A state is the number of bytes that are missing, and the range of the next one.
 */
#include "proto/utf8.h"

#include "proto/cpu.h"
#include "proto/simd.h"

#define STATE(missing, low, high) ((uint32_t)(missing) | (low) << 8 | (high) << 16)
#define BAD                       UINT32_MAX

#define SHORT 64 /* ASCII up to this is a look at a few words */
#define BLOCK 32 /* below this no variant has more than the automaton */

static inline uint32_t after_lead(uint8_t lead)
{
    if (lead < 0x80)
        return 0;
    if (lead < 0xC2 || lead > 0xF4)
        return BAD;
    if (lead < 0xE0)
        return STATE(1, 0x80U, 0xBFU);
    if (lead < 0xF0)
        return STATE(2, lead == 0xE0 ? 0xA0U : 0x80U, lead == 0xED ? 0x9FU : 0xBFU);
    return STATE(3, lead == 0xF0 ? 0x90U : 0x80U, lead == 0xF4 ? 0x8FU : 0xBFU);
}

static inline uint32_t step(uint32_t state, uint8_t byte)
{
    if (state == 0)
        return after_lead(byte);
    if (byte < (state >> 8 & 0xFF) || byte > (state >> 16 & 0xFF))
        return BAD;
    const uint32_t missing = (state & 0xFF) - 1;

    return missing == 0 ? 0 : STATE(missing, 0x80U, 0xBFU);
}

size_t wsi_utf8_step_bytes(wsi_utf8_state *state, const uint8_t *data, size_t len)
{
    uint32_t now = *state;

    for (size_t i = 0; i < len; i++) {
        const uint32_t next = step(now, data[i]);

        if (next == BAD) {
            *state = now;
            return i;
        }
        now = next;
    }
    *state = now;
    return len;
}

static inline uint64_t words(const uint8_t *data)
{
    return wsi_simd_load(data) | wsi_simd_load(data + 8);
}

/* Of at most SHORT bytes: from both ends, and what overlaps is seen twice. */
static inline bool is_short_ascii(const uint8_t *data, size_t len)
{
    const uint8_t *end = data + len;
    uint64_t all;

    if (len > 16) {
        all = words(data) | words(end - 16);
        if (len > 32)
            all |= words(data + 16) | words(end - 32);
    } else if (len >= 8) {
        all = wsi_simd_load(data) | wsi_simd_load(end - 8);
    } else if (len >= 4) {
        uint32_t head, tail;

        memcpy(&head, data, sizeof head);
        memcpy(&tail, end - 4, sizeof tail);
        all = head | tail;
    } else {
        all = len > 0 ? data[0] | data[len / 2] | end[-1] : 0;
    }
    return wsi_simd_not_ascii(all) == 0;
}

size_t wsi_utf8_check_with(const struct wsi_simd *simd, wsi_utf8_state *state,
                           const uint8_t *data, size_t len)
{
    size_t done = 0;

    /* At most three bytes are missing from the character that the last piece began. */
    while (*state != 0 && done < len) {
        if (wsi_utf8_step_bytes(state, data + done, 1) == 0)
            return done;
        done++;
    }
    if (*state == 0)
        done += simd->utf8_skip(data + done, len - done);
    return done + wsi_utf8_step_bytes(state, data + done, len - done);
}

/* Apart, so that the short path saves no registers for these calls. */
__attribute__((noinline)) static size_t check_at_length(wsi_utf8_state *state,
                                                        const uint8_t *data, size_t len)
{
    if (len < BLOCK)
        return wsi_utf8_step_bytes(state, data, len);
    return wsi_utf8_check_with(wsi_cpu_best(), state, data, len);
}

size_t wsi_utf8_check(wsi_utf8_state *state, const uint8_t *data, size_t len)
{
    if (len <= SHORT && *state == 0 && is_short_ascii(data, len))
        return len;
    return check_at_length(state, data, len);
}

bool wsi_utf8_is_valid(const void *data, size_t len)
{
    wsi_utf8_state state = 0;

    return wsi_utf8_check(&state, data, len) == len && state == 0;
}
