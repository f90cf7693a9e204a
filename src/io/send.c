/* SPDX-License-Identifier: MIT */
/*
 * The send queues: where queued bytes lie, and how they leave.
 *
 *   reserve ---> arena segment --flush, all taken--> gone
 *                     |
 *                     +--- kernel is full ---> own blob, which then takes what is
 *                                              reserved until the socket is writable
 *   send_blob -> shared segment, stays a reference wherever it waits
 *
 * The arena is one run of bytes that begins anew when every stream was flushed, at the
 * end of each turn or when it is full. Who writes after itself grows its open segment;
 * when another stream comes between, a segment keeps room for as much as its stream had
 * queued twice over, so that streams that take turns end up with few segments each.
 *
 * Invariants: a stream with segments in the arena is in loop->dirty or loop->pending; a
 * blocked stream has none there; an ended stream has none at all.
 */
#include <errno.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "io/loop_internal.h"

enum {
    BATCH = 64, /* segments in one system call */
    SPARE_MAX = 1024,
    INTERLEAVED_MIN = 64,
    OWN_MIN = 256,
    OWN_SPARE_MAX = 16 * 1024,
};

/* Out of line, so that what happens for nearly every message stays short. */
#define RARE __attribute__((noinline, cold))

static RARE struct wsi_segment *segment_alloc(void)
{
    return wsi_alloc(sizeof(struct wsi_segment));
}

static RARE void segment_release(struct wsi_segment *segment)
{
    wsi_free(segment);
}

static struct wsi_segment *segment_new(struct wsi_loop *loop)
{
    struct wsi_segment *segment = loop->spare;

    if (segment == NULL)
        return segment_alloc();
    loop->spare = segment->next;
    loop->spare_count--;
    return segment;
}

static void segment_append(struct wsi_stream *stream, struct wsi_segment *segment)
{
    segment->next = NULL;
    if (stream->head == NULL)
        stream->head = segment;
    else
        stream->tail->next = segment;
    stream->tail = segment;
}

static void segment_free(struct wsi_loop *loop, struct wsi_segment *segment)
{
    if (segment->blob != NULL)
        wsi_blob_unref(segment->blob);
    else if (segment->data + segment->len + segment->room ==
             loop->arena + loop->arena_used)
        loop->arena_used = (size_t)(segment->data - loop->arena);
    if (loop->spare_count == SPARE_MAX) {
        segment_release(segment);
        return;
    }
    segment->next = loop->spare;
    loop->spare = segment;
    loop->spare_count++;
}

static void pop_head(struct wsi_stream *stream)
{
    struct wsi_segment *head = stream->head;

    stream->head = head->next;
    if (stream->head == NULL)
        stream->tail = NULL;
    segment_free(stream->loop, head);
}

/* ---- the arena ---- */

void wsi_arena_close_open(struct wsi_loop *loop)
{
    struct wsi_segment *open = loop->open;
    uint32_t keep = 0;

    if (open == NULL)
        return;
    if (loop->open_reserve > open->len) {
        keep = (uint32_t)loop->open_reserve - open->len;
        if (keep > open->room)
            keep = open->room;
    }
    open->room = keep;
    loop->arena_used = (size_t)(open->data - loop->arena) + open->len + keep;
    loop->open = NULL;
}

void wsi_arena_reset(struct wsi_loop *loop)
{
    assert(loop->open == NULL);
    loop->arena_used = 0;
}

void wsi_arena_free_spare(struct wsi_loop *loop)
{
    while (loop->spare != NULL) {
        struct wsi_segment *segment = loop->spare;

        loop->spare = segment->next;
        wsi_free(segment);
    }
}

/* Empty the arena by sending. No callbacks: what ended is told at the end of the turn. */
static RARE void arena_flush_all(struct wsi_loop *loop)
{
    for (struct wsi_stream *s = loop->dirty.first; s != NULL; s = s->next_dirty)
        wsi_send_flush(s);
    for (struct wsi_stream *s = loop->pending.first; s != NULL; s = s->next_dirty)
        wsi_send_flush(s);
    wsi_arena_reset(loop);
}

/* ---- memory of a blocked stream ---- */

static RARE uint8_t *own_reserve(struct wsi_stream *stream, size_t need)
{
    const size_t queued = wsi_stream_queued(stream);
    size_t capacity = queued > OWN_MIN ? queued : OWN_MIN;
    struct wsi_segment *segment = segment_new(stream->loop);

    if (segment == NULL)
        return NULL;
    if (capacity < need)
        capacity = need;
    if (capacity > UINT32_MAX)
        capacity = UINT32_MAX;
    segment->blob = wsi_blob_new(capacity);
    if (segment->blob == NULL) {
        segment_release(segment);
        return NULL;
    }
    segment->data = segment->blob->data;
    segment->len = 0;
    segment->room = (uint32_t)capacity;
    segment_append(stream, segment);
    return segment->data;
}

/* Turn the arena segments that begin with `first` and follow each other into one of the
 * stream's own. */
static bool own_run(struct wsi_stream *stream, struct wsi_segment *first)
{
    struct wsi_segment *end = first;
    struct wsi_blob *blob;
    size_t total = 0, spare = 0;

    for (; end != NULL && end->blob == NULL; end = end->next)
        total += end->len;
    if (end == NULL)
        spare = total < OWN_SPARE_MAX ? total : OWN_SPARE_MAX;
    blob = wsi_blob_new(total + spare);
    if (blob == NULL)
        return false;
    for (struct wsi_segment *s = first; s != end; s = s->next) {
        memcpy(blob->data + blob->len, s->data, s->len);
        blob->len += s->len;
    }
    while (first->next != end) {
        struct wsi_segment *next = first->next;

        first->next = next->next;
        segment_free(stream->loop, next);
    }
    if (end == NULL)
        stream->tail = first;
    first->blob = blob;
    first->data = blob->data;
    first->len = (uint32_t)total;
    first->room = (uint32_t)spare;
    return true;
}

RARE void wsi_send_block(struct wsi_stream *stream)
{
    wsi_stream_set(stream, WSI_S_BLOCKED | WSI_S_OWE_BLOCKED);
    wsi_stream_mark(stream);
    for (struct wsi_segment *s = stream->head; s != NULL; s = s->next) {
        if (s->blob == NULL && !own_run(stream, s)) {
            wsi_stream_end(stream, ENOMEM);
            return;
        }
    }
}

/* ---- sending ---- */

/* @return how many pieces; *total is their length. Empty segments were dropped before. */
static int gather(const struct wsi_stream *stream, struct iovec *iov, size_t *total)
{
    int count = 0;

    *total = 0;
    for (struct wsi_segment *s = stream->head; s != NULL && count < BATCH; s = s->next) {
        if (s->len == 0)
            continue;
        iov[count].iov_base = s->data;
        iov[count].iov_len = s->len;
        *total += s->len;
        count++;
    }
    return count;
}

void wsi_send_consume(struct wsi_stream *stream, size_t n)
{
    struct wsi_segment *head = stream->head;

    wsi_stream_set_queued(stream, wsi_stream_queued(stream) - n);
    while (head != NULL && head->len <= n) {
        n -= head->len;
        pop_head(stream);
        head = stream->head;
    }
    if (n != 0) {
        assert(head != NULL);
        head->data += n;
        head->len -= (uint32_t)n;
    }
}

/* What came of sending total bytes. @return whether to go on with what is left. */
static bool sent(struct wsi_stream *stream, ssize_t n, size_t total)
{
    if (n >= 0) {
        if (n > 0 && (stream->flags & WSI_S_UNBLOCKED))
            wsi_stream_set(stream, WSI_S_OWE_WRITABLE);
        wsi_send_consume(stream, (size_t)n);
        if ((size_t)n == total)
            return true;
    } else if (n == -EINTR) {
        return true;
    } else if (n != -EAGAIN) {
        wsi_stream_end(stream, (int)-n);
        return false;
    }
    /* Asking again after a short write would only give EAGAIN. */
    wsi_send_block(stream);
    return false;
}

static RARE void send_queue(struct wsi_stream *stream)
{
    const struct wsi_loop *loop = stream->loop;
    struct iovec iov[BATCH];
    bool more = true;

    while (more && stream->head != NULL) {
        size_t total;
        const int count = gather(stream, iov, &total);

        if (count == 0)
            wsi_send_consume(stream, 0);
        else
            more = sent(
                stream,
                loop->backend->send_pieces(loop->backend_state, stream, iov, count),
                total);
    }
}

static bool send_head(struct wsi_stream *stream)
{
    const struct wsi_loop *loop = stream->loop;
    const struct wsi_segment *head = stream->head;
    const size_t len = head->len;

    return sent(stream, loop->backend->send(loop->backend_state, stream, head->data, len),
                len);
}

void wsi_send_flush(struct wsi_stream *stream)
{
    const struct wsi_segment *head = stream->head;

    if (stream->flags & (WSI_S_BLOCKED | WSI_S_ENDED))
        return;
    if (stream->flags & WSI_S_WANT_WRITABLE)
        wsi_stream_set(stream, WSI_S_OWE_WRITABLE);
    if (stream->loop->open != NULL)
        wsi_arena_close_open(stream->loop);
    if (stream->filter != NULL) {
        wsi_filter_flush(stream);
        return;
    }
    /* Nearly always one piece is all there is. */
    if (head != NULL && (head->next != NULL || head->len == 0 ||
                         (send_head(stream) && stream->head != NULL)))
        send_queue(stream);
    wsi_stream_clear(stream, WSI_S_UNBLOCKED);
}

void wsi_send_drop(struct wsi_stream *stream)
{
    wsi_arena_close_open(stream->loop);
    while (stream->head != NULL)
        pop_head(stream);
    if (stream->filter != NULL)
        stream->filter->counted = 0;
    wsi_stream_set_queued(stream, 0);
}

void wsi_send_seal(struct wsi_stream *stream)
{
    struct wsi_loop *loop = stream->loop;

    if (loop->open != NULL && loop->open == stream->tail)
        wsi_arena_close_open(loop);
    if (stream->tail != NULL)
        stream->tail->room = 0;
}

static RARE uint8_t *reserve_in_full_arena(struct wsi_stream *stream, size_t need)
{
    arena_flush_all(stream->loop);
    return wsi_stream_reserve(stream, need);
}

uint8_t *wsi_stream_reserve_slow(struct wsi_stream *stream, size_t need)
{
    struct wsi_loop *loop = stream->loop;
    struct wsi_segment *segment;
    size_t reserve = 0;

    if (wsi_stream_closes(stream))
        return NULL;
    if (stream->flags & WSI_S_BLOCKED)
        return own_reserve(stream, need);
    wsi_arena_close_open(loop);
    if (WSI_ARENA_SIZE - loop->arena_used < need)
        return reserve_in_full_arena(stream, need);
    segment = segment_new(stream->loop);
    if (segment == NULL)
        return NULL;
    if (wsi_stream_queued(stream) != 0) {
        reserve = 2 * wsi_stream_queued(stream);
        if (reserve < INTERLEAVED_MIN)
            reserve = INTERLEAVED_MIN;
        if (reserve > WSI_STREAM_COPY_MAX)
            reserve = WSI_STREAM_COPY_MAX;
    }
    segment->blob = NULL;
    segment->data = loop->arena + loop->arena_used;
    segment->len = 0;
    segment->room = (uint32_t)(WSI_ARENA_SIZE - loop->arena_used);
    loop->open = segment;
    loop->open_reserve = reserve;
    segment_append(stream, segment);
    wsi_stream_mark(stream);
    return segment->data;
}

int wsi_stream_send_blob(struct wsi_stream *stream, struct wsi_blob *blob, size_t offset,
                         size_t len)
{
    struct wsi_segment *segment;

    assert(offset <= blob->len && len <= blob->len - offset);
    if (wsi_stream_closes(stream))
        return WSOCK_ECLOSED;
    if (len == 0)
        return 0;
    segment = segment_new(stream->loop);
    if (segment == NULL)
        return WSOCK_ENOMEM;
    segment->blob = wsi_blob_ref(blob);
    segment->data = blob->data + offset;
    segment->len = (uint32_t)len;
    segment->room = 0;
    segment_append(stream, segment);
    wsi_stream_set_queued(stream, wsi_stream_queued(stream) + len);
    if (!(stream->flags & WSI_S_BLOCKED))
        wsi_stream_mark(stream);
    if (wsi_stream_queued(stream) >= WSI_STREAM_EARLY_FLUSH)
        wsi_stream_flush_early(stream);
    return 0;
}

void wsi_stream_flush_early(struct wsi_stream *stream)
{
    wsi_send_flush(stream);
}

void wsi_stream_flush(struct wsi_stream *stream)
{
    if (stream->head != NULL || wsi_filter_has_pending(stream))
        wsi_send_flush(stream);
}
