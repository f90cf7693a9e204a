/* SPDX-License-Identifier: MIT */
/*
 * What a connection is a member of, seen from below: a list of memberships that must be
 * told when it ends. Whoever unlinks a membership, under the worker's lock, ends it.
 */
#ifndef WSI_CONN_MEMBER_H
#define WSI_CONN_MEMBER_H

#include "core/list.h"

struct wsock_conn;

struct wsi_membership {
    struct wsi_list node; /* in wsock_conn.rooms, guarded by worker->lock */
    /** The connection stops being open; called without locks. */
    void (*leave)(struct wsi_membership *membership);
};

/** End all memberships. The connection is not open any more, so none can be added. */
void wsi_members_leave_all(struct wsock_conn *conn);

#endif
