/* SPDX-License-Identifier: MIT */
/*
 * The texts are arrays of records with the mixture of a live feed: names that repeat,
 * numbers and identifiers that do not, a sentence here and there, some of it not ASCII.
 */
#include "corpus.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "support.h"

#define RECORD_MAX 400 /* more than any record has */

struct writer {
    char *at;
    size_t left;
    uint64_t random;
};

/* splitmix64 */
static uint64_t draw(struct writer *w)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static unsigned below(struct writer *w, unsigned bound)
{
    return (unsigned)(draw(w) % bound);
}

static const char *const words[] = {
    "the",     "of",      "order",    "is",     "late",    "and",      "market",
    "closed",  "with",    "a",        "small",  "gain",    "after",    "news",
    "from",    "harbour", "shipment", "was",    "sent",    "to",       "station",
    "seven",   "because", "weather",  "in",     "north",   "turned",   "again",
    "we",      "expect",  "delivery", "before", "evening", "please",   "confirm",
    "receipt", "no",      "damage",   "found",  "on",      "pallet",   "driver",
    "waits",   "at",      "gate",     "until",  "called",  "customer", "asked",
    "for",     "another", "invoice",  "copy",   "by",      "mail",     "today",
};

static const char *const names[] = {
    "Anna Kowalska", "Liam O'Brien", "José Álvarez", "Chen Wei",     "Fatima Zahra",
    "Noah Schmidt",  "Zoë Dubois",   "Olu Adeyemi",  "Søren Jensen", "Priya Nair",
};

static const char *const places[] = {
    "Rotterdam", "Łódź", "Porto", "Malmö", "Trieste", "Gdańsk", "Bilbao", "Cork",
};

static const char *const states[] = {"new", "packed", "sent", "delivered", "returned"};

#define PICK(w, list) ((list)[below(w, sizeof(list) / sizeof *(list))])

static void put(struct writer *w, int len)
{
    assert(len > 0 && (size_t)len < w->left);
    w->at += len;
    w->left -= (size_t)len;
}

/* One draw at most for each: the order of arguments is the compiler's. */
#define PUT(w, ...) put(w, snprintf((w)->at, (w)->left, __VA_ARGS__))

static void put_words(struct writer *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        PUT(w, "%s%s", i > 0 ? " " : "", PICK(w, words));
}

static void put_record(struct writer *w)
{
    PUT(w, "{\"id\":\"%08x", below(w, UINT32_MAX));
    PUT(w, "-%04x\",\"ts\":\"2026-03-", below(w, 65536));
    PUT(w, "%02uT", 1 + below(w, 31));
    PUT(w, "%02u:", below(w, 24));
    PUT(w, "%02u:", below(w, 60));
    PUT(w, "%02u.", below(w, 60));
    PUT(w, "%03uZ\",", below(w, 1000));
    PUT(w, "\"customer\":\"%s\",", PICK(w, names));
    PUT(w, "\"place\":\"%s\",", PICK(w, places));
    PUT(w, "\"state\":\"%s\",", PICK(w, states));
    PUT(w, "\"price\":%u.99,", below(w, 2000));
    PUT(w, "\"quantity\":%u,", 1 + below(w, 40));
    PUT(w, "\"express\":%s,", below(w, 4) == 0 ? "true" : "false");
    PUT(w, "\"position\":[%.5f,", 36 + below(w, 2400000) / 1e5);
    PUT(w, "%.5f],\"note\":\"", below(w, 2500000) / 1e5);
    put_words(w, below(w, 12) + 1);
    PUT(w, "\"},");
}

/* The last record is a sentence of the length that is missing. */
static void write_text(char *text, size_t size, uint64_t seed)
{
    char *room = must_alloc(size + RECORD_MAX, 1);
    struct writer w = {room, size + RECORD_MAX, seed};
    size_t len;

    PUT(&w, "[");
    while ((size_t)(w.at - room) + RECORD_MAX < size)
        put_record(&w);
    PUT(&w, "{\"summary\":\"");
    while ((size_t)(w.at - room) < size)
        PUT(&w, "%s ", PICK(&w, words));
    len = size - strlen("\"}]");
    memcpy(text, room, len);
    memcpy(text + len, "\"}]", size - len);
    free(room);
}

static void deflate_text(struct corpus *corpus, size_t i, z_stream *z)
{
    unsigned char *out = corpus_deflated(corpus, i);

    z->next_in = corpus->texts + i * corpus->size;
    z->avail_in = (unsigned)corpus->size;
    z->next_out = out;
    z->avail_out = (unsigned)corpus->stride;
    deflateReset(z);
    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in != 0 || z->avail_out == 0)
        die("a message cannot be compressed");
    corpus->deflated_len[i] = corpus->stride - z->avail_out - TAIL_SIZE;
    if (memcmp(out + corpus->deflated_len[i], TAIL, TAIL_SIZE) != 0)
        die("a flush does not end as RFC 7692 says");
}

void corpus_init(struct corpus *corpus, size_t count, size_t size, uint64_t seed,
                 const struct deflate_settings *settings)
{
    z_stream z = {0};

    if (size < 64)
        die("the texts have at least 64 bytes");
    if (deflateInit2(&z, settings->level, Z_DEFLATED, -settings->window_bits,
                     settings->memory_level, Z_DEFAULT_STRATEGY) != Z_OK)
        die("zlib refuses the level, the memory level or the window");
    *corpus = (struct corpus){
        .count = count,
        .size = size,
        .stride = deflateBound(&z, size) + 16,
    };
    corpus->texts = must_alloc(count, size);
    corpus->deflated = must_alloc(count, corpus->stride);
    corpus->deflated_len = must_alloc(count, sizeof *corpus->deflated_len);
    for (size_t i = 0; i < count; i++) {
        write_text((char *)corpus->texts + i * size, size, seed << 32 | i);
        deflate_text(corpus, i, &z);
    }
    deflateEnd(&z);
}

void corpus_fini(struct corpus *corpus)
{
    free(corpus->texts);
    free(corpus->deflated);
    free(corpus->deflated_len);
}
