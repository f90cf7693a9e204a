/* SPDX-License-Identifier: MIT */
/* Handlers that are replaced while they run: their user pointer goes after the last use,
 * exactly once. */
#include "test.h"

#include <pthread.h>

#include <wsock/error.h>

#include "stage.h"

enum { SWAPS = 300 };

static struct stage stage;
static struct script_peer peer;

struct user {
    atomic_int frees;
    atomic_int calls;
};

static void free_user(void *user)
{
    atomic_fetch_add(&((struct user *)user)->frees, 1);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)conn;
    (void)type;
    (void)data;
    (void)len;
    /* Whoever is called has not been freed. */
    assert_int_equal(atomic_load(&((struct user *)user)->frees), 0);
    atomic_fetch_add(&((struct user *)user)->calls, 1);
}

static int set(struct wsi_profile *profile, struct wsi_pool *pool, struct user *user)
{
    return wsi_profile_on(profile, pool, WSI_ON_MESSAGE,
                          (union wsi_handler_fn){.message = on_message}, true, user,
                          free_user);
}

static int set_here(struct user *user)
{
    return set(&stage.endpoint, &stage.pool, user);
}

static void replaced_user_goes_after_a_round(void **state)
{
    struct user a = {0}, b = {0};

    (void)state;
    stage_begin(&stage, 2);
    assert_int_equal(set_here(&a), 0);
    assert_int_equal(set_here(&b), 0);
    stage_settle_worker(&stage, 0);
    assert_int_equal(a.frees, 0); /* the second worker may be inside it */
    stage_settle_worker(&stage, 1);
    assert_int_equal(a.frees, 1);
    stage_end(&stage);
    assert_int_equal(a.frees, 1);
    assert_int_equal(b.frees, 1);
}

static struct user inner, outer;

static void replace_itself(wsock_conn *conn, int type, const void *data, size_t len,
                           void *user)
{
    on_message(conn, type, data, len, user);
    assert_int_equal(set_here(&inner), 0);
    assert_int_equal(atomic_load(&outer.frees), 0);
}

static void handler_may_replace_itself(void **state)
{
    struct wsock_conn *conn;

    (void)state;
    inner = outer = (struct user){0};
    stage_begin(&stage, 1);
    conn = stage_accept_open(&stage, &peer);
    assert_int_equal(wsi_profile_on(&stage.endpoint, &stage.pool, WSI_ON_MESSAGE,
                                    (union wsi_handler_fn){.message = replace_itself},
                                    true, &outer, free_user),
                     0);
    stage_feed_masked(&peer, 0x81, "1", 1);
    stage_feed_masked(&peer, 0x81, "2", 1);
    stage_settle(&stage);
    assert_int_equal(outer.calls, 1);
    assert_int_equal(outer.frees, 1);
    assert_int_equal(inner.calls, 1);
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
    assert_int_equal(inner.frees, 1);
}

static void handler_that_is_removed_is_called_no_more(void **state)
{
    struct user a = {0}, never = {0};
    struct wsock_conn *conn;

    (void)state;
    stage_begin(&stage, 1);
    conn = stage_accept_open(&stage, &peer);
    assert_int_equal(set_here(&a), 0);
    /* A pointer that comes without a function has no use: it goes at once. */
    assert_int_equal(wsi_profile_on(&stage.endpoint, &stage.pool, WSI_ON_MESSAGE,
                                    (union wsi_handler_fn){.message = NULL}, false,
                                    &never, free_user),
                     0);
    assert_int_equal(never.frees, 1);
    stage_feed_masked(&peer, 0x81, "1", 1);
    stage_settle(&stage);
    assert_int_equal(a.calls, 0);
    assert_int_equal(a.frees, 1);
    stage_drop(&stage, conn, &peer);
    stage_end(&stage);
}

static void registration_without_memory_changes_nothing(void **state)
{
    struct user a = {0}, b = {0};

    (void)state;
    stage_begin(&stage, 1);
    assert_int_equal(set_here(&a), 0);
    test_fail_allocation(1, 1);
    assert_int_equal(set_here(&b), WSOCK_ENOMEM);
    test_stop_failing();
    stage_settle(&stage);
    assert_int_equal(a.frees, 0);
    assert_int_equal(b.frees, 0); /* its caller keeps it */
    assert_ptr_equal(wsi_profile_handler(&stage.endpoint, WSI_ON_MESSAGE)->user, &a);
    wsi_profile_clear(&stage.endpoint);
    assert_int_equal(a.frees, 1);
    assert_null(wsi_profile_handler(&stage.endpoint, WSI_ON_MESSAGE));
    stage_end(&stage);
    assert_int_equal(a.frees, 1);
}

/* ---- with threads ---- */

static struct wsi_pool pool;
static struct wsi_profile profile;
static struct user users[SWAPS];
static atomic_bool swapping;

struct caller {
    struct wsi_mail mail;
    struct wsi_worker *worker;
};

/* Calls the handler as a connection does, and then again in a later turn. */
static void call(struct wsi_mail *mail)
{
    struct caller *caller = WSI_CONTAINER_OF(mail, struct caller, mail);
    struct wsi_handler *handler = wsi_profile_handler(&profile, WSI_ON_MESSAGE);

    handler->fn.message(NULL, WSOCK_TEXT, NULL, 0, handler->user);
    if (atomic_load(&swapping))
        wsi_worker_post(caller->worker, &caller->mail);
}

static void released(struct wsi_pool *p)
{
    (void)p;
}

static void handler_is_replaced_while_workers_use_it(void **state)
{
    struct caller callers[2];
    int calls = 0;

    (void)state;
    assert_int_equal(wsi_pool_init(&pool, released), 0);
    wsi_options_set_number(&pool.options, "workers", 2, false, NULL, 0);
    assert_int_equal(wsi_pool_start(&pool), 0);
    wsi_profile_init(&profile, WSOCK_SCOPE_CLIENT);
    for (int i = 0; i < SWAPS; i++)
        users[i] = (struct user){0};
    assert_int_equal(set(&profile, &pool, &users[0]), 0);
    atomic_store(&swapping, true);
    for (int i = 0; i < 2; i++) {
        callers[i] = (struct caller){.mail.run = call, .worker = &pool.workers[i]};
        wsi_worker_post(callers[i].worker, &callers[i].mail);
    }
    for (int i = 1; i < SWAPS; i++)
        assert_int_equal(set(&profile, &pool, &users[i]), 0);
    atomic_store(&swapping, false);
    wsi_pool_end(&pool);
    wsi_profile_fini(&profile);
    wsi_pool_fini(&pool);
    for (int i = 0; i < SWAPS; i++) {
        assert_int_equal(users[i].frees, 1);
        calls += users[i].calls;
    }
    assert_true(calls >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replaced_user_goes_after_a_round),
        TEST(handler_may_replace_itself),
        TEST(handler_that_is_removed_is_called_no_more),
        TEST(registration_without_memory_changes_nothing),
        TEST(handler_is_replaced_while_workers_use_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
