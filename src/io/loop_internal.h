/* SPDX-License-Identifier: MIT */
/*
 * What the files of a loop share: its struct, and the calls between loop.c (the turn),
 * stream.c (receiving and lifetime), send.c (the arena and the queues), listener.c and
 * the backends.
 */
#ifndef WSI_IO_LOOP_INTERNAL_H
#define WSI_IO_LOOP_INTERNAL_H

#include <errno.h>
#include <stdatomic.h>

#include "io/backend.h"
#include "io/filter.h"
#include "io/loop.h"
#include "io/stream.h"

enum {
    WSI_ARENA_SIZE = 256 * 1024,
    WSI_RECEIVE_SIZE = 256 * 1024,
    WSI_CACHE_LINE = 64,
    WSI_FULL_READS_MAX = 4, /* reads in a row from one stream that each fill the buffer */
    /* Receives of streams whose filter is not ready, or expected, in one turn: each may
     * take what a thousand messages do. The others stay ready, and have their turn in the
     * next. */
    WSI_HANDSHAKES_A_TURN = 16,
    WSI_STAGE_SIZE = 128 * 1024,
    WSI_STAGED_MAX = 256,
    WSI_STAGED_READ = 32 * 1024, /* who has more is read by itself */
};

/* wsi_stream.flags */
enum {
    WSI_S_ATTACHED = 1 << 0,
    WSI_S_DIRTY = 1 << 1,      /* in loop->dirty or loop->pending */
    WSI_S_CONNECTING = 1 << 2, /* blocked as well */
    WSI_S_BLOCKED = 1 << 3,   /* nothing is sent before readiness; nothing in the arena */
    WSI_S_UNBLOCKED = 1 << 4, /* readiness came; on_writable follows progress */
    WSI_S_OWE_WRITABLE = 1 << 5,  /* on_writable */
    WSI_S_WANT_WRITABLE = 1 << 6, /* on_writable was asked for */
    WSI_S_PAUSED = 1 << 7,
    WSI_S_EOF = 1 << 8,    /* the peer's FIN was read */
    WSI_S_LINGER = 1 << 9, /* closing once the queue is empty */
    WSI_S_FIN_SENT = 1 << 10,
    WSI_S_ENDED = 1 << 11,       /* on_closed is owed; the queue is empty */
    WSI_S_RESET = 1 << 12,       /* close with a RST */
    WSI_S_OWE_BLOCKED = 1 << 13, /* on_blocked */
    WSI_S_WATCH_SHIFT = 14,      /* what the backend watches now, WSI_WATCH_* */
    WSI_S_WATCH_READ = 1 << 14,
    WSI_S_WATCH_WRITE = 1 << 15,
    WSI_S_ASKS = 1 << 16, /* may_receive, before it is read */
};

/* What streams with filters have received in this turn and is not decoded yet. */
struct wsi_stage {
    uint32_t used; /* of data */
    struct wsi_staged {
        struct wsi_stream *stream;
        uint32_t at, len;
    } staged[WSI_STAGED_MAX];
    uint8_t data[WSI_STAGE_SIZE];
};

struct wsi_stream_list {
    struct wsi_stream *first, **end;
};

struct wsi_loop {
    const struct wsi_backend *backend;
    void *backend_state;
    const struct wsi_clock *clock;
    uint64_t now_us, now_ms;
    uint8_t *receive; /* WSI_RECEIVE_SIZE bytes */

    /* Of filters. */
    uint8_t *decoded;        /* begins WSI_FILTER_HELD_MAX before `receive` */
    struct wsi_buf sealed;   /* encoded, about to be sent */
    struct wsi_buf ahead;    /* the same, of all that are to be flushed now */
    struct wsi_stage *stage; /* (nullable) */
    unsigned staged;         /* in it */
    unsigned handshakes;     /* received for in this turn */
    uint8_t *record;      /* (nullable) WSI_FILTER_RECORD_MAX bytes, gathered to encode */
    struct wsi_list warm; /* those that keep their buffers */
    unsigned warm_count;
    struct wsi_timer cooling; /* runs while there are any */

    /* The arena: bytes queued in this turn, in the order of writing. The open segment is
     * the newest and may grow up to the end; all before it are fixed. */
    uint8_t *arena;
    size_t arena_used;         /* up to the open segment */
    struct wsi_segment *open;  /* (nullable) */
    size_t open_reserve;       /* what it keeps when another is opened behind it */
    struct wsi_segment *spare; /* free list */
    unsigned spare_count;

    struct wsi_stream_list dirty;   /* to flush at the end of the turn */
    struct wsi_stream_list pending; /* flushed, callbacks owed */
    struct wsi_listener *accepting; /* whose on_accept runs; NULL when it was stopped */
    size_t attached;                /* streams and listeners */
    bool in_turn;

    struct wsi_wheel wheel;

    /* What other threads write lies on a cache line of its own. */
    char apart[WSI_CACHE_LINE];
    struct wsi_mailbox mailbox;
    atomic_bool asleep;
};

/** Take one of the turn's WSI_HANDSHAKES_A_TURN. @return false when all are taken. */
static inline bool wsi_loop_may_handshake(struct wsi_loop *loop)
{
    return loop->handshakes++ < WSI_HANDSHAKES_A_TURN;
}

static inline void wsi_stream_list_init(struct wsi_stream_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static inline void wsi_stream_list_append(struct wsi_stream_list *list,
                                          struct wsi_stream *stream)
{
    stream->next_dirty = NULL;
    *list->end = stream;
    list->end = &stream->next_dirty;
}

static inline struct wsi_stream *wsi_stream_list_pop(struct wsi_stream_list *list)
{
    struct wsi_stream *stream = list->first;

    if (stream != NULL) {
        list->first = stream->next_dirty;
        if (list->first == NULL)
            list->end = &list->first;
    }
    return stream;
}

static inline void wsi_stream_set(struct wsi_stream *stream, unsigned flags)
{
    stream->flags |= flags;
}

static inline void wsi_stream_clear(struct wsi_stream *stream, unsigned flags)
{
    stream->flags &= ~flags;
}

/** wsi_stream_is_closing(), without a call. */
static inline bool wsi_stream_closes(const struct wsi_stream *stream)
{
    return (stream->flags & (WSI_S_ATTACHED | WSI_S_LINGER | WSI_S_ENDED)) !=
           WSI_S_ATTACHED;
}

/** Look at this stream at the end of the turn. */
static inline void wsi_stream_mark(struct wsi_stream *stream)
{
    if (stream->flags & WSI_S_DIRTY)
        return;
    wsi_stream_set(stream, WSI_S_DIRTY);
    wsi_stream_list_append(&stream->loop->dirty, stream);
}

/* loop.c, for backends */

/** The wait is over: read the clock. */
void wsi_loop_woke(struct wsi_loop *loop);

/* stream.c */

/** For backends: WSI_WATCH_* and WSI_READY_HANGUP. */
void wsi_loop_stream_ready(struct wsi_stream *stream, unsigned ready);

/** End a stream: the queue is dropped, on_closed comes at the end of the turn. */
void wsi_stream_end(struct wsi_stream *stream, int error);

/** The peer ended its direction. */
void wsi_stream_end_input(struct wsi_stream *stream);

/** Receive once. @return what came; 0 or less when nothing did: the stream knows. */
static inline ssize_t wsi_stream_read(struct wsi_stream *stream, uint8_t *data,
                                      size_t len)
{
    const struct wsi_loop *loop = stream->loop;
    const ssize_t n = loop->backend->receive(loop->backend_state, stream, data, len);

    if (n == 0)
        wsi_stream_end_input(stream);
    else if (n < 0 && n != -EAGAIN && n != -EINTR)
        wsi_stream_end(stream, (int)-n);
    return n;
}

/** The end of a turn: flush, on_writable, on_closed, for a bounded number of rounds. */
void wsi_loop_finish_streams(struct wsi_loop *loop);

/* send.c */

/** Send until the queue is empty, the kernel takes no more, or an error ends the stream.
 */
void wsi_send_flush(struct wsi_stream *stream);
void wsi_send_drop(struct wsi_stream *stream);
/** The first n bytes of the queue are on their way. */
void wsi_send_consume(struct wsi_stream *stream, size_t n);
/** The socket takes no more at present. */
void wsi_send_block(struct wsi_stream *stream);
/** From now on reserve takes the slow path, which refuses a closing stream. */
void wsi_send_seal(struct wsi_stream *stream);
/** Fix the end of the open segment, if there is one. */
void wsi_arena_close_open(struct wsi_loop *loop);
/** Every stream was flushed: the arena is empty. */
void wsi_arena_reset(struct wsi_loop *loop);
void wsi_arena_free_spare(struct wsi_loop *loop);

/* filter.c */

/** Encode and send until the queue is empty, the kernel takes no more, or an error. */
void wsi_filter_flush(struct wsi_stream *stream);
/** Encode what the dirty streams have to send; their flush follows, before any callback.
 */
void wsi_filter_encode_dirty(struct wsi_loop *loop);
/** Receive, decode, deliver; or receive, and leave the rest for
 * wsi_filter_deliver_staged(). */
void wsi_filter_receive(struct wsi_stream *stream);
/** Decode and deliver what was received only; while loop->staged > 0. */
void wsi_filter_deliver_staged(struct wsi_loop *loop);
/** The queue is empty and a FIN follows: say so. @return false when that still waits. */
bool wsi_filter_end(struct wsi_stream *stream);
bool wsi_filter_has_pending(const struct wsi_stream *stream);
void wsi_filter_free(struct wsi_stream *stream);
void wsi_filter_init_loop(struct wsi_loop *loop);

/* listener.c */

/** For backends. */
void wsi_loop_listener_ready(struct wsi_listener *listener);

#endif
