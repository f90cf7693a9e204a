/* SPDX-License-Identifier: MIT */
/*
 * A client that keeps one connection up by itself.
 *
 *             start                         hook OPENS
 *     IDLE ----------> CONNECTING -------------------------> OPEN
 *      ^                 |    ^                               |
 *      |      hook ENDED |    | timer                         | hook ENDED
 *      |                 v    |                               |
 *      |                WAITING <-----------------------------'
 *      |                    |
 *      `--------------------'   CLOSED is told, from any phase: a stop, an end for good,
 *                               no more attempts
 *
 * Everything happens on one worker, chosen at the first start and kept, so that the
 * handlers of one run cannot meet those of the next. Calls from elsewhere note what they
 * want under the lock and post a mail.
 */
#ifndef WSI_CONN_KEEPER_H
#define WSI_CONN_KEEPER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/conn.h>

#include "core/list.h"
#include "core/mailbox.h"
#include "io/timer.h"
#include "proto/session.h"

struct wsi_posted;
struct wsi_told;
struct wsi_worker;

struct wsi_keeper {
    /* On the worker. */
    struct wsi_list node; /* worker->keepers, from start to CLOSED */
    struct wsi_timer timer;
    uint8_t phase;
    int32_t attempt; /* as wsock_state_info says */
    uint64_t opened_ms;
    struct wsi_told *told; /* (owned, nullable) what waits in a queue to be told */

    struct wsi_mail mail; /* start, stop */
    pthread_mutex_t lock; /* what follows */
    struct wsi_worker *worker;
    struct wsock_conn *conn; /* (owned, nullable) the present attempt or connection */
    bool is_running;         /* from start to CLOSED */
    bool is_stopping;
    bool is_ending;  /* CLOSED waits in a queue */
    bool is_posted;  /* the mail is under way, with a reference to the client */
    bool is_open;    /* conn is */
    bool is_direct;  /* and what is sent need not wait behind what is kept */
    bool is_refused; /* a send was, while it is open and not direct */
    uint8_t reason_len;
    uint16_t code; /* of the stop */
    char reason[WSI_CLOSE_REASON_MAX];
    struct wsi_posted *kept, **kept_end; /* the oldest first */
    size_t kept_bytes;
};

/** Within a struct wsi_remote whose owner and profile are ready: it hears of the client's
 * connections from then on. */
void wsi_keeper_init(struct wsi_keeper *keeper);
void wsi_keeper_fini(struct wsi_keeper *keeper);

/** Before CLOSED is told, where the handlers run: it may be started again. */
void wsi_keeper_reset(struct wsi_keeper *keeper);
/** After it: nothing of that run is left. */
void wsi_keeper_release(struct wsi_keeper *keeper);

/** Before on_open of one of the client's connections, on its queue: to the host it is
 * open now. */
void wsi_keeper_greet(struct wsi_keeper *keeper, const struct wsock_conn *conn);

/** @return as wsock_client_start(), less what is about TLS. */
int wsi_keeper_start(struct wsi_keeper *keeper);

/** @param code, reason checked. @return 0; WSOCK_ECLOSED. */
int wsi_keeper_stop(struct wsi_keeper *keeper, unsigned code, const char *reason,
                    size_t len);

/** The runtime stops. On its worker, after its connection was told. */
void wsi_keeper_go_away(struct wsi_keeper *keeper);

/** @return as wsock_client_conn(). */
struct wsock_conn *wsi_keeper_conn(struct wsi_keeper *keeper);

/**
 * Where a message goes: on the connection that is open, or it is kept.
 *
 * @param conn (in, consumed; out, owned, nullable) NULL the first time; then the one that
 *             answered WSOCK_ECLOSED.
 * @return 1 and *conn to send it on; else *conn is NULL and it is done with: 0 when it is
 *         kept, or what wsock_client_send() answers.
 */
int wsi_keeper_route(struct wsi_keeper *keeper, struct wsock_conn **conn, int type,
                     const void *data, size_t len);

#endif
