/* SPDX-License-Identifier: MIT */
/*
 * Answers of Redis, as the guard sees them before hiredis does: a limit, and bytes. What
 * it passes is the same however it is cut; an answer that it calls whole is one to
 * hiredis, at the same byte, and costs no more than the limit.
 */
#include "fuzz.h"

#include <hiredis.h>

#include "cluster/redis/guard.h"

enum { ANSWERS_MAX = 64, PIECES = 3 };

struct seen {
    size_t ends[ANSWERS_MAX]; /* of whole answers */
    size_t count;
    size_t refused_at; /* bytes that were passed before; SIZE_MAX: all was */
    const char *why;
};

/* @param piece bytes at a time */
static void look(struct seen *seen, const char *data, size_t len, size_t limit,
                 size_t piece)
{
    struct wsi_guard guard;
    size_t at = 0;

    memset(seen, 0, sizeof *seen);
    seen->refused_at = SIZE_MAX;
    wsi_guard_init(&guard, limit);
    while (at < len && seen->count < ANSWERS_MAX) {
        const size_t rest = len - at < piece ? len - at : piece;
        char *exact = fuzz_copy(data + at, rest);
        bool whole = true;
        const size_t n = wsi_guard_pass(&guard, exact, rest, &whole, &seen->why);

        free(exact);
        CHECK(n <= rest && (whole || n == rest || n == 0));
        CHECK(guard.cost <= limit && guard.depth <= WSI_GUARD_DEPTH);
        if (n == 0) {
            CHECK(seen->why != NULL && !whole);
            seen->refused_at = at;
            return;
        }
        at += n;
        if (whole)
            seen->ends[seen->count++] = at;
    }
}

static size_t cost_of(const redisReply *reply)
{
    size_t cost = WSI_GUARD_ELEMENT_COST;

    if (reply->type == REDIS_REPLY_ARRAY)
        for (size_t i = 0; i < reply->elements; i++)
            cost += cost_of(reply->element[i]);
    else if (reply->str != NULL)
        cost += reply->len;
    return cost;
}

/* @return false when it takes no more. */
static bool parse(redisReader *reader, const char *data, size_t len, size_t limit)
{
    void *reply = NULL;
    bool good;

    CHECK(redisReaderFeed(reader, data, len) == REDIS_OK);
    good = redisReaderGetReply(reader, &reply) == REDIS_OK;
    CHECK(!good || reply != NULL);
    if (!good)
        return false;
    CHECK(cost_of(reply) <= limit);
    freeReplyObject(reply);
    CHECK(redisReaderGetReply(reader, &reply) == REDIS_OK && reply == NULL);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_source source = {data, len};
    const size_t limit = fuzz_short(&source), pieces[PIECES] = {SIZE_MAX, 1, 3};
    const char *bytes = (const char *)source.at;
    struct seen seen[PIECES];
    redisReader *reader;
    size_t from = 0;

    for (int i = 0; i < PIECES; i++) {
        look(&seen[i], bytes, source.left, limit, pieces[i]);
        CHECK(seen[i].count == seen[0].count && seen[i].why == seen[0].why);
        CHECK(memcmp(seen[i].ends, seen[0].ends, sizeof seen[0].ends) == 0);
    }
    reader = redisReaderCreate();
    CHECK(reader != NULL);
    for (size_t i = 0; i < seen[0].count; i++) {
        if (!parse(reader, bytes + from, seen[0].ends[i] - from, limit))
            break;
        from = seen[0].ends[i];
    }
    redisReaderFree(reader);
    return 0;
}
