/* SPDX-License-Identifier: MIT */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/log.h"

/* The user pointer of a hook that remembers. */
struct record {
    atomic_int calls, frees;
    int level;
    char subject[32];
    char text[600];
};

static void remember(int level, const char *subject, const char *text, void *user)
{
    struct record *record = user;

    atomic_fetch_add(&record->calls, 1);
    record->level = level;
    snprintf(record->subject, sizeof record->subject, "%s", subject);
    snprintf(record->text, sizeof record->text, "%s", text);
}

static void count_free(void *user)
{
    atomic_fetch_add(&((struct record *)user)->frees, 1);
}

static void a_line_reaches_the_hook(void **state)
{
    struct record record = {0};
    struct wsi_log log;

    (void)state;
    wsi_log_init(&log, 2);
    assert_int_equal(wsi_log_set_hook(&log, remember, &record, count_free), 0);
    wsi_log(&log, WSOCK_LOG_WARN, "conn 17", "%s is %d", "x", 5);
    assert_int_equal(record.calls, 1);
    assert_int_equal(record.level, WSOCK_LOG_WARN);
    assert_string_equal(record.subject, "conn 17");
    assert_string_equal(record.text, "x is 5");
    assert_int_equal(record.frees, 0);
    wsi_log_fini(&log);
    assert_int_equal(record.frees, 1);
}

static void the_level_decides_what_is_formatted(void **state)
{
    struct record record = {0};
    struct wsi_log log;

    (void)state;
    wsi_log_init(&log, 2);
    wsi_log(&log, WSOCK_LOG_ERROR, "s", "nobody listens");
    wsi_log(NULL, WSOCK_LOG_ERROR, "s", "no log");
    assert_false(wsi_log_wants(&log, WSOCK_LOG_ERROR));
    assert_int_equal(wsi_log_set_hook(&log, remember, &record, NULL), 0);
    wsi_log(&log, WSOCK_LOG_INFO, "s", "too much");
    assert_int_equal(record.calls, 0);
    wsi_log_set_level(&log, 3);
    wsi_log(&log, WSOCK_LOG_INFO, "s", "wanted");
    assert_int_equal(record.calls, 1);
    wsi_log_set_level(&log, 0);
    wsi_log(&log, WSOCK_LOG_ERROR, "s", "silent");
    assert_int_equal(record.calls, 1);
    wsi_log_set_level(&log, 4);
    assert_int_equal(wsi_log_set_hook(&log, NULL, NULL, NULL), 0);
    assert_false(wsi_log_wants(&log, WSOCK_LOG_ERROR));
    wsi_log(&log, WSOCK_LOG_ERROR, "s", "gone");
    assert_int_equal(record.calls, 1);
    wsi_log_fini(&log);
}

static void one_call_is_one_line(void **state)
{
    struct record record = {0};
    struct wsi_log log;
    char longer[700];

    (void)state;
    wsi_log_init(&log, 4);
    assert_int_equal(wsi_log_set_hook(&log, remember, &record, NULL), 0);
    wsi_log(&log, 1, "s", "a\r\nb\tc%cd\x1b[31m \xC3\xA9\x7F", 0x01);
    assert_string_equal(record.text, "a??b?c?d?[31m \xC3\xA9?");
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    wsi_log(&log, 1, "s", "%s", longer);
    assert_int_equal(strlen(record.text), 511);
    wsi_log_fini(&log);
}

static void a_former_user_is_freed_once(void **state)
{
    struct record a = {0}, b = {0}, unused = {0};
    struct wsi_log log;
    int r = 0;

    (void)state;
    wsi_log_init(&log, 4);
    assert_int_equal(wsi_log_set_hook(&log, remember, &a, count_free), 0);
    test_fail_allocation(1, 1);
    assert_int_equal(wsi_log_set_hook(&log, remember, &b, count_free), WSOCK_ENOMEM);
    test_stop_failing();
    assert_int_equal(a.frees + b.frees, 0);
    wsi_log(&log, 1, "s", "still a");
    assert_int_equal(a.calls, 1);
    assert_int_equal(wsi_log_set_hook(&log, remember, &b, count_free), 0);
    assert_int_equal(a.frees, 1);
    assert_int_equal(wsi_log_set_hook(&log, NULL, &unused, count_free), 0);
    assert_int_equal(b.frees, 1);
    assert_int_equal(unused.frees, 1);
    FOR_EACH_OOM(r, r = wsi_log_set_hook(&log, remember, &a, NULL),
                 wsi_log_set_hook(&log, NULL, NULL, NULL));
    wsi_log_fini(&log);
    assert_int_equal(a.frees, 1);
    assert_int_equal(b.frees, 1);
}

/* A hook that replaces itself and logs. */
struct inner {
    struct wsi_log *log;
    struct record *record;
    int freed;
};

static void inner_freed(void *user)
{
    ((struct inner *)user)->freed++;
}

static void replace_itself(int level, const char *subject, const char *text, void *user)
{
    struct inner *inner = user;

    (void)text;
    assert_int_equal(wsi_log_set_hook(inner->log, remember, inner->record, NULL), 0);
    assert_int_equal(inner->freed, 0); /* it still runs */
    wsi_log(inner->log, level, subject, "from within");
    assert_int_equal(inner->freed, 0);
}

static void a_hook_may_replace_itself(void **state)
{
    struct record record = {0};
    struct wsi_log log;
    struct inner inner = {.log = &log, .record = &record};

    (void)state;
    wsi_log_init(&log, 4);
    assert_int_equal(wsi_log_set_hook(&log, replace_itself, &inner, inner_freed), 0);
    wsi_log(&log, 1, "s", "first");
    assert_int_equal(inner.freed, 1);
    assert_string_equal(record.text, "from within");
    wsi_log_fini(&log);
}

enum { LOGGERS = 3, LINES = 2000, CHANGES = 300 };

static atomic_int alive, lines;

/* What each use checks: it is never called after its free. */
struct guarded {
    atomic_int freed;
};

static void guarded_line(int level, const char *subject, const char *text, void *user)
{
    (void)level;
    (void)subject;
    (void)text;
    assert_int_equal(atomic_load(&((struct guarded *)user)->freed), 0);
    atomic_fetch_add(&lines, 1);
}

static void guarded_free(void *user)
{
    assert_int_equal(atomic_fetch_add(&((struct guarded *)user)->freed, 1), 0);
    atomic_fetch_sub(&alive, 1);
}

static void *keep_logging(void *user)
{
    for (int i = 0; i < LINES; i++)
        wsi_log(user, WSOCK_LOG_ERROR, "thread", "line %d", i);
    return NULL;
}

static void hooks_change_while_threads_log(void **state)
{
    static struct guarded users[CHANGES];
    pthread_t threads[LOGGERS];
    struct wsi_log log;

    (void)state;
    wsi_log_init(&log, 4);
    for (int i = 0; i < LOGGERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_logging, &log), 0);
    for (int i = 0; i < CHANGES; i++) {
        atomic_fetch_add(&alive, 1);
        assert_int_equal(wsi_log_set_hook(&log, guarded_line, &users[i], guarded_free),
                         0);
        wsi_log_set_level(&log, 1 + i % 4);
    }
    for (int i = 0; i < LOGGERS; i++)
        pthread_join(threads[i], NULL);
    wsi_log(&log, WSOCK_LOG_ERROR, "s", "one for sure");
    assert_true(atomic_load(&lines) > 0);
    assert_int_equal(atomic_load(&alive), 1);
    wsi_log_fini(&log);
    assert_int_equal(atomic_load(&alive), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_reaches_the_hook),   TEST(the_level_decides_what_is_formatted),
        TEST(one_call_is_one_line),      TEST(a_former_user_is_freed_once),
        TEST(a_hook_may_replace_itself), TEST(hooks_change_while_threads_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
