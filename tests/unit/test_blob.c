/* SPDX-License-Identifier: MIT */
/* Shared bytes: who drops the last reference frees them, once. */
#include "test.h"

#include <string.h>

#include "core/alloc.h"
#include "core/blob.h"

static void blob_is_freed_with_its_last_reference(void **state)
{
    struct wsi_blob *blob = wsi_blob_new(5);
    const size_t live = test_live_blocks();

    (void)state;
    assert_non_null(blob);
    assert_int_equal(blob->capacity, 5);
    assert_int_equal(blob->len, 0);
    memcpy(blob->data, "hello", 5);
    assert_ptr_equal(wsi_blob_ref(blob), blob);
    wsi_blob_unref(blob);
    assert_int_equal(test_live_blocks(), live);
    assert_memory_equal(blob->data, "hello", 5);
    wsi_blob_unref(blob);
    assert_int_equal(test_live_blocks(), live - 1);
    wsi_blob_unref(NULL);
}

static void blob_may_be_empty(void **state)
{
    struct wsi_blob *blob = wsi_blob_new(0);

    (void)state;
    assert_non_null(blob);
    assert_int_equal(blob->capacity, 0);
    wsi_blob_unref(blob);
}

static void blob_that_is_too_large_or_finds_no_memory_is_null(void **state)
{
    (void)state;
    assert_null(wsi_blob_new((size_t)UINT32_MAX + 1));
    test_fail_allocation(1, 0);
    assert_null(wsi_blob_new(1));
    assert_int_equal(test_stop_failing(), 1);
}

enum { IN_FRONT = 64 };

static int released;

static void release(struct wsi_blob *blob)
{
    assert_memory_equal(blob->data, "abc", 3);
    released++;
}

static void blob_inside_a_larger_block_is_released_by_its_owner(void **state)
{
    char *block = wsi_alloc(IN_FRONT + sizeof(struct wsi_blob) + 3);
    struct wsi_blob *blob;

    (void)state;
    assert_non_null(block);
    blob = (struct wsi_blob *)(void *)(block + IN_FRONT);
    released = 0;
    wsi_blob_init(blob, 3, release);
    memcpy(blob->data, "abc", 3);
    wsi_blob_ref(blob);
    wsi_blob_unref(blob);
    assert_int_equal(released, 0);
    wsi_blob_unref(blob);
    assert_int_equal(released, 1);
    wsi_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blob_is_freed_with_its_last_reference),
        TEST(blob_may_be_empty),
        TEST(blob_that_is_too_large_or_finds_no_memory_is_null),
        TEST(blob_inside_a_larger_block_is_released_by_its_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
