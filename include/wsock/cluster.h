/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Servers that share their rooms over a message broker (docs/cluster.md): Redis or NATS,
 * or one within the process. The option cluster names it by a URL. A server begins to
 * connect when it first listens, and goes on by itself when the broker was away: what
 * members of one server say to each other goes on meanwhile.
 *
 * A room is the same on all servers that have the same broker and cluster_prefix. Options
 * of rooms, such as what they keep, have to be the same on all of them.
 */
#ifndef WSOCK_CLUSTER_H
#define WSOCK_CLUSTER_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a server has of its cluster. */
enum {
    WSOCK_CLUSTER_NONE = 0, /**< it has none: no option cluster, or it does not listen */
    WSOCK_CLUSTER_AWAY = 1, /**< the broker is not there, or not yet */
    WSOCK_CLUSTER_UP = 2,
};

/** The broker came, or went away. @param server (borrowed until return) @param state
 * WSOCK_CLUSTER_AWAY or WSOCK_CLUSTER_UP @param why (borrowed until return) one sentence
 * if it is away, else "". */
typedef void (*wsock_cluster_fn)(wsock_server *server, int state, const char *why,
                                 void *user);

/**
 * Hear of the broker: on the server's queue, or a worker. What changes faster than that
 * runs is told once.
 *
 * @param fn   (nullable) NULL: no handler any more.
 * @param user (owned) if there is a free_user.
 * @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED once the server is stopping.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_server_on_cluster(wsock_server *server, wsock_cluster_fn fn,
                                      void *user, wsock_free_fn free_user);

/**
 * How it is now.
 *
 * @param why (out, nullable if size is 0) why the broker is away, cut to size bytes and
 *            NUL-terminated; "" if it is not.
 * @return WSOCK_CLUSTER_NONE, WSOCK_CLUSTER_AWAY or WSOCK_CLUSTER_UP.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_cluster(wsock_server *server, char *why, size_t size);

/** A server of a cluster. Later versions may add members at the end: look at size. */
typedef struct wsock_node {
    size_t size;      /**< of this struct, in the library that filled it */
    const char *id;   /**< drawn when it began to listen: 32 hexadecimal digits */
    const char *name; /**< its option cluster_name; several may have the same */
    uint64_t conns;   /**< its open connections, as of its last beat */
    int32_t is_self;  /**< 1: the one that was asked */
    int32_t reserved; /**< 0 */
} wsock_node;

/** @param nodes (borrowed until return) @param why (borrowed until return) "", or why
 *  there is no list */
typedef void (*wsock_nodes_fn)(const wsock_node *nodes, size_t count, const char *why,
                               void *user);

/**
 * Ask the broker which servers there are.
 *
 * @param fn called once, later, on the server's queue or any thread of the library's, if
 *           the call did not fail.
 * @return 0; WSOCK_ENOTSUP without a cluster; WSOCK_EAGAIN while the broker is away;
 *         WSOCK_ECLOSED; WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_server_nodes(wsock_server *server, wsock_nodes_fn fn, void *user);

#ifdef __cplusplus
}
#endif

#endif
