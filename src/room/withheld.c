/* SPDX-License-Identifier: MIT */
/* Messages that somebody here is left out of, by their numbers. */
#include "room/withheld.h"

#include <wsock/error.h>

#include "core/alloc.h"
#include "room/crowd.h"

enum { WITHHELD_MAX = 4096 };

void wsi_withholding_init(struct wsi_withholding *withholding)
{
    wsi_list_init(&withholding->all);
    withholding->by_seq = (struct wsi_table){0};
}

static struct wsi_withheld *remove_one(struct wsi_withholding *withholding,
                                       struct wsi_withheld *withheld)
{
    wsi_list_remove(&withheld->node);
    wsi_table_remove(&withholding->by_seq, &withheld->by_seq);
    return withheld;
}

void wsi_withholding_fini(struct wsi_withholding *withholding)
{
    WSI_LIST_EACH(node, &withholding->all)
    {
        wsi_withheld_free(
            remove_one(withholding, WSI_CONTAINER_OF(node, struct wsi_withheld, node)));
    }
    wsi_table_fini(&withholding->by_seq);
}

int wsi_withheld_new(struct wsi_withheld **out, const wsock_publish *what)
{
    wsock_conn *except = what->except;
    const struct wsi_crowd one = {.conns = &except, .count = except != NULL};
    struct wsi_withheld *withheld;

    *out = NULL;
    if (except == NULL && what->excluded_count == 0)
        return 0;
    withheld = wsi_zalloc(sizeof *withheld);
    if (withheld == NULL || wsi_conns_exclude(&withheld->conns, what, &one) < 0) {
        wsi_free(withheld);
        return WSOCK_ENOMEM;
    }
    wsi_list_init(&withheld->node);
    *out = withheld;
    return 0;
}

void wsi_withheld_free(struct wsi_withheld *withheld)
{
    if (withheld == NULL)
        return;
    wsi_conns_drop(&withheld->conns);
    wsi_free(withheld);
}

int wsi_withholding_put(struct wsi_withholding *withholding,
                        struct wsi_withheld *withheld, uint64_t seq)
{
    const int r = wsi_table_add(&withholding->by_seq, &withheld->by_seq, seq);

    if (r == 0)
        wsi_list_append(&withholding->all, &withheld->node);
    return r;
}

struct wsi_withheld *wsi_withholding_take(struct wsi_withholding *withholding,
                                          uint64_t seq)
{
    struct wsi_table_node *node = wsi_table_find(&withholding->by_seq, seq);

    return node != NULL ? remove_one(withholding,
                                     WSI_CONTAINER_OF(node, struct wsi_withheld, by_seq))
                        : NULL;
}

struct wsi_withheld *wsi_withholding_take_excess(struct wsi_withholding *withholding)
{
    if (withholding->by_seq.count <= WITHHELD_MAX)
        return NULL;
    return remove_one(withholding,
                      WSI_CONTAINER_OF(withholding->all.next, struct wsi_withheld, node));
}
