/* SPDX-License-Identifier: MIT */
/* Buffered getrandom(2), which cannot fail for want of a descriptor. */
#include "core/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void wsi_random_system(void *out, size_t len)
{
    uint8_t *bytes = out;

    while (len > 0) {
        const ssize_t got = getrandom(bytes, len, 0);

        if (got > 0) {
            bytes += got;
            len -= (size_t)got;
        }
        /* Only EINTR can happen here: the flags and the buffer are valid, and the
         * kernels this builds for (3.17 and later) have the call. */
    }
}

void wsi_random_init(struct wsi_random *random)
{
    random->used = sizeof random->pool;
    random->repeats = false;
}

void wsi_random_repeat(struct wsi_random *random, uint64_t seed)
{
    random->used = sizeof random->pool;
    random->repeats = true;
    random->state = seed;
}

/* Steele, Lea and Flood's SplitMix64: any seed will do. */
static uint64_t next_number(struct wsi_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void draw(struct wsi_random *random, void *out, size_t len)
{
    uint8_t *bytes = out;

    if (!random->repeats) {
        wsi_random_system(out, len);
        return;
    }
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        const uint64_t number = next_number(random);
        const size_t left = len - i;

        memcpy(bytes + i, &number, left < sizeof number ? left : sizeof number);
    }
}

void wsi_random_bytes(struct wsi_random *random, void *out, size_t len)
{
    if (len > sizeof random->pool) {
        draw(random, out, len);
        return;
    }
    if (len > sizeof random->pool - random->used) {
        draw(random, random->pool, sizeof random->pool);
        random->used = 0;
    }
    memcpy(out, random->pool + random->used, len);
    memset(random->pool + random->used, 0, len);
    random->used += (unsigned)len;
}
