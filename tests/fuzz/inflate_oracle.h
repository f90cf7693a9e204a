/* SPDX-License-Identifier: MIT */
/*
 * A second opinion on compressed messages: RFC 7692 section 7.2.2 by bare zlib, over a
 * whole payload with the tail appended, in one of two ways. Strict takes the output byte
 * by byte, so that every distance has to lie in the window; generous has the largest
 * window that DEFLATE knows.
 */
#ifndef WSI_TEST_INFLATE_ORACLE_H
#define WSI_TEST_INFLATE_ORACLE_H

#include "fuzz.h"

#include <stdbool.h>
#include <zlib.h>

enum verdict { FINE, TOO_BIG, BROKEN };

struct inflate_oracle {
    z_stream z;
    bool strict, takeover;
    uint8_t *out; /* (owned) what the last message inflated to */
    uint64_t len;
};

static inline void oracle_init(struct inflate_oracle *oracle, bool strict, unsigned bits,
                               bool takeover)
{
    *oracle = (struct inflate_oracle){.strict = strict, .takeover = takeover};
    CHECK(inflateInit2(&oracle->z, -(int)(strict ? bits : 15)) == Z_OK);
}

static inline void oracle_fini(struct inflate_oracle *oracle)
{
    inflateEnd(&oracle->z);
    free(oracle->out);
}

/* The next message begins without a context. */
static inline void oracle_reset(struct inflate_oracle *oracle)
{
    CHECK(inflateReset(&oracle->z) == Z_OK);
}

/* Inflates until the input is used up and nothing comes any more. */
static inline enum verdict oracle_feed(struct inflate_oracle *oracle, const void *data,
                                       size_t len, uint64_t limit)
{
    z_stream *z = &oracle->z;
    int r;

    z->next_in = (uint8_t *)(uintptr_t)data;
    z->avail_in = (unsigned)len;
    do {
        const uint64_t room = oracle->strict ? 1 : limit + 1 - oracle->len;

        z->next_out = oracle->out + oracle->len;
        z->avail_out = (unsigned)room;
        r = inflate(z, Z_SYNC_FLUSH);
        oracle->len += room - z->avail_out;
        if (oracle->len > limit)
            return TOO_BIG;
        if (r == Z_STREAM_END) /* there may be another behind it (7.2.3.5) */
            oracle_reset(oracle);
        else if (r != Z_OK && r != Z_BUF_ERROR)
            return BROKEN;
    } while (z->avail_in != 0 || z->avail_out == 0);
    return FINE;
}

/* Between two blocks and on a byte boundary stored blocks stand for their contents. */
static inline bool oracle_is_between_blocks(const struct inflate_oracle *oracle)
{
    uint8_t stored[] = {0, 1, 0, 0xfe, 0xff, 0x5a, 0, 2, 0, 0xfd, 0xff, 0x00, 0xff};
    uint8_t out[4];
    z_stream copy;
    int r;

    CHECK(inflateCopy(&copy, (z_stream *)(uintptr_t)&oracle->z) == Z_OK);
    copy.next_in = stored;
    copy.avail_in = sizeof stored;
    copy.next_out = out;
    copy.avail_out = sizeof out;
    r = inflate(&copy, Z_SYNC_FLUSH);
    inflateEnd(&copy);
    return r == Z_OK && copy.avail_in == 0 && copy.avail_out == 1 &&
           memcmp(out, "\x5a\x00\xff", 3) == 0;
}

static inline enum verdict oracle_judge(struct inflate_oracle *oracle,
                                        const uint8_t *payload, size_t len,
                                        uint64_t limit, bool abandoned)
{
    enum verdict verdict = oracle_feed(oracle, payload, len, limit);
    const uint64_t before = oracle->len;

    if (verdict != FINE || abandoned)
        return verdict;
    verdict = oracle_feed(oracle, "\x00\x00\xff\xff", 4, limit);
    if (verdict != FINE)
        return verdict;
    return oracle->len == before && oracle_is_between_blocks(oracle) ? FINE : BROKEN;
}

/**
 * The verdict on one message, of which out and len are told. No payload at all is an
 * empty message.
 *
 * @param abandoned its end never comes.
 */
static inline enum verdict oracle_message(struct inflate_oracle *oracle,
                                          const uint8_t *payload, size_t len,
                                          uint64_t limit, bool abandoned)
{
    enum { RATIO_MAX = 1032 };
    const uint64_t most = (len + 8) * RATIO_MAX;
    enum verdict verdict = FINE;

    if (limit > most)
        limit = most;
    free(oracle->out);
    oracle->len = 0;
    oracle->out = malloc(limit + 1);
    CHECK(oracle->out != NULL);
    if (len != 0)
        verdict = oracle_judge(oracle, payload, len, limit, abandoned);
    if (verdict != FINE || abandoned || !oracle->takeover)
        oracle_reset(oracle);
    return verdict;
}

#endif
