/* SPDX-License-Identifier: MIT */
/*
 * The log. Who calls the hook holds a reference to it, taken under the lock, so the hook
 * may itself log or be replaced while it runs, and its user pointer outlives every call.
 */
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "core/ref.h"
#include "core/str.h"

struct wsi_log_hook {
    struct wsi_ref ref;
    wsock_log_fn fn;
    void *user;
    wsock_free_fn free_user;
};

static void drop(struct wsi_log_hook *hook)
{
    if (hook == NULL || !wsi_ref_drop(&hook->ref))
        return;
    if (hook->free_user != NULL)
        hook->free_user(hook->user);
    wsi_free(hook);
}

void wsi_log_init(struct wsi_log *log, int level)
{
    atomic_init(&log->wanted, 0);
    log->level = level;
    log->hook = NULL;
    pthread_mutex_init(&log->lock, NULL);
}

void wsi_log_fini(struct wsi_log *log)
{
    drop(log->hook);
    log->hook = NULL;
    pthread_mutex_destroy(&log->lock);
}

/* Under the lock. */
static void update_wanted(struct wsi_log *log)
{
    atomic_store_explicit(&log->wanted, log->hook != NULL ? log->level : 0,
                          memory_order_relaxed);
}

void wsi_log_set_level(struct wsi_log *log, int level)
{
    pthread_mutex_lock(&log->lock);
    log->level = level;
    update_wanted(log);
    pthread_mutex_unlock(&log->lock);
}

int wsi_log_set_hook(struct wsi_log *log, wsock_log_fn fn, void *user,
                     wsock_free_fn free_user)
{
    struct wsi_log_hook *hook = NULL, *former;

    if (fn != NULL) {
        hook = wsi_alloc(sizeof *hook);
        if (hook == NULL)
            return WSOCK_ENOMEM;
        wsi_ref_init(&hook->ref);
        hook->fn = fn;
        hook->user = user;
        hook->free_user = free_user;
    }
    pthread_mutex_lock(&log->lock);
    former = log->hook;
    log->hook = hook;
    update_wanted(log);
    pthread_mutex_unlock(&log->lock);
    drop(former);
    /* Nobody will use what came without a function: that is after its last use. */
    if (fn == NULL && free_user != NULL)
        free_user(user);
    return 0;
}

void wsi_log(struct wsi_log *log, int level, const char *subject, const char *format, ...)
{
    struct wsi_log_hook *hook;
    char text[512];
    va_list args;

    if (log == NULL || !wsi_log_wants(log, level))
        return;
    pthread_mutex_lock(&log->lock);
    hook = log->hook;
    if (hook != NULL)
        wsi_ref_take(&hook->ref);
    pthread_mutex_unlock(&log->lock);
    if (hook == NULL)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    wsi_str_flatten(text); /* one call is one line */
    hook->fn(level, subject, text, hook->user);
    drop(hook);
}
