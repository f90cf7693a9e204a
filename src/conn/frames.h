/* SPDX-License-Identifier: MIT */
/*
 * One frame in all the forms that peers take: as a server sends it, and compressed
 * without context for the windows that were agreed on. Each is made once and shared, also
 * by connections with a context of their own. What is said in a room may be two frames
 * (enum wsi_form), and each of them comes in these.
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

/** How many connections take messages in each form (conn.h), and how: not compressed, or
 *  for which window. Zero-initialise. */
struct wsi_takers {
    uint32_t count[WSI_FORMS][1 + WSI_WINDOWS]; /* under a lock of who has this */
    atomic_uint set; /* those of which there are; any thread may look */
};

/** Count one more, or one less. With the lock held. */
void wsi_takers_count(struct wsi_takers *takers, const struct wsock_conn *conn,
                      bool joins);

/** Of which there are, as bits for the two below. Sets may be joined by |. */
static inline unsigned wsi_takers_set(const struct wsi_takers *takers)
{
    return atomic_load_explicit(&takers->set, memory_order_relaxed);
}

/** Whether somebody takes a form. */
static inline bool wsi_takers_have(unsigned set, enum wsi_form form)
{
    return (set >> (unsigned)form * (1 + WSI_WINDOWS) & ((2u << WSI_WINDOWS) - 1)) != 0;
}

/** The windows that a form is to be compressed for. */
static inline unsigned wsi_takers_windows(unsigned set, enum wsi_form form)
{
    return set >> ((unsigned)form * (1 + WSI_WINDOWS) + 1) & ((1u << WSI_WINDOWS) - 1);
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

/** Take over what another has, `plain` included. */
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
