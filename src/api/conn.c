/* SPDX-License-Identifier: MIT */
/* The public connection: checks its arguments and hands them to the connection layer. */
#include <wsock/conn.h>

#include <string.h>

#include <wsock/error.h>
#include <wsock/message.h>
#include <wsock/timer.h>

#include "api/closing.h"
#include "api/message.h"
#include "conn/closing.h"
#include "conn/conn.h"
#include "conn/droppable.h"
#include "conn/encode.h"
#include "conn/moving.h"
#include "conn/queued.h"
#include "conn/send.h"
#include "conn/send_parts.h"
#include "conn/timer.h"
#include "core/alloc.h"
#include "proto/utf8.h"

uint64_t wsock_conn_id(const wsock_conn *conn)
{
    return conn != NULL ? conn->id : 0;
}

/* ---- sending ---- */

int wsock_conn_send(wsock_conn *conn, int type, const void *data, size_t len)
{
    if (conn == NULL || (data == NULL && len > 0) || !wsi_is_message_type(type))
        return WSOCK_EINVAL;
    if (len > WSI_MESSAGE_MAX)
        return WSOCK_ETOOBIG;
    return wsi_conn_send(conn, type, data, len);
}

int wsock_conn_send_message(wsock_conn *conn, wsock_message *message)
{
    if (conn == NULL || message == NULL)
        return WSOCK_EINVAL;
    return wsi_conn_send_frame(conn, wsi_message_frame_for(message, conn));
}

int wsock_conn_send_begin(wsock_conn *conn, int type)
{
    if (conn == NULL || !wsi_is_message_type(type))
        return WSOCK_EINVAL;
    return wsi_conn_send_begin(conn, type);
}

int wsock_conn_send_append(wsock_conn *conn, const void *data, size_t len)
{
    if (conn == NULL || (data == NULL && len > 0))
        return WSOCK_EINVAL;
    if (len > WSI_MESSAGE_MAX)
        return WSOCK_ETOOBIG;
    return wsi_conn_send_append(conn, data, len);
}

int wsock_conn_send_end(wsock_conn *conn)
{
    return conn != NULL ? wsi_conn_send_end(conn) : WSOCK_EINVAL;
}

static int send_control(wsock_conn *conn, unsigned opcode, const void *data, size_t len)
{
    if (conn == NULL || (data == NULL && len > 0))
        return WSOCK_EINVAL;
    if (len > WSI_CONTROL_PAYLOAD_MAX)
        return WSOCK_ETOOBIG;
    return wsi_conn_send_control(conn, opcode, data, len);
}

int wsock_conn_send_ping(wsock_conn *conn, const void *data, size_t len)
{
    return send_control(conn, WSI_OP_PING, data, len);
}

int wsock_conn_send_pong(wsock_conn *conn, const void *data, size_t len)
{
    return send_control(conn, WSI_OP_PONG, data, len);
}

size_t wsock_conn_buffered(const wsock_conn *conn)
{
    return conn != NULL ? wsi_conn_buffered(conn) + wsi_droppable_bytes(conn) : 0;
}

/* ---- ending ---- */

int wsi_close_check(int code, const char *reason)
{
    const size_t len = reason != NULL ? strlen(reason) : 0;

    if (code == 1005 && len > 0)
        return WSOCK_EINVAL;
    if (code != 1005 && (code < 0 || !wsi_close_code_is_sendable((unsigned)code)))
        return WSOCK_ERANGE;
    if (len > WSI_CLOSE_REASON_MAX)
        return WSOCK_ETOOBIG;
    if (!wsi_utf8_is_valid(reason, len))
        return WSOCK_EUTF8;
    return 0;
}

int wsock_conn_close(wsock_conn *conn, int code, const char *reason)
{
    int r;

    if (conn == NULL)
        return WSOCK_EINVAL;
    r = wsi_close_check(code, reason);
    return r < 0 ? r
                 : wsi_conn_close(conn, (unsigned)code, reason,
                                  reason != NULL ? strlen(reason) : 0);
}

int wsock_conn_reset(wsock_conn *conn)
{
    return conn != NULL ? wsi_conn_close(conn, 0, NULL, 0) : WSOCK_EINVAL;
}

/* ---- calls on its worker ---- */

enum { CALLS_MAX = 65536 }; /* that wait at one worker */

struct posted_call {
    struct wsi_mail mail;
    struct wsock_conn *conn; /* a reference */
    wsock_post_fn fn;
    void *user;
    wsock_free_fn free_user;
};

static void run_call(struct wsi_mail *mail)
{
    struct posted_call *call = WSI_CONTAINER_OF(mail, struct posted_call, mail);

    atomic_fetch_sub_explicit(&call->conn->worker->calls, 1, memory_order_relaxed);
    if (wsi_conn_state(call->conn) < WSI_CONN_CLOSED)
        call->fn(call->conn, call->user);
    if (call->free_user != NULL)
        call->free_user(call->user);
    wsock_conn_unref(call->conn);
    wsi_free(call);
}

static struct posted_call *new_call(wsock_conn *conn, wsock_post_fn fn, void *user,
                                    wsock_free_fn free_user)
{
    struct posted_call *call = wsi_alloc(sizeof *call);

    if (call == NULL)
        return NULL;
    *call = (struct posted_call){
        .mail = {.run = run_call},
        .conn = wsock_conn_ref(conn),
        .fn = fn,
        .user = user,
        .free_user = free_user,
    };
    atomic_fetch_add_explicit(&conn->worker->calls, 1, memory_order_relaxed);
    return call;
}

static void run_call_on_queue(struct wsi_mail *mail)
{
    struct posted_call *call = WSI_CONTAINER_OF(mail, struct posted_call, mail);
    wsock_conn *conn = call->conn;

    atomic_fetch_sub_explicit(&conn->worker->calls, 1, memory_order_relaxed);
    if (!atomic_load(&wsi_conn_queued(conn)->told_closed) &&
        wsi_queue_calls(conn->owner->queue))
        call->fn(conn, call->user);
    if (call->free_user != NULL)
        call->free_user(call->user);
    wsi_free(call);
    wsock_conn_unref(conn);
}

static int post_call(wsock_conn *conn, wsock_post_fn fn, void *user,
                     wsock_free_fn free_user)
{
    struct posted_call *call;

    if (wsi_conn_state(conn) == WSI_CONN_CLOSED)
        return WSOCK_ECLOSED;
    call = new_call(conn, fn, user, free_user);
    if (call == NULL)
        return WSOCK_ENOMEM;
    wsi_worker_post(conn->worker, &call->mail);
    return 0;
}

static int post_call_on_queue(wsock_conn *conn, wsock_post_fn fn, void *user,
                              wsock_free_fn free_user)
{
    struct posted_call *call;

    if (atomic_load(&wsi_conn_queued(conn)->told_closed) ||
        wsi_queue_is_closed(conn->owner->queue))
        return WSOCK_ECLOSED;
    call = new_call(conn, fn, user, free_user);
    if (call == NULL)
        return WSOCK_ENOMEM;
    call->mail.run = run_call_on_queue;
    wsi_queue_call(conn->owner->queue, &call->mail);
    return 0;
}

int wsock_conn_post(wsock_conn *conn, wsock_post_fn fn, void *user,
                    wsock_free_fn free_user)
{
    if (conn == NULL || fn == NULL)
        return WSOCK_EINVAL;
    /* Whoever posts faster than the worker calls must not fill the memory. */
    if (atomic_load_explicit(&conn->worker->calls, memory_order_relaxed) >= CALLS_MAX)
        return WSOCK_EAGAIN;
    return wsi_conn_queued(conn) != NULL ? post_call_on_queue(conn, fn, user, free_user)
                                         : post_call(conn, fn, user, free_user);
}

/* The answer to a client's handshake is read in any case; wsi_conn_open() looks at the
 * count. */
static void pause_here(wsock_conn *conn, void *user)
{
    (void)user;
    if (conn->user_pauses++ == 0 && wsi_conn_state(conn) == WSI_CONN_OPEN)
        wsi_conn_pause(conn, WSI_PAUSE_USER);
}

static void resume_here(wsock_conn *conn, void *user)
{
    (void)user;
    if (conn->user_pauses > 0 && --conn->user_pauses == 0)
        wsi_conn_resume(conn, WSI_PAUSE_USER);
}

/* As mail: what is put into the lane of a queue need not look for it any more. */
static void pause_by_mail(wsock_conn *conn, void *user)
{
    struct wsi_queued *queued = wsi_conn_queued(conn);

    if (queued != NULL)
        atomic_fetch_sub(&queued->pausing, 1);
    pause_here(conn, user);
}

/* On the worker at once, so that no further message comes; else as mail. */
static int act(wsock_conn *conn, wsock_post_fn fn)
{
    if (conn == NULL)
        return WSOCK_EINVAL;
    if (wsi_conn_state(conn) >= WSI_CONN_CLOSING)
        return WSOCK_ECLOSED;
    if (wsi_worker_current != conn->worker)
        return post_call(conn, fn, NULL, NULL);
    fn(conn, NULL);
    return 0;
}

int wsock_conn_pause_read(wsock_conn *conn)
{
    struct wsi_queued *queued;
    int r;

    if (conn == NULL || wsi_worker_current == conn->worker)
        return act(conn, pause_here);
    r = act(conn, pause_by_mail);
    queued = wsi_conn_queued(conn);
    /* The mail is heard at the end of a turn, in which a read may bring thousands of
     * messages while the host takes them as fast: so the next one looks at this. */
    if (r == 0 && queued != NULL)
        atomic_fetch_add(&queued->pausing, 1);
    return r;
}

int wsock_conn_resume_read(wsock_conn *conn)
{
    return act(conn, resume_here);
}

int wsock_conn_timer(wsock_conn *conn, wsock_timer **out, uint64_t first_ms,
                     uint64_t every_ms, wsock_timer_fn fn, void *user,
                     wsock_free_fn free_user)
{
    const struct wsi_timer_spec spec = {
        .first_ms = first_ms,
        .every_ms = every_ms,
        .fn = fn,
        .user = user,
        .free_user = free_user,
        .queue = conn != NULL ? conn->owner->queue : NULL,
    };

    if (conn == NULL || fn == NULL)
        return WSOCK_EINVAL;
    return wsi_timer_launch(out, conn->worker, conn, &spec);
}

/* ---- state and facts ---- */

int wsock_conn_set_user(wsock_conn *conn, void *user, wsock_free_fn free_user)
{
    wsock_free_fn free_before;
    void *before;

    if (conn == NULL)
        return WSOCK_EINVAL;
    pthread_mutex_lock(&conn->worker->lock);
    before = atomic_exchange(&conn->user, user);
    free_before = conn->free_user;
    conn->free_user = free_user;
    pthread_mutex_unlock(&conn->worker->lock);
    if (free_before != NULL)
        free_before(before);
    return 0;
}

void *wsock_conn_get_user(const wsock_conn *conn)
{
    return conn != NULL ? atomic_load(&conn->user) : NULL;
}

wsock_request *wsock_conn_request(wsock_conn *conn)
{
    return conn != NULL && wsi_conn_role(conn) == WSI_SERVER ? wsi_request_of(conn)
                                                             : NULL;
}

/* A client's facts are there from open on, or from the end if its server refused, and
 * then never change. */
static const struct wsi_facts *facts_of(const wsock_conn *conn)
{
    return conn != NULL && wsi_conn_state(conn) >= WSI_CONN_OPEN ? conn->facts : NULL;
}

const char *wsock_conn_subprotocol(const wsock_conn *conn)
{
    const struct wsi_facts *facts = facts_of(conn);

    return facts != NULL && conn->opened ? wsi_facts_subprotocol(facts) : "";
}

/* What is agreed on is noted while opening, which may fail after it. `opened` does not
 * change any more once the state is a later one. */
static bool has_extensions(const wsock_conn *conn)
{
    return wsi_conn_state(conn) >= WSI_CONN_OPEN && conn->opened &&
           conn->pmd.own_window_bits != 0;
}

int wsock_conn_extensions(const wsock_conn *conn, char *out, size_t size)
{
    const char *text = wsock_conn_response_header(conn, "Sec-WebSocket-Extensions");
    char answer[WSI_PMD_TEXT_MAX + 1] = "";
    size_t len;

    if (conn == NULL || out == NULL)
        return WSOCK_EINVAL;
    if (!has_extensions(conn))
        text = "";
    else if (wsi_conn_role(conn) == WSI_SERVER)
        answer[wsi_pmd_write_answer(answer, &conn->pmd)] = '\0';
    if (answer[0] != '\0')
        text = answer;
    if (text == NULL)
        text = "";
    len = strlen(text);
    if (len >= size)
        return WSOCK_ETOOBIG;
    memcpy(out, text, len + 1);
    return (int)len;
}

const char *wsock_conn_response_header(const wsock_conn *conn, const char *name)
{
    const struct wsi_facts *facts = facts_of(conn);

    if (facts == NULL || name == NULL || wsi_conn_role(conn) == WSI_SERVER)
        return NULL;
    return wsi_facts_header(facts, name);
}

int wsock_conn_response_field_at(const wsock_conn *conn, const char **name,
                                 const char **value, size_t index)
{
    const struct wsi_facts *facts = facts_of(conn);

    if (conn == NULL || name == NULL || value == NULL)
        return WSOCK_EINVAL;
    if (facts == NULL || wsi_conn_role(conn) == WSI_SERVER)
        return WSOCK_ENOENT;
    return wsi_facts_field_at(facts, name, value, WSOCK_FIELDS_HEADER, index);
}

int wsock_conn_response_body(const wsock_conn *conn, const void **data, size_t *len)
{
    const struct wsi_extra *extra;

    if (conn == NULL || data == NULL || len == NULL)
        return WSOCK_EINVAL;
    if (wsi_conn_role(conn) == WSI_SERVER) /* there it is the request's */
        return WSOCK_ENOENT;
    extra = wsi_conn_state(conn) == WSI_CONN_CLOSED ? wsi_extra_of(conn) : NULL;
    if (extra == NULL || extra->body == NULL)
        return WSOCK_ENOENT;
    *data = extra->body->data;
    *len = extra->body->len;
    return 0;
}

const char *wsock_conn_remote_address(const wsock_conn *conn)
{
    const struct wsi_facts *facts = facts_of(conn);

    return facts != NULL ? wsi_facts_remote(facts) : "";
}

const char *wsock_conn_local_address(const wsock_conn *conn)
{
    const struct wsi_facts *facts = facts_of(conn);

    const char *own = facts != NULL ? wsi_facts_local(facts) : NULL;

    if (own != NULL)
        return own;
    return facts != NULL && conn->local != NULL ? (const char *)conn->local->data : "";
}

const char *wsock_conn_url(const wsock_conn *conn)
{
    return conn != NULL && wsi_conn_role(conn) == WSI_CLIENT &&
                   wsi_conn_state(conn) >= WSI_CONN_OPEN
               ? wsi_moving_url(conn)
               : "";
}

int64_t wsock_conn_rtt_us(const wsock_conn *conn)
{
    int64_t us;

    if (conn == NULL)
        return WSOCK_EINVAL;
    us = atomic_load_explicit(&conn->rtt_us, memory_order_relaxed);
    return us > 0 ? us : WSOCK_ENOENT;
}

int wsock_conn_is_open(const wsock_conn *conn)
{
    return conn != NULL && wsi_conn_state(conn) == WSI_CONN_OPEN &&
           !atomic_load(&conn->close_begun);
}
