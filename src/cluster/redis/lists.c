/* SPDX-License-Identifier: MIT */
/*
 * Who is in a room, or which nodes there are: first the nodes whose entries have not
 * expired, then the entries of each, in pages. A page may repeat what one before it had.
 */
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"
#include "core/buf.h"

static const char too_large[] = "the list is larger than cluster_answer_bytes";

struct listed {
    struct wsi_table_node node; /* in list_op.seen */
    struct listed *next;
    uint8_t id[WSI_BUS_NODE_ID_SIZE];
    size_t name_len, len;
    char text[]; /* the name, NUL, the bytes */
};

struct list_op {
    struct wsi_op op;
    struct wsi_key base;
    bool has_nodes;
    struct wsi_buf nodes; /* ids of WSI_BUS_NODE_ID_SIZE */
    size_t at;            /* the node that is being read */
    char cursor[24];
    struct wsi_table seen;
    struct listed *first, *last;
    size_t count, bytes;
};

static void list_fini(struct list_op *own)
{
    struct listed *entry = own->first;

    while (entry != NULL) {
        struct listed *next = entry->next;

        wsi_free(entry);
        entry = next;
    }
    wsi_table_fini(&own->seen);
    wsi_buf_fini(&own->nodes);
}

static void on_ended(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    list_fini((struct list_op *)(void *)op);
    wsi_op_fail(op, outcome == WSI_BUS_UNKNOWN ? WSI_BUS_FAILED : outcome, why);
}

static const uint8_t *node_at(const struct list_op *own)
{
    return own->nodes.data + own->at * WSI_BUS_NODE_ID_SIZE;
}

static int prepare(struct wsi_op *op, struct wsi_wire *wire)
{
    struct list_op *own = (struct list_op *)(void *)op;
    struct wsi_key key = own->base;
    struct wsi_args args = {.count = 0};
    char hex[WSI_NODE_HEX_SIZE];

    (void)wire;
    if (!own->has_nodes) {
        wsi_key_add(&key, ":n");
        wsi_args_script(&args, op->bus, WSI_SCRIPT_NODES, "1");
        wsi_args_add(&args, key.text);
    } else {
        wsi_node_hex(hex, node_at(own));
        wsi_key_add(&key, ":p:");
        wsi_key_add(&key, hex);
        wsi_args_add(&args, "HSCAN");
        wsi_args_add(&args, key.text);
        wsi_args_add(&args, own->cursor);
        wsi_args_add(&args, "COUNT");
        wsi_args_add(&args, "100");
    }
    return wsi_op_format_args(op, &args);
}

static void ask(struct list_op *own)
{
    struct wsi_op *op = &own->op;

    op->deadline_ms = wsi_bus_now(op->bus) + op->bus->timeout_ms;
    redisFreeCommand(op->command);
    op->command = NULL;
    wsi_topology_send(op);
}

static void finish(struct list_op *own)
{
    struct wsi_bus_entry *entries = wsi_alloc_array(own->count + 1, sizeof *entries);
    struct list_op kept = *own;
    struct wsi_bus_answer answer = {.outcome = WSI_BUS_DONE, .entries = entries};

    if (entries == NULL) {
        own->op.ended(&own->op, WSI_BUS_FAILED, "out of memory for a list");
        return;
    }
    for (const struct listed *at = own->first; at != NULL; at = at->next) {
        struct wsi_bus_entry *entry = &entries[answer.count++];

        memcpy(entry->node, at->id, sizeof entry->node);
        entry->name = at->text;
        entry->bytes = (struct wsi_bytes){at->text + at->name_len + 1, at->len};
    }
    wsi_op_finish(&own->op, &answer);
    list_fini(&kept);
    wsi_free(entries);
}

/* @return whether it was there already. */
static bool is_known(const struct list_op *own, uint64_t hash, const redisReply *name)
{
    struct wsi_table_node *node = wsi_table_find(&own->seen, hash);

    for (; node != NULL; node = wsi_table_find_next(node)) {
        const struct listed *entry = WSI_CONTAINER_OF(node, struct listed, node);

        if (entry->name_len == name->len &&
            memcmp(entry->text, name->str, name->len) == 0 &&
            memcmp(entry->id, node_at(own), sizeof entry->id) == 0)
            return true;
    }
    return false;
}

/* @return NULL, or why not. */
static const char *take_entry(struct list_op *own, const redisReply *name,
                              const redisReply *bytes)
{
    struct wsi_bus *bus = own->op.bus;
    struct listed *entry;
    uint64_t hash;

    if (name->type != REDIS_REPLY_STRING || bytes->type != REDIS_REPLY_STRING ||
        memchr(name->str, '\0', name->len) != NULL)
        return "the broker's answer makes no sense";
    hash = wsi_hash(&bus->hash_key, name->str, name->len);
    if (is_known(own, hash, name))
        return NULL;
    own->bytes += sizeof *entry + name->len + bytes->len;
    if (own->bytes > bus->answer_bytes)
        return too_large;
    entry = wsi_zalloc(sizeof *entry + name->len + 1 + bytes->len);
    if (entry == NULL)
        return "out of memory for a list";
    memcpy(entry->id, node_at(own), sizeof entry->id);
    entry->name_len = name->len;
    entry->len = bytes->len;
    memcpy(entry->text, name->str, name->len);
    memcpy(entry->text + name->len + 1, bytes->str, bytes->len);
    if (wsi_table_add(&own->seen, &entry->node, hash) < 0) {
        wsi_free(entry);
        return "out of memory for a list";
    }
    if (own->first == NULL)
        own->first = entry;
    else
        own->last->next = entry;
    own->last = entry;
    own->count++;
    return NULL;
}

static const char *take_nodes(struct list_op *own, const redisReply *reply)
{
    uint8_t id[WSI_BUS_NODE_ID_SIZE];

    own->has_nodes = true;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *hex = reply->element[i];

        if (hex->type != REDIS_REPLY_STRING || !wsi_node_from_hex(id, hex->str, hex->len))
            return "the broker's answer makes no sense";
        if (wsi_buf_append(&own->nodes, id, sizeof id, own->op.bus->answer_bytes) < 0)
            return "out of memory for a list";
    }
    return NULL;
}

/* [cursor, [name, bytes, ...]] */
static const char *take_page(struct list_op *own, const redisReply *reply)
{
    const redisReply *page = reply->elements == 2 ? reply->element[1] : NULL;
    const char *wrong = NULL;

    if (page == NULL || page->type != REDIS_REPLY_ARRAY || page->elements % 2 != 0 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[0]->len >= sizeof own->cursor)
        return "the broker's answer makes no sense";
    memcpy(own->cursor, reply->element[0]->str, reply->element[0]->len + 1);
    /* A page counts too, or there would be no end of empty ones. */
    own->bytes += sizeof(struct listed);
    if (own->bytes > own->op.bus->answer_bytes)
        wrong = too_large;
    for (size_t i = 0; i < page->elements && wrong == NULL; i += 2)
        wrong = take_entry(own, page->element[i], page->element[i + 1]);
    if (strcmp(own->cursor, "0") == 0)
        own->at++;
    return wrong;
}

static void on_answered(struct wsi_op *op, const redisReply *reply)
{
    struct list_op *own = (struct list_op *)(void *)op;
    const char *wrong;

    if (reply->type != REDIS_REPLY_ARRAY)
        wrong = "the broker's answer makes no sense";
    else
        wrong = own->has_nodes ? take_page(own, reply) : take_nodes(own, reply);
    if (wrong != NULL)
        op->ended(op, WSI_BUS_FAILED, wrong);
    else if (own->at * WSI_BUS_NODE_ID_SIZE == own->nodes.len)
        finish(own);
    else
        ask(own);
}

int wsi_presence_list(struct wsi_bus *bus, const char *room,
                      struct wsi_bus_receipt *receipt)
{
    struct list_op *own = (struct list_op *)(void *)wsi_op_new(bus, sizeof *own);

    if (own == NULL)
        return WSOCK_ENOMEM;
    wsi_key_base(&own->base, bus->prefix, room != NULL ? 'r' : 'l', room);
    own->op.slot = (uint16_t)wsi_key_slot(own->base.text, own->base.len);
    own->op.receipt = receipt;
    own->op.prepare = prepare;
    own->op.answered = on_answered;
    own->op.ended = on_ended;
    snprintf(own->cursor, sizeof own->cursor, "0");
    return wsi_op_submit(&own->op);
}
