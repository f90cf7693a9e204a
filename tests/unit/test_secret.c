/* SPDX-License-Identifier: MIT */
/* Only what is the same all through is equal. */
#include "test.h"

#include "core/secret.h"

static void secrets_are_equal_when_every_byte_is(void **state)
{
    (void)state;
    assert_true(wsi_secret_equal("", ""));
    assert_true(wsi_secret_equal("open", "open"));
    assert_true(wsi_secret_equal("\xff\x80", "\xff\x80"));
    assert_false(wsi_secret_equal("Open", "open"));
    assert_false(wsi_secret_equal("opeN", "open"));
    assert_false(wsi_secret_equal("open", "opeo"));
}

static void beginning_or_repetition_is_not_equal(void **state)
{
    (void)state;
    assert_false(wsi_secret_equal("", "open"));
    assert_false(wsi_secret_equal("open", ""));
    assert_false(wsi_secret_equal("ope", "open"));
    assert_false(wsi_secret_equal("opens", "open"));
    assert_false(wsi_secret_equal("openopen", "open"));
    assert_false(wsi_secret_equal("aa", "a"));
    assert_false(wsi_secret_equal("a", "aa"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(secrets_are_equal_when_every_byte_is),
        TEST(beginning_or_repetition_is_not_equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
