/* SPDX-License-Identifier: MIT */
/* What of the adapter of NATS only computes: the guard. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/nats/guard.h"

/* @return NULL, or what is wrong: the same in one piece, cut in two at any place, and
 * byte by byte. */
static const char *judge(const char *data, size_t len)
{
    struct wsi_nats_guard whole = {0}, bytes = {0};
    const char *why = wsi_nats_guard_pass(&whole, data, len), *by_bytes = NULL;

    for (size_t cut = 0; cut <= len; cut++) {
        struct wsi_nats_guard halves = {0};
        const char *wrong = wsi_nats_guard_pass(&halves, data, cut);

        if (wrong == NULL)
            wrong = wsi_nats_guard_pass(&halves, data + cut, len - cut);
        assert_ptr_equal(wrong, why);
    }
    for (size_t i = 0; i < len && by_bytes == NULL; i++)
        by_bytes = wsi_nats_guard_pass(&bytes, data + i, 1);
    assert_ptr_equal(by_bytes, why);
    if (why != NULL) /* and nothing passes any more */
        assert_non_null(wsi_nats_guard_pass(&whole, "PING\r\n", 6));
    return why;
}

static void what_brokers_say_passes_however_it_is_cut(void **state)
{
    static const char *const good[] = {
        "",
        "PING\r\nPONG\r\n+OK\r\n",
        "-ERR 'Authorization Violation'\r\n",
        "INFO {\"max_payload\":1048576} \r\n",
        "MSG a 1 0\r\n\r\nPING\r\n",
        "MSG a.b 12 reply.to 5\r\nab\r\nc\r\nPING\r\n",
        "HMSG a 1  33 33\r\nNATS/1.0 409 Consumer Deleted\r\n\r\n\r\n+OK\r\n",
        "HMSG a 1 b 12 14\r\nNATS/1.0\r\n\r\nxy\r\nMSG a\t1 1\r\nx\r\n",
        "MSG a 1 68157440\r\n",
        "MSG a 1 3\r\nab",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_null(judge(good[i], strlen(good[i])));
}

static void what_libnats_must_not_read_is_refused(void **state)
{
    static const char *const bad[] = {
        "\r\n",
        "\n",
        "PING\n",
        "PING\rx",
        "PINGS\r\n",
        "ping\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "MSG\r\n",
        "MSG a 1\r\n",
        "MSG a 1 2 3 4\r\n",
        "MSG a 1 -1\r\n",
        "MSG a 1 1x\r\n",
        "MSG a 1 68157441\r\n",
        "MSG a 1 2147483647\r\n",
        "MSG a 1 4294967296\r\n",
        "MSG a 1 99999999999999999999999999999999999999999\r\n",
        "MSG a 1 1\r\nxy",
        "MSG a 1 1\r\nx\rx",
        "HMSG a 1 5\r\n",
        "HMSG a 1 6 5\r\n",
        "HMSG a 1 x 5\r\n",
        "HMSG a 1 2 3 4 5\r\n",
        "HMSG a 1 2147483647 2147483647\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(judge(bad[i], strlen(bad[i])));
    assert_non_null(judge("PI\0NG\r\n", 7));
}

static const char *judge_long(const char *begin, size_t len)
{
    struct wsi_nats_guard guard = {0};
    char *data = malloc(len);
    const char *why;

    memset(data, 'x', len);
    memcpy(data, begin, strlen(begin));
    why = wsi_nats_guard_pass(&guard, data, len);
    free(data);
    return why;
}

static void lines_have_an_end(void **state)
{
    (void)state;
    assert_null(judge_long("MSG ", WSI_NATS_LINE_MAX));
    assert_non_null(judge_long("MSG ", WSI_NATS_LINE_MAX + 1));
    assert_non_null(judge_long("HMSG ", WSI_NATS_LINE_MAX + 1));
    assert_null(judge_long("INFO ", WSI_NATS_INFO_MAX));
    assert_non_null(judge_long("INFO ", WSI_NATS_INFO_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_brokers_say_passes_however_it_is_cut),
        TEST(what_libnats_must_not_read_is_refused),
        TEST(lines_have_an_end),
    };

    return cmocka_run_group_tests_name("nats_pure", tests, NULL, NULL);
}
