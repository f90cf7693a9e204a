/* SPDX-License-Identifier: MIT */
/*
 * Messages out. A send acts at once on the connection's own worker when no mail to the
 * connection is under way; from elsewhere it becomes mail, whose bytes count in
 * `buffered` from the moment of the call, so that a fast thread meets EAGAIN and not our
 * memory.
 */
#include "conn/send.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/encode.h"
#include "conn/opening.h"
#include "core/alloc.h"
#include "proto/mask.h"
#include "proto/utf8.h"

/* A message on its way to the connection's worker. */
struct posted {
    struct wsi_mail mail;
    struct wsock_conn *conn; /* a reference */
    struct wsi_blob *frame;  /* (nullable) a shared one instead of the bytes below */
    size_t counted;          /* in posted_bytes */
    size_t len;
    uint8_t byte0;
    uint8_t data[];
};

size_t wsi_conn_buffered(const struct wsock_conn *conn)
{
    return atomic_load_explicit(&conn->posted_bytes, memory_order_relaxed) +
           wsi_stream_queued(&conn->stream);
}

static inline size_t mark_of(const struct wsock_conn *conn)
{
    return (size_t)wsi_option(&conn->profile->options, WSI_OPT_MAX_BACKLOG_BYTES);
}

/* ---- writing, on the worker ---- */

static inline size_t frame_size(const struct wsock_conn *conn, size_t len)
{
    return len + wsi_frame_header_size(len, wsi_conn_role(conn) == WSI_CLIENT);
}

/* Why nothing could be reserved. A stream that broke in this turn tells its end soon. */
static __attribute__((noinline, cold)) int no_room(const struct wsock_conn *conn)
{
    return wsi_stream_is_closing(&conn->stream) ? WSOCK_ECLOSED : WSOCK_ENOMEM;
}

/* @return the frame's size. */
static size_t encode(struct wsock_conn *conn, uint8_t *out, unsigned byte0,
                     const void *data, size_t len)
{
    uint8_t key[4];
    size_t header;

    if (wsi_conn_role(conn) == WSI_SERVER) {
        header = wsi_frame_write_header(out, byte0, len, NULL);
        if (len > 0)
            memcpy(out + header, data, len);
        return header + len;
    }
    wsi_random_bytes(&conn->worker->random, key, sizeof key);
    header = wsi_frame_write_header(out, byte0, len, key);
    wsi_mask(out + header, data, len, key, 0);
    return header + len;
}

/* Most frames of a server have a header of two bytes. @return false for those that do
 * not. */
static inline bool write_short(struct wsock_conn *conn, unsigned byte0, const void *data,
                               size_t len, int *r)
{
    uint8_t *out;

    if (len > 125 || wsi_conn_role(conn) == WSI_CLIENT)
        return false;
    out = wsi_stream_reserve(&conn->stream, len + 2);
    *r = out != NULL ? 0 : no_room(conn);
    if (out == NULL)
        return true;
    out[0] = (uint8_t)byte0;
    out[1] = (uint8_t)len;
    if (len > 0)
        memcpy(out + 2, data, len);
    wsi_stream_commit(&conn->stream, len + 2);
    return true;
}

int wsi_conn_write(struct wsock_conn *conn, unsigned byte0, const void *data, size_t len)
{
    struct wsi_blob *blob;
    size_t size;
    int r;

    if (write_short(conn, byte0, data, len, &r))
        return r;
    size = frame_size(conn, len);
    if (size <= WSI_STREAM_COPY_MAX) {
        uint8_t *out = wsi_stream_reserve(&conn->stream, size);

        if (out == NULL)
            return no_room(conn);
        wsi_stream_commit(&conn->stream, encode(conn, out, byte0, data, len));
        return 0;
    }
    blob = wsi_blob_new(size);
    if (blob == NULL)
        return WSOCK_ENOMEM;
    blob->len = encode(conn, blob->data, byte0, data, len);
    r = wsi_stream_send_blob(&conn->stream, blob, 0, blob->len);
    wsi_blob_unref(blob);
    return r;
}

int wsi_conn_write_frame(struct wsock_conn *conn, struct wsi_blob *frame)
{
    if (wsi_conn_role(conn) == WSI_CLIENT) {
        const struct wsi_payload payload = wsi_encoded_payload(frame);

        return wsi_conn_write(conn, frame->data[0], payload.data, payload.len);
    }
    if (frame->len <= WSI_STREAM_COPY_MAX) {
        uint8_t *out = wsi_stream_reserve(&conn->stream, frame->len);

        if (out == NULL)
            return no_room(conn);
        memcpy(out, frame->data, frame->len);
        wsi_stream_commit(&conn->stream, frame->len);
        return 0;
    }
    return wsi_stream_send_blob(&conn->stream, frame, 0, frame->len);
}

/* ---- the backlog ---- */

/* The account of memory is brought up to date when this much is not in it. */
enum { UNACCOUNTED_MAX = 64 * 1024 };

/* After a write: what was queued may be too much, for the connection or for all. */
static inline void look_at_backlog(struct wsock_conn *conn)
{
    const size_t queued = wsi_stream_queued(&conn->stream);

    if (queued > conn->accounted + UNACCOUNTED_MAX)
        wsi_conn_account(conn);
    if (queued >= mark_of(conn))
        wsi_conn_backlogged(conn);
}

void wsi_conn_backlogged(struct wsock_conn *conn)
{
    if (wsi_option(&conn->profile->options, WSI_OPT_PAUSE_READ_WHEN_BACKLOGGED)) {
        wsi_conn_pause(conn, WSI_PAUSE_BACKLOG);
        wsi_stream_want_writable(&conn->stream);
    }
}

static void run_drain(struct wsi_mail *mail)
{
    struct wsock_conn *conn = WSI_CONTAINER_OF(mail, struct wsock_conn, drain);

    atomic_store(&conn->drain_posted, false);
    if (!conn->opened)
        wsi_opening_mail(conn);
    else if (wsi_conn_state(conn) < WSI_CONN_ENDING)
        wsi_conn_drained(conn);
    if (wsi_conn_state(conn) == WSI_CONN_OPEN)
        wsi_conn_answer_close(conn);
    wsock_conn_unref(conn);
}

void wsi_conn_post_drain(struct wsock_conn *conn)
{
    if (atomic_exchange(&conn->drain_posted, true))
        return;
    conn->drain.run = run_drain;
    wsi_worker_post(conn->worker, &wsock_conn_ref(conn)->drain);
}

/* A send met the mark: on_drain must follow. */
static int refuse(struct wsock_conn *conn)
{
    atomic_store(&conn->want_drain, true);
    if (wsi_worker_current == conn->worker && wsi_stream_queued(&conn->stream) > 0)
        wsi_stream_want_writable(&conn->stream);
    else
        wsi_conn_post_drain(conn);
    return WSOCK_EAGAIN;
}

static void send_kept_pong(struct wsock_conn *conn)
{
    struct wsi_blob *pong = conn->pong;

    if (pong == NULL || wsi_stream_is_blocked(&conn->stream))
        return;
    conn->pong = NULL;
    if (!conn->session.close_sent)
        wsi_conn_pong(conn, pong->data, pong->len);
    wsi_blob_unref(pong);
}

static void tell_drain(struct wsock_conn *conn)
{
    struct wsi_handler *handler = wsi_profile_handler(conn->profile, WSI_ON_DRAIN);

    if (handler != NULL && wsi_conn_state(conn) == WSI_CONN_OPEN)
        handler->fn.open(conn, handler->user);
}

void wsi_conn_drained(struct wsock_conn *conn)
{
    send_kept_pong(conn);
    if (wsi_conn_buffered(conn) <= mark_of(conn) / 2) {
        wsi_conn_resume(conn, WSI_PAUSE_BACKLOG);
        if (atomic_exchange(&conn->want_drain, false))
            tell_drain(conn);
    } else if (wsi_stream_queued(&conn->stream) > 0) {
        wsi_stream_want_writable(&conn->stream);
    } else {
        /* Only mail is left, and it comes before this one. */
        wsi_conn_post_drain(conn);
    }
    wsi_conn_receive_held(conn);
}

void wsi_conn_pong(struct wsock_conn *conn, const void *data, size_t len)
{
    if (!wsi_stream_is_blocked(&conn->stream)) {
        wsi_conn_write(conn, WSI_FRAME_FIN | WSI_OP_PONG, data, len);
        return;
    }
    /* The peer pings without reading: section 5.5.3 lets us answer only the newest. */
    if (conn->pong == NULL)
        conn->pong = wsi_blob_new(WSI_CONTROL_PAYLOAD_MAX);
    if (conn->pong == NULL)
        return;
    if (len > 0)
        memcpy(conn->pong->data, data, len);
    conn->pong->len = len;
    wsi_stream_want_writable(&conn->stream);
}

/* ---- sending, from any thread ---- */

static bool is_open(const struct wsock_conn *conn)
{
    return wsi_conn_state(conn) == WSI_CONN_OPEN &&
           !atomic_load_explicit(&conn->close_begun, memory_order_relaxed);
}

static void run_posted(struct wsi_mail *mail)
{
    struct posted *posted = WSI_CONTAINER_OF(mail, struct posted, mail);
    struct wsock_conn *conn = posted->conn;
    int r = 0;

    atomic_fetch_sub_explicit(&conn->posted, 1, memory_order_release);
    /* A close that was asked for after this message comes after it here as well. */
    if (wsi_conn_state(conn) == WSI_CONN_OPEN)
        r = posted->frame != NULL
                ? wsi_conn_write_frame(conn, posted->frame)
                : wsi_conn_write(conn, posted->byte0, posted->data, posted->len);
    atomic_fetch_sub_explicit(&conn->posted_bytes, posted->counted, memory_order_relaxed);
    atomic_fetch_sub_explicit(&conn->worker->pool->buffered, (int64_t)posted->counted,
                              memory_order_relaxed);
    if (r == WSOCK_ENOMEM)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US,
                     "out of memory for a message that was accepted");
    else if (r == 0 && wsi_conn_state(conn) == WSI_CONN_OPEN)
        look_at_backlog(conn);
    wsi_blob_unref(posted->frame);
    wsi_free(posted);
    wsock_conn_unref(conn);
}

static int post(struct wsock_conn *conn, unsigned byte0, const void *data, size_t len,
                struct wsi_blob *frame)
{
    const size_t copied = frame == NULL ? len : 0;
    struct posted *posted = wsi_alloc(sizeof *posted + copied);

    if (posted == NULL)
        return WSOCK_ENOMEM;
    posted->mail.run = run_posted;
    posted->conn = wsock_conn_ref(conn);
    posted->frame = frame != NULL ? wsi_blob_ref(frame) : NULL;
    posted->counted = frame != NULL ? frame->len : frame_size(conn, len);
    posted->len = len;
    posted->byte0 = (uint8_t)byte0;
    if (copied > 0)
        memcpy(posted->data, data, len);
    atomic_fetch_add_explicit(&conn->posted_bytes, posted->counted, memory_order_relaxed);
    atomic_fetch_add_explicit(&conn->worker->pool->buffered, (int64_t)posted->counted,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&conn->posted, 1, memory_order_acq_rel);
    wsi_worker_post(conn->worker, &posted->mail);
    return 0;
}

int wsi_conn_send(struct wsock_conn *conn, unsigned opcode, const void *data, size_t len)
{
    int r;

    if (!is_open(conn))
        return WSOCK_ECLOSED;
    if (wsi_conn_buffered(conn) >= mark_of(conn))
        return refuse(conn);
    if (opcode == WSI_OP_TEXT && !wsi_utf8_is_valid(data, len))
        return WSOCK_EUTF8;
    if (!wsi_conn_is_direct(conn))
        return post(conn, WSI_FRAME_FIN | opcode, data, len, NULL);
    r = wsi_conn_write(conn, WSI_FRAME_FIN | opcode, data, len);
    if (r == 0)
        look_at_backlog(conn);
    return r;
}

int wsi_conn_send_frame(struct wsock_conn *conn, struct wsi_blob *frame)
{
    int r;

    if (!is_open(conn))
        return WSOCK_ECLOSED;
    if (wsi_conn_buffered(conn) >= mark_of(conn))
        return refuse(conn);
    if (!wsi_conn_is_direct(conn))
        return post(conn, 0, NULL, 0, frame);
    r = wsi_conn_write_frame(conn, frame);
    if (r == 0)
        look_at_backlog(conn);
    return r;
}

int wsi_conn_send_ping(struct wsock_conn *conn, const void *data, size_t len)
{
    if (!is_open(conn))
        return WSOCK_ECLOSED;
    if (!wsi_conn_is_direct(conn))
        return post(conn, WSI_FRAME_FIN | WSI_OP_PING, data, len, NULL);
    return wsi_conn_write(conn, WSI_FRAME_FIN | WSI_OP_PING, data, len);
}

bool wsi_conn_deliver(struct wsock_conn *conn, struct wsi_blob *frame)
{
    /* A close that has begun has not been sent yet: this comes before it. */
    if (wsi_conn_state(conn) != WSI_CONN_OPEN ||
        wsi_stream_queued(&conn->stream) >= mark_of(conn))
        return false;
    if (wsi_conn_write_frame(conn, frame) < 0)
        return false;
    look_at_backlog(conn);
    return true;
}
