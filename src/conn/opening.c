/* SPDX-License-Identifier: MIT */
/* What opening is like for both roles: gathering a head, time, and giving up. */
#include "conn/opening.h"

#include <string.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/body.h"
#include "conn/conn.h"
#include "conn/destination.h"
#include "conn/reaching.h"
#include "conn/secure.h"
#include "conn/service.h"
#include "conn/tunneling.h"
#include "core/alloc.h"

enum { HEAD_PIECE = 4096 };

int wsi_opening_new(struct wsi_opening **out)
{
    struct wsi_opening *opening = wsi_zalloc(sizeof *opening);

    if (opening == NULL)
        return WSOCK_ENOMEM;
    opening->file = -1;
    opening->given = -1;
    wsi_list_init(&opening->handshaking);
    *out = opening;
    return 0;
}

void wsi_opening_drop_moved(struct wsi_opening *opening)
{
    if (opening->moved != NULL)
        wsi_destination_fini(opening->moved);
    wsi_free(opening->moved);
    opening->moved = NULL;
}

void wsi_opening_free(struct wsi_opening *opening)
{
    if (opening == NULL)
        return;
    wsi_buf_fini(&opening->in);
    wsi_buf_fini(&opening->headers);
    wsi_buf_fini(&opening->body);
    wsi_free(opening->content_type);
    wsi_free(opening->way);
    wsi_opening_drop_moved(opening);
    wsi_free(opening->remote);
    if (opening->file >= 0)
        close(opening->file);
    if (opening->given >= 0)
        close(opening->given);
    wsi_free(opening);
}

void wsi_opening_finish(struct wsock_conn *conn)
{
    struct wsi_opening *opening;

    if (conn->opening != NULL) {
        wsi_conn_end_handshake(conn);
        wsi_reaching_stop(conn);
    }
    pthread_mutex_lock(&conn->worker->lock);
    opening = conn->opening;
    conn->opening = NULL;
    pthread_mutex_unlock(&conn->worker->lock);
    wsi_opening_free(opening);
}

void wsi_opening_cancel(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;
    struct wsi_handler *handler;
    bool unanswered;

    if (opening == NULL || !opening->handed_out)
        return;
    pthread_mutex_lock(&conn->worker->lock);
    unanswered = !opening->answered;
    opening->answered = true;
    pthread_mutex_unlock(&conn->worker->lock);
    if (!unanswered || conn->profile == NULL)
        return;
    handler = wsi_profile_handler(conn->profile, WSI_ON_REQUEST_CANCELLED);
    if (handler != NULL)
        handler->fn.request(wsi_request_of(conn), handler->user);
}

/* ---- bytes ---- */

static const struct wsi_options *head_options(const struct wsock_conn *conn)
{
    return wsi_conn_role(conn) == WSI_CLIENT ? &conn->profile->options
                                             : wsi_service_options(conn->owner);
}

/* @return true when it is passed over, and another one is due. */
static bool got_head(struct wsock_conn *conn, uint8_t *data, size_t head_len)
{
    if (wsi_conn_role(conn) == WSI_CLIENT)
        return wsi_connecting_head(conn, data, head_len);
    wsi_accepting_head(conn, data, head_len);
    return false;
}

static void refuse_head(struct wsock_conn *conn, const struct wsi_http_refusal *refusal)
{
    if (wsi_conn_role(conn) == WSI_SERVER)
        wsi_accepting_refuse(conn, refusal);
    else
        wsi_connecting_fail(conn, WSOCK_CAUSE_HANDSHAKE, "the server's answer: %s",
                            refusal->why);
}

static void no_memory(struct wsock_conn *conn)
{
    wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
}

/* @return true when there is a head that is passed over. */
static bool look_for_one_head(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;
    const size_t passed = opening->passed;
    const size_t max = (size_t)wsi_option(head_options(conn), WSI_OPT_MAX_HEAD_BYTES);
    struct wsi_http_refusal refusal;
    uint8_t *data = opening->in.data + passed;
    /* All of them together keep to the limit, which may have changed meanwhile. */
    const ptrdiff_t head_len = wsi_http_scan(&opening->scan, data,
                                             opening->in.len - passed,
                                             max > passed ? max - passed : 0, &refusal);

    if (head_len < 0)
        refuse_head(conn, &refusal);
    if (head_len <= 0 || !got_head(conn, data, (size_t)head_len))
        return false;
    opening->passed += (size_t)head_len;
    opening->scan = (struct wsi_http_scan){0};
    return true;
}

static void look_for_head(struct wsock_conn *conn)
{
    while (look_for_one_head(conn))
        continue;
}

static void receive_head(struct wsock_conn *conn, const uint8_t *data, size_t len)
{
    if (wsi_buf_append(&conn->opening->in, data, len, SIZE_MAX / 2) < 0)
        no_memory(conn);
    else
        look_for_head(conn);
}

void wsi_opening_begin(struct wsock_conn *conn)
{
    struct wsi_ip ip;

    /* Who is told by fields is counted when they are read. */
    if (wsi_trust_knows_client(conn, &ip) && !wsi_guests_admit(conn, &ip))
        return;
    if (conn->opening->speaks_tls) {
        wsi_conn_start_tls(conn);
        return;
    }
    conn->opening->phase = WSI_OPENING_HEAD;
    if (conn->opening->in.len > 0)
        look_for_head(conn);
}

/* While the application decides, a client may send a little ahead; then it waits. */
static void receive_early(struct wsock_conn *conn, const uint8_t *data, size_t len)
{
    struct wsi_opening *opening = conn->opening;

    if (wsi_buf_append(&opening->in, data, len, SIZE_MAX / 2) < 0)
        no_memory(conn);
    else
        wsi_conn_pause(conn, WSI_PAUSE_OPENING);
}

static bool wants_head(const struct wsock_conn *conn)
{
    return wsi_conn_state(conn) == WSI_CONN_OPENING &&
           conn->opening->phase == WSI_OPENING_HEAD;
}

static void receive_in_phase(struct wsock_conn *conn, uint8_t *data, size_t len)
{
    switch (conn->opening->phase) {
    case WSI_OPENING_PROXY:
        wsi_trust_receive(conn, data, len);
        break;
    case WSI_OPENING_TUNNEL:
        wsi_tunneling_receive(conn, data, len);
        break;
    case WSI_OPENING_BODY:
        if (wsi_body_receive(conn, data, len))
            wsi_accepting_body(conn);
        break;
    case WSI_OPENING_ANSWER:
        receive_early(conn, data, len);
        break;
    case WSI_OPENING_REFUSED:
        wsi_connecting_receive_refusal(conn, data, len);
        break;
    default:
        break; /* what follows a request that gets an HTTP answer is not read */
    }
}

/* A head is taken in pieces, so that what one read brings behind a head that is refused,
 * which may be much, is not copied. */
void wsi_opening_receive(struct wsock_conn *conn, uint8_t *data, size_t len)
{
    while (len > 0 && wants_head(conn)) {
        const size_t piece = len < HEAD_PIECE ? len : (size_t)HEAD_PIECE;

        receive_head(conn, data, piece);
        data += piece;
        len -= piece;
    }
    if (len == 0)
        return;
    if (conn->opened)
        wsi_conn_receive(conn, data, len);
    else if (wsi_conn_state(conn) == WSI_CONN_OPENING)
        receive_in_phase(conn, data, len);
}

int wsi_opening_write(struct wsock_conn *conn, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    while (len > 0) {
        const size_t n = len < WSI_STREAM_COPY_MAX ? len : (size_t)WSI_STREAM_COPY_MAX;
        uint8_t *out = wsi_stream_reserve(&conn->stream, n);

        if (out == NULL)
            return WSOCK_ENOMEM;
        memcpy(out, bytes, n);
        wsi_stream_commit(&conn->stream, n);
        bytes += n;
        len -= n;
    }
    return 0;
}

/* ---- events ---- */

void wsi_opening_eof(struct wsock_conn *conn)
{
    if (conn->opening->phase == WSI_OPENING_REFUSED)
        wsi_connecting_refused(conn);
    else if (conn->opening->phase == WSI_OPENING_TLS)
        wsi_conn_tls_eof(conn);
    else if (conn->opening->phase == WSI_OPENING_TUNNEL)
        wsi_tunneling_lost(conn, 0);
    else if (wsi_conn_role(conn) == WSI_CLIENT)
        wsi_connecting_fail(conn, WSOCK_CAUSE_HANDSHAKE,
                            "the server ended the connection before it answered");
    else if (conn->opening->phase != WSI_OPENING_REPLY)
        wsi_conn_end(conn, WSI_CLOSE_NOW, WSOCK_CAUSE_LOST, WSOCK_BY_PEER, NULL);
}

void wsi_opening_writable(struct wsock_conn *conn)
{
    if (conn->opening != NULL && conn->opening->phase == WSI_OPENING_REPLY)
        wsi_reply_writable(conn);
}

void wsi_opening_secured(struct wsock_conn *conn)
{
    wsi_conn_end_handshake(conn);
    if (wsi_conn_role(conn) == WSI_SERVER)
        conn->opening->phase = WSI_OPENING_HEAD;
    else
        wsi_connecting_ask(conn);
}

bool wsi_opening_stream_closed(struct wsock_conn *conn, int error)
{
    return wsi_conn_state(conn) == WSI_CONN_OPENING &&
           wsi_conn_role(conn) == WSI_CLIENT && wsi_connecting_stream_closed(conn, error);
}

void wsi_opening_mail(struct wsock_conn *conn)
{
    if (wsi_conn_state(conn) != WSI_CONN_OPENING)
        return;
    if (wsi_conn_role(conn) == WSI_SERVER)
        wsi_accepting_answered(conn);
    else if (conn->opening->phase == WSI_OPENING_START)
        wsi_reaching_start(conn);
}

/* ---- time ---- */

uint64_t wsi_opening_deadline(const struct wsock_conn *conn)
{
    return conn->opening->deadline_ms;
}

void wsi_opening_set_deadline(struct wsock_conn *conn, uint64_t in_ms)
{
    conn->opening->deadline_ms = wsi_worker_now_ms(conn->worker) + in_ms;
    wsi_conn_start_timer(conn);
}

static void server_timeout(struct wsock_conn *conn)
{
    switch (conn->opening->phase) {
    case WSI_OPENING_PROXY:
        wsi_trust_timeout(conn);
        break;
    case WSI_OPENING_TLS:
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_TLS_TIMEOUT, WSOCK_BY_US, NULL);
        break;
    case WSI_OPENING_HEAD:
    case WSI_OPENING_BODY:
        wsi_reply_text(conn, 408, "the request took too long");
        break;
    case WSI_OPENING_ANSWER:
        wsi_opening_cancel(conn);
        wsi_reply_text(conn, 503, "the application did not answer in time");
        break;
    default:
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_WRITE_STALL, WSOCK_BY_US, NULL);
        break;
    }
}

void wsi_opening_timeout(struct wsock_conn *conn)
{
    if (wsi_conn_role(conn) == WSI_SERVER)
        server_timeout(conn);
    else if (conn->opening->phase == WSI_OPENING_CONNECT ||
             conn->opening->phase == WSI_OPENING_TUNNEL)
        wsi_reaching_timeout(conn);
    else if (conn->opening->phase == WSI_OPENING_REFUSED)
        wsi_connecting_refused(conn);
    else if (conn->opening->phase == WSI_OPENING_TLS)
        wsi_connecting_fail(conn, WSOCK_CAUSE_TLS_TIMEOUT, NULL);
    else
        wsi_connecting_fail(conn, WSOCK_CAUSE_HANDSHAKE_TIMEOUT, NULL);
}

void wsi_opening_go_away(struct wsock_conn *conn)
{
    if (wsi_conn_role(conn) == WSI_CLIENT) {
        wsi_connecting_fail(conn, WSOCK_CAUSE_STOPPED, NULL);
    } else if (conn->opening->phase < WSI_OPENING_HEAD) {
        wsi_conn_end(conn, WSI_CLOSE_NOW, WSOCK_CAUSE_STOPPED, WSOCK_BY_US, NULL);
    } else if (conn->opening->phase != WSI_OPENING_REPLY) {
        /* Also when no request is there yet: it may be on its way. */
        wsi_opening_cancel(conn);
        wsi_reply_later(conn, "going away\n");
    }
}

void wsi_opening_give_up(struct wsock_conn *conn)
{
    if (wsi_conn_role(conn) == WSI_CLIENT)
        wsi_connecting_fail(conn, WSOCK_CAUSE_RESET, "given up before it was open");
    else
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_RESET, WSOCK_BY_US, NULL);
}
