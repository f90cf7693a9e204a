/* SPDX-License-Identifier: MIT */
/*
 * One thread's event loop. A turn waits, delivers what sockets and timers have, runs
 * the mail that other threads posted, and then flushes: what a turn produced for a
 * stream leaves in one system call at its end.
 *
 *   wait -> sockets: on_data ... -> timers -> mail -> flush -> on_writable, on_closed
 *
 * Only wsi_loop_post() may be called from other threads. What waits for readiness is
 * behind struct wsi_backend (backend.h): epoll here, a script in the tests.
 */
#ifndef WSI_IO_LOOP_H
#define WSI_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/mailbox.h"
#include "io/timer.h"

struct wsi_loop;
struct wsi_backend;
struct wsi_sockets;

struct wsi_loop_config {
    const struct wsi_backend *backend; /* NULL: epoll */
    const struct wsi_clock *clock;     /* NULL: the system's */
};

/** @return 0; WSOCK_ENOMEM; WSOCK_EMFILE; WSOCK_ESYSTEM. */
int wsi_loop_new(struct wsi_loop **out, const struct wsi_loop_config *config);

/** No stream, listener or timer may be left; mail that waits is run first. Takes NULL. */
void wsi_loop_free(struct wsi_loop *loop);

/**
 * One turn.
 *
 * @param max_wait_ms 0 does not wait, negative waits for as long as it takes.
 */
void wsi_loop_turn(struct wsi_loop *loop, int64_t max_wait_ms);

/** Run mail->run on the loop's thread, after what was posted before. Any thread. A
 *  sleeping loop is woken once however much is posted. */
void wsi_loop_post(struct wsi_loop *loop, struct wsi_mail *mail);

/** True when mail waits. Any thread. */
bool wsi_loop_has_mail(struct wsi_loop *loop);

/** The time of this turn, in ms; read once a turn. @return (borrowed from loop) */
const uint64_t *wsi_loop_now(const struct wsi_loop *loop);

/** The clock itself. */
uint64_t wsi_loop_clock_us(const struct wsi_loop *loop);

/** Where its sockets come from. @param state (out, borrowed from loop) for their calls.
 */
const struct wsi_sockets *wsi_loop_sockets(const struct wsi_loop *loop, void **state);

struct wsi_wheel *wsi_loop_wheel(struct wsi_loop *loop);

/** wsi_timer_start() in milliseconds from this turn's time. */
void wsi_loop_timer(struct wsi_loop *loop, struct wsi_timer *timer, uint64_t in_ms);

#endif
