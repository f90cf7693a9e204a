/* SPDX-License-Identifier: MIT */
/*
 * What stands before the parser of answers: hiredis believes what a broker says of
 * lengths, allocates for it, and keeps at it. The guard reads the same grammar (RESP2)
 * without keeping anything but counts, and stops what is no answer, is nested too deep,
 * or would cost more memory than one answer may.
 */
#ifndef WSI_REDIS_GUARD_H
#define WSI_REDIS_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WSI_GUARD_DEPTH = 7,         /* arrays in arrays; hiredis has room for one more */
    WSI_GUARD_ELEMENT_COST = 96, /* memory of an element beside its bytes */
};

struct wsi_guard {
    size_t limit; /* what an answer may cost */
    size_t cost;  /* of the one that is under way */
    uint64_t bulk;
    uint64_t missing[WSI_GUARD_DEPTH]; /* elements of the arrays that are open */
    unsigned depth;
    uint8_t state, type;
    uint8_t digits; /* of the number that is being read */
    bool negative, after_cr;
    uint64_t number;
};

void wsi_guard_init(struct wsi_guard *guard, size_t limit);

/**
 * Look at bytes that came, up to the end of an answer.
 *
 * @param whole (out) the answer is whole.
 * @param why   (out, borrowed for good) what is wrong, else untouched.
 * @return how many belong to the answer: all of them, unless it is whole; 0: it is
 *         refused, and so is all that follows.
 */
size_t wsi_guard_pass(struct wsi_guard *guard, const char *data, size_t len, bool *whole,
                      const char **why);

#endif
