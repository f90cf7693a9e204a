/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A queue: have the handlers of servers and clients run on a thread of the application's,
 * when that thread asks for them, and not on the workers. It is how scripts, games and
 * programs with a loop of their own use this library.
 *
 *     wsock_runtime_queue(runtime, &queue);
 *     wsock_server_set_queue(server, queue);    // before its handlers
 *     ...
 *     while (running)
 *         wsock_queue_dispatch(queue, 0, 1000); // handlers run in here
 *
 * **The same handlers**, with the same arguments, in the same order for each connection
 * and each room. Timers of its connections and wsock_conn_post() run on it as well.
 * wsock_server_wait(), wsock_runtime_run() and wsock_runtime_free() dispatch while they
 * wait, if they are called on the thread that dispatched last (at first: that made the
 * queue), since else the handlers that they wait for would never run.
 *
 * **A host that is busy.** The workers never wait for it. For each queue and worker,
 * messages wait up to the options queue_events and queue_bytes; then those connections of
 * the queue that have more to say are not read any more, and their peers are not timed
 * out for it. One connection alone is not read while more than conn_queue_messages or
 * conn_queue_bytes of it wait, so that it does not fill the queue for the others. Nothing
 * is lost, and on_open, on_drain, on_close and requests are never refused for want of
 * room.
 *
 * **A loop of the host's own** waits for wsock_queue_fd(), with wsock_queue_arm() before.
 */
#ifndef WSOCK_QUEUE_H
#define WSOCK_QUEUE_H

#include <wsock/conn.h>
#include <wsock/timer.h>
#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Make a queue.
 *
 * @param out (out, owned) drop it with wsock_queue_unref().
 * @return 0; WSOCK_ENOMEM; WSOCK_EMFILE; WSOCK_ECLOSED once the runtime is stopping.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_runtime_queue(wsock_runtime *runtime, wsock_queue **out);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_queue *wsock_queue_ref(wsock_queue *queue);

/** The last handle to go closes it (wsock_queue_close()). @param queue (nullable) Thread:
 * any. Since: 1.0 */
WSOCK_API void wsock_queue_unref(wsock_queue *queue);

/**
 * Have all handlers of a server, and of its endpoints, run on a queue. The server keeps
 * the queue.
 *
 * @return 0; WSOCK_EBUSY when it has a queue, an endpoint or a handler already, or
 *         listens; WSOCK_EINVAL for a queue of another runtime; WSOCK_ECLOSED for a queue
 *         that was closed.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_server_set_queue(wsock_server *server, wsock_queue *queue);
/** The same for a client: WSOCK_EBUSY when it has a queue or a handler already, or made a
 * connection. Thread: any. Since: 1.0 */
WSOCK_API int wsock_client_set_queue(wsock_client *client, wsock_queue *queue);

/**
 * Run handlers that wait, and if there are none, wait for some.
 *
 * @param max_events how many handlers at most; 0: 1,024.
 * @param timeout_ms how long to wait when there are none; 0: not at all, negative: for as
 *                   long as it takes.
 * @return how many ran, 0 when the time was up or wsock_queue_wake() was called;
 *         WSOCK_EBUSY while another call dispatches, also the one that this is inside of;
 *         WSOCK_ECLOSED once it is closed.
 * Thread: any, one at a time. Since: 1.0
 */
WSOCK_API int wsock_queue_dispatch(wsock_queue *queue, size_t max_events,
                                   int64_t timeout_ms);

/** Only wait: for hosts that must let go of a lock meanwhile. @return 1 when there is
 * something to dispatch, or wsock_queue_wake() was called since the last dispatch; 0 when
 * the time was up; WSOCK_EBUSY while another call dispatches; WSOCK_ECLOSED. Thread: any,
 * one at a time. Since: 1.0 */
WSOCK_API int wsock_queue_wait(wsock_queue *queue, int64_t timeout_ms);

/**
 * Inside on_message or on_part on this queue: take the bytes that the handler was given,
 * without a copy, to keep them beyond its return.
 *
 * @param out       (out, owned) they stay where the handler was told that they are.
 * @param free_data (out) what frees *out: once, at any time, on any thread.
 * @return 0; WSOCK_ENOENT for up to 4 KiB, which have no memory of their own and are to
 * be copied, for what was taken already, and outside of such a handler; WSOCK_EINVAL.
 * Thread: the handler's. Since: 1.0
 */
WSOCK_API int wsock_queue_take_data(wsock_queue *queue, void **out,
                                    wsock_free_fn *free_data);

/**
 * Have the dispatch or wait that is under way, or else the next one, return as soon as it
 * can; a dispatch does so behind the handler that is running. A handler that failed calls
 * it to have what follows wait.
 *
 * Thread: any; also in a signal handler. Since: 1.0
 */
WSOCK_API void wsock_queue_wake(wsock_queue *queue);

/**
 * A descriptor that becomes readable when there is something to dispatch, after
 * wsock_queue_arm() answered 0; at times also for what was dispatched meanwhile. Do not
 * read from it.
 *
 * @return (borrowed from queue) the descriptor; WSOCK_EINVAL for NULL. Thread: any.
 * Since: 1.0
 */
WSOCK_API int wsock_queue_fd(wsock_queue *queue);
/**
 * Before each wait for the descriptor: so it costs nothing while the host is busy.
 *
 * @return 1 when something waits already: dispatch, and do not wait; 0; WSOCK_EBUSY while
 * another call dispatches; WSOCK_ECLOSED.
 * Thread: the one that waits. Since: 1.0
 */
WSOCK_API int wsock_queue_arm(wsock_queue *queue);

/** Something to do for wsock_queue_post(). */
typedef void (*wsock_call_fn)(void *user);
/**
 * Call fn once where the handlers run, and never inside this call.
 *
 * @param free_user (nullable) called after fn; without it when the queue is closed first.
 * @return 0; WSOCK_EAGAIN while 65,536 calls wait; WSOCK_ECLOSED; WSOCK_EINVAL;
 *         WSOCK_ENOMEM.
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API int wsock_queue_post(wsock_queue *queue, wsock_call_fn fn, void *user,
                               wsock_free_fn free_user);

/** A timer whose function runs where the handlers run; else as wsock_runtime_timer(), and
 * WSOCK_ECLOSED once the queue is closed. Runs that the host was too busy for count as
 * missed. Thread: any. From a handler: yes. Since: 1.0 */
WSOCK_API int wsock_queue_timer(wsock_queue *queue, wsock_timer **out, uint64_t first_ms,
                                uint64_t every_ms, wsock_timer_fn fn, void *user,
                                wsock_free_fn free_user);

/**
 * No handler runs on it any more: for a host that goes away. What waits is dropped, with
 * the free functions that belong to it; requests get 503. Its servers and clients are
 * the caller's to stop; they may still be on their way to the end, unheard.
 *
 * @param queue (nullable)
 * Thread: any; while another thread dispatches, the handler that runs there is the last.
 * From a handler: yes. Since: 1.0
 */
WSOCK_API void wsock_queue_close(wsock_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
