/* SPDX-License-Identifier: MIT */
/* Buckets, a power of two of them, and their growth. */
#include "core/table.h"

#include <wsock/error.h>

#include "core/alloc.h"

enum { BUCKETS_MIN = 16 };

void wsi_table_fini(struct wsi_table *table)
{
    wsi_free(table->buckets);
    *table = (struct wsi_table){0};
}

static struct wsi_table_node **bucket_of(const struct wsi_table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->bucket_count - 1)];
}

static void put(struct wsi_table *table, struct wsi_table_node *node)
{
    struct wsi_table_node **bucket = bucket_of(table, node->hash);

    node->next = *bucket;
    *bucket = node;
}

/* @return 0; WSOCK_ENOMEM, and the table is as it was. */
static int grow(struct wsi_table *table)
{
    struct wsi_table_node **old = table->buckets;
    const size_t old_count = table->bucket_count;
    const size_t count = old_count > 0 ? 2 * old_count : BUCKETS_MIN;
    struct wsi_table_node **buckets = wsi_zalloc(count * sizeof(struct wsi_table_node *));

    if (buckets == NULL)
        return WSOCK_ENOMEM;
    table->buckets = buckets;
    table->bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct wsi_table_node *node = old[i];

            old[i] = node->next;
            put(table, node);
        }
    }
    wsi_free(old);
    return 0;
}

int wsi_table_add(struct wsi_table *table, struct wsi_table_node *node, uint64_t hash)
{
    if (table->count >= table->bucket_count && grow(table) < 0 && table->buckets == NULL)
        return WSOCK_ENOMEM;
    node->hash = hash;
    put(table, node);
    table->count++;
    return 0;
}

void wsi_table_remove(struct wsi_table *table, struct wsi_table_node *node)
{
    struct wsi_table_node **at = bucket_of(table, node->hash);

    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    table->count--;
}

static struct wsi_table_node *of_hash(struct wsi_table_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash)
        node = node->next;
    return node;
}

struct wsi_table_node *wsi_table_find(const struct wsi_table *table, uint64_t hash)
{
    return table->buckets != NULL ? of_hash(*bucket_of(table, hash), hash) : NULL;
}

struct wsi_table_node *wsi_table_find_next(const struct wsi_table_node *node)
{
    return of_hash(node->next, node->hash);
}
