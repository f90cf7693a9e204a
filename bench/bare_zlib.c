/* SPDX-License-Identifier: MIT */
/*
 * The limit that the compressed echo is compared with: nothing but the calls of zlib that
 * it cannot do without, one inflate and one deflate for each message, on the messages and
 * in the order of load_text, in buffers that are large enough from the start. As many
 * contexts are in use as the server has: one for all, or a compressor for each
 * connection.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "corpus.h"
#include "support.h"
#include "text_options.h"

/* zlib inflates faster while this much room is left. */
#define SPARE 512

struct bare {
    struct corpus corpus;
    z_stream inflater;
    z_stream *deflaters; /* one, or one for each connection */
    size_t deflater_count;
    unsigned char *text, *answer;
    size_t answer_room;
};

struct tally {
    uint64_t messages, bytes_out;
};

static void bare_init(struct bare *bare, const struct text_options *o)
{
    corpus_init(&bare->corpus, o->count, o->size, o->seed, &o->settings);
    bare->answer_room = bare->corpus.stride;
    bare->answer = must_alloc(bare->answer_room, 1);
    bare->text = must_alloc(o->size + SPARE, 1);
    bare->deflater_count = o->mode == MODE_DEDICATED ? o->connections : 1;
    bare->deflaters = must_alloc(bare->deflater_count, sizeof *bare->deflaters);
    for (size_t i = 0; i < bare->deflater_count; i++)
        if (deflateInit2(&bare->deflaters[i], o->settings.level, Z_DEFLATED,
                         -o->settings.window_bits, o->settings.memory_level,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            die("zlib does not begin to compress");
    if (inflateInit2(&bare->inflater, -o->settings.window_bits) != Z_OK)
        die("zlib does not begin to inflate");
}

static void bare_fini(struct bare *bare)
{
    for (size_t i = 0; i < bare->deflater_count; i++)
        deflateEnd(&bare->deflaters[i]);
    inflateEnd(&bare->inflater);
    corpus_fini(&bare->corpus);
    free(bare->deflaters);
    free(bare->answer);
    free(bare->text);
}

static void inflate_request(struct bare *bare, size_t i)
{
    z_stream *z = &bare->inflater;

    z->next_in = corpus_deflated(&bare->corpus, i);
    z->avail_in = (unsigned)(bare->corpus.deflated_len[i] + TAIL_SIZE);
    z->next_out = bare->text;
    z->avail_out = (unsigned)bare->corpus.size + SPARE;
    inflateReset(z);
    if (inflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in != 0 || z->avail_out != SPARE)
        die("a message does not inflate to what it was");
}

/* @return the bytes that would travel. */
static size_t deflate_answer(struct bare *bare, z_stream *z, bool keeps_context)
{
    z->next_in = bare->text;
    z->avail_in = (unsigned)bare->corpus.size;
    z->next_out = bare->answer;
    z->avail_out = (unsigned)bare->answer_room;
    if (!keeps_context)
        deflateReset(z);
    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in != 0 || z->avail_out == 0)
        die("a message cannot be compressed");
    return bare->answer_room - z->avail_out - TAIL_SIZE;
}

/* Message number n of every connection. */
static void echo_round(struct bare *bare, const struct text_options *o, size_t n,
                       struct tally *tally)
{
    for (size_t conn = 0; conn < o->connections; conn++) {
        z_stream *deflater = &bare->deflaters[conn % bare->deflater_count];

        inflate_request(bare, corpus_index(&bare->corpus, conn, o->connections, n));
        if (!o->inflate_only)
            tally->bytes_out += deflate_answer(bare, deflater, o->mode == MODE_DEDICATED);
        tally->messages++;
    }
}

static struct tally echo_for(struct bare *bare, const struct text_options *o,
                             double seconds, size_t *n)
{
    const int64_t deadline = clock_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * NS_PER_S);
    struct tally tally = {0};

    while (clock_ns(CLOCK_MONOTONIC) < deadline)
        echo_round(bare, o, (*n)++, &tally);
    return tally;
}

static void measure(struct bare *bare, const struct text_options *o)
{
    struct clocks from, to;
    struct tally tally;
    size_t n = 0;
    double cpu, wall;

    echo_for(bare, o, o->run.warmup, &n);
    from = read_clocks(0);
    tally = echo_for(bare, o, o->run.seconds, &n);
    to = read_clocks(0);
    cpu = (double)(to.own - from.own) / NS_PER_S;
    wall = (double)(to.wall - from.wall) / NS_PER_S;
    if (o->run.json)
        printf("{\"seconds\": %.6f, \"messages\": %ju, \"server_cpu_seconds\": %.6f, "
               "\"generator_cpu_seconds\": 0, \"bytes_out\": %ju}\n",
               wall, (uintmax_t)tally.messages, cpu, (uintmax_t)tally.bytes_out);
    else
        printf("%ju messages: %.2f us a message, %.4f bytes out a byte\n",
               (uintmax_t)tally.messages, cpu * 1e6 / (double)tally.messages,
               (double)tally.bytes_out / (double)(tally.messages * bare->corpus.size));
}

int main(int argc, char **argv)
{
    struct text_options options;
    struct bare bare = {0};

    text_options_parse(&options, argc, argv);
    if (options.url != NULL || options.mode == MODE_PLAIN || options.verify)
        die("no URL, no plain mode and no verification here");
    bare_init(&bare, &options);
    measure(&bare, &options);
    bare_fini(&bare);
    return 0;
}
