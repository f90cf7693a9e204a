/* SPDX-License-Identifier: MIT */
/*
 * One connection to a broker: the greeting, commands and their answers in order, and
 * what comes unasked on a connection of subscriptions (RESP2).
 *
 *     link opens --> greeting: AUTH, SELECT, scripts or questions --> ready --> failed
 *
 * One that answers nothing for cluster_timeout while it should counts as gone. Its link
 * takes its time to close, so it is let go at once, and freed when that is done.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <wsock/error.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"

/* ---- sending ---- */

static void wait_for(struct wsi_wire *wire, struct wsi_op *op)
{
    if (wire->first == NULL)
        wire->since_ms = wsi_bus_now(wire->bus);
    op->next = NULL;
    op->wire = wire;
    if (wire->first == NULL)
        wire->first = op;
    else
        wire->last->next = op;
    wire->last = op;
    wire->waiting++;
}

bool wsi_wire_send(struct wsi_wire *wire, struct wsi_op *op)
{
    if (wire->failed ||
        wire->bus->services.link_send(wire->link, op->command, op->command_len) < 0)
        return false;
    wait_for(wire, op);
    wsi_bus_wake(wire->bus, wire->since_ms + wire->bus->timeout_ms);
    return true;
}

/* A command of the adapter's own, which nobody counts. @return false when the wire has
 * failed for it. */
static bool say(struct wsi_wire *wire, const struct wsi_args *args, bool is_secret,
                void (*answered)(struct wsi_op *, const redisReply *),
                void (*ended)(struct wsi_op *, enum wsi_bus_outcome, const char *))
{
    struct wsi_op *op = wsi_op_new(wire->bus, sizeof *op);

    if (op == NULL || wsi_op_format_args(op, args) < 0) {
        if (op != NULL)
            wsi_op_free(op);
        wsi_wire_fail(wire, "out of memory");
        return false;
    }
    op->is_internal = true;
    op->is_secret = is_secret;
    op->answered = answered;
    op->ended = ended;
    if (wsi_wire_send(wire, op))
        return true;
    wsi_op_free(op);
    wsi_wire_fail(wire, "out of memory");
    return false;
}

static bool say_text(struct wsi_wire *wire, const char *a, const char *b, const char *c,
                     void (*answered)(struct wsi_op *, const redisReply *),
                     void (*ended)(struct wsi_op *, enum wsi_bus_outcome, const char *))
{
    struct wsi_args args = {.count = 0};

    wsi_args_add(&args, a);
    if (b != NULL)
        wsi_args_add(&args, b);
    if (c != NULL)
        wsi_args_add(&args, c);
    return say(wire, &args, strcmp(a, "AUTH") == 0, answered, ended);
}

/* ---- the greeting ---- */

static void on_good(struct wsi_op *op, const redisReply *reply)
{
    (void)reply;
    wsi_op_free(op);
}

static void on_ignored(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    (void)outcome, (void)why;
    wsi_op_free(op);
}

/* While the wire fails, nothing more is to be done for it. */
static void on_bad(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    struct wsi_wire *wire = op->wire;

    wsi_op_free(op);
    if (outcome == WSI_BUS_FAILED)
        wsi_wire_fail(wire, why);
}

/* Whom we may not ask that, we do not. */
static void on_pardoned(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    if (outcome == WSI_BUS_FAILED && strncmp(why, "NOPERM", 6) == 0)
        wsi_op_free(op);
    else
        on_bad(op, outcome, why);
}

/* A replica tells nobody what it is told, and takes no writes. */
static void on_role(struct wsi_op *op, const redisReply *reply)
{
    const redisReply *role = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0
                                 ? reply->element[0]
                                 : reply;
    struct wsi_wire *wire = op->wire;
    const bool is_replica = role->type == REDIS_REPLY_STRING &&
                            strcmp(role->str, "slave") == 0;

    wsi_op_free(op);
    if (is_replica)
        wsi_wire_fail(wire, "it is a replica, and no master");
}

static void on_slots(struct wsi_op *op, const redisReply *reply)
{
    struct wsi_wire *wire = op->wire;

    wsi_op_free(op);
    wsi_topology_found(wire, reply);
}

static void on_no_slots(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    struct wsi_wire *wire = op->wire;
    const bool is_single = outcome == WSI_BUS_FAILED && (strncmp(why, "ERR", 3) == 0 ||
                                                         strncmp(why, "NOPERM", 6) == 0);

    if (!is_single) {
        on_bad(op, outcome, why);
        return;
    }
    wsi_op_free(op);
    wsi_topology_found(wire, NULL);
}

static void on_ready(struct wsi_op *op, const redisReply *reply)
{
    struct wsi_wire *wire = op->wire;

    (void)reply;
    wsi_op_free(op);
    wire->ready = true;
    wire->pinged_ms = wsi_bus_now(wire->bus);
    wsi_topology_ready(wire);
}

bool wsi_wire_say(struct wsi_wire *wire, const char *command)
{
    return say_text(wire, command, NULL, NULL, on_good, on_bad);
}

void wsi_wire_mention(struct wsi_wire *wire, const struct wsi_args *args)
{
    say(wire, args, false, on_good, on_ignored);
}

bool wsi_wire_say_scripts(struct wsi_wire *wire)
{
    for (int i = 0; i < WSI_SCRIPTS; i++)
        if (!say_text(wire, "SCRIPT", "LOAD", wsi_script_text((enum wsi_script)i),
                      on_good, on_bad))
            return false;
    return true;
}

static bool say_who(struct wsi_wire *wire)
{
    const struct wsi_target *target = &wire->bus->target;

    if (target->password[0] == '\0')
        return true;
    if (target->user[0] == '\0')
        return say_text(wire, "AUTH", target->password, NULL, on_good, on_bad);
    return say_text(wire, "AUTH", target->user, target->password, on_good, on_bad);
}

static bool say_database(struct wsi_wire *wire)
{
    char number[16];

    if (wire->bus->target.database == 0)
        return true;
    snprintf(number, sizeof number, "%u", wire->bus->target.database);
    return say_text(wire, "SELECT", number, NULL, on_good, on_bad);
}

static void on_opened(struct wsi_link_handler *handler)
{
    struct wsi_wire *wire = (struct wsi_wire *)(void *)handler;

    if (wire->failed || !say_who(wire) || !say_database(wire))
        return;
    if (wire->kind == WSI_WIRE_SCOUT) {
        if (say_text(wire, "ROLE", NULL, NULL, on_role, on_pardoned))
            say_text(wire, "CLUSTER", "SLOTS", NULL, on_slots, on_no_slots);
    } else if (wire->kind == WSI_WIRE_SUBSCRIPTIONS || wsi_wire_say_scripts(wire)) {
        say_text(wire, "PING", NULL, NULL, on_ready, on_bad);
    }
}

/* ---- answers ---- */

static struct wsi_op *take_first(struct wsi_wire *wire)
{
    struct wsi_op *op = wire->first;

    if (op == NULL)
        return NULL;
    wire->first = op->next;
    if (wire->first == NULL)
        wire->last = NULL;
    op->next = NULL;
    wire->waiting--;
    wire->since_ms = wsi_bus_now(wire->bus);
    return op;
}

static void on_error(struct wsi_wire *wire, struct wsi_op *op, const redisReply *reply)
{
    char why[WSI_BUS_WHY_SIZE];

    if (!op->is_internal && wsi_redirect_take(op, reply->str, reply->len))
        return;
    wsi_error_text(why, reply->str, reply->len, op->is_secret);
    op->ended(op, WSI_BUS_FAILED, why);
    if (reply->len >= 8 && memcmp(reply->str, "READONLY", 8) == 0)
        wsi_wire_fail(wire, "it is a replica now, and no master");
}

static void on_reply(struct wsi_wire *wire, const redisReply *reply)
{
    const bool may_push = wire->kind == WSI_WIRE_SUBSCRIPTIONS && wire->ready;
    const char *wrong = NULL;
    struct wsi_op *op;

    if (may_push && reply->type == REDIS_REPLY_ARRAY &&
        (wire->first == NULL || !wsi_subs_answers(wire->first, reply))) {
        wrong = wsi_subs_push(wire, reply);
    } else if ((op = take_first(wire)) == NULL) {
        wrong = "it answered what nobody had asked";
    } else if (reply->type == REDIS_REPLY_ERROR) {
        on_error(wire, op, reply);
    } else {
        op->answered(op, reply);
    }
    if (wrong != NULL)
        wsi_wire_fail(wire, wrong);
    else if (wire->bus->holds && wire->waiting == 0)
        wsi_redirect_check(wire->bus, wsi_bus_now(wire->bus));
}

/* One answer, whole, after the guard has looked at it. */
static void parse(struct wsi_wire *wire)
{
    void *reply = NULL;

    if (redisReaderGetReply(wire->reader, &reply) != REDIS_OK || reply == NULL) {
        wsi_wire_fail(wire, wire->reader->err == REDIS_ERR_OOM
                                ? "out of memory for an answer"
                                : "it sent what is no answer of Redis");
        return;
    }
    on_reply(wire, reply);
    freeReplyObject(reply);
}

static void on_received(struct wsi_link_handler *handler, const void *data, size_t len)
{
    struct wsi_wire *wire = (struct wsi_wire *)(void *)handler;
    const char *at = data, *why = NULL;

    while (len > 0 && !wire->failed) {
        bool whole;
        const size_t n = wsi_guard_pass(&wire->guard, at, len, &whole, &why);

        if (n == 0) {
            wsi_wire_fail(wire, why);
        } else if (redisReaderFeed(wire->reader, at, n) != REDIS_OK) {
            wsi_wire_fail(wire, "out of memory for an answer");
        } else {
            at += n;
            len -= n;
            if (whole)
                parse(wire);
        }
    }
}

/* ---- time ---- */

/* Another answer shows that one was left out or too much: those that come belong to other
 * questions, and would for ever. */
static void on_pong(struct wsi_op *op, const redisReply *reply)
{
    const redisReply *pong = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0
                                 ? reply->element[0]
                                 : reply;
    struct wsi_wire *wire = op->wire;
    const bool is_pong = (pong->type == REDIS_REPLY_STATUS ||
                          pong->type == REDIS_REPLY_STRING) &&
                         strcasecmp(pong->str, "PONG") == 0;

    wsi_op_free(op);
    if (!is_pong)
        wsi_wire_fail(wire, "its answers are not to what it was asked");
}

uint64_t wsi_wire_check(struct wsi_wire *wire, uint64_t now_ms)
{
    const struct wsi_bus *bus = wire->bus;
    uint64_t overdue_ms, ping_ms;
    char why[96];

    if (wire->failed)
        return UINT64_MAX;
    if (wire->first != NULL && now_ms >= wire->since_ms + bus->timeout_ms) {
        snprintf(why, sizeof why, "it did not answer within %llu ms",
                 (unsigned long long)bus->timeout_ms);
        wsi_wire_fail(wire, why);
        return UINT64_MAX;
    }
    if (wire->ready && now_ms >= wire->pinged_ms + bus->beat_ms) {
        wire->pinged_ms = now_ms;
        say_text(wire, "PING", NULL, NULL, on_pong, on_bad);
    }
    if (wire->failed)
        return UINT64_MAX;
    overdue_ms = wire->first != NULL ? wire->since_ms + bus->timeout_ms : UINT64_MAX;
    ping_ms = wire->ready ? wire->pinged_ms + bus->beat_ms : UINT64_MAX;
    return wsi_sooner(overdue_ms, ping_ms);
}

/* ---- the end ---- */

/* A copy: the reason may lie in what is let go. */
void wsi_wire_fail(struct wsi_wire *wire, const char *reason)
{
    char why[WSI_BUS_WHY_SIZE];
    struct wsi_op *op, *next;

    if (wire->failed)
        return;
    snprintf(why, sizeof why, "%s", reason);
    wire->failed = true;
    wire->ready = false;
    if (wire->link != NULL)
        wire->bus->services.link_close(wire->link);
    op = wire->first;
    wire->first = wire->last = NULL;
    wire->waiting = 0;
    for (; op != NULL; op = next) {
        next = op->next;
        op->next = NULL;
        op->ended(op, WSI_BUS_UNKNOWN, why);
    }
    wsi_topology_lost(wire, why);
}

static void on_closed(struct wsi_link_handler *handler, const char *why)
{
    struct wsi_wire *wire = (struct wsi_wire *)(void *)handler;
    struct wsi_bus *bus = wire->bus;

    wire->link = NULL;
    wsi_wire_fail(wire, why);
    wsi_list_remove(&wire->node);
    redisReaderFree(wire->reader);
    wsi_free(wire);
    wsi_bus_wire_gone(bus);
}

static void ignore(struct wsi_link_handler *handler)
{
    (void)handler;
}

struct wsi_wire *wsi_wire_open(struct wsi_bus *bus, struct wsi_peer *peer,
                               enum wsi_wire_kind kind,
                               const struct wsi_target_host *host)
{
    const struct wsi_link_config config = {
        .host = host->name,
        .port = host->port,
        .tls = bus->tls,
        .connect_timeout_ms = bus->timeout_ms,
        /* What is queued is bounded by cluster_queue_bytes, and by what is held of
         * presence and subscriptions anyway. */
        .output_bytes = SIZE_MAX / 2,
        .worker = bus->worker,
    };
    struct wsi_wire *wire = wsi_zalloc(sizeof *wire);

    if (wire == NULL)
        return NULL;
    wire->handler = (struct wsi_link_handler){on_opened, on_received, ignore, ignore,
                                              on_closed};
    wire->bus = bus;
    wire->peer = peer;
    wire->kind = kind;
    wire->host = *host;
    wsi_guard_init(&wire->guard, bus->answer_bytes);
    wire->reader = redisReaderCreate();
    if (wire->reader == NULL || bus->services.link_open(bus->services.pool, &wire->link,
                                                        &config, &wire->handler) < 0) {
        if (wire->reader != NULL)
            redisReaderFree(wire->reader);
        wsi_free(wire);
        return NULL;
    }
    wsi_list_append(&bus->wires, &wire->node);
    return wire;
}
