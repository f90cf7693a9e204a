/* SPDX-License-Identifier: MIT */
/*
 * What is said: plain messages by subjects, kept ones by way of their stream.
 *
 * JetStream tells no time when it sends a message on, so the publisher's is a header.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wsock/error.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"

static const char time_header[] = "Wsock-Time";

bool wsi_subject(const struct wsi_bus *bus, char out[WSI_NATS_SUBJECT_SIZE],
                 const char *kind, const char *name)
{
    const int n = snprintf(out, WSI_NATS_SUBJECT_SIZE, "%s.%s.", bus->prefix, kind);

    return n > 0 && n < WSI_NATS_SUBJECT_SIZE &&
           wsi_nats_encode(out + n, WSI_NATS_SUBJECT_SIZE - (size_t)n, name);
}

/* ---- plain ones ---- */

struct publish {
    struct wsi_op op; /* first */
    size_t len;
    const char *bytes; /* behind the subject */
    char subject[];
};

static void published(struct wsi_op *op, natsMsg *msg)
{
    const struct wsi_bus_answer answer = {.outcome = WSI_BUS_DONE};

    natsMsg_Destroy(msg);
    wsi_op_finish(op, &answer);
}

static void publish_now(struct wsi_op *op)
{
    struct publish *publish = (struct publish *)(void *)op;
    const struct wsi_bytes bytes = {publish->bytes, publish->len};
    const char *why = "the broker is away";

    if (!op->bus->is_linked ||
        !wsi_conn_send(op->bus->conn, publish->subject, NULL, bytes, &why)) {
        op->ended(op, WSI_BUS_FAILED, why);
        return;
    }
    if (op->receipt == NULL) {
        wsi_op_free(op);
        return;
    }
    /* What comes back after it tells that the broker has it. */
    op->replied = published;
    wsi_op_echo(op);
}

static bool channel_subject(const struct wsi_bus *bus, char *out,
                            const struct wsi_bus_channel *channel)
{
    if (channel->kind == WSI_BUS_ALL)
        return snprintf(out, WSI_NATS_SUBJECT_SIZE, "%s.a", bus->prefix) > 0;
    return wsi_subject(bus, out, channel->kind == WSI_BUS_NODE ? "i" : "r",
                       channel->name);
}

int wsi_messages_publish(struct wsi_bus *bus, const struct wsi_bus_channel *channel,
                         struct wsi_bytes bytes, struct wsi_bus_receipt *receipt)
{
    char subject[WSI_NATS_SUBJECT_SIZE];
    struct publish *publish;
    size_t size;

    if (!channel_subject(bus, subject, channel))
        return WSOCK_EINVAL;
    if (!atomic_load(&bus->is_up))
        return WSOCK_EAGAIN;
    size = strlen(subject) + 1;
    if (bytes.len > bus->queue_bytes)
        return WSOCK_EAGAIN;
    publish = (struct publish *)(void *)wsi_op_new(
        bus, sizeof *publish + size + bytes.len, publish_now);
    if (publish == NULL)
        return WSOCK_ENOMEM;
    publish->op.receipt = receipt;
    memcpy(publish->subject, subject, size);
    if (bytes.len > 0)
        memcpy(publish->subject + size, bytes.data, bytes.len);
    publish->bytes = publish->subject + size;
    publish->len = bytes.len;
    return wsi_op_submit(&publish->op, size + bytes.len);
}

/* ---- kept ones ---- */

struct append {
    struct wsi_op op; /* first */
    struct wsi_bus_id id;
    struct wsi_bus_window window;
    struct wsi_bus_position seen;
    int64_t time_ms;
    size_t len;
    const char *bytes; /* behind the room */
    char room[];
};

static void append_now(struct wsi_op *op);

static void stored(struct append *append, const struct wsi_reply *reply)
{
    const char *stream = json_string_value(json_object_get(reply->json, "stream"));
    const json_int_t seq = json_integer_value(json_object_get(reply->json, "seq"));
    const bool again = json_is_true(json_object_get(reply->json, "duplicate"));
    struct wsi_bus_answer answer = {.outcome = WSI_BUS_DONE, .time_ms = append->time_ms};
    struct wsi_policy *policy = wsi_policy_get(append->op.bus, &append->window);

    answer.position.epoch = stream != NULL ? wsi_nats_epoch(stream) : 0;
    answer.position.offset = seq > 0 ? (uint64_t)seq : 0;
    if (answer.position.epoch == 0 || seq <= 0 ||
        strlen(stream) >= sizeof policy->stream) {
        append->op.ended(
            &append->op, WSI_BUS_FAILED,
            "another stream of the broker's has the subjects of this cluster");
    } else if (!again && answer.position.epoch == append->seen.epoch &&
               answer.position.offset <= append->seen.offset && policy != NULL) {
        snprintf(policy->stream, sizeof policy->stream, "%s", stream);
        wsi_policy_renew(policy, &append->op);
    } else
        wsi_op_finish(&append->op, &answer);
}

static void append_replied(struct wsi_op *op, natsMsg *msg)
{
    struct append *append = (struct append *)(void *)op;
    struct wsi_policy *policy;
    struct wsi_reply reply;

    wsi_reply_read(&reply, msg);
    natsMsg_Destroy(msg);
    policy = reply.no_stream ? wsi_policy_get(op->bus, &append->window) : NULL;
    if (policy != NULL)
        wsi_policy_await(policy, op);
    else if (reply.why[0] != '\0')
        op->ended(op, WSI_BUS_FAILED, reply.why);
    else
        stored(append, &reply);
    wsi_reply_fini(&reply);
}

static void append_now(struct wsi_op *op)
{
    struct append *append = (struct append *)(void *)op;
    const struct wsi_bytes bytes = {append->bytes, append->len};
    struct wsi_policy *policy = wsi_policy_get(op->bus, &append->window);
    char subject[WSI_NATS_SUBJECT_SIZE], kind[64], id[WSI_NODE_HEX_SIZE + 24], when[24];
    const char *const headers[][2] = {{"Nats-Msg-Id", id}, {time_header, when}};

    if (policy == NULL) {
        op->ended(op, WSI_BUS_FAILED, "out of memory");
        return;
    }
    snprintf(kind, sizeof kind, "h.%" PRIu64 "-%" PRIu64, policy->messages,
             policy->time_ms);
    wsi_node_hex(id, append->id.node);
    snprintf(id + WSI_NODE_HEX_SIZE - 1, 24, "-%" PRIu64, append->id.seq);
    snprintf(when, sizeof when, "%" PRId64, append->time_ms);
    (void)wsi_subject(op->bus, subject, kind, append->room);
    op->replied = append_replied;
    wsi_op_ask_with(op, subject, bytes, headers, 2);
}

/* On the driver, first: what the broker is not there for waits. */
static void append_or_wait(struct wsi_op *op)
{
    if (atomic_load(&op->bus->is_up))
        append_now(op);
    else
        wsi_list_append(&op->bus->waiting, &op->node);
}

int wsi_messages_append(struct wsi_bus *bus, const char *room, struct wsi_bytes bytes,
                        const struct wsi_bus_id *id, const struct wsi_bus_window *window,
                        const struct wsi_bus_position *seen,
                        struct wsi_bus_receipt *receipt)
{
    const size_t size = strlen(room) + 1;
    struct append *append;
    struct timespec now;

    if (size > WSI_NATS_ROOM_MAX + 1)
        return WSOCK_EINVAL;
    if (bytes.len > bus->queue_bytes)
        return WSOCK_EAGAIN;
    append = (struct append *)(void *)wsi_op_new(bus, sizeof *append + size + bytes.len,
                                                 append_or_wait);
    if (append == NULL)
        return WSOCK_ENOMEM;
    clock_gettime(CLOCK_REALTIME, &now);
    append->time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    append->op.receipt = receipt;
    append->id = *id;
    append->window = *window;
    append->seen = *seen;
    memcpy(append->room, room, size);
    if (bytes.len > 0)
        memcpy(append->room + size, bytes.data, bytes.len);
    append->bytes = append->room + size;
    append->len = bytes.len;
    return wsi_op_submit(&append->op, size + bytes.len);
}

/* ---- arrivals ---- */

static uint64_t header_number(natsMsg *msg, const char *name)
{
    const char *value = NULL;

    if (natsMsgHeader_Get(msg, name, &value) != NATS_OK || value == NULL)
        return 0;
    return strtoull(value, NULL, 10);
}

int64_t wsi_messages_time(natsMsg *msg)
{
    return (int64_t)header_number(msg, time_header);
}

/* Takes the message over. */
static void room_arrived(struct wsi_bus *bus, const char *room, natsMsg *msg)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = room};
    const struct wsi_bytes bytes = {natsMsg_GetData(msg),
                                    (size_t)natsMsg_GetDataLength(msg)};
    struct wsi_sub *sub = wsi_subs_find(bus, room);
    const char *stream = NULL;
    struct wsi_bus_kept kept = {.bytes = bytes};
    uint64_t epoch = 0;

    if (natsMsgHeader_Get(msg, "Nats-Stream", &stream) == NATS_OK && stream != NULL)
        epoch = wsi_nats_epoch(stream);
    if (epoch == 0) {
        bus->user->arrived(bus->user, &channel, 0, NULL, bytes);
        natsMsg_Destroy(msg);
        return;
    }
    kept.offset = header_number(msg, "Nats-Sequence");
    kept.prev = header_number(msg, "Nats-Last-Sequence");
    kept.time_ms = wsi_messages_time(msg);
    if (sub != NULL) {
        wsi_order_take(bus, sub, epoch, &kept, msg);
        return;
    }
    bus->user->arrived(bus->user, &channel, epoch, &kept, bytes);
    natsMsg_Destroy(msg);
}

/* @return whether it took the message over. */
static bool handed_on(struct wsi_bus *bus, natsMsg *msg, const char *rest, bool broad)
{
    const struct wsi_bytes bytes = {natsMsg_GetData(msg),
                                    (size_t)natsMsg_GetDataLength(msg)};
    struct wsi_bus_channel channel = {.kind = WSI_BUS_ALL};
    char name[WSI_NATS_ROOM_MAX + 1];

    if (strcmp(rest, "a") == 0) {
        bus->user->arrived(bus->user, &channel, 0, NULL, bytes);
        return false;
    }
    if (rest[0] == '\0' || rest[1] != '.' ||
        !wsi_nats_decode(name, sizeof name, rest + 2, strlen(rest + 2)))
        return false;
    if (rest[0] == 'i') {
        channel = (struct wsi_bus_channel){.kind = WSI_BUS_NODE, .name = name};
        bus->user->arrived(bus->user, &channel, 0, NULL, bytes);
    } else if (rest[0] == 'r') {
        const bool heard_broadly = bus->broad != NULL && bus->broad->is_up;

        if (broad ? bus->broad != NULL
                  : !heard_broadly && wsi_subs_find(bus, name) != NULL) {
            room_arrived(bus, name, msg);
            return true;
        }
    }
    return false;
}

void wsi_messages_arrived(struct wsi_bus *bus, natsMsg *msg, bool broad)
{
    const char *subject = natsMsg_GetSubject(msg);
    const size_t inbox = strlen(bus->inbox), prefix = strlen(bus->prefix);
    uint64_t token;

    if (strncmp(subject, bus->inbox, inbox) == 0 && subject[inbox] == '.') {
        const char *rest = subject + inbox + 1;

        if (rest[0] == 'm')
            wsi_subs_marked(bus, strtoull(rest + 1, NULL, 16));
        else if (rest[0] == 'p')
            bus->ponged_ms = wsi_bus_now();
        else {
            wsi_op_reply(bus, strtoull(rest, NULL, 16), msg);
            return;
        }
    } else if (wsi_fetch_token(msg, &token)) {
        /* What is fetched comes by the subject that it was stored by. */
        wsi_op_reply(bus, token, msg);
        return;
    } else if (strncmp(subject, bus->prefix, prefix) == 0 && subject[prefix] == '.' &&
               handed_on(bus, msg, subject + prefix + 1, broad))
        return;
    natsMsg_Destroy(msg);
}
