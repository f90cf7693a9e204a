/* SPDX-License-Identifier: MIT */
/*
 * What a room of a clustered server knows of the rooms of that name on other nodes.
 *
 * A plain room is heard while it has members or handlers. What is said here is delivered
 * here at once and then published; what arrives is delivered unless it came from here, or
 * came before.
 *
 * A room with history is heard as long as it is there. What is said here is appended at
 * the broker, and delivered when it arrives, in the broker's order:
 *
 *     subscribed ----> load ----> loaded: the history holds the broker's window
 *                       ^            |  arrived: deliver and keep
 *                       |            v
 *                       '------ a gap, another epoch, subscribed again, or no room here:
 *                               what arrives waits; members get what they missed
 *
 * Who joins since a position before it was loaded waits for that (struct wsi_waiting),
 * and so does who is to be told where the room is. So does who comes from another node,
 * and has heard there what has not arrived here yet.
 *
 * Locks: history->publish, room->lock.
 */
#ifndef WSI_ROOM_BRANCH_H
#define WSI_ROOM_BRANCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/room.h>

#include "cluster/bus.h"
#include "core/list.h"
#include "core/mailbox.h"
#include "room/heard.h"
#include "room/roster.h"
#include "room/withheld.h"

struct wsi_arrival_copy;
struct wsi_frames;
struct wsi_relay;

struct wsi_branch {
    wsock_room *room;
    struct wsi_list retry, idle; /* of the spread, under its lock, as what follows */
    uint64_t idle_since_ms;
    /* Under the room's lock: */
    bool wanted;   /* wsi_spread_want() */
    bool is_heard; /* subscribed, as far as is known */
    bool is_held;  /* somebody has asked for the room by name */
    bool lingers;  /* it is in the list of those that may go soon */
    bool loaded;   /* the history holds what the broker kept, up to its last offset */
    bool loading;  /* an answer is to come, with a reference to the room */
    bool outdated; /* that answer is of no use: the room was not wanted meanwhile */
    bool stale;    /* messages may be missing: load again */
    bool moved; /* members do not know where the room is by what they hear: tell them */
    uint64_t listens_from; /* what this node says with a higher number is for members,
                              though it is loaded; 0: nobody listens yet */
    struct wsi_heard heard;
    struct wsi_arrival_copy *first, **last; /* (owned) what arrived meanwhile */
    size_t arrived_bytes;
    struct wsi_list waiting;            /* wsi_waiting.node */
    struct wsi_withholding withholding; /* of messages from here that are under way */
    struct wsi_bus_receipt receipt;     /* of the load */
    struct wsi_roster roster;           /* the people there */
};

/* A message that has been said already: elsewhere, or at the broker. */
struct wsi_placed {
    uint64_t epoch, offset, prev; /* its place; offset 0: none */
    int64_t time_ms;
    uint64_t age_ms; /* since it was said */
    bool only_keep;  /* nobody hears it */
};

/* ---- with the room's lock held, or before anybody can find the room ---- */

/** @return 0; WSOCK_ENOMEM. */
int wsi_branch_make(wsock_room *room);
/** Members, handlers, or the end of the room came or went. @param room with or without a
 *  branch. */
void wsi_branch_look(wsock_room *room);
/** With the room's lock held: somebody hears it from now on, and did not wait until it is
 *  loaded. What is said here from then on is news to them. */
void wsi_branch_listen(wsock_room *room);
/** Publish what was delivered here. @param relay (in, out) NULL when it was taken over.
 */
void wsi_branch_relay(wsock_room *room, struct wsi_relay **relay);

/** Whether the answer to a join is not known yet: the room is not loaded, or whoever
 * comes has heard of more, on another node, than this one has. */
bool wsi_branch_may_learn(const struct wsi_branch *branch, const wsock_join *how);

/* ---- without ---- */

void wsi_branch_free(struct wsi_branch *branch);

/** The server has joined a cluster, and the room may be older than that. @return 0;
 *  WSOCK_ENOMEM. */
int wsi_branch_add(wsock_room *room);
/** The application has a handle, and may look at what is kept. */
void wsi_branch_hold(wsock_room *room);

/** In a room with history: have the broker keep it. @return as wsock_room_publish(). */
int wsi_branch_append(wsock_room *room, const wsock_publish *what,
                      const struct wsi_frames *frames);
/** The broker does not keep the message of that number, so it will not arrive. */
void wsi_branch_failed(wsock_room *room, uint64_t seq);

/* ---- what the spread tells, and nothing else ---- */

/** It is subscribed. */
void wsi_branch_heard(wsock_room *room);
/** It lingered long enough. */
void wsi_branch_idle_over(wsock_room *room);
void wsi_branch_arrived(wsock_room *room, uint64_t epoch, const struct wsi_bus_kept *kept,
                        struct wsi_bytes bytes);
/** As it asked for. */
void wsi_branch_try(wsock_room *room);

#endif
