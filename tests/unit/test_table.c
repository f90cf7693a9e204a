/* SPDX-License-Identifier: MIT */
/* The intrusive hash table: what was added is found, whatever shares its hash. */
#include "test.h"

#include <stdbool.h>

#include <wsock/error.h>

#include "core/table.h"

enum { MANY = 1000 };

static struct wsi_table table;
static struct wsi_table_node nodes[MANY];

/* So that some hashes are equal, and many meet in a bucket. */
static uint64_t hash_of(int i)
{
    return (uint64_t)(i / 3) * 64;
}

static bool is_there(const struct wsi_table_node *wanted, uint64_t hash)
{
    for (struct wsi_table_node *node = wsi_table_find(&table, hash); node != NULL;
         node = wsi_table_find_next(node)) {
        assert_true(node->hash == hash);
        if (node == wanted)
            return true;
    }
    return false;
}

static void nodes_are_found_until_they_are_removed(void **state)
{
    (void)state;
    assert_null(wsi_table_find(&table, 0));
    for (int i = 0; i < MANY; i++)
        assert_int_equal(wsi_table_add(&table, &nodes[i], hash_of(i)), 0);
    assert_int_equal(table.count, MANY);
    for (int i = 0; i < MANY; i++)
        assert_true(is_there(&nodes[i], hash_of(i)));
    for (int i = 0; i < MANY; i += 2)
        wsi_table_remove(&table, &nodes[i]);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(is_there(&nodes[i], hash_of(i)), i % 2);
    assert_int_equal(table.count, MANY / 2);
    wsi_table_fini(&table);
}

static void without_memory_only_the_first_is_refused(void **state)
{
    (void)state;
    test_fail_allocation(1, 1);
    assert_int_equal(wsi_table_add(&table, &nodes[0], 0), WSOCK_ENOMEM);
    test_stop_failing();
    assert_int_equal(table.count, 0);
    assert_int_equal(wsi_table_add(&table, &nodes[0], hash_of(0)), 0);
    test_fail_allocation(1, 1);
    for (int i = 1; i < MANY; i++)
        assert_int_equal(wsi_table_add(&table, &nodes[i], hash_of(i)), 0);
    test_stop_failing();
    for (int i = 0; i < MANY; i++)
        assert_true(is_there(&nodes[i], hash_of(i)));
    wsi_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nodes_are_found_until_they_are_removed),
        TEST(without_memory_only_the_first_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
