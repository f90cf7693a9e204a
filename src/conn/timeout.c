/* SPDX-License-Identifier: MIT */
/*
 * What time does to a connection. There is one timer for all of it: activity only stores
 * the time, and when the timer runs it looks at what is really due and starts again.
 */
#include "conn/conn.h"
#include "conn/opening.h"
#include "conn/service.h"
#include "core/alloc.h"

static uint64_t option_ms(const struct wsock_conn *conn, enum wsi_option_id id)
{
    return (uint64_t)wsi_option(&conn->profile->options, id);
}

static uint64_t later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t earlier_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Each of these is a moment; "off" puts it out of reach. */

static uint64_t idle_at(const struct wsock_conn *conn)
{
    return conn->pauses != 0 ? UINT64_MAX
                             : conn->heard_ms + option_ms(conn, WSI_OPT_IDLE_TIMEOUT);
}

/* A ping of ours left, and nothing came since: anything would be an answer. */
static bool waits_for_answer(const struct wsock_conn *conn)
{
    return conn->pinged_us != 0 && conn->heard_ms < conn->since_ms && conn->pauses == 0 &&
           !wsi_option_is_off(wsi_option(&conn->profile->options, WSI_OPT_PONG_TIMEOUT));
}

static uint64_t ping_at(const struct wsock_conn *conn)
{
    return waits_for_answer(conn) ? UINT64_MAX
                                  : later_of(conn->heard_ms, conn->since_ms) +
                                        option_ms(conn, WSI_OPT_PING_INTERVAL);
}

static uint64_t dead_at(const struct wsock_conn *conn)
{
    return waits_for_answer(conn) ? conn->since_ms + option_ms(conn, WSI_OPT_PONG_TIMEOUT)
                                  : UINT64_MAX;
}

static uint64_t stall_at(const struct wsock_conn *conn)
{
    return !wsi_stream_is_blocked(&conn->stream)
               ? UINT64_MAX
               : conn->progress_ms + option_ms(conn, WSI_OPT_WRITE_TIMEOUT);
}

/* When its server stops; never, if it does not. */
static uint64_t cut_at(const struct wsock_conn *conn)
{
    return wsi_conn_role(conn) == WSI_SERVER
               ? atomic_load(&wsi_service_of(conn->owner)->stop_at_ms)
               : UINT64_MAX;
}

/* A client that connected and says nothing does not hold up its server's end. */
static uint64_t patience_ms(const struct wsock_conn *conn)
{
    if (conn->profile != NULL)
        return option_ms(conn, WSI_OPT_CLOSE_TIMEOUT);
    return cut_at(conn) != UINT64_MAX ? WSI_FAREWELL_MS : WSI_LINGER_MS;
}

/* While a busy host keeps us from reading, the peer's answer may be there. */
static bool waits_for_host(const struct wsock_conn *conn)
{
    return wsi_conn_state(conn) == WSI_CONN_CLOSING &&
           (conn->pauses & WSI_PAUSE_HOST) != 0;
}

static uint64_t close_at(const struct wsock_conn *conn)
{
    const uint64_t patience = waits_for_host(conn) ? WSI_HOST_PATIENCE * patience_ms(conn)
                                                   : patience_ms(conn);

    return earlier_of(conn->since_ms + patience, cut_at(conn));
}

static uint64_t next_at(const struct wsock_conn *conn)
{
    switch (wsi_conn_state(conn)) {
    case WSI_CONN_OPENING:
        return earlier_of(wsi_opening_deadline(conn), cut_at(conn));
    case WSI_CONN_OPEN:
        return earlier_of(earlier_of(idle_at(conn), ping_at(conn)),
                          earlier_of(dead_at(conn), stall_at(conn)));
    case WSI_CONN_CLOSING:
    case WSI_CONN_ENDING:
        return close_at(conn);
    case WSI_CONN_CLOSED:
        break;
    }
    return UINT64_MAX;
}

void wsi_conn_start_timer(struct wsock_conn *conn)
{
    const uint64_t at = next_at(conn);

    if (at < INT64_MAX)
        wsi_timer_start(wsi_loop_wheel(conn->worker->loop), &conn->timer, at);
    else
        wsi_timer_stop(&conn->timer);
}

/* Their low bits: more than an hour. */
static uint32_t now_us(const struct wsock_conn *conn)
{
    return (uint32_t)wsi_loop_clock_us(conn->worker->loop);
}

static uint32_t at_least_1(uint32_t us)
{
    return us != 0 ? us : 1;
}

static void ping(struct wsock_conn *conn, uint64_t now)
{
    conn->since_ms = now;
    conn->pinged_us = 0;
    if (wsi_stream_is_blocked(&conn->stream) ||
        wsi_conn_write(conn, WSI_FRAME_FIN | WSI_OP_PING, NULL, 0) < 0)
        return;
    conn->pinged_us = at_least_1(now_us(conn));
}

/* Pings of ours are empty. */
void wsi_conn_hear_pong(struct wsock_conn *conn, size_t len)
{
    if (len > 0 || conn->pinged_us == 0)
        return;
    atomic_store_explicit(&conn->rtt_us, at_least_1(now_us(conn) - conn->pinged_us),
                          memory_order_relaxed);
    conn->pinged_us = 0;
    /* It waited for this answer, and not for the next ping. */
    wsi_conn_start_timer(conn);
}

static void open_timer(struct wsock_conn *conn, uint64_t now)
{
    if (now >= stall_at(conn)) {
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_WRITE_STALL, WSOCK_BY_US, NULL);
        return;
    }
    if (now >= idle_at(conn)) {
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_IDLE, WSOCK_BY_US, NULL);
        return;
    }
    if (now >= dead_at(conn)) {
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_PONG_TIMEOUT, WSOCK_BY_US, NULL);
        return;
    }
    if (now >= ping_at(conn))
        ping(conn, now);
}

static void close_timer(struct wsock_conn *conn, uint64_t now)
{
    if (now >= cut_at(conn))
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_STOPPED, conn->began, NULL);
    else if (!waits_for_host(conn))
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_CLOSE_TIMEOUT, conn->began, NULL);
    else
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_CLOSE_TIMEOUT, conn->began,
                     "the queue was full for too long to read what the peer answers");
}

void wsi_conn_on_timer(struct wsi_timer *timer)
{
    struct wsock_conn *conn = WSI_CONTAINER_OF(timer, struct wsock_conn, timer);
    const uint64_t now = wsi_worker_now_ms(conn->worker);

    switch (wsi_conn_state(conn)) {
    case WSI_CONN_OPENING:
        wsi_opening_timeout(conn);
        return;
    case WSI_CONN_OPEN:
        open_timer(conn, now);
        break;
    case WSI_CONN_CLOSING:
        if (now >= close_at(conn)) {
            close_timer(conn, now);
            return;
        }
        break;
    case WSI_CONN_ENDING:
        if (now >= close_at(conn)) {
            wsi_stream_close(&conn->stream, WSI_CLOSE_NOW);
            return;
        }
        break;
    case WSI_CONN_CLOSED:
        return;
    }
    wsi_conn_start_timer(conn);
}

/* ---- options that changed ---- */

/* A visit to every worker that starts all timers anew. */
struct restart {
    struct wsi_round round;
    struct wsi_pool *pool; /* a reference */
};

static void restart_all(struct wsi_round *round, struct wsi_worker *worker)
{
    (void)round;
    WSI_LIST_EACH(node, &worker->conns)
    {
        struct wsock_conn *conn = WSI_CONTAINER_OF(node, struct wsock_conn, node);

        if (wsi_conn_state(conn) == WSI_CONN_OPEN)
            wsi_conn_start_timer(conn);
    }
}

static void restarted(struct wsi_round *round)
{
    struct restart *restart = WSI_CONTAINER_OF(round, struct restart, round);
    struct wsi_pool *pool = restart->pool;

    wsi_free(restart);
    wsi_pool_unref(pool);
}

void wsi_timeouts_changed(struct wsi_pool *pool)
{
    struct restart *restart = wsi_alloc(sizeof *restart);

    /* Without memory, each connection learns of it when its timer runs next. */
    if (restart == NULL)
        return;
    restart->pool = wsi_pool_ref(pool);
    restart->round.visit = restart_all;
    restart->round.done = restarted;
    wsi_pool_round(pool, &restart->round);
}
