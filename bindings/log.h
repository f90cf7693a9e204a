/* SPDX-License-Identifier: MIT */
/* The log of a runtime for hosts whose language must not be entered on a worker: lines wait
 * here, up to a number, until a thread of the host's takes them, as a rule where it has
 * dispatched a queue. What comes when it is full is counted, and a line tells how much that
 * was. For the bindings of all languages; knows none. */
#ifndef WBIND_LOG_H
#define WBIND_LOG_H

#include <wsock/wsock.h>

struct wbind_log;

struct wbind_line {
    struct wbind_line *next;
    int level; /* WSOCK_LOG_* */
    const char *subject, *text;
};

/** Take over the log of a runtime. @param out (out, owned) @return 0; WSOCK_ENOMEM. */
int wbind_log_open(struct wbind_log **out, wsock_runtime *runtime);

/** Nobody takes lines any more. The runtime drops what it refers to when it ends. */
void wbind_log_close(struct wbind_log *log);

/** Wake a queue, as wsock_queue_wake() does, when lines begin to wait. It keeps the queue
 * until wbind_log_leave(). @return 0; WSOCK_ENOMEM. Any thread. */
int wbind_log_join(struct wbind_log *log, wsock_queue *queue);

void wbind_log_leave(struct wbind_log *log, wsock_queue *queue);

/** Take all lines that wait. @return (owned) the oldest one first; NULL: none. Any thread. */
struct wbind_line *wbind_log_take(struct wbind_log *log);

/** @return the line behind it, which is the caller's from then on. */
struct wbind_line *wbind_line_free(struct wbind_line *line);

#endif
