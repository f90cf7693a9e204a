/* SPDX-License-Identifier: MIT */
/*
 * An incremental decoder must say the same however its input is cut. A test gives the
 * input and a function that decodes a series of pieces and writes what it saw; the walks
 * below cut the input and compare the transcripts.
 */
#ifndef WSI_TEST_CUTS_H
#define WSI_TEST_CUTS_H

#include <stddef.h>
#include <stdint.h>

/** What a decoder saw, as text. */
struct test_transcript {
    char *text; /* NUL-terminated, never NULL */
    size_t len;
};

/** Add one event, printf-like; events are joined by " | ". */
void test_transcript_add(struct test_transcript *transcript, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Bytes as hex; long ones as their number and a checksum. Free with free(). */
char *test_hex(const uint8_t *data, size_t len);

/** One piece of the input in a heap block of exactly its size, which may be changed. */
struct test_piece {
    uint8_t *data;
    size_t len;
};

/** Decode the pieces from the start, each once, and add every event. */
typedef void (*test_decode_fn)(struct test_piece *pieces, size_t count,
                               struct test_transcript *out, void *user);

/** Decode with the given cuts: ascending offsets. @return text to free(). */
char *test_decode_cut(const uint8_t *input, size_t len, const size_t *cuts, size_t count,
                      test_decode_fn decode, void *user);

/**
 * Decode uncut, and then under every pair of cuts, and once byte by byte. An input above
 * 400 bytes is cut at the places near its ends and at some between. Fails when two
 * transcripts differ, and when the first one is not `expected` (nullable).
 */
void test_all_cuts(const uint8_t *input, size_t len, const char *expected,
                   test_decode_fn decode, void *user);

/**
 * The same where the last `run` bytes are all alike: every pair of cuts before them and
 * near their beginning, pairs with some places behind that, and each of those places alone.
 * Pairs within the run would be most of all pairs, and tell nothing.
 */
void test_cuts_before_run(const uint8_t *input, size_t len, size_t run,
                          const char *expected, test_decode_fn decode, void *user);

/** A repeatable stream of numbers; seed it with anything but 0. */
uint32_t test_random(uint32_t *seed);

#endif
