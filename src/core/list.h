/* SPDX-License-Identifier: MIT */
/*
 * Doubly linked intrusive list with a sentinel. A linked node can be removed in
 * O(1) without its list, and the walk below survives removal of the current node.
 */
#ifndef WSI_CORE_LIST_H
#define WSI_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct wsi_list {
    struct wsi_list *next, *prev;
};

#define WSI_CONTAINER_OF(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Walks a list; the current node may be removed (or freed) by the body. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a name that is declared takes none. */
#define WSI_LIST_EACH(node, list)                                         \
    for (struct wsi_list *node = (list)->next, *node##_next = node->next; \
         node != (list); node = node##_next, node##_next = node->next)
/* NOLINTEND(bugprone-macro-parentheses) */

/** Makes an empty list, or a node that is in none. */
static inline void wsi_list_init(struct wsi_list *list)
{
    list->next = list->prev = list;
}

/** True of an empty list, and of a node that is in none. */
static inline bool wsi_list_is_empty(const struct wsi_list *list)
{
    return list->next == list;
}

static inline void wsi_list_append(struct wsi_list *list, struct wsi_list *node)
{
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

/** Leaves the node initialised: removing it again does nothing. */
static inline void wsi_list_remove(struct wsi_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    wsi_list_init(node);
}

/** Takes the first node out; NULL when the list is empty. */
static inline struct wsi_list *wsi_list_pop(struct wsi_list *list)
{
    struct wsi_list *node = list->next;

    if (node == list)
        return NULL;
    wsi_list_remove(node);
    return node;
}

/** Moves everything to an uninitialised `to`; `from` is empty then. */
static inline void wsi_list_move(struct wsi_list *to, struct wsi_list *from)
{
    wsi_list_init(to);
    if (wsi_list_is_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    wsi_list_init(from);
}

#endif
