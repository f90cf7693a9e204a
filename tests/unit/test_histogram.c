/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <string.h>

#include "histogram.h"

static struct histogram histogram;

static int empty_histogram(void **state)
{
    memset(&histogram, 0, sizeof histogram);
    return test_setup(state);
}

static void histogram_of_small_values_is_exact(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 100; i++)
        histogram_add(&histogram, i);
    assert_int_equal(histogram.count, 100);
    assert_int_equal(histogram.sum, 5050);
    assert_int_equal(histogram_at(&histogram, 500), 50);
    assert_int_equal(histogram_at(&histogram, 900), 90);
    assert_int_equal(histogram_at(&histogram, 1000), 100);
    assert_int_equal(histogram_at(&histogram, 0), 1);
}

static void histogram_is_right_to_one_part_in_sixty_four(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < UINT64_C(1) << 40; value += value / 7 + 1) {
        uint64_t told = 0;

        memset(&histogram, 0, sizeof histogram);
        histogram_add(&histogram, value);
        histogram_add(&histogram, UINT64_C(1) << 40);
        told = histogram_at(&histogram, 500);
        assert_true(told >= value);
        assert_true(told - value <= value / 64);
    }
}

static void histogram_takes_values_beyond_its_last_cell(void **state)
{
    (void)state;
    histogram_add(&histogram, UINT64_MAX);
    histogram_add(&histogram, 5);
    assert_int_equal(histogram_at(&histogram, 500), 5);
    assert_int_equal(histogram.max, UINT64_MAX);
    assert_int_equal(histogram.cells[HISTOGRAM_SIZE - 1], 1);
}

static void histogram_merged_is_as_if_all_were_added_to_one(void **state)
{
    static struct histogram other;

    (void)state;
    memset(&other, 0, sizeof other);
    for (uint64_t i = 1; i <= 50; i++)
        histogram_add(&histogram, i);
    for (uint64_t i = 51; i <= 100; i++)
        histogram_add(&other, i);
    histogram_merge(&histogram, &other);
    assert_int_equal(histogram.count, 100);
    assert_int_equal(histogram.sum, 5050);
    assert_int_equal(histogram.max, 100);
    assert_int_equal(histogram_at(&histogram, 990), 99);
}

static void histogram_without_values_answers_zero(void **state)
{
    (void)state;
    assert_int_equal(histogram_at(&histogram, 500), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, empty_histogram, test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(histogram_of_small_values_is_exact),
        CASE(histogram_is_right_to_one_part_in_sixty_four),
        CASE(histogram_takes_values_beyond_its_last_cell),
        CASE(histogram_merged_is_as_if_all_were_added_to_one),
        CASE(histogram_without_values_answers_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
