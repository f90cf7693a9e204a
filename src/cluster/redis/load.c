/* SPDX-License-Identifier: MIT */
/*
 * What is kept of a room, in pages: no answer of the broker is large, however much it
 * keeps. When an epoch begins between two pages, all begins again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"
#include "core/buf.h"

enum {
    PAGE_MAX = 256 * 1024,
    TRIES = 4,
    READS = 64, /* times cluster_answer_bytes that are read in all */
    NUMBER_SIZE = 24,
    ID_SIZE = 48,
};

struct load_op {
    struct wsi_op op;
    struct wsi_key channel;
    struct wsi_bus_window window;
    struct wsi_bus_position seen;
    uint64_t epoch, newest, now_ms; /* what the last page said */
    uint64_t last;                  /* offset that was read */
    uint64_t read;                  /* bytes, what was dropped since included */
    unsigned tries;
    char from[ID_SIZE];
    struct wsi_buf bytes; /* of all messages, one behind the other */
    struct wsi_buf kept;  /* struct wsi_bus_kept; bytes.len alone is set */
};

static void load_free(struct load_op *own)
{
    wsi_buf_fini(&own->bytes);
    wsi_buf_fini(&own->kept);
}

static void on_ended(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    load_free((struct load_op *)(void *)op);
    /* Nothing is changed by asking. */
    wsi_op_fail(op, outcome == WSI_BUS_UNKNOWN ? WSI_BUS_FAILED : outcome, why);
}

static void begin(struct load_op *own)
{
    own->bytes.len = own->kept.len = 0;
    own->epoch = own->last = 0;
    snprintf(own->from, sizeof own->from, "-");
}

static int prepare(struct wsi_op *op, struct wsi_wire *wire)
{
    struct load_op *own = (struct load_op *)(void *)op;
    struct wsi_key state = own->channel, stream = own->channel;
    const size_t quarter = op->bus->answer_bytes / 4;
    char number[4][NUMBER_SIZE];
    const uint64_t numbers[4] = {own->window.time_ms, own->seen.epoch, own->seen.offset,
                                 quarter < PAGE_MAX ? quarter : PAGE_MAX};
    struct wsi_args args;

    (void)wire;
    for (int i = 0; i < 4; i++)
        snprintf(number[i], NUMBER_SIZE, "%" PRIu64, numbers[i]);
    wsi_key_add(&state, ":m");
    wsi_key_add(&stream, ":s");
    wsi_args_script(&args, op->bus, WSI_SCRIPT_LOAD, "2");
    wsi_args_add(&args, state.text);
    wsi_args_add(&args, stream.text);
    wsi_args_add(&args, number[0]);
    wsi_args_add(&args, number[1]);
    wsi_args_add(&args, number[2]);
    wsi_args_add(&args, own->from);
    wsi_args_add(&args, number[3]);
    return wsi_op_format_args(op, &args);
}

/* The next page, or the first one again. */
static void ask(struct load_op *own)
{
    struct wsi_op *op = &own->op;

    op->deadline_ms = wsi_bus_now(op->bus) + op->bus->timeout_ms;
    redisFreeCommand(op->command);
    op->command = NULL;
    wsi_topology_send(op);
}

/* "TIME-OFFSET" */
static bool read_id(struct wsi_bus_kept *kept, const redisReply *reply)
{
    char *end;

    if (reply->type != REDIS_REPLY_STRING || reply->len >= ID_SIZE - 1)
        return false;
    kept->time_ms = (int64_t)strtoull(reply->str, &end, 10);
    if (*end != '-')
        return false;
    kept->offset = strtoull(end + 1, &end, 10);
    kept->prev = kept->offset - 1;
    return *end == '\0' && kept->offset > 0;
}

/* There is more than may be held: the newer half is worth more. */
static void drop_half(struct load_op *own)
{
    const struct wsi_bus_kept *kept = (struct wsi_bus_kept *)(void *)own->kept.data;
    const size_t half = (own->kept.len / sizeof *kept + 1) / 2;
    size_t bytes = 0;

    for (size_t i = 0; i < half; i++)
        bytes += kept[i].bytes.len;
    wsi_buf_consume(&own->bytes, bytes);
    wsi_buf_consume(&own->kept, half * sizeof *kept);
}

static int take_entry(struct load_op *own, const redisReply *id, const redisReply *bytes)
{
    const size_t limit = own->op.bus->answer_bytes;
    struct wsi_bus_kept kept;
    int r;

    /* Offsets rise, or there would be no end. */
    if (bytes->type != REDIS_REPLY_STRING || !read_id(&kept, id) ||
        kept.offset <= own->last || kept.offset > own->newest)
        return WSOCK_EPROTOCOL;
    kept.bytes = (struct wsi_bytes){NULL, bytes->len};
    own->last = kept.offset;
    own->read += sizeof kept + bytes->len;
    if (own->read / READS > limit)
        return WSOCK_EAGAIN;
    while (own->kept.len > 0 &&
           own->bytes.len + own->kept.len + bytes->len + sizeof kept > limit)
        drop_half(own);
    r = wsi_buf_append(&own->bytes, bytes->str, bytes->len, limit);
    if (r == 0)
        r = wsi_buf_append(&own->kept, &kept, sizeof kept, limit);
    snprintf(own->from, sizeof own->from, "(%s", id->str);
    return r;
}

/* The newest ones that are within the window, without a gap among them: the rest was
 * dropped while it was read. */
static size_t first_in_window(const struct load_op *own, const struct wsi_bus_kept *kept,
                              size_t count)
{
    uint64_t bytes = 0, messages = 0;
    size_t at = count;

    while (at > 0) {
        const struct wsi_bus_kept *next = &kept[at - 1];

        messages++;
        bytes += next->bytes.len;
        if ((own->window.messages != 0 && messages > own->window.messages) ||
            (own->window.bytes != 0 && bytes > own->window.bytes) ||
            (at < count && next->offset + 1 != kept[at].offset))
            break;
        at--;
    }
    return at;
}

static void finish(struct load_op *own)
{
    const size_t count = own->kept.len / sizeof(struct wsi_bus_kept);
    struct wsi_bus_kept *kept = (struct wsi_bus_kept *)(void *)own->kept.data;
    struct wsi_buf bytes = own->bytes, memory = own->kept;
    struct wsi_bus_answer answer = {.outcome = WSI_BUS_DONE,
                                    .position = {own->epoch, own->newest},
                                    .time_ms = (int64_t)own->now_ms};
    const uint8_t *at = bytes.data;
    size_t first;

    for (size_t i = 0; i < count; i++) {
        kept[i].bytes.data = at;
        at += kept[i].bytes.len;
    }
    /* What ends before the newest has a gap there: it expired while it was read. */
    first = count > 0 && kept[count - 1].offset == own->newest
                ? first_in_window(own, kept, count)
                : count;
    if (first < count) {
        answer.kept = &kept[first];
        answer.count = count - first;
    }
    wsi_op_finish(&own->op, &answer);
    wsi_buf_fini(&bytes);
    wsi_buf_fini(&memory);
}

static void fail(struct load_op *own, int r)
{
    const char *why = "out of memory for what is kept of a room";

    if (r == WSOCK_EPROTOCOL) {
        wsi_op_nonsense(&own->op);
        return;
    }
    if (r == WSOCK_ETOOBIG)
        why = "a message is larger than cluster_answer_bytes";
    else if (r == WSOCK_EAGAIN)
        why = "of a room far more is kept than cluster_answer_bytes";
    own->op.ended(&own->op, WSI_BUS_FAILED, why);
}

static void on_page(struct wsi_op *op, const redisReply *reply)
{
    struct load_op *own = (struct load_op *)(void *)op;
    uint64_t n[3];
    int r = 0;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 1 ||
        !wsi_numbers(n, reply->element[0])) {
        wsi_op_nonsense(op);
        return;
    }
    if (own->epoch != 0 && own->epoch != n[0]) {
        begin(own);
        if (own->tries++ == TRIES)
            op->ended(op, WSI_BUS_FAILED, "the room begins anew over and over");
        else
            ask(own);
        return;
    }
    own->epoch = n[0];
    own->newest = n[1];
    own->now_ms = n[2];
    for (size_t i = 1; i < reply->elements && r == 0; i += 2)
        r = take_entry(own, reply->element[i], reply->element[i + 1]);
    if (r != 0)
        fail(own, r);
    else if (reply->elements == 1)
        finish(own);
    else
        ask(own);
}

int wsi_load_submit(struct wsi_bus *bus, const char *room,
                    const struct wsi_bus_window *window,
                    const struct wsi_bus_position *seen, struct wsi_bus_receipt *receipt)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = room};
    struct load_op *own = (struct load_op *)(void *)wsi_op_new(bus, sizeof *own);

    if (own == NULL)
        return WSOCK_ENOMEM;
    wsi_key_channel(&own->channel, bus->prefix, &channel);
    own->op.slot = (uint16_t)wsi_key_slot(own->channel.text, own->channel.len);
    own->op.receipt = receipt;
    own->op.prepare = prepare;
    own->op.answered = on_page;
    own->op.ended = on_ended;
    own->window = *window;
    own->seen = *seen;
    begin(own);
    return wsi_op_submit(&own->op);
}
