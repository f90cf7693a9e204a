/* SPDX-License-Identifier: MIT */
/* Frames of rooms.v1 that tell of a message, as the library writes them. */
#ifndef WSI_TEST_TOLD_H
#define WSI_TEST_TOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct told {
    bool skip; /* else msg, */
    uint8_t data[1024];
    size_t len;                   /* with these bytes */
    uint64_t epoch, offset, prev; /* 0 without history */
};

/** Whether a frame is about who is in the room, and no message. */
bool told_of_members(const void *frame, size_t len);
/** @return false for what is neither. */
bool told_read(struct told *told, const void *frame, size_t len);

#endif
