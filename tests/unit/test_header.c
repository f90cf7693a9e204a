/* SPDX-License-Identifier: MIT */
/* Header fields of the application: nothing that breaks out of its line. */
#include "test.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/header.h"

static struct wsi_buf lines;

static int append(const char *name, const char *value)
{
    return wsi_header_append(&lines, name, value, 1024);
}

static void assert_lines(const char *text)
{
    assert_int_equal(lines.len, strlen(text));
    if (lines.len > 0)
        assert_memory_equal(lines.data, text, lines.len);
}

static void fields_become_lines(void **state)
{
    (void)state;
    assert_int_equal(append("X-One", "1"), 0);
    assert_int_equal(append("Set-Cookie", "a=b; Path=/"), 0);
    assert_int_equal(append("X-Empty", ""), 0);
    assert_lines("X-One: 1\r\nSet-Cookie: a=b; Path=/\r\nX-Empty: \r\n");
    wsi_buf_fini(&lines);
}

static void nothing_breaks_out_of_its_line(void **state)
{
    (void)state;
    assert_int_equal(append("X", "a\r\nEvil: 1"), WSOCK_EINVAL);
    assert_int_equal(append("X", "a\nEvil: 1"), WSOCK_EINVAL);
    assert_int_equal(append("X", "a\rb"), WSOCK_EINVAL);
    assert_int_equal(append("X\r\nEvil", "1"), WSOCK_EINVAL);
    assert_int_equal(append("X:", "1"), WSOCK_EINVAL);
    assert_int_equal(append("X Y", "1"), WSOCK_EINVAL);
    assert_int_equal(append("", "1"), WSOCK_EINVAL);
    assert_int_equal(append("X", "\x01"), WSOCK_EINVAL);
    assert_int_equal(append("X", "\x7f"), WSOCK_EINVAL);
    assert_lines("");
}

static void fields_of_the_library_are_refused_in_any_case(void **state)
{
    static const char *const ours[] = {
        "Host",
        "upgrade",
        "CONNECTION",
        "content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Accept",
        "sec-websocket-version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
    };

    (void)state;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        assert_int_equal(append(ours[i], "1"), WSOCK_EINVAL);
    assert_lines("");
    assert_int_equal(append("Hos", "1"), 0);
    assert_int_equal(append("Hosts", "1"), 0);
    wsi_buf_fini(&lines);
}

static void line_that_does_not_fit_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(wsi_header_append(&lines, "A", "1", 12), 0); /* 6 bytes */
    for (size_t limit = 6; limit < 12; limit++) {
        assert_int_equal(wsi_header_append(&lines, "B", "2", limit), WSOCK_ETOOBIG);
        assert_lines("A: 1\r\n");
    }
    assert_int_equal(wsi_header_append(&lines, "B", "2", 12), 0);
    assert_lines("A: 1\r\nB: 2\r\n");
    wsi_buf_fini(&lines);
}

static int set(const char *name, const char *value)
{
    return wsi_header_set(&lines, name, value, 40);
}

static void field_takes_the_place_of_all_of_its_name(void **state)
{
    (void)state;
    assert_int_equal(set("A", "1"), 0);
    assert_int_equal(append("B", "1"), 0);
    assert_int_equal(append("b", "2"), 0);
    assert_int_equal(append("Bc", "3"), 0);
    assert_int_equal(set("B", "4"), 0);
    assert_lines("A: 1\r\nBc: 3\r\nB: 4\r\n");
    assert_int_equal(set("a", NULL), 0);
    assert_int_equal(set("none", NULL), 0);
    assert_lines("Bc: 3\r\nB: 4\r\n");
    assert_int_equal(set("B", "a\r\nEvil: 1"), WSOCK_EINVAL);
    assert_int_equal(set("Host", "x"), WSOCK_EINVAL);
    assert_int_equal(set("B ", NULL), WSOCK_EINVAL);
    assert_int_equal(set("B", "what does not fit into forty."), WSOCK_ETOOBIG);
    assert_lines("Bc: 3\r\nB: 4\r\n");
    assert_int_equal(set("B", NULL), 0);
    assert_int_equal(set("Bc", NULL), 0);
    assert_lines("");
    wsi_buf_fini(&lines);
}

static void place_is_not_taken_without_memory(void **state)
{
    int r = 0;

    (void)state;
    FOR_EACH_OOM(
        r,
        {
            wsi_buf_fini(&lines);
            test_stop_failing();
            assert_int_equal(append("A", "1"), 0);
            test_fail_allocation(oom_n, oom_ever);
            r = set("A", "2");
            if (r < 0) {
                assert_lines("A: 1\r\n");
                wsi_buf_fini(&lines);
            }
        },
        {
            assert_lines("A: 2\r\n");
            wsi_buf_fini(&lines);
        });
}

static void line_without_memory_leaves_nothing(void **state)
{
    struct wsi_buf fresh;
    int r = 0;

    (void)state;
    FOR_EACH_OOM(
        r,
        {
            wsi_buf_init(&fresh);
            r = wsi_header_append(&fresh, "A", "a value that needs room, and more of it",
                                  1024);
            if (r < 0) {
                assert_int_equal(fresh.len, 0);
                wsi_buf_fini(&fresh);
            }
        },
        wsi_buf_fini(&fresh));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fields_become_lines),
        TEST(nothing_breaks_out_of_its_line),
        TEST(fields_of_the_library_are_refused_in_any_case),
        TEST(line_that_does_not_fit_leaves_nothing),
        TEST(line_without_memory_leaves_nothing),
        TEST(field_takes_the_place_of_all_of_its_name),
        TEST(place_is_not_taken_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
