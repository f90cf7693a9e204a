/* SPDX-License-Identifier: MIT */
/* The log for scripts: a list under a lock, which is held for a few instructions. Workers
 * call hook() and only wake queues; wsock_queue_wake() takes no lock and calls nobody. */
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 1024 };

/* A queue that is woken. */
struct listener {
    struct listener *next;
    wsock_queue *queue; /* (owned) a reference */
};

struct wbind_log {
    atomic_uint refs; /* the host's and the hook's */
    pthread_mutex_t lock;
    /* Under the lock: */
    struct wbind_line *lines, **end;
    unsigned count;
    unsigned long long dropped;
    struct listener *listeners;
};

static struct wbind_line *new_line(int level, const char *subject, const char *text)
{
    const size_t subject_size = strlen(subject) + 1, text_size = strlen(text) + 1;
    struct wbind_line *line = malloc(sizeof *line + subject_size + text_size);
    char *texts;

    if (line == NULL)
        return NULL;
    texts = (char *)(line + 1);
    memcpy(texts, subject, subject_size);
    memcpy(texts + subject_size, text, text_size);
    *line = (struct wbind_line){NULL, level, texts, texts + subject_size};
    return line;
}

struct wbind_line *wbind_line_free(struct wbind_line *line)
{
    struct wbind_line *next = line->next;

    free(line);
    return next;
}

/* Any thread: a worker's as a rule. */
static void hook(int level, const char *subject, const char *text, void *user)
{
    struct wbind_log *log = user;
    struct wbind_line *line = new_line(level, subject, text);

    pthread_mutex_lock(&log->lock);
    if (line != NULL && log->count < LINES_MAX) {
        *log->end = line;
        log->end = &line->next;
        line = NULL;
        if (log->count++ == 0)
            for (struct listener *one = log->listeners; one != NULL; one = one->next)
                wsock_queue_wake(one->queue);
    } else {
        log->dropped++;
    }
    pthread_mutex_unlock(&log->lock);
    free(line);
}

static void drop(void *user)
{
    struct wbind_log *log = user;

    if (atomic_fetch_sub(&log->refs, 1) != 1)
        return;
    while (log->lines != NULL)
        log->lines = wbind_line_free(log->lines);
    while (log->listeners != NULL)
        wbind_log_leave(log, log->listeners->queue);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

int wbind_log_open(struct wbind_log **out, wsock_runtime *runtime)
{
    struct wbind_log *log = calloc(1, sizeof *log);
    int r;

    if (log == NULL)
        return WSOCK_ENOMEM;
    atomic_init(&log->refs, 2);
    pthread_mutex_init(&log->lock, NULL);
    log->end = &log->lines;
    r = wsock_runtime_on_log(runtime, hook, log, drop);
    if (r < 0) {
        drop(log); /* the hook's */
        drop(log);
        return r;
    }
    *out = log;
    return 0;
}

void wbind_log_close(struct wbind_log *log)
{
    drop(log);
}

int wbind_log_join(struct wbind_log *log, wsock_queue *queue)
{
    struct listener *listener = malloc(sizeof *listener);

    if (listener == NULL)
        return WSOCK_ENOMEM;
    listener->queue = wsock_queue_ref(queue);
    pthread_mutex_lock(&log->lock);
    listener->next = log->listeners;
    log->listeners = listener;
    if (log->count > 0)
        wsock_queue_wake(queue);
    pthread_mutex_unlock(&log->lock);
    return 0;
}

void wbind_log_leave(struct wbind_log *log, wsock_queue *queue)
{
    struct listener **at = &log->listeners, *found;

    pthread_mutex_lock(&log->lock);
    while (*at != NULL && (*at)->queue != queue)
        at = &(*at)->next;
    found = *at;
    if (found != NULL)
        *at = found->next;
    pthread_mutex_unlock(&log->lock);
    if (found != NULL)
        wsock_queue_unref(found->queue);
    free(found);
}

struct wbind_line *wbind_log_take(struct wbind_log *log)
{
    struct wbind_line *lines, *told = NULL, **end;
    unsigned long long dropped;

    pthread_mutex_lock(&log->lock);
    lines = log->lines;
    end = lines != NULL ? log->end : &lines;
    log->lines = NULL;
    log->end = &log->lines;
    log->count = 0;
    dropped = log->dropped;
    log->dropped = 0;
    pthread_mutex_unlock(&log->lock);
    if (dropped > 0) {
        char text[96];

        snprintf(text, sizeof text,
                 "%llu lines were dropped, since the host was too busy", dropped);
        told = new_line(WSOCK_LOG_WARN, "log", text);
    }
    if (told != NULL) {
        *end = told;
    } else if (dropped > 0) { /* no memory: another time */
        pthread_mutex_lock(&log->lock);
        log->dropped += dropped;
        pthread_mutex_unlock(&log->lock);
    }
    return lines;
}
