/* SPDX-License-Identifier: MIT */
/* The keyed hash against the vectors that its authors publish. */
#include "test.h"

#include "core/hash.h"

/* Of the paper and of the reference's list: key 00 01 .. 0f, input 00 01 .. */
static void hash_is_siphash(void **state)
{
    const struct wsi_hash_key key = {
        {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};
    uint8_t input[15];

    (void)state;
    for (unsigned i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)i;
    assert_true(wsi_hash(&key, input, 0) == UINT64_C(0x726fdb47dd0e0e31));
    assert_true(wsi_hash(&key, input, 15) == UINT64_C(0xa129ca6149be45e5));
}

static void keys_decide(void **state)
{
    struct wsi_hash_key one, other;

    (void)state;
    wsi_hash_key_init(&one);
    wsi_hash_key_init(&other);
    assert_true(wsi_hash(&one, "x", 1) == wsi_hash(&one, "x", 1));
    assert_true(wsi_hash(&one, "x", 1) != wsi_hash(&other, "x", 1));
    assert_true(wsi_hash(&one, "x", 1) != wsi_hash(&one, "y", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hash_is_siphash),
        TEST(keys_decide),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
