/* SPDX-License-Identifier: MIT */
/*
 * CPU of compressing messages without context, as the library does it (with libdeflate,
 * if the build has it), beside bare calls of zlib on the same texts. Both take turns; the
 * figures are medians over the rounds.
 *
 *     bench_deflate [LEVEL [ROUNDS]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zlib.h>

#include "corpus.h"
#include "proto/deflate.h"
#include "support.h"

enum { TEXTS = 32, ROUNDS_MAX = 1000, WORK = 512 * 1024 };

struct side {
    double us[ROUNDS_MAX]; /* per message */
    size_t bytes;          /* of all texts */
};

struct bench {
    struct corpus corpus;
    size_t messages; /* of a round */
    struct wsi_deflater *deflater;
    struct wsi_buf out;
    z_stream z;
    unsigned char *room;
};

static double cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static size_t by_library(struct bench *bench, size_t i)
{
    bench->out.len = 0;
    if (wsi_deflater_message(bench->deflater, &bench->out, corpus_text(&bench->corpus, i),
                             bench->corpus.size) < 0)
        die("a message cannot be compressed");
    return bench->out.len;
}

static size_t by_zlib(struct bench *bench, size_t i)
{
    z_stream *z = &bench->z;

    deflateReset(z);
    z->next_in = bench->corpus.texts + i * bench->corpus.size;
    z->avail_in = (unsigned)bench->corpus.size;
    z->next_out = bench->room;
    z->avail_out = (unsigned)bench->corpus.stride;
    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_out == 0)
        die("zlib cannot compress a message");
    return bench->corpus.stride - z->avail_out - TAIL_SIZE;
}

static void measure(struct bench *bench, struct side *side, unsigned round,
                    size_t (*compress)(struct bench *bench, size_t i))
{
    const double begun = cpu_us();

    side->bytes = 0;
    for (size_t i = 0; i < bench->messages; i++) {
        const size_t len = compress(bench, i % TEXTS);

        if (i < TEXTS)
            side->bytes += len;
    }
    side->us[round] = (cpu_us() - begun) / (double)bench->messages;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static void bench_size(size_t size, int level, unsigned rounds)
{
    static struct side library, zlib;
    static double ratios[ROUNDS_MAX];
    const struct deflate_settings settings = {level, 8, 15};
    const struct wsi_deflate_settings ours = {
        .window_bits = 15,
        .memory_level = 8,
        .level = (uint8_t)level,
    };
    struct bench bench = {.messages = WORK / size > TEXTS ? WORK / size : TEXTS};

    corpus_init(&bench.corpus, TEXTS, size, 1, &settings);
    bench.room = must_alloc(bench.corpus.stride, 1);
    if (wsi_deflater_new(&bench.deflater, &ours) < 0 ||
        deflateInit2(&bench.z, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        die("out of memory");
    for (unsigned round = 0; round < rounds; round++) {
        measure(&bench, &zlib, round, by_zlib);
        measure(&bench, &library, round, by_library);
        ratios[round] = library.us[round] / zlib.us[round];
    }
    printf("%6zu  %8.1f  %8.1f  %5.2f  %8zu  %8zu  %6.3f\n", size,
           median(zlib.us, rounds), median(library.us, rounds), median(ratios, rounds),
           zlib.bytes / TEXTS, library.bytes / TEXTS,
           (double)library.bytes / (double)zlib.bytes);
    deflateEnd(&bench.z);
    wsi_deflater_free(bench.deflater);
    wsi_buf_fini(&bench.out);
    free(bench.room);
    corpus_fini(&bench.corpus);
}

int main(int argc, char **argv)
{
    const int level = argc > 1 ? atoi(argv[1]) : 6;
    const int rounds = argc > 2 ? atoi(argv[2]) : 25;

    if (level < 1 || level > 9 || rounds < 1 || rounds > ROUNDS_MAX)
        die("usage: bench_deflate [LEVEL [ROUNDS]]");
    printf("level %d; CPU in microseconds and size in bytes, per message\n", level);
    printf("  text      zlib   library  ratio      zlib   library   ratio\n");
    for (size_t size = 512; size <= 64 * 1024; size *= 2)
        bench_size(size, level, (unsigned)rounds);
    return 0;
}
