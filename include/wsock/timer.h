/* SPDX-License-Identifier: MIT */
/** @file Timers that run where handlers run, so that they need no locks against them. */
#ifndef WSOCK_TIMER_H
#define WSOCK_TIMER_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A timer runs.
 *
 * @param timer  (borrowed until return)
 * @param missed how many ticks of a repeated timer were skipped because they came too
 * late.
 */
typedef void (*wsock_timer_fn)(wsock_timer *timer, uint64_t missed, void *user);

/**
 * Start a timer on a worker: the one of the handler that calls this, else any one. Timers
 * do not keep a runtime from ending; wsock_runtime_free() ends those that are left.
 *
 * @param out       (out, owned, nullable) without it only the timer's own function can
 * stop it.
 * @param first_ms  when it first runs, in milliseconds from now; never inside this call.
 * @param every_ms  how often after that, at a fixed rate; 0: only once.
 * @param free_user (nullable) called once it will not run any more.
 * @return 0; WSOCK_ECLOSED once the runtime is stopping; WSOCK_ENOMEM; WSOCK_EMFILE and
 *         WSOCK_ESYSTEM when the threads cannot start.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_runtime_timer(wsock_runtime *runtime, wsock_timer **out,
                                  uint64_t first_ms, uint64_t every_ms, wsock_timer_fn fn,
                                  void *user, wsock_free_fn free_user);

/** The same on the connection's worker, between its handlers; it ends when the connection
 *  begins to close. @return 0; WSOCK_ECLOSED also when the connection is not open;
 *  WSOCK_ENOMEM. Thread: any. From a handler: yes. Since: 1.0 */
WSOCK_API int wsock_conn_timer(wsock_conn *conn, wsock_timer **out, uint64_t first_ms,
                               uint64_t every_ms, wsock_timer_fn fn, void *user,
                               wsock_free_fn free_user);

/** It does not run any more once this returned, when called on its own worker; a run on
 *  another thread may just be under way. @param timer (nullable) Thread: any. From a
 * handler, its own function included: yes. Since: 1.0 */
WSOCK_API void wsock_timer_stop(wsock_timer *timer);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_timer *wsock_timer_ref(wsock_timer *timer);

/** A timer that nobody holds goes on running. @param timer (nullable) Thread: any.
 * Since: 1.0 */
WSOCK_API void wsock_timer_unref(wsock_timer *timer);

#ifdef __cplusplus
}
#endif

#endif
