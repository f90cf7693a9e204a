/* SPDX-License-Identifier: MIT */
/*
 * Looks at what a broker says before libnats does. That adds lengths without looking
 * whether the sum is an `int` (one of 2147483647 has it read far outside of its buffer),
 * and keeps a line however long it is.
 */
#ifndef WSI_NATS_GUARD_H
#define WSI_NATS_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WSI_NATS_MESSAGE_MAX = 65 << 20, /* a broker's max_payload is 64 MiB at most */
    WSI_NATS_LINE_MAX = 4096,        /* of a message: as long as libnats has room for */
    WSI_NATS_INFO_MAX = 1 << 18,     /* of all others */
};

/* All zero: nothing was said yet. */
struct wsi_nats_guard {
    uint8_t state;
    bool is_word, is_number; /* the word that is being read, and whether all digits */
    char head[5];            /* the line's first bytes */
    size_t len;              /* of the line */
    unsigned words;
    uint64_t number, before; /* the last word, and the last but one; above all: none */
    size_t missing;          /* of the message */
};

/** @return NULL, or what is wrong with it: then it must not be read. */
const char *wsi_nats_guard_pass(struct wsi_nats_guard *guard, const char *data,
                                size_t len);

#endif
