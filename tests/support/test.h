/* SPDX-License-Identifier: MIT */
/*
 * What every C test includes: cmocka behind the headers it needs, the failing
 * allocator, and the count of open descriptors around each test.
 */
#ifndef WSI_TEST_H
#define WSI_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/** Before and after every test: fails when descriptors or wsi_ blocks are left. */
int test_setup(void **state);
int test_teardown(void **state);

/** A test with the checks above around it; names are sentences. */
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, test_setup, test_teardown)

/** What the library's allocator door leads to, for another library beside it. */
void *counted_malloc(size_t size);
void counted_free(void *block);

/** Blocks that the library's allocator door has given and not got back. */
size_t test_live_blocks(void);

/** How often the door was asked for memory since the process began. */
size_t test_allocations(void);

/** Fail allocation number nth (1 is the next), and all later ones if `for_ever`. */
void test_fail_allocation(size_t nth, int for_ever);

/** At allocation number nth (1 is the next) call this, on the thread that asks; then
 *  refuse it. What fn asks for itself is given. */
void test_fail_allocation_after(size_t nth, void (*fn)(void));

/** Stop failing. @return how many allocations were refused. */
size_t test_stop_failing(void);

/** Open descriptors of this process. */
int test_open_fds(void);

/**
 * Runs `stmt` with the first allocation failing, then the second, ..., once and then
 * for ever, until it passes without a refusal. `stmt` sets the int variable `result`;
 * a refused allocation must give WSOCK_ENOMEM and leave no block behind. `undo` runs
 * after a success, so that the live count can be compared then too.
 */
#define FOR_EACH_OOM(result, stmt, undo)                           \
    do {                                                           \
        for (int oom_ever = 0; oom_ever < 2; oom_ever++) {         \
            for (size_t oom_n = 1;; oom_n++) {                     \
                const size_t oom_live = test_live_blocks();        \
                test_fail_allocation(oom_n, oom_ever);             \
                stmt;                                              \
                const size_t oom_refused = test_stop_failing();    \
                if ((result) >= 0) {                               \
                    undo;                                          \
                }                                                  \
                assert_int_equal(test_live_blocks(), oom_live);    \
                if (oom_refused == 0) {                            \
                    assert_true((result) >= 0);                    \
                    break;                                         \
                }                                                  \
                assert_int_equal((result), -1 /* WSOCK_ENOMEM */); \
            }                                                      \
        }                                                          \
    } while (0)

#endif
