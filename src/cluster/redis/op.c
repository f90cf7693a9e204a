/* SPDX-License-Identifier: MIT */
/* One command: made, counted, handed over, and told about. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"
#include "core/str.h"

struct wsi_op *wsi_op_new(struct wsi_bus *bus, size_t size)
{
    struct wsi_op *op = wsi_zalloc(size);

    if (op == NULL)
        return NULL;
    op->bus = bus;
    op->cost = size;
    op->slot = WSI_NO_SLOT;
    op->ended = wsi_op_fail;
    return op;
}

void wsi_op_free(struct wsi_op *op)
{
    if (op->command != NULL)
        redisFreeCommand(op->command);
    wsi_free(op);
}

void wsi_args_add_bytes(struct wsi_args *args, const void *data, size_t len)
{
    assert(args->count < WSI_ARGS_MAX);
    args->text[args->count] = len > 0 ? data : "";
    args->len[args->count++] = len;
}

void wsi_args_add(struct wsi_args *args, const char *text)
{
    wsi_args_add_bytes(args, text, strlen(text));
}

void wsi_args_script(struct wsi_args *args, const struct wsi_bus *bus,
                     enum wsi_script script, const char *keys)
{
    args->count = 0;
    wsi_args_add(args, "EVALSHA");
    wsi_args_add(args, bus->sha[script]);
    wsi_args_add(args, keys);
}

int wsi_op_format_args(struct wsi_op *op, const struct wsi_args *args)
{
    /* hiredis does not write to the texts, and lacks the const that would say so. */
    const char *text[WSI_ARGS_MAX];
    char *command = NULL;
    int len;

    memcpy(text, args->text, (size_t)args->count * sizeof *text);
    len = redisFormatCommandArgv(&command, args->count, text, args->len);
    if (len < 0)
        return WSOCK_ENOMEM;
    if (op->command != NULL)
        redisFreeCommand(op->command);
    op->command = command;
    op->command_len = (size_t)len;
    return 0;
}

static int submit(struct wsi_bus *bus, struct wsi_op *op)
{
    int r = 0;

    pthread_mutex_lock(&bus->lock);
    if (bus->refuses) {
        r = WSOCK_ECLOSED;
    } else {
        if (bus->newest != NULL)
            bus->newest->next = op;
        else
            bus->outbox = op;
        bus->newest = op;
        bus->services.link_post(bus->control);
    }
    pthread_mutex_unlock(&bus->lock);
    return r;
}

int wsi_op_submit(struct wsi_op *op)
{
    struct wsi_bus *bus = op->bus;
    size_t before;
    int r;

    op->cost += op->command_len;
    op->next = NULL;
    op->deadline_ms = wsi_bus_now(bus) + bus->timeout_ms;
    before = atomic_fetch_add(&bus->queued, op->cost);
    if (!op->is_due &&
        (before >= bus->queue_bytes || op->cost > bus->queue_bytes - before))
        r = WSOCK_EAGAIN;
    else
        r = submit(bus, op);
    if (r < 0) {
        atomic_fetch_sub(&bus->queued, op->cost);
        wsi_op_free(op);
    }
    return r;
}

void wsi_op_finish(struct wsi_op *op, const struct wsi_bus_answer *answer)
{
    if (!op->is_internal)
        atomic_fetch_sub(&op->bus->queued, op->cost);
    if (op->receipt != NULL)
        op->receipt->done(op->receipt, answer);
    wsi_op_free(op);
}

void wsi_op_fail(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    const struct wsi_bus_answer answer = {.outcome = outcome, .why = why};

    wsi_op_finish(op, &answer);
}

void wsi_op_nonsense(struct wsi_op *op)
{
    op->ended(op, WSI_BUS_UNKNOWN, "the broker's answer makes no sense");
}

/* Of an answer to AUTH only its code: a broker may repeat what it was told. */
void wsi_error_text(char *out, const char *error, size_t len, bool is_secret)
{
    size_t n = 0;

    if (is_secret) {
        while (n < len && n < 20 && error[n] >= 'A' && error[n] <= 'Z')
            n++;
        snprintf(out, WSI_BUS_WHY_SIZE, "it refuses the user or the password: %.*s",
                 (int)n, error);
        return;
    }
    n = len < WSI_BUS_WHY_SIZE - 1 ? len : WSI_BUS_WHY_SIZE - 1;
    memcpy(out, error, n);
    out[n] = '\0';
    wsi_str_flatten_ascii(out);
}
