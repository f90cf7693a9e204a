/* SPDX-License-Identifier: MIT */
/*
 * A member that joined since a position, or that is to be told where the room is, while
 * the broker has not said what it keeps, or has not sent what the member has heard of.
 */
#ifndef WSI_ROOM_WAITING_H
#define WSI_ROOM_WAITING_H

#include <stdbool.h>
#include <stdint.h>

#include <wsock/history.h>
#include <wsock/room.h>

#include "core/list.h"
#include "core/mailbox.h"
#include "room/op.h"

struct wsi_branch;
struct wsi_member;
struct wsi_missed;
struct wsi_room_posts;

struct wsi_waiting {
    struct wsi_list node; /* branch->waiting, under the room's lock */
    struct wsi_member *member;
    bool fresh; /* it missed nothing, and waits for where the room is */
    wsock_position since;
    wsock_joined joined;
    struct wsi_missed *missed; /* (owned, nullable) */
    uint64_t until_ms;
    struct wsi_room_op op; /* in its shard: it is known */
    wsock_joined_fn fn;    /* nullable */
    void *user;
    wsock_conn *conn;     /* (owned, nullable) while it is told by mail */
    struct wsi_mail mail; /* on the server's queue */
};

/* ---- with the room's lock held ---- */

/** @return (owned, nullable) NULL without memory. */
struct wsi_waiting *wsi_waiting_new(struct wsi_member *member, const wsock_join *how);
void wsi_waiting_begin(struct wsi_waiting *waiting);
/** It does not join after all. @param waiting (consumed, nullable) not begun. */
void wsi_waiting_cancel(struct wsi_waiting *waiting);
/** Tell those whose time is over, or all: what is known now is what there is to know, but
 *  for who has heard of more. */
void wsi_waiting_decide(struct wsi_branch *branch, bool all,
                        struct wsi_room_posts *posts);
/** Its member leaves. @return that is told before. */
struct wsi_room_op *wsi_waiting_end(struct wsi_waiting *waiting);
/* ---- without ---- */

/** On its worker: tell who waited. What it missed is the caller's then.
 *  @param waiting (consumed) */
struct wsi_missed *wsi_waiting_tell(struct wsi_waiting *waiting);

#endif
