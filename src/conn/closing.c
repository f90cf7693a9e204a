/* SPDX-License-Identifier: MIT */
/*
 * The closing handshake, RFC 6455 section 7. Both ends send a close frame; then the
 * server ends the TCP connection and the client waits for that (7.1.1), each with a time
 * limit.
 */
#include <assert.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/conn.h"
#include "conn/droppable.h"
#include "conn/member.h"
#include "conn/opening.h"
#include "core/alloc.h"

/* A close on its way to the connection's worker. */
struct posted_close {
    struct wsi_mail mail;
    struct wsock_conn *conn; /* a reference */
    unsigned code;           /* 0: reset */
    size_t len;
    char reason[WSI_CLOSE_REASON_MAX];
};

/* Queue a close frame, unless one was. @return false without memory: then nothing is left
 * to wait for. */
static bool write_close(struct wsock_conn *conn, unsigned code, const char *reason,
                        size_t len)
{
    uint8_t frame[WSI_FRAME_HEADER_MAX + WSI_CONTROL_PAYLOAD_MAX];
    uint8_t key[4] = {0};
    uint8_t *out;
    size_t size;

    if (wsi_conn_role(conn) == WSI_CLIENT)
        wsi_random_bytes(&conn->worker->random, key, sizeof key);
    size = wsi_session_close(&conn->session, frame, code, key, reason, len);
    if (size == 0)
        return true;
    out = wsi_stream_reserve(&conn->stream, size);
    if (out == NULL)
        return false;
    memcpy(out, frame, size);
    wsi_stream_commit(&conn->stream, size);
    return true;
}

void wsi_conn_start_close(struct wsock_conn *conn, unsigned code, const char *reason,
                          size_t len)
{
    if (wsi_conn_state(conn) != WSI_CONN_OPEN)
        return;
    if (conn->session.close_received) { /* the peer was first; its answer is due */
        wsi_conn_answer_close(conn);
        return;
    }
    wsi_conn_set_state(conn, WSI_CONN_CLOSING);
    wsi_members_leave_all(conn);
    conn->began = WSOCK_BY_US;
    wsi_droppable_move_all(conn);
    if (!write_close(conn, code, reason, len)) {
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
        return;
    }
    /* The peer's answer must be read, whatever reading waited for. */
    conn->user_pauses = 0;
    wsi_conn_resume(conn, WSI_PAUSE_USER | WSI_PAUSE_BACKLOG | WSI_PAUSE_PRESSURE);
    wsi_conn_start_timer(conn);
}

static void finish_handshake(struct wsock_conn *conn)
{
    wsi_conn_note_end(conn, WSOCK_CAUSE_CLOSED, conn->began, 0, NULL);
    if (wsi_conn_role(conn) == WSI_SERVER)
        wsi_conn_end(conn, WSI_CLOSE_LINGER, WSOCK_CAUSE_CLOSED, conn->began, NULL);
    else
        wsi_conn_start_timer(conn);
}

void wsi_conn_peer_closed(struct wsock_conn *conn, const struct wsi_event *event)
{
    wsi_conn_keep_reason(conn, event->data, event->len);
    if (conn->session.close_sent) {
        finish_handshake(conn);
        return;
    }
    /* Answering is left to a mail of our own (section 5.5.1 lets us finish what we are
     * sending): what the peer's last messages set going in rooms still reaches it. */
    atomic_store(&conn->close_begun, true);
    conn->began = WSOCK_BY_PEER;
    wsi_conn_post_drain(conn);
}

void wsi_conn_answer_close(struct wsock_conn *conn)
{
    if (!conn->session.close_received || conn->session.close_sent)
        return;
    wsi_conn_set_state(conn, WSI_CONN_CLOSING);
    wsi_members_leave_all(conn);
    wsi_droppable_move_all(conn);
    if (write_close(conn, wsi_session_reply_code(&conn->session), NULL, 0))
        finish_handshake(conn);
    else
        wsi_conn_end(conn, WSI_CLOSE_NOW, WSOCK_CAUSE_CLOSED, WSOCK_BY_PEER, NULL);
}

static int cause_of(unsigned code)
{
    switch (code) {
    case 1008:
    case 1009:
        return WSOCK_CAUSE_LIMIT;
    case 1011:
        return WSOCK_CAUSE_NO_MEMORY;
    default:
        return WSOCK_CAUSE_PROTOCOL;
    }
}

void wsi_conn_fail(struct wsock_conn *conn, unsigned code, const char *why)
{
    const size_t len = strlen(why);

    write_close(conn, code, why, len <= WSI_CLOSE_REASON_MAX ? len : 0);
    wsi_conn_end(conn, WSI_CLOSE_LINGER, cause_of(code), WSOCK_BY_US,
                 "closed with %u: %s", code, why);
}

void wsi_conn_overload(struct wsock_conn *conn)
{
    if (conn->opened)
        write_close(conn, 1013, NULL, 0);
    wsi_stream_flush(&conn->stream);
    wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_OVERLOAD, WSOCK_BY_US, NULL);
}

void wsi_conn_go_away(struct wsock_conn *conn)
{
    static const char reason[] = "going away";

    switch (wsi_conn_state(conn)) {
    case WSI_CONN_OPENING:
        wsi_opening_go_away(conn);
        break;
    case WSI_CONN_OPEN:
        wsi_conn_start_close(conn, 1001, reason, sizeof reason - 1);
        break;
    case WSI_CONN_ENDING:
        /* All was said; only the peer's FIN is missing, and may be for long. */
        if (wsi_stream_unsent(&conn->stream) == 0)
            wsi_stream_close(&conn->stream, WSI_CLOSE_NOW);
        break;
    case WSI_CONN_CLOSING:
    case WSI_CONN_CLOSED:
        break;
    }
}

/* ---- from any thread ---- */

static void close_now(struct wsock_conn *conn, unsigned code, const char *reason,
                      size_t len)
{
    if (wsi_conn_state(conn) == WSI_CONN_CLOSED)
        return;
    if (wsi_conn_state(conn) == WSI_CONN_OPENING)
        wsi_opening_give_up(conn);
    else if (code == 0)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_RESET, WSOCK_BY_US, NULL);
    else
        wsi_conn_start_close(conn, code, reason, len);
}

static void run_close(struct wsi_mail *mail)
{
    struct posted_close *posted = WSI_CONTAINER_OF(mail, struct posted_close, mail);
    struct wsock_conn *conn = posted->conn;

    atomic_fetch_sub_explicit(&conn->posted, 1, memory_order_release);
    close_now(conn, posted->code, posted->reason, posted->len);
    wsi_free(posted);
    wsock_conn_unref(conn);
}

static int post_close(struct wsock_conn *conn, unsigned code, const char *reason,
                      size_t len)
{
    struct posted_close *posted = wsi_alloc(sizeof *posted);

    if (posted == NULL)
        return WSOCK_ENOMEM;
    posted->mail.run = run_close;
    posted->conn = wsock_conn_ref(conn);
    posted->code = code;
    posted->len = len;
    assert(len <= sizeof posted->reason);
    if (len > 0)
        memcpy(posted->reason, reason, len);
    atomic_fetch_add_explicit(&conn->posted, 1, memory_order_acq_rel);
    wsi_worker_post(conn->worker, &posted->mail);
    return 0;
}

/* What was said in its rooms before is mail that waits, so the close frame becomes mail
 * behind that. It leaves them at once, and what waits for it in them goes out before that
 * takes it away. Without memory it does not wait. */
static void close_behind_rooms(struct wsock_conn *conn, unsigned code, const char *reason,
                               size_t len)
{
    wsi_droppable_move_all(conn);
    wsi_members_leave_all(conn);
    if (post_close(conn, code, reason, len) < 0)
        close_now(conn, code, reason, len);
}

int wsi_conn_close(struct wsock_conn *conn, unsigned code, const char *reason, size_t len)
{
    const bool at_once = wsi_conn_is_direct(conn) &&
                         wsi_conn_state(conn) == WSI_CONN_OPEN;
    int r = 0;

    if (atomic_exchange(&conn->close_begun, true) && code != 0)
        return WSOCK_ECLOSED;
    if (wsi_conn_state(conn) == WSI_CONN_CLOSED)
        return WSOCK_ECLOSED;
    if (at_once && code != 0 && wsi_conn_has_memberships(conn))
        close_behind_rooms(conn, code, reason, len);
    else if (at_once)
        close_now(conn, code, reason, len);
    else
        r = post_close(conn, code, reason, len);
    if (r < 0 && wsi_conn_state(conn) <= WSI_CONN_OPEN)
        atomic_store(&conn->close_begun, false);
    return r;
}
