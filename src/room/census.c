/* SPDX-License-Identifier: MIT */
/* Lists of people and of nodes. */
#include "room/census.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/node_id.h"
#include "conn/identity.h"
#include "conn/queue.h"
#include "core/alloc.h"
#include "proto/utf8.h"
#include "room/room.h"
#include "room/spread.h"

enum {
    VERSION = 1, /* of a description: it, connections (8 bytes), the name */
    HEAD_SIZE = 9,
    NAME_MAX_BYTES = 255,
};

/* A question, and then its answer. */
struct census {
    struct wsi_bus_receipt receipt;
    struct wsi_registry *registry;
    struct wsi_owner *owner; /* of it; a reference */
    wsock_room *room;        /* a reference; NULL: it is about nodes */
    wsock_people_fn on_people;
    wsock_nodes_fn on_nodes;
    void *user;
    struct wsi_mail mail; /* on the server's queue */
    char why[WSI_BUS_WHY_SIZE];
    void *list;   /* (owned, nullable) of wsock_person or wsock_node, */
    size_t count; /* so many */
    char *texts;  /* (owned, nullable) what they point to */
};

static void free_census(struct census *census)
{
    wsi_free(census->list);
    wsi_free(census->texts);
    wsock_room_unref(census->room);
    wsi_owner_unref(census->owner);
    wsi_free(census);
}

static void call(struct census *census)
{
    if (census->room != NULL)
        census->on_people(census->list, census->count, census->why, census->user);
    else
        census->on_nodes(census->list, census->count, census->why, census->user);
}

static void run(struct wsi_mail *mail)
{
    struct census *census = WSI_CONTAINER_OF(mail, struct census, mail);

    if (wsi_queue_calls(census->owner->queue))
        call(census);
    free_census(census);
}

/* ---- people ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct wsi_bus_entry *const *)a)->name,
                  (*(const struct wsi_bus_entry *const *)b)->name);
}

/* One of each name, of what is sorted. @return where the texts go on. */
static char *add_person(struct census *census, const struct wsi_bus_entry *entry,
                        char *at)
{
    wsock_person *people = census->list;
    const size_t size = strlen(entry->name) + 1;

    if (census->count > 0 &&
        strcmp(people[census->count - 1].identity, entry->name) == 0) {
        people[census->count - 1].conns++;
        return at;
    }
    memcpy(at, entry->name, size);
    if (entry->bytes.len > 0)
        memcpy(at + size, entry->bytes.data, entry->bytes.len);
    people[census->count++] = (wsock_person){
        .size = sizeof(wsock_person),
        .identity = at,
        .info = entry->bytes.len > 0 ? at + size : NULL,
        .info_len = entry->bytes.len,
        .conns = 1,
    };
    return at + size + entry->bytes.len;
}

/* @return 0; WSOCK_ENOMEM. */
static int list_people(struct census *census, const struct wsi_bus_answer *answer)
{
    const struct wsi_bus_entry **sorted;
    size_t size = 0, count = 0;
    char *at;

    if (answer->count == 0)
        return 0;
    for (size_t i = 0; i < answer->count; i++)
        size += strlen(answer->entries[i].name) + 1 + answer->entries[i].bytes.len;
    sorted = wsi_alloc_array(answer->count, sizeof *sorted);
    census->list = wsi_alloc_array(answer->count, sizeof(wsock_person));
    census->texts = at = wsi_alloc(size);
    if (sorted == NULL || census->list == NULL || at == NULL) {
        wsi_free(sorted);
        return WSOCK_ENOMEM;
    }
    /* Whom nobody can be, a broker has invented. */
    for (size_t i = 0; i < answer->count; i++)
        if (wsi_identity_is_valid(answer->entries[i].name))
            sorted[count++] = &answer->entries[i];
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < count; i++)
        at = add_person(census, sorted[i], at);
    wsi_free(sorted);
    return 0;
}

/* ---- nodes ---- */

void wsi_census_describe(struct wsi_spread *spread, size_t conns)
{
    uint8_t bytes[HEAD_SIZE + NAME_MAX_BYTES];
    const size_t len = strlen(spread->name);

    bytes[0] = VERSION;
    for (unsigned i = 0; i < 8; i++)
        bytes[1 + i] = (uint8_t)((uint64_t)conns >> (56 - 8 * i));
    memcpy(bytes + HEAD_SIZE, spread->name, len);
    wsi_spread_describe(spread, (struct wsi_bytes){bytes, HEAD_SIZE + len});
}

/* Its name is shown to people, or "" if it is no text. */
static bool is_name(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            return false;
    return wsi_utf8_is_valid(bytes, len);
}

/* @param at where the texts of one node go: id and name. */
static wsock_node show_node(const struct wsi_bus_entry *entry, char *at,
                            const struct wsi_spread *spread)
{
    const uint8_t *bytes = entry->bytes.data;
    wsock_node node = {.size = sizeof node, .id = at, .name = at + WSI_NODE_HEX_SIZE};
    size_t len = entry->bytes.len;

    wsi_node_hex(at, entry->node);
    at[WSI_NODE_HEX_SIZE] = '\0';
    node.is_self = memcmp(entry->node, spread->node, sizeof entry->node) == 0;
    if (len < HEAD_SIZE || bytes[0] != VERSION)
        return node;
    for (unsigned i = 0; i < 8; i++)
        node.conns = node.conns << 8 | bytes[1 + i];
    len -= HEAD_SIZE;
    if (len <= NAME_MAX_BYTES && is_name(bytes + HEAD_SIZE, len)) {
        memcpy(at + WSI_NODE_HEX_SIZE, bytes + HEAD_SIZE, len);
        at[WSI_NODE_HEX_SIZE + len] = '\0';
    }
    return node;
}

static int list_nodes(struct census *census, const struct wsi_bus_answer *answer,
                      const struct wsi_spread *spread)
{
    const size_t each = WSI_NODE_HEX_SIZE + NAME_MAX_BYTES + 1;
    wsock_node *nodes;

    if (answer->count == 0)
        return 0;
    census->list = nodes = wsi_alloc_array(answer->count, sizeof *nodes);
    census->texts = wsi_alloc_array(answer->count, each);
    if (nodes == NULL || census->texts == NULL)
        return WSOCK_ENOMEM;
    for (size_t i = 0; i < answer->count; i++)
        nodes[i] = show_node(&answer->entries[i], census->texts + i * each, spread);
    census->count = answer->count;
    return 0;
}

/* ---- asking ---- */

static void done(struct wsi_bus_receipt *receipt, const struct wsi_bus_answer *answer)
{
    struct census *census = WSI_CONTAINER_OF(receipt, struct census, receipt);
    int r = 0;

    if (answer->outcome != WSI_BUS_DONE)
        snprintf(census->why, sizeof census->why, "%s", answer->why);
    else if (census->room != NULL)
        r = list_people(census, answer);
    else
        r = list_nodes(census, answer, wsi_registry_spread(census->registry));
    if (r < 0)
        snprintf(census->why, sizeof census->why, "%s", wsock_strerror(r));
    if (census->owner->queue != NULL) {
        census->mail.run = run;
        wsi_queue_call(census->owner->queue, &census->mail);
        return;
    }
    call(census);
    free_census(census);
}

static struct census *new_census(struct wsi_registry *registry, void *user)
{
    struct census *census = wsi_zalloc(sizeof *census);

    if (census == NULL)
        return NULL;
    census->receipt.done = done;
    census->owner = wsi_owner_ref(registry->owner);
    census->registry = registry;
    census->user = user;
    return census;
}

int wsi_census_nodes(struct wsi_registry *registry, wsock_nodes_fn fn, void *user)
{
    struct wsi_spread *spread = wsi_registry_spread(registry);
    struct census *census;
    int r;

    if (spread == NULL)
        return WSOCK_ENOTSUP;
    census = new_census(registry, user);
    if (census == NULL)
        return WSOCK_ENOMEM;
    census->on_nodes = fn;
    r = wsi_spread_list(spread, NULL, &census->receipt);
    if (r < 0)
        free_census(census);
    return r;
}

int wsock_room_people_everywhere(wsock_room *room, wsock_people_fn fn, void *user)
{
    struct wsi_spread *spread;
    struct census *census;
    int r;

    if (room == NULL || fn == NULL)
        return WSOCK_EINVAL;
    spread = wsi_registry_spread(room->registry);
    if (spread == NULL)
        return WSOCK_ENOTSUP;
    census = new_census(room->registry, user);
    if (census == NULL)
        return WSOCK_ENOMEM;
    census->on_people = fn;
    census->room = wsock_room_ref(room);
    r = wsi_spread_list(spread, room->name, &census->receipt);
    if (r < 0)
        free_census(census);
    return r;
}
