/* SPDX-License-Identifier: MIT */
/*
 * Messages, there and back. What is published begins with a letter: 'p' and the bytes,
 * or 'k', epoch, offset and time in eight bytes each, and the bytes of one that is kept.
 * A Redis Cluster has no pattern for sharded channels: while somebody hears all rooms,
 * what is said in rooms goes out a second time, to all its nodes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"

enum { PLAIN_HEADER = 1, KEPT_HEADER = 25, NUMBER_SIZE = 24 };

struct message_op {
    struct wsi_op op;
    struct wsi_key channel;
    bool is_room;
    /* of one that is kept: */
    struct wsi_bus_id id;
    struct wsi_bus_window window;
    struct wsi_bus_position seen;
    size_t len;
    char bytes[];
};

/* @param header bytes before it */
static struct message_op *message_new(struct wsi_bus *bus,
                                      const struct wsi_bus_channel *channel,
                                      struct wsi_bytes bytes, size_t header,
                                      struct wsi_bus_receipt *receipt)
{
    struct message_op *own = (struct message_op *)(void *)wsi_op_new(
        bus, sizeof *own + header + bytes.len);

    if (own == NULL)
        return NULL;
    wsi_key_channel(&own->channel, bus->prefix, channel);
    own->is_room = channel->kind == WSI_BUS_ROOM;
    own->op.slot = (uint16_t)wsi_key_slot(own->channel.text, own->channel.len);
    own->op.receipt = receipt;
    own->len = header + bytes.len;
    if (bytes.len > 0)
        memcpy(own->bytes + header, bytes.data, bytes.len);
    return own;
}

/* ---- plain ones ---- */

static void on_published(struct wsi_op *op, const redisReply *reply)
{
    const struct wsi_bus_answer answer = {.outcome = WSI_BUS_DONE};

    if (reply->type != REDIS_REPLY_INTEGER)
        wsi_op_nonsense(op);
    else
        wsi_op_finish(op, &answer);
}

static void publish_args(struct wsi_args *args, const char *verb,
                         const struct message_op *own)
{
    args->count = 0;
    wsi_args_add(args, verb);
    wsi_args_add_bytes(args, own->channel.text, own->channel.len);
    wsi_args_add_bytes(args, own->bytes, own->len);
}

static int prepare_publish(struct wsi_op *op, struct wsi_wire *wire)
{
    const struct message_op *own = (struct message_op *)(void *)op;
    const bool is_cluster = atomic_load(&op->bus->is_cluster);
    struct wsi_args args;

    if (is_cluster && own->is_room && op->bus->is_heard) {
        publish_args(&args, "PUBLISH", own);
        wsi_wire_mention(wire, &args);
    }
    publish_args(&args, is_cluster ? "SPUBLISH" : "PUBLISH", own);
    return wsi_op_format_args(op, &args);
}

int wsi_messages_publish(struct wsi_bus *bus, const struct wsi_bus_channel *channel,
                         struct wsi_bytes bytes, struct wsi_bus_receipt *receipt)
{
    struct message_op *own = message_new(bus, channel, bytes, PLAIN_HEADER, receipt);

    if (own == NULL)
        return WSOCK_ENOMEM;
    own->bytes[0] = 'p';
    own->op.prepare = prepare_publish;
    own->op.answered = on_published;
    return wsi_op_submit(&own->op);
}

/* ---- those that are kept ---- */

bool wsi_numbers(uint64_t out[3], const redisReply *reply)
{
    const char *at = reply->str;
    char *end;

    if (reply->type != REDIS_REPLY_STRING)
        return false;
    for (int i = 0; i < 3; i++) {
        if (*at < '0' || *at > '9')
            return false;
        out[i] = strtoull(at, &end, 10);
        if (*end != (i < 2 ? ' ' : '\0'))
            return false;
        at = end + 1;
    }
    return true;
}

static void on_appended(struct wsi_op *op, const redisReply *reply)
{
    struct wsi_bus_answer answer = {.outcome = WSI_BUS_DONE};
    uint64_t n[3];

    if (reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "unknown") == 0) {
        op->ended(op, WSI_BUS_UNKNOWN,
                  "the broker keeps too little to tell whether it has it already");
    } else if (!wsi_numbers(n, reply)) {
        wsi_op_nonsense(op);
    } else {
        answer.position = (struct wsi_bus_position){n[0], n[1]};
        answer.time_ms = (int64_t)n[2];
        wsi_op_finish(op, &answer);
    }
}

static void add_number(struct wsi_args *args, char text[NUMBER_SIZE], uint64_t number)
{
    snprintf(text, NUMBER_SIZE, "%" PRIu64, number);
    wsi_args_add(args, text);
}

static int prepare_append(struct wsi_op *op, struct wsi_wire *wire)
{
    const struct message_op *own = (struct message_op *)(void *)op;
    struct wsi_key state = own->channel, stream = own->channel, mine = own->channel;
    const bool is_cluster = atomic_load(&op->bus->is_cluster);
    char node[WSI_NODE_HEX_SIZE], number[6][NUMBER_SIZE];
    struct wsi_args args;

    (void)wire;
    wsi_node_hex(node, own->id.node);
    wsi_key_add(&state, ":m");
    wsi_key_add(&stream, ":s");
    wsi_key_add(&mine, ":d:");
    wsi_key_add(&mine, node);
    wsi_args_script(&args, op->bus, WSI_SCRIPT_APPEND, "3");
    wsi_args_add(&args, state.text);
    wsi_args_add(&args, stream.text);
    wsi_args_add(&args, mine.text);
    wsi_args_add_bytes(&args, own->bytes, own->len);
    wsi_args_add(&args, node);
    add_number(&args, number[0], own->id.seq);
    add_number(&args, number[1], own->window.messages);
    add_number(&args, number[2], own->window.time_ms);
    add_number(&args, number[3], own->window.bytes);
    add_number(&args, number[4], own->seen.epoch);
    add_number(&args, number[5], own->seen.offset);
    wsi_args_add(&args, own->channel.text);
    wsi_args_add(&args, !is_cluster ? "p" : op->bus->is_heard ? "b" : "s");
    return wsi_op_format_args(op, &args);
}

int wsi_messages_append(struct wsi_bus *bus, const char *room, struct wsi_bytes bytes,
                        const struct wsi_bus_id *id, const struct wsi_bus_window *window,
                        const struct wsi_bus_position *seen,
                        struct wsi_bus_receipt *receipt)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = room};
    struct message_op *own = message_new(bus, &channel, bytes, 0, receipt);

    if (own == NULL)
        return WSOCK_ENOMEM;
    own->id = *id;
    own->window = *window;
    own->seen = *seen;
    own->op.prepare = prepare_append;
    own->op.answered = on_appended;
    return wsi_op_submit(&own->op);
}

/* ---- back ---- */

static uint64_t eight_bytes(const char *at)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

/* What somebody else published on our channel is none of ours. */
void wsi_messages_arrived(struct wsi_bus *bus, const struct wsi_bus_channel *channel,
                          const char *data, size_t len)
{
    struct wsi_bytes bytes;
    struct wsi_bus_kept kept;

    if (len >= PLAIN_HEADER && data[0] == 'p') {
        bytes = (struct wsi_bytes){data + PLAIN_HEADER, len - PLAIN_HEADER};
        bus->user->arrived(bus->user, channel, 0, NULL, bytes);
    } else if (len >= KEPT_HEADER && data[0] == 'k') {
        bytes = (struct wsi_bytes){data + KEPT_HEADER, len - KEPT_HEADER};
        kept = (struct wsi_bus_kept){.offset = eight_bytes(data + 9),
                                     .time_ms = (int64_t)eight_bytes(data + 17),
                                     .bytes = bytes};
        if (kept.offset == 0)
            return;
        kept.prev = kept.offset - 1;
        bus->user->arrived(bus->user, channel, eight_bytes(data + 1), &kept, bytes);
    }
}
