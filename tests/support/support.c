/* SPDX-License-Identifier: MIT */
/* The failing allocator and the leak checks around every test. */
#include "test.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <wsock/memory.h>

static atomic_size_t live, asked;
static atomic_size_t countdown; /* 0: not failing */
static atomic_int ever;
static atomic_size_t refused;
static _Atomic(void (*)(void)) before_refusal;

static int refuse(void)
{
    size_t n = atomic_load(&countdown);

    while (n > 1)
        if (atomic_compare_exchange_weak(&countdown, &n, n - 1))
            return 0;
    if (n == 0)
        return 0;
    if (!atomic_load(&ever))
        atomic_store(&countdown, 0);
    atomic_fetch_add(&refused, 1);
    if (atomic_load(&before_refusal) != NULL)
        atomic_exchange(&before_refusal, NULL)();
    return 1;
}

void *counted_malloc(size_t size)
{
    void *block = refuse() ? NULL : malloc(size);

    atomic_fetch_add(&asked, 1);
    if (block != NULL)
        atomic_fetch_add(&live, 1);
    return block;
}

static void *counted_realloc(void *old, size_t size)
{
    void *block = refuse() ? NULL : realloc(old, size);

    atomic_fetch_add(&asked, 1);
    if (block != NULL && old == NULL)
        atomic_fetch_add(&live, 1);
    return block;
}

void counted_free(void *block)
{
    if (block != NULL)
        atomic_fetch_sub(&live, 1);
    free(block);
}

size_t test_live_blocks(void)
{
    return atomic_load(&live);
}

size_t test_allocations(void)
{
    return atomic_load(&asked);
}

void test_fail_allocation(size_t nth, int for_ever)
{
    atomic_store(&refused, 0);
    atomic_store(&ever, for_ever);
    atomic_store(&countdown, nth);
}

void test_fail_allocation_after(size_t nth, void (*fn)(void))
{
    atomic_store(&before_refusal, fn);
    test_fail_allocation(nth, 0);
}

size_t test_stop_failing(void)
{
    atomic_store(&countdown, 0);
    atomic_store(&before_refusal, NULL);
    return atomic_exchange(&refused, 0);
}

int test_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 3; /* ".", ".." and the directory itself */
}

static int fds_before;
static size_t live_before;

/* Who runs the tests may be behind a proxy; their clients are not. */
static void leave_proxies(void)
{
    static const char *const names[] = {"ws_proxy",    "WS_PROXY",   "wss_proxy",
                                        "WSS_PROXY",   "http_proxy", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
}

int test_setup(void **state)
{
    (void)state;
    leave_proxies();
    assert_int_equal(wsock_set_allocator(counted_malloc, counted_realloc, counted_free),
                     0);
    live_before = test_live_blocks();
    fds_before = test_open_fds();
    return 0;
}

int test_teardown(void **state)
{
    (void)state;
    test_stop_failing();
    assert_int_equal(test_open_fds(), fds_before);
    assert_int_equal(test_live_blocks(), live_before);
    return 0;
}
