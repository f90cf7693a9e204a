/* SPDX-License-Identifier: MIT */
/*
 * The life of a stream: how it begins, receives, and ends. Sending is in send.c.
 *
 *   adopt ---------------------------> open --close(LINGER)--> draining --> FIN sent
 *   connect -> connecting --writable-->  |                        |            |
 *                   |                    | error, close(NOW)      | error      | EOF
 *                   +--------------------+------------------------+------------+
 *                                                  v
 *                              ended --end of the turn--> on_closed
 *
 * What a backend watches is brought up to date once a turn, so that a pause that is
 * lifted in the same turn costs nothing. Ended streams are skipped by events that a batch
 * still holds, and their memory is the caller's until the end of the turn, so none is
 * stale.
 */
#include "io/stream.h"

#include <errno.h>

#include <wsock/error.h>

#include "io/loop_internal.h"

enum {
    ROUNDS_MAX = 4, /* flushes at the end of one turn */
};

void wsi_stream_init(struct wsi_stream *stream, const struct wsi_stream_events *events)
{
    *stream = (struct wsi_stream){.events = events, .fd = -1};
}

/* ---- beginning ---- */

_Static_assert(WSI_S_WATCH_READ == WSI_WATCH_READ << WSI_S_WATCH_SHIFT &&
                   WSI_S_WATCH_WRITE == WSI_WATCH_WRITE << WSI_S_WATCH_SHIFT,
               "the watched events lie side by side in the flags");

static unsigned watched(const struct wsi_stream *stream)
{
    return stream->flags >> WSI_S_WATCH_SHIFT & (WSI_WATCH_READ | WSI_WATCH_WRITE);
}

static void set_watched(struct wsi_stream *stream, unsigned watch)
{
    wsi_stream_clear(stream, WSI_S_WATCH_READ | WSI_S_WATCH_WRITE);
    wsi_stream_set(stream, watch << WSI_S_WATCH_SHIFT);
}

static int attach(struct wsi_stream *stream, struct wsi_loop *loop, int fd,
                  unsigned flags, unsigned watch)
{
    int r;

    assert(stream->flags == 0);
    stream->loop = loop;
    stream->fd = fd;
    r = loop->backend->add_stream(loop->backend_state, stream, watch);
    if (r < 0) {
        stream->loop = NULL;
        stream->fd = -1;
        return r;
    }
    stream->error = 0;
    wsi_stream_set(stream, WSI_S_ATTACHED | flags);
    set_watched(stream, watch);
    loop->attached++;
    return 0;
}

int wsi_stream_adopt(struct wsi_stream *stream, struct wsi_loop *loop, int fd)
{
    const int r = loop->backend->sockets->adopt(loop->backend_state, fd);

    if (r < 0) {
        errno = -r;
        return WSOCK_ESYSTEM;
    }
    return attach(stream, loop, fd, 0, WSI_WATCH_READ);
}

int wsi_stream_connect(struct wsi_stream *stream, struct wsi_loop *loop,
                       const struct wsi_address *to, const struct wsi_address *from)
{
    const int fd = loop->backend->sockets->connect(loop->backend_state, to, from);
    int r, error;

    if (fd < 0) {
        errno = -fd;
        return wsi_error_from_errno(errno);
    }
    r = attach(stream, loop, fd, WSI_S_CONNECTING | WSI_S_BLOCKED, WSI_WATCH_WRITE);
    if (r < 0) {
        error = errno;
        wsi_socket_close(loop, fd);
        errno = error;
    }
    return r;
}

/* ---- readiness ---- */

static int socket_error(const struct wsi_stream *stream)
{
    const struct wsi_loop *loop = stream->loop;

    return loop->backend->sockets->error(loop->backend_state, stream->fd);
}

void wsi_stream_end(struct wsi_stream *stream, int error)
{
    if (stream->flags & WSI_S_ENDED)
        return;
    /* After the FIN nothing of ours can be lost, and that the peer resets instead of
     * closing is no news. */
    stream->error = stream->flags & WSI_S_FIN_SENT ? 0 : (uint16_t)error;
    wsi_stream_set(stream, WSI_S_ENDED);
    wsi_send_drop(stream);
    wsi_stream_mark(stream);
}

static void connected(struct wsi_stream *stream)
{
    const int error = socket_error(stream);

    wsi_stream_clear(stream, WSI_S_CONNECTING | WSI_S_BLOCKED);
    wsi_stream_mark(stream);
    if (error != 0)
        wsi_stream_end(stream, error);
    stream->events->on_connected(stream, error);
}

void wsi_stream_end_input(struct wsi_stream *stream)
{
    wsi_stream_set(stream, WSI_S_EOF);
    wsi_stream_mark(stream);
    if (stream->flags & WSI_S_FIN_SENT)
        wsi_stream_end(stream, 0);
    else if (!(stream->flags & WSI_S_LINGER))
        stream->events->on_eof(stream);
}

static void receive(struct wsi_stream *stream)
{
    uint8_t *data = stream->loop->receive;

    if (stream->expects_filter && !(stream->flags & WSI_S_LINGER) &&
        !wsi_loop_may_handshake(stream->loop))
        return;
    for (int i = 0; i < WSI_FULL_READS_MAX; i++) {
        const ssize_t n = wsi_stream_read(stream, data, WSI_RECEIVE_SIZE);

        if (n <= 0)
            return;
        if (!(stream->flags & WSI_S_LINGER))
            stream->events->on_data(stream, data, (size_t)n);
        /* A filter that began within on_data takes all that follows. */
        if (n < WSI_RECEIVE_SIZE || (stream->flags & WSI_S_ENDED) ||
            (stream->flags & (WSI_S_PAUSED | WSI_S_LINGER)) == WSI_S_PAUSED ||
            stream->filter != NULL)
            return;
    }
}

/* With one of these there is more to think of than the data that came. */
enum {
    NOT_JUST_READ = WSI_S_ENDED | WSI_S_EOF | WSI_S_CONNECTING | WSI_S_PAUSED | WSI_S_ASKS
};

/* Of a stream that is paused, or that asks. What comes while it lingers is thrown away.
 */
static bool may_receive(struct wsi_stream *stream)
{
    if (stream->flags & WSI_S_LINGER)
        return true;
    return !(stream->flags & WSI_S_PAUSED) && stream->events->may_receive(stream);
}

void wsi_loop_stream_ready(struct wsi_stream *stream, unsigned ready)
{
    unsigned watch;

    if (ready == WSI_WATCH_READ && stream->filter == NULL &&
        !(stream->flags & NOT_JUST_READ)) {
        receive(stream); /* nearly always */
        return;
    }
    if (stream->flags & WSI_S_ENDED)
        return;
    watch = watched(stream);
    if (ready & WSI_READY_HANGUP) {
        /* Who reads or writes finds out what it is. Nobody does: when the input has been
         * read to its end there is nothing left to wait for; a paused stream is told
         * when it reads again. */
        ready |= watch;
        if (watch == 0 && (stream->flags & WSI_S_EOF)) {
            const int error = socket_error(stream);

            wsi_stream_end(stream, error != 0 ? error : EPIPE);
            return;
        }
    }
    ready &= watch;
    if (stream->flags & WSI_S_CONNECTING) {
        if (ready & WSI_WATCH_WRITE)
            connected(stream);
        return;
    }
    if ((ready & WSI_WATCH_WRITE) && (stream->flags & WSI_S_BLOCKED)) {
        wsi_stream_clear(stream, WSI_S_BLOCKED);
        wsi_stream_set(stream, WSI_S_UNBLOCKED);
        wsi_stream_mark(stream);
    }
    if (!(ready & WSI_WATCH_READ))
        return;
    if ((stream->flags & (WSI_S_PAUSED | WSI_S_ASKS)) && !may_receive(stream))
        return;
    if (stream->filter == NULL)
        receive(stream);
    else
        wsi_filter_receive(stream);
}

/* ---- the end of a turn ---- */

static unsigned wanted(const struct wsi_stream *stream)
{
    unsigned watch = 0;

    if (!(stream->flags & (WSI_S_EOF | WSI_S_CONNECTING)) &&
        ((stream->flags & WSI_S_LINGER) || !(stream->flags & WSI_S_PAUSED)))
        watch |= WSI_WATCH_READ;
    if (stream->flags & WSI_S_BLOCKED)
        watch |= WSI_WATCH_WRITE;
    return watch;
}

/* The queue is empty: say so to the peer. */
static void send_fin(struct wsi_stream *stream)
{
    const struct wsi_loop *loop = stream->loop;

    wsi_stream_set(stream, WSI_S_FIN_SENT);
    if (loop->backend->sockets->shutdown(loop->backend_state, stream->fd) < 0 ||
        (stream->flags & WSI_S_EOF))
        wsi_stream_end(stream, 0);
}

/* @return whether callbacks are owed. */
static bool settle(struct wsi_stream *stream)
{
    wsi_send_flush(stream);
    if ((stream->flags & (WSI_S_LINGER | WSI_S_FIN_SENT)) == WSI_S_LINGER &&
        stream->head == NULL && !(stream->flags & (WSI_S_ENDED | WSI_S_BLOCKED)) &&
        (stream->filter == NULL || wsi_filter_end(stream)))
        send_fin(stream);
    if (stream->flags & WSI_S_ENDED)
        return true;
    if (wanted(stream) != watched(stream)) {
        set_watched(stream, wanted(stream));
        stream->loop->backend->watch_stream(stream->loop->backend_state, stream,
                                            watched(stream));
    }
    return (stream->flags & (WSI_S_OWE_WRITABLE | WSI_S_OWE_BLOCKED)) != 0;
}

static void close_socket(struct wsi_stream *stream)
{
    const struct wsi_loop *loop = stream->loop;

    loop->backend->sockets->close(loop->backend_state, stream->fd,
                                  (stream->flags & WSI_S_RESET) != 0);
    stream->fd = -1;
}

int wsi_stream_release(struct wsi_stream *stream)
{
    const struct wsi_loop *loop = stream->loop;
    const int fd = stream->fd;

    assert(stream->head == NULL && stream->filter == NULL);
    loop->backend->remove_stream(loop->backend_state, stream);
    stream->fd = -1;
    wsi_stream_end(stream, 0);
    return fd;
}

static void detach(struct wsi_stream *stream)
{
    struct wsi_loop *loop = stream->loop;
    const int error = stream->error;

    if (stream->fd >= 0) {
        loop->backend->remove_stream(loop->backend_state, stream);
        close_socket(stream);
    }
    loop->attached--;
    stream->flags = 0;
    wsi_filter_free(stream);
    stream->events->on_closed(stream, error);
}

static void notify(struct wsi_stream *stream)
{
    const unsigned owed = stream->flags;

    wsi_stream_clear(stream, WSI_S_DIRTY);
    if (owed & WSI_S_ENDED) {
        detach(stream);
        return;
    }
    /* Since its flush an earlier callback may have changed anything about this stream. */
    wsi_stream_mark(stream);
    wsi_stream_clear(stream, WSI_S_OWE_WRITABLE | WSI_S_OWE_BLOCKED);
    if ((owed & WSI_S_OWE_BLOCKED) && stream->events->on_blocked != NULL)
        stream->events->on_blocked(stream);
    if ((owed & WSI_S_OWE_WRITABLE) && !(stream->flags & (WSI_S_LINGER | WSI_S_ENDED))) {
        wsi_stream_clear(stream, WSI_S_WANT_WRITABLE);
        stream->events->on_writable(stream);
    }
}

void wsi_loop_finish_streams(struct wsi_loop *loop)
{
    struct wsi_stream *stream;

    for (int i = 0; i < ROUNDS_MAX && loop->dirty.first != NULL; i++) {
        wsi_filter_encode_dirty(loop);
        while ((stream = wsi_stream_list_pop(&loop->dirty)) != NULL) {
            if (settle(stream))
                wsi_stream_list_append(&loop->pending, stream);
            else
                wsi_stream_clear(stream, WSI_S_DIRTY);
        }
        wsi_arena_reset(loop);
        while ((stream = wsi_stream_list_pop(&loop->pending)) != NULL)
            notify(stream);
    }
}

/* ---- the caller's side ---- */

void wsi_stream_want_writable(struct wsi_stream *stream)
{
    if (!(stream->flags & WSI_S_ATTACHED) ||
        (stream->flags & (WSI_S_ENDED | WSI_S_LINGER)) != 0)
        return;
    wsi_stream_set(stream, WSI_S_WANT_WRITABLE);
    wsi_stream_mark(stream);
}

size_t wsi_stream_unsent(const struct wsi_stream *stream)
{
    return wsi_stream_queued(stream) + wsi_stream_pending_bytes(stream);
}

bool wsi_stream_is_blocked(const struct wsi_stream *stream)
{
    return (stream->flags & WSI_S_BLOCKED) != 0;
}

void wsi_stream_pause(struct wsi_stream *stream)
{
    if (!(stream->flags & WSI_S_ATTACHED))
        return;
    wsi_stream_set(stream, WSI_S_PAUSED);
    wsi_stream_mark(stream);
}

void wsi_stream_resume(struct wsi_stream *stream)
{
    if (!(stream->flags & WSI_S_ATTACHED))
        return;
    wsi_stream_clear(stream, WSI_S_PAUSED);
    wsi_stream_mark(stream);
}

void wsi_stream_ask(struct wsi_stream *stream)
{
    if (stream->flags & WSI_S_ATTACHED)
        wsi_stream_set(stream, WSI_S_ASKS);
}

void wsi_stream_close(struct wsi_stream *stream, enum wsi_close_mode mode)
{
    if (!(stream->flags & WSI_S_ATTACHED))
        return;
    if (mode == WSI_CLOSE_RESET)
        wsi_stream_set(stream, WSI_S_RESET);
    if (mode != WSI_CLOSE_LINGER || (stream->flags & WSI_S_CONNECTING)) {
        wsi_stream_end(stream, 0);
    } else if (!(stream->flags & (WSI_S_ENDED | WSI_S_LINGER))) {
        wsi_stream_set(stream, WSI_S_LINGER);
        wsi_send_seal(stream);
        wsi_stream_mark(stream);
    }
}

bool wsi_stream_is_closing(const struct wsi_stream *stream)
{
    return wsi_stream_closes(stream);
}

size_t wsi_stream_pending_bytes(const struct wsi_stream *stream)
{
    const struct wsi_filter *filter = stream->filter;

    return filter != NULL && filter->pending.len > filter->counted
               ? filter->pending.len - filter->counted
               : 0;
}

bool wsi_stream_is_truncated(const struct wsi_stream *stream)
{
    return (stream->flags & WSI_S_EOF) && stream->filter != NULL &&
           !stream->filter->finished;
}

bool wsi_stream_is_attached(const struct wsi_stream *stream)
{
    return (stream->flags & WSI_S_ATTACHED) != 0;
}
