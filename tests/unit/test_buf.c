/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <wsock/error.h>

#include "core/buf.h"

static void buffer_grows_up_to_its_limit(void **state)
{
    struct wsi_buf buf = {0};

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(wsi_buf_append(&buf, "0123456789", 10, 1000), 0);
    assert_int_equal(wsi_buf_append(&buf, "x", 1, 1000), WSOCK_ETOOBIG);
    assert_int_equal(buf.len, 1000);
    assert_true(buf.capacity <= 1000);
    wsi_buf_fini(&buf);
}

static void buffer_keeps_order_when_consumed(void **state)
{
    struct wsi_buf buf = {0};

    (void)state;
    assert_int_equal(wsi_buf_append_text(&buf, "headtail", 64), 0);
    wsi_buf_consume(&buf, 4);
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.data, "tail", 4);
    wsi_buf_consume(&buf, 4);
    assert_int_equal(buf.len, 0);
    wsi_buf_fini(&buf);
}

static void buffer_reports_a_failed_allocation(void **state)
{
    struct wsi_buf buf = {0};
    int r = 0;

    (void)state;
    FOR_EACH_OOM(r, r = wsi_buf_append(&buf, "abc", 3, 64), wsi_buf_fini(&buf));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(buffer_grows_up_to_its_limit),
        TEST(buffer_keeps_order_when_consumed),
        TEST(buffer_reports_a_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
