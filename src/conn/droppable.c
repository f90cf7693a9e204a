/* SPDX-License-Identifier: MIT */
/* What waits above the wire. */
#include "conn/droppable.h"

#include <assert.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/send_parts.h"
#include "core/alloc.h"

enum {
    SLAB_ITEMS = 32, /* a message that waits allocates nothing, but one in so many */
    KEY_LISTS = 64,
};

struct item {
    struct wsi_list node;    /* queue->items */
    struct wsi_list sibling; /* feed->waiting, or feed->missed */
    struct wsi_list keyed;   /* one of queue->keys */
    struct wsi_feed *feed;   /* (nullable) NULL when that has ended */
    struct wsi_blob *frame;  /* a reference */
    struct wsi_blob *key;    /* (nullable) a reference */
    bool is_missed;          /* it counts for nothing */
};

struct slab {
    struct slab *next;
    struct item items[SLAB_ITEMS];
};

struct wsi_droppable {
    struct wsi_list items;      /* in the order in which they leave */
    struct wsi_list unused;     /* items of the slabs, by `node` */
    struct slab *slabs;         /* (owned) while something waits */
    struct wsi_list *keys;      /* (owned, nullable) items with a key, by its bytes */
    size_t missed_bytes;        /* held for those that are missed */
    atomic_size_t count, bytes; /* of the frames */
};

static struct item *item_of(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct item, node);
}

static struct wsi_droppable *queue_of(const struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    return extra != NULL ? atomic_load_explicit(&extra->droppable, memory_order_acquire)
                         : NULL;
}

static size_t get(const atomic_size_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Only the worker writes them. */
static void set(atomic_size_t *counter, size_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

/* @return (borrowed from conn, nullable) made now if need be; NULL without memory. */
static struct wsi_droppable *make_queue(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);
    struct wsi_droppable *queue = queue_of(conn);

    if (extra == NULL || queue != NULL)
        return queue;
    queue = wsi_zalloc(sizeof *queue);
    if (queue == NULL)
        return NULL;
    wsi_list_init(&queue->items);
    wsi_list_init(&queue->unused);
    atomic_store_explicit(&extra->droppable, queue, memory_order_release);
    return queue;
}

/* ---- items ---- */

static bool add_slab(struct wsi_droppable *queue)
{
    struct slab *slab = wsi_alloc(sizeof *slab);

    if (slab == NULL)
        return false;
    slab->next = queue->slabs;
    queue->slabs = slab;
    for (int i = 0; i < SLAB_ITEMS; i++)
        wsi_list_append(&queue->unused, &slab->items[i].node);
    return true;
}

static void free_slabs(struct wsi_droppable *queue)
{
    while (queue->slabs != NULL) {
        struct slab *next = queue->slabs->next;

        wsi_free(queue->slabs);
        queue->slabs = next;
    }
    wsi_list_init(&queue->unused);
    wsi_free(queue->keys);
    queue->keys = NULL;
}

static size_t held_by(const struct item *item)
{
    return item->frame->len + sizeof *item;
}

static void leave_feed(struct item *item)
{
    if (item->feed == NULL)
        return;
    if (item->feed->notice == item)
        item->feed->notice = NULL;
    wsi_list_remove(&item->sibling);
    if (!item->is_missed) {
        item->feed->count--;
        item->feed->bytes -= item->frame->len;
    }
    item->feed = NULL;
}

/* Take it out of everything. @return (owned) its frame. */
static struct wsi_blob *take_out(struct wsi_droppable *queue, struct item *item)
{
    leave_feed(item);
    wsi_list_remove(&item->node);
    wsi_list_remove(&item->keyed);
    wsi_blob_unref(item->key);
    if (item->is_missed)
        queue->missed_bytes -= held_by(item);
    set(&queue->count, get(&queue->count) - 1);
    set(&queue->bytes, get(&queue->bytes) - item->frame->len);
    wsi_list_append(&queue->unused, &item->node);
    return item->frame;
}

static void account_for_drop(struct wsi_feed *feed)
{
    assert(feed != NULL);
    atomic_fetch_add_explicit(&feed->dropped, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&feed->rules->dropped, 1, memory_order_relaxed);
}

static void drop_item(struct wsi_droppable *queue, struct wsi_feed *feed,
                      struct item *item)
{
    account_for_drop(feed);
    wsi_blob_unref(take_out(queue, item));
}

void wsi_droppable_clear(struct wsock_conn *conn)
{
    struct wsi_droppable *queue = queue_of(conn);

    if (queue == NULL)
        return;
    while (!wsi_list_is_empty(&queue->items))
        wsi_blob_unref(take_out(queue, item_of(queue->items.next)));
    free_slabs(queue);
}

void wsi_droppable_free(struct wsi_droppable *queue)
{
    if (queue == NULL)
        return;
    free_slabs(queue);
    wsi_free(queue);
}

/* ---- feeds ---- */

void wsi_feed_init(struct wsi_feed *feed, struct wsi_feed_rules *rules)
{
    feed->rules = rules;
    wsi_list_init(&feed->missed);
    wsi_list_init(&feed->waiting);
    feed->notice = NULL;
    feed->count = feed->bytes = 0;
    atomic_init(&feed->dropped, 0);
}

static struct item *sibling_of(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct item, sibling);
}

static void drop_all(struct wsi_droppable *queue, struct wsi_list *list)
{
    while (!wsi_list_is_empty(list))
        wsi_blob_unref(take_out(queue, sibling_of(list->next)));
}

void wsi_feed_end(struct wsock_conn *conn, struct wsi_feed *feed)
{
    if (!wsi_list_is_empty(&feed->missed)) {
        struct wsi_droppable *queue = queue_of(conn);

        drop_all(queue, &feed->missed);
        drop_all(queue, &feed->waiting);
    }
    if (feed->notice != NULL)
        wsi_blob_unref(take_out(queue_of(conn), feed->notice));
    WSI_LIST_EACH(node, &feed->waiting)
    {
        leave_feed(sibling_of(node));
    }
}

void wsi_feed_missed(struct wsi_feed *feed)
{
    account_for_drop(feed);
}

/* ---- waiting ---- */

/* FNV-1a of the key and its room: a list is short, as no more wait than the rules of the
 * room allow, whatever keys they have. */
static struct wsi_list *list_of_key(struct wsi_droppable *queue,
                                    const struct wsi_feed *feed,
                                    const struct wsi_blob *key)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uintptr_t)feed;

    for (size_t i = 0; i < key->len; i++)
        hash = (hash ^ key->data[i]) * 0x100000001b3u;
    return &queue->keys[(hash ^ (hash >> 32)) % KEY_LISTS];
}

static bool make_keys(struct wsi_droppable *queue)
{
    if (queue->keys != NULL)
        return true;
    queue->keys = wsi_alloc_array(KEY_LISTS, sizeof *queue->keys);
    for (int i = 0; queue->keys != NULL && i < KEY_LISTS; i++)
        wsi_list_init(&queue->keys[i]);
    return queue->keys != NULL;
}

/* @param key (nullable) for a message without one. */
static bool has_key(const struct item *item, const struct wsi_blob *key)
{
    const struct wsi_blob *own = item->key;

    if (key == NULL || own == NULL)
        return key == own;
    return own->len == key->len && memcmp(own->data, key->data, key->len) == 0;
}

/* @return (borrowed, nullable) the message of the feed that waits with this key; or
 * without one, if this is none. */
static struct item *find(struct wsi_droppable *queue, const struct wsi_feed *feed,
                         const struct wsi_blob *key)
{
    const struct wsi_list *list = &feed->waiting;

    if (key != NULL && queue->keys == NULL)
        return NULL;
    if (key != NULL)
        list = list_of_key(queue, feed, key);
    WSI_LIST_EACH(node, list)
    {
        struct item *item = key != NULL ? WSI_CONTAINER_OF(node, struct item, keyed)
                                        : sibling_of(node);

        if (item->feed == feed && has_key(item, key))
            return item;
    }
    return NULL;
}

static bool fits(const struct wsock_conn *conn, const struct wsi_droppable *queue,
                 const struct wsi_feed *feed)
{
    const int64_t mark = wsi_option(&conn->profile->options, WSI_OPT_MAX_BACKLOG_BYTES);
    const size_t held = wsi_droppable_held_bytes(conn) - queue->missed_bytes;

    return feed->count < feed->rules->max_messages &&
           feed->bytes < feed->rules->max_bytes &&
           wsi_conn_buffered(conn) + held < (size_t)mark;
}

/* @param siblings (nullable) of a feed. @return (nullable) an item at the end; NULL
 * without memory. */
static struct item *add_item(struct wsi_droppable *queue, struct wsi_feed *feed,
                             struct wsi_list *siblings, struct wsi_blob *frame)
{
    struct item *item;

    if (wsi_list_is_empty(&queue->unused) && !add_slab(queue))
        return NULL;
    item = item_of(wsi_list_pop(&queue->unused));
    item->feed = feed;
    item->frame = wsi_blob_ref(frame);
    item->key = NULL;
    item->is_missed = false;
    wsi_list_append(&queue->items, &item->node);
    wsi_list_init(&item->sibling);
    if (siblings != NULL)
        wsi_list_append(siblings, &item->sibling);
    wsi_list_init(&item->keyed);
    set(&queue->count, get(&queue->count) + 1);
    set(&queue->bytes, get(&queue->bytes) + frame->len);
    return item;
}

static bool append(struct wsi_droppable *queue, struct wsi_feed *feed,
                   struct wsi_blob *frame, struct wsi_blob *key)
{
    struct item *item;

    if (key != NULL && !make_keys(queue))
        return false;
    item = add_item(queue, feed, &feed->waiting, frame);
    if (item == NULL)
        return false;
    if (feed->notice != NULL) /* what is lost from here on is lost behind this one */
        leave_feed(feed->notice);
    feed->count++;
    feed->bytes += frame->len;
    if (key != NULL) {
        item->key = wsi_blob_ref(key);
        wsi_list_append(list_of_key(queue, feed, key), &item->keyed);
    }
    return true;
}

/* In the place of the older one, and not at the end: of keys that change all the time,
 * those at the end would never leave. */
static void replace(struct wsi_droppable *queue, struct wsi_feed *feed, struct item *item,
                    struct wsi_blob *frame)
{
    account_for_drop(feed);
    feed->bytes += frame->len - item->frame->len;
    set(&queue->bytes, get(&queue->bytes) + frame->len - item->frame->len);
    wsi_blob_unref(item->frame);
    item->frame = wsi_blob_ref(frame);
}

static void close_slow(struct wsock_conn *conn)
{
    static const char reason[] = "too slow for a room";

    wsi_droppable_clear(conn);
    wsi_log(&conn->worker->pool->log, WSOCK_LOG_DEBUG, wsi_conn_subject(conn).text,
            "closes with 1013: %s", reason);
    wsi_conn_start_close(conn, 1013, reason, sizeof reason - 1);
}

/* @return whether a message may wait now. */
static bool make_room(struct wsock_conn *conn, struct wsi_droppable *queue,
                      struct wsi_feed *feed)
{
    const enum wsi_slow slow = feed->rules->slow;

    while (!fits(conn, queue, feed)) {
        if ((slow != WSI_SLOW_DROP_OLDEST && slow != WSI_SLOW_LATEST_ONLY) ||
            wsi_list_is_empty(&feed->waiting))
            return false;
        drop_item(queue, feed, sibling_of(feed->waiting.next));
    }
    return true;
}

/* It leaves when the socket takes what is on the wire. */
static void wait(struct wsock_conn *conn)
{
    if (wsi_droppable_held_bytes(conn) + wsi_stream_queued(&conn->stream) >
        conn->accounted + WSI_DROPPABLE_WIRE_MAX)
        wsi_conn_account(conn);
    wsi_stream_want_writable(&conn->stream);
}

bool wsi_droppable_put(struct wsock_conn *conn, struct wsi_feed *feed,
                       struct wsi_blob *frame, struct wsi_blob *key)
{
    const enum wsi_slow slow = feed->rules->slow;
    struct wsi_droppable *queue = make_queue(conn);
    struct item *older = NULL;

    if (queue != NULL && slow == WSI_SLOW_LATEST_ONLY)
        older = find(queue, feed, key);
    if (older != NULL && !feed->rules->in_order) {
        replace(queue, feed, older, frame);
        return true;
    }
    if (older != NULL)
        drop_item(queue, feed, older);
    if (queue == NULL || !make_room(conn, queue, feed) ||
        !append(queue, feed, frame, slow == WSI_SLOW_LATEST_ONLY ? key : NULL)) {
        account_for_drop(feed);
        if (slow == WSI_SLOW_CLOSE)
            close_slow(conn);
        return false;
    }
    wait(conn);
    return true;
}

/* @param siblings (nullable) @return (nullable) an item that no rule drops; NULL without
 * memory. */
static struct item *put_surely(struct wsock_conn *conn, struct wsi_feed *feed,
                               struct wsi_list *siblings, struct wsi_blob *frame)
{
    struct wsi_droppable *queue = make_queue(conn);
    struct item *item = queue != NULL ? add_item(queue, feed, siblings, frame) : NULL;

    if (item == NULL)
        return NULL;
    item->is_missed = true;
    queue->missed_bytes += held_by(item);
    wait(conn);
    return item;
}

int wsi_droppable_put_missed(struct wsock_conn *conn, struct wsi_feed *feed,
                             struct wsi_blob *frame)
{
    return put_surely(conn, feed, &feed->missed, frame) != NULL ? 0 : WSOCK_ENOMEM;
}

int wsi_droppable_put_notice(struct wsock_conn *conn, struct wsi_feed *feed,
                             struct wsi_blob *frame)
{
    feed->notice = put_surely(conn, feed, NULL, frame);
    return feed->notice != NULL ? 0 : WSOCK_ENOMEM;
}

/* ---- leaving ---- */

bool wsi_droppable_holds(const struct wsock_conn *conn)
{
    const struct wsi_droppable *queue = queue_of(conn);

    return (queue != NULL && get(&queue->count) > 0) || wsi_outgoing_is_open(conn);
}

/* @return false when the stream takes nothing any more. */
static bool move_first(struct wsock_conn *conn, struct wsi_droppable *queue)
{
    struct item *item = item_of(queue->items.next);
    struct wsi_feed *feed = item->feed;
    struct wsi_blob *frame = take_out(queue, item);
    const int r = wsi_conn_write_frame(conn, frame);

    wsi_blob_unref(frame);
    if (r < 0 && feed != NULL)
        account_for_drop(feed);
    return !wsi_stream_is_closing(&conn->stream);
}

/* Nothing waits any more. */
static void rest(struct wsi_droppable *queue)
{
    if (wsi_list_is_empty(&queue->items))
        free_slabs(queue);
}

void wsi_droppable_move(struct wsock_conn *conn)
{
    struct wsi_droppable *queue = queue_of(conn);

    if (queue == NULL || wsi_list_is_empty(&queue->items) || wsi_outgoing_is_open(conn))
        return;
    while (!wsi_list_is_empty(&queue->items) && wsi_droppable_wire_has_room(conn))
        if (!move_first(conn, queue))
            return;
    rest(queue);
    if (!wsi_list_is_empty(&queue->items))
        wsi_stream_want_writable(&conn->stream);
}

void wsi_droppable_move_all(struct wsock_conn *conn)
{
    struct wsi_droppable *queue = queue_of(conn);

    if (queue == NULL || wsi_outgoing_is_open(conn))
        return;
    while (!wsi_list_is_empty(&queue->items))
        if (!move_first(conn, queue))
            return;
    rest(queue);
}

/* ---- looking ---- */

size_t wsi_droppable_bytes(const struct wsock_conn *conn)
{
    const struct wsi_droppable *queue = queue_of(conn);

    return queue != NULL ? get(&queue->bytes) : 0;
}

size_t wsi_droppable_held_bytes(const struct wsock_conn *conn)
{
    const struct wsi_droppable *queue = queue_of(conn);

    return queue != NULL ? get(&queue->bytes) + get(&queue->count) * sizeof(struct item)
                         : 0;
}
