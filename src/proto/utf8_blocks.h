/* SPDX-License-Identifier: MIT */
/*
 * The UTF-8 check in vectors, written once. A variant's file defines `vec` and its
 * operations (VEC_FN, VEC_BYTES, vec_load, vec_fill, vec_or, vec_and, vec_xor,
 * vec_less, vec_table, vec_lookup, vec_high, vec_low, vec_behind, vec_is_ascii,
 * vec_is_zero) and includes this; hence no guard.
 *
 * Every byte is judged by itself and the three before it, all in parallel. Two
 * neighbours can only be wrong together in the eight ways below, and each way is
 * recognised by the high half of the first, the low half of the first and the high
 * half of the second: three tables of sixteen entries, one bit for each way, and
 * what survives the AND of the three has happened. The eighth is no error by itself:
 * a continuation after a continuation is right in the third byte of a character
 * and in the fourth, and there it must be.
 */

#define CUT        0x01 /* a lead, then no continuation */
#define STRAY      0x02 /* ASCII, then a continuation */
#define OVERLONG_2 0x04 /* C0 or C1 */
#define OVERLONG_3 0x08 /* E0, then 80..9F */
#define SURROGATE  0x10 /* ED, then A0..BF */
#define EXTREME_8  0x20 /* F0 (overlong) or F5.. (too large), then 80..8F */
#define EXTREME_9B 0x40 /* F4.., then 90..BF: too large */
#define SECOND     0x80 /* a continuation, then another */

/* Whatever the low half of the first is, the first three can be. */
#define ANY_LOW (CUT | STRAY | SECOND)
#define F5_UP   (ANY_LOW | EXTREME_8 | EXTREME_9B)

/* Whatever continuation the second is, the first three can be. */
#define ANY_NEXT (STRAY | SECOND | OVERLONG_2)

/* clang-format off */
static const uint8_t by_first_high[16] = {
    STRAY, STRAY, STRAY, STRAY, STRAY, STRAY, STRAY, STRAY,
    SECOND, SECOND, SECOND, SECOND,
    CUT | OVERLONG_2,
    CUT,
    CUT | OVERLONG_3 | SURROGATE,
    CUT | EXTREME_8 | EXTREME_9B,
};

static const uint8_t by_first_low[16] = {
    ANY_LOW | OVERLONG_2 | OVERLONG_3 | EXTREME_8,
    ANY_LOW | OVERLONG_2,
    ANY_LOW,
    ANY_LOW,
    ANY_LOW | EXTREME_9B,
    F5_UP, F5_UP, F5_UP, F5_UP, F5_UP, F5_UP, F5_UP, F5_UP,
    F5_UP | SURROGATE,
    F5_UP, F5_UP,
};

static const uint8_t by_second_high[16] = {
    CUT, CUT, CUT, CUT, CUT, CUT, CUT, CUT,
    ANY_NEXT | OVERLONG_3 | EXTREME_8,
    ANY_NEXT | OVERLONG_3 | EXTREME_9B,
    ANY_NEXT | SURROGATE | EXTREME_9B,
    ANY_NEXT | SURROGATE | EXTREME_9B,
    CUT, CUT, CUT, CUT,
};
/* clang-format on */

struct ways {
    vec first_high, first_low, second_high;
};

/* Not zero where a byte cannot stand behind the three before it. */
VEC_FN vec errors(const struct ways *ways, vec now, vec back1, vec back2, vec back3)
{
    const vec high = vec_lookup(ways->first_high, vec_high(back1));
    const vec low = vec_lookup(ways->first_low, vec_low(back1));
    const vec next = vec_lookup(ways->second_high, vec_high(now));
    const vec found = vec_and(vec_and(high, low), next);
    /* The top bit stays where back2 leads three bytes or more, back3 four. */
    const vec third = vec_less(back2, vec_fill(0xE0 - 0x80));
    const vec fourth = vec_less(back3, vec_fill(0xF0 - 0x80));

    return vec_xor(found, vec_and(vec_or(third, fourth), vec_fill(SECOND)));
}

VEC_FN vec errors_after(const struct ways *ways, vec now, vec before)
{
    return errors(ways, now, vec_behind(now, before, 1), vec_behind(now, before, 2),
                  vec_behind(now, before, 3));
}

VEC_FN bool is_good_after(const struct ways *ways, vec now, vec before)
{
    /* With `before`, because a character may be cut by ASCII. */
    return vec_is_ascii(vec_or(now, before)) ||
           vec_is_zero(errors_after(ways, now, before));
}

/* The last block, which overlaps those before it, whatever the length. */
VEC_FN bool is_good_at_end(const struct ways *ways, const uint8_t *end, vec before)
{
    const uint8_t *block = end - VEC_BYTES;
    const vec now = vec_load(block);

    return vec_is_ascii(vec_or(now, before)) ||
           vec_is_zero(errors(ways, now, vec_load(block - 1), vec_load(block - 2),
                              vec_load(block - 3)));
}

VEC_FN size_t utf8_skip_blocks(const uint8_t *data, size_t len)
{
    const struct ways ways = {
        vec_table(by_first_high),
        vec_table(by_first_low),
        vec_table(by_second_high),
    };
    vec before = vec_fill(0);
    size_t i = 0;

    for (const size_t end = len - len % (2 * VEC_BYTES); i < end; i += 2 * VEC_BYTES) {
        const vec a = vec_load(data + i), b = vec_load(data + i + VEC_BYTES);

        /* Plain blocks are so cheap that a jump over the rest would be felt. */
        if (__builtin_expect(!vec_is_ascii(vec_or(vec_or(a, b), before)), 0) &&
            !vec_is_zero(
                vec_or(errors_after(&ways, a, before), errors_after(&ways, b, a))))
            return wsi_utf8_whole(data, i);
        before = b;
    }
    if (len - i >= VEC_BYTES) {
        const vec now = vec_load(data + i);

        if (!is_good_after(&ways, now, before))
            return wsi_utf8_whole(data, i);
        before = now;
        i += VEC_BYTES;
    }
    if (i < len && len >= VEC_BYTES + 3 && is_good_at_end(&ways, data + len, before))
        i = len;
    return wsi_utf8_whole(data, i);
}
