/* SPDX-License-Identifier: MIT */
/*
 * libdeflate ends a stream with a final block. RFC 7692 section 7.2.3.4 allows to send
 * such a message, but some inflaters that are in wide use ignore all messages behind the
 * first of these (docs/compression.md). So the final block is made an ordinary one: its
 * first bit is cleared, and an empty stored block follows it, whose last four bytes do
 * not travel. What leaves then looks as if zlib had flushed it (section 7.2.1).
 *
 * That takes two places in the stream: where its last block begins, and the bit behind
 * its end. They are found by
 *
 *   reading   the head of the block, if it is the only one and has codes of its own (RFC
 *             1951 section 3.2.7), as nearly all have. The padding behind the code of
 *             "end of block" is zeros, so the last bit that is set belongs to that code,
 *             and the code itself says how many zeros it has behind that.
 *   walking   over the blocks with zlib's inflate(), in all other cases.
 */
#include "proto/whole.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include <libdeflate.h>
#define ZLIB_CONST
#include <zlib.h>

#include <wsock/error.h>

#include "core/alloc.h"

enum {
    END_OF_BLOCK = 256,
    BLOCK_DYNAMIC = 2,
    META_CODES = 19,    /* codes for lengths of codes */
    META_BITS_MAX = 7,  /* the longest of them */
    CODE_BITS_MAX = 15, /* the longest of the others */
    SCRATCH = 32 * 1024,
    SHORT_MAX = 16 * 1024,
};

/* ---- what both ways of looking find ---- */

/* In bits from the begin of the stream. */
struct last_block {
    size_t begin;
    size_t end;
};

/* ---- reading a single block ---- */

/* Reads behind the end give zeros, and show in `at`. */
struct reader {
    const uint8_t *data;
    size_t len;
    size_t at; /* in bits */
};

static unsigned peek(const struct reader *reader, unsigned count)
{
    const size_t byte = reader->at / 8;
    unsigned bits = 0;

    assert(count <= 16);
    for (unsigned i = 0; i < 3 && byte + i < reader->len; i++)
        bits |= (unsigned)reader->data[byte + i] << 8 * i;
    return bits >> reader->at % 8 & ((1u << count) - 1);
}

static unsigned take(struct reader *reader, unsigned count)
{
    const unsigned bits = peek(reader, count);

    reader->at += count;
    return bits;
}

/* The first code of each length (RFC 1951 section 3.2.2). */
static void first_codes(unsigned first[CODE_BITS_MAX + 2],
                        const unsigned counts[CODE_BITS_MAX + 1])
{
    first[0] = first[1] = 0;
    for (unsigned bits = 1; bits <= CODE_BITS_MAX; bits++)
        first[bits + 1] = (first[bits] + counts[bits]) << 1;
}

static unsigned reversed(unsigned code, unsigned bits)
{
    unsigned result = 0;

    for (; bits > 0; bits--, code >>= 1)
        result = result << 1 | (code & 1);
    return result;
}

/* The code for lengths of codes, as a table by the next bits of the stream. */
struct meta_code {
    uint8_t symbol[1 << META_BITS_MAX];
    uint8_t bits[1 << META_BITS_MAX]; /* 0: no code begins so */
};

static void make_meta_code(struct meta_code *meta, const uint8_t lengths[META_CODES])
{
    unsigned counts[CODE_BITS_MAX + 1] = {0}, next[CODE_BITS_MAX + 2];

    for (unsigned i = 0; i < META_CODES; i++)
        counts[lengths[i]]++;
    counts[0] = 0;
    first_codes(next, counts);
    memset(meta->bits, 0, sizeof meta->bits);
    for (unsigned i = 0; i < META_CODES; i++) {
        const unsigned bits = lengths[i];

        if (bits == 0)
            continue;
        for (unsigned at = reversed(next[bits]++, bits); at < sizeof meta->bits;
             at += 1u << bits) {
            meta->symbol[at] = (uint8_t)i;
            meta->bits[at] = (uint8_t)bits;
        }
    }
}

static void read_meta_code(struct reader *in, struct meta_code *meta, unsigned count)
{
    static const uint8_t order[META_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                              11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[META_CODES] = {0};

    for (unsigned i = 0; i < count; i++)
        lengths[order[i]] = (uint8_t)take(in, 3);
    make_meta_code(meta, lengths);
}

/* How often the length repeats that a symbol of the meta code stands for. */
static unsigned take_run(struct reader *in, unsigned symbol)
{
    switch (symbol) {
    case 16:
        return 3 + take(in, 2);
    case 17:
        return 3 + take(in, 3);
    case 18:
        return 11 + take(in, 7);
    default:
        return 1;
    }
}

/* The code of "end of block", its first bit being the highest. */
struct end_code {
    unsigned code;
    unsigned bits;
};

/* Counts lengths as they come: which code a symbol has depends on those before it, of
 * its own length, and on the number of all that are shorter. */
static bool read_end_code(struct reader *in, const struct meta_code *meta, unsigned count,
                          struct end_code *end)
{
    unsigned counts[CODE_BITS_MAX + 1] = {0}, first[CODE_BITS_MAX + 2];
    unsigned length = 0, before = 0;

    end->bits = 0;
    for (unsigned i = 0; i < count;) {
        const unsigned index = peek(in, META_BITS_MAX), symbol = meta->symbol[index];
        unsigned run;

        if (meta->bits[index] == 0 || in->at > in->len * 8)
            return false;
        in->at += meta->bits[index];
        if (symbol != 16)
            length = symbol < 16 ? symbol : 0;
        run = take_run(in, symbol);
        if (i <= END_OF_BLOCK && i + run > END_OF_BLOCK) {
            end->bits = length;
            before = counts[length] + END_OF_BLOCK - i;
        }
        if (run > count - i)
            run = count - i; /* the rest are distances */
        counts[length] += run;
        i += run;
    }
    counts[0] = 0;
    first_codes(first, counts);
    end->code = first[end->bits] + before;
    return end->bits != 0;
}

/* Looks for the last bit that is set, no further than padding and a code may reach.
 * @return whether the stream is as it must be for this. */
static bool find_end(const struct reader *in, const struct end_code *end, size_t *at)
{
    const size_t bits = in->len * 8, first = bits - 7 - CODE_BITS_MAX;
    struct reader check = *in;

    if (end->code == 0 || in->at > first)
        return false;
    *at = bits;
    while (*at > first && (in->data[(*at - 1) / 8] >> (*at - 1) % 8 & 1) == 0)
        --*at;
    for (unsigned code = end->code; (code & 1) == 0; code >>= 1)
        ++*at;
    check.at = *at - end->bits;
    return *at <= bits && *at + 8 > bits &&
           peek(&check, end->bits) == reversed(end->code, end->bits);
}

/* False: this takes a walk. */
static bool read_single_block(const uint8_t *data, size_t len, struct last_block *last)
{
    struct reader in = {.data = data, .len = len};
    struct meta_code meta;
    struct end_code end;
    unsigned count;

    if (take(&in, 1) == 0 || take(&in, 2) != BLOCK_DYNAMIC)
        return false;
    count = 257 + take(&in, 5);
    take(&in, 5); /* the number of codes for distances */
    read_meta_code(&in, &meta, 4 + take(&in, 4));
    last->begin = 0;
    return read_end_code(&in, &meta, count, &end) && find_end(&in, &end, &last->end);
}

/* ---- walking over blocks ---- */

struct walker {
    z_stream z;
    uint8_t scratch[SCRATCH];
};

static void *take_memory(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return wsi_alloc_array(items, size);
}

static void give_memory(void *opaque, void *block)
{
    (void)opaque;
    wsi_free(block);
}

static struct walker *new_walker(void)
{
    struct walker *walker = wsi_alloc(sizeof *walker);

    if (walker == NULL)
        return NULL;
    walker->z = (z_stream){.zalloc = take_memory, .zfree = give_memory};
    if (inflateInit2(&walker->z, -15) != Z_OK) {
        wsi_free(walker);
        return NULL;
    }
    return walker;
}

static void free_walker(struct walker *walker)
{
    if (walker == NULL)
        return;
    inflateEnd(&walker->z);
    wsi_free(walker);
}

/* zlib stops behind each block, and says in data_type how many bits of the last byte it
 * has not used, 64 for the last block and 128 for having stopped there. */
static bool walk(struct walker *walker, const uint8_t *data, size_t len,
                 struct last_block *last)
{
    z_stream *z = &walker->z;
    int r;

    inflateReset(z);
    z->next_in = data;
    z->avail_in = (unsigned)len;
    last->begin = 0;
    do {
        z->next_out = walker->scratch;
        z->avail_out = sizeof walker->scratch;
        r = inflate(z, Z_BLOCK);
        if (r != Z_OK || (z->data_type & 128) == 0)
            continue;
        last->end = (len - z->avail_in) * 8 - (unsigned)(z->data_type & 7);
        if ((z->data_type & 64) != 0)
            return true;
        last->begin = last->end;
    } while (r == Z_OK);
    return false;
}

/* ---- levels ---- */

/*
 * For each level of zlib the fastest of libdeflate's that makes texts no larger, those up
 * to SHORT_MAX and longer ones, measured with libdeflate 1.14 (docs/compression.md). Its
 * levels above 7 gain little and are slower than zlib's 9.
 */
static const uint8_t levels[10][2] = {
    {1, 1}, {1, 1}, {1, 1}, {2, 2}, {3, 3}, {5, 5}, {5, 6}, {7, 7}, {7, 7}, {7, 7},
};

struct wsi_whole {
    const uint8_t *levels;                        /* for short and for long texts */
    struct libdeflate_compressor *compressors[2]; /* made when needed, as is */
    struct walker *walker;
};

/* libdeflate before 1.20 has one allocator for all of the process, which is not ours to
 * set, as the host may use it too. So its memory then comes from malloc(). */
static struct libdeflate_compressor *new_compressor(int level)
{
#ifdef WSI_LIBDEFLATE_HAS_OPTIONS
    const struct libdeflate_options options = {
        .sizeof_options = sizeof options,
        .malloc_func = wsi_alloc,
        .free_func = wsi_free,
    };

    return libdeflate_alloc_compressor_ex(level, &options);
#else
    return libdeflate_alloc_compressor(level);
#endif
}

struct wsi_whole *wsi_whole_new(unsigned level)
{
    struct wsi_whole *whole = wsi_zalloc(sizeof *whole);

    assert(level >= 1 && level <= 9);
    if (whole != NULL)
        whole->levels = levels[level];
    return whole;
}

void wsi_whole_free(struct wsi_whole *whole)
{
    if (whole == NULL)
        return;
    libdeflate_free_compressor(whole->compressors[0]);
    libdeflate_free_compressor(whole->compressors[1]);
    free_walker(whole->walker);
    wsi_free(whole);
}

/* @return (nullable) NULL without memory. */
static struct libdeflate_compressor *compressor_for(struct wsi_whole *whole, size_t len)
{
    const bool other = len > SHORT_MAX && whole->levels[0] != whole->levels[1];

    if (whole->compressors[other] == NULL)
        whole->compressors[other] = new_compressor(whole->levels[other]);
    return whole->compressors[other];
}

/* ---- messages ---- */

static int find_last_block(struct wsi_whole *whole, const uint8_t *data, size_t len,
                           struct last_block *last)
{
    if (read_single_block(data, len, last))
        return 0;
    if (whole->walker == NULL)
        whole->walker = new_walker();
    return whole->walker != NULL && walk(whole->walker, data, len, last) ? 0
                                                                         : WSOCK_ENOMEM;
}

/* The padding is zeros, and so is the head of an empty stored block, three bits; what
 * does not fit takes a byte of zeros. */
static size_t make_ordinary(uint8_t *data, size_t len, const struct last_block *last)
{
    assert(last->end <= len * 8 && last->end + 8 > len * 8);
    data[last->begin / 8] &= (uint8_t) ~(1u << last->begin % 8);
    if (len * 8 - last->end < 3)
        data[len++] = 0;
    return len;
}

int wsi_whole_message(struct wsi_whole *whole, struct wsi_buf *out, const void *data,
                      size_t len)
{
    struct libdeflate_compressor *compressor = compressor_for(whole, len);
    struct last_block last;
    size_t room, payload_len;
    uint8_t *payload;
    int r;

    if (compressor == NULL)
        return WSOCK_ENOMEM;
    room = libdeflate_deflate_compress_bound(compressor, len);
    assert(room < UINT_MAX);
    r = wsi_buf_reserve(out, room + 1, SIZE_MAX);
    if (r < 0)
        return r;
    payload = out->data + out->len;
    payload_len = libdeflate_deflate_compress(compressor, data, len, payload, room);
    assert(payload_len != 0);
    r = find_last_block(whole, payload, payload_len, &last);
    if (r == 0)
        out->len += make_ordinary(payload, payload_len, &last);
    return r;
}
