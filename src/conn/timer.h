/* SPDX-License-Identifier: MIT */
/* The application's timers: wsock_timer, on a worker, alone or with a connection. */
#ifndef WSI_CONN_TIMER_H
#define WSI_CONN_TIMER_H

#include <wsock/timer.h>

struct wsi_worker;
struct wsock_queue;

struct wsi_timer_spec {
    uint64_t first_ms, every_ms;
    wsock_timer_fn fn;
    void *user;
    wsock_free_fn free_user;
    struct wsock_queue *queue; /* (borrowed, nullable) where fn runs, if not on the worker
                                */
};

/**
 * Start a timer.
 *
 * @param out  (out, owned, nullable)
 * @param conn (borrowed, nullable) it ends with this connection.
 * @return 0; WSOCK_ECLOSED; WSOCK_ENOMEM.
 */
int wsi_timer_launch(wsock_timer **out, struct wsi_worker *worker,
                     struct wsock_conn *conn, const struct wsi_timer_spec *spec);

/** The worker ends: so do its timers. */
void wsi_timers_end(struct wsi_worker *worker);

#endif
