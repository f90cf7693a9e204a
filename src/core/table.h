/* SPDX-License-Identifier: MIT */
/*
 * An intrusive hash table: nodes lie in what they stand for, and who looks something up
 * compares the candidates of its hash. It grows and never shrinks; without memory its
 * chains just grow longer. Where peers choose the keys, the hash is one with a key
 * (hash.h).
 */
#ifndef WSI_CORE_TABLE_H
#define WSI_CORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct wsi_table_node {
    struct wsi_table_node *next; /* in its bucket */
    uint64_t hash;
};

/** Zero-initialise. */
struct wsi_table {
    struct wsi_table_node **buckets;
    size_t bucket_count, count;
};

/** Give the buckets back; the nodes are their owners'. */
void wsi_table_fini(struct wsi_table *table);

/** @return 0; WSOCK_ENOMEM, which only the first of all additions answers. */
int wsi_table_add(struct wsi_table *table, struct wsi_table_node *node, uint64_t hash);
/** Of a node that is in it. */
void wsi_table_remove(struct wsi_table *table, struct wsi_table_node *node);

/** The first node of that hash. @return (nullable) */
struct wsi_table_node *wsi_table_find(const struct wsi_table *table, uint64_t hash);
/** The next one of the same hash. @return (nullable) */
struct wsi_table_node *wsi_table_find_next(const struct wsi_table_node *node);

#endif
