/* SPDX-License-Identifier: MIT */
/*
 * Making and ending connections. Whatever goes wrong first is noted as the cause; then
 * the stream closes, and wsi_conn_closed() tells the application and lets go.
 */
#include "conn/conn.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/extra.h"
#include "conn/identity.h"
#include "conn/member.h"
#include "conn/opening.h"
#include "conn/queued.h"
#include "conn/secure.h"
#include "core/alloc.h"
#include "core/errno_text.h"
#include "core/str.h"

enum { DETAIL_MAX = 480 };

/* Of the process, not of a runtime: ids are unique among them all. */
static atomic_uint_fast64_t last_id;

int wsi_conn_new(struct wsock_conn **out, struct wsi_worker *worker,
                 struct wsi_owner *owner, struct wsi_profile *profile, enum wsi_role role)
{
    struct wsock_conn *conn = wsi_zalloc(sizeof *conn);
    int r;

    if (conn == NULL)
        return WSOCK_ENOMEM;
    r = wsi_opening_new(&conn->opening);
    if (r == 0)
        r = wsi_pool_hold(worker->pool);
    if (r < 0) {
        wsi_opening_free(conn->opening);
        wsi_free(conn);
        return r;
    }
    wsi_ref_init(&conn->ref);
    atomic_init(&conn->state, WSI_CONN_OPENING);
    wsi_stream_init(&conn->stream, &wsi_conn_stream_events);
    wsi_session_init(&conn->session, role);
    wsi_timer_init(&conn->timer, wsi_conn_on_timer);
    wsi_list_init(&conn->node);
    wsi_list_init(&conn->rooms);
    conn->worker = worker;
    conn->owner = wsi_owner_ref(owner);
    conn->profile = profile;
    conn->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    r = owner->queue != NULL ? wsi_queued_new(conn) : 0;
    if (r < 0) {
        wsock_conn_unref(conn);
        wsi_pool_release(worker->pool);
        return r;
    }
    *out = conn;
    return 0;
}

struct wsi_queued *wsi_conn_queued(const struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    return extra != NULL ? extra->queued : NULL;
}

static void free_conn(struct wsock_conn *conn)
{
    struct wsi_owner *owner = conn->owner;

    if (conn->free_user != NULL)
        conn->free_user(atomic_load(&conn->user));
    wsi_opening_free(conn->opening);
    wsi_session_fini(&conn->session);
    wsi_facts_free(conn->facts);
    wsi_blob_unref(conn->local);
    wsi_conn_free_extra(conn);
    wsi_free(conn);
    wsi_owner_unref(owner);
}

wsock_conn *wsock_conn_ref(wsock_conn *conn)
{
    wsi_ref_take(&conn->ref);
    return conn;
}

void wsock_conn_unref(wsock_conn *conn)
{
    if (conn != NULL && wsi_ref_drop(&conn->ref))
        free_conn(conn);
}

void wsi_conn_set_state(struct wsock_conn *conn, enum wsi_conn_state state)
{
    assert(state >= wsi_conn_state(conn));
    conn->since_ms = wsi_worker_now_ms(conn->worker);
    atomic_store_explicit(&conn->state, (unsigned char)state, memory_order_release);
    if (state >= WSI_CONN_CLOSING)
        atomic_store(&conn->close_begun, true);
}

/* One block for both texts; without memory the end is told without them. */
static void keep_text(struct wsock_conn *conn, const char *reason, size_t reason_len,
                      const char *detail, size_t detail_len)
{
    char *text = wsi_alloc(reason_len + detail_len + 2);

    if (text != NULL) {
        memcpy(text, reason, reason_len);
        text[reason_len] = '\0';
        memcpy(text + reason_len + 1, detail, detail_len);
        text[reason_len + 1 + detail_len] = '\0';
        wsi_free(conn->ending_text);
        conn->ending_text = text;
    }
}

static const char *reason_of(const struct wsock_conn *conn)
{
    return conn->ending_text != NULL ? conn->ending_text : "";
}

/* The sentence about a close: by whom, with which code, and why. */
static void write_close_detail(const struct wsock_conn *conn, char *out, size_t size)
{
    const bool by_peer = conn->began == WSOCK_BY_PEER;
    const unsigned code = by_peer ? conn->session.received_code : conn->session.sent_code;
    const char *reason = by_peer ? reason_of(conn) : "";
    const char *who = by_peer ? "the peer" : "this end";

    if (code == 1005)
        snprintf(out, size, "closed by %s without a code", who);
    else
        snprintf(out, size, "closed by %s with %u%s%s", who, code,
                 *reason != '\0' ? ": " : "", reason);
    wsi_str_flatten(out);
}

/* @param room for a sentence that is made now. */
static const char *detail_of(const struct wsock_conn *conn, char *room, size_t size)
{
    const char *reason = reason_of(conn);
    const char *detail = conn->ending_text != NULL ? reason + strlen(reason) + 1 : "";

    if (*detail != '\0')
        return detail;
    if (conn->cause != WSOCK_CAUSE_CLOSED || !conn->session.close_received ||
        !conn->session.close_sent)
        return wsock_cause_text(conn->cause);
    write_close_detail(conn, room, size);
    return room;
}

void wsi_conn_keep_reason(struct wsock_conn *conn, const uint8_t *reason, size_t len)
{
    /* The text ends at a NUL for the application, which gets it as a C string. */
    const size_t shown = strnlen((const char *)reason, len);

    keep_text(conn, (const char *)reason, shown, "", 0);
}

static void note(struct wsock_conn *conn, int cause, int began, int sys_errno,
                 const char *fmt, va_list args)
{
    char detail[DETAIL_MAX];
    int len;

    if (conn->ended)
        return;
    conn->ended = true;
    conn->cause = (uint8_t)cause;
    conn->began = (uint8_t)began;
    conn->sys_errno = (uint16_t)sys_errno;
    if (fmt == NULL)
        return;
    len = vsnprintf(detail, sizeof detail, fmt, args);
    wsi_str_flatten(detail);
    if (len > 0) {
        const char *reason = reason_of(conn);

        keep_text(conn, reason, strlen(reason), detail, strnlen(detail, sizeof detail));
    }
}

void wsi_conn_note_end(struct wsock_conn *conn, int cause, int began, int sys_errno,
                       const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    note(conn, cause, began, sys_errno, fmt, args);
    va_end(args);
}

void wsi_conn_end(struct wsock_conn *conn, enum wsi_close_mode mode, int cause, int began,
                  const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    note(conn, cause, began, 0, fmt, args);
    va_end(args);
    if (wsi_conn_state(conn) < WSI_CONN_ENDING)
        wsi_conn_set_state(conn, WSI_CONN_ENDING);
    wsi_members_leave_all(conn);
    if (wsi_stream_is_attached(&conn->stream)) {
        wsi_stream_close(&conn->stream, mode);
        wsi_conn_start_timer(conn);
    }
}

static void tell_owner(struct wsock_conn *conn, enum wsi_conn_event event,
                       const wsock_close_info *info)
{
    if (conn->owner->conn_event != NULL)
        conn->owner->conn_event(conn->owner, conn, event, info);
}

static int close_code(const struct wsock_conn *conn)
{
    if (conn->cause == WSOCK_CAUSE_PROTOCOL || conn->cause == WSOCK_CAUSE_LIMIT)
        return conn->session.sent_code != 0 ? conn->session.sent_code : 1006;
    return conn->session.close_received ? conn->session.received_code : 1006;
}

/* @param detail room for DETAIL_MAX bytes. */
static wsock_close_info close_info(const struct wsock_conn *conn, char *detail)
{
    return (wsock_close_info){
        .size = sizeof(wsock_close_info),
        .reason = reason_of(conn),
        .detail = detail_of(conn, detail, DETAIL_MAX),
        .cause = conn->cause,
        .code = close_code(conn),
        .http_status = conn->http_status,
        .sys_errno = conn->sys_errno,
        .began = conn->began,
        .opened = conn->opened,
        .tls_error = conn->tls_error,
        .tls_alert = conn->tls_alert,
    };
}

bool wsi_conn_owes_close(const struct wsock_conn *conn)
{
    return conn->opened || wsi_conn_role(conn) == WSI_CLIENT;
}

void wsi_conn_call_close(struct wsock_conn *conn, struct wsi_handler *handler)
{
    char detail[DETAIL_MAX];
    const wsock_close_info info = close_info(conn, detail);

    handler->fn.close(conn, &info, handler->user);
}

static void log_close(const struct wsock_conn *conn)
{
    char detail[DETAIL_MAX];
    const wsock_close_info info = close_info(conn, detail);

    if (conn->opened)
        wsi_log(&conn->worker->pool->log, WSOCK_LOG_DEBUG, wsi_conn_subject(conn).text,
                "ended: %s (code %d)", info.detail, (int)info.code);
    else /* there was nothing to close with a code */
        wsi_log(&conn->worker->pool->log, WSOCK_LOG_DEBUG, wsi_conn_subject(conn).text,
                "ended: %s", info.detail);
}

struct wsi_conn_subject wsi_conn_subject(const struct wsock_conn *conn)
{
    struct wsi_conn_subject subject;

    snprintf(subject.text, sizeof subject.text, "conn %llu",
             (unsigned long long)conn->id);
    return subject;
}

/* What peers made it hold. */
static void release_memory(struct wsock_conn *conn)
{
    wsi_buf_fini(&conn->held);
    wsi_session_fini(&conn->session);
    wsi_conn_empty_extra(conn);
    wsi_conn_account(conn);
}

/* Everything an ended connection needs no more, while handles of it may live on. */
static void release_resources(struct wsock_conn *conn)
{
    wsi_timer_stop(&conn->timer);
    wsi_opening_finish(conn);
    release_memory(conn);
    wsi_conn_leave_guests(conn);
}

/* Whether its queue was told of it, or is still to be. */
static bool is_known(const struct wsock_conn *conn)
{
    return wsi_conn_owes_close(conn) ||
           (conn->opening != NULL && conn->opening->handed_out);
}

void wsi_conn_closed(struct wsock_conn *conn)
{
    struct wsi_queued *queued = wsi_conn_queued(conn);
    struct wsi_handler *handler = NULL;

    wsi_conn_set_state(conn, WSI_CONN_CLOSED);
    wsi_members_leave_all(conn);
    wsi_opening_cancel(conn);
    if (conn->opened)
        atomic_fetch_sub_explicit(&conn->owner->open, 1, memory_order_relaxed);
    log_close(conn);
    if (queued != NULL && is_known(conn)) {
        release_memory(conn); /* the host may be busy for long */
        wsi_queued_close(queued);
        return;
    }
    if (wsi_conn_owes_close(conn))
        handler = wsi_profile_handler(conn->profile, WSI_ON_CLOSE);
    if (handler != NULL)
        wsi_conn_call_close(conn, handler);
    wsi_conn_finish(conn);
}

static void tell_ended(struct wsock_conn *conn)
{
    char detail[DETAIL_MAX];
    const wsock_close_info info = close_info(conn, detail);

    tell_owner(conn, WSI_CONN_ENDED, &info);
}

void wsi_conn_finish(struct wsock_conn *conn)
{
    struct wsi_pool *pool = conn->worker->pool;
    struct wsi_owner *owner = conn->owner;

    if (wsi_conn_owes_close(conn))
        tell_ended(conn);
    release_resources(conn);
    wsi_free(conn->ending_text);
    conn->ending_text = NULL;
    wsi_list_remove(&conn->node);
    wsi_owner_ref(owner);
    wsock_conn_unref(conn);
    if (owner->conn_closed != NULL)
        owner->conn_closed(owner);
    wsi_owner_unref(owner);
    wsi_pool_release(pool);
}

/* From now on it asks its lane before it is read. */
static void open_queued(struct wsock_conn *conn, struct wsi_queued *queued)
{
    wsi_stream_ask(&conn->stream);
    wsi_queued_may_receive(queued);
}

void wsi_conn_open(struct wsock_conn *conn, uint8_t *rest, size_t len)
{
    struct wsi_handler *handler = wsi_profile_handler(conn->profile, WSI_ON_OPEN);
    struct wsi_queued *queued = wsi_conn_queued(conn);

    conn->opened = true;
    conn->heard_ms = wsi_worker_now_ms(conn->worker);
    atomic_fetch_add_explicit(&conn->owner->open, 1, memory_order_relaxed);
    wsi_conn_set_state(conn, WSI_CONN_OPEN);
    wsi_conn_enter_index(conn);
    if (wsi_profile_handler(conn->profile, WSI_ON_PART) != NULL)
        wsi_session_deliver_parts(&conn->session, true);
    if (conn->user_pauses > 0)
        wsi_conn_pause(conn, WSI_PAUSE_USER);
    wsi_conn_start_timer(conn);
    wsi_log(&conn->worker->pool->log, WSOCK_LOG_DEBUG, wsi_conn_subject(conn).text,
            "open: %.*s, %s", wsi_facts_shown(conn->facts), wsi_facts_target(conn->facts),
            wsi_facts_remote(conn->facts));
    tell_owner(conn, WSI_CONN_OPENS, NULL);
    if (handler != NULL)
        handler->fn.open(conn, handler->user);
    if (handler == NULL || queued == NULL)
        tell_owner(conn, WSI_CONN_OPENED, NULL);
    if (queued != NULL)
        open_queued(conn, queued);
    wsi_conn_resume(conn, WSI_PAUSE_OPENING);
    if (len > 0)
        wsi_conn_receive(conn, rest, len);
}

/* ---- the stream's events ---- */

static struct wsock_conn *conn_of(struct wsi_stream *stream)
{
    return WSI_CONTAINER_OF(stream, struct wsock_conn, stream);
}

static void on_secured(struct wsi_stream *stream)
{
    wsi_conn_secured(conn_of(stream));
}

static void on_filter_failed(struct wsi_stream *stream)
{
    wsi_conn_tls_failed(conn_of(stream));
}

static void on_data(struct wsi_stream *stream, uint8_t *data, size_t len)
{
    struct wsock_conn *conn = conn_of(stream);

    conn->heard_ms = wsi_worker_now_ms(conn->worker);
    if (conn->opened)
        wsi_conn_receive(conn, data, len);
    else
        wsi_opening_receive(conn, data, len);
}

static bool may_receive(struct wsi_stream *stream)
{
    struct wsock_conn *conn = conn_of(stream);

    /* Behind the peer's close frame only the end of the stream comes. */
    return conn->session.close_received || wsi_queued_may_receive(wsi_conn_queued(conn));
}

/* The stream ended without a close frame. */
static void lose(struct wsock_conn *conn)
{
    const char *how = "the peer ended the stream without a close frame";

    if (wsi_stream_is_truncated(&conn->stream) && !conn->ended) {
        conn->tls_error = WSOCK_TLS_TRUNCATED;
        how = wsock_tls_error_text(WSOCK_TLS_TRUNCATED);
    }
    wsi_conn_end(conn, WSI_CLOSE_NOW, WSOCK_CAUSE_LOST, WSOCK_BY_PEER, "%s", how);
}

static void on_eof(struct wsi_stream *stream)
{
    struct wsock_conn *conn = conn_of(stream);

    if (wsi_conn_state(conn) == WSI_CONN_OPENING) {
        wsi_opening_eof(conn);
        return;
    }
    if (wsi_conn_state(conn) == WSI_CONN_OPEN)
        wsi_conn_answer_close(conn);
    if (conn->session.close_sent && conn->session.close_received)
        wsi_conn_end(conn, WSI_CLOSE_LINGER, WSOCK_CAUSE_CLOSED, WSOCK_BY_PEER, NULL);
    else
        lose(conn);
}

static void on_writable(struct wsi_stream *stream)
{
    struct wsock_conn *conn = conn_of(stream);

    if (!conn->opened) {
        wsi_opening_writable(conn);
        return;
    }
    conn->progress_ms = wsi_worker_now_ms(conn->worker);
    wsi_conn_drained(conn);
    wsi_conn_account(conn);
}

static void on_blocked(struct wsi_stream *stream)
{
    struct wsock_conn *conn = conn_of(stream);

    conn->progress_ms = wsi_worker_now_ms(conn->worker);
    if (conn->opened)
        wsi_conn_start_timer(conn);
    wsi_conn_account(conn);
}

static void on_closed(struct wsi_stream *stream, int error)
{
    struct wsock_conn *conn = conn_of(stream);

    if (wsi_opening_stream_closed(conn, error))
        return; /* it has ended already */
    if (error != 0)
        wsi_conn_note_end(conn, WSOCK_CAUSE_LOST, WSOCK_BY_NETWORK, error,
                          "the connection broke: %s", wsi_errno_text(error));
    wsi_conn_note_end(conn, WSOCK_CAUSE_LOST, WSOCK_BY_NETWORK, 0, NULL);
    wsi_conn_closed(conn);
}

const struct wsi_stream_events wsi_conn_stream_events = {
    .on_secured = on_secured,
    .on_filter_failed = on_filter_failed,
    .may_receive = may_receive,
    .on_data = on_data,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_blocked = on_blocked,
    .on_closed = on_closed,
};

const char *wsock_cause_text(int cause)
{
    switch (cause) {
#define CAUSE_CASE(name, value, text) \
    case (value):                     \
        return text;
        WSOCK_CAUSE_MAP(CAUSE_CASE)
#undef CAUSE_CASE
    default:
        return "unknown cause";
    }
}
