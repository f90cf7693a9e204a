/* SPDX-License-Identifier: MIT */
/**
 * @file
 * libwsock: WebSocket servers and clients (RFC 6455) on a pool of worker threads.
 *
 * An echo server, whole:
 *
 *     static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
 *                            void *user)
 *     {
 *         (void)user;
 *         wsock_conn_send(conn, type, data, len);
 *     }
 *
 *     int main(void)
 *     {
 *         wsock_runtime *runtime = NULL;
 *         wsock_server *server = NULL;
 *         wsock_endpoint *echo = NULL;
 *         int r = wsock_runtime_new(&runtime);
 *
 *         if (r == 0)
 *             r = wsock_server_new(runtime, &server);
 *         if (r == 0)
 *             r = wsock_server_endpoint(server, &echo, "/echo");
 *         if (r == 0)
 *             r = wsock_endpoint_on_message(echo, on_message, NULL, NULL);
 *         if (r == 0)
 *             r = wsock_server_listen(server, "ws://127.0.0.1:8080");
 *         if (r == 0)
 *             r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
 *         if (r < 0)
 *             fprintf(stderr, "echo: %s\n", wsock_server_error(server));
 *         wsock_endpoint_unref(echo);
 *         wsock_server_free(server);
 *         wsock_runtime_free(runtime);
 *         return r < 0;
 *     }
 *
 * Where to read on: types.h (lifetimes and threads, for all handles), server.h,
 * endpoint.h, request.h, conn.h; client.h for the other end; room.h and message.h for
 * many at once, rooms_v1.h to have pages in them, history.h for what they missed,
 * member.h for who they are, pattern.h to hear many rooms, cluster.h for rooms of many
 * servers; jwt.h for signed tokens; tls.h for wss; timer.h for later; queue.h to have
 * handlers run on a thread of your own; option.h for limits; runtime.h for
 * threads, signals and the log; error.h for what calls answer; memory.h for a heap of
 * your own; testing.h for tests of what you write with all this.
 */
#ifndef WSOCK_WSOCK_H
#define WSOCK_WSOCK_H

#include <wsock/client.h>
#include <wsock/cluster.h>
#include <wsock/conn.h>
#include <wsock/endpoint.h>
#include <wsock/error.h>
#include <wsock/history.h>
#include <wsock/jwt.h>
#include <wsock/member.h>
#include <wsock/memory.h>
#include <wsock/message.h>
#include <wsock/option.h>
#include <wsock/pattern.h>
#include <wsock/queue.h>
#include <wsock/request.h>
#include <wsock/room.h>
#include <wsock/rooms_v1.h>
#include <wsock/runtime.h>
#include <wsock/server.h>
#include <wsock/testing.h>
#include <wsock/timer.h>
#include <wsock/tls.h>
#include <wsock/types.h>
#include <wsock/version.h>

#endif
