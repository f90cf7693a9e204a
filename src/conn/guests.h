/* SPDX-License-Identifier: MIT */
/* How many connections each client's address has: the option max_connections_per_address.
 */
#ifndef WSI_CONN_GUESTS_H
#define WSI_CONN_GUESTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ip.h"

struct wsock_conn;
struct wsi_guest;

/** Of one server; its workers share it. */
struct wsi_guests {
    pthread_mutex_t lock; /* what follows */
    struct wsi_guest **buckets;
    size_t bucket_count, count;
    uint64_t seed[2];
};

void wsi_guests_init(struct wsi_guests *guests);
/** Everybody has left. */
void wsi_guests_fini(struct wsi_guests *guests);

/**
 * Count one more connection of an address. Of IPv6, its network of 64 bits counts: that
 * is what one customer is given.
 *
 * @param out (out) for wsi_guests_leave().
 * @return 0; WSOCK_EAGAIN when there are `limit` already; WSOCK_ENOMEM.
 */
int wsi_guests_enter(struct wsi_guests *guests, struct wsi_guest **out,
                     const struct wsi_ip *ip, size_t limit);
void wsi_guests_leave(struct wsi_guests *guests, struct wsi_guest *guest);

/** The client of a connection is known: count it, or answer it. @return false when it was
 *  refused. */
bool wsi_guests_admit(struct wsock_conn *conn, const struct wsi_ip *ip);

#endif
