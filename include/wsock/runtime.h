/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The runtime: a pool of worker threads that servers and clients share. A program
 * usually has one. Its threads start with the first listener, connection or timer, block
 * all signals, and end in wsock_runtime_free().
 */
#ifndef WSOCK_RUNTIME_H
#define WSOCK_RUNTIME_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Make a runtime. No thread starts yet.
 *
 * @param out (out, owned) end it with wsock_runtime_free().
 * @return 0; WSOCK_ENOMEM.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_runtime_new(wsock_runtime **out);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_runtime *wsock_runtime_ref(wsock_runtime *runtime);

/** Drop a reference taken with wsock_runtime_ref(). @param runtime (nullable) Thread:
 * any. Since: 1.0 */
WSOCK_API void wsock_runtime_unref(wsock_runtime *runtime);

/**
 * Stop everything (as wsock_runtime_stop() does), wait for it and for the threads, and
 * drop the creator's reference. Handlers still run while it waits; none runs after.
 *
 * @param runtime (consumed, nullable)
 * @return 0; WSOCK_EDEADLK from a handler: then nothing happened.
 * Thread: any that is not a worker of this runtime. Waits for at most about the longest
 * of the servers' stop_timeout and the clients' close_timeout. Since: 1.0
 */
WSOCK_API int wsock_runtime_free(wsock_runtime *runtime);

/** Flags of wsock_runtime_run(). */
enum {
    /** SIGINT and SIGTERM call wsock_runtime_stop(); a second one cuts every connection
     *  off at once. The former dispositions are restored on return. */
    WSOCK_RUN_SIGNALS = 1,
};

/**
 * Wait until wsock_runtime_stop() was called and all servers and connections have ended.
 *
 * @return 0; WSOCK_EDEADLK from a handler; WSOCK_EBUSY while another thread is in it for
 * this runtime, or has the signals; WSOCK_EINVAL for unknown flags; WSOCK_ESYSTEM.
 * Thread: any that is not a worker of this runtime. Since: 1.0
 */
WSOCK_API int wsock_runtime_run(wsock_runtime *runtime, unsigned flags);

/**
 * Begin to end all servers (wsock_server_stop()) and all connections of clients (close
 * code 1001). Returns at once. New servers, listeners, connections and timers answer
 * WSOCK_ECLOSED from then on.
 *
 * @param runtime (nullable)
 * Thread: any. From a handler: yes. Since: 1.0
 */
WSOCK_API void wsock_runtime_stop(wsock_runtime *runtime);

/** Levels of log lines. */
enum {
    WSOCK_LOG_ERROR = 1, /**< something that the application asked for failed */
    WSOCK_LOG_WARN = 2,  /**< a limit acted, a resource runs short */
    WSOCK_LOG_INFO = 3,  /**< listeners, starts and stops */
    WSOCK_LOG_DEBUG = 4, /**< each connection */
};

/**
 * One line for the log.
 *
 * @param level   WSOCK_LOG_ERROR to WSOCK_LOG_DEBUG.
 * @param subject (borrowed until return) what it is about: "server", "conn 17".
 * @param text    (borrowed until return) one line without its end.
 * Thread: any, and several at once. It must not call into this runtime, but for
 * wsock_queue_wake().
 */
typedef void (*wsock_log_fn)(int level, const char *subject, const char *text,
                             void *user);

/**
 * Receive the log. The library writes nowhere else: without a hook it is silent. The
 * option log_level chooses how much comes.
 *
 * @param fn (nullable) NULL: no more.
 * @return 0; WSOCK_ENOMEM.
 * Thread: any, at any time. Since: 1.0
 */
WSOCK_API int wsock_runtime_on_log(wsock_runtime *runtime, wsock_log_fn fn, void *user,
                                   wsock_free_fn free_user);

/**
 * Set an option of scope runtime (option.h) from text, such as "4", "64KiB", "10s",
 * "true".
 *
 * @return 0; WSOCK_EOPTION for an unknown name or an option of other objects;
 * WSOCK_ERANGE; WSOCK_EINVAL for a malformed value; WSOCK_EBUSY for an option that is not
 * live, once the threads run. On failure wsock_runtime_error() names the option, the
 * value, and what is allowed, and nothing changed. Thread: any. Since: 1.0
 */
WSOCK_API int wsock_runtime_set(wsock_runtime *runtime, const char *name,
                                const char *value);
/** The same from a number in the option's unit (bytes, milliseconds, a count, 0 or 1 for
 * a boolean; 0 for "off"). WSOCK_EINVAL for an option that is a text. Thread: any.
 * Since: 1.0 */
WSOCK_API int wsock_runtime_set_int64(wsock_runtime *runtime, const char *name,
                                      int64_t value);
/** What an option is. @param out (out) in the option's unit, 0 for "off". @return 0;
 *  WSOCK_EOPTION, also for an option that is a text. Thread: any. Since: 1.0 */
WSOCK_API int wsock_runtime_get_int64(wsock_runtime *runtime, const char *name,
                                      int64_t *out);

/**
 * Why the last call on this runtime that failed did so: of those that set or get an
 * option, and of wsock_runtime_client(). "no error" before any did.
 *
 * @param runtime (nullable)
 * @return (borrowed until the next failing call on it) one sentence, never NULL.
 * Thread: any. Since: 1.0
 */
WSOCK_API const char *wsock_runtime_error(wsock_runtime *runtime);

#ifdef __cplusplus
}
#endif

#endif
