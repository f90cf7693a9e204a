/* SPDX-License-Identifier: MIT */
/*
 * The people of a room on the other nodes of a cluster: known as long as somebody here is
 * told who is there, that is while the room has members that speak rooms.v1.
 *
 *     another node:  an identity came, or went ---- announced ----.
 *                                                                 v
 *     the broker's list of people -- loaded: at first, -----> the roster ---> notices.h
 *         and when it may differ from what was announced
 *
 * A node announces an identity with its first connection in a room, and its going with
 * the last. An announcement may get lost; so the list is loaded again when nodes came or
 * went, when this one or another one says that it was cut off from the broker, and in any
 * case after RECOUNT_BEATS. What is announced while a load is under way counts more than
 * its answer, which may be older.
 *
 * Who joins before the first load waits for it (`unmet`), since `joined` tells of all.
 *
 * A server may have very many rooms, and a broker only so much time: of all that are to
 * be loaded LISTS_AT_ONCE are under way, the others queue; and of those that were loaded
 * before only some are added in each turn of the house.
 */
#ifndef WSI_ROOM_ROSTER_H
#define WSI_ROOM_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/room.h>

#include "cluster/bus.h"
#include "core/list.h"

struct wsi_attendance;
struct wsi_blob;
struct wsi_member;
struct wsi_present;
struct wsi_room_posts;
struct wsi_spread;
struct wsi_wire;

/* Of a room: in its branch. */
struct wsi_roster {
    /* Under the spread's lock: */
    struct wsi_list node; /* in its rosters: their list, or */
    bool queued;          /* their queue */
    uint64_t asked_ms;    /* when it was loaded last, */
    uint64_t recount;     /* for which recount */
    /* Under the room's lock: */
    bool wanted;         /* somebody here is told of people */
    bool loaded;         /* once, since it was wanted */
    bool loading;        /* an answer is to come, with a reference to the room */
    bool outdated;       /* it is of no use: who goes was not heard of meanwhile */
    bool stale;          /* load it, once again_ms has come */
    bool is_said;        /* who was here before the cluster */
    bool unsaid;         /* of somebody here the bus does not know */
    uint64_t load;       /* the number of the last load */
    uint64_t again_ms;   /* since the first one failed */
    struct wsi_list all; /* struct wsi_far.listed */
    size_t count;        /* of them */
    struct wsi_list unmet;
    uint64_t until_ms; /* they wait no longer */
    struct wsi_bus_receipt receipt;
};

/* An identity on another node. */
struct wsi_far {
    struct wsi_list node;        /* present->far */
    struct wsi_list listed;      /* roster->all */
    struct wsi_present *present; /* a reference */
    struct wsi_blob *info;       /* (owned, nullable) */
    uint64_t load;               /* it was heard of in that load, or since that began */
    bool gone;                   /* it left while a load is under way */
    uint8_t id[WSI_BUS_NODE_ID_SIZE];
};

/* All that a server keeps; under the spread's lock. Zero-initialise, but the lists. */
struct wsi_rosters {
    struct wsi_list list; /* wsi_roster.node, the one that was loaded first comes first */
    struct wsi_list queue; /* of those that are to be loaded, when fewer are */
    unsigned under_way;    /* lists of rooms that are asked for */
    uint64_t recount;      /* what was loaded for another one is loaded again */
    uint64_t recount_ms;   /* when there is to be one more; 0: none is due */
    uint64_t tell_ms;      /* have other nodes do so; 0: no */
    uint64_t asked_ms;     /* which nodes there are: each beat, on the house's worker, */
    uint64_t nodes;        /* and a digest of them */
    bool asking;
    struct wsi_bus_receipt receipt;
};

void wsi_roster_init(struct wsi_roster *roster);
/** With the room's memory. */
void wsi_roster_fini(struct wsi_roster *roster);

/* ---- with the room's lock held; of a room with or without a branch ---- */

/** Somebody came with the first connection of an identity here, or went with the last:
 *  have the other nodes know. */
void wsi_roster_say_joined(wsock_room *room, const struct wsi_attendance *attendance);
void wsi_roster_say_left(wsock_room *room, struct wsi_present *present);

/** Members came or went, or the room's end. */
void wsi_roster_look(wsock_room *room);
/** The room is subscribed. */
void wsi_roster_heard(wsock_room *room);
/** As it asked for. */
void wsi_roster_try(wsock_room *room, struct wsi_room_posts *posts);

/** Whether who joins now is to wait. */
bool wsi_roster_is_due(const wsock_room *room);
/** It does, until the `met` of its ticket. */
void wsi_roster_await(struct wsi_member *member);
/** It leaves. @return whether its `met` is due before. */
bool wsi_roster_give_up(struct wsi_member *member);

/* ---- without ---- */

/** What another node says: JOINED, LEFT. */
void wsi_roster_take(wsock_room *room, const struct wsi_wire *wire);

/* ---- of a server ---- */

void wsi_rosters_init(struct wsi_rosters *rosters);
/** The house's turn, on its worker. */
void wsi_rosters_turn(struct wsi_spread *spread);
/** The broker is there again: what others said meanwhile was lost, and what was said
 *  here. */
void wsi_rosters_were_cut_off(struct wsi_spread *spread);
/** Another node was. */
void wsi_rosters_recount(struct wsi_spread *spread);

#endif
