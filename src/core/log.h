/* SPDX-License-Identifier: MIT */
/*
 * The log: one hook of the application, a level, one line a call. Any thread may log and
 * set the hook; several threads may be in the hook at once. A former hook may still be
 * running in another thread when wsi_log_set_hook() returns; its user pointer is freed
 * when the last such call has returned. No lock is held while the hook runs.
 */
#ifndef WSI_CORE_LOG_H
#define WSI_CORE_LOG_H

#include <pthread.h>
#include <stdatomic.h>

#include <wsock/runtime.h>

struct wsi_log_hook;

struct wsi_log {
    atomic_int wanted; /* the level that a hook gets; 0 without a hook */
    int level;         /* the option; under lock, as hook is */
    struct wsi_log_hook *hook;
    pthread_mutex_t lock;
};

/** @param level the option log_level. */
void wsi_log_init(struct wsi_log *log, int level);

/** Nobody may log any more. Frees the hook's user pointer. */
void wsi_log_fini(struct wsi_log *log);

void wsi_log_set_level(struct wsi_log *log, int level);

/** @param fn (nullable) NULL: no more. @return 0; WSOCK_ENOMEM: the former hook stays,
 * and free_user is not called. */
int wsi_log_set_hook(struct wsi_log *log, wsock_log_fn fn, void *user,
                     wsock_free_fn free_user);

/** One relaxed load. */
static inline int wsi_log_wants(const struct wsi_log *log, int level)
{
    return level <= atomic_load_explicit(&log->wanted, memory_order_relaxed);
}

/** Log one line, without its end. What is longer than 511 bytes is cut; control
 * characters become '?'. @param log (nullable) @param level WSOCK_LOG_*. */
void wsi_log(struct wsi_log *log, int level, const char *subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
