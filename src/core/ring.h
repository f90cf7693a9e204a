/* SPDX-License-Identifier: MIT */
/*
 * A ring of records of any size, from one thread to another. A record lies in one piece,
 * so it can be written and read in place; what is left at the end of the memory is
 * skipped. Positions count bytes since the beginning and never wrap.
 *
 * The writer: reserve, fill, publish. The reader: peek up to a position, take.
 */
#ifndef WSI_CORE_RING_H
#define WSI_CORE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/alloc.h"

/* Every record begins with this; the bytes that it counts are a multiple of it. */
struct wsi_ring_head {
    uint32_t size;
    uint32_t is_skipped;
};

struct wsi_ring {
    uint8_t *data;
    size_t size; /* a power of two */
    /* The writer's: */
    uint64_t written;
    uint64_t seen; /* of taken */
    atomic_uint_fast64_t published;
    char apart[64]; /* what the other thread writes is in another cache line */
    /* The reader's, and for the writer to look at: */
    atomic_uint_fast64_t taken;
};

/** @param size a power of two. @return false without memory. */
static inline bool wsi_ring_init(struct wsi_ring *ring, size_t size)
{
    ring->data = wsi_alloc(size);
    ring->size = size;
    ring->written = ring->seen = 0;
    atomic_init(&ring->published, 0);
    atomic_init(&ring->taken, 0);
    return ring->data != NULL;
}

static inline void wsi_ring_fini(struct wsi_ring *ring)
{
    wsi_free(ring->data);
    ring->data = NULL;
}

/** Bytes of a record with so many behind its head. */
static inline size_t wsi_ring_record_size(size_t len)
{
    return (sizeof(struct wsi_ring_head) + len + 7) & ~(size_t)7;
}

/** True when a record of up to this size fits wherever the ring stands. */
static inline bool wsi_ring_has_room(struct wsi_ring *ring, size_t record_size)
{
    /* What is skipped at the end is less than one record. */
    if (ring->written - ring->seen + 2 * record_size <= ring->size)
        return true;
    ring->seen = atomic_load_explicit(&ring->taken, memory_order_seq_cst);
    return ring->written - ring->seen + 2 * record_size <= ring->size;
}

/** The writer's: room for one record, of which wsi_ring_has_room(). @return its head. */
static inline struct wsi_ring_head *wsi_ring_reserve(struct wsi_ring *ring, size_t len)
{
    const size_t size = wsi_ring_record_size(len);
    size_t at = ring->written & (ring->size - 1);
    struct wsi_ring_head *head = (struct wsi_ring_head *)(void *)(ring->data + at);

    if (ring->size - at < size) {
        *head = (struct wsi_ring_head){(uint32_t)(ring->size - at), 1};
        ring->written += ring->size - at;
        head = (struct wsi_ring_head *)(void *)ring->data;
    }
    *head = (struct wsi_ring_head){(uint32_t)size, 0};
    ring->written += size;
    return head;
}

/** All that was reserved may be read from now on. */
static inline void wsi_ring_publish(struct wsi_ring *ring)
{
    atomic_store_explicit(&ring->published, ring->written, memory_order_release);
}

/** The same again, in one order with all that threads tell each other so: after it, a
 * reader that says that it sleeps, and looks once more, has been seen or sees. */
static inline void wsi_ring_announce(struct wsi_ring *ring)
{
    atomic_store_explicit(&ring->published, ring->written, memory_order_seq_cst);
}

/** The reader's: how far it may read. */
static inline uint64_t wsi_ring_published(struct wsi_ring *ring)
{
    return atomic_load_explicit(&ring->published, memory_order_seq_cst);
}

static inline uint64_t wsi_ring_taken(struct wsi_ring *ring)
{
    return atomic_load_explicit(&ring->taken, memory_order_relaxed);
}

/** The next record before a position, which was published. @return (borrowed until it is
 * taken, nullable) NULL when there is none. */
static inline struct wsi_ring_head *wsi_ring_peek(struct wsi_ring *ring, uint64_t limit)
{
    uint64_t at = wsi_ring_taken(ring);
    struct wsi_ring_head *head;

    if (at >= limit)
        return NULL;
    head = (struct wsi_ring_head *)(void *)(ring->data + (at & (ring->size - 1)));
    if (head->is_skipped) {
        at += head->size;
        atomic_store_explicit(&ring->taken, at, memory_order_release);
        if (at >= limit)
            return NULL;
        head = (struct wsi_ring_head *)(void *)ring->data;
    }
    return head;
}

/** Give its room back. */
static inline void wsi_ring_take(struct wsi_ring *ring, const struct wsi_ring_head *head)
{
    atomic_store_explicit(&ring->taken, wsi_ring_taken(ring) + head->size,
                          memory_order_release);
}

#endif
