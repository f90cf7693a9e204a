/* SPDX-License-Identifier: MIT */
/* The timer wheel against a naive model on a virtual clock. */
#include "test.h"

#include <stdlib.h>

#include "io/timer.h"

/* ---- random operations against a model ---- */

enum { TIMERS = 200, OPERATIONS = 100000 };

struct probe {
    struct wsi_timer timer;
    uint64_t expected_ms; /* UINT64_MAX: not running */
    uint64_t fired;
};

static struct wsi_wheel wheel;
static struct probe probe[TIMERS];
static uint64_t now_ms, last_fired_ms, seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Spread over every level, and beyond the top one. */
static uint64_t random_span(void)
{
    return next_random() & ((1ull << next_random() % 42) - 1);
}

static void probe_start(struct probe *p, uint64_t at_ms)
{
    p->expected_ms = at_ms;
    wsi_timer_start(&wheel, &p->timer, at_ms);
}

static void probe_stop(struct probe *p)
{
    p->expected_ms = UINT64_MAX;
    wsi_timer_stop(&p->timer);
}

static void probe_fired(struct wsi_timer *timer)
{
    struct probe *p = WSI_CONTAINER_OF(timer, struct probe, timer);
    struct probe *other = &probe[next_random() % TIMERS];

    assert_true(p->expected_ms <= now_ms);        /* never early, and not after a stop */
    assert_true(p->expected_ms >= last_fired_ms); /* in order of time */
    assert_false(wsi_timer_is_running(timer));
    last_fired_ms = p->expected_ms;
    p->expected_ms = UINT64_MAX;
    p->fired++;
    switch (next_random() % 4) {
    case 0: /* in the past or the future: not before the next call */
        probe_start(p, now_ms + random_span());
        break;
    case 1: /* perhaps due in this very call */
        probe_stop(other);
        break;
    case 2:
        probe_start(other, now_ms + 1 + random_span());
        break;
    default:
        break;
    }
}

static void check_none_is_overdue(uint64_t started_ms)
{
    uint64_t soonest = UINT64_MAX;

    for (int i = 0; i < TIMERS; i++) {
        const uint64_t expected = probe[i].expected_ms;

        assert_int_equal(wsi_timer_is_running(&probe[i].timer), expected != UINT64_MAX);
        /* What a callback started for "now" waits for the next call. */
        assert_true(expected >= started_ms);
        if (expected < soonest)
            soonest = expected;
    }
    assert_true(wsi_wheel_next_ms(&wheel) <= soonest);
}

static void run_against_model(uint64_t begin_ms)
{
    now_ms = begin_ms;
    wsi_wheel_init(&wheel, now_ms);
    for (int i = 0; i < TIMERS; i++) {
        wsi_timer_init(&probe[i].timer, probe_fired);
        probe[i].expected_ms = UINT64_MAX;
    }
    for (int i = 0; i < OPERATIONS; i++) {
        struct probe *p = &probe[next_random() % TIMERS];

        switch (next_random() % 4) {
        case 0:
        case 1:
            probe_start(p, now_ms + random_span());
            break;
        case 2:
            probe_stop(p);
            break;
        default:
            now_ms += random_span() >> next_random() % 20;
            last_fired_ms = 0;
            wsi_wheel_advance(&wheel, now_ms);
            check_none_is_overdue(now_ms);
            break;
        }
    }
    for (int i = 0; i < TIMERS; i++)
        probe_stop(&probe[i]);
}

static void wheel_agrees_with_a_sorted_list(void **state)
{
    (void)state;
    seed = 88172645463325252ull;
    run_against_model(0);
    run_against_model(123456789);
    run_against_model((1ull << 36) - 1000);
    for (int i = 0; i < TIMERS; i++)
        assert_true(probe[i].fired > 0);
}

/* ---- single rules ---- */

struct count {
    struct wsi_timer timer;
    int fired;
};

static void count_fired(struct wsi_timer *timer)
{
    WSI_CONTAINER_OF(timer, struct count, timer)->fired++;
}

static void timer_is_never_early_at_any_distance(void **state)
{
    (void)state;
    for (uint64_t begin = 0; begin < 200; begin += 7) {
        for (uint64_t span = 1; span < 1ull << 40; span = span * 3 / 2 + 1) {
            struct count c = {0};
            uint64_t steps = 0;

            wsi_wheel_init(&wheel, begin);
            wsi_timer_init(&c.timer, count_fired);
            wsi_timer_start(&wheel, &c.timer, begin + span);
            /* From wake-up to wake-up, as a loop sleeps. */
            while (wsi_wheel_next_ms(&wheel) < begin + span) {
                wsi_wheel_advance(&wheel, wsi_wheel_next_ms(&wheel));
                assert_int_equal(c.fired, 0);
                assert_true(++steps < 80);
            }
            wsi_wheel_advance(&wheel, begin + span - 1);
            assert_int_equal(c.fired, 0);
            wsi_wheel_advance(&wheel, begin + span);
            assert_int_equal(c.fired, 1);
            assert_true(wsi_wheel_next_ms(&wheel) == UINT64_MAX);
        }
    }
}

static void large_jump_runs_everything_once(void **state)
{
    static struct count c[TIMERS];

    (void)state;
    wsi_wheel_init(&wheel, 5);
    for (int i = 0; i < TIMERS; i++) {
        wsi_timer_init(&c[i].timer, count_fired);
        wsi_timer_start(&wheel, &c[i].timer, 5 + (uint64_t)i * (uint64_t)i * 1000003);
    }
    wsi_wheel_advance(&wheel, 1ull << 41);
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(c[i].fired, 1);
}

static void timer_started_for_the_past_runs_in_the_next_call(void **state)
{
    struct count c = {0};

    (void)state;
    wsi_wheel_init(&wheel, 1000);
    wsi_timer_init(&c.timer, count_fired);
    wsi_timer_start(&wheel, &c.timer, 3);
    assert_true(wsi_wheel_next_ms(&wheel) <= 1000);
    wsi_wheel_advance(&wheel, 1000);
    assert_int_equal(c.fired, 1);
    wsi_wheel_advance(&wheel, 1000);
    assert_int_equal(c.fired, 1);
}

static void timer_that_never_comes_does_not_run(void **state)
{
    struct count c = {0};

    (void)state;
    wsi_wheel_init(&wheel, 1000);
    wsi_timer_init(&c.timer, count_fired);
    wsi_timer_start(&wheel, &c.timer, UINT64_MAX);
    wsi_wheel_advance(&wheel, 1ull << 50);
    assert_int_equal(c.fired, 0);
    wsi_timer_stop(&c.timer);
    assert_false(wsi_timer_is_running(&c.timer));
    wsi_timer_stop(&c.timer);
}

static void clock_that_goes_back_does_no_harm(void **state)
{
    struct count c = {0};

    (void)state;
    wsi_wheel_init(&wheel, 1000);
    wsi_timer_init(&c.timer, count_fired);
    wsi_timer_start(&wheel, &c.timer, 1010);
    wsi_wheel_advance(&wheel, 900);
    assert_int_equal(c.fired, 0);
    wsi_wheel_advance(&wheel, 1010);
    assert_int_equal(c.fired, 1);
}

static void free_own(struct wsi_timer *timer)
{
    test_free(WSI_CONTAINER_OF(timer, struct count, timer));
}

static void callback_may_free_its_own_timer(void **state)
{
    (void)state;
    wsi_wheel_init(&wheel, 0);
    for (int i = 0; i < 3; i++) {
        struct count *c = test_malloc(sizeof *c);

        wsi_timer_init(&c->timer, free_own);
        wsi_timer_start(&wheel, &c->timer, 7);
    }
    wsi_wheel_advance(&wheel, 7);
}

static struct count victim;

static void stop_victim(struct wsi_timer *timer)
{
    (void)timer;
    wsi_timer_stop(&victim.timer);
}

static void callback_may_stop_one_that_is_due_too(void **state)
{
    struct count first = {0};

    (void)state;
    victim.fired = 0;
    wsi_wheel_init(&wheel, 0);
    wsi_timer_init(&first.timer, stop_victim);
    wsi_timer_init(&victim.timer, count_fired);
    wsi_timer_start(&wheel, &first.timer, 7);
    wsi_timer_start(&wheel, &victim.timer, 7);
    wsi_wheel_advance(&wheel, 7);
    assert_int_equal(victim.fired, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wheel_agrees_with_a_sorted_list),
        TEST(timer_is_never_early_at_any_distance),
        TEST(large_jump_runs_everything_once),
        TEST(timer_started_for_the_past_runs_in_the_next_call),
        TEST(timer_that_never_comes_does_not_run),
        TEST(clock_that_goes_back_does_no_harm),
        TEST(callback_may_free_its_own_timer),
        TEST(callback_may_stop_one_that_is_due_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
