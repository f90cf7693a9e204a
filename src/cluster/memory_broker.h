/* SPDX-License-Identifier: MIT */
/*
 * What a broker keeps, for the adapter within the process: streams of messages by room,
 * each within the window that its publishers name. All of it is under a lock of who has
 * it.
 */
#ifndef WSI_CLUSTER_MEMORY_BROKER_H
#define WSI_CLUSTER_MEMORY_BROKER_H

#include "cluster/bus.h"
#include "core/blob.h"
#include "core/hash.h"
#include "core/list.h"
#include "core/table.h"

/* A message that is kept. */
struct wsi_stream_entry {
    struct wsi_list node;
    struct wsi_table_node by_id;
    uint64_t offset;
    int64_t time_ms;
    struct wsi_bus_id id;
    struct wsi_blob *bytes; /* a reference */
};

struct wsi_stream {
    struct wsi_table_node node;
    uint64_t epoch, last;
    struct wsi_list entries; /* the oldest first; their offsets have no gap */
    struct wsi_table ids;    /* of the same entries */
    size_t count, bytes;
    char room[];
};

/** Zero-initialise but for the key. */
struct wsi_streams {
    struct wsi_table table;
    struct wsi_hash_key key;
};

void wsi_streams_init(struct wsi_streams *streams);
/** Forget everything. They can be used again. */
void wsi_streams_clear(struct wsi_streams *streams);
/** Make `out`, which is empty, the same. @return 0; WSOCK_ENOMEM, and `out` is empty. */
int wsi_streams_copy(struct wsi_streams *out, const struct wsi_streams *streams);

/**
 * The stream of a room, which begins if there is none; it begins anew when somebody has
 * seen more of its epoch than it knows of.
 *
 * @param epoch what another epoch is to be; not 0.
 * @return (borrowed, nullable) NULL without memory.
 */
struct wsi_stream *wsi_streams_get(struct wsi_streams *streams, const char *room,
                                   const struct wsi_bus_position *seen, uint64_t epoch);

/**
 * Append, unless it was, by its id.
 *
 * @param out   (out) (borrowed) the entry.
 * @param bytes (borrowed)
 * @return 1 when it is new, 0 when it was there; WSOCK_ENOMEM.
 */
int wsi_stream_append(struct wsi_stream *stream, struct wsi_stream_entry **out,
                      struct wsi_blob *bytes, const struct wsi_bus_id *id,
                      int64_t time_ms);
/** Drop what is beyond a window. */
void wsi_stream_trim(struct wsi_stream *stream, const struct wsi_bus_window *window,
                     int64_t now_ms);

#endif
