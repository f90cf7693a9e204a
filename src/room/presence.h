/* SPDX-License-Identifier: MIT */
/*
 * Who is in a room: members by identity, what they said of themselves when they joined,
 * and what is told of their coming and going. A member of which nobody wants to know
 * more has nothing of this.
 */
#ifndef WSI_ROOM_PRESENCE_H
#define WSI_ROOM_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/member.h>
#include <wsock/room.h>

#include "core/blob.h"
#include "core/list.h"
#include "core/ref.h"
#include "core/table.h"
#include "room/op.h"

/* One identity in a room, whatever the number of its connections there. */
struct wsi_present {
    struct wsi_table_node node;  /* in room->people; under the room's lock */
    struct wsi_ref ref;          /* of attendances, and of who looks */
    struct wsi_list attendances; /* under the room's lock, as what follows */
    size_t count;                /* of them */
    struct wsi_list far;         /* struct wsi_far.node: on other nodes (roster.h) */
    size_t far_count;            /* of those that are not gone */
    struct wsi_list change;      /* room->notices.changed, */
    uint64_t greeted;            /* and notices.greeted of then */
    bool is_told;                /* who hears of it was told that it is here */
    bool is_said;                /* the other nodes know of those here */
    char identity[];
};

/* A member's part. */
struct wsi_attendance {
    struct wsi_ref ref;          /* of the member, of events under way */
    wsock_conn *conn;            /* a reference */
    struct wsi_present *present; /* a reference (nullable) */
    struct wsi_list node;        /* present->attendances */
    struct wsi_blob *info;       /* (owned, nullable) */
    struct wsi_blob *reason;     /* (owned, nullable) why it left */
    struct wsi_room_op joined, left;
    bool told; /* its coming was, so its going will be */
    bool first, last;
    uint8_t how; /* WSOCK_LEFT_* */
};

/** On this node, or another one. */
static inline bool wsi_present_is_here(const struct wsi_present *present)
{
    return present->count > 0 || present->far_count > 0;
}

void wsi_attendance_unref(struct wsi_attendance *attendance);

/* ---- with the room's lock held ---- */

/**
 * Before a connection joins: see to what there has to be of it.
 *
 * @param out (out, owned) NULL when nothing has to be.
 * @param how (nullable)
 * @return 0; WSOCK_ETOOBIG for the info; WSOCK_ENOMEM.
 */
int wsi_presence_prepare(wsock_room *room, struct wsi_attendance **out, wsock_conn *conn,
                         const wsock_join *how);
/** It does not join after all. @param attendance (consumed, nullable) */
void wsi_presence_cancel(wsock_room *room, struct wsi_attendance *attendance);
/** It has joined. @return whether wsi_herald_post() is due. */
bool wsi_presence_join(wsock_room *room, struct wsi_attendance *attendance);
/** It has left. @param reason (nullable) @return as above. */
bool wsi_presence_leave(wsock_room *room, struct wsi_attendance *attendance, int how,
                        struct wsi_blob *reason);

/** @return (borrowed, nullable) */
struct wsi_present *wsi_presence_find(const wsock_room *room, const char *identity);
/** @return (owned, nullable) made if need be; NULL without memory. */
struct wsi_present *wsi_presence_get(wsock_room *room, const char *identity);
/** It may be nowhere any more. Whoever looks may keep its memory. */
void wsi_presence_look(wsock_room *room, struct wsi_present *present);
/** What it says of itself: the connection here that came last, or one elsewhere. @return
 *  (borrowed, nullable) */
const struct wsi_blob *wsi_present_info(const struct wsi_present *present);
void wsi_present_unref(struct wsi_present *present);

/** What is told of a member. @param left of its going, else of its coming. */
wsock_member wsi_attendance_show(const struct wsi_attendance *attendance, bool left);

#endif
