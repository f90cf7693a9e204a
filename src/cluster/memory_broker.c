/* SPDX-License-Identifier: MIT */
/* Streams that are kept in memory. */
#include "cluster/memory_broker.h"

#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"

void wsi_streams_init(struct wsi_streams *streams)
{
    streams->table = (struct wsi_table){0};
    wsi_hash_key_init(&streams->key);
}

static struct wsi_stream_entry *entry_of(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct wsi_stream_entry, node);
}

/* Nodes draw their ids, and count from there. */
static uint64_t hash_of(const struct wsi_bus_id *id)
{
    uint64_t hash;

    memcpy(&hash, id->node, sizeof hash);
    return hash + id->seq;
}

/* @return (borrowed, nullable) */
static struct wsi_stream_entry *find_entry(const struct wsi_stream *stream,
                                           const struct wsi_bus_id *id)
{
    struct wsi_table_node *node = wsi_table_find(&stream->ids, hash_of(id));

    for (; node != NULL; node = wsi_table_find_next(node)) {
        struct wsi_stream_entry *entry = WSI_CONTAINER_OF(node, struct wsi_stream_entry,
                                                          by_id);

        if (entry->id.seq == id->seq &&
            memcmp(entry->id.node, id->node, sizeof id->node) == 0)
            return entry;
    }
    return NULL;
}

static struct wsi_stream *stream_of(struct wsi_table_node *node)
{
    return WSI_CONTAINER_OF(node, struct wsi_stream, node);
}

static void drop_oldest(struct wsi_stream *stream)
{
    struct wsi_stream_entry *entry = entry_of(wsi_list_pop(&stream->entries));

    wsi_table_remove(&stream->ids, &entry->by_id);
    stream->count--;
    stream->bytes -= entry->bytes->len;
    wsi_blob_unref(entry->bytes);
    wsi_free(entry);
}

static void empty(struct wsi_stream *stream)
{
    while (stream->count > 0)
        drop_oldest(stream);
}

void wsi_streams_clear(struct wsi_streams *streams)
{
    for (size_t i = 0; i < streams->table.bucket_count; i++) {
        struct wsi_table_node *node = streams->table.buckets[i];

        while (node != NULL) {
            struct wsi_table_node *next = node->next;

            empty(stream_of(node));
            wsi_table_fini(&stream_of(node)->ids);
            wsi_free(stream_of(node));
            node = next;
        }
    }
    wsi_table_fini(&streams->table);
    streams->table = (struct wsi_table){0};
}

static struct wsi_stream *find(const struct wsi_streams *streams, const char *room,
                               uint64_t hash)
{
    struct wsi_table_node *node = wsi_table_find(&streams->table, hash);

    while (node != NULL && strcmp(stream_of(node)->room, room) != 0)
        node = wsi_table_find_next(node);
    return node != NULL ? stream_of(node) : NULL;
}

static struct wsi_stream *make(struct wsi_streams *streams, const char *room,
                               uint64_t hash, uint64_t epoch)
{
    const size_t size = strlen(room) + 1;
    struct wsi_stream *stream = wsi_zalloc(sizeof *stream + size);

    if (stream == NULL)
        return NULL;
    stream->epoch = epoch;
    wsi_list_init(&stream->entries);
    memcpy(stream->room, room, size);
    if (wsi_table_add(&streams->table, &stream->node, hash) < 0) {
        wsi_free(stream);
        return NULL;
    }
    return stream;
}

struct wsi_stream *wsi_streams_get(struct wsi_streams *streams, const char *room,
                                   const struct wsi_bus_position *seen, uint64_t epoch)
{
    const uint64_t hash = wsi_hash(&streams->key, room, strlen(room));
    struct wsi_stream *stream = find(streams, room, hash);

    if (stream == NULL)
        return make(streams, room, hash, epoch);
    if (seen->epoch == stream->epoch && seen->offset > stream->last) {
        empty(stream);
        stream->epoch = epoch;
        stream->last = 0;
    }
    return stream;
}

/* @return 0; WSOCK_ENOMEM. */
static int add(struct wsi_stream *stream, const struct wsi_stream_entry *like)
{
    struct wsi_stream_entry *entry = wsi_alloc(sizeof *entry);

    if (entry == NULL)
        return WSOCK_ENOMEM;
    *entry = *like;
    if (wsi_table_add(&stream->ids, &entry->by_id, hash_of(&entry->id)) < 0) {
        wsi_free(entry);
        return WSOCK_ENOMEM;
    }
    wsi_blob_ref(entry->bytes);
    wsi_list_append(&stream->entries, &entry->node);
    stream->count++;
    stream->bytes += entry->bytes->len;
    return 0;
}

int wsi_stream_append(struct wsi_stream *stream, struct wsi_stream_entry **out,
                      struct wsi_blob *bytes, const struct wsi_bus_id *id,
                      int64_t time_ms)
{
    const struct wsi_stream_entry entry = {
        .offset = stream->last + 1, .time_ms = time_ms, .id = *id, .bytes = bytes};
    struct wsi_stream_entry *known = find_entry(stream, id);

    if (known != NULL) {
        *out = known;
        return 0;
    }
    if (add(stream, &entry) < 0)
        return WSOCK_ENOMEM;
    stream->last++;
    *out = entry_of(stream->entries.prev);
    return 1;
}

void wsi_stream_trim(struct wsi_stream *stream, const struct wsi_bus_window *window,
                     int64_t now_ms)
{
    while (stream->count > 0) {
        const int64_t age = now_ms - entry_of(stream->entries.next)->time_ms;

        if ((window->messages == 0 || stream->count <= window->messages) &&
            (window->bytes == 0 || stream->bytes <= window->bytes) &&
            (window->time_ms == 0 || age <= 0 || (uint64_t)age < window->time_ms))
            break;
        drop_oldest(stream);
    }
}

/* @return 0; WSOCK_ENOMEM. */
static int copy_stream(struct wsi_streams *out, const struct wsi_stream *stream)
{
    struct wsi_stream *copy = make(
        out, stream->room, wsi_hash(&out->key, stream->room, strlen(stream->room)),
        stream->epoch);
    int r = copy != NULL ? 0 : WSOCK_ENOMEM;

    if (r < 0)
        return r;
    copy->last = stream->last;
    WSI_LIST_EACH(node, &stream->entries)
    {
        if (r == 0)
            r = add(copy, entry_of(node));
    }
    return r;
}

int wsi_streams_copy(struct wsi_streams *out, const struct wsi_streams *streams)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < streams->table.bucket_count; i++)
        for (struct wsi_table_node *node = streams->table.buckets[i];
             r == 0 && node != NULL; node = node->next)
            r = copy_stream(out, stream_of(node));
    if (r < 0)
        wsi_streams_clear(out);
    return r;
}
