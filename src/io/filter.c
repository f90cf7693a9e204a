/* SPDX-License-Identifier: MIT */
/*
 * Moving the bytes of a stream through its filter: what was received on the way in, the
 * queue on the way out, and what the filter has to say by itself in between.
 *
 * Encoded bytes lie in one buffer of the loop until they are sent. What a socket does not
 * take, and what a filter says while it decodes, waits in filter->pending, and leaves
 * before anything else, in one system call with what follows it.
 *
 * The code of a cipher and that of the kernel's sockets do not fit into the nearest cache
 * together, and to take turns with each stream costs a seventh of what TLS does for small
 * messages. So what a turn brings goes in stages: all streams that are ready are read,
 * then all that was read is decoded and delivered; and at the end all that is to be sent
 * is encoded, and then sent.
 *
 * Filters that are used again soon are warm: they keep their buffers, as to get them and
 * give them back each time costs a tenth of what TLS does for a small message. There is
 * no replacing: among more than fit, whoever came first stays while it is busy, since to
 * evict the oldest would have all of them pay and none gain.
 */
#include "io/filter.h"

#include <errno.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "io/loop_internal.h"

enum {
    /* Beyond it the peer makes us talk, and does not listen. */
    PENDING_MAX = 512 * 1024,
    SEALED_KEEP = 2 * WSI_FILTER_BATCH,
    /* Of one stream's queue: to encode more takes long enough by itself. */
    AHEAD_MAX = 4 * 1024,
};

bool wsi_filter_has_pending(const struct wsi_stream *stream)
{
    return stream->filter != NULL && stream->filter->pending.len > 0;
}

/* ---- warm filters ---- */

static void forget_warm(struct wsi_loop *loop, struct wsi_filter *filter)
{
    filter->warm = false;
    wsi_list_remove(&filter->warmth);
    if (--loop->warm_count == 0)
        wsi_timer_stop(&loop->cooling);
}

static void on_cooling(struct wsi_timer *timer)
{
    struct wsi_loop *loop = WSI_CONTAINER_OF(timer, struct wsi_loop, cooling);

    WSI_LIST_EACH(node, &loop->warm)
    {
        struct wsi_filter *filter = WSI_CONTAINER_OF(node, struct wsi_filter, warmth);

        if (loop->now_ms - filter->used_ms > WSI_FILTER_WARM_MS) {
            /* Its place goes, too, where a record has begun and holds the buffer. */
            filter->ops->keep(filter, false);
            forget_warm(loop, filter);
        }
    }
    if (loop->warm_count > 0)
        wsi_loop_timer(loop, &loop->cooling, WSI_FILTER_WARM_MS);
}

void wsi_filter_init_loop(struct wsi_loop *loop)
{
    wsi_list_init(&loop->warm);
    wsi_timer_init(&loop->cooling, on_cooling);
}

static void warm_up(struct wsi_loop *loop, struct wsi_filter *filter)
{
    filter->warm = true;
    filter->ops->keep(filter, true);
    wsi_list_append(&loop->warm, &filter->warmth);
    if (loop->warm_count++ == 0)
        wsi_loop_timer(loop, &loop->cooling, WSI_FILTER_WARM_MS);
}

/* There is data. In one millisecond an answer is no second use: a connection that opens,
 * and then rests, does not become warm. */
static void note_use(struct wsi_loop *loop, struct wsi_filter *filter)
{
    const uint64_t since_ms = loop->now_ms - filter->used_ms;

    filter->used_ms = loop->now_ms;
    if (!filter->warm && since_ms - 1 < WSI_FILTER_WARM_MS &&
        loop->warm_count < WSI_FILTER_WARM_MAX)
        warm_up(loop, filter);
}

void wsi_filter_free(struct wsi_stream *stream)
{
    struct wsi_filter *filter = stream->filter;

    if (filter == NULL)
        return;
    stream->filter = NULL;
    if (filter->warm)
        forget_warm(stream->loop, filter);
    wsi_buf_fini(&filter->pending);
    filter->ops->free(filter);
}

/* ---- in ---- */

/* What the filter said waits for the flush at the end of the turn. */
static void keep_output(struct wsi_stream *stream)
{
    struct wsi_buf *sealed = &stream->loop->sealed;
    const int r = wsi_buf_append(&stream->filter->pending, sealed->data, sealed->len,
                                 PENDING_MAX);

    sealed->len = 0;
    if (r < 0)
        wsi_stream_end(stream, r == WSOCK_ENOMEM ? ENOMEM : ENOBUFS);
    else
        wsi_stream_mark(stream);
}

/* Put received bytes through the filter. @return the length of the data, in
 * loop->decoded. */
static size_t decode(struct wsi_stream *stream, const uint8_t *in, size_t in_len)
{
    struct wsi_filter *filter = stream->filter;
    struct wsi_buf *sealed = &stream->loop->sealed;
    const bool was_ready = filter->ready;
    size_t len;

    if (was_ready)
        note_use(stream->loop, filter);
    sealed->len = 0;
    filter->output = sealed;
    len = filter->ops->decode(filter, in, in_len, stream->loop->decoded);
    if (sealed->len > 0)
        keep_output(stream);
    if (filter->ready && !was_ready && !wsi_stream_closes(stream))
        stream->events->on_secured(stream);
    return len;
}

/* Tell the peer, then the caller. */
static void filter_failed(struct wsi_stream *stream)
{
    struct wsi_filter *filter = stream->filter;

    if (filter->ended || (stream->flags & WSI_S_ENDED))
        return;
    filter->ended = true;
    wsi_send_drop(stream);
    wsi_send_flush(stream); /* the alert */
    if (!wsi_stream_closes(stream))
        stream->events->on_filter_failed(stream);
}

static void deliver(struct wsi_stream *stream, const uint8_t *in, size_t in_len)
{
    const struct wsi_filter *filter = stream->filter;
    const size_t len = decode(stream, in, in_len);

    if (len > 0 && !wsi_stream_closes(stream))
        stream->events->on_data(stream, stream->loop->decoded, len);
    if (filter->failed)
        filter_failed(stream);
    else if (filter->finished && !(stream->flags & (WSI_S_ENDED | WSI_S_EOF)))
        wsi_stream_end_input(stream);
}

/* Whether what comes is of no interest any more. */
static bool is_deaf(const struct wsi_stream *stream)
{
    return (stream->flags & WSI_S_LINGER) || stream->filter->failed ||
           stream->filter->finished;
}

static bool takes_more(const struct wsi_stream *stream)
{
    return (stream->flags & (WSI_S_ENDED | WSI_S_PAUSED | WSI_S_EOF)) == 0;
}

/* A handler may have closed streams that come behind its own. */
void wsi_filter_deliver_staged(struct wsi_loop *loop)
{
    struct wsi_stage *stage = loop->stage;
    const unsigned count = loop->staged;

    for (unsigned i = 0; i < count; i++) {
        const struct wsi_staged *staged = &stage->staged[i];

        if (!is_deaf(staged->stream))
            deliver(staged->stream, stage->data + staged->at, staged->len);
    }
    loop->staged = 0;
    stage->used = 0;
}

/* Read what waits to be decoded until the other streams of the turn are read, too.
 * @return whether there is so much that it should be read at once: nothing waits then. */
static bool read_staged(struct wsi_stream *stream)
{
    struct wsi_loop *loop = stream->loop;
    struct wsi_stage *stage = loop->stage;
    ssize_t n;

    if (loop->staged == WSI_STAGED_MAX || stage->used > WSI_STAGE_SIZE - WSI_STAGED_READ)
        wsi_filter_deliver_staged(loop);
    n = wsi_stream_read(stream, stage->data + stage->used, WSI_STAGED_READ);
    if (n <= 0)
        return false;
    stage->staged[loop->staged++] = (struct wsi_staged){stream, stage->used, (uint32_t)n};
    stage->used += (uint32_t)n;
    if (n < WSI_STAGED_READ)
        return false;
    wsi_filter_deliver_staged(loop);
    return takes_more(stream);
}

/* Who asks is told of what is delivered before it is read again, so nothing of it may
 * wait. */
static bool may_stage(const struct wsi_stream *stream)
{
    return stream->filter->ready && !(stream->flags & WSI_S_ASKS) && !is_deaf(stream);
}

void wsi_filter_receive(struct wsi_stream *stream)
{
    struct wsi_loop *loop = stream->loop;
    uint8_t *in = loop->receive;

    if (may_stage(stream)) {
        if (!read_staged(stream))
            return;
    } else if (!stream->filter->ready && !is_deaf(stream) &&
               !wsi_loop_may_handshake(loop)) {
        return;
    }
    for (int i = 0; i < WSI_FULL_READS_MAX; i++) {
        const ssize_t n = wsi_stream_read(stream, in, WSI_RECEIVE_SIZE);

        if (n <= 0)
            return;
        if (!is_deaf(stream))
            deliver(stream, in, (size_t)n);
        if (n < WSI_RECEIVE_SIZE || !takes_more(stream))
            return;
    }
}

/* What a loop with filters needs and others do not. */
static bool equip(struct wsi_loop *loop)
{
    if (loop->record == NULL)
        loop->record = wsi_alloc(WSI_FILTER_RECORD_MAX);
    if (loop->stage == NULL)
        loop->stage = wsi_zalloc(sizeof *loop->stage);
    return loop->record != NULL && loop->stage != NULL;
}

void wsi_stream_expect_filter(struct wsi_stream *stream)
{
    assert(stream->filter == NULL);
    stream->expects_filter = true;
}

int wsi_stream_start_filter(struct wsi_stream *stream, struct wsi_filter *filter,
                            const uint8_t *early, size_t early_len)
{
    struct wsi_loop *loop = stream->loop;
    uint8_t *in = loop->receive;

    assert(stream->filter == NULL && stream->head == NULL);
    assert(early_len <= WSI_RECEIVE_SIZE);
    if (!equip(loop)) {
        filter->ops->free(filter);
        return WSOCK_ENOMEM;
    }
    stream->filter = filter;
    if (early_len > 0)
        memmove(in, early, early_len);
    /* Before the handshake is done there is no data, and it takes more than one flight.
     */
    deliver(stream, in, early_len);
    return 0;
}

/* ---- out ---- */

/* The next bytes of the queue, as one piece of at most a record. */
static const uint8_t *next_record(const struct wsi_stream *stream, size_t *len)
{
    const struct wsi_segment *s = stream->head;
    uint8_t *record = stream->loop->record;

    *len = s->len;
    if (s->len >= WSI_FILTER_RECORD_MAX || s->next == NULL) {
        if (*len > WSI_FILTER_RECORD_MAX)
            *len = WSI_FILTER_RECORD_MAX;
        return s->data;
    }
    *len = 0;
    for (; s != NULL && *len < WSI_FILTER_RECORD_MAX; s = s->next) {
        const size_t room = WSI_FILTER_RECORD_MAX - *len;
        const size_t n = s->len < room ? s->len : room;

        memcpy(record + *len, s->data, n);
        *len += n;
    }
    return record;
}

/* What is encoded is on its way still: nobody shall read that nothing waits. */
static void count_encoded(struct wsi_stream *stream, size_t encoded)
{
    struct wsi_filter *filter = stream->filter;

    wsi_stream_set_queued(stream, wsi_stream_queued(stream) - filter->counted + encoded);
    filter->counted = encoded;
}

/* @param from where this stream's begin in `sealed`. */
static void encode_queue(struct wsi_stream *stream, struct wsi_buf *sealed, size_t from)
{
    struct wsi_filter *filter = stream->filter;

    if (stream->head != NULL)
        note_use(stream->loop, filter);
    while (stream->head != NULL && sealed->len < WSI_FILTER_BATCH && !filter->failed) {
        size_t len;
        const uint8_t *record = next_record(stream, &len);

        if (len > 0)
            filter->ops->encode(filter, record, len);
        count_encoded(stream, sealed->len -
                                  from); /* first, or there would be less for a moment */
        wsi_send_consume(stream, len);
    }
}

/* @return how many of them the socket took; -1 when that has ended the stream. */
static ssize_t send_sealed(struct wsi_stream *stream, const struct wsi_buf *sealed)
{
    const struct wsi_loop *loop = stream->loop;
    size_t at = 0;

    while (at < sealed->len) {
        const ssize_t n = loop->backend->send(loop->backend_state, stream,
                                              sealed->data + at, sealed->len - at);

        if (n > 0)
            at += (size_t)n;
        else if (n == -EAGAIN || n == 0)
            break;
        else if (n != -EINTR) {
            wsi_stream_end(stream, (int)-n);
            return -1;
        }
    }
    return (ssize_t)at;
}

/* Send what was encoded. @return whether the socket took all of it. */
static bool send_batch(struct wsi_stream *stream, struct wsi_buf *sealed)
{
    const ssize_t n = send_sealed(stream, sealed);

    if (n < 0)
        return false;
    if (n > 0 && (stream->flags & WSI_S_UNBLOCKED))
        wsi_stream_set(stream, WSI_S_OWE_WRITABLE);
    if (stream->filter->ready && !stream->filter->failed)
        count_encoded(stream, sealed->len - (size_t)n);
    if ((size_t)n == sealed->len)
        return true;
    if (wsi_buf_append(&stream->filter->pending, sealed->data + n,
                       sealed->len - (size_t)n, SIZE_MAX / 2) < 0)
        wsi_stream_end(stream, ENOMEM);
    else
        wsi_send_block(stream);
    return false;
}

static bool may_encode_ahead(const struct wsi_stream *stream)
{
    return stream->filter != NULL && stream->head != NULL && stream->filter->ready &&
           !stream->filter->failed && stream->filter->pending.len == 0 &&
           wsi_stream_queued(stream) <= AHEAD_MAX &&
           (stream->flags & (WSI_S_BLOCKED | WSI_S_ENDED)) == 0;
}

void wsi_filter_encode_dirty(struct wsi_loop *loop)
{
    struct wsi_buf *ahead = &loop->ahead;

    if (loop->record == NULL) /* there was no filter yet */
        return;
    ahead->len = 0;
    wsi_arena_close_open(loop);
    for (struct wsi_stream *s = loop->dirty.first; s != NULL; s = s->next_dirty) {
        if (!may_encode_ahead(s))
            continue;
        s->filter->output = ahead;
        s->filter->ahead_at = ahead->len;
        encode_queue(s, ahead, s->filter->ahead_at);
        s->filter->ahead_len = ahead->len - s->filter->ahead_at;
    }
}

static void take_ahead(struct wsi_filter *filter, const struct wsi_buf *ahead,
                       struct wsi_buf *sealed)
{
    const size_t len = filter->ahead_len;

    filter->ahead_len = 0;
    if (len > 0 &&
        wsi_buf_append(sealed, ahead->data + filter->ahead_at, len, SIZE_MAX / 2) < 0)
        filter->failed = true;
}

/* What waits from before goes first. */
static void take_pending(struct wsi_filter *filter, struct wsi_buf *sealed)
{
    if (sealed->capacity > SEALED_KEEP)
        wsi_buf_fini(sealed);
    sealed->len = 0;
    if (filter->pending.len == 0)
        return;
    if (wsi_buf_append(sealed, filter->pending.data, filter->pending.len, SIZE_MAX / 2) ==
        0)
        wsi_buf_fini(&filter->pending);
    else
        filter->failed = true;
}

void wsi_filter_flush(struct wsi_stream *stream)
{
    struct wsi_filter *filter = stream->filter;
    struct wsi_buf *sealed = &stream->loop->sealed;

    do {
        take_pending(filter, sealed);
        take_ahead(filter, &stream->loop->ahead, sealed);
        filter->output = sealed;
        if (filter->ready)
            encode_queue(stream, sealed, 0);
        if (sealed->len == 0)
            break;
    } while (send_batch(stream, sealed));
    sealed->len = 0;
    wsi_stream_clear(stream, WSI_S_UNBLOCKED);
    /* No peer makes encoding fail, only a want of memory does. */
    if (filter->failed && !filter->ended)
        wsi_stream_end(stream, ENOMEM);
}

bool wsi_filter_end(struct wsi_stream *stream)
{
    struct wsi_filter *filter = stream->filter;

    if (!filter->ended && !filter->failed && filter->ready) {
        filter->ended = true;
        filter->output = &stream->loop->sealed;
        filter->output->len = 0;
        filter->ops->end(filter);
        keep_output(stream);
        wsi_send_flush(stream);
    }
    return !wsi_filter_has_pending(stream);
}
