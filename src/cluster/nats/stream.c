/* SPDX-License-Identifier: MIT */
/*
 * Streams of JetStream: one for each window that rooms have, and two for lists.
 *
 * The name of a room's stream ends in its epoch, drawn by whoever makes it. That two do
 * at once is settled by the broker: no two streams may have one subject, so one of them
 * is refused, and looks up which there is. A stream that is lost, or was given up since
 * it had lost messages (it came back from a copy), thus begins another epoch, for all
 * nodes at once. What a stream stores it sends on to the subject of the room, with its
 * name, the offset and the one before in headers.
 */
#include <stdio.h>
#include <string.h>

#include <wsock/runtime.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"

enum {
    SUBJECTS_OVERLAP = 10065,
    NO_STREAM = 10059,
    NAME_IN_USE = 10058,
    DEDUP_MS = 120000,
    AGE_MIN_MS = 100, /* JetStream takes no less */
    SMALLEST = 64,    /* bytes that a message takes at least, when bytes are the window */
};

/* ---- answers ---- */

void wsi_reply_read(struct wsi_reply *reply, const natsMsg *msg)
{
    const json_t *error;
    json_int_t code;

    memset(reply, 0, sizeof *reply);
    if (natsMsg_IsNoResponders((natsMsg *)(uintptr_t)msg)) {
        reply->no_stream = true;
        snprintf(reply->why, sizeof reply->why,
                 "the NATS server has no JetStream, which rooms with a history and lists "
                 "of people need");
        return;
    }
    reply->json = json_loadb(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg), 0,
                             NULL);
    error = json_object_get(reply->json, "error");
    code = json_integer_value(json_object_get(error, "err_code"));
    reply->no_stream = code == NO_STREAM;
    reply->overlaps = code == SUBJECTS_OVERLAP || code == NAME_IN_USE;
    if (reply->json == NULL)
        snprintf(reply->why, sizeof reply->why, "the broker's answer is no JSON");
    else if (error != NULL)
        snprintf(reply->why, sizeof reply->why, "JetStream: %s (%d)",
                 json_string_value(json_object_get(error, "description")) != NULL
                     ? json_string_value(json_object_get(error, "description"))
                     : "an error",
                 (int)code);
}

void wsi_reply_fini(struct wsi_reply *reply)
{
    json_decref(reply->json);
}

/* ---- streams of rooms ---- */

struct wsi_policy *wsi_policy_get(struct wsi_bus *bus,
                                  const struct wsi_bus_window *window)
{
    uint64_t messages = window->messages, time_ms = window->time_ms;
    struct wsi_policy *policy;

    if (window->bytes > 0 && (messages == 0 || messages > window->bytes / SMALLEST + 1))
        messages = window->bytes / SMALLEST + 1;
    if (messages > INT32_MAX)
        messages = INT32_MAX;
    if (time_ms > INT64_MAX / 2000000)
        time_ms = 0;
    if (time_ms > 0 && time_ms < AGE_MIN_MS)
        time_ms = AGE_MIN_MS;
    WSI_LIST_EACH(node, &bus->policies)
    {
        policy = WSI_CONTAINER_OF(node, struct wsi_policy, node);
        if (policy->messages == messages && policy->time_ms == time_ms)
            return policy;
    }
    policy = wsi_zalloc(sizeof *policy);
    if (policy == NULL)
        return NULL;
    policy->messages = messages;
    policy->time_ms = time_ms;
    wsi_list_init(&policy->waiting);
    wsi_list_append(&bus->policies, &policy->node);
    return policy;
}

void wsi_policies_free(struct wsi_bus *bus)
{
    struct wsi_list *node;

    while ((node = wsi_list_pop(&bus->policies)) != NULL)
        wsi_free(WSI_CONTAINER_OF(node, struct wsi_policy, node));
}

struct stream_op {
    struct wsi_op op; /* first */
    struct wsi_policy *policy;
    char stream[WSI_NATS_STREAM_SIZE];
};

static struct stream_op *stream_op_of(struct wsi_op *op)
{
    return (struct stream_op *)(void *)op;
}

/* What has waited goes on, or ends. @param why (nullable) */
static void go_on(struct wsi_list *waiting, const char *why)
{
    struct wsi_list ready;
    struct wsi_list *node;

    wsi_list_move(&ready, waiting);
    while ((node = wsi_list_pop(&ready)) != NULL) {
        struct wsi_op *op = WSI_CONTAINER_OF(node, struct wsi_op, node);

        if (why != NULL)
            op->ended(op, WSI_BUS_FAILED, why);
        else
            op->run(op);
    }
}

static void settle(struct wsi_policy *policy, const char *why)
{
    policy->is_asked = false;
    go_on(&policy->waiting, why);
}

static void stream_ended(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    struct wsi_policy *policy = stream_op_of(op)->policy;

    (void)outcome;
    wsi_op_free(op);
    settle(policy, why);
}

static void looked_up(struct wsi_op *op, natsMsg *msg)
{
    struct wsi_policy *policy = stream_op_of(op)->policy;
    const char *name;
    struct wsi_reply reply;

    wsi_reply_read(&reply, msg);
    natsMsg_Destroy(msg);
    name = json_string_value(json_array_get(json_object_get(reply.json, "streams"), 0));
    if (reply.why[0] != '\0')
        ;
    else if (name == NULL || wsi_nats_epoch(name) == 0 ||
             strlen(name) >= sizeof policy->stream)
        snprintf(reply.why, sizeof reply.why,
                 "another stream of the broker's has the subjects of this cluster");
    else
        snprintf(policy->stream, sizeof policy->stream, "%s", name);
    stream_ended(op, WSI_BUS_FAILED, reply.why[0] != '\0' ? reply.why : NULL);
    wsi_reply_fini(&reply);
}

static void made(struct wsi_op *op, natsMsg *msg)
{
    struct stream_op *making = stream_op_of(op);
    struct wsi_policy *policy = making->policy;
    struct wsi_reply reply;

    wsi_reply_read(&reply, msg);
    natsMsg_Destroy(msg);
    if (reply.overlaps) {
        op->replied = looked_up;
        wsi_op_ask_text(op, "$JS.API.STREAM.NAMES", "{\"subject\":\"%s.h.%llu-%llu.*\"}",
                        op->bus->prefix, (unsigned long long)policy->messages,
                        (unsigned long long)policy->time_ms);
    } else if (reply.why[0] != '\0')
        stream_ended(op, WSI_BUS_FAILED, reply.why);
    else {
        snprintf(policy->stream, sizeof policy->stream, "%s", making->stream);
        stream_ended(op, WSI_BUS_DONE, NULL);
    }
    wsi_reply_fini(&reply);
}

static unsigned long long nanoseconds(uint64_t ms)
{
    return (unsigned long long)ms * 1000000;
}

static void make_stream(struct wsi_op *op)
{
    struct stream_op *making = stream_op_of(op);
    const struct wsi_policy *policy = making->policy;
    struct wsi_bus *bus = op->bus;
    char subject[WSI_NATS_SUBJECT_SIZE];
    /* One more message than the window tells what was before its first; of time, a
     * little. */
    const long long messages = policy->messages > 0 ? (long long)policy->messages + 1
                                                    : -1;
    const uint64_t age_ms = policy->time_ms + policy->time_ms / 8;
    uint64_t epoch = 0, dedup_ms = DEDUP_MS;

    if (age_ms > 0 && age_ms < dedup_ms)
        dedup_ms = age_ms;
    while (epoch == 0)
        bus->services.random(bus->services.pool, &epoch, sizeof epoch);
    snprintf(making->stream, sizeof making->stream, "wsock-%s-%llu-%llu-%016llx",
             bus->prefix, (unsigned long long)policy->messages,
             (unsigned long long)policy->time_ms, (unsigned long long)epoch);
    snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.%s", making->stream);
    op->replied = made;
    wsi_op_ask_text(
        op, subject,
        "{\"name\":\"%s\",\"subjects\":[\"%s.h.%llu-%llu.*\"],\"retention\":\"limits\","
        "\"storage\":\"file\",\"discard\":\"old\",\"max_consumers\":-1,\"max_msgs\":-1,"
        "\"max_bytes\":-1,\"max_msgs_per_subject\":%lld,\"max_age\":%llu,"
        "\"num_replicas\":%u,\"duplicate_window\":%llu,\"allow_direct\":true,"
        "\"republish\":{\"src\":\"%s.h.%llu-%llu.*\",\"dest\":\"%s.r.{{wildcard(1)}}\"}}",
        making->stream, bus->prefix, (unsigned long long)policy->messages,
        (unsigned long long)policy->time_ms, messages, nanoseconds(age_ms),
        bus->target.replicas, nanoseconds(dedup_ms), bus->prefix,
        (unsigned long long)policy->messages, (unsigned long long)policy->time_ms,
        bus->prefix);
}

static void given_up(struct wsi_op *op, natsMsg *msg)
{
    /* Whether it was there or not, it is not now. */
    natsMsg_Destroy(msg);
    make_stream(op);
}

/* @return (nullable) NULL: it was told. */
static struct stream_op *begin(struct wsi_policy *policy, struct wsi_op *op)
{
    struct stream_op *making = NULL;

    if (++op->tries > WSI_NATS_TRIES) {
        op->ended(op, WSI_BUS_FAILED, "the broker's stream was lost again and again");
        return NULL;
    }
    if (!policy->is_asked) {
        making = (struct stream_op *)(void *)wsi_op_new(op->bus, sizeof *making, NULL);
        if (making == NULL) {
            op->ended(op, WSI_BUS_FAILED, "out of memory");
            return NULL;
        }
        making->policy = policy;
        making->op.ended = stream_ended;
        making->op.is_read = true;
        policy->is_asked = true;
    }
    wsi_list_append(&policy->waiting, &op->node);
    return making;
}

void wsi_policy_await(struct wsi_policy *policy, struct wsi_op *op)
{
    struct stream_op *making = begin(policy, op);

    if (making != NULL) {
        policy->stream[0] = '\0';
        make_stream(&making->op);
    }
}

void wsi_policy_renew(struct wsi_policy *policy, struct wsi_op *op)
{
    struct stream_op *making = begin(policy, op);
    char subject[WSI_NATS_SUBJECT_SIZE];

    if (making == NULL)
        return;
    wsi_adapter_log(&op->bus->services, WSOCK_LOG_WARN,
                    "the stream %s has lost messages that were seen: another one begins",
                    policy->stream);
    snprintf(subject, sizeof subject, "$JS.API.STREAM.DELETE.%s", policy->stream);
    policy->stream[0] = '\0';
    making->op.replied = given_up;
    wsi_op_ask(&making->op, subject, (struct wsi_bytes){NULL, 0});
}

/* ---- those of lists ---- */

struct list_op {
    struct wsi_op op; /* first */
    bool second;
};

static void lists_ended(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    struct wsi_bus *bus = op->bus;

    (void)outcome;
    bus->lists_asked = false;
    if (!bus->lists_warned && bus->is_linked)
        wsi_adapter_log(&bus->services, WSOCK_LOG_ERROR, "lists of people and nodes: %s",
                        why);
    bus->lists_warned = true;
    wsi_op_free(op);
    go_on(&bus->listers, why);
}

static void make_list(struct wsi_op *op)
{
    const bool second = ((struct list_op *)(void *)op)->second;
    const char *what = second ? "people" : "nodes",
               *subjects = second ? "p.*.*.*" : "n.*";
    struct wsi_bus *bus = op->bus;
    char subject[WSI_NATS_SUBJECT_SIZE];
    /* A node that was silent for three beats is gone; its people are with it. */
    uint64_t age_ms = second ? 0 : 3 * bus->beat_ms;

    if (!second && age_ms < AGE_MIN_MS)
        age_ms = AGE_MIN_MS;
    snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.wsock-%s-%s", bus->prefix,
             what);
    wsi_op_ask_text(
        op, subject,
        "{\"name\":\"wsock-%s-%s\",\"subjects\":[\"%s.%s\"],\"retention\":\"limits\","
        "\"storage\":\"memory\",\"discard\":\"old\",\"max_consumers\":-1,\"max_msgs\":-1,"
        "\"max_bytes\":-1,\"max_msgs_per_subject\":1,\"max_age\":%llu,"
        "\"num_replicas\":%u,\"duplicate_window\":%llu}",
        bus->prefix, what, bus->prefix, subjects, nanoseconds(age_ms),
        bus->target.replicas,
        nanoseconds(age_ms > 0 && age_ms < DEDUP_MS ? age_ms : DEDUP_MS));
}

static void list_made(struct wsi_op *op, natsMsg *msg)
{
    struct list_op *making = (struct list_op *)(void *)op;
    struct wsi_bus *bus = op->bus;
    struct wsi_reply reply;

    wsi_reply_read(&reply, msg);
    natsMsg_Destroy(msg);
    /* Another node with another beat made it: it is the list all the same. */
    if (reply.why[0] != '\0' && !reply.overlaps)
        lists_ended(op, WSI_BUS_FAILED, reply.why);
    else if (!making->second) {
        making->second = true;
        make_list(op);
    } else {
        bus->lists_asked = bus->lists_warned = false;
        bus->has_lists = true;
        wsi_op_free(op);
        wsi_presence_say(bus);
        go_on(&bus->listers, NULL);
    }
    wsi_reply_fini(&reply);
}

void wsi_lists_ensure(struct wsi_bus *bus)
{
    struct wsi_op *op;

    if (bus->lists_asked || !bus->is_linked || bus->is_closing)
        return;
    op = wsi_op_new(bus, sizeof(struct list_op), NULL);
    if (op == NULL)
        return;
    bus->lists_asked = true;
    bus->has_lists = false;
    op->replied = list_made;
    op->ended = lists_ended;
    op->is_read = true;
    make_list(op);
}

void wsi_lists_await(struct wsi_op *op)
{
    if (++op->tries > WSI_NATS_TRIES) {
        op->ended(op, WSI_BUS_FAILED, "the broker's lists were lost again and again");
        return;
    }
    wsi_list_append(&op->bus->listers, &op->node);
    wsi_lists_ensure(op->bus);
    if (!op->bus->lists_asked)
        go_on(&op->bus->listers, "the broker is away");
}
