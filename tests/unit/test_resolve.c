/* SPDX-License-Identifier: MIT */
/* The resolver, with lookups that block for as long as a test likes. */
#include "test.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <wsock/error.h>

#include "io/resolve.h"

/* ---- a lookup that waits to be let go ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int entered, tokens, running, most_running;
static bool signals_blocked;

static int gated_lookup(const char *host, uint16_t port, struct wsi_address *out,
                        size_t max, size_t *count)
{
    sigset_t mask;

    assert_true(max >= 2);
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    pthread_mutex_lock(&lock);
    signals_blocked = sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGUSR1) == 1;
    entered++;
    if (++running > most_running)
        most_running = running;
    pthread_cond_broadcast(&changed);
    while (tokens == 0)
        pthread_cond_wait(&changed, &lock);
    tokens--;
    running--;
    pthread_mutex_unlock(&lock);
    if (strcmp(host, "missing") == 0)
        return EAI_NONAME;
    assert_true(wsi_address_numeric(&out[0], "192.0.2.1", port));
    assert_true(wsi_address_numeric(&out[1], "192.0.2.2", port));
    *count = 2;
    return 0;
}

static void wait_for_entered(int count)
{
    pthread_mutex_lock(&lock);
    while (entered < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void let_go(int count)
{
    pthread_mutex_lock(&lock);
    tokens += count;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

struct answer {
    int calls, error;
    size_t count;
    char first[WSI_ADDRESS_TEXT_MAX], why[128];
};

static void on_answer(void *user, const struct wsi_address *addresses, size_t count,
                      int error, const char *why)
{
    struct answer *answer = user;

    answer->calls++;
    answer->count = count;
    answer->error = error;
    strcpy(answer->why, why);
    if (count > 0)
        wsi_address_text(&addresses[0], answer->first);
}

static struct wsi_loop *loop;

static void begin(void)
{
    const struct wsi_loop_config config = {0};

    entered = tokens = running = most_running = 0;
    wsi_resolve_set_lookup(gated_lookup);
    assert_int_equal(wsi_loop_new(&loop, &config), 0);
}

static void finish(void)
{
    wsi_loop_free(loop);
    wsi_resolve_quiesce();
    wsi_resolve_set_lookup(NULL);
}

static void turn_until_answered(struct answer *answer)
{
    while (answer->calls == 0)
        wsi_loop_turn(loop, -1);
    assert_int_equal(answer->calls, 1);
}

static void answer_comes_on_the_loop(void **state)
{
    struct answer answer = {0};
    struct wsi_resolve *job;

    (void)state;
    begin();
    assert_int_equal(wsi_resolve_start(&job, loop, "some.host", 81, on_answer, &answer),
                     0);
    wait_for_entered(1);
    wsi_loop_turn(loop, 0);
    assert_int_equal(answer.calls, 0);
    let_go(1);
    turn_until_answered(&answer);
    assert_int_equal(answer.error, 0);
    assert_int_equal(answer.count, 2);
    assert_string_equal(answer.first, "192.0.2.1:81");
    assert_true(signals_blocked);
    finish();
}

static void failure_has_a_code_and_a_text(void **state)
{
    struct answer answer = {0};
    struct wsi_resolve *job;

    (void)state;
    begin();
    let_go(1);
    assert_int_equal(wsi_resolve_start(&job, loop, "missing", 81, on_answer, &answer), 0);
    turn_until_answered(&answer);
    assert_int_equal(answer.error, EAI_NONAME);
    assert_int_equal(answer.count, 0);
    assert_string_equal(answer.why, gai_strerror(EAI_NONAME));
    finish();
}

static void cancelled_job_outlives_its_loop_unheard(void **state)
{
    struct answer answer = {0};
    struct wsi_resolve *job;

    (void)state;
    begin();
    assert_int_equal(wsi_resolve_start(&job, loop, "some.host", 81, on_answer, &answer),
                     0);
    wait_for_entered(1);
    wsi_resolve_cancel(job);
    wsi_loop_free(loop);
    loop = NULL;
    let_go(1);
    wsi_resolve_quiesce();
    assert_int_equal(answer.calls, 0);
    finish();
}

static void job_cancelled_after_the_lookup_is_unheard(void **state)
{
    struct answer first = {0}, second = {0};
    struct wsi_resolve *job, *later;

    (void)state;
    begin();
    let_go(2);
    assert_int_equal(wsi_resolve_start(&job, loop, "some.host", 81, on_answer, &first),
                     0);
    wsi_resolve_quiesce(); /* the answer is in the mailbox now */
    wsi_resolve_cancel(job);
    assert_int_equal(wsi_resolve_start(&later, loop, "some.host", 81, on_answer, &second),
                     0);
    turn_until_answered(&second);
    assert_int_equal(first.calls, 0);
    finish();
}

static void jobs_beyond_the_pool_wait_their_turn(void **state)
{
    struct answer answer[8] = {0};
    struct wsi_resolve *job[8];

    (void)state;
    begin();
    for (int i = 0; i < 8; i++)
        assert_int_equal(
            wsi_resolve_start(&job[i], loop, "some.host", 81, on_answer, &answer[i]), 0);
    wait_for_entered(4);        /* as many threads as jobs, up to the limit */
    wsi_resolve_cancel(job[7]); /* was never begun */
    let_go(7);
    for (int i = 0; i < 7; i++)
        turn_until_answered(&answer[i]);
    assert_int_equal(most_running, 4);
    assert_int_equal(entered, 7);
    assert_int_equal(answer[7].calls, 0);
    finish();
}

static void one_idle_thread_does_not_serve_two_jobs(void **state)
{
    struct answer answer[3] = {0};
    struct wsi_resolve *job[3];

    (void)state;
    begin();
    let_go(1);
    assert_int_equal(
        wsi_resolve_start(&job[0], loop, "some.host", 81, on_answer, &answer[0]), 0);
    turn_until_answered(&answer[0]);
    for (int i = 1; i < 3; i++)
        assert_int_equal(
            wsi_resolve_start(&job[i], loop, "some.host", 81, on_answer, &answer[i]), 0);
    wait_for_entered(3); /* both at once, though neither has been let go */
    let_go(2);
    for (int i = 1; i < 3; i++)
        turn_until_answered(&answer[i]);
    finish();
}

static void numeric_host_resolves_without_a_network(void **state)
{
    struct answer answer = {0};
    struct wsi_resolve *job;

    (void)state;
    begin();
    wsi_resolve_set_lookup(NULL);
    assert_int_equal(wsi_resolve_start(&job, loop, "::1", 81, on_answer, &answer), 0);
    turn_until_answered(&answer);
    assert_string_equal(answer.first, "[::1]:81");
    finish();
}

static void start_reports_a_failed_allocation(void **state)
{
    struct answer answer = {0};
    struct wsi_resolve *job;
    int r = 0;

    (void)state;
    begin();
    let_go(8);
    FOR_EACH_OOM(r, r = wsi_resolve_start(&job, loop, "h", 1, on_answer, &answer), {
        answer.calls = 0;
        turn_until_answered(&answer);
    });
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answer_comes_on_the_loop),
        TEST(failure_has_a_code_and_a_text),
        TEST(cancelled_job_outlives_its_loop_unheard),
        TEST(job_cancelled_after_the_lookup_is_unheard),
        TEST(jobs_beyond_the_pool_wait_their_turn),
        TEST(one_idle_thread_does_not_serve_two_jobs),
        TEST(numeric_host_resolves_without_a_network),
        TEST(start_reports_a_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
