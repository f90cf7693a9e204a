/* SPDX-License-Identifier: MIT */
/* Things to do, from their callers to their ends: the outbox, replies, deadlines. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"

struct wsi_op *wsi_op_new(struct wsi_bus *bus, size_t size, void (*run)(struct wsi_op *))
{
    struct wsi_op *op = wsi_zalloc(size);

    if (op == NULL)
        return NULL;
    op->bus = bus;
    op->run = run;
    op->ended = wsi_op_fail;
    wsi_list_init(&op->node);
    wsi_list_init(&op->paging);
    return op;
}

void wsi_op_forget(struct wsi_op *op)
{
    wsi_list_remove(&op->node);
    wsi_list_remove(&op->paging);
    if (op->token != 0)
        wsi_table_remove(&op->bus->by_token, &op->by_token);
    op->token = 0;
}

void wsi_op_free(struct wsi_op *op)
{
    wsi_op_forget(op);
    atomic_fetch_sub(&op->bus->queued, op->cost);
    wsi_free(op);
}

int wsi_op_submit(struct wsi_op *op, size_t len)
{
    struct wsi_bus *bus = op->bus;
    int r = 0;

    op->cost = sizeof *op + len;
    op->deadline_ms = wsi_bus_now() + bus->timeout_ms;
    if (atomic_fetch_add(&bus->queued, op->cost) + op->cost > bus->queue_bytes &&
        !op->is_due)
        r = WSOCK_EAGAIN;
    pthread_mutex_lock(&bus->lock);
    if (bus->refuses)
        r = WSOCK_ECLOSED;
    if (r == 0) {
        *(bus->outbox != NULL ? &bus->newest->next : &bus->outbox) = op;
        bus->newest = op;
        pthread_cond_signal(&bus->changed);
    }
    pthread_mutex_unlock(&bus->lock);
    if (r < 0) {
        atomic_fetch_sub(&bus->queued, op->cost);
        wsi_free(op);
    }
    return r;
}

void wsi_op_finish(struct wsi_op *op, const struct wsi_bus_answer *answer)
{
    struct wsi_bus_receipt *receipt = op->receipt;

    wsi_op_free(op);
    if (receipt != NULL)
        receipt->done(receipt, answer);
}

void wsi_op_fail(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    const struct wsi_bus_answer answer = {.outcome = outcome, .why = why};

    wsi_op_finish(op, &answer);
}

/* ---- asking ---- */

/* @return false: it was ended. */
static bool take_token(struct wsi_op *op, char reply[WSI_NATS_SUBJECT_SIZE])
{
    struct wsi_bus *bus = op->bus;

    if (op->has_many)
        wsi_list_remove(&op->node);
    else
        wsi_op_forget(op);
    if (!bus->is_linked) {
        wsi_op_forget(op);
        op->ended(op, WSI_BUS_FAILED, "the broker is away");
        return false;
    }
    if (op->token == 0)
        op->token = ++bus->tokens;
    else
        wsi_table_remove(&bus->by_token, &op->by_token);
    if (wsi_table_add(&bus->by_token, &op->by_token, op->token) < 0) {
        op->token = 0;
        op->ended(op, WSI_BUS_FAILED, "out of memory");
        return false;
    }
    op->deadline_ms = wsi_bus_now() + bus->timeout_ms;
    snprintf(reply, WSI_NATS_SUBJECT_SIZE, "%s.%llx", bus->inbox,
             (unsigned long long)op->token);
    return true;
}

static void wait_for_reply(struct wsi_op *op, bool is_sent, const char *why)
{
    if (is_sent) {
        wsi_list_append(&op->bus->asked, &op->node);
        return;
    }
    wsi_op_forget(op);
    op->ended(op, WSI_BUS_FAILED, why);
}

void wsi_op_ask(struct wsi_op *op, const char *subject, struct wsi_bytes bytes)
{
    char reply[WSI_NATS_SUBJECT_SIZE];
    const char *why;
    bool sent;

    if (!take_token(op, reply))
        return;
    sent = wsi_conn_send(op->bus->conn, subject, reply, bytes, &why);
    wait_for_reply(op, sent, why);
}

void wsi_op_echo(struct wsi_op *op)
{
    char reply[WSI_NATS_SUBJECT_SIZE];
    const char *why;
    bool sent;

    if (!take_token(op, reply))
        return;
    sent = wsi_conn_send(op->bus->conn, reply, NULL, (struct wsi_bytes){NULL, 0}, &why);
    wait_for_reply(op, sent, why);
}

void wsi_op_ask_text(struct wsi_op *op, const char *subject, const char *format, ...)
{
    char text[2048 + 2 * WSI_NATS_SUBJECT_SIZE];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    wsi_op_ask(op, subject, (struct wsi_bytes){text, (size_t)n});
}

void wsi_op_ask_with(struct wsi_op *op, const char *subject, struct wsi_bytes bytes,
                     const char *const headers[][2], size_t count)
{
    char reply[WSI_NATS_SUBJECT_SIZE];
    const char *why = "out of memory";
    natsMsg *msg = NULL;
    bool sent;

    if (!take_token(op, reply))
        return;
    sent = natsMsg_Create(&msg, subject, reply, bytes.data, (int)bytes.len) == NATS_OK;
    for (size_t i = 0; i < count && sent; i++)
        sent = natsMsgHeader_Set(msg, headers[i][0], headers[i][1]) == NATS_OK;
    sent = sent && wsi_conn_send_msg(op->bus->conn, msg, &why);
    natsMsg_Destroy(msg);
    wait_for_reply(op, sent, why);
}

void wsi_op_reply(struct wsi_bus *bus, uint64_t token, natsMsg *msg)
{
    struct wsi_table_node *node = wsi_table_find(&bus->by_token, token);
    struct wsi_op *op;

    if (token == 0 || node == NULL) {
        natsMsg_Destroy(msg);
        return;
    }
    op = WSI_CONTAINER_OF(node, struct wsi_op, by_token);
    if (op->has_many) {
        op->deadline_ms = wsi_bus_now() + bus->timeout_ms;
        wsi_list_remove(&op->node);
        wsi_list_append(&bus->asked, &op->node);
    } else
        wsi_op_forget(op);
    op->replied(op, msg);
}

/* ---- ending ---- */

static void end_list(struct wsi_list *list, bool is_asked, const char *why)
{
    struct wsi_list ending;
    struct wsi_list *node;

    wsi_list_move(&ending, list);
    while ((node = wsi_list_pop(&ending)) != NULL) {
        struct wsi_op *op = WSI_CONTAINER_OF(node, struct wsi_op, node);

        wsi_op_forget(op);
        op->ended(op, is_asked && !op->is_read ? WSI_BUS_UNKNOWN : WSI_BUS_FAILED, why);
    }
}

void wsi_ops_end_asked(struct wsi_bus *bus, const char *why)
{
    end_list(&bus->asked, true, why);
}

void wsi_ops_end_waiting(struct wsi_bus *bus, const char *why)
{
    end_list(&bus->waiting, false, why);
}

void wsi_ops_run_waiting(struct wsi_bus *bus)
{
    struct wsi_list running;
    struct wsi_list *node;

    wsi_list_move(&running, &bus->waiting);
    while ((node = wsi_list_pop(&running)) != NULL) {
        struct wsi_op *op = WSI_CONTAINER_OF(node, struct wsi_op, node);

        op->run(op);
    }
}

/* Both lists are in the order of deadlines: all have the same time. */
static uint64_t check(struct wsi_list *list, uint64_t now_ms, bool is_asked)
{
    while (!wsi_list_is_empty(list)) {
        struct wsi_op *op = WSI_CONTAINER_OF(list->next, struct wsi_op, node);

        if (op->deadline_ms > now_ms)
            return op->deadline_ms;
        wsi_op_forget(op);
        op->ended(op, is_asked && !op->is_read ? WSI_BUS_UNKNOWN : WSI_BUS_FAILED,
                  is_asked ? "the broker did not answer in time" : "the broker is away");
    }
    return UINT64_MAX;
}

uint64_t wsi_ops_check(struct wsi_bus *bus, uint64_t now_ms)
{
    const uint64_t asked = check(&bus->asked, now_ms, true);

    return wsi_sooner(asked, check(&bus->waiting, now_ms, false));
}
