/* SPDX-License-Identifier: MIT */
/*
 * RFC 7692 section 7.2 over raw DEFLATE streams of zlib. A message is flushed to a byte
 * boundary with an empty stored block, whose last four bytes do not travel (7.2.1) and
 * are put back before inflating (7.2.2). Messages that are at hand as a whole may leave
 * through libdeflate (whole.h) and look the same.
 *
 * zlib refuses raw windows of 8 bits for deflating. A window of 9 bits serves: zlib keeps
 * distances 262 bytes below the window's size, hence at most 250, within the 256 of 8
 * bits.
 */
#include "proto/deflate.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "proto/whole.h"

enum {
    TAIL_SIZE = 4,
    ROOM_MIN = 64,      /* for one call of zlib; below 7, sync flushes repeat */
    ROOM_AHEAD = 65536, /* output that is made room for before any is there */
};

static const uint8_t tail[TAIL_SIZE] = {0x00, 0x00, 0xff, 0xff};

/* ---- what both have ---- */

struct codec {
    z_stream z;
    size_t held_bytes; /* by zlib; it frees nothing before the end */
    bool takeover;
    bool stale; /* reset zlib before the next message */
};

static void *take_memory(void *opaque, unsigned items, unsigned size)
{
    struct codec *codec = opaque;
    void *block = wsi_alloc_array(items, size);

    if (block != NULL)
        codec->held_bytes += (size_t)items * size;
    return block;
}

static void give_memory(void *opaque, void *block)
{
    (void)opaque;
    wsi_free(block);
}

static void codec_init(struct codec *codec, bool takeover)
{
    *codec = (struct codec){
        .z = {.zalloc = take_memory, .zfree = give_memory, .opaque = codec},
        .takeover = takeover,
    };
}

/* Hands zlib the next of the input, which may be longer than it can count. */
static void feed(z_stream *z, const uint8_t **data, size_t *len)
{
    const size_t piece = *len < UINT_MAX ? *len : UINT_MAX;

    z->next_in = *data;
    z->avail_in = (unsigned)piece;
    *data += piece;
    *len -= piece;
}

/* Hands zlib the free end of a buffer, at most `most` bytes of it. */
static unsigned offer_room(z_stream *z, const struct wsi_buf *out, uint64_t most)
{
    const size_t free_bytes = out->capacity - out->len;

    if (most > free_bytes)
        most = free_bytes;
    z->next_out = out->data + out->len;
    z->avail_out = most < UINT_MAX ? (unsigned)most : UINT_MAX;
    return z->avail_out;
}

/* ---- compressing ---- */

struct wsi_deflater {
    struct codec codec;
    bool has_input; /* the message under way is not empty */
    uint8_t window_bits;
    uint8_t level;
    struct wsi_whole *whole; /* (nullable) made when first needed */
};

int wsi_deflater_new(struct wsi_deflater **out,
                     const struct wsi_deflate_settings *settings)
{
    const int bits = settings->window_bits > 9 ? settings->window_bits : 9;
    struct wsi_deflater *deflater = wsi_zalloc(sizeof *deflater);

    assert(settings->window_bits >= 8 && settings->window_bits <= 15);
    assert(settings->memory_level >= 1 && settings->memory_level <= 9);
    assert(settings->level <= 9);
    if (deflater == NULL)
        return WSOCK_ENOMEM;
    codec_init(&deflater->codec, settings->takeover);
    deflater->window_bits = settings->window_bits;
    deflater->level = settings->level;
    if (deflateInit2(&deflater->codec.z, settings->level, Z_DEFLATED, -bits,
                     settings->memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
        wsi_free(deflater);
        return WSOCK_ENOMEM;
    }
    *out = deflater;
    return 0;
}

void wsi_deflater_free(struct wsi_deflater *deflater)
{
    if (deflater == NULL)
        return;
    deflateEnd(&deflater->codec.z);
#ifdef WSI_HAVE_LIBDEFLATE
    wsi_whole_free(deflater->whole);
#endif
    wsi_free(deflater);
}

void wsi_deflater_reset(struct wsi_deflater *deflater)
{
    deflater->codec.stale = true;
    deflater->has_input = false;
}

size_t wsi_deflater_held_bytes(const struct wsi_deflater *deflater)
{
    return sizeof *deflater + deflater->codec.held_bytes;
}

static void freshen_deflater(struct codec *codec)
{
    if (!codec->stale)
        return;
    deflateReset(&codec->z);
    codec->stale = false;
}

/* Runs zlib until it has taken the input, and for a flush until all of it is out. */
static int deflate_all(struct wsi_deflater *deflater, struct wsi_buf *out, int flush,
                       size_t limit_bytes)
{
    z_stream *z = &deflater->codec.z;

    do {
        const int r = wsi_buf_reserve(out, ROOM_MIN, limit_bytes);
        unsigned room;

        if (r < 0)
            return r;
        room = offer_room(z, out, SIZE_MAX);
        deflate(z, flush);
        out->len += room - z->avail_out;
    } while (z->avail_out == 0);
    assert(z->avail_in == 0);
    return 0;
}

/* The limit leaves room for what is cut off at the end, and for what zlib needs. */
static size_t with_spare_room(size_t limit_bytes)
{
    return limit_bytes < SIZE_MAX - ROOM_MIN ? limit_bytes + ROOM_MIN : SIZE_MAX;
}

int wsi_deflater_append(struct wsi_deflater *deflater, struct wsi_buf *out,
                        const void *data, size_t len, size_t limit_bytes)
{
    const uint8_t *at = data;

    if (len != 0) {
        freshen_deflater(&deflater->codec);
        deflater->has_input = true;
    }
    while (len != 0) {
        int r;

        feed(&deflater->codec.z, &at, &len);
        r = deflate_all(deflater, out, Z_NO_FLUSH, with_spare_room(limit_bytes));
        if (r == 0 && out->len > limit_bytes)
            r = WSOCK_ETOOBIG;
        if (r < 0) {
            wsi_deflater_reset(deflater);
            return r;
        }
    }
    return 0;
}

int wsi_deflater_end(struct wsi_deflater *deflater, struct wsi_buf *out,
                     size_t limit_bytes)
{
    int r;

    if (!deflater->has_input) { /* zlib would write nothing: 7.2.3.6 */
        r = wsi_buf_append(out, "\0", 1, limit_bytes);
        if (r < 0)
            wsi_deflater_reset(deflater);
        return r;
    }
    deflater->codec.z.avail_in = 0;
    r = deflate_all(deflater, out, Z_SYNC_FLUSH, with_spare_room(limit_bytes));
    if (r == 0 && out->len - TAIL_SIZE > limit_bytes)
        r = WSOCK_ETOOBIG;
    if (r < 0) {
        wsi_deflater_reset(deflater);
        return r;
    }
    out->len -= TAIL_SIZE;
    deflater->has_input = false;
    deflater->codec.stale = !deflater->codec.takeover;
    return 0;
}

bool wsi_deflate_prefers_no_context(unsigned window_bits, size_t len)
{
#ifdef WSI_HAVE_LIBDEFLATE
    return wsi_whole_suits(window_bits, len);
#else
    (void)window_bits;
    (void)len;
    return false;
#endif
}

/* The one place that decides on libdeflate, which has no context and takes no pieces.
 * @return whether `out` has the payload now; else it is for zlib. */
static bool deflate_whole(struct wsi_deflater *deflater, struct wsi_buf *out,
                          const void *data, size_t len)
{
#ifdef WSI_HAVE_LIBDEFLATE
    if (deflater->codec.takeover || deflater->has_input || deflater->level == 0 ||
        !wsi_whole_suits(deflater->window_bits, len))
        return false;
    if (deflater->whole == NULL)
        deflater->whole = wsi_whole_new(deflater->level);
    return deflater->whole != NULL &&
           wsi_whole_message(deflater->whole, out, data, len) == 0;
#else
    (void)deflater;
    (void)out;
    (void)data;
    (void)len;
    return false;
#endif
}

int wsi_deflater_message(struct wsi_deflater *deflater, struct wsi_buf *out,
                         const void *data, size_t len)
{
    const size_t bound = len < ULONG_MAX / 2
                             ? deflateBound(&deflater->codec.z, (unsigned long)len)
                             : ROOM_AHEAD;
    int r;

    if (deflate_whole(deflater, out, data, len))
        return 0;
    r = wsi_buf_reserve(out, (bound < ROOM_AHEAD ? (size_t)bound : ROOM_AHEAD) + ROOM_MIN,
                        SIZE_MAX);
    if (r == 0)
        r = wsi_deflater_append(deflater, out, data, len, SIZE_MAX);
    if (r == 0)
        r = wsi_deflater_end(deflater, out, SIZE_MAX);
    return r;
}

/* ---- inflating ---- */

struct wsi_inflater {
    struct codec codec;
    uint64_t produced; /* bytes of the message under way */
    bool has_input;    /* its payload is not empty */
    bool at_end;       /* nothing came behind a final block */
};

int wsi_inflater_new(struct wsi_inflater **out, unsigned window_bits, bool takeover)
{
    struct wsi_inflater *inflater = wsi_zalloc(sizeof *inflater);

    assert(window_bits >= 8 && window_bits <= 15);
    if (inflater == NULL)
        return WSOCK_ENOMEM;
    codec_init(&inflater->codec, takeover);
    if (inflateInit2(&inflater->codec.z, -(int)window_bits) != Z_OK) {
        wsi_free(inflater);
        return WSOCK_ENOMEM;
    }
    *out = inflater;
    return 0;
}

void wsi_inflater_free(struct wsi_inflater *inflater)
{
    if (inflater == NULL)
        return;
    inflateEnd(&inflater->codec.z);
    wsi_free(inflater);
}

static void begin_anew(struct wsi_inflater *inflater, bool stale)
{
    inflater->codec.stale = stale;
    inflater->produced = 0;
    inflater->has_input = false;
    inflater->at_end = false;
}

void wsi_inflater_reset(struct wsi_inflater *inflater)
{
    begin_anew(inflater, true);
}

size_t wsi_inflater_held_bytes(const struct wsi_inflater *inflater)
{
    return sizeof *inflater + inflater->codec.held_bytes;
}

/* What may still come, and one byte more, which tells a message that is too big. */
static uint64_t most_to_come(const struct wsi_inflater *inflater, uint64_t limit_bytes)
{
    const uint64_t left = limit_bytes - inflater->produced;

    return left < UINT64_MAX ? left + 1 : left;
}

/* Room in proportion to the input at hand, or whatever the buffer has. */
static int make_room(const struct wsi_inflater *inflater, struct wsi_buf *out,
                     uint64_t most)
{
    const size_t free_bytes = out->capacity - out->len;
    const size_t longest = SIZE_MAX - out->len;
    const size_t limit = most < longest ? (size_t)most : longest;
    size_t more = (size_t)inflater->codec.z.avail_in < ROOM_AHEAD / 4
                      ? (size_t)inflater->codec.z.avail_in * 4
                      : ROOM_AHEAD;

    if (more < ROOM_MIN)
        more = ROOM_MIN;
    if (more > limit)
        more = limit;
    if (free_bytes >= more || free_bytes >= ROOM_AHEAD / 4)
        return 0;
    return wsi_buf_reserve(out, more, out->len + limit);
}

/* One call of zlib. @return what zlib says, or a negative code of ours. */
static int inflate_step(struct wsi_inflater *inflater, struct wsi_buf *out,
                        uint64_t limit_bytes, int *error)
{
    z_stream *z = &inflater->codec.z;
    const uint64_t most = most_to_come(inflater, limit_bytes);
    unsigned produced;
    int r;

    *error = make_room(inflater, out, most);
    if (*error < 0)
        return Z_OK;
    produced = offer_room(z, out, most);
    r = inflate(z, Z_NO_FLUSH);
    produced -= z->avail_out;
    out->len += produced;
    inflater->produced += produced;
    if (inflater->produced > limit_bytes)
        *error = WSOCK_ETOOBIG;
    else if (r == Z_MEM_ERROR)
        *error = WSOCK_ENOMEM;
    else if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
        *error = WSOCK_EPROTOCOL;
    return r;
}

/* A final block ends a stream, but not the message (7.2.3.4): another may begin behind
 * it, without reference to what was before. */
static int inflate_all(struct wsi_inflater *inflater, struct wsi_buf *out,
                       const uint8_t *data, size_t len, uint64_t limit_bytes)
{
    z_stream *z = &inflater->codec.z;

    z->avail_in = 0;
    for (;;) {
        int error, r;

        if (z->avail_in == 0)
            feed(z, &data, &len);
        r = inflate_step(inflater, out, limit_bytes, &error);
        if (error < 0)
            return error;
        inflater->at_end = r == Z_STREAM_END;
        if (inflater->at_end)
            inflateReset(z);
        if (z->avail_in == 0 && len == 0 && (inflater->at_end || z->avail_out != 0))
            return 0;
    }
}

int wsi_inflater_append(struct wsi_inflater *inflater, struct wsi_buf *out,
                        const void *data, size_t len, uint64_t limit_bytes)
{
    int r;

    if (len == 0)
        return 0;
    if (inflater->codec.stale) {
        inflateReset(&inflater->codec.z);
        inflater->codec.stale = false;
    }
    inflater->has_input = true;
    /* The limit may have been lowered below what has come. */
    r = inflater->produced <= limit_bytes
            ? inflate_all(inflater, out, data, len, limit_bytes)
            : WSOCK_ETOOBIG;
    if (r < 0)
        wsi_inflater_reset(inflater);
    return r;
}

/*
 * True when the stream stands behind a whole block and on a byte boundary, which is where
 * the tail must have led: zlib adds 128 for the first and counts unused bits, and 64
 * would stand for a final block.
 */
static bool ends_well(const struct wsi_inflater *inflater)
{
    return inflater->at_end || inflater->codec.z.data_type == 128;
}

int wsi_inflater_end(struct wsi_inflater *inflater, struct wsi_buf *out,
                     uint64_t limit_bytes)
{
    const uint64_t before = inflater->produced;
    int r;

    /* An empty payload is what a second flush of zlib in a row gives, and so what some
     * peers send for an empty message behind another. */
    if (!inflater->has_input)
        return 0;
    r = wsi_inflater_append(inflater, out, tail, sizeof tail, limit_bytes);
    if (r < 0)
        return r;
    /* The tail belongs to an empty block: what it brings forth was no such thing. */
    if (inflater->produced != before || !ends_well(inflater)) {
        wsi_inflater_reset(inflater);
        return WSOCK_EPROTOCOL;
    }
    begin_anew(inflater, !inflater->codec.takeover);
    return 0;
}

int wsi_inflater_message(struct wsi_inflater *inflater, struct wsi_buf *out,
                         const void *data, size_t len, uint64_t limit_bytes)
{
    const int r = wsi_inflater_append(inflater, out, data, len, limit_bytes);

    return r == 0 ? wsi_inflater_end(inflater, out, limit_bytes) : r;
}
