/* SPDX-License-Identifier: MIT */
/*
 * Bytes in: from the stream through the session to the handlers. A connection that is
 * paused while a buffer is being decoded keeps the rest in `held`, so that the handler
 * that could not answer any more is not called with what it could not answer.
 */
#include <assert.h>

#include <wsock/error.h>

#include "conn/compress.h"
#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/queued.h"
#include "conn/rate.h"
#include "conn/receive_parts.h"

enum {
    HELD_MAX = 4 * 1024 * 1024,
    /* A read of a quarter MiB may inflate to a quarter GiB: after so much of it, what
     * else there is on the worker has its turn. */
    INFLATED_MAX = 1024 * 1024,
};

static inline bool has_rate(const struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    return extra != NULL && extra->rate != NULL;
}

static inline struct wsi_session_limits limits_of(const struct wsock_conn *conn)
{
    const struct wsi_options *options = &conn->profile->options;

    return (struct wsi_session_limits){
        .max_message_bytes = (uint64_t)wsi_option(options, WSI_OPT_MAX_MESSAGE_BYTES),
        .max_fragments = (uint64_t)wsi_option(options, WSI_OPT_MAX_FRAGMENTS),
    };
}

static __attribute__((noinline, cold)) void deliver_compressed(struct wsock_conn *conn,
                                                               struct wsi_event *event);

static inline void deliver_message(struct wsock_conn *conn, struct wsi_event *event)
{
    struct wsi_handler *handler = wsi_profile_handler(conn->profile, WSI_ON_MESSAGE);

    if (event->compressed)
        deliver_compressed(conn, event);
    else if (handler != NULL)
        handler->fn.message(conn, event->opcode, event->data, event->len, handler->user);
}

static void deliver_compressed(struct wsock_conn *conn, struct wsi_event *event)
{
    if (wsi_conn_inflate(conn, event) < 0)
        return;
    event->compressed = false;
    deliver_message(conn, event);
    wsi_conn_inflated(conn);
    wsi_conn_spend(conn, event->len);
}

static void deliver_other(struct wsock_conn *conn, const struct wsi_event *event)
{
    struct wsi_handler *handler;

    switch (event->kind) {
    case WSI_EVENT_PART:
        wsi_conn_deliver_part(conn, event);
        break;
    case WSI_EVENT_PING:
        if (!conn->session.close_sent)
            wsi_conn_pong(conn, event->data, event->len);
        break;
    case WSI_EVENT_PONG:
        wsi_conn_hear_pong(conn, event->len);
        handler = wsi_profile_handler(conn->profile, WSI_ON_PONG);
        if (handler != NULL)
            handler->fn.pong(conn, event->data, event->len, handler->user);
        break;
    case WSI_EVENT_CLOSE:
        wsi_conn_peer_closed(conn, event);
        break;
    case WSI_EVENT_ERROR:
        wsi_conn_fail(conn, event->code, event->why);
        break;
    case WSI_EVENT_MESSAGE:
    case WSI_EVENT_NONE:
        assert(false); /* the caller has them */
    }
}

/* Something that was received waits to be decoded. */
static bool has_held(const struct wsock_conn *conn)
{
    return conn->held.len > 0 || (wsi_extra_of(conn) != NULL && wsi_conn_has_rest(conn));
}

static void hold(struct wsock_conn *conn, const uint8_t *data, size_t len)
{
    if (wsi_buf_append(&conn->held, data, len, HELD_MAX) < 0)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
}

/* Decode until the input ends or the connection stops. @return what is left of len. */
static size_t decode(struct wsock_conn *conn, uint8_t *data, size_t len)
{
    const struct wsi_session_limits limits = limits_of(conn);
    const bool rated = has_rate(conn) || wsi_rate_is_limited(conn->profile);
    struct wsi_event event;

    do {
        wsi_session_next(&conn->session, &limits, &data, &len, &event);
        if (event.kind == WSI_EVENT_NONE)
            break;
        if (rated && !wsi_rate_allows(conn, &event))
            break;
        if (event.kind == WSI_EVENT_MESSAGE)
            deliver_message(conn, &event);
        else
            deliver_other(conn, &event);
        /* With nothing left to decode and nothing kept, asking again is needless. */
    } while ((len > 0 || !wsi_session_is_idle(&conn->session)) && wsi_conn_goes_on(conn));
    return len;
}

void wsi_conn_receive(struct wsock_conn *conn, uint8_t *data, size_t len)
{
    size_t left;

    if (wsi_conn_state(conn) >= WSI_CONN_ENDING)
        return;
    if (conn->pauses != 0 || conn->receiving || has_held(conn)) {
        hold(conn, data, len);
        return;
    }
    conn->receiving = true;
    conn->worker->inflated_bytes = 0;
    left = decode(conn, data, len);
    conn->receiving = false;
    if (left > 0 && wsi_conn_state(conn) < WSI_CONN_ENDING) {
        hold(conn, data + (len - left), left);
        if (conn->pauses == 0) /* paused and resumed by one handler */
            wsi_conn_post_drain(conn);
    }
    if (!wsi_session_is_idle(&conn->session) || conn->accounted != 0)
        wsi_conn_account(conn);
}

/* What was held is decoded before anything newer. */
static void receive_held(struct wsock_conn *conn)
{
    size_t left = conn->held.len;

    if (!has_held(conn) || conn->receiving)
        return;
    conn->receiving = true;
    conn->worker->inflated_bytes = 0;
    if (wsi_conn_has_rest(conn))
        wsi_conn_deliver_rest(conn);
    if (left > 0 && wsi_conn_goes_on(conn))
        left = decode(conn, conn->held.data, left);
    conn->receiving = false;
    if (left == 0 || wsi_conn_state(conn) >= WSI_CONN_ENDING)
        wsi_buf_fini(&conn->held);
    else
        wsi_buf_consume(&conn->held, conn->held.len - left);
    wsi_conn_account(conn);
}

void wsi_conn_spend(struct wsock_conn *conn, size_t inflated_bytes)
{
    struct wsi_worker *worker = conn->worker;

    worker->inflated_bytes += inflated_bytes;
    if (worker->inflated_bytes < INFLATED_MAX || !wsi_conn_goes_on(conn))
        return;
    wsi_conn_pause(conn, WSI_PAUSE_TURN);
    wsi_conn_post_drain(conn);
}

void wsi_conn_pause(struct wsock_conn *conn, unsigned why)
{
    if (conn->pauses == 0 && wsi_stream_is_attached(&conn->stream))
        wsi_stream_pause(&conn->stream);
    conn->pauses = (uint8_t)(conn->pauses | why);
}

void wsi_conn_resume(struct wsock_conn *conn, unsigned why)
{
    if ((conn->pauses & why) == 0)
        return;
    conn->pauses = (uint8_t)(conn->pauses & ~why);
    if (conn->pauses != 0)
        return;
    conn->heard_ms = wsi_worker_now_ms(conn->worker);
    if (wsi_conn_state(conn) == WSI_CONN_OPEN)
        wsi_conn_start_timer(conn); /* the idle timeout runs again */
    if (has_held(conn))
        wsi_conn_post_drain(conn);
    else if (wsi_stream_is_attached(&conn->stream))
        wsi_stream_resume(&conn->stream);
}

void wsi_conn_receive_held(struct wsock_conn *conn)
{
    struct wsi_queued *queued = wsi_conn_queued(conn);

    wsi_conn_resume(conn, WSI_PAUSE_TURN);
    if (!wsi_conn_goes_on(conn) || !has_held(conn) ||
        (queued != NULL && !wsi_queued_may_receive(queued)))
        return;
    receive_held(conn);
    if (wsi_conn_goes_on(conn) && !has_held(conn))
        wsi_stream_resume(&conn->stream);
}
