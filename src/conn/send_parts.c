/* SPDX-License-Identifier: MIT */
/* Messages out, in parts. */
#include "conn/send_parts.h"

#include <pthread.h>
#include <stdatomic.h>

#include <wsock/error.h>

#include "conn/compress.h"
#include "conn/conn.h"
#include "conn/droppable.h"
#include "conn/encode.h"
#include "conn/extra.h"
#include "conn/posted.h"
#include "conn/send.h"
#include "core/alloc.h"
#include "proto/utf8.h"

/* A compressed fragment leaves when it has grown to this. */
enum { FRAGMENT_MIN = 16 * 1024 };

struct wsi_outgoing {
    /* The callers' side. */
    pthread_mutex_t lock;
    atomic_bool under_way; /* written under the lock */
    uint8_t opcode;
    wsi_utf8_state utf8;
    atomic_bool refused;         /* an append answered EAGAIN */
    atomic_size_t waiting_bytes; /* of messages that wait for the end */

    /* The worker's. */
    bool open;    /* BEGIN has run, and END has not */
    bool started; /* the first fragment has left */
    uint8_t byte0;
    struct wsi_compressor *lent;   /* (owned, nullable) without a context of our own */
    struct wsi_deflater *deflater; /* (borrowed, nullable) of `lent`, or our own */
    struct wsi_buf deflated;       /* a fragment that grows */
    struct wsi_posted *first, **last;
};

static struct wsi_outgoing *outgoing_of(const struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    return extra != NULL ? atomic_load_explicit(&extra->outgoing, memory_order_acquire)
                         : NULL;
}

void wsi_outgoing_free(struct wsi_outgoing *outgoing)
{
    if (outgoing == NULL)
        return;
    pthread_mutex_destroy(&outgoing->lock);
    wsi_free(outgoing);
}

/* @return (borrowed from conn, nullable) made now if need be; NULL without memory. */
static struct wsi_outgoing *make_outgoing(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);
    struct wsi_outgoing *outgoing = outgoing_of(conn), *made;

    if (extra == NULL || outgoing != NULL)
        return outgoing;
    made = wsi_zalloc(sizeof *made);
    if (made == NULL)
        return NULL;
    pthread_mutex_init(&made->lock, NULL);
    made->last = &made->first;
    if (!atomic_compare_exchange_strong(&extra->outgoing, &outgoing, made)) {
        wsi_outgoing_free(made);
        return outgoing;
    }
    return made;
}

/* ---- callers ---- */

static bool is_compressible(const struct wsock_conn *conn, int type)
{
    return conn->pmd.own_window_bits != 0 && (type & WSOCK_UNCOMPRESSED) == 0;
}

/* What waits for the end must not keep the end from coming. */
static bool is_full(const struct wsock_conn *conn)
{
    const size_t mark = (size_t)wsi_option(&conn->profile->options,
                                           WSI_OPT_MAX_BACKLOG_BYTES);

    return wsi_conn_buffered(conn) >= mark + wsi_outgoing_waiting_bytes(conn);
}

/* With the lock held. From here to the end no send to the connection is direct. */
static int begin(struct wsock_conn *conn, struct wsi_outgoing *outgoing, int type)
{
    struct wsi_posted *posted;

    if (atomic_load(&outgoing->under_way))
        return WSOCK_EBUSY;
    if (is_full(conn)) {
        atomic_store(&conn->want_drain, true);
        wsi_conn_refused(conn);
        return WSOCK_EAGAIN;
    }
    posted = wsi_posted_new(WSI_POSTED_BEGIN, NULL, 0);
    if (posted == NULL)
        return WSOCK_ENOMEM;
    posted->byte0 = (uint8_t)wsi_opcode_of(type);
    posted->compress = is_compressible(conn, type);
    atomic_store(&outgoing->under_way, true);
    outgoing->opcode = posted->byte0;
    outgoing->utf8 = 0;
    atomic_fetch_add_explicit(&conn->posted, 1, memory_order_relaxed);
    wsi_posted_post(conn, posted, 0); /* its end counts for it */
    return 0;
}

int wsi_conn_send_begin(struct wsock_conn *conn, int type)
{
    struct wsi_outgoing *outgoing;
    int r;

    if (!wsi_conn_takes_messages(conn))
        return WSOCK_ECLOSED;
    outgoing = make_outgoing(conn);
    if (outgoing == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&outgoing->lock);
    r = begin(conn, outgoing, type);
    pthread_mutex_unlock(&outgoing->lock);
    return r;
}

/* With the lock held. */
static int append(struct wsock_conn *conn, struct wsi_outgoing *outgoing,
                  const void *data, size_t len)
{
    wsi_utf8_state utf8 = outgoing->utf8;
    struct wsi_posted *posted;

    if (!atomic_load(&outgoing->under_way))
        return WSOCK_ENOENT;
    if (is_full(conn)) {
        atomic_store(&outgoing->refused, true);
        wsi_conn_refused(conn);
        return WSOCK_EAGAIN;
    }
    if (outgoing->opcode == WSI_OP_TEXT && wsi_utf8_check(&utf8, data, len) != len)
        return WSOCK_EUTF8;
    if (len == 0)
        return 0;
    posted = wsi_posted_new(WSI_POSTED_APPEND, data, len);
    if (posted == NULL)
        return WSOCK_ENOMEM;
    outgoing->utf8 = utf8;
    wsi_posted_post(conn, posted, len + WSI_FRAME_HEADER_MAX);
    /* A handler that sends on what it receives should be given no more. */
    if (wsi_worker_current == conn->worker && is_full(conn))
        wsi_conn_backlogged(conn);
    return 0;
}

int wsi_conn_send_append(struct wsock_conn *conn, const void *data, size_t len)
{
    struct wsi_outgoing *outgoing = outgoing_of(conn);
    int r;

    if (!wsi_conn_takes_messages(conn))
        return WSOCK_ECLOSED;
    if (outgoing == NULL)
        return WSOCK_ENOENT;
    pthread_mutex_lock(&outgoing->lock);
    r = append(conn, outgoing, data, len);
    pthread_mutex_unlock(&outgoing->lock);
    return r;
}

/* With the lock held. */
static int end(struct wsock_conn *conn, struct wsi_outgoing *outgoing)
{
    struct wsi_posted *posted;

    if (!atomic_load(&outgoing->under_way))
        return WSOCK_ENOENT;
    if (outgoing->utf8 != 0)
        return WSOCK_EUTF8;
    posted = wsi_posted_new(WSI_POSTED_END, NULL, 0);
    if (posted == NULL)
        return WSOCK_ENOMEM;
    atomic_store(&outgoing->under_way, false);
    wsi_posted_post(conn, posted, WSI_FRAME_HEADER_MAX);
    return 0;
}

int wsi_conn_send_end(struct wsock_conn *conn)
{
    struct wsi_outgoing *outgoing = outgoing_of(conn);
    int r;

    if (!wsi_conn_takes_messages(conn))
        return WSOCK_ECLOSED;
    if (outgoing == NULL)
        return WSOCK_ENOENT;
    pthread_mutex_lock(&outgoing->lock);
    r = end(conn, outgoing);
    pthread_mutex_unlock(&outgoing->lock);
    return r;
}

/* ---- the worker ---- */

bool wsi_outgoing_is_under_way(const struct wsock_conn *conn)
{
    const struct wsi_outgoing *outgoing = outgoing_of(conn);

    return outgoing != NULL && atomic_load(&outgoing->under_way);
}

bool wsi_outgoing_is_open(const struct wsock_conn *conn)
{
    const struct wsi_outgoing *outgoing = outgoing_of(conn);

    return outgoing != NULL && outgoing->open;
}

size_t wsi_outgoing_waiting_bytes(const struct wsock_conn *conn)
{
    const struct wsi_outgoing *outgoing = outgoing_of(conn);

    return outgoing != NULL
               ? atomic_load_explicit(&outgoing->waiting_bytes, memory_order_relaxed)
               : 0;
}

/* A context that was agreed on is no surprise, and not counted. */
size_t wsi_outgoing_held_bytes(const struct wsock_conn *conn)
{
    const struct wsi_outgoing *outgoing = outgoing_of(conn);
    size_t held;

    if (outgoing == NULL)
        return 0;
    held = outgoing->deflated.capacity;
    if (outgoing->lent != NULL)
        held += wsi_deflater_held_bytes(outgoing->lent->deflater);
    return held;
}

bool wsi_outgoing_take_refusal(struct wsock_conn *conn)
{
    struct wsi_outgoing *outgoing = outgoing_of(conn);

    return outgoing != NULL && atomic_exchange(&outgoing->refused, false);
}

/* Without memory for a compressor the message goes as it is. */
static void start(struct wsock_conn *conn, struct wsi_outgoing *outgoing,
                  const struct wsi_posted *posted)
{
    outgoing->open = true;
    outgoing->started = false;
    outgoing->byte0 = posted->byte0;
    if (!posted->compress)
        return;
    if (conn->pmd.own_takeover) {
        outgoing->deflater = wsi_conn_own_deflater(conn);
    } else {
        const struct wsi_deflate_settings settings = wsi_conn_deflate_settings(conn);

        outgoing->lent = wsi_compressor_take(&conn->worker->pool->compressors, &settings);
        if (outgoing->lent != NULL)
            outgoing->deflater = outgoing->lent->deflater;
        wsi_conn_account(conn);
    }
}

static int write_fragment(struct wsock_conn *conn, struct wsi_outgoing *outgoing,
                          unsigned fin, const void *data, size_t len)
{
    unsigned byte0 = fin;

    if (!outgoing->started) {
        byte0 |= outgoing->byte0;
        if (outgoing->deflater != NULL)
            byte0 |= WSI_FRAME_RSV1;
    }
    outgoing->started = true;
    return wsi_conn_write(conn, byte0, data, len);
}

static int write_deflated(struct wsock_conn *conn, struct wsi_outgoing *outgoing,
                          unsigned fin)
{
    const int r = write_fragment(conn, outgoing, fin, outgoing->deflated.data,
                                 outgoing->deflated.len);

    outgoing->deflated.len = 0;
    if (outgoing->deflated.capacity > 4 * (size_t)FRAGMENT_MIN)
        wsi_buf_fini(&outgoing->deflated);
    return r;
}

static int run_append(struct wsock_conn *conn, struct wsi_outgoing *outgoing,
                      const struct wsi_posted *posted)
{
    int r;

    if (outgoing->deflater == NULL)
        return write_fragment(conn, outgoing, 0, posted->data, posted->len);
    r = wsi_deflater_append(outgoing->deflater, &outgoing->deflated, posted->data,
                            posted->len, SIZE_MAX);
    if (r == 0 && outgoing->deflated.len >= FRAGMENT_MIN)
        r = write_deflated(conn, outgoing, 0);
    wsi_conn_account(conn);
    return r;
}

static int write_end(struct wsock_conn *conn, struct wsi_outgoing *outgoing)
{
    int r;

    if (outgoing->deflater == NULL)
        return write_fragment(conn, outgoing, WSI_FRAME_FIN, NULL, 0);
    r = wsi_deflater_end(outgoing->deflater, &outgoing->deflated, SIZE_MAX);
    return r < 0 ? r : write_deflated(conn, outgoing, WSI_FRAME_FIN);
}

/* Nothing is under way any more. */
static void finish(struct wsock_conn *conn, struct wsi_outgoing *outgoing)
{
    outgoing->open = false;
    outgoing->deflater = NULL;
    wsi_buf_fini(&outgoing->deflated);
    if (outgoing->lent != NULL) {
        wsi_deflater_reset(outgoing->lent->deflater);
        wsi_compressor_give(&conn->worker->pool->compressors, outgoing->lent);
        outgoing->lent = NULL;
    }
}

/* The messages that waited, which may themselves have to end the connection. */
static void release_waiting(struct wsock_conn *conn, struct wsi_outgoing *outgoing)
{
    struct wsi_posted *posted = outgoing->first;

    outgoing->first = NULL;
    outgoing->last = &outgoing->first;
    atomic_store_explicit(&outgoing->waiting_bytes, 0, memory_order_relaxed);
    while (posted != NULL) {
        struct wsi_posted *next = posted->next;
        int r = 0;

        if (wsi_conn_state(conn) == WSI_CONN_OPEN)
            r = wsi_posted_write(conn, posted);
        wsi_posted_done(posted, r);
        posted = next;
    }
}

static int run_end(struct wsock_conn *conn, struct wsi_outgoing *outgoing)
{
    const int r = write_end(conn, outgoing);

    finish(conn, outgoing);
    wsi_conn_account(conn);
    if (r < 0) /* the connection ends; what waits would be taken for a part */
        return r;
    release_waiting(conn, outgoing);
    wsi_droppable_move(conn);
    atomic_fetch_sub_explicit(&conn->posted, 1, memory_order_release);
    if (atomic_load(&conn->want_drain))
        wsi_conn_post_drain(conn);
    return 0;
}

int wsi_outgoing_run(struct wsock_conn *conn, const struct wsi_posted *posted)
{
    struct wsi_outgoing *outgoing = outgoing_of(conn);

    switch (posted->kind) {
    case WSI_POSTED_BEGIN:
        start(conn, outgoing, posted);
        return 0;
    case WSI_POSTED_APPEND:
        return run_append(conn, outgoing, posted);
    default:
        return run_end(conn, outgoing);
    }
}

void wsi_outgoing_wait(struct wsock_conn *conn, struct wsi_posted *posted)
{
    struct wsi_outgoing *outgoing = outgoing_of(conn);

    posted->next = NULL;
    *outgoing->last = posted;
    outgoing->last = &posted->next;
    atomic_fetch_add_explicit(&outgoing->waiting_bytes, posted->counted,
                              memory_order_relaxed);
}

void wsi_outgoing_abandon(struct wsock_conn *conn)
{
    struct wsi_outgoing *outgoing = outgoing_of(conn);

    if (outgoing == NULL)
        return;
    finish(conn, outgoing);
    release_waiting(conn, outgoing);
}
