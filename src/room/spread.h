/* SPDX-License-Identifier: MIT */
/*
 * A server's part of a cluster: its bus, which of its rooms it hears, and what arrives.
 *
 *   room ---- want, publish, append, load ----> spread ----> bus
 *   room <--- branch.h: arrived, subscribed --- spread <---- bus
 *
 * What a single room knows of the others' is its branch (branch.h).
 *
 * Calls go to the bus while `gate` is held for reading, so that none comes after its
 * close. A turn of the house every quarter of a second, on one worker: try again what
 * failed, forget rooms that nobody needed for a while, and once a cluster_beat say who is
 * there.
 *
 * Locks: room->lock, then gate, then spread->lock, then those of the bus.
 */
#ifndef WSI_ROOM_SPREAD_H
#define WSI_ROOM_SPREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/types.h>

#include "cluster/bus.h"
#include "core/list.h"
#include "core/mailbox.h"
#include "core/table.h"
#include "io/timer.h"
#include "room/heard.h"
#include "room/roster.h"

struct wsi_branch;
struct wsi_registry;
struct wsi_wire;
struct wsi_worker;

struct wsi_spread {
    struct wsi_registry *registry;
    const struct wsi_bus_type *type;
    struct wsi_bus *bus;
    struct wsi_bus_services services;
    struct wsi_bus_handler handler;
    uint8_t node[WSI_BUS_NODE_ID_SIZE];
    uint64_t beat_ms;
    atomic_uint_fast64_t seq; /* the last one that was drawn */
    /* When the log may tell again of a message that was not kept. */
    atomic_uint_fast64_t complains_ms;
    pthread_rwlock_t gate;
    bool open;            /* under it */
    pthread_mutex_t lock; /* what follows */
    bool up, was_up, hears_all;
    char why[WSI_BUS_WHY_SIZE]; /* it is not */
    struct wsi_table wanted;
    struct wsi_heard heard; /* on the channel of all */
    struct wsi_rosters rosters;
    struct wsi_list retries;   /* wsi_branch.retry, each with a reference to its room */
    struct wsi_list idle;      /* wsi_branch.idle, the longest first, as above */
    struct wsi_worker *worker; /* of the house's turn */
    uint64_t described_ms;     /* when it was, on that worker */
    struct wsi_timer timer;
    struct wsi_mail start, stop, ended;
    /** (nullable) It came up or went away. On whatever thread. */
    void (*on_state)(struct wsi_spread *spread);
    /** It has closed. On a worker. */
    void (*on_closed)(struct wsi_spread *spread);
    char name[]; /* of this node */
};

/**
 * Begin to connect, by the server's options. The threads run.
 *
 * @param out (out, owned) wsi_spread_start() follows, and in the end wsi_spread_close().
 * @param on_state (nullable)
 * @param why (out) of WSI_BUS_WHY_SIZE bytes.
 * @return 0; WSOCK_EURL; WSOCK_ENOTSUP; WSOCK_ENOMEM.
 */
int wsi_spread_open(struct wsi_spread **out, struct wsi_registry *registry,
                    void (*on_state)(struct wsi_spread *spread), char *why);
/** The broker does not keep a message, though it is there: the log tells now and then. */
void wsi_spread_refused(struct wsi_spread *spread, const char *why);
/** The rooms know of it: take their turn. */
void wsi_spread_start(struct wsi_spread *spread);
/** Begin to end. @param on_closed called on a worker when it has. */
void wsi_spread_close(struct wsi_spread *spread,
                      void (*on_closed)(struct wsi_spread *spread));
/** It has closed, or was never started. @param spread (nullable) */
void wsi_spread_free(struct wsi_spread *spread);

/** @param why (out, nullable) of WSI_BUS_WHY_SIZE bytes. @return whether it is up. */
bool wsi_spread_is_up(struct wsi_spread *spread, char *why);

static inline uint64_t wsi_spread_draw(struct wsi_spread *spread)
{
    return atomic_fetch_add_explicit(&spread->seq, 1, memory_order_relaxed) + 1;
}

/* ---- with whatever lock held but this one's ---- */

/** Hear what is said in the room of a name, until unwant(), as often as it was called.
 *  @return 0, and `subscribed` follows; 1 when it is heard already; WSOCK_ENOMEM;
 *  WSOCK_EAGAIN; WSOCK_ECLOSED. */
int wsi_spread_want(struct wsi_spread *spread, const char *name);
void wsi_spread_unwant(struct wsi_spread *spread, const char *name);

/** As those of the bus. */
int wsi_spread_publish(struct wsi_spread *spread, const struct wsi_bus_channel *channel,
                       struct wsi_bytes bytes, struct wsi_bus_receipt *receipt);
/** Entries of a room, or of nodes (NULL). */
int wsi_spread_list(struct wsi_spread *spread, const char *room,
                    struct wsi_bus_receipt *receipt);
/** Somebody is in a room, or not any more, on this node. */
int wsi_spread_present(struct wsi_spread *spread, const char *room, const char *identity,
                       struct wsi_bytes info);
void wsi_spread_absent(struct wsi_spread *spread, const char *room, const char *identity);
void wsi_spread_describe(struct wsi_spread *spread, struct wsi_bytes bytes);
/** To all nodes, with the next number. @param bytes what wsi_wire_write() wrote. */
void wsi_spread_tell_all(struct wsi_spread *spread, uint8_t *bytes, size_t len);
int wsi_spread_append(struct wsi_spread *spread, const char *room, struct wsi_bytes bytes,
                      uint64_t seq, const struct wsi_bus_window *window,
                      const struct wsi_bus_position *seen,
                      struct wsi_bus_receipt *receipt);
int wsi_spread_load(struct wsi_spread *spread, const char *room,
                    const struct wsi_bus_window *window,
                    const struct wsi_bus_position *seen, struct wsi_bus_receipt *receipt);
/** Somebody listens by patterns, or nobody any more. No lock is held. */
void wsi_spread_look_at_patterns(struct wsi_spread *spread);

/** Have a branch try again in the next turn; or forget its room in a while, unless
 *  somebody needs it. The caller has the room. */
void wsi_spread_retry(struct wsi_spread *spread, struct wsi_branch *branch);
void wsi_spread_linger(struct wsi_spread *spread, struct wsi_branch *branch);

#endif
