/* SPDX-License-Identifier: MIT */
/*
 * The turn of a loop and the way to wake it.
 *
 * Sleeping: the loop says that it sleeps and only then looks into the mailbox; who posts
 * fills the mailbox and only then looks whether the loop sleeps. All four accesses are
 * sequentially consistent, so at least one side sees the other. The first to find the
 * loop asleep clears the flag and alone makes the system call that wakes it.
 */
#include "io/loop.h"

#include <assert.h>
#include <limits.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "io/loop_internal.h"

static void read_clock(struct wsi_loop *loop)
{
    loop->now_us = wsi_clock_us(loop->clock);
    loop->now_ms = loop->now_us / 1000;
}

int wsi_loop_new(struct wsi_loop **out, const struct wsi_loop_config *config)
{
    struct wsi_loop *loop = wsi_zalloc(sizeof *loop);
    int r = WSOCK_ENOMEM;

    if (loop == NULL)
        return r;
    loop->backend = config->backend != NULL ? config->backend : &wsi_backend_epoll;
    loop->clock = config->clock != NULL ? config->clock : &wsi_clock_system;
    wsi_mailbox_init(&loop->mailbox);
    atomic_init(&loop->asleep, false);
    wsi_stream_list_init(&loop->dirty);
    wsi_stream_list_init(&loop->pending);
    read_clock(loop);
    wsi_wheel_init(&loop->wheel, loop->now_ms);
    wsi_filter_init_loop(loop);
    loop->decoded = wsi_alloc(WSI_FILTER_HELD_MAX + WSI_RECEIVE_SIZE);
    loop->arena = wsi_alloc(WSI_ARENA_SIZE);
    if (loop->decoded == NULL || loop->arena == NULL)
        goto fail;
    loop->receive = loop->decoded + WSI_FILTER_HELD_MAX;
    r = loop->backend->init(loop, &loop->backend_state);
    if (r < 0)
        goto fail;
    *out = loop;
    return 0;

fail:
    wsi_loop_free(loop);
    return r;
}

static void run_mail(struct wsi_loop *loop)
{
    struct wsi_mail *mail = wsi_mailbox_take(&loop->mailbox);

    while (mail != NULL) {
        struct wsi_mail *next = mail->next;

        mail->run(mail);
        mail = next;
    }
}

void wsi_loop_free(struct wsi_loop *loop)
{
    if (loop == NULL)
        return;
    assert(!loop->in_turn);
    while (!wsi_mailbox_is_empty(&loop->mailbox))
        run_mail(loop);
    assert(loop->attached == 0);
    if (loop->backend_state != NULL)
        loop->backend->fini(loop, loop->backend_state);
    wsi_arena_free_spare(loop);
    wsi_free(loop->arena);
    wsi_free(loop->decoded);
    wsi_buf_fini(&loop->sealed);
    wsi_buf_fini(&loop->ahead);
    wsi_free(loop->record);
    wsi_free(loop->stage);
    wsi_free(loop);
}

/* How long to wait at most for sockets; negative: for ever. */
static int wait_limit(struct wsi_loop *loop, int64_t max_wait_ms)
{
    const uint64_t next = wsi_wheel_next_ms(&loop->wheel);
    int64_t limit = max_wait_ms;

    if (limit == 0 || loop->dirty.first != NULL || !wsi_mailbox_is_empty(&loop->mailbox))
        return 0;
    if (next != UINT64_MAX) {
        uint64_t left;

        /* The last turn took its time, too. */
        read_clock(loop);
        left = next > loop->now_ms ? next - loop->now_ms : 0;
        if (limit < 0 || left < (uint64_t)limit)
            limit = left < INT_MAX ? (int64_t)left : INT_MAX;
    }
    if (limit < 0)
        return -1;
    return limit < INT_MAX ? (int)limit : INT_MAX;
}

void wsi_loop_woke(struct wsi_loop *loop)
{
    loop->handshakes = 0;
    /* Relaxed: who still reads true wakes once more than needed. */
    atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
    read_clock(loop);
}

void wsi_loop_turn(struct wsi_loop *loop, int64_t max_wait_ms)
{
    int limit = wait_limit(loop, max_wait_ms);

    assert(!loop->in_turn);
    loop->in_turn = true;
    if (limit != 0) {
        atomic_store_explicit(&loop->asleep, true, memory_order_seq_cst);
        if (!wsi_mailbox_is_empty(&loop->mailbox))
            limit = 0;
    }
    loop->backend->wait(loop->backend_state, limit);
    if (loop->staged > 0)
        wsi_filter_deliver_staged(loop);
    if (loop->now_ms >= wsi_wheel_next_ms(&loop->wheel))
        wsi_wheel_advance(&loop->wheel, loop->now_ms);
    if (!wsi_mailbox_is_empty(&loop->mailbox))
        run_mail(loop);
    if (loop->dirty.first != NULL)
        wsi_loop_finish_streams(loop);
    loop->in_turn = false;
}

void wsi_loop_post(struct wsi_loop *loop, struct wsi_mail *mail)
{
    /* Who found the box full leaves the waking to who found it empty. */
    if (wsi_mailbox_post(&loop->mailbox, mail) &&
        atomic_load_explicit(&loop->asleep, memory_order_seq_cst) &&
        atomic_exchange_explicit(&loop->asleep, false, memory_order_seq_cst))
        loop->backend->wake(loop->backend_state);
}

bool wsi_loop_has_mail(struct wsi_loop *loop)
{
    return !wsi_mailbox_is_empty(&loop->mailbox);
}

const uint64_t *wsi_loop_now(const struct wsi_loop *loop)
{
    return &loop->now_ms;
}

uint64_t wsi_loop_clock_us(const struct wsi_loop *loop)
{
    return wsi_clock_us(loop->clock);
}

const struct wsi_sockets *wsi_loop_sockets(const struct wsi_loop *loop, void **state)
{
    *state = loop->backend_state;
    return loop->backend->sockets;
}

struct wsi_wheel *wsi_loop_wheel(struct wsi_loop *loop)
{
    return &loop->wheel;
}

void wsi_loop_timer(struct wsi_loop *loop, struct wsi_timer *timer, uint64_t in_ms)
{
    /* The turn's time is rounded down; what is left of it must not make a timer early. */
    const uint64_t begun = in_ms != 0 && loop->now_us % 1000 != 0;

    wsi_timer_start(&loop->wheel, timer, loop->now_ms + in_ms + begun);
}
