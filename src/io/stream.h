/* SPDX-License-Identifier: MIT */
/*
 * A connected byte stream on a loop: receives into the loop's one large buffer, sends
 * through a queue that is flushed once a turn.
 *
 * Sending. Small pieces are written into the loop's arena (reserve, commit) and cost
 * no allocation; large or shared ones are queued by reference. A queue that reaches
 * WSI_STREAM_EARLY_FLUSH is sent at once. After a short write the bytes in the arena
 * move to memory of the stream, references stay references.
 *
 * Lifetime. The struct is the caller's memory, from wsi_stream_init() until on_closed
 * returned, which comes exactly once after adopt or connect succeeded, last, and never
 * inside another call. All calls are for the loop's thread.
 */
#ifndef WSI_IO_STREAM_H
#define WSI_IO_STREAM_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/blob.h"
#include "io/address.h"
#include "io/loop.h"

enum {
    WSI_STREAM_EARLY_FLUSH = 64 * 1024,
    WSI_STREAM_COPY_MAX = 4096, /* pieces up to this size are copied, see reserve */
    WSI_STREAM_RESERVE_MAX = WSI_STREAM_COPY_MAX + 64,
};

struct wsi_filter;
struct wsi_stream;

struct wsi_stream_events {
    /** The end of wsi_stream_connect(): 0, or a positive errno (then on_closed follows).
     * (nullable for who does not call it) */
    void (*on_connected)(struct wsi_stream *stream, int error);
    /** Asked before each reading once wsi_stream_ask() was called; who says no pauses the
     * stream. (nullable for who does not) */
    bool (*may_receive)(struct wsi_stream *stream);
    /** Bytes arrived; they may be changed in place and are gone after the return. */
    void (*on_data)(struct wsi_stream *stream, uint8_t *data, size_t len);
    /** The peer ended its direction. Sending may go on; the caller decides to close. */
    void (*on_eof)(struct wsi_stream *stream);
    /** After a flush, when wsi_stream_want_writable() asked for it or a blocked queue
     * made progress. The queue may be anything from empty to nearly full. */
    void (*on_writable)(struct wsi_stream *stream);
    /** A flush left bytes queued: the kernel takes no more at present. Once each time it
     * comes to that, after the flush, before on_writable if both are due. (nullable) */
    void (*on_blocked)(struct wsi_stream *stream);
    /** The handshake of its filter is done: data may be sent. (nullable without filters)
     */
    void (*on_secured)(struct wsi_stream *stream);
    /** Its filter has failed and told the peer why, and the queue was dropped; the caller
     * closes. Nothing comes any more but on_eof and on_closed. (nullable without filters)
     */
    void (*on_filter_failed)(struct wsi_stream *stream);
    /** The socket is gone; error is 0 after a close that was asked for, else errno. An
     *  errno after WSI_CLOSE_LINGER says that the queue could not be sent. */
    void (*on_closed)(struct wsi_stream *stream, int error);
};

/* A piece of the send queue, private to send.c and the two inline calls below. It lies in
 * the arena, or in a blob that is shared, or in one that only this stream has. */
struct wsi_segment {
    struct wsi_segment *next;
    struct wsi_blob *blob; /* NULL: in the arena */
    uint8_t *data;
    uint32_t len;
    uint32_t room; /* may be written behind data + len */
};

/* Private to src/io but embedded by its user: initialise with wsi_stream_init(). */
struct wsi_stream {
    struct wsi_loop *loop;
    const struct wsi_stream_events *events;
    struct wsi_stream *next_dirty;
    struct wsi_filter *filter; /* (owned, nullable) */
    struct wsi_segment *head, *tail;
    /* Bytes accepted and not yet taken by the socket, encoded or not; other threads may
     * look. */
    atomic_size_t queued;
    int fd;
    uint32_t flags;
    uint16_t error;      /* errno that ends the stream at the end of this turn */
    bool expects_filter; /* see wsi_stream_expect_filter() */
};

/** Any thread may ask; the answer is exact on the loop's own. */
static inline size_t wsi_stream_queued(const struct wsi_stream *stream)
{
    return atomic_load_explicit(&stream->queued, memory_order_relaxed);
}

/* Only the loop's thread writes it, so this need not be one atomic step. */
static inline void wsi_stream_set_queued(struct wsi_stream *stream, size_t queued)
{
    atomic_store_explicit(&stream->queued, queued, memory_order_relaxed);
}

enum wsi_close_mode {
    /** Send what is queued, then FIN, then discard input until the peer's FIN. The caller
     *  sets the time limit: a second close with WSI_CLOSE_NOW. While a connect is still
     *  under way it is WSI_CLOSE_NOW. */
    WSI_CLOSE_LINGER,
    /** Drop the queue and close. */
    WSI_CLOSE_NOW,
    /** The same with a RST. */
    WSI_CLOSE_RESET,
};

void wsi_stream_init(struct wsi_stream *stream, const struct wsi_stream_events *events);

/**
 * Take over a connected socket (nonblocking or not; it is made so).
 *
 * @return 0; WSOCK_ENOMEM; WSOCK_ESYSTEM. On failure the fd is still the caller's.
 */
int wsi_stream_adopt(struct wsi_stream *stream, struct wsi_loop *loop, int fd);

/** Begin to connect; on_connected follows. @param from (nullable) the address of its own
 * end; port 0 is any. @return as wsi_stream_adopt(), and the codes of
 * wsi_error_from_errno() for what bind() and connect() refuse at once; no callback then.
 */
int wsi_stream_connect(struct wsi_stream *stream, struct wsi_loop *loop,
                       const struct wsi_address *to, const struct wsi_address *from);

/** A filter will start within on_data: until then what is received counts as a handshake,
 * of which few are received in one turn, since it may bring one along. */
void wsi_stream_expect_filter(struct wsi_stream *stream);

/**
 * Have all bytes go through a filter from now on: its handshake begins, and on_secured
 * follows, before which nothing may be queued. May be called in on_data;
 * on_filter_failed may come inside this call.
 *
 * @param filter (consumed)
 * @param early  (borrowed until return, nullable) received already.
 * @return 0; WSOCK_ENOMEM.
 */
int wsi_stream_start_filter(struct wsi_stream *stream, struct wsi_filter *filter,
                            const uint8_t *early, size_t early_len);

/** Bytes that wait for the socket and are in no queue's count: what the filter has to say
 * by itself. */
size_t wsi_stream_pending_bytes(const struct wsi_stream *stream);

/** True when the input ended without its filter having been told so: somebody else may
 * have cut it. */
bool wsi_stream_is_truncated(const struct wsi_stream *stream);

/** Take the socket away, in on_connected or later: the stream has no more use for it, and
 * on_closed follows with 0. Nothing may be queued. @return (owned) the descriptor. */
int wsi_stream_release(struct wsi_stream *stream);

uint8_t *wsi_stream_reserve_slow(struct wsi_stream *stream, size_t need);
void wsi_stream_flush_early(struct wsi_stream *stream);

/**
 * Room for need (at most WSI_STREAM_RESERVE_MAX) bytes at the end of the queue.
 *
 * @return (borrowed until the next call on this loop) NULL when there is no memory or the
 *         stream is closing.
 */
static inline uint8_t *wsi_stream_reserve(struct wsi_stream *stream, size_t need)
{
    const struct wsi_segment *tail = stream->tail;

    assert(need <= WSI_STREAM_RESERVE_MAX);
    if (tail != NULL && tail->room >= need)
        return tail->data + tail->len;
    return wsi_stream_reserve_slow(stream, need);
}

/** Queue the first len bytes of the room that was reserved last. */
static inline void wsi_stream_commit(struct wsi_stream *stream, size_t len)
{
    struct wsi_segment *tail = stream->tail;
    const size_t queued = wsi_stream_queued(stream) + len;

    assert(len <= tail->room);
    tail->len += (uint32_t)len;
    tail->room -= (uint32_t)len;
    wsi_stream_set_queued(stream, queued);
    if (queued >= WSI_STREAM_EARLY_FLUSH)
        wsi_stream_flush_early(stream);
}

/** Queue data[offset, offset + len) of a blob by reference. @return 0; WSOCK_ENOMEM;
 *  WSOCK_ECLOSED. */
int wsi_stream_send_blob(struct wsi_stream *stream, struct wsi_blob *blob, size_t offset,
                         size_t len);

/** Bytes that the socket has not taken, those of the filter's own included. */
size_t wsi_stream_unsent(const struct wsi_stream *stream);

/** Send now instead of at the end of the turn. */
void wsi_stream_flush(struct wsi_stream *stream);

/** Ask for on_writable after the next flush of this stream, once. */
void wsi_stream_want_writable(struct wsi_stream *stream);

/** True while the kernel does not take more (queued bytes wait for readiness). */
bool wsi_stream_is_blocked(const struct wsi_stream *stream);

/**
 * Stop and start receiving; on_data may still come once for bytes already read.
 *
 * A paused stream whose connection breaks is not ended, so that what arrived before can
 * still be read: the end is found when it is resumed, or sends.
 */
void wsi_stream_pause(struct wsi_stream *stream);
void wsi_stream_resume(struct wsi_stream *stream);

/** Ask may_receive from now on, until the stream has closed. */
void wsi_stream_ask(struct wsi_stream *stream);

/** May be called again with a harsher mode. on_closed follows, never inside this call. */
void wsi_stream_close(struct wsi_stream *stream, enum wsi_close_mode mode);

/** True when nothing can be queued any more, for want of what it would go to and not of
 * memory: it is closing, or broke in this turn. */
bool wsi_stream_is_closing(const struct wsi_stream *stream);

/** True from adopt or connect until on_closed. */
bool wsi_stream_is_attached(const struct wsi_stream *stream);

/* ---- listeners ---- */

struct wsi_listener {
    struct wsi_loop *loop;
    int fd;
    bool paused;  /* by its user */
    bool resting; /* out of descriptors, until retry */
    struct wsi_timer retry;
    /** A connection arrived; the fd is the callee's, nonblocking and close-on-exec. */
    void (*on_accept)(struct wsi_listener *listener, int fd,
                      const struct wsi_address *peer);
    /** accept() failed for want of descriptors or memory; the listener rests for 100 ms
     * and then goes on by itself. Called once for each rest. */
    void (*on_starved)(struct wsi_listener *listener, int error);
};

/** Watch a listening socket; the fd stays the caller's. @return 0; WSOCK_ENOMEM;
 *  WSOCK_ESYSTEM. */
int wsi_listener_start(struct wsi_listener *listener, struct wsi_loop *loop, int fd);
void wsi_listener_stop(struct wsi_listener *listener);
void wsi_listener_pause(struct wsi_listener *listener);
void wsi_listener_resume(struct wsi_listener *listener);

#endif
