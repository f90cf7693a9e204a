/* SPDX-License-Identifier: MIT */
/*
 * What members that speak rooms.v1 are told beside messages: `joined` and `left` of
 * themselves, `presence` of others, `missed` of messages.
 *
 * `joined` comes before all that the room says to a member, and tells of who is there at
 * that moment. From then on it hears of people (identities, however many connections they
 * have) as they come and go: of one change at once, and of what changes soon after that
 * in one frame, so that there are few frames however many come. In a large room they are
 * counted, not named.
 *
 * `missed` says that there are messages which a member did not get, where else only the
 * next one would: at the place of what was dropped as the member is slow, and when a node
 * finds that its broker has gone on without it.
 */
#ifndef WSI_ROOM_NOTICES_H
#define WSI_ROOM_NOTICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/history.h>
#include <wsock/timer.h>

#include "core/list.h"
#include "room/op.h"

struct wsi_envelope;
struct wsi_member;
struct wsi_present;
struct wsi_room_posts;
struct wsi_said;

/* What `joined` may have to wait for, in a cluster. */
enum {
    WSI_WAITS_FOR_PLACE = 1,  /* where the room is, and what was missed: waiting.h */
    WSI_WAITS_FOR_PEOPLE = 2, /* who is there on other nodes: roster.h */
};

/* A message to a member that has not been told yet that it is in: that comes first. */
struct wsi_held {
    struct wsi_held *next;
    struct wsi_envelope *envelope; /* a reference */
};

/* A request to join or leave, with what is answered on the member's worker. */
struct wsi_ticket {
    uint64_t epoch, offset; /* of joined: where the room was; epoch 0: nowhere */
    bool recovered;         /* of joined */
    unsigned waits;         /* WSI_WAITS_*: what of it is not known yet */
    struct wsi_held *held, **last_held; /* (owned) what is said meanwhile */
    size_t held_count, held_bytes;
    struct wsi_list unmet;  /* who waits for people: in roster->unmet, under the lock */
    struct wsi_room_op met; /* of the member: it need not any more */
    char id[];              /* of the request, as JSON; "" when it has none */
};

/* Of a room, under its lock. */
struct wsi_notices {
    struct wsi_list changed; /* struct wsi_present.change, with references */
    size_t changed_count;
    uint64_t greeted;   /* how many were told of all who are there */
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

/** @param ticket (nullable) */
void wsi_ticket_free(struct wsi_ticket *ticket);
/** @return (owned, nullable) the oldest. */
struct wsi_held *wsi_ticket_pop(struct wsi_ticket *ticket);
void wsi_held_free(struct wsi_held *held);

/** Of joined: where the room is. */
void wsi_ticket_fill(struct wsi_ticket *ticket, const wsock_joined *joined);

/* ---- with the room's lock held ---- */

/** Somebody came, or went. @param present (nullable) who, if it has an identity. */
void wsi_notices_change(wsock_room *room, struct wsi_present *present,
                        struct wsi_room_posts *posts);
/** The same in two steps: any number of people, and then those who hear of it. */
void wsi_notices_note(wsock_room *room, struct wsi_present *present);
void wsi_notices_tell(wsock_room *room, struct wsi_room_posts *posts);
/** Whether somebody hears of people. */
bool wsi_notices_are_heard(const wsock_room *room);
/** The room went on without a message here. Members know its place by messages only, and
 *  are told. @return false when they cannot be now. */
bool wsi_notices_moved(wsock_room *room, struct wsi_room_posts *posts);
/** A member of rooms.v1 has left: there may be none to hear of it any more. */
void wsi_notices_look(wsock_room *room, struct wsi_room_posts *posts);

/* ---- on the member's worker ---- */

/** It is in. Its ticket is the caller's then. */
void wsi_notices_greet(struct wsi_member *member);
/** It missed a message: it is told, if it speaks rooms.v1 and that is kept. */
void wsi_notices_missed(struct wsi_member *member, const struct wsi_said *said);
/** It was, until a call, a kick or the room's end. */
void wsi_notices_dismiss(struct wsi_member *member);

#endif
