/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/option.h"
#include "core/option_text.h"

static char why[WSI_OPTION_WHY_SIZE];

static int set(struct wsi_options *options, const char *name, const char *value)
{
    why[0] = '\0';
    return wsi_options_set(options, name, value, false, why, sizeof why);
}

static int64_t get(const struct wsi_options *options, const char *name)
{
    int64_t value = -1;

    assert_int_equal(wsi_options_get_number(options, &value, name, why, sizeof why), 0);
    return value;
}

static bool has_explicit(const struct wsi_options *options)
{
    bool any = false;

    for (int i = 0; i < WSI_OPT_COUNT; i++)
        any = any || options->is_explicit[i];
    return any;
}

static void every_row_is_consistent(void **state)
{
    unsigned strings = 0;
    wsock_option_info info = {.size = sizeof info};
    size_t count = 0;

    (void)state;
    for (; wsock_option_at(&info, count) == 0; count++) {
        assert_int_equal(info.size, sizeof info);
        assert_true(info.scope != 0 && info.scope < 2 * WSOCK_SCOPE_ROOM);
        assert_true(((info.scope & WSOCK_SCOPE_ROOM) != 0) ==
                    (count >= WSI_ROOM_OPTION_FIRST));
        assert_true((info.scope & WSOCK_SCOPE_ROOM) == 0 ||
                    info.type != WSOCK_OPTION_STRING);
        assert_true(info.value_min <= info.value_max);
        if (info.value_default == 0 && info.words[0] != '\0' &&
            info.type != WSOCK_OPTION_CHOICE)
            assert_true(info.value_min > 0);
        else if (info.type != WSOCK_OPTION_STRING)
            assert_in_range(info.value_default, info.value_min, info.value_max);
        if (info.value_default_client != info.value_default)
            assert_in_range(info.value_default_client, info.value_min, info.value_max);
        assert_null(strchr(info.text, '\n'));
        assert_int_not_equal(info.text[strlen(info.text) - 1], '.');
        for (const char *p = info.name; *p != '\0'; p++)
            assert_true((*p >= 'a' && *p <= 'z') || *p == '_');
        if (info.type != WSOCK_OPTION_STRING)
            continue;
        strings++;
        /* wsi_options_inherit(), from servers to endpoints, does not copy strings. */
        assert_true(info.scope == WSOCK_SCOPE_ENDPOINT ||
                    (info.scope & WSOCK_SCOPE_ENDPOINT) == 0);
    }
    assert_int_equal(count, WSI_OPT_COUNT);
    assert_int_equal(strings, WSI_OPTION_TEXTS);
}

static void defaults_are_those_of_the_manual(void **state)
{
    struct wsi_options options;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    assert_int_equal(wsi_option(&options, WSI_OPT_MAX_MESSAGE_BYTES), 1 << 20);
    assert_int_equal(wsi_option(&options, WSI_OPT_MAX_HEAD_BYTES), 16384);
    assert_int_equal(wsi_option(&options, WSI_OPT_IDLE_TIMEOUT), 60000);
    assert_int_equal(wsi_option(&options, WSI_OPT_PING_INTERVAL), 25000);
    assert_int_equal(wsi_option(&options, WSI_OPT_PAUSE_READ_WHEN_BACKLOGGED), 1);
    assert_true(wsi_option(&options, WSI_OPT_MAX_MESSAGE_RATE) == INT64_MAX);
    assert_int_equal(get(&options, "max_message_rate"), 0);
    assert_string_equal(wsi_option_text(&options, WSI_OPT_WWW), "");
    assert_string_equal(wsi_option_text(&options, WSI_OPT_ORIGINS), "");
    assert_false(has_explicit(&options));
    wsi_options_fini(&options);
}

static void a_clients_default_may_be_another(void **state)
{
    struct wsi_options options;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_CLIENT);
    assert_int_equal(wsi_option(&options, WSI_OPT_PAUSE_READ_WHEN_BACKLOGGED), 0);
    assert_int_equal(wsi_option(&options, WSI_OPT_MAX_MESSAGE_BYTES), 1 << 20);
    assert_false(has_explicit(&options));
    wsi_options_fini(&options);
}

static void values_are_read_with_their_units(void **state)
{
    static const struct {
        const char *name, *text;
        int64_t value;
    } cases[] = {
        {"max_message_bytes", "1", 1},
        {"max_message_bytes", "5B", 5},
        {"max_message_bytes", "64K", 65536},
        {"max_message_bytes", "64KiB", 65536},
        {"max_message_bytes", "64 KiB", 65536},
        {"max_message_bytes", "2MiB", 2 << 20},
        {"max_message_bytes", "2M", 2 << 20},
        {"max_message_bytes", "2g", INT64_C(2) << 30},
        {"max_message_bytes", "1024GiB", INT64_C(1) << 40},
        {"max_message_bytes", "off", 0},
        {"max_message_bytes", "0", 0},
        {"max_message_bytes", "0MiB", 0},
        {"idle_timeout", "7", 7},
        {"idle_timeout", "500ms", 500},
        {"idle_timeout", "10s", 10000},
        {"idle_timeout", "1min", 60000},
        {"idle_timeout", "24h", 86400000},
        {"idle_timeout", "OFF", 0},
        {"stop_timeout", "0", 0},
        {"max_connections", "auto", 0},
        {"max_connections", "0", 0},
        {"compression_window_bits", "AUTO", 0},
        {"compression_window_bits", "8", 8},
        {"compression", "off", 0},
        {"compression", "Shared", 1},
        {"compression", "dedicated", 2},
        {"max_fragments", "00012", 12},
        {"reuse_port", "true", 1},
        {"reuse_port", "no", 0},
        {"reuse_port", "yes", 1},
        {"reuse_port", "off", 0},
        {"reuse_port", "on", 1},
        {"reuse_port", "0", 0},
        {"reuse_port", "1", 1},
        {"reuse_port", "False", 0},
    };
    struct wsi_options options;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(set(&options, cases[i].name, cases[i].text), 0);
        assert_true(get(&options, cases[i].name) == cases[i].value);
    }
    wsi_options_fini(&options);
}

static void bad_values_are_refused_and_change_nothing(void **state)
{
    static const struct {
        const char *name, *text;
        int code;
    } cases[] = {
        {"max_headers", "", WSOCK_EINVAL},
        {"max_headers", "ten", WSOCK_EINVAL},
        {"max_headers", " 10", WSOCK_EINVAL},
        {"max_headers", "10 ", WSOCK_EINVAL},
        {"max_headers", "+10", WSOCK_EINVAL},
        {"max_headers", "10K", WSOCK_EINVAL},
        {"max_headers", "0x10", WSOCK_EINVAL},
        {"max_headers", "1e2", WSOCK_EINVAL},
        {"max_headers", "10.5", WSOCK_EINVAL},
        {"max_headers", "1,000", WSOCK_EINVAL},
        {"max_headers", "off", WSOCK_EINVAL},
        {"max_headers", "-", WSOCK_EINVAL},
        {"max_headers", "-9", WSOCK_ERANGE},
        {"max_headers", "7", WSOCK_ERANGE},
        {"max_headers", "257", WSOCK_ERANGE},
        {"max_headers", "0", WSOCK_ERANGE},
        {"max_headers", "9223372036854775808", WSOCK_ERANGE},
        {"max_headers", "18446744073709551626", WSOCK_ERANGE},
        {"max_message_bytes", "9223372036854775807K", WSOCK_ERANGE},
        {"max_message_bytes", "18014398509481985K", WSOCK_ERANGE},
        {"max_message_bytes", "-1", WSOCK_ERANGE},
        {"max_message_bytes", "1  MiB", WSOCK_EINVAL},
        {"max_message_bytes", "MiB", WSOCK_EINVAL},
        {"max_message_bytes", "1s", WSOCK_EINVAL},
        {"idle_timeout", "1MiB", WSOCK_EINVAL},
        {"idle_timeout", "25h", WSOCK_ERANGE},
        {"compression", "share", WSOCK_EINVAL},
        {"compression", "off|shared", WSOCK_EINVAL},
        {"compression", "1", WSOCK_EINVAL},
        {"compression", "", WSOCK_EINVAL},
        {"compression", "auto", WSOCK_EINVAL},
        {"compression_window_bits", "off", WSOCK_EINVAL},
        {"compression_window_bits", "7", WSOCK_ERANGE},
        {"compression_window_bits", "16", WSOCK_ERANGE},
        {"reuse_port", "2", WSOCK_EINVAL},
        {"reuse_port", "", WSOCK_EINVAL},
        {"reuse_port", NULL, WSOCK_EINVAL},
        {"www", NULL, WSOCK_EINVAL},
    };
    struct wsi_options options;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(set(&options, cases[i].name, cases[i].text), cases[i].code);
        assert_non_null(strstr(why, cases[i].name));
    }
    assert_int_equal(get(&options, "max_headers"), 100);
    assert_int_equal(get(&options, "max_message_bytes"), 1 << 20);
    assert_false(has_explicit(&options));
    wsi_options_fini(&options);
}

static void refused_text_leaves_the_number_alone(void **state)
{
    static const char *const texts[] = {"off", "", "x", "1x", "99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t number = 77;

        assert_true(wsi_option_parse(&number, &wsi_option_rows[WSI_OPT_MAX_HEADERS],
                                     texts[i]) < 0);
        assert_int_equal(number, 77);
    }
}

static void sentences_name_option_value_and_range(void **state)
{
    static const struct {
        const char *name, *value, *sentence;
    } cases[] = {
        {"max_headers", "7", "option \"max_headers\" takes 8 to 256, not \"7\""},
        {"max_head_bytes", "12",
         "option \"max_head_bytes\" takes 1 KiB to 1 MiB, not \"12\""},
        {"idle_timeout", "10x",
         "option \"idle_timeout\" takes 1 ms to 24 h, or off, not \"10x\""},
        {"compression", "on",
         "option \"compression\" takes off, shared or dedicated, not \"on\""},
        {"compression_window_bits", "7",
         "option \"compression_window_bits\" takes 8 to 15, or auto, not \"7\""},
        {"reuse_port", "a\nb", "option \"reuse_port\" takes true or false, not \"a?b\""},
        {"max_mesage_bytes", "1",
         "unknown option \"max_mesage_bytes\"; did you mean \"max_message_bytes\"?"},
        {"idle-timeout", "1",
         "unknown option \"idle-timeout\"; did you mean \"idle_timeout\"?"},
        {"colour", "red", "unknown option \"colour\""},
        {"", "", "unknown option \"\""},
        {"workers", "2", "option \"workers\" is one of runtimes, not of a server"},
        {"connect_timeout", "2",
         "option \"connect_timeout\" is one of clients, not of a server"},
    };
    struct wsi_options options;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(set(&options, cases[i].name, cases[i].value) < 0);
        assert_string_equal(why, cases[i].sentence);
    }
    options.scope = WSOCK_SCOPE_ENDPOINT;
    assert_int_equal(set(&options, "max_headers", "9"), WSOCK_EOPTION);
    assert_string_equal(
        why, "option \"max_headers\" is one of servers and clients, not of an endpoint");
    assert_int_equal(set(&options, NULL, "9"), WSOCK_EOPTION);
    wsi_options_fini(&options);
}

static void long_values_are_cut_in_sentences(void **state)
{
    struct wsi_options options;
    char value[500], small[20];

    (void)state;
    for (size_t i = 0; i + 2 < sizeof value; i += 2)
        memcpy(value + i, "\xC3\xA9", 2);
    value[498] = '\0';
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    assert_int_equal(set(&options, "max_headers", value), WSOCK_EINVAL);
    assert_true(strlen(why) < 140);
    assert_non_null(strstr(why, "\xC3\xA9...\""));
    assert_int_equal(set(&options, value, "1"), WSOCK_EOPTION);
    assert_non_null(strstr(why, "\xC3\xA9...\""));
    assert_int_equal(
        wsi_options_set(&options, "max_headers", "1", false, small, sizeof small),
        WSOCK_ERANGE);
    assert_int_equal(strlen(small), sizeof small - 1);
    assert_int_equal(wsi_options_set(&options, "max_headers", "1", false, NULL, 0),
                     WSOCK_ERANGE);
    assert_int_equal(wsi_options_set(&options, "nope", "1", false, NULL, 0),
                     WSOCK_EOPTION);
    wsi_options_fini(&options);
}

static void numbers_are_checked_like_text(void **state)
{
    struct wsi_options options;
    int64_t value = 77;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    assert_int_equal(
        wsi_options_set_number(&options, "max_headers", 7, false, why, sizeof why),
        WSOCK_ERANGE);
    assert_string_equal(why, "option \"max_headers\" takes 8 to 256, not \"7\"");
    assert_int_equal(
        wsi_options_set_number(&options, "max_headers", 8, false, why, sizeof why), 0);
    assert_int_equal(get(&options, "max_headers"), 8);
    assert_int_equal(
        wsi_options_set_number(&options, "idle_timeout", 0, false, why, sizeof why), 0);
    assert_true(wsi_option_is_off(wsi_option(&options, WSI_OPT_IDLE_TIMEOUT)));
    assert_int_equal(wsi_options_set_number(&options, "idle_timeout", INT64_MAX, false,
                                            why, sizeof why),
                     WSOCK_ERANGE);
    assert_int_equal(
        wsi_options_set_number(&options, "reuse_port", 2, false, why, sizeof why),
        WSOCK_ERANGE);
    assert_int_equal(wsi_options_set_number(&options, "www", 2, false, why, sizeof why),
                     WSOCK_EINVAL);
    assert_int_equal(wsi_options_get_number(&options, &value, "www", why, sizeof why),
                     WSOCK_EOPTION);
    assert_string_equal(why, "option \"www\" is text, not a number");
    assert_int_equal(wsi_options_get_number(&options, &value, "workers", why, sizeof why),
                     WSOCK_EOPTION);
    assert_int_equal(value, 77);
    wsi_options_fini(&options);
}

static void fixed_options_are_busy_once_started(void **state)
{
    struct wsi_options options;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    assert_int_equal(
        wsi_options_set(&options, "listen_backlog", "9", true, why, sizeof why),
        WSOCK_EBUSY);
    assert_string_equal(why,
                        "option \"listen_backlog\" can only be set before it starts");
    assert_int_equal(
        wsi_options_set_number(&options, "listen_backlog", 9, true, why, sizeof why),
        WSOCK_EBUSY);
    assert_int_equal(wsi_options_set(&options, "www", "/srv", true, why, sizeof why),
                     WSOCK_EBUSY);
    assert_int_equal(get(&options, "listen_backlog"), 1024);
    assert_int_equal(wsi_options_set(&options, "max_headers", "9", true, why, sizeof why),
                     0);
    assert_int_equal(get(&options, "max_headers"), 9);
    wsi_options_fini(&options);
}

static void text_comes_back_as_it_may_be_set(void **state)
{
    static const char *const values[][3] = {
        {"max_message_bytes", "1048576", "1 MiB"},
        {"max_message_bytes", "1048577", "1048577 B"},
        {"max_message_bytes", "0", "off"},
        {"max_byte_rate", "off", "off"},
        {"max_fragments", "12", "12"},
        {"idle_timeout", "60000", "60 s"},
        {"idle_timeout", "120000", "2 min"},
        {"idle_timeout", "1h", "60 min"},
        {"idle_timeout", "24h", "24 h"},
        {"idle_timeout", "1500", "1500 ms"},
        {"stop_timeout", "0", "0"},
        {"reuse_port", "on", "true"},
        {"reuse_port", "off", "false"},
        {"max_connections", "0", "auto"},
        {"compression", "dedicated", "dedicated"},
        {"compression", "off", "off"},
        {"compression_window_bits", "15", "15"},
        {"www", "/srv/www", "/srv/www"},
        {"www", "", ""},
    };
    struct wsi_options options;
    char text[64];

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const char *name = values[i][0];

        assert_int_equal(set(&options, name, values[i][1]), 0);
        for (int again = 0; again < 2; again++) {
            const int len = wsi_options_get_text(&options, text, sizeof text, name, why,
                                                 sizeof why);

            assert_int_equal(len, strlen(values[i][2]));
            assert_string_equal(text, values[i][2]);
            assert_int_equal(set(&options, name, text), 0);
        }
    }
    assert_int_equal(set(&options, "www", "/srv/www"), 0);
    strcpy(text, "old");
    assert_int_equal(wsi_options_get_text(&options, text, 8, "www", why, sizeof why),
                     WSOCK_ETOOBIG);
    assert_string_equal(text, "old");
    assert_int_equal(wsi_options_get_text(&options, text, 9, "www", why, sizeof why), 8);
    wsi_options_fini(&options);
}

static void children_inherit_what_they_did_not_set(void **state)
{
    struct wsi_options server, endpoint;

    (void)state;
    wsi_options_init(&server, WSOCK_SCOPE_SERVER);
    wsi_options_init(&endpoint, WSOCK_SCOPE_ENDPOINT);
    assert_int_equal(set(&server, "idle_timeout", "5s"), 0);
    assert_int_equal(set(&server, "max_fragments", "off"), 0);
    assert_int_equal(set(&server, "max_headers", "9"), 0);
    assert_int_equal(set(&server, "www", "/srv"), 0);
    assert_int_equal(set(&endpoint, "max_message_bytes", "1MiB"),
                     0); /* also the default */
    wsi_options_inherit(&endpoint, &server);
    assert_int_equal(get(&endpoint, "idle_timeout"), 5000);
    assert_true(wsi_option_is_off(wsi_option(&endpoint, WSI_OPT_MAX_FRAGMENTS)));
    assert_int_equal(wsi_option(&endpoint, WSI_OPT_MAX_HEADERS), 100); /* not its own */
    assert_true(endpoint.is_explicit[WSI_OPT_MAX_MESSAGE_BYTES]);
    endpoint.is_explicit[WSI_OPT_MAX_MESSAGE_BYTES] = false;
    assert_false(has_explicit(&endpoint));
    endpoint.is_explicit[WSI_OPT_MAX_MESSAGE_BYTES] = true;
    assert_int_equal(set(&server, "max_message_bytes", "2MiB"), 0);
    assert_int_equal(set(&server, "idle_timeout", "6s"), 0);
    wsi_options_inherit(&endpoint, &server);
    assert_int_equal(get(&endpoint, "max_message_bytes"), 1 << 20);
    assert_int_equal(get(&endpoint, "idle_timeout"), 6000);
    wsi_options_fini(&server);
    wsi_options_fini(&endpoint);
}

/* One by one, as the table grows and its last are the youngest. */
static void each_option_by_itself_is_kept_from_the_parent(void **state)
{
    struct wsi_options server, endpoint;
    wsock_option_info info = {.size = sizeof info};

    (void)state;
    for (size_t id = 0; wsock_option_at(&info, id) == 0; id++) {
        const int scopes = WSOCK_SCOPE_SERVER | WSOCK_SCOPE_ENDPOINT;

        if ((info.scope & scopes) != scopes || info.type == WSOCK_OPTION_STRING)
            continue;
        wsi_options_init(&server, WSOCK_SCOPE_SERVER);
        wsi_options_init(&endpoint, WSOCK_SCOPE_ENDPOINT);
        assert_int_equal(
            wsi_options_set_number(&endpoint, info.name, info.value_min, false, NULL, 0),
            0);
        for (size_t i = 0; i < WSI_OPT_COUNT; i++)
            atomic_store(&server.number[i], INT64_C(-7));
        wsi_options_inherit(&endpoint, &server);
        for (size_t i = 0; wsock_option_at(&info, i) == 0; i++)
            if ((info.scope & scopes) == scopes)
                assert_int_equal(wsi_option(&endpoint, (enum wsi_option_id)i) == -7,
                                 i != id);
        wsi_options_fini(&server);
        wsi_options_fini(&endpoint);
    }
}

static void strings_survive_a_failed_allocation(void **state)
{
    struct wsi_options options;
    int r = 0;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    assert_int_equal(set(&options, "www", "/old"), 0);
    test_fail_allocation(1, 1);
    assert_int_equal(set(&options, "www", "/new"), WSOCK_ENOMEM);
    test_stop_failing();
    assert_string_equal(wsi_option_text(&options, WSI_OPT_WWW), "/old");
    assert_string_equal(why, "option \"www\": out of memory");
    FOR_EACH_OOM(r, r = set(&options, "www", "/new"), (void)0);
    assert_string_equal(wsi_option_text(&options, WSI_OPT_WWW), "/new");
    assert_string_equal(wsi_option_text(&options, WSI_OPT_ORIGINS), "");
    wsi_options_fini(&options);
}

static void strings_have_a_longest_length(void **state)
{
    static char value[4097];
    struct wsi_options options;

    (void)state;
    wsi_options_init(&options, WSOCK_SCOPE_SERVER);
    memset(value, 'x', 4096);
    assert_int_equal(set(&options, "www", value), WSOCK_ERANGE);
    assert_non_null(strstr(why, "takes text of at most 4095 bytes"));
    value[4095] = '\0';
    assert_int_equal(set(&options, "www", value), 0);
    wsi_options_fini(&options);
}

static void enumeration_honours_the_callers_size(void **state)
{
    struct {
        wsock_option_info info;
        char behind[16];
    } later;
    wsock_option_info info = {.size = sizeof info - 1};

    (void)state;
    assert_int_equal(wsock_option_at(NULL, 0), WSOCK_EINVAL);
    assert_int_equal(wsock_option_at(&info, 0), WSOCK_EINVAL);
    info.size = 0;
    assert_int_equal(wsock_option_at(&info, 0), WSOCK_EINVAL);
    assert_null(info.name);
    memset(&later, 0x55, sizeof later);
    later.info.size = sizeof later;
    assert_int_equal(wsock_option_at(&later.info, 0), 0);
    assert_string_equal(later.info.name, "workers");
    assert_int_equal(later.info.size, sizeof later.info); /* so much was filled */
    assert_int_equal(later.behind[0], 0x55);
    assert_int_equal(wsock_option_at(&later.info, WSI_OPT_COUNT), WSOCK_ENOENT);
    assert_int_equal(wsock_option_at(&later.info, SIZE_MAX), WSOCK_ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_row_is_consistent),
        TEST(defaults_are_those_of_the_manual),
        TEST(a_clients_default_may_be_another),
        TEST(values_are_read_with_their_units),
        TEST(bad_values_are_refused_and_change_nothing),
        TEST(refused_text_leaves_the_number_alone),
        TEST(sentences_name_option_value_and_range),
        TEST(long_values_are_cut_in_sentences),
        TEST(numbers_are_checked_like_text),
        TEST(fixed_options_are_busy_once_started),
        TEST(text_comes_back_as_it_may_be_set),
        TEST(children_inherit_what_they_did_not_set),
        TEST(each_option_by_itself_is_kept_from_the_parent),
        TEST(strings_survive_a_failed_allocation),
        TEST(strings_have_a_longest_length),
        TEST(enumeration_honours_the_callers_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
