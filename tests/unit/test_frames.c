/* SPDX-License-Identifier: MIT */
/* The forms of a message: each made once, whoever takes it, and taken by streams that
 * have a context of their own. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#ifdef WSI_HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

#include "conn/droppable.h"
#include "conn/encode.h"
#include "conn/frames.h"
#include "conn/send.h"
#include "far.h"
#include "stage.h"

static struct stage stage;

#define PMD "permessage-deflate"

enum { LARGE = 70000 };

/* ---- compression, counted ---- */

static int compressed; /* messages: each ends with one flush that has room enough */

int __real_deflate(z_streamp z, int flush);
int __wrap_deflate(z_streamp z, int flush);

int __wrap_deflate(z_streamp z, int flush)
{
    const int r = __real_deflate(z, flush);

    if (flush == Z_SYNC_FLUSH && z->avail_out != 0)
        compressed++;
    return r;
}

#ifdef WSI_HAVE_LIBDEFLATE
size_t __real_libdeflate_deflate_compress(struct libdeflate_compressor *compressor,
                                          const void *in, size_t in_len, void *out,
                                          size_t room);
size_t __wrap_libdeflate_deflate_compress(struct libdeflate_compressor *compressor,
                                          const void *in, size_t in_len, void *out,
                                          size_t room);

size_t __wrap_libdeflate_deflate_compress(struct libdeflate_compressor *compressor,
                                          const void *in, size_t in_len, void *out,
                                          size_t room)
{
    compressed++;
    return __real_libdeflate_deflate_compress(compressor, in, in_len, out, room);
}
#endif

static int count(void)
{
    const int n = compressed;

    compressed = 0;
    return n;
}

/* ---- forms ---- */

static void set(const char *name, const char *value)
{
    stage_set(&stage, name, value);
}

static void fill(char *out, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(' ' + (test_random(&seed) >> 16) % 8);
}

static void make(struct wsi_frames *frames, const void *data, size_t len)
{
    *frames = (struct wsi_frames){0};
    assert_int_equal(wsi_encode_message(&frames->plain, WSOCK_TEXT, data, len), 0);
}

static void drop(struct wsi_frames *frames)
{
    wsi_frames_drop_packed(frames);
    wsi_blob_unref(frames->plain);
}

static void pack(struct wsi_frames *frames, unsigned windows)
{
    wsi_frames_pack(frames, &stage.pool, &stage.endpoint.options, windows);
}

static unsigned window(unsigned bits)
{
    return 1u << (bits - WSI_PMD_BITS_MIN);
}

static struct wsi_blob *form(struct wsi_frames *frames, unsigned bits)
{
    return atomic_load(&frames->packed[bits - WSI_PMD_BITS_MIN]);
}

/* However many windows the members of a room agreed to. */
static void message_is_compressed_at_most_twice(void **state)
{
    static const struct {
        size_t len;
        unsigned windows; /* 1: of 8 bits, 2: of 9 bits, ... */
        int made;
    } cases[] = {
        {256, 0xff, 1},   {257, 0xff, 2},   {512, 0xff, 2},   {1024, 0xff, 2},
        {1025, 0x87, 2},  {32768, 0xff, 2}, {LARGE, 0x87, 2}, {LARGE, 0x80, 1},
        {512, 0x84, 1},   {1025, 0x84, 2},  {512, 0x86, 1},   {300, 0x01, 1},
        {LARGE, 0xff, 2}, {LARGE, 0x7f, 2}, {LARGE, 0x10, 1}, {2048, 0x7e, 2},
    };
    char *text = malloc(LARGE);
    struct wsi_frames frames;

    (void)state;
    fill(text, LARGE, 3);
    stage_begin(&stage, 1);
    count();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make(&frames, text, cases[i].len);
        pack(&frames, cases[i].windows);
        assert_int_equal(count(), cases[i].made);
        for (unsigned bits = 8; bits <= 15; bits++)
            assert_int_equal(form(&frames, bits) != NULL,
                             (cases[i].windows & window(bits)) != 0);
        pack(&frames, cases[i].windows);
        assert_int_equal(count(), 0);
        drop(&frames);
    }
    stage_end(&stage);
    free(text);
}

/* Byte for byte, so that zlib has the window to refer to and nothing beyond it. */
static void inflates_to(const struct wsi_blob *frame, unsigned bits, const char *text,
                        size_t len)
{
    const struct wsi_payload payload = wsi_encoded_payload(frame);
    static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};
    z_stream z = {.next_in = (Bytef *)(uintptr_t)payload.data,
                  .avail_in = (unsigned)payload.len};
    size_t at = 0;
    uint8_t byte;

    assert_int_equal(frame->data[0], 0xc1);
    assert_int_equal(inflateInit2(&z, -(int)bits), Z_OK);
    for (bool is_tail = false;;) {
        int r;

        z.next_out = &byte;
        z.avail_out = 1;
        r = inflate(&z, Z_SYNC_FLUSH);
        if (r != Z_OK && r != Z_BUF_ERROR)
            fail_msg("%u bits: %s", bits, z.msg != NULL ? z.msg : "another end");
        if (z.avail_out == 0) {
            assert_true(at < len);
            assert_int_equal(byte, (uint8_t)text[at++]);
        } else if (is_tail) {
            break;
        } else {
            is_tail = true;
            z.next_in = (Bytef *)(uintptr_t)tail;
            z.avail_in = sizeof tail;
        }
    }
    assert_int_equal(at, len);
    inflateEnd(&z);
}

static void form_of_each_window_is_valid_in_it(void **state)
{
    static const size_t lengths[] = {256, 257, 512, 1000, 2049, 30000, LARGE};
    static const unsigned sets[] = {0xff, 0xfe, 0x7f, 0x92, 0x81, 0x38};
    char *text = malloc(LARGE);

    (void)state;
    fill(text, LARGE, 8);
    stage_begin(&stage, 1);
    for (size_t i = 0; i < 7 * 6; i++) {
        const size_t len = lengths[i / 6];
        const unsigned windows = sets[i % 6];
        struct wsi_frames frames;

        make(&frames, text, len);
        pack(&frames, windows);
        for (unsigned bits = 8; bits <= 15; bits++)
            if ((windows & window(bits)) != 0)
                inflates_to(form(&frames, bits), bits, text, len);
        drop(&frames);
    }
    stage_end(&stage);
    free(text);
}

static void message_that_was_packed_before_is_not_packed_again(void **state)
{
    char text[4096];
    struct wsi_frames frames;

    (void)state;
    fill(text, sizeof text, 3);
    stage_begin(&stage, 1);
    count();
    make(&frames, text, sizeof text);
    pack(&frames, window(15));
    pack(&frames, window(12)); /* holds it too */
    assert_int_equal(count(), 1);
    assert_ptr_equal(form(&frames, 12), form(&frames, 15));
    pack(&frames, window(9) | window(10) | window(14));
    assert_int_equal(count(), 1);
    assert_ptr_equal(form(&frames, 14), form(&frames, 15));
    assert_ptr_equal(form(&frames, 10), form(&frames, 9));
    drop(&frames);
    stage_end(&stage);
}

static void message_has_no_form_that_nobody_wants(void **state)
{
    uint8_t noise[1000];
    char text[256];
    uint32_t seed = 4;
    struct wsi_frames frames;

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(test_random(&seed) >> 16);
    stage_begin(&stage, 1);
    count();
    make(&frames, text, 256);
    pack(&frames, 0);
    set("compression_min_bytes", "257");
    pack(&frames, 0xff);
    assert_int_equal(count(), 0);
    assert_null(form(&frames, 15));
    set("compression_min_bytes", "256");
    pack(&frames, window(15));
    assert_int_equal(count(), 1);
    assert_true(form(&frames, 15)->len < 20);
    drop(&frames);
    /* Random bytes get no shorter in any window: tried once, if it holds them. */
    frames = (struct wsi_frames){0};
    assert_int_equal(wsi_encode_message(&frames.plain, WSOCK_BINARY, noise, 1000), 0);
    pack(&frames, window(10) | window(12) | window(15));
    assert_int_equal(count(), 1);
    assert_ptr_equal(form(&frames, 10), frames.plain);
    assert_ptr_equal(form(&frames, 15), frames.plain);
    drop(&frames);
    stage_end(&stage);
}

static void forms_are_shared_between_sets(void **state)
{
    char text[1000];
    struct wsi_frames frames, other = {0};

    (void)state;
    fill(text, sizeof text, 3);
    stage_begin(&stage, 1);
    make(&frames, text, sizeof text);
    pack(&frames, window(9) | window(15));
    wsi_frames_share(&other, &frames);
    assert_ptr_equal(form(&other, 9), form(&frames, 9));
    assert_ptr_equal(form(&other, 15), form(&frames, 15));
    assert_null(form(&other, 12));
    drop(&frames);
    assert_true(form(&other, 15)->len < sizeof text);
    drop(&other);
    stage_end(&stage);
}

static void form_that_finds_no_memory_is_the_message_itself(void **state)
{
    char text[1000];
    size_t refused = 1;
    int plain = 0;

    (void)state;
    fill(text, sizeof text, 3);
    stage_begin(&stage, 1);
    for (int ever = 0; ever < 2; ever++, refused = 1)
        for (size_t n = 1; refused != 0; n++) {
            struct wsi_frames frames;
            size_t live;

            wsi_compressors_fini(&stage.pool.compressors);
            wsi_compressors_init(&stage.pool.compressors);
            live = test_live_blocks();
            make(&frames, text, sizeof text);
            test_fail_allocation(n, ever);
            pack(&frames, window(9) | window(15));
            refused = test_stop_failing();
            assert_non_null(form(&frames, 9));
            assert_non_null(form(&frames, 15));
            plain += form(&frames, 9) == frames.plain;
            assert_true(refused > 0 || form(&frames, 9) != frames.plain);
            drop(&frames);
            wsi_compressors_fini(&stage.pool.compressors);
            wsi_compressors_init(&stage.pool.compressors);
            assert_int_equal(test_live_blocks(), live);
        }
    assert_true(plain > 4);
    stage_end(&stage);
}

/* ---- to connections of every kind ---- */

static const struct kind {
    const char *offer;
    unsigned bits; /* of what we send; 0: as it is */
    bool takeover;
} kinds[] = {
    {"", 0, false},
    {PMD "; server_no_context_takeover", 15, false},
    {PMD "; server_no_context_takeover; server_max_window_bits=9", 9, false},
    {PMD, 15, true},
    {PMD "; server_max_window_bits=9", 9, true},
    {PMD "; server_max_window_bits=8; client_max_window_bits", 8, true},
    {PMD "; server_max_window_bits=12", 12, true},
    {PMD "; server_max_window_bits=15; client_no_context_takeover", 15, true},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static struct script_peer peer[KINDS];
static struct wsock_conn *conn[KINDS];
static struct far far[KINDS];

static unsigned begin_kinds(void)
{
    unsigned windows = 0;

    stage_begin(&stage, 1);
    set("compression", "dedicated");
    set("compression_window_bits", "15");
    set("compression_peer_window_bits", "15");
    for (size_t i = 0; i < KINDS; i++) {
        conn[i] = far_accept(&far[i], &stage, &peer[i], 0, kinds[i].offer);
        assert_int_equal(conn[i]->pmd.own_window_bits, kinds[i].bits);
        assert_int_equal(conn[i]->pmd.own_takeover, kinds[i].takeover);
        windows |= wsi_window_of(conn[i]);
    }
    assert_int_equal(windows, window(8) | window(9) | window(12) | window(15));
    count();
    return windows;
}

static void finish_kinds(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        assert_false(far_next(&far[i], &peer[i]));
        stage_drop(&stage, conn[i], &peer[i]);
        far_fini(&far[i]);
    }
    stage_end(&stage);
}

/* What everybody gets, and what each is told besides, repeat one another; so whoever
 * refers to what the other end has not seen, or has seen elsewhere, is found out. */
static void streams_with_a_context_take_what_was_compressed_without(void **state)
{
    static const size_t lengths[] = {1000, 300, 5000, LARGE, 100, 256, 40000};
    struct wsi_feed_rules rules = {.max_messages = 0};
    struct wsi_feed feed; /* nothing has to wait */
    char *text = malloc(LARGE);
    unsigned windows;

    (void)state;
    fill(text, LARGE, 6);
    wsi_feed_init(&feed, &rules);
    windows = begin_kinds();
    for (size_t round = 0; round < 14; round++) {
        const size_t len = lengths[round % 7];
        const unsigned packed = len >= 256 ? FAR_RSV1 : 0;
        struct wsi_frames frames;

        make(&frames, text, len);
        pack(&frames, windows);
        assert_int_equal(count(), packed == 0 ? 0 : len <= 256 ? 1 : 2);
        for (size_t i = 0; i < KINDS; i++)
            assert_true(wsi_conn_deliver(conn[i], &feed, &frames, NULL));
        assert_int_equal(count(), 0); /* whoever takes it */
        for (size_t i = 0; i < KINDS; i++) {
            assert_int_equal(wsi_conn_send(conn[i], WSOCK_TEXT, text + round, 900), 0);
            if (round % 3 == 0) { /* two in a row, and one by mail */
                struct wsi_blob *frame = wsi_frames_for(&frames, conn[i]);

                wsi_worker_current = NULL;
                assert_int_equal(wsi_conn_send(conn[i], WSOCK_TEXT, text, 900), 0);
                assert_int_equal(wsi_conn_send_frame(conn[i], frame), 0);
                assert_int_equal(wsi_conn_send(conn[i], WSOCK_TEXT, text, 900), 0);
                wsi_worker_current = stage.worker;
            }
        }
        stage_settle(&stage);
        for (size_t i = 0; i < KINDS; i++) {
            const unsigned first = 0x81 | (kinds[i].bits != 0 ? packed : 0);
            const unsigned own = 0x81u | (kinds[i].bits != 0 ? FAR_RSV1 : 0);

            far_got(&far[i], &peer[i], first, text, len);
            far_got(&far[i], &peer[i], own, text + round, 900);
            if (round % 3 == 0) {
                far_got(&far[i], &peer[i], own, text, 900);
                far_got(&far[i], &peer[i], first, text, len);
                far_got(&far[i], &peer[i], own, text, 900);
            }
        }
        drop(&frames);
        count();
    }
    finish_kinds();
    free(text);
}

static void client_with_a_context_takes_a_shared_form(void **state)
{
    struct script_peer server;
    struct wsock_conn *client;
    struct far end;
    struct wsi_frames frames;
    static const char extension[] = "Sec-WebSocket-Extensions: " PMD "\r\n\r\n";
    char text[1000];

    (void)state;
    fill(text, sizeof text, 6);
    stage_begin(&stage, 1);
    for (int i = 0; i < 3; i++) {
        static const char *const settings[][2] = {
            {"compression", "dedicated"},
            {"compression_window_bits", "15"},
            {"compression_peer_window_bits", "15"},
        };

        assert_int_equal(wsi_options_set(&stage.remote.profile.options, settings[i][0],
                                         settings[i][1], true, NULL, 0),
                         0);
    }
    client = stage_connect(&stage, &server);
    script_feed(&server, stage_answer, strlen(stage_answer) - 2);
    script_feed(&server, extension, sizeof extension - 1);
    stage_settle(&stage);
    server.output.len = 0;
    far_init(&end, false, 15, true, 15, true);
    make(&frames, text, sizeof text);
    pack(&frames, wsi_window_of(client));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wsi_conn_send(client, WSOCK_TEXT, text, 900), 0);
        assert_int_equal(wsi_conn_send_frame(client, wsi_frames_for(&frames, client)), 0);
        assert_int_equal(wsi_conn_send(client, WSOCK_TEXT, text + 1, 900), 0);
        stage_settle(&stage);
        far_got(&end, &server, 0xc1, text, 900);
        far_got(&end, &server, 0xc1, text, sizeof text);
        far_got(&end, &server, 0xc1, text + 1, 900);
    }
    drop(&frames);
    stage_drop(&stage, client, &server);
    far_fini(&end);
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(message_is_compressed_at_most_twice),
        TEST(form_of_each_window_is_valid_in_it),
        TEST(message_that_was_packed_before_is_not_packed_again),
        TEST(message_has_no_form_that_nobody_wants),
        TEST(forms_are_shared_between_sets),
        TEST(form_that_finds_no_memory_is_the_message_itself),
        TEST(streams_with_a_context_take_what_was_compressed_without),
        TEST(client_with_a_context_takes_a_shared_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
