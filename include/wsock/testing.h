/* SPDX-License-Identifier: MIT */
/**
 * @file
 * For tests of your own handlers: a runtime whose servers and clients meet in memory, by
 * a clock that you move. No ports, no threads, no waiting, and each run is like the last.
 *
 *     wsock_testing_new(&runtime, 1);
 *     wsock_server_new(runtime, &server);       // and so on, as ever
 *     wsock_server_listen(server, "ws://chat");
 *     wsock_runtime_client(runtime, &client, "ws://chat/room");
 *     wsock_client_connect(client, &conn);
 *     wsock_testing_run(runtime);               // on_open ran, at both ends
 *     wsock_testing_advance(runtime, 20000);    // 20 s later: pings, limits, timers
 *
 * **What is real.** Everything but the network and the clock: the protocol, compression,
 * TLS, limits, rooms, queues, timers, the client that comes back.
 *
 * **Time** stands still, but for wsock_testing_advance() and the calls that wait:
 * wsock_queue_dispatch(), wsock_queue_wait(), wsock_server_wait(), wsock_runtime_run()
 * and wsock_runtime_free() have time pass instead, as little as it takes. What would wait
 * for ever answers WSOCK_EDEADLK. Whatever is due at a moment is done before a later one
 * comes.
 *
 * **The thread** that makes these calls runs the handlers: there is one worker, whatever
 * the option workers says, and it has no thread. So a handler cannot call them:
 * WSOCK_EDEADLK. Calls from outside of handlers take effect with the next of these. Other
 * threads may use its objects as ever, but a test of several threads is no longer like
 * the last one; and they must not hold a lock that handlers take while they listen, or
 * change the network.
 *
 * **Addresses.** Each name has an address of its own, and is heard of by this runtime
 * only. Who connects where nobody listens is refused.
 *
 * **Chance** (delays before a client comes back, masks, keys) follows from the seed. Not
 * the same in each run are the numbers of connections, and what OpenSSL draws.
 *
 * All answer WSOCK_ENOTSUP for a runtime, or a connection of one, that is not for tests;
 * wsock_runtime_error() says why a call on a runtime failed.
 */
#ifndef WSOCK_TESTING_H
#define WSOCK_TESTING_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Make a runtime for tests.
 *
 * @param out  (out, owned) end it with wsock_runtime_free().
 * @param seed any number: what follows from chance is the same for the same seed.
 * @return 0; WSOCK_ENOMEM; WSOCK_EINVAL.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_testing_new(wsock_runtime **out, uint64_t seed);

/* ---- time ---- */

/**
 * Do what there is to do now, handlers on queues included, until nothing is left. The
 * clock stands still.
 *
 * @return 0; WSOCK_EDEADLK from a handler; WSOCK_ETIMEDOUT after a million rounds: it
 * will never rest, such as two ends that answer each other at once. Thread: any, one at a
 * time. Since: 1.0
 */
WSOCK_API int wsock_testing_run(wsock_runtime *runtime);

/**
 * The same, and then whatever happens in the next `ms` milliseconds, each at its time.
 *
 * @return as wsock_testing_run(); WSOCK_ERANGE above 10^12.
 * Thread: any, one at a time. Since: 1.0
 */
WSOCK_API int wsock_testing_advance(wsock_runtime *runtime, uint64_t ms);

/**
 * For who dispatches queues by himself: the same, but only until handlers wait on a
 * queue, and none of them runs.
 *
 * @return 1 when some wait; 0 once the time has passed; else as wsock_testing_advance().
 * Thread: any, one at a time. Since: 1.0
 */
WSOCK_API int wsock_testing_wait(wsock_runtime *runtime, uint64_t ms);

/** Milliseconds by its clock, since it was made; 0 for another runtime. Thread: any.
 * Since: 1.0 */
WSOCK_API uint64_t wsock_testing_now_ms(const wsock_runtime *runtime);

/**
 * How long nothing will happen by itself.
 *
 * @param out (out) milliseconds from now; something may, or may not, happen then.
 * @return 0; WSOCK_ENOENT when nothing will, however long one waits.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_testing_next_ms(wsock_runtime *runtime, int64_t *out);

/* ---- the network ---- */

/** How long bytes, and attempts to connect, are under way from now on; at first 0.
 * @return 0; WSOCK_ERANGE above 10^9. Thread: any. Since: 1.0 */
WSOCK_API int wsock_testing_set_delay(wsock_runtime *runtime, uint64_t delay_ms);

/** How many bytes one send or receive takes at most from now on: 1 is every possible cut.
 * 0, as at first: whatever there is. Thread: any. Since: 1.0 */
WSOCK_API int wsock_testing_set_chunk(wsock_runtime *runtime, size_t chunk_bytes);

/** How many bytes are under way or unread at most, for each direction of a connection,
 * before its sender has to wait; at first 65,536. @return 0; WSOCK_ERANGE for 0.
 * Thread: any. Since: 1.0 */
WSOCK_API int wsock_testing_set_room(wsock_runtime *runtime, size_t room_bytes);

/** Where who connects from now on comes from, at first "127.0.0.1": for limits and rules
 * by address. @param address numeric, v4 or v6. @return 0; WSOCK_EINVAL. Thread: any.
 * Since: 1.0 */
WSOCK_API int wsock_testing_set_source(wsock_runtime *runtime, const char *address);

/**
 * Hold the network: nothing arrives, connections that are being made included, and nobody
 * is told. Letting go has all of it arrive, in order, and ends what
 * wsock_testing_conn_hold() began.
 *
 * @param held 1 or 0.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_testing_hold(wsock_runtime *runtime, int held);

/**
 * Hold what this end of a connection sends; what the other end sends goes on arriving.
 *
 * @param conn (borrowed) either end.
 * @param held 1 or 0.
 * @return 0; WSOCK_ECLOSED when it is not connected, or its peer is not any more.
 * Thread: the one that runs its handlers. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_testing_conn_hold(wsock_conn *conn, int held);

/** Break a connection: both ends find it reset, and what is under way is lost. @return as
 * wsock_testing_conn_hold(). Thread: the same. From a handler: yes. Since: 1.0 */
WSOCK_API int wsock_testing_conn_cut(wsock_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
