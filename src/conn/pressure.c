/* SPDX-License-Identifier: MIT */
/* Keeping what peers make us hold within bounds, over all connections. */
#include "conn/pressure.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conn/conn.h"
#include "conn/droppable.h"
#include "conn/receive_parts.h"
#include "conn/send_parts.h"

enum { RELIEF_MS = 100 };

static int64_t cgroup_limit(void)
{
    static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *file = fopen(files[i], "re");
        char text[32] = "";
        long long limit;

        if (file == NULL)
            continue;
        limit = fgets(text, sizeof text, file) != NULL ? strtoll(text, NULL, 10) : 0;
        (void)fclose(file);
        if (limit > 0) /* "max" is none */
            return limit;
    }
    return INT64_MAX;
}

int64_t wsi_pressure_automatic_limit(void)
{
    const int64_t pages = sysconf(_SC_PHYS_PAGES);
    const int64_t page = sysconf(_SC_PAGESIZE);
    const int64_t memory = pages > 0 && page > 0 ? pages * page : INT64_C(1) << 30;
    const int64_t limit = cgroup_limit();

    return (memory < limit ? memory : limit) / 4;
}

static int64_t limit_of(struct wsi_pool *pool)
{
    const int64_t limit = wsi_option(&pool->options, WSI_OPT_MAX_BUFFERED_BYTES);

    return limit > 0 ? limit : pool->buffered_automatic;
}

bool wsi_pressure_is_high(struct wsi_pool *pool)
{
    return atomic_load_explicit(&pool->buffered, memory_order_relaxed) > limit_of(pool);
}

/* Beside what is on its way to the peer. */
static size_t held_apart(const struct wsock_conn *conn)
{
    return wsi_session_held_bytes(&conn->session) + conn->held.capacity +
           wsi_conn_rest_bytes(conn) + wsi_outgoing_held_bytes(conn) +
           wsi_stream_pending_bytes(&conn->stream) + wsi_droppable_held_bytes(conn);
}

static size_t held_by(const struct wsock_conn *conn)
{
    return wsi_conn_buffered(conn) + held_apart(conn);
}

/* Of the stream's queue. What the socket still takes leaves with this turn's flush, after
 * which nobody would come to correct the account; if it does not, on_blocked follows. */
static size_t stuck(const struct wsock_conn *conn)
{
    return wsi_stream_is_blocked(&conn->stream) ? wsi_stream_queued(&conn->stream) : 0;
}

void wsi_conn_account(struct wsock_conn *conn)
{
    struct wsi_worker *worker = conn->worker;
    struct wsi_pool *pool = worker->pool;
    const bool gone = wsi_conn_state(conn) == WSI_CONN_CLOSED;
    const size_t before = conn->accounted;

    /* Posted bytes are counted by who posts them (send.c). */
    conn->accounted = gone ? 0 : stuck(conn) + held_apart(conn);
    atomic_fetch_add_explicit(&pool->buffered, (int64_t)conn->accounted - (int64_t)before,
                              memory_order_relaxed);
    if (conn->accounted <= before || !conn->opened || !wsi_pressure_is_high(pool))
        return;
    wsi_conn_pause(conn, WSI_PAUSE_PRESSURE);
    if (!wsi_timer_is_running(&worker->relief)) {
        wsi_log(&pool->log, WSOCK_LOG_WARN, "runtime",
                "more than max_buffered_bytes (%lld) are buffered; reading less",
                (long long)limit_of(pool));
        wsi_loop_timer(worker->loop, &worker->relief, RELIEF_MS);
    }
}

static void resume_all(struct wsi_worker *worker)
{
    WSI_LIST_EACH(node, &worker->conns)
    {
        struct wsock_conn *conn = WSI_CONTAINER_OF(node, struct wsock_conn, node);

        wsi_conn_resume(conn, WSI_PAUSE_PRESSURE);
    }
}

static struct wsock_conn *largest(struct wsi_worker *worker)
{
    struct wsock_conn *found = NULL;

    WSI_LIST_EACH(node, &worker->conns)
    {
        struct wsock_conn *conn = WSI_CONTAINER_OF(node, struct wsock_conn, node);

        if (wsi_conn_state(conn) < WSI_CONN_ENDING && held_by(conn) > 0 &&
            (found == NULL || held_by(conn) > held_by(found)))
            found = conn;
    }
    return found;
}

void wsi_pressure_relief(struct wsi_timer *timer)
{
    struct wsi_worker *worker = WSI_CONTAINER_OF(timer, struct wsi_worker, relief);
    struct wsock_conn *victim;

    if (!wsi_pressure_is_high(worker->pool)) {
        resume_all(worker);
        return;
    }
    victim = largest(worker);
    if (victim != NULL) {
        wsi_log(
            &worker->pool->log, WSOCK_LOG_WARN, wsi_conn_subject(victim).text,
            "closed with 1013: it holds %zu bytes, and max_buffered_bytes is exceeded",
            held_by(victim));
        wsi_conn_overload(victim);
    }
    wsi_loop_timer(worker->loop, &worker->relief, RELIEF_MS);
}
