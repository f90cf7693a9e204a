/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share. Each is one file with one LLVMFuzzerTestOneInput(), run by
 * libFuzzer (scripts/fuzz) and over its seeds by replay.c (suite fuzz). A target does
 * more than not crash: it checks what must hold for any input.
 */
#ifndef WSI_TEST_FUZZ_H
#define WSI_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"

/** The entry that libFuzzer calls; answers 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Unlike assert() it stays in every build. */
#define CHECK(condition)                               \
    do {                                               \
        if (!(condition))                              \
            fuzz_fail(__FILE__, __LINE__, #condition); \
    } while (0)

static inline _Noreturn void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

/** A heap block of exactly len bytes, so that a sanitizer sees a read beyond it. */
static inline void *fuzz_copy(const void *data, size_t len)
{
    void *copy = malloc(len != 0 ? len : 1);

    CHECK(copy != NULL);
    if (len != 0)
        memcpy(copy, data, len);
    return copy;
}

/** The same with a NUL behind, up to the first NUL of the data. */
static inline char *fuzz_text(const void *data, size_t len)
{
    const size_t size = len != 0 ? strnlen(data, len) : 0;
    char *text = malloc(size + 1);

    CHECK(text != NULL);
    if (size != 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/** True when part lies inside whole; what has no length may lie anywhere. */
static inline int fuzz_lies_inside(struct wsi_str part, const void *whole, size_t len)
{
    const uintptr_t begin = (uintptr_t)whole, at = (uintptr_t)part.ptr;

    return part.len == 0 ||
           (at >= begin && part.len <= len && at - begin <= len - part.len);
}

/** Decisions that the input makes; zeros when it is used up. */
struct fuzz_source {
    const uint8_t *at;
    size_t left;
};

static inline unsigned fuzz_byte(struct fuzz_source *source)
{
    if (source->left == 0)
        return 0;
    source->left--;
    return *source->at++;
}

/** 0 to 65535, the high byte first. */
static inline unsigned fuzz_short(struct fuzz_source *source)
{
    const unsigned high = fuzz_byte(source);

    return high << 8 | fuzz_byte(source);
}

#endif
