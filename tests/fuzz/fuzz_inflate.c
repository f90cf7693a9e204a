/* SPDX-License-Identifier: MIT */
/*
 * Compressed messages. The lowest bit of the first byte chooses one of two scripts:
 *
 * - Hostile payloads, each with its limit, arrive at inflaters that take them at once,
 *   byte by byte, and in random pieces with the output taken away in between. All must
 *   tell what inflate_oracle.h tells, and begin anew behind a failure.
 * - Messages are composed of bytes of the input, of what came before and of noise, go
 *   through a deflater of any settings in any pieces, and have to come out of an inflater
 *   and of bare zlib unchanged, with every distance inside the window.
 */
#include "fuzz.h"

#include <wsock/error.h>

#include "inflate_oracle.h"
#include "proto/deflate.h"

enum {
    NO_LIMIT = 0xffff, /* as a limit: none */
    BOMB_MAX = 64,     /* bytes of payload when there is no limit */
    PIECE_MAX = 64,
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Sizes of pieces: all at once for a step of 0, else 1 to step bytes. */
struct cuts {
    uint32_t random;
    unsigned step;
};

static size_t next_piece(struct cuts *cuts, size_t left)
{
    if (cuts->step == 0)
        return left;
    cuts->random = cuts->random * 1664525 + 1013904223;
    return least(1 + (cuts->random >> 16) % cuts->step, left);
}

static uint64_t limit_of(unsigned number)
{
    return number == NO_LIMIT ? UINT64_MAX : number;
}

/* ---- inflating ---- */

struct reader {
    struct wsi_inflater *inflater;
    struct cuts cuts;
    bool empties; /* the buffer, between the pieces */
    struct wsi_buf out, message;
};

static void reader_init(struct reader *reader, unsigned bits, bool takeover,
                        unsigned step, bool empties)
{
    *reader = (struct reader){.cuts = {.random = step, .step = step}, .empties = empties};
    CHECK(wsi_inflater_new(&reader->inflater, bits, takeover) == 0);
}

static void reader_fini(struct reader *reader)
{
    wsi_inflater_free(reader->inflater);
    wsi_buf_fini(&reader->out);
    wsi_buf_fini(&reader->message);
}

static void gather(struct reader *reader)
{
    if (reader->out.len != 0)
        CHECK(wsi_buf_append(&reader->message, reader->out.data, reader->out.len,
                             SIZE_MAX) == 0);
    reader->out.len = 0;
}

static enum verdict verdict_of(int r)
{
    CHECK(r == 0 || r == WSOCK_ETOOBIG || r == WSOCK_EPROTOCOL);
    return r == 0 ? FINE : r == WSOCK_ETOOBIG ? TOO_BIG : BROKEN;
}

/* Never more than one byte above the limit, and no memory ahead of what came. */
static void check_bounds(const struct reader *reader, size_t fed, uint64_t limit)
{
    const size_t len = reader->message.len + reader->out.len;

    CHECK(len == 0 || len - 1 <= limit);
    CHECK(reader->out.capacity <= 2 * (len + 4 * fed + 64));
    CHECK(wsi_inflater_held_bytes(reader->inflater) <= 48 * 1024);
}

/* What it inflated to is in reader->message then. */
static enum verdict read_message(struct reader *reader, const uint8_t *payload,
                                 size_t len, uint64_t limit, bool abandoned)
{
    struct wsi_inflater *inflater = reader->inflater;
    int r = 0;

    wsi_buf_fini(&reader->out);
    reader->message.len = 0;
    for (size_t at = 0, size; at < len && r == 0; at += size) {
        uint8_t *piece;

        size = next_piece(&reader->cuts, len - at);
        piece = fuzz_copy(payload + at, size);
        r = wsi_inflater_append(inflater, &reader->out, piece, size, limit);
        free(piece);
        check_bounds(reader, at + size, limit);
        if (reader->empties)
            gather(reader);
    }
    if (r == 0 && abandoned)
        wsi_inflater_reset(inflater);
    else if (r == 0)
        r = wsi_inflater_end(inflater, &reader->out, limit);
    check_bounds(reader, len + 4, limit);
    gather(reader);
    return verdict_of(r);
}

static void check_equals(const struct reader *reader, const uint8_t *right, uint64_t len)
{
    CHECK(reader->message.len == len);
    CHECK(len == 0 || memcmp(reader->message.data, right, len) == 0);
}

/* ---- hostile payloads ---- */

enum { READERS = 3, MESSAGES_MAX = 16 };

/*
 * A distance beyond the window is seen where zlib's output is cut there, and cannot be
 * else; then either opinion is right, and what an inflater took is forgotten.
 */
static void judge(struct reader readers[READERS], struct inflate_oracle *strict,
                  struct inflate_oracle *generous, const uint8_t *payload, size_t len,
                  uint64_t limit, bool abandoned)
{
    const enum verdict right = oracle_message(strict, payload, len, limit, abandoned);
    const enum verdict lenient = oracle_message(generous, payload, len, limit, abandoned);

    CHECK(right == BROKEN || right == lenient);
    if (right != lenient)
        oracle_reset(generous);
    for (size_t i = 0; i < READERS; i++) {
        const enum verdict verdict = read_message(&readers[i], payload, len, limit,
                                                  abandoned);

        CHECK(verdict == right || verdict == lenient);
        if (verdict == FINE)
            check_equals(&readers[i], generous->out, generous->len);
        if (right != lenient)
            wsi_inflater_reset(readers[i].inflater);
    }
}

static void read_hostile(unsigned how, struct fuzz_source *in)
{
    const unsigned bits = 15 - (how >> 1 & 7);
    const bool takeover = (how & 16) == 0;
    struct reader readers[READERS];
    struct inflate_oracle strict, generous;

    reader_init(&readers[0], bits, takeover, 0, false);
    reader_init(&readers[1], bits, takeover, 1, false);
    reader_init(&readers[2], bits, takeover, 2 + fuzz_byte(in) % PIECE_MAX, true);
    oracle_init(&strict, true, bits, takeover);
    oracle_init(&generous, false, bits, takeover);
    for (int i = 0; i < MESSAGES_MAX && in->left != 0; i++) {
        const bool abandoned = (fuzz_byte(in) & 1) != 0;
        const unsigned limit = fuzz_short(in);
        size_t len = fuzz_short(in);

        len = least(len, in->left);
        if (limit == NO_LIMIT)
            len = least(len, BOMB_MAX);
        judge(readers, &strict, &generous, in->at, len, limit_of(limit), abandoned);
        in->at += len;
        in->left -= len;
    }
    for (size_t i = 0; i < READERS; i++)
        reader_fini(&readers[i]);
    oracle_fini(&strict);
    oracle_fini(&generous);
}

/* ---- round trips ---- */

struct trip {
    struct wsi_deflater *deflater;
    struct cuts cuts;
    struct reader reader;
    struct inflate_oracle peer;
    struct wsi_buf sent; /* all messages, one behind the other */
};

enum { SENT_MAX = 3 << 15 }; /* the window wraps a few times */

static void add(struct wsi_buf *buf, const void *data, size_t len)
{
    CHECK(wsi_buf_append(buf, data, least(len, SENT_MAX - buf->len), SENT_MAX) == 0);
}

enum { NOISES = 256, NOISE_MAX = 8192 };

/* Made once, and copied: byte by byte it would take most of the time. */
static const uint8_t *noise_of(unsigned number)
{
    static uint8_t noise[NOISES][NOISE_MAX];
    static bool is_made;
    uint32_t random = 1;

    for (size_t i = 0; !is_made && i < NOISES * NOISE_MAX; i += 2) {
        random = random * 1664525 + 1013904223;
        noise[i / NOISE_MAX][i % NOISE_MAX] = (uint8_t)(random >> 24);
        noise[i / NOISE_MAX][i % NOISE_MAX + 1] = (uint8_t)(random >> 16);
    }
    is_made = true;
    return noise[number];
}

/* Some bytes are more frequent than others, and many do not occur: which, is chosen by
 * the mask and by what is never rare. */
static void add_skewed(struct wsi_buf *buf, unsigned number, unsigned mask,
                       unsigned often, size_t len)
{
    const uint8_t *a = noise_of(number), *b = noise_of(number ^ 1);

    len = least(len, SENT_MAX - buf->len);
    CHECK(wsi_buf_reserve(buf, len, SENT_MAX) == 0);
    for (size_t i = 0; i < len; i++)
        buf->data[buf->len + i] = (uint8_t)(a[i] & (b[i] | often) & mask);
    buf->len += len;
}

/* As DEFLATE does it: what is longer than the distance repeats itself. */
static void add_again(struct wsi_buf *buf, size_t distance, size_t len)
{
    if (buf->len == 0)
        return;
    distance = 1 + distance % buf->len;
    while (len != 0 && buf->len < SENT_MAX) {
        const size_t size = least(least(len, distance), SENT_MAX - buf->len);

        CHECK(wsi_buf_reserve(buf, size, SENT_MAX) == 0);
        memcpy(buf->data + buf->len, buf->data + buf->len - distance, size);
        buf->len += size;
        len -= size;
    }
}

static void read_skewed(struct wsi_buf *buf, struct fuzz_source *in)
{
    const unsigned number = fuzz_byte(in), mask = fuzz_byte(in), often = fuzz_byte(in);

    add_skewed(buf, number, mask, often, fuzz_short(in) % NOISE_MAX);
}

/* Appends a message to what was sent. @return where it begins. */
static size_t compose(struct wsi_buf *sent, struct fuzz_source *in)
{
    const size_t begin = sent->len;
    size_t len;

    while (in->left != 0) {
        switch (fuzz_byte(in) & 7) {
        case 1:
            len = fuzz_byte(in);
            len = least(len, in->left);
            if (len != 0)
                add(sent, in->at, len);
            in->at += len;
            in->left -= len;
            break;
        case 2:
            len = fuzz_short(in);
            add_again(sent, len, fuzz_short(in) % 4096);
            break;
        case 3:
            len = fuzz_byte(in);
            add(sent, noise_of((unsigned)len), fuzz_short(in) % NOISE_MAX);
            break;
        case 4:
            read_skewed(sent, in);
            break;
        default:
            return begin;
        }
    }
    return begin;
}

/* @return 0; WSOCK_ETOOBIG. */
static int deflate_message(struct trip *trip, struct wsi_buf *payload,
                           const uint8_t *message, size_t len, bool at_once, size_t limit)
{
    int r = 0;

    if (at_once)
        return wsi_deflater_message(trip->deflater, payload, message, len);
    for (size_t at = 0, size; at < len && r == 0; at += size) {
        uint8_t *piece;

        size = next_piece(&trip->cuts, len - at);
        piece = fuzz_copy(message + at, size);
        r = wsi_deflater_append(trip->deflater, payload, piece, size, limit);
        free(piece);
        CHECK(r < 0 || payload->len <= limit);
    }
    if (r == 0)
        r = wsi_deflater_end(trip->deflater, payload, limit);
    CHECK(r == 0 || r == WSOCK_ETOOBIG);
    CHECK(r < 0 || payload->len <= limit);
    return r;
}

static void check_arrives(struct trip *trip, const struct wsi_buf *payload,
                          const uint8_t *message, size_t len, bool one_too_long)
{
    CHECK(payload->len != 0);                             /* 7.2.3.6 */
    CHECK(payload->len <= len + len / 8 + len / 64 + 64); /* as sessions allow for */
    CHECK(oracle_message(&trip->peer, payload->data, payload->len, len, false) == FINE);
    CHECK(trip->peer.len == len);
    CHECK(len == 0 || memcmp(trip->peer.out, message, len) == 0);
    if (one_too_long && len != 0) {
        CHECK(read_message(&trip->reader, payload->data, payload->len, len - 1, false) ==
              TOO_BIG);
        wsi_deflater_reset(trip->deflater); /* they have nothing in common any more */
        return;
    }
    CHECK(read_message(&trip->reader, payload->data, payload->len, len, false) == FINE);
    check_equals(&trip->reader, message, len);
}

static void send_message(struct trip *trip, struct fuzz_source *in)
{
    const unsigned how = fuzz_byte(in);
    const bool at_once = (how & 1) != 0, limited = (how & 2) != 0 && !at_once;
    const size_t limit = limited ? fuzz_short(in) : SIZE_MAX;
    const size_t begin = compose(&trip->sent, in), len = trip->sent.len - begin;
    uint8_t *message = fuzz_copy(trip->sent.data + begin, len);
    struct wsi_buf payload = {0};

    if ((how & 4) != 0) {
        wsi_deflater_reset(trip->deflater);
        oracle_reset(&trip->peer);
    }
    if (deflate_message(trip, &payload, message, len, at_once, limit) == 0)
        check_arrives(trip, &payload, message, len, (how & 8) != 0);
    else
        oracle_reset(&trip->peer);
    wsi_buf_fini(&payload);
    free(message);
}

static void make_trips(unsigned how, struct fuzz_source *in)
{
    const unsigned bits = 15 - (how >> 1 & 7), levels = fuzz_byte(in);
    const struct wsi_deflate_settings settings = {
        .window_bits = (uint8_t)bits,
        .memory_level = (uint8_t)(1 + (levels & 15) % 9),
        .level = (uint8_t)((levels >> 4) % 10),
        .takeover = (how & 16) == 0,
    };
    const bool keeps = settings.takeover || (how & 32) != 0;
    const unsigned more = fuzz_byte(in), step = fuzz_byte(in);
    struct trip trip = {.cuts = {.random = step, .step = step}};

    CHECK(wsi_buf_reserve(&trip.sent, 1, SENT_MAX) == 0);
    CHECK(wsi_deflater_new(&trip.deflater, &settings) == 0);
    reader_init(&trip.reader, (unsigned)least(15, bits + (more & 7)), keeps,
                more >> 3 == 0 ? 0 : 1U << (more >> 3 & 15), (how & 64) != 0);
    oracle_init(&trip.peer, true, bits, keeps);
    while (in->left != 0)
        send_message(&trip, in);
    CHECK(wsi_deflater_held_bytes(trip.deflater) <= 400 * 1024); /* as zconf.h counts */
    wsi_deflater_free(trip.deflater);
    reader_fini(&trip.reader);
    oracle_fini(&trip.peer);
    wsi_buf_fini(&trip.sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_source in = {data, len};
    const unsigned how = fuzz_byte(&in);

    if ((how & 1) == 0)
        read_hostile(how, &in);
    else
        make_trips(how, &in);
    return 0;
}
