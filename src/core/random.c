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
}

void wsi_random_bytes(struct wsi_random *random, void *out, size_t len)
{
    if (len > sizeof random->pool) {
        wsi_random_system(out, len);
        return;
    }
    if (len > sizeof random->pool - random->used) {
        wsi_random_system(random->pool, sizeof random->pool);
        random->used = 0;
    }
    memcpy(out, random->pool + random->used, len);
    memset(random->pool + random->used, 0, len);
    random->used += (unsigned)len;
}
