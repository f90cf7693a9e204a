/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Subscriptions: connections that hear what is said in all rooms whose names match a
 * pattern, without being members of any.
 *
 * In a pattern the token "*" stands for any one token and ">", as the last one, for one
 * or more: "match.*.chat" is for match.42.chat, "match.>" for that and for match.42. A
 * pattern has at most 16 tokens and 4 times "*"; within these bounds what a broadcast
 * takes to find the patterns of its room does not depend on how many there are.
 */
#ifndef WSOCK_PATTERN_H
#define WSOCK_PATTERN_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Have an open connection hear every room of the server that matches, also those that
 * will be made. It gets each message once, however many of its patterns match and whether
 * it is a member too, in the order of the room; of two rooms each has its own order. It
 * gets what is broadcast from this call on, until it unsubscribes or closing begins, as
 * members do; not what wsock_room_broadcast_if() sends, whose function is asked about
 * members only. It is no member: no list and no count of them has it.
 *
 * @param pattern (borrowed until return)
 * @return 0; WSOCK_EEXIST when it is subscribed to this one; WSOCK_ECLOSED when it is not
 *         open; WSOCK_ETOOBIG at its option max_rooms_per_connection, which counts its
 *         rooms and patterns together, and for a pattern beyond the bounds above;
 *         WSOCK_EINVAL for the pattern, and for a connection of another runtime;
 *         WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_server_subscribe(wsock_server *server, wsock_conn *conn,
                                     const char *pattern);

/** Nothing broadcast after this reaches it by this pattern. @return 0; WSOCK_ENOENT when
 *  it is not subscribed. Thread: any. From a handler: yes. Since: 1.0 */
WSOCK_API int wsock_server_unsubscribe(wsock_server *server, wsock_conn *conn,
                                       const char *pattern);

#ifdef __cplusplus
}
#endif

#endif
