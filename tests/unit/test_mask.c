/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <pthread.h>
#include <string.h>

#include "proto/cpu.h"
#include "proto/mask.h"

#define LONG_RUN 1000

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

static void fill(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 31 + 7);
}

static void *mask_a_long_run(void *barrier)
{
    static const uint8_t in[LONG_RUN] = {0};
    uint8_t out[LONG_RUN];

    pthread_barrier_wait(barrier);
    wsi_mask(out, in, sizeof out, key, 0);
    return (void *)(uintptr_t)(out[LONG_RUN - 1] == key[3]);
}

/* The first test, while no variant is chosen yet; the thread sanitizer judges it. */
static void mask_chooses_its_variant_from_many_threads(void **state)
{
    pthread_t threads[4];
    pthread_barrier_t barrier;

    (void)state;
    assert_null(atomic_load(&wsi_cpu_chosen));
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 4), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mask_a_long_run, &barrier), 0);
    for (size_t i = 0; i < 4; i++) {
        void *good = NULL;

        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_non_null(good);
    }
    pthread_barrier_destroy(&barrier);
}

/* RFC 6455 section 5.7: a masked text frame with "Hello". */
static void mask_gives_the_example_of_the_rfc(void **state)
{
    const uint8_t masked[] = {0x7f, 0x9f, 0x4d, 0x51, 0x58};
    uint8_t out[5];

    (void)state;
    wsi_mask(out, (const uint8_t *)"Hello", 5, key, 0);
    assert_memory_equal(out, masked, sizeof masked);
    wsi_mask(out, out, sizeof out, key, 0);
    assert_memory_equal(out, "Hello", sizeof out);
}

static void mask_of_nothing_touches_nothing(void **state)
{
    uint8_t byte = 0x55;

    (void)state;
    wsi_mask(NULL, NULL, 0, key, 3);
    wsi_mask(&byte, &byte, 0, key, 1);
    assert_int_equal(byte, 0x55);
}

static void mask_agrees_with_a_byte_loop_at_every_length(void **state)
{
    uint8_t in[LONG_RUN], out[LONG_RUN], expected[LONG_RUN];

    (void)state;
    fill(in, sizeof in);
    for (size_t len = 0; len < LONG_RUN; len++)
        for (size_t offset = 0; offset < 4; offset++) {
            for (size_t i = 0; i < len; i++)
                expected[i] = in[i] ^ key[(offset + i) % 4];
            memset(out, 0xAA, sizeof out);
            wsi_mask(out, in, len, key, offset);
            assert_memory_equal(out, expected, len);
            if (len < LONG_RUN)
                assert_int_equal(out[len], 0xAA);
        }
}

static void mask_in_pieces_is_mask_of_the_whole(void **state)
{
    uint8_t in[200], whole[200], pieces[200];

    (void)state;
    fill(in, sizeof in);
    wsi_mask(whole, in, sizeof in, key, 0);
    for (size_t a = 0; a <= sizeof in; a++)
        for (size_t b = a; b <= sizeof in; b++) {
            memcpy(pieces, in, sizeof in);
            wsi_mask(pieces, pieces, a, key, 0);
            wsi_mask(pieces + a, pieces + a, b - a, key, a);
            wsi_mask(pieces + b, pieces + b, sizeof in - b, key, b);
            assert_memory_equal(pieces, whole, sizeof whole);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mask_chooses_its_variant_from_many_threads),
        TEST(mask_gives_the_example_of_the_rfc),
        TEST(mask_of_nothing_touches_nothing),
        TEST(mask_agrees_with_a_byte_loop_at_every_length),
        TEST(mask_in_pieces_is_mask_of_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
