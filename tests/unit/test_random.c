/* SPDX-License-Identifier: MIT */
/* Random bytes: none given out twice, none left behind. */
#include "test.h"

#include <string.h>

#include "core/random.h"

static struct wsi_random source;

static size_t zeros(const uint8_t *data, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += data[i] == 0;
    return count;
}

/* Of 4,096 bytes each value comes 16 times on average; more than 80 of one, or fewer than
 * 200 values at all, happen to no honest source in the life of this program. */
static void assert_random(const uint8_t *data, size_t len)
{
    unsigned count[256] = {0};
    size_t values = 0;

    for (size_t i = 0; i < len; i++)
        values += count[data[i]]++ == 0;
    assert_true(values > 200);
    for (int i = 0; i < 256; i++)
        assert_true(count[i] < 80);
}

static void bytes_of_all_sizes_are_random(void **state)
{
    uint8_t bytes[4096];

    (void)state;
    for (size_t piece = 1; piece <= 300; piece += 23) {
        wsi_random_init(&source);
        memset(bytes, 0, sizeof bytes);
        for (size_t at = 0; at + piece <= sizeof bytes; at += piece)
            wsi_random_bytes(&source, bytes + at, piece);
        assert_random(bytes, sizeof bytes - sizeof bytes % piece);
    }
    wsi_random_system(bytes, sizeof bytes);
    assert_random(bytes, sizeof bytes);
}

static void pool_forgets_what_it_gave(void **state)
{
    uint8_t bytes[200];

    (void)state;
    wsi_random_init(&source);
    wsi_random_bytes(&source, bytes, sizeof bytes);
    assert_int_equal(zeros(source.pool, sizeof bytes), sizeof bytes);
    assert_true(zeros(source.pool + sizeof bytes, 56) < 20);
}

static void pool_that_cannot_serve_is_filled_anew(void **state)
{
    uint8_t bytes[100], rest[56];

    (void)state;
    wsi_random_init(&source);
    wsi_random_bytes(&source, bytes, 100);
    wsi_random_bytes(&source, bytes, 100);
    memcpy(rest, source.pool + 200, sizeof rest);
    wsi_random_bytes(&source, bytes, 57);
    assert_int_equal(source.used, 57);
    assert_memory_not_equal(bytes, rest, sizeof rest);
    wsi_random_bytes(&source, bytes, 0);
    assert_int_equal(source.used, 57);
}

static void sources_differ(void **state)
{
    struct wsi_random other;
    uint8_t a[16], b[16];

    (void)state;
    wsi_random_init(&source);
    wsi_random_init(&other);
    wsi_random_bytes(&source, a, sizeof a);
    wsi_random_bytes(&other, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* For tests, whatever the sizes. */
static void repeated_source_depends_on_its_seed_alone(void **state)
{
    uint8_t a[1000], b[1000];

    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        wsi_random_init(&source);
        wsi_random_repeat(&source, seed);
        wsi_random_bytes(&source, a, 4);
        wsi_random_bytes(&source, a + 4, 300);
        wsi_random_bytes(&source, a + 304, sizeof a - 304);
        wsi_random_repeat(&source, seed);
        wsi_random_bytes(&source, b, 4);
        wsi_random_bytes(&source, b + 4, 300);
        wsi_random_bytes(&source, b + 304, sizeof b - 304);
        assert_memory_equal(a, b, sizeof a);
        assert_true(zeros(a, sizeof a) < 20);
        wsi_random_repeat(&source, seed + 1);
        wsi_random_bytes(&source, b, 4);
        assert_memory_not_equal(a, b, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_of_all_sizes_are_random),
        TEST(pool_forgets_what_it_gave),
        TEST(pool_that_cannot_serve_is_filled_anew),
        TEST(sources_differ),
        TEST(repeated_source_depends_on_its_seed_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
