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

#include "conn/compress.h"
#include "conn/conn.h"
#include "conn/droppable.h"
#include "conn/encode.h"
#include "conn/extra.h"
#include "conn/frames.h"
#include "conn/opening.h"
#include "conn/posted.h"
#include "conn/send_parts.h"
#include "core/alloc.h"
#include "proto/mask.h"
#include "proto/utf8.h"

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
    if ((frame->data[0] & WSI_FRAME_RSV1) != 0)
        wsi_conn_forget_sent(conn);
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

/* Compress with the connection's own context; what cannot be compressed goes plain. */
static int write_deflated(struct wsock_conn *conn, unsigned byte0, const void *data,
                          size_t len)
{
    const struct wsi_buf *out;
    int r;

    if (wsi_conn_deflate(conn, data, len, &out)) {
        r = wsi_conn_write(conn, byte0 | WSI_FRAME_RSV1, out->data, out->len);
        if (r < 0) /* our context has it, and the peer never will */
            wsi_conn_forget_sent(conn);
    } else {
        r = wsi_conn_write(conn, byte0, data, len);
    }
    wsi_conn_deflated(conn);
    return r;
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

void wsi_conn_written(struct wsock_conn *conn)
{
    look_at_backlog(conn);
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

void wsi_conn_refused(struct wsock_conn *conn)
{
    if (wsi_worker_current == conn->worker && wsi_stream_queued(&conn->stream) > 0)
        wsi_stream_want_writable(&conn->stream);
    else
        wsi_conn_post_drain(conn);
}

/* A send met the mark: on_drain must follow. While a message leaves in parts, its end
 * sees to that. */
static __attribute__((noinline, cold)) int refuse(struct wsock_conn *conn)
{
    atomic_store(&conn->want_drain, true);
    if (!wsi_outgoing_is_under_way(conn))
        wsi_conn_refused(conn);
    return WSOCK_EAGAIN;
}

static void send_kept_pong(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_extra_of(conn);
    struct wsi_blob *pong = extra != NULL ? extra->pong : NULL;

    if (pong == NULL || wsi_stream_is_blocked(&conn->stream))
        return;
    extra->pong = NULL;
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

/* Who appends to a message in parts, and who waits for its end, may both have been
 * refused. */
static bool is_drain_due(struct wsock_conn *conn)
{
    const bool append = wsi_outgoing_take_refusal(conn);

    return (!wsi_outgoing_is_open(conn) && atomic_exchange(&conn->want_drain, false)) ||
           append;
}

void wsi_conn_drained(struct wsock_conn *conn)
{
    send_kept_pong(conn);
    if (wsi_conn_buffered(conn) <= mark_of(conn) / 2 + wsi_outgoing_waiting_bytes(conn)) {
        wsi_conn_resume(conn, WSI_PAUSE_BACKLOG);
        if (is_drain_due(conn))
            tell_drain(conn);
    } else if (wsi_stream_queued(&conn->stream) > 0) {
        wsi_stream_want_writable(&conn->stream);
    } else {
        /* Only mail is left, and it comes before this one. */
        wsi_conn_post_drain(conn);
    }
    wsi_droppable_move(conn);
    wsi_conn_receive_held(conn);
}

/* The peer pings without reading: section 5.5.3 lets us answer only the newest. */
static void keep_pong(struct wsock_conn *conn, const void *data, size_t len)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);

    if (extra != NULL && extra->pong == NULL)
        extra->pong = wsi_blob_new(WSI_CONTROL_PAYLOAD_MAX);
    if (extra == NULL || extra->pong == NULL)
        return;
    if (len > 0)
        memcpy(extra->pong->data, data, len);
    extra->pong->len = len;
}

void wsi_conn_pong(struct wsock_conn *conn, const void *data, size_t len)
{
    if (!wsi_stream_is_blocked(&conn->stream)) {
        wsi_conn_write(conn, WSI_FRAME_FIN | WSI_OP_PONG, data, len);
        return;
    }
    keep_pong(conn, data, len);
    wsi_stream_want_writable(&conn->stream);
}

/* ---- sending, from any thread ---- */

int wsi_posted_write(struct wsock_conn *conn, const struct wsi_posted *posted)
{
    if (posted->frame != NULL)
        return wsi_conn_write_frame(conn, posted->frame);
    if (posted->compress)
        return write_deflated(conn, posted->byte0, posted->data, posted->len);
    return wsi_conn_write(conn, posted->byte0, posted->data, posted->len);
}

static __attribute__((noinline)) int post_bytes(struct wsock_conn *conn, unsigned byte0,
                                                bool compress, const void *data,
                                                size_t len)
{
    const bool is_control = (byte0 & 0x08) != 0; /* section 5.5 */
    struct wsi_posted *posted = wsi_posted_new(
        is_control ? WSI_POSTED_CONTROL : WSI_POSTED_MESSAGE, data, len);

    if (posted == NULL)
        return WSOCK_ENOMEM;
    posted->byte0 = (uint8_t)byte0;
    posted->compress = compress;
    wsi_posted_post(conn, posted, frame_size(conn, len));
    return 0;
}

static struct wsi_posted *posted_frame(struct wsi_blob *frame)
{
    struct wsi_posted *posted = wsi_posted_new(WSI_POSTED_MESSAGE, NULL, 0);

    if (posted != NULL)
        posted->frame = wsi_blob_ref(frame);
    return posted;
}

static int post_frame(struct wsock_conn *conn, struct wsi_blob *frame)
{
    struct wsi_posted *posted = posted_frame(frame);

    if (posted == NULL)
        return WSOCK_ENOMEM;
    wsi_posted_post(conn, posted, frame->len);
    return 0;
}

/* Send as it is, now or by mail. */
static inline __attribute__((always_inline)) int
send_bytes(struct wsock_conn *conn, unsigned byte0, const void *data, size_t len)
{
    int r;

    if (!wsi_conn_is_direct(conn))
        return post_bytes(conn, byte0, false, data, len);
    r = wsi_conn_write(conn, byte0, data, len);
    if (r == 0)
        look_at_backlog(conn);
    return r;
}

static int send_with_context(struct wsock_conn *conn, unsigned byte0, const void *data,
                             size_t len)
{
    int r;

    if (!wsi_conn_is_direct(conn))
        return post_bytes(conn, byte0, true, data, len);
    r = write_deflated(conn, byte0, data, len);
    if (r == 0)
        look_at_backlog(conn);
    return r;
}

/* Compress here, on the caller's thread, with a compressor on loan. */
static int send_shared(struct wsock_conn *conn, unsigned byte0, const void *data,
                       size_t len)
{
    const struct wsi_deflate_settings settings = wsi_conn_deflate_settings(conn);
    struct wsi_compressors *compressors = &conn->worker->pool->compressors;
    struct wsi_compressor *compressor = wsi_compressor_take(compressors, &settings);
    int r;

    if (compressor == NULL)
        return send_bytes(conn, byte0, data, len);
    if (wsi_compressor_run(compressor, data, len))
        r = send_bytes(conn, byte0 | WSI_FRAME_RSV1, compressor->out.data,
                       compressor->out.len);
    else
        r = send_bytes(conn, byte0, data, len);
    wsi_compressor_give(compressors, compressor);
    return r;
}

/* A message that fills the window twice takes little from those before, and leaves
 * nothing of them to those behind: where that is faster it goes without context. That is
 * so with libdeflate and windows of 15 bits only: it knows no smaller ones, and none that
 * is filled twice holds the whole message. */
static bool stands_alone(const struct wsock_conn *conn, size_t len)
{
    const unsigned bits = conn->pmd.own_window_bits;

    return len >= (size_t)2 << bits && wsi_deflate_prefers_no_context(bits, len);
}

static int send_without_context(struct wsock_conn *conn, unsigned opcode,
                                const void *data, size_t len)
{
    struct wsi_blob *frame = wsi_compress_frame(
        conn->worker->pool, &conn->profile->options, conn->pmd.own_window_bits, opcode,
        data, len);
    int r;

    if (frame == NULL)
        return send_bytes(conn, WSI_FRAME_FIN | opcode, data, len);
    r = wsi_conn_send_frame(conn, frame);
    wsi_blob_unref(frame);
    return r;
}

static bool is_to_be_compressed(const struct wsock_conn *conn, int type, size_t len)
{
    const struct wsi_options *options = &conn->profile->options;

    return conn->pmd.own_window_bits != 0 && (type & WSOCK_UNCOMPRESSED) == 0 &&
           (int64_t)len >= wsi_option(options, WSI_OPT_COMPRESSION_MIN_BYTES);
}

/* @return 0 when a message may be sent now. */
static inline __attribute__((always_inline)) int
may_send(struct wsock_conn *conn, unsigned opcode, const void *data, size_t len)
{
    if (!wsi_conn_takes_messages(conn))
        return WSOCK_ECLOSED;
    if (wsi_conn_buffered(conn) >= mark_of(conn))
        return refuse(conn);
    if (opcode == WSI_OP_TEXT && !wsi_utf8_is_valid(data, len))
        return WSOCK_EUTF8;
    return 0;
}

static __attribute__((noinline)) int send_compressible(struct wsock_conn *conn, int type,
                                                       const void *data, size_t len)
{
    const unsigned byte0 = WSI_FRAME_FIN | wsi_opcode_of(type);

    if (!is_to_be_compressed(conn, type, len))
        return send_bytes(conn, byte0, data, len);
    if (!conn->pmd.own_takeover)
        return send_shared(conn, byte0, data, len);
    return stands_alone(conn, len)
               ? send_without_context(conn, wsi_opcode_of(type), data, len)
               : send_with_context(conn, byte0, data, len);
}

int wsi_conn_send(struct wsock_conn *conn, int type, const void *data, size_t len)
{
    const unsigned opcode = wsi_opcode_of(type);
    const int r = may_send(conn, opcode, data, len);

    if (r < 0)
        return r;
    /* What was agreed is there to be read since the connection is seen to be open. */
    if (conn->pmd.own_window_bits != 0)
        return send_compressible(conn, type, data, len);
    return send_bytes(conn, WSI_FRAME_FIN | opcode, data, len);
}

int wsi_conn_send_frame(struct wsock_conn *conn, struct wsi_blob *frame)
{
    int r;

    if (!wsi_conn_takes_messages(conn))
        return WSOCK_ECLOSED;
    if (wsi_conn_buffered(conn) >= mark_of(conn))
        return refuse(conn);
    if (!wsi_conn_is_direct(conn))
        return post_frame(conn, frame);
    r = wsi_conn_write_frame(conn, frame);
    if (r == 0)
        look_at_backlog(conn);
    return r;
}

int wsi_conn_send_control(struct wsock_conn *conn, unsigned opcode, const void *data,
                          size_t len)
{
    if (!wsi_conn_takes_messages(conn))
        return WSOCK_ECLOSED;
    if (!wsi_conn_is_direct(conn))
        return post_bytes(conn, WSI_FRAME_FIN | opcode, false, data, len);
    return wsi_conn_write(conn, WSI_FRAME_FIN | opcode, data, len);
}

struct wsi_posted *wsi_kept_new(int type, const void *data, size_t len)
{
    struct wsi_posted *kept = wsi_posted_new(WSI_POSTED_MESSAGE, data, len);

    if (kept != NULL) {
        kept->byte0 = (uint8_t)(WSI_FRAME_FIN | wsi_opcode_of(type));
        kept->compress = (type & WSOCK_UNCOMPRESSED) == 0;
    }
    return kept;
}

void wsi_kept_send(struct wsock_conn *conn, struct wsi_posted *kept)
{
    const int type = kept->compress ? 0 : WSOCK_UNCOMPRESSED;

    kept->compress = is_to_be_compressed(conn, type, kept->len);
    if (kept->compress && !conn->pmd.own_takeover) {
        kept->frame = wsi_compress_frame(conn->worker->pool, &conn->profile->options,
                                         conn->pmd.own_window_bits, kept->byte0 & 0x0fU,
                                         kept->data, kept->len);
        kept->compress = false;
    }
    wsi_posted_post(conn, kept, frame_size(conn, kept->len));
}

/* Without memory for it. */
static __attribute__((noinline, cold)) bool missed(struct wsi_feed *feed)
{
    wsi_feed_missed(feed);
    return false;
}

bool wsi_conn_deliver(struct wsock_conn *conn, struct wsi_feed *feed,
                      const struct wsi_frames *frames, struct wsi_blob *key)
{
    struct wsi_blob *frame;

    /* A close that has begun has not been sent yet: this comes before it. */
    if (wsi_conn_state(conn) != WSI_CONN_OPEN)
        return false;
    frame = wsi_frames_for(frames, conn);
    if (!wsi_droppable_is_passed(conn))
        return wsi_droppable_put(conn, feed, frame, key);
    if (wsi_conn_write_frame(conn, frame) < 0)
        return missed(feed);
    look_at_backlog(conn);
    return true;
}

typedef int put_fn(struct wsock_conn *conn, struct wsi_feed *feed,
                   struct wsi_blob *frame);

static void deliver_surely(struct wsock_conn *conn, struct wsi_feed *feed,
                           struct wsi_blob *frame, put_fn *put)
{
    int r;

    if (wsi_conn_state(conn) != WSI_CONN_OPEN)
        return;
    if (wsi_droppable_is_passed(conn))
        r = wsi_conn_write_frame(conn, frame);
    else
        r = put(conn, feed, frame);
    if (r == WSOCK_ENOMEM)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US,
                     "out of memory for what a room kept for it");
}

void wsi_conn_deliver_missed(struct wsock_conn *conn, struct wsi_feed *feed,
                             struct wsi_blob *frame)
{
    deliver_surely(conn, feed, frame, wsi_droppable_put_missed);
}

void wsi_conn_deliver_notice(struct wsock_conn *conn, struct wsi_feed *feed,
                             struct wsi_blob *frame)
{
    deliver_surely(conn, feed, frame, wsi_droppable_put_notice);
}
