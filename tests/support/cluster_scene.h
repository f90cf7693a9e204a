/* SPDX-License-Identifier: MIT */
/*
 * Nodes of a cluster in one process, by a clock that the test moves: they share a broker
 * in memory, hold the room "r" each, and have clients, of whom the scene knows what they
 * heard. Nodes are "node0", "node1" and so on.
 */
#ifndef WSI_TEST_CLUSTER_SCENE_H
#define WSI_TEST_CLUSTER_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include <wsock/wsock.h>

#include "cluster/memory.h"

enum { NODES = 3, CLIENTS = 8 };

struct peer {
    wsock_client *client;
    wsock_conn *conn; /* the server's end, a reference */
    char heard[1024];
};

/* How the nodes are made. */
struct scene {
    const char *const *node_options; /* pairs of name and value, ended by NULL */
    const char *const *room_options; /* the same for the room "r", nullable */
    wsock_message_fn on_heard;       /* of clients; user is the peer */
};

extern wsock_runtime *runtime;
extern wsock_server *server[NODES];
extern wsock_room *room[NODES];
extern struct peer peer[CLIENTS];

/** Nodes that have their room, and no client yet. */
void begin_scene(const struct scene *scene);
/** Everything ends. */
void finish(void);

/** A node that was stopped, without a room. */
void make_node(int i);
/** Its room is let go of as well. */
void stop_node(int i);
/** Room "r", with the options of the scene. */
void make_room(int node);

/** A client of a node, which is in no room yet. @return (borrowed) the server's end */
wsock_conn *connect_to(int i, int node);

/** Turns without letting time pass, until nothing is ready. */
void settle(void);
void pass(uint64_t ms);

/** Since the last time a client heard exactly this, with what is on its way. */
void heard(int i, const char *text);

/** Of the broker, from now on. */
void fault(enum wsi_bus_fault which, uint64_t value);
/** Take its broker from a node, or give it back. */
void cut_node(int node, bool cut);

#endif
