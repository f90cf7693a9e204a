/* SPDX-License-Identifier: MIT */
/* Which files are taken for adapters of brokers. */
#include "test.h"

#include <string.h>

#include <wsock/error.h>

#include "cluster/plugin.h"

static char why[WSI_BUS_WHY_SIZE];

static void a_plugin_of_this_version_is_loaded(void **state)
{
    const struct wsi_bus_type *type = NULL, *again = NULL;

    (void)state;
    assert_int_equal(wsi_plugin_load(&type, PLUGIN_SAME, why), 0);
    assert_int_equal(type->version, WSI_BUS_VERSION);
    assert_int_equal(wsi_plugin_load(&again, PLUGIN_SAME, why), 0);
    assert_ptr_equal(again, type);
}

static void one_of_another_version_is_refused(void **state)
{
    const struct wsi_bus_type *type = NULL;

    (void)state;
    assert_int_equal(wsi_plugin_load(&type, PLUGIN_AHEAD, why), WSOCK_ENOTSUP);
    assert_null(type);
    assert_non_null(strstr(why, "is of another version of libwsock"));
}

static void what_is_no_plugin_is_refused(void **state)
{
    const struct wsi_bus_type *type = NULL;

    (void)state;
    assert_int_equal(wsi_plugin_load(&type, "/dev/null", why), WSOCK_ENOTSUP);
    assert_int_equal(wsi_plugin_load(&type, "libc.so.6/x", why), WSOCK_ENOENT);
    assert_int_equal(wsi_plugin_load(&type, "/nowhere/wsock-x.so", why), WSOCK_ENOENT);
    assert_string_equal(why, "there is no /nowhere/wsock-x.so");
    assert_null(type);
}

static void a_url_without_an_adapter_says_what_there_is(void **state)
{
    static const char *const urls[] = {
        "", "redis", "redi://h", "rediss", "http://h", "//redis:", ":", "redis/x:y",
    };
    const struct wsi_bus_type *type = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_int_equal(wsi_plugin_find(&type, urls[i], why), WSOCK_EURL);
        assert_non_null(strstr(why, "redis://"));
    }
}

static void the_adapter_within_the_process_needs_no_file(void **state)
{
    const struct wsi_bus_type *type = NULL;

    (void)state;
    assert_int_equal(wsi_plugin_find(&type, "memory:x", why), 0);
    assert_string_equal(type->schemes[0], "memory");
    assert_int_equal(wsi_plugin_find(&type, "memory:", why), WSOCK_EURL);
    assert_non_null(strstr(why, "memory:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plugin_of_this_version_is_loaded),
        TEST(one_of_another_version_is_refused),
        TEST(what_is_no_plugin_is_refused),
        TEST(the_adapter_within_the_process_needs_no_file),
        TEST(a_url_without_an_adapter_says_what_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
