/* SPDX-License-Identifier: MIT */
/*
 * What may stand between a stream and its socket: TLS. A filter turns bytes into bytes
 * and never sees the socket; the stream moves them (filter.c).
 *
 *   socket -> decode -> on_data            queue -> encode -> socket
 *                |                                     ^
 *                +---- handshake, alerts: output ------+
 *
 * Data is encoded late: what waits for a slow peer waits in the stream's queue as it was
 * given, and at most WSI_FILTER_BATCH bytes, and a record, of it are encoded.
 */
#ifndef WSI_IO_FILTER_H
#define WSI_IO_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/list.h"

struct wsi_filter;

enum {
    WSI_FILTER_RECORD_MAX = 16 * 1024, /* data that is encoded at a time */
    WSI_FILTER_BATCH = 64 * 1024,      /* encoded bytes on their way to one send */
    /* What a filter may keep of its input because it is no whole record yet: the data
     * that decode gives out is never longer than its input by more than this. */
    WSI_FILTER_HELD_MAX = 20 * 1024,
    /* Filters of a loop that keep their buffers, because they are used again within so
     * long. */
    WSI_FILTER_WARM_MAX = 256,
    WSI_FILTER_WARM_MS = 250,
};

/** What a filter does; on the loop's thread. What it has to send, data or not, it appends
 * to filter->output. */
struct wsi_filter_ops {
    /**
     * Take received bytes, all of them. The first call, maybe with none, begins.
     *
     * @param out what they hold of data; lies WSI_FILTER_HELD_MAX before `in`, so that it
     *            can be written while that is read.
     * @return the length of the data. Sets filter->ready, finished and failed.
     */
    size_t (*decode)(struct wsi_filter *filter, const uint8_t *in, size_t in_len,
                     uint8_t *out);
    /** Encode at most WSI_FILTER_RECORD_MAX bytes; only while it is ready. May set
     * filter->failed. */
    void (*encode)(struct wsi_filter *filter, const uint8_t *data, size_t len);
    /** Say that nothing more comes. */
    void (*end)(struct wsi_filter *filter);
    /** Keep its buffers between the calls above from now on, or give them back after
     * each, as it does at first; in the middle of a record at its end. */
    void (*keep)(struct wsi_filter *filter, bool on);
    void (*free)(struct wsi_filter *filter);
};

/* Embedded first in what implements it. All zero but for ops. */
struct wsi_filter {
    const struct wsi_filter_ops *ops;
    struct wsi_buf *output;     /* set for each call */
    struct wsi_buf pending;     /* encoded, and not taken by the socket yet */
    size_t counted;             /* encoded data that stream->queued counts */
    size_t ahead_at, ahead_len; /* encoded for the flush to come: in loop->ahead */
    bool ready;                 /* the handshake is done: data may go */
    bool finished;              /* the peer said that nothing more comes */
    bool failed;                /* nothing is decoded or encoded any more */
    bool ended;                 /* ops->end was called */
    bool warm;                  /* it keeps its buffers */
    struct wsi_list warmth;     /* while warm: in loop->warm */
    uint64_t used_ms;           /* when it last had data to decode or encode */
};

#endif
