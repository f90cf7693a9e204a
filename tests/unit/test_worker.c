/* SPDX-License-Identifier: MIT */
/* Workers with their threads: starting, ending, mail at any time, rounds. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/worker.h"

enum { WORKERS = 3, POSTERS = 4, LETTERS = 500 };

static struct wsi_pool pool;

static void released(struct wsi_pool *p)
{
    (void)p;
}

static void make(int workers)
{
    assert_int_equal(wsi_pool_init(&pool, released), 0);
    assert_int_equal(
        wsi_options_set_number(&pool.options, "workers", workers, false, NULL, 0), 0);
}

static void make_and_start(int workers)
{
    make(workers);
    assert_int_equal(wsi_pool_start(&pool), 0);
    assert_int_equal(pool.count, workers);
}

static void end(void)
{
    wsi_pool_end(&pool);
    wsi_pool_fini(&pool);
}

/* The linker sends pthread_create() here (meson.build). */
int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*start)(void *), void *user);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*start)(void *), void *user);

static int threads_left = INT_MAX;
static atomic_int threads_running;

struct thread {
    void *(*start)(void *);
    void *user;
};

static void *run_thread(void *user)
{
    const struct thread thread = *(struct thread *)user;
    void *result;

    free(user);
    result = thread.start(thread.user);
    atomic_fetch_sub(&threads_running, 1);
    return result;
}

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*start)(void *), void *user)
{
    struct thread *thread = malloc(sizeof *thread);

    if (threads_left == 0 || thread == NULL) {
        free(thread);
        return EAGAIN;
    }
    threads_left--;
    atomic_fetch_add(&threads_running, 1);
    *thread = (struct thread){start, user};
    return __real_pthread_create(out, attr, run_thread, thread);
}

/* ---- starting and ending ---- */

static void pool_that_never_started_just_goes(void **state)
{
    (void)state;
    make(WORKERS);
    wsi_pool_fini(&pool);
    make(WORKERS);
    wsi_pool_end(&pool);
    assert_int_equal(wsi_pool_start(&pool), WSOCK_ECLOSED);
    assert_int_equal(wsi_pool_hold(&pool), WSOCK_ECLOSED);
    wsi_pool_fini(&pool);
}

static void starting_twice_is_starting_once(void **state)
{
    struct wsi_worker *workers;

    (void)state;
    make_and_start(WORKERS);
    workers = pool.workers;
    assert_int_equal(wsi_pool_start(&pool), 0);
    assert_ptr_equal(pool.workers, workers);
    wsi_pool_end(&pool);
    assert_int_equal(wsi_pool_start(&pool), WSOCK_ECLOSED);
    wsi_pool_fini(&pool);
}

static void pool_that_stops_takes_nothing_new(void **state)
{
    (void)state;
    make_and_start(1);
    assert_int_equal(wsi_pool_hold(&pool), 0);
    atomic_store(&pool.stopping, true);
    assert_int_equal(wsi_pool_hold(&pool), WSOCK_ECLOSED);
    assert_int_equal(wsi_pool_start(&pool), WSOCK_ECLOSED);
    wsi_pool_release(&pool);
    end();
}

static void start_without_memory_leaves_nothing(void **state)
{
    int r = 0;

    (void)state;
    make(2);
    FOR_EACH_OOM(r, r = wsi_pool_start(&pool), {
        wsi_pool_end(&pool);
        wsi_pool_fini(&pool);
        make(2);
    });
    wsi_pool_fini(&pool);
}

/* The limit that leaves room for so many more. */
static rlim_t limit_for(int more)
{
    rlim_t limit = 0;

    while (more > 0)
        if (fcntl((int)limit++, F_GETFD) < 0)
            more--;
    return limit;
}

static void start_without_descriptors_leaves_nothing(void **state)
{
    struct rlimit before, few;
    int r;

    (void)state;
    make(2);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    /* The first worker gets its two, the second only one. */
    few = (struct rlimit){.rlim_cur = limit_for(3), .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    r = wsi_pool_start(&pool);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, WSOCK_EMFILE);
    assert_int_equal(wsi_pool_start(&pool), 0); /* may be tried again */
    end();
}

static void start_without_threads_ends_those_it_got(void **state)
{
    (void)state;
    make(WORKERS);
    for (int got = 0; got < WORKERS; got++) {
        const size_t live = test_live_blocks();

        threads_left = got;
        assert_int_equal(wsi_pool_start(&pool), WSOCK_ESYSTEM);
        assert_int_equal(test_live_blocks(), live);
        assert_int_equal(atomic_load(&threads_running), 0);
        assert_int_equal(wsi_pool_count(&pool), 0);
    }
    threads_left = INT_MAX;
    assert_int_equal(wsi_pool_start(&pool), 0); /* may be tried again */
    end();
}

static void connections_are_spread_evenly(void **state)
{
    unsigned got[WORKERS] = {0};

    (void)state;
    make_and_start(WORKERS);
    for (int i = 0; i < 4 * WORKERS; i++)
        got[wsi_pool_pick(&pool)->index]++;
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(got[i], 4);
    end();
}

/* ---- mail ---- */

struct letter {
    struct wsi_mail mail;
    struct wsi_worker *ran_on;
    pthread_t ran_in;
    int runs;
    sem_t *done; /* nullable */
};

static void run_letter(struct wsi_mail *mail)
{
    struct letter *letter = WSI_CONTAINER_OF(mail, struct letter, mail);

    letter->ran_on = wsi_worker_current;
    letter->ran_in = pthread_self();
    letter->runs++;
    if (letter->done != NULL)
        sem_post(letter->done);
}

static void mail_runs_on_the_worker(void **state)
{
    struct letter letter = {.mail.run = run_letter};
    sem_t done;

    (void)state;
    sem_init(&done, 0, 0);
    letter.done = &done;
    make_and_start(2);
    assert_false(wsi_pool_is_here(&pool));
    wsi_worker_post(&pool.workers[1], &letter.mail);
    assert_int_equal(sem_wait(&done), 0);
    assert_ptr_equal(letter.ran_on, &pool.workers[1]);
    assert_false(pthread_equal(letter.ran_in, pthread_self()));
    end();
    sem_destroy(&done);
}

static void mail_that_waits_at_the_end_is_run(void **state)
{
    static struct letter letters[LETTERS];

    (void)state;
    make_and_start(1);
    for (int i = 0; i < LETTERS; i++) {
        letters[i] = (struct letter){.mail.run = run_letter};
        wsi_worker_post(&pool.workers[0], &letters[i].mail);
    }
    wsi_pool_end(&pool);
    for (int i = 0; i < LETTERS; i++)
        assert_int_equal(letters[i].runs, 1);
    wsi_pool_fini(&pool);
}

static void mail_after_the_end_runs_here_at_once(void **state)
{
    struct letter letter = {.mail.run = run_letter};

    (void)state;
    make_and_start(2);
    wsi_pool_end(&pool);
    wsi_worker_post(&pool.workers[1], &letter.mail);
    assert_int_equal(letter.runs, 1);
    assert_ptr_equal(letter.ran_on, &pool.workers[1]); /* as if on the worker */
    assert_true(pthread_equal(letter.ran_in, pthread_self()));
    assert_null(wsi_worker_current);
    wsi_pool_fini(&pool);
}

static struct letter chain[2];

static void run_first_of_chain(struct wsi_mail *mail)
{
    run_letter(mail);
    wsi_worker_post(&pool.workers[0], &chain[1].mail);
}

static void mail_after_the_end_may_post_more(void **state)
{
    (void)state;
    make_and_start(1);
    wsi_pool_end(&pool);
    chain[0] = (struct letter){.mail.run = run_first_of_chain};
    chain[1] = (struct letter){.mail.run = run_letter};
    wsi_worker_post(&pool.workers[0], &chain[0].mail);
    wsi_pool_fini(&pool);
    assert_int_equal(chain[0].runs, 1);
    assert_int_equal(chain[1].runs, 1);
}

static struct letter many[POSTERS][LETTERS];

static void *post_many(void *user)
{
    struct letter *mine = user;

    for (int i = 0; i < LETTERS; i++)
        wsi_worker_post(&pool.workers[i % 2], &mine[i].mail);
    return NULL;
}

static void mail_that_races_with_the_end_is_run_once(void **state)
{
    pthread_t poster[POSTERS];

    (void)state;
    for (int round = 0; round < 10; round++) {
        make_and_start(2);
        for (int t = 0; t < POSTERS; t++) {
            for (int i = 0; i < LETTERS; i++)
                many[t][i] = (struct letter){.mail.run = run_letter};
            assert_int_equal(pthread_create(&poster[t], NULL, post_many, many[t]), 0);
        }
        wsi_pool_end(&pool);
        for (int t = 0; t < POSTERS; t++)
            pthread_join(poster[t], NULL);
        for (int t = 0; t < POSTERS; t++)
            for (int i = 0; i < LETTERS; i++)
                assert_int_equal(many[t][i].runs, 1);
        wsi_pool_fini(&pool);
    }
}

/* ---- rounds ---- */

struct tour {
    struct wsi_round round;
    struct wsi_worker *visited[WORKERS];
    struct wsi_worker *current[WORKERS];
    atomic_int visits;
    int dones;
    sem_t done;
};

static void visit(struct wsi_round *round, struct wsi_worker *worker)
{
    struct tour *tour = WSI_CONTAINER_OF(round, struct tour, round);

    /* Workers are visited at the same time, each once. */
    tour->visited[worker->index] = worker;
    tour->current[worker->index] = wsi_worker_current;
    atomic_fetch_add(&tour->visits, 1);
}

static void arrived(struct wsi_round *round)
{
    struct tour *tour = WSI_CONTAINER_OF(round, struct tour, round);

    tour->dones++;
    sem_post(&tour->done);
}

static void tour_init(struct tour *tour)
{
    memset(tour, 0, sizeof *tour);
    tour->round.visit = visit;
    tour->round.done = arrived;
    sem_init(&tour->done, 0, 0);
}

static void assert_toured(const struct tour *tour)
{
    assert_int_equal(tour->dones, 1);
    assert_int_equal(tour->visits, WORKERS);
    for (int i = 0; i < WORKERS; i++) {
        assert_ptr_equal(tour->visited[i], &pool.workers[i]);
        assert_ptr_equal(tour->current[i], &pool.workers[i]);
    }
}

static void round_visits_every_worker_on_its_thread(void **state)
{
    struct tour tour;

    (void)state;
    tour_init(&tour);
    make_and_start(WORKERS);
    wsi_pool_round(&pool, &tour.round);
    assert_int_equal(sem_wait(&tour.done), 0);
    assert_toured(&tour);
    end();
    sem_destroy(&tour.done);
}

static void round_without_memory_goes_from_worker_to_worker(void **state)
{
    struct tour tour;

    (void)state;
    tour_init(&tour);
    make_and_start(WORKERS);
    test_fail_allocation(1, 0);
    wsi_pool_round(&pool, &tour.round);
    assert_int_equal(test_stop_failing(), 1);
    assert_int_equal(sem_wait(&tour.done), 0);
    assert_toured(&tour);
    end();
    sem_destroy(&tour.done);
}

static void round_without_threads_is_done_at_once(void **state)
{
    struct tour tour;

    (void)state;
    tour_init(&tour);
    make(WORKERS);
    wsi_pool_round(&pool, &tour.round);
    assert_int_equal(tour.visits, 0);
    assert_int_equal(tour.dones, 1);
    wsi_pool_end(&pool);
    wsi_pool_round(&pool, &tour.round);
    assert_int_equal(tour.dones, 2);
    wsi_pool_fini(&pool);
    sem_destroy(&tour.done);
}

static void round_after_the_end_is_run_here(void **state)
{
    struct tour tour;

    (void)state;
    tour_init(&tour);
    make_and_start(WORKERS);
    wsi_pool_end(&pool);
    wsi_pool_round(&pool, &tour.round);
    assert_toured(&tour);
    wsi_pool_fini(&pool);
    sem_destroy(&tour.done);
}

static void round_that_races_with_the_end_is_finished(void **state)
{
    struct tour tours[8];

    (void)state;
    make_and_start(WORKERS);
    for (int i = 0; i < 8; i++) {
        tour_init(&tours[i]);
        wsi_pool_round(&pool, &tours[i].round);
    }
    wsi_pool_end(&pool);
    for (int i = 0; i < 8; i++) {
        assert_toured(&tours[i]);
        sem_destroy(&tours[i].done);
    }
    wsi_pool_fini(&pool);
}

/* To be woken for each connection that ends would cost a server much of its time. */
static void who_waits_is_woken_for_the_last_that_ends(void **state)
{
    struct wsi_waiter waiter = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    uint64_t count;

    (void)state;
    make(1);
    wsi_list_append(&pool.waiters, &waiter.node);
    assert_int_equal(wsi_pool_hold(&pool), 0);
    assert_int_equal(wsi_pool_hold(&pool), 0);
    wsi_pool_release(&pool);
    assert_int_equal(read(waiter.fd, &count, sizeof count), -1);
    wsi_pool_release(&pool);
    assert_int_equal(read(waiter.fd, &count, sizeof count), sizeof count);
    wsi_list_remove(&waiter.node);
    close(waiter.fd);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pool_that_never_started_just_goes),
        TEST(starting_twice_is_starting_once),
        TEST(pool_that_stops_takes_nothing_new),
        TEST(start_without_memory_leaves_nothing),
        TEST(start_without_descriptors_leaves_nothing),
        TEST(start_without_threads_ends_those_it_got),
        TEST(connections_are_spread_evenly),
        TEST(mail_runs_on_the_worker),
        TEST(mail_that_waits_at_the_end_is_run),
        TEST(mail_after_the_end_runs_here_at_once),
        TEST(mail_after_the_end_may_post_more),
        TEST(mail_that_races_with_the_end_is_run_once),
        TEST(round_visits_every_worker_on_its_thread),
        TEST(round_without_memory_goes_from_worker_to_worker),
        TEST(round_without_threads_is_done_at_once),
        TEST(round_after_the_end_is_run_here),
        TEST(round_that_races_with_the_end_is_finished),
        TEST(who_waits_is_woken_for_the_last_that_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
