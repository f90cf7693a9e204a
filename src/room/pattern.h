/* SPDX-License-Identifier: MIT */
/*
 * Patterns of names, and what belongs to each: a tree by tokens, in which a name finds
 * all patterns that match it in a time that grows with the name's length, however many
 * patterns there are. All edges of the tree stand in one table.
 *
 * Where both a token and '*' lead on, both ways are gone. So that these do not multiply
 * without end a pattern has at most 16 tokens, and '*' at most 4 times: then a name meets
 * at most WSI_PATTERN_STEPS_MAX nodes, also when somebody subscribed to whatever makes it
 * slow.
 */
#ifndef WSI_ROOM_PATTERN_H
#define WSI_ROOM_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/hash.h"
#include "core/table.h"

enum {
    WSI_PATTERN_TOKENS_MAX = 16,
    WSI_PATTERN_ANY_MAX = 4,
    /* Of a name of 16 tokens, by how many of its first ones were passed by '*': the sum
     * over all depths n to 16 and all i to 4 of (n over i). */
    WSI_PATTERN_STEPS_MAX = 17 + 136 + 680 + 2380 + 6188,
};

struct wsi_pattern_node {
    struct wsi_table_node node; /* in the table, if it is reached by a token */
    struct wsi_pattern_node *parent;
    struct wsi_pattern_node *any; /* (owned, nullable) where '*' leads */
    void *here, *rest; /* (nullable) of the pattern that ends here, or here with '>' */
    size_t uses;       /* children, and of these two */
    uint64_t hash;     /* of the way here */
    uint8_t len;
    char *token; /* behind the node */
};

struct wsi_patterns {
    struct wsi_table edges;
    struct wsi_hash_key key;
    struct wsi_pattern_node root;
};

void wsi_patterns_init(struct wsi_patterns *patterns);
/** All patterns were removed. */
void wsi_patterns_fini(struct wsi_patterns *patterns);

/** A valid pattern (name.h) within the bounds above. */
bool wsi_pattern_is_bounded(const char *pattern);

/** What belongs to a pattern. @param pattern bounded. @return (nullable) */
void *wsi_patterns_get(const struct wsi_patterns *patterns, const char *pattern);
/** Have something belong to a pattern, to which nothing does. @return 0; WSOCK_ENOMEM. */
int wsi_patterns_add(struct wsi_patterns *patterns, const char *pattern, void *value);
/** Nothing belongs to it any more. */
void wsi_patterns_remove(struct wsi_patterns *patterns, const char *pattern);

/** What belongs to all patterns that match a valid name. @param out (out) at most max of
 *  them. @return how many there are. */
size_t wsi_patterns_match(const struct wsi_patterns *patterns, void **out, size_t max,
                          const char *name);

#endif
