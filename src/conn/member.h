/* SPDX-License-Identifier: MIT */
/*
 * What a connection is a member of, seen from below: a list of memberships that must be
 * told when it ends. Whoever unlinks a membership, under the worker's lock, ends it.
 */
#ifndef WSI_CONN_MEMBER_H
#define WSI_CONN_MEMBER_H

#include "conn/conn.h"
#include "core/list.h"

struct wsi_membership {
    struct wsi_list node; /* in wsock_conn.rooms, guarded by worker->lock */
    const void *of; /* the room or pattern, of which there may be so many; else NULL */
    /** The connection stops being open; called without locks. */
    void (*leave)(struct wsi_membership *membership);
};

/** Add one, `of` something, while the connection is open, nobody asked for its end, and
 * it is not in that. @return 0; WSOCK_ECLOSED; WSOCK_EEXIST; WSOCK_ETOOBIG at
 * max_rooms_per_connection. Any thread. */
int wsi_membership_begin(struct wsi_membership *membership, struct wsock_conn *conn);
/** Unlink the one of that; the caller ends it. @return (nullable) Any thread. */
struct wsi_membership *wsi_membership_end(struct wsock_conn *conn, const void *of);
/** Is there one of that now? It may be looked at as long as the lock is held under which
 *  memberships of that end. @return (nullable) Any thread. */
struct wsi_membership *wsi_membership_find(struct wsock_conn *conn, const void *of);

/** Is there any? Any thread. */
bool wsi_conn_has_memberships(struct wsock_conn *conn);

/** What it gets of rooms and patterns, before it is in any. Any thread. */
void wsi_conn_set_form(struct wsock_conn *conn, enum wsi_form form);

/** End all memberships. The connection is not open any more, so none can be added. */
void wsi_members_leave_all(struct wsock_conn *conn);

#endif
