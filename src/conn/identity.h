/* SPDX-License-Identifier: MIT */
/*
 * Who connections are, as the application says: an identity is set once and stays as long
 * as the connection's memory. While a connection of a server is open it stands in the
 * server's index; one identity on several connections is one person.
 *
 * Locks: worker->lock, then that of the index.
 */
#ifndef WSI_CONN_IDENTITY_H
#define WSI_CONN_IDENTITY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/hash.h"
#include "core/table.h"

struct wsock_conn;

enum { WSI_IDENTITY_MAX = 255 };

/** Of one server; its workers share it. */
struct wsi_identities {
    pthread_mutex_t lock; /* what follows */
    struct wsi_table persons;
    struct wsi_hash_key key; /* fixed */
};

void wsi_identities_init(struct wsi_identities *identities);
/** No connection is left. */
void wsi_identities_fini(struct wsi_identities *identities);

/** The open connections of an identity. @param out (out, owned) at most max references.
 *  @return how many there are. Any thread. */
size_t wsi_identities_conns(struct wsi_identities *identities, struct wsock_conn **out,
                            size_t max, const char *text);

/** What wsock_conn_set_identity() demands of it. */
bool wsi_identity_is_valid(const char *text);

/** @return as wsock_conn_set_identity(). Any thread. */
int wsi_conn_set_identity(struct wsock_conn *conn, const char *text);
/** @return (borrowed from conn) "" when it has none. Any thread. */
const char *wsi_conn_identity(const struct wsock_conn *conn);

/** It is open now: from here on it is found. On its worker. */
void wsi_conn_enter_index(struct wsock_conn *conn);
/** With the connection's memory. */
void wsi_conn_free_identity(struct wsock_conn *conn);

#endif
