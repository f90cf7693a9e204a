/* SPDX-License-Identifier: MIT */
/*
 * A connection whose handlers run on a queue (queue.h). To the worker it is a connection
 * like others, with handlers that put what they are told into the lane; so nothing else
 * in src/conn/ knows of queues, but where something must not happen before a handler
 * returned:
 *
 *   a request that was neither answered nor kept;  what is kept to be sent after on_open;
 *   all that comes after on_close
 *
 * These come back to the worker as mail (`back`).
 *
 * Reading is paused while the lane is full, of each connection that has something to say
 * and of no other; and of one connection alone, while it has too much in the lane.
 */
#ifndef WSI_CONN_QUEUED_H
#define WSI_CONN_QUEUED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn/extra.h"
#include "conn/profile.h"
#include "conn/queue.h"

struct wsi_queued {
    struct wsock_conn *conn;
    struct wsi_lane *lane;
    /* The worker's: messages that it put into the lane, and those that it saw taken. */
    atomic_uint_fast64_t events, bytes;
    uint64_t seen_events, seen_bytes;
    struct wsi_list waiting; /* in lane->waiting */
    atomic_int pausing;      /* wsock_conn_pause_read() that is on its way as mail */
    uint64_t paused_ms;      /* since when it is not read */
    uint8_t asks;            /* WSI_ON_REQUEST or WSI_ON_HTTP */
    struct wsi_notice asked, cancelled, open, drain, closed;
    struct wsi_mail back;
    /* The dispatcher's, mostly: */
    atomic_uchar back_bits;
    atomic_bool drain_pending;
    atomic_bool starved;     /* it waits until half of its share is free */
    atomic_bool told_closed; /* on_close was called, or is */
    atomic_uint_fast64_t events_taken, bytes_taken;
};

/** What the workers call instead of the application's handlers. */
extern struct wsi_handler wsi_queued_handlers[WSI_ON_COUNT];

/** The owner of the connection has a queue. @return 0; WSOCK_ENOMEM. */
int wsi_queued_new(struct wsock_conn *conn);

/** Whether more may be read; when not, it is resumed in its time. */
bool wsi_queued_may_receive(struct wsi_queued *queued);

/** Tell the end; then wsi_conn_finish() on the worker. */
void wsi_queued_close(struct wsi_queued *queued);

/** Call the handler of what was taken from a lane. */
void wsi_queued_deliver(struct wsock_queue *queue, const struct wsi_record *record);

/** There may be room for who waits: have the worker look. Any thread. */
void wsi_queued_offer_room(struct wsi_lane *lane);
/** Its mail (lane->room). */
void wsi_queued_run_room(struct wsi_mail *mail);

/* ---- queued_state.c: on_state of a client ---- */

struct wsi_keeper;
struct wsi_told;

/** @return (owned, nullable) NULL without memory. */
struct wsi_told *wsi_told_new(void);
void wsi_told_free(struct wsi_told *told);
/** The handler that a client has for the queue. */
void wsi_queued_put_state(wsock_client *client, const wsock_state_info *info, void *user);
/** Tell CLOSED, with or without a handler. */
void wsi_queued_put_closed(struct wsi_keeper *keeper, const wsock_state_info *info);

#endif
