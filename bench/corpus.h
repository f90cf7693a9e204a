/* SPDX-License-Identifier: MIT */
/*
 * The messages of the compressed echo: texts such as an application sends, made from a
 * seed, and each compressed beforehand as a client would that keeps no context.
 */
#ifndef BENCH_CORPUS_H
#define BENCH_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#define TAIL      "\x00\x00\xff\xff" /* RFC 7692 section 7.2.1: does not travel */
#define TAIL_SIZE 4

/* As zlib counts; the window is that of both directions. */
struct deflate_settings {
    int level;
    int memory_level;
    int window_bits;
};

struct corpus {
    size_t count;
    size_t size;             /* of each text */
    size_t stride;           /* from one compressed message to the next */
    unsigned char *texts;    /* count times size bytes */
    unsigned char *deflated; /* count times stride bytes; the tail is behind each */
    size_t *deflated_len;    /* without the tail */
};

void corpus_init(struct corpus *corpus, size_t count, size_t size, uint64_t seed,
                 const struct deflate_settings *settings);
void corpus_fini(struct corpus *corpus);

static inline const unsigned char *corpus_text(const struct corpus *corpus, size_t i)
{
    return corpus->texts + i * corpus->size;
}

static inline unsigned char *corpus_deflated(const struct corpus *corpus, size_t i)
{
    return corpus->deflated + i * corpus->stride;
}

/** What connection `conn` of so many sends as its message number n: each begins at a
 *  place of its own and goes round. */
static inline size_t corpus_index(const struct corpus *corpus, size_t conn,
                                  size_t connections, size_t n)
{
    return (conn * corpus->count / connections + n) % corpus->count;
}

#endif
