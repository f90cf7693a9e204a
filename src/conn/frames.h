/* SPDX-License-Identifier: MIT */
/*
 * One message in all the forms that peers take: the frame as a server sends it, and the
 * same compressed without context for the windows that were agreed on. Each form is made
 * once and shared, also by connections with a context of their own.
 */
#ifndef WSI_CONN_FRAMES_H
#define WSI_CONN_FRAMES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "conn/conn.h"
#include "core/blob.h"
#include "core/option.h"
#include "proto/pmd.h"

struct wsi_pool;

enum { WSI_WINDOWS = WSI_PMD_BITS_MAX - WSI_PMD_BITS_MIN + 1 };

/** Zero-initialise. */
struct wsi_frames {
    struct wsi_blob *plain; /* a reference */
    /** References, by window bits; NULL: not made; `plain` where that is no longer. */
    _Atomic(struct wsi_blob *) packed[WSI_WINDOWS];
};

/** A set of windows, as bits; 0 for a connection without compression. */
static inline unsigned wsi_window_of(const struct wsock_conn *conn)
{
    const unsigned bits = conn->pmd.own_window_bits;

    return bits != 0 ? 1u << (bits - WSI_PMD_BITS_MIN) : 0;
}

/** How many connections take messages compressed for each window. Zero-initialise. */
struct wsi_window_counts {
    uint32_t count[WSI_WINDOWS]; /* under a lock of who has this */
    atomic_uint set;             /* those of which there are; any thread may look */
};

/** Count one more, or one less. With the lock held. */
void wsi_windows_count(struct wsi_window_counts *windows, const struct wsock_conn *conn,
                       bool joins);

static inline unsigned wsi_windows_set(const struct wsi_window_counts *windows)
{
    return atomic_load_explicit(&windows->set, memory_order_relaxed);
}

/** See to the forms for these windows that are missing, unless the message is smaller
 *  than compression_min_bytes. The message is compressed at most twice, for the largest
 *  window and the smallest: a window between them takes the largest's form if it holds
 *  the whole message, else the smallest's. What cannot be made is sent as `plain`. Any
 *  thread. */
void wsi_frames_pack(struct wsi_frames *frames, struct wsi_pool *pool,
                     const struct wsi_options *options, unsigned windows);

/** The bytes of all its forms; what serves several windows counts once. */
size_t wsi_frames_bytes(const struct wsi_frames *frames);

/** Take over what another set has. */
void wsi_frames_share(struct wsi_frames *frames, const struct wsi_frames *from);

/** The form for a connection. @return (borrowed from frames) */
static inline struct wsi_blob *wsi_frames_for(const struct wsi_frames *frames,
                                              const struct wsock_conn *conn)
{
    const unsigned bits = conn->pmd.own_window_bits;
    struct wsi_blob *packed = NULL;

    if (bits != 0)
        packed = atomic_load_explicit(&frames->packed[bits - WSI_PMD_BITS_MIN],
                                      memory_order_acquire);
    return packed != NULL ? packed : frames->plain;
}

/** Drop the compressed forms; `plain` is the caller's. */
void wsi_frames_drop_packed(struct wsi_frames *frames);

#endif
