/* SPDX-License-Identifier: MIT */
/*
 * What members that speak rooms.v1 are told beside messages: `joined` and `left` of
 * themselves, `presence` of others.
 *
 * `joined` comes before all that the room says to a member, and tells of who is there at
 * that moment. From then on it hears of people (identities, however many connections they
 * have) as they come and go: of one change at once, and of what changes soon after that
 * in one frame, so that there are few frames however many come. In a large room they are
 * counted, not named.
 */
#ifndef WSI_ROOM_NOTICES_H
#define WSI_ROOM_NOTICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/history.h>
#include <wsock/timer.h>

#include "core/list.h"

struct wsi_member;
struct wsi_present;
struct wsi_room_posts;

/* A request to join or leave, with what is answered on the member's worker. */
struct wsi_ticket {
    uint64_t epoch, offset; /* of joined: where the room was; epoch 0: nowhere */
    bool recovered;         /* of joined */
    bool waits;             /* that is not known yet */
    char id[];              /* of the request, as JSON; "" when it has none */
};

/* Of a room, under its lock. */
struct wsi_notices {
    struct wsi_list changed; /* struct wsi_present.change, with references */
    size_t changed_count;
    bool is_due;        /* something is to be told */
    bool only_count;    /* and that is how many there are */
    uint64_t next_ms;   /* not before */
    wsock_timer *timer; /* (owned, nullable) until then */
};

void wsi_notices_init(struct wsi_notices *notices);
/** With the room's memory. */
void wsi_notices_fini(struct wsi_notices *notices);

/** @param id (nullable) @return (owned, nullable) NULL without memory. */
struct wsi_ticket *wsi_ticket_new(const char *id);

/** Of joined: where the room is. */
void wsi_ticket_fill(struct wsi_ticket *ticket, const wsock_joined *joined);

/* ---- with the room's lock held ---- */

/** Somebody came, or went. @param present (nullable) who, if it has an identity. */
void wsi_notices_change(wsock_room *room, struct wsi_present *present,
                        struct wsi_room_posts *posts);
/** A member of rooms.v1 has left: there may be none to hear of it any more. */
void wsi_notices_look(wsock_room *room, struct wsi_room_posts *posts);

/* ---- on the member's worker ---- */

/** It is in. */
void wsi_notices_greet(struct wsi_member *member);
/** It was, until a call, a kick or the room's end. */
void wsi_notices_dismiss(struct wsi_member *member);

#endif
