/* SPDX-License-Identifier: MIT */
/* Messages as frames that are shared. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/types.h>

#include "conn/encode.h"

static void message_becomes_one_unmasked_frame(void **state)
{
    struct wsi_blob *frame = NULL;

    (void)state;
    assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT, "hello", 5), 0);
    assert_int_equal(frame->len, 7);
    assert_memory_equal(frame->data, "\x81\x05hello", 7);
    wsi_blob_unref(frame);
    assert_int_equal(wsi_encode_message(&frame, WSOCK_BINARY, NULL, 0), 0);
    assert_int_equal(frame->len, 2);
    assert_memory_equal(frame->data, "\x82\x00", 2);
    wsi_blob_unref(frame);
}

static void payload_is_found_behind_every_header(void **state)
{
    static const size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};
    static const size_t headers[] = {2, 2, 2, 4, 4, 4, 10, 10};
    uint8_t *data = malloc(70000);

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < 70000; i++)
        data[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct wsi_blob *frame = NULL;
        struct wsi_payload payload;

        assert_int_equal(wsi_encode_message(&frame, WSOCK_BINARY, data, lengths[i]), 0);
        assert_int_equal(frame->len, lengths[i] + headers[i]);
        payload = wsi_encoded_payload(frame);
        assert_int_equal(payload.len, lengths[i]);
        assert_memory_equal(payload.data, data, lengths[i]);
        wsi_blob_unref(frame);
    }
    free(data);
}

static void what_is_no_message_is_refused(void **state)
{
    struct wsi_blob *frame = NULL;

    (void)state;
    assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT, "\xc3", 1), WSOCK_EUTF8);
    assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT, NULL, 1), WSOCK_EINVAL);
    assert_int_equal(wsi_encode_message(&frame, 0, "x", 1), WSOCK_EINVAL);
    assert_int_equal(wsi_encode_message(&frame, 8, "x", 1), WSOCK_EINVAL);
    assert_int_equal(wsi_encode_message(&frame, WSOCK_TEXT | WSOCK_JSON, "1", 1),
                     WSOCK_EINVAL); /* that is said to rooms */
    assert_int_equal(wsi_encode_message(&frame, WSOCK_BINARY, "x", WSI_MESSAGE_MAX + 1),
                     WSOCK_ETOOBIG);
    assert_null(frame);
}

static void message_without_memory_is_refused(void **state)
{
    struct wsi_blob *frame = NULL;
    int r = 0;

    (void)state;
    FOR_EACH_OOM(r, r = wsi_encode_message(&frame, WSOCK_TEXT, "x", 1),
                 wsi_blob_unref(frame));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(message_becomes_one_unmasked_frame),
        TEST(payload_is_found_behind_every_header),
        TEST(what_is_no_message_is_refused),
        TEST(message_without_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
