/* SPDX-License-Identifier: MIT */
/* After which ends a client gives up. */
#include "test.h"

#include "proto/http.h"
#include "proto/stop_list.h"

static bool is_good(const char *entry)
{
    return wsi_stop_list_check_entry(wsi_str_of(entry)) == NULL;
}

static void entries_are_numbers_ranges_and_words(void **state)
{
    static const char *const good[] = {"1000", "4999",      "100",        "599",
                                       "404",  "4000-4099", "400-499",    "1008-1008",
                                       "none", "NONE",      "certificate"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(is_good(good[i]));
}

static void what_is_no_entry_is_named(void **state)
{
    static const char *const bad[] = {
        "",           "x",          "-",        "404-",        "-404",
        "404x",       "4 04",       "0",        "99",          "600",
        "999",        "5000",       "10000",    "99999999999", "500-400",
        "4000-4000x", "1000-10000", "500-1000", "400-500-600", "certificates"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(is_good(bad[i]));
}

static void list_has_what_its_entries_say(void **state)
{
    static const char list[] = "404, 1008 ,4000-4002,,none";

    (void)state;
    assert_true(wsi_stop_list_has(list, 404));
    assert_true(wsi_stop_list_has(list, 1008));
    assert_true(wsi_stop_list_has(list, 4000));
    assert_true(wsi_stop_list_has(list, 4002));
    assert_false(wsi_stop_list_has(list, 403));
    assert_false(wsi_stop_list_has(list, 405));
    assert_false(wsi_stop_list_has(list, 3999));
    assert_false(wsi_stop_list_has(list, 4003));
    assert_false(wsi_stop_list_has(list, 0));
    assert_false(wsi_stop_list_has_certificate(list));
    assert_true(wsi_stop_list_has_certificate("404,Certificate"));
}

static void none_never_ends(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 5000; number++)
        assert_false(wsi_stop_list_has("none", number));
    assert_false(wsi_stop_list_has_certificate("none"));
}

static void default_ends_where_the_next_attempt_is_pointless(void **state)
{
    static const unsigned ends[] = {1002, 1003, 1007, 1008, 1009, 1010, 400, 401,
                                    403,  404,  405,  407,  410,  426,  431, 501};
    static const unsigned passes[] = {0,    1000, 1001, 1005, 1006, 1011, 1012,
                                      1013, 1014, 4000, 101,  302,  408,  409,
                                      425,  429,  500,  502,  503,  504};
    struct wsi_str rest = WSI_STR(WSI_STOP_LIST_DEFAULT), entry;

    (void)state;
    while (wsi_http_list_next(&rest, &entry))
        assert_null(wsi_stop_list_check_entry(entry));
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        assert_true(wsi_stop_list_has("", ends[i]));
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++)
        assert_false(wsi_stop_list_has("", passes[i]));
    assert_true(wsi_stop_list_has_certificate(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_are_numbers_ranges_and_words),
        TEST(what_is_no_entry_is_named),
        TEST(list_has_what_its_entries_say),
        TEST(none_never_ends),
        TEST(default_ends_where_the_next_attempt_is_pointless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
