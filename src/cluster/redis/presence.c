/* SPDX-License-Identifier: MIT */
/*
 * What this node says of itself and of who is in rooms: kept here, and at the broker in a
 * hash that expires. Each beat renews it, and says all of it again where the broker has
 * another number of entries than there are, or was away.
 */
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/runtime.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"

enum { BATCH_ENTRIES = 64, BATCH_BYTES = 256 * 1024 };

/* A room with entries of this node, or the list of nodes, which has no name. */
struct wsi_here {
    struct wsi_table_node node; /* in bus->rooms */
    struct wsi_list link;       /* in bus->idle_rooms or due_rooms */
    struct wsi_list entries;
    size_t count;
    uint16_t slot;
    bool is_said; /* the broker has all that is here */
    size_t len;
    char base[]; /* its keys, up to the colon */
};

struct entry {
    struct wsi_table_node node; /* in bus->entries */
    struct wsi_list link;       /* in here->entries */
    struct wsi_here *here;
    size_t name_len, len;
    char text[]; /* the name, NUL, the bytes */
};

/* ---- tables ---- */

static uint64_t hash_entry(const struct wsi_bus *bus, const struct wsi_here *here,
                           const char *name)
{
    return wsi_hash(&bus->hash_key, name, strlen(name)) ^ here->node.hash;
}

static struct wsi_here *find_room(struct wsi_bus *bus, const struct wsi_key *base)
{
    const uint64_t hash = wsi_hash(&bus->hash_key, base->text, base->len);
    struct wsi_table_node *node = wsi_table_find(&bus->rooms, hash);

    for (; node != NULL; node = wsi_table_find_next(node)) {
        struct wsi_here *here = WSI_CONTAINER_OF(node, struct wsi_here, node);

        if (here->len == base->len && memcmp(here->base, base->text, base->len) == 0)
            return here;
    }
    return NULL;
}

/* In no table yet. */
static struct wsi_here *room_new(const struct wsi_key *base)
{
    struct wsi_here *here = wsi_zalloc(sizeof *here + base->len + 1);

    if (here == NULL)
        return NULL;
    here->len = base->len;
    memcpy(here->base, base->text, base->len + 1);
    here->slot = (uint16_t)wsi_key_slot(base->text, base->len);
    wsi_list_init(&here->entries);
    return here;
}

/* @return 0; WSOCK_ENOMEM for the first of all. */
static int room_add(struct wsi_bus *bus, struct wsi_here *here)
{
    const int r = wsi_table_add(&bus->rooms, &here->node,
                                wsi_hash(&bus->hash_key, here->base, here->len));

    if (r == 0)
        wsi_list_append(&bus->idle_rooms, &here->link);
    return r;
}

static void drop_room(struct wsi_bus *bus, struct wsi_here *here)
{
    wsi_table_remove(&bus->rooms, &here->node);
    wsi_list_remove(&here->link);
    wsi_free(here);
}

static struct entry *find_entry(struct wsi_bus *bus, const struct wsi_here *here,
                                const char *name)
{
    struct wsi_table_node *node = wsi_table_find(&bus->entries,
                                                 hash_entry(bus, here, name));

    for (; node != NULL; node = wsi_table_find_next(node)) {
        struct entry *entry = WSI_CONTAINER_OF(node, struct entry, node);

        if (entry->here == here && strcmp(entry->text, name) == 0)
            return entry;
    }
    return NULL;
}

static void drop_entry(struct wsi_bus *bus, struct entry *entry)
{
    wsi_table_remove(&bus->entries, &entry->node);
    wsi_list_remove(&entry->link);
    entry->here->count--;
    wsi_free(entry);
}

/* In no table yet. */
static struct entry *entry_new(const char *name, struct wsi_bytes bytes)
{
    const size_t name_len = strlen(name);
    struct entry *entry = wsi_zalloc(sizeof *entry + name_len + 1 + bytes.len);

    if (entry == NULL)
        return NULL;
    entry->name_len = name_len;
    entry->len = bytes.len;
    memcpy(entry->text, name, name_len + 1);
    if (bytes.len > 0)
        memcpy(entry->text + name_len + 1, bytes.data, bytes.len);
    return entry;
}

/* @return 0; WSOCK_ENOMEM for the first of all. */
static int entry_add(struct wsi_bus *bus, struct wsi_here *here, struct entry *entry)
{
    const int r = wsi_table_add(&bus->entries, &entry->node,
                                hash_entry(bus, here, entry->text));

    if (r < 0)
        return r;
    entry->here = here;
    wsi_list_append(&here->entries, &entry->link);
    here->count++;
    return 0;
}

int wsi_presence_init(struct wsi_bus *bus)
{
    const struct wsi_bytes nothing = {NULL, 0};
    struct wsi_here *here;
    struct entry *entry;
    struct wsi_key base;

    wsi_key_base(&base, bus->prefix, 'l', NULL);
    here = room_new(&base);
    if (here == NULL || room_add(bus, here) < 0) {
        wsi_free(here);
        return WSOCK_ENOMEM;
    }
    entry = entry_new("", nothing);
    if (entry == NULL || entry_add(bus, here, entry) < 0) {
        wsi_free(entry);
        return WSOCK_ENOMEM;
    }
    return 0;
}

/* ---- saying it ---- */

struct say_op {
    struct wsi_op op;
    bool renews;
    size_t count;
    uint64_t hash; /* of the room, which may be gone when the answer comes */
};

/* Whatever it was, the next beat looks whether the broker has all. */
static void doubt(struct wsi_bus *bus, uint64_t hash)
{
    struct wsi_table_node *node = wsi_table_find(&bus->rooms, hash);

    for (; node != NULL; node = wsi_table_find_next(node))
        WSI_CONTAINER_OF(node, struct wsi_here, node)->is_said = false;
}

static void pump(struct wsi_bus *bus);

static void on_said(struct wsi_op *op, const redisReply *reply)
{
    const struct say_op own = *(struct say_op *)(void *)op;
    struct wsi_bus *bus = op->bus;
    const bool agrees = reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0 &&
                        (size_t)reply->integer == own.count;

    wsi_op_free(op);
    bus->renewing -= own.renews;
    if (own.renews && !agrees)
        doubt(bus, own.hash);
    pump(bus);
}

static void on_not_said(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    const struct say_op own = *(struct say_op *)(void *)op;
    struct wsi_bus *bus = op->bus;

    wsi_op_free(op);
    bus->renewing -= own.renews;
    doubt(bus, own.hash);
    if (outcome == WSI_BUS_FAILED && bus->closing == WSI_BUS_OPEN)
        wsi_adapter_log(&bus->services, WSOCK_LOG_WARN, "Redis takes no presence: %s",
                        why);
}

/* The script's name and keys. */
static void begin_args(struct wsi_args *args, const struct wsi_bus *bus,
                       const struct wsi_here *here, enum wsi_script script,
                       struct wsi_key keys[2])
{
    for (int i = 0; i < 2; i++) {
        memcpy(keys[i].text, here->base, here->len + 1);
        keys[i].len = here->len;
        wsi_key_add(&keys[i], i == 0 ? ":n" : ":p:");
    }
    wsi_key_add(&keys[1], bus->node_hex);
    wsi_args_script(args, bus, script, "2");
    wsi_args_add(args, keys[0].text);
    wsi_args_add(args, keys[1].text);
    wsi_args_add(args, bus->node_hex);
}

static void lifetime(const struct wsi_bus *bus, char out[24])
{
    snprintf(out, 24, "%llu", (unsigned long long)(3 * bus->beat_ms));
}

static bool is_ready(struct wsi_bus *bus, const struct wsi_here *here)
{
    const struct wsi_peer *peer = wsi_topology_peer(bus, here->slot);

    return peer->commands != NULL && peer->commands->ready;
}

static bool send(struct wsi_bus *bus, const struct wsi_here *here,
                 const struct wsi_args *args, bool renews)
{
    struct say_op *own = (struct say_op *)(void *)wsi_op_new(bus, sizeof *own);

    if (own == NULL || wsi_op_format_args(&own->op, args) < 0) {
        if (own != NULL)
            wsi_op_free(&own->op);
        return false;
    }
    own->renews = renews;
    own->count = here->count;
    own->hash = here->node.hash;
    own->op.slot = here->slot;
    own->op.answered = on_said;
    own->op.ended = on_not_said;
    own->op.deadline_ms = wsi_bus_now(bus) + bus->timeout_ms;
    bus->renewing += renews;
    wsi_topology_send(&own->op);
    return true;
}

static void add_entry_args(struct wsi_args *args, const struct entry *entry)
{
    wsi_args_add_bytes(args, entry->text, entry->name_len);
    wsi_args_add_bytes(args, entry->text + entry->name_len + 1, entry->len);
}

/* All of a room, in batches of which the first begins anew. */
static void say_all(struct wsi_bus *bus, struct wsi_here *here)
{
    struct wsi_list *at = here->entries.next;
    struct wsi_key keys[2];
    struct wsi_args args;
    char life[24];
    bool first = true;

    lifetime(bus, life);
    here->is_said = true;
    while (at != &here->entries && here->is_said) {
        size_t bytes = 0;

        begin_args(&args, bus, here, WSI_SCRIPT_PRESENT, keys);
        wsi_args_add(&args, life);
        wsi_args_add(&args, first ? "1" : "0");
        for (int n = 0; n < BATCH_ENTRIES && bytes < BATCH_BYTES && at != &here->entries;
             n++, at = at->next) {
            const struct entry *entry = WSI_CONTAINER_OF(at, struct entry, link);

            bytes += entry->name_len + entry->len;
            add_entry_args(&args, entry);
        }
        if (!send(bus, here, &args, false))
            here->is_said = false;
        first = false;
    }
}

static void say_renewal(struct wsi_bus *bus, const struct wsi_here *here)
{
    struct wsi_key keys[2];
    struct wsi_args args;
    char life[24];

    lifetime(bus, life);
    begin_args(&args, bus, here, WSI_SCRIPT_RENEW, keys);
    wsi_args_add(&args, life);
    send(bus, here, &args, true);
}

/* Renew what is due, some at a time. */
static void pump(struct wsi_bus *bus)
{
    if (bus->closing != WSI_BUS_OPEN)
        return;
    while (bus->renewing < WSI_PRESENT_MAX && !wsi_list_is_empty(&bus->due_rooms)) {
        struct wsi_here *here = WSI_CONTAINER_OF(bus->due_rooms.next, struct wsi_here,
                                                 link);

        wsi_list_remove(&here->link);
        wsi_list_append(&bus->idle_rooms, &here->link);
        if (!is_ready(bus, here))
            here->is_said = false;
        else if (here->is_said)
            say_renewal(bus, here);
        else
            say_all(bus, here);
    }
}

/* ---- the beat ---- */

static void on_heard(struct wsi_op *op, const redisReply *reply)
{
    op->bus->is_heard = reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
    wsi_op_free(op);
}

static void on_not_heard(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    (void)outcome, (void)why;
    wsi_op_free(op);
}

static void on_set(struct wsi_op *op, const redisReply *reply)
{
    (void)reply;
    wsi_op_free(op);
}

/* In a cluster: does somebody hear all rooms? We do, or ask. */
static void look_for_listeners(struct wsi_bus *bus)
{
    struct wsi_op *op = wsi_op_new(bus, sizeof *op);
    struct wsi_args args = {.count = 0};
    struct wsi_key key;
    char life[24];

    if (op == NULL)
        return;
    lifetime(bus, life);
    wsi_key_base(&key, bus->prefix, 'b', NULL);
    wsi_args_add(&args, bus->pattern != NULL ? "SET" : "EXISTS");
    wsi_args_add(&args, key.text);
    if (bus->pattern != NULL) {
        wsi_args_add(&args, "1");
        wsi_args_add(&args, "PX");
        wsi_args_add(&args, life);
        bus->is_heard = true;
    }
    op->slot = (uint16_t)wsi_key_slot(key.text, key.len);
    op->answered = bus->pattern != NULL ? on_set : on_heard;
    op->ended = on_not_heard;
    op->deadline_ms = wsi_bus_now(bus) + bus->timeout_ms;
    if (wsi_op_format_args(op, &args) < 0)
        wsi_op_free(op);
    else
        wsi_topology_send(op);
}

void wsi_presence_beat(struct wsi_bus *bus)
{
    while (!wsi_list_is_empty(&bus->idle_rooms)) {
        struct wsi_list *node = bus->idle_rooms.next;

        wsi_list_remove(node);
        wsi_list_append(&bus->due_rooms, node);
    }
    if (atomic_load(&bus->is_cluster) && bus->is_up)
        look_for_listeners(bus);
    pump(bus);
}

void wsi_presence_again(struct wsi_bus *bus, const struct wsi_peer *peer)
{
    WSI_LIST_EACH(node, &bus->idle_rooms)
    {
        struct wsi_here *here = WSI_CONTAINER_OF(node, struct wsi_here, link);

        if (wsi_topology_peer(bus, here->slot) != peer)
            continue;
        here->is_said = false;
        wsi_list_remove(node);
        wsi_list_append(&bus->due_rooms, node);
    }
    pump(bus);
}

void wsi_presence_leave(struct wsi_bus *bus)
{
    struct wsi_list *const lists[] = {&bus->idle_rooms, &bus->due_rooms};
    struct wsi_key keys[2];
    struct wsi_args args;

    for (size_t i = 0; i < 2; i++)
        WSI_LIST_EACH(node, lists[i])
        {
            const struct wsi_here *here = WSI_CONTAINER_OF(node, struct wsi_here, link);

            if (!is_ready(bus, here))
                continue;
            begin_args(&args, bus, here, WSI_SCRIPT_ABSENT, keys);
            send(bus, here, &args, false);
        }
}

void wsi_presence_fini(struct wsi_bus *bus)
{
    struct wsi_list *const lists[] = {&bus->idle_rooms, &bus->due_rooms};

    for (size_t i = 0; i < 2; i++)
        WSI_LIST_EACH(node, lists[i])
        {
            struct wsi_here *here = WSI_CONTAINER_OF(node, struct wsi_here, link);

            WSI_LIST_EACH(at, &here->entries)
            {
                drop_entry(bus, WSI_CONTAINER_OF(at, struct entry, link));
            }
            drop_room(bus, here);
        }
    wsi_table_fini(&bus->rooms);
    wsi_table_fini(&bus->entries);
}

/* ---- coming and going ---- */

/* Memory is asked for where its want can be told. */
struct presence_op {
    struct wsi_op op;
    struct wsi_key base;
    struct entry *entry;    /* (owned) of who comes, or the name of who goes */
    struct wsi_here *fresh; /* (owned, nullable) of who comes, if he is the first */
};

static void come(struct wsi_bus *bus, struct presence_op *own)
{
    struct wsi_here *here = find_room(bus, &own->base);
    struct entry *entry = own->entry, *before;
    struct wsi_key keys[2];
    struct wsi_args args;
    char life[24];

    if (here == NULL) {
        here = own->fresh;
        own->fresh = NULL;
        (void)room_add(bus, here); /* it is not the first */
    }
    own->entry = NULL;
    before = find_entry(bus, here, entry->text);
    (void)entry_add(bus, here, entry);
    if (before != NULL)
        drop_entry(bus, before);
    if (!is_ready(bus, here)) {
        here->is_said = false;
        return;
    }
    lifetime(bus, life);
    begin_args(&args, bus, here, WSI_SCRIPT_PRESENT, keys);
    wsi_args_add(&args, life);
    wsi_args_add(&args, here->count == 1 ? "1" : "0");
    add_entry_args(&args, entry);
    if (here->count == 1)
        here->is_said = true;
    if (!send(bus, here, &args, false))
        here->is_said = false;
}

static void go(struct wsi_bus *bus, const struct presence_op *own)
{
    struct wsi_here *here = find_room(bus, &own->base);
    struct entry *entry = here != NULL ? find_entry(bus, here, own->entry->text) : NULL;
    struct wsi_key keys[2];
    struct wsi_args args;

    if (entry == NULL)
        return;
    drop_entry(bus, entry);
    begin_args(&args, bus, here, WSI_SCRIPT_ABSENT, keys);
    wsi_args_add_bytes(&args, own->entry->text, own->entry->name_len);
    if (!is_ready(bus, here) || !send(bus, here, &args, false))
        here->is_said = false;
    if (here->count == 0)
        drop_room(bus, here);
}

static void presence_fini(struct presence_op *own)
{
    wsi_free(own->entry);
    wsi_free(own->fresh);
}

static void run_come(struct wsi_op *op)
{
    struct presence_op *own = (struct presence_op *)(void *)op;

    come(op->bus, own);
    presence_fini(own);
    wsi_op_fail(op, WSI_BUS_DONE, NULL);
}

static void run_go(struct wsi_op *op)
{
    struct presence_op *own = (struct presence_op *)(void *)op;

    go(op->bus, own);
    presence_fini(own);
    wsi_op_fail(op, WSI_BUS_DONE, NULL);
}

int wsi_presence_submit(struct wsi_bus *bus, const char *room, const char *name,
                        struct wsi_bytes bytes, bool on)
{
    struct presence_op *own = (struct presence_op *)(void *)wsi_op_new(bus, sizeof *own);
    struct presence_op made;
    int r;

    if (own == NULL)
        return WSOCK_ENOMEM;
    wsi_key_base(&own->base, bus->prefix, room != NULL ? 'r' : 'l', room);
    own->entry = entry_new(name, bytes);
    own->fresh = on ? room_new(&own->base) : NULL;
    own->op.run = on ? run_come : run_go;
    own->op.is_due = !on;
    own->op.cost += bytes.len;
    made = *own;
    if (own->entry == NULL || (on && own->fresh == NULL)) {
        wsi_op_free(&own->op);
        r = WSOCK_ENOMEM;
    } else {
        r = wsi_op_submit(&own->op);
    }
    if (r < 0)
        presence_fini(&made);
    return r;
}

int wsi_presence_describe(struct wsi_bus *bus, struct wsi_bytes bytes)
{
    return wsi_presence_submit(bus, NULL, "", bytes, true);
}
