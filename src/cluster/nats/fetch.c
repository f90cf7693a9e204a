/* SPDX-License-Identifier: MIT */
/*
 * What a stream keeps of some subjects, page by page, and what is kept of a room.
 *
 *     CONSUMER.CREATE --> MSG.NEXT, a page of messages --> ... --> CONSUMER.DELETE
 *
 * All replies have one token, and the consumer's name ends in it: messages come by the
 * subject that they were stored by, and name their consumer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wsock/error.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"

enum {
    EXPIRES_MS =
        120, /* and up to that much more: nodes that beat in step fall out of it */
    AGAIN_MS = 3 * EXPIRES_MS, /* by when the broker has said that a page has ended */
};

static struct wsi_fetch *fetch_of(struct wsi_op *op)
{
    return (struct wsi_fetch *)(void *)op;
}

/* ---- messages of JetStream ---- */

/* "$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQ.NUMBER.TIME.PENDING", or the same with a domain
 * and the hash of an account before STREAM and maybe more at its end.
 * @return (borrowed) from CONSUMER on; NULL when it is none. */
static const char *consumer_of(natsMsg *msg)
{
    static const char begin[] = "$JS.ACK.";
    const char *reply = natsMsg_GetReply(msg), *at;
    unsigned dots = 0;

    if (reply == NULL || strncmp(reply, begin, sizeof begin - 1) != 0)
        return NULL;
    for (at = reply; *at != '\0'; at++)
        dots += *at == '.';
    if (dots < 8)
        return NULL;
    at = reply;
    for (unsigned skip = dots > 8 ? 5 : 3; skip > 0; skip--)
        at = strchr(at, '.') + 1;
    return at;
}

bool wsi_fetch_token(natsMsg *msg, uint64_t *token)
{
    const char *at = consumer_of(msg);

    at = at != NULL ? strchr(at, '-') : NULL;
    if (at == NULL)
        return false;
    *token = strtoull(at + 1, NULL, 16);
    return true;
}

/* @param left (out) what the consumer has not sent yet. */
static bool read_place(natsMsg *msg, uint64_t *seq, int64_t *time_ms, uint64_t *left)
{
    const char *at = consumer_of(msg);
    char *end;

    if (at == NULL)
        return false;
    at = strchr(strchr(at, '.') + 1, '.') + 1;
    *seq = strtoull(at, &end, 10);
    if (*end != '.' || (at = strchr(end + 1, '.')) == NULL)
        return false;
    *time_ms = strtoll(at + 1, &end, 10) / 1000000;
    *left = *end == '.' ? strtoull(end + 1, NULL, 10) : 0;
    return *seq > 0;
}

bool wsi_fetch_place(natsMsg *msg, uint64_t *seq, int64_t *time_ms)
{
    uint64_t left;

    return read_place(msg, seq, time_ms, &left);
}

/* ---- pages ---- */

void wsi_fetch_clear(struct wsi_fetch *fetch)
{
    for (size_t i = 0; i < fetch->count; i++)
        natsMsg_Destroy(fetch->msgs[i]);
    wsi_free(fetch->msgs);
    fetch->msgs = NULL;
    fetch->count = fetch->capacity = fetch->bytes = 0;
}

static void drop_consumer(struct wsi_fetch *fetch)
{
    struct wsi_bus *bus = fetch->op.bus;
    char subject[2 * WSI_NATS_STREAM_SIZE + 64];
    const char *why;

    if (fetch->consumer[0] == '\0' || !bus->is_linked)
        return;
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DELETE.%s.%s", fetch->stream,
             fetch->consumer);
    fetch->consumer[0] = '\0';
    (void)wsi_conn_send(bus->conn, subject, NULL, (struct wsi_bytes){NULL, 0}, &why);
}

static void fetch_failed(struct wsi_fetch *fetch, const char *why)
{
    drop_consumer(fetch);
    wsi_op_forget(&fetch->op);
    fetch->op.ended(&fetch->op, WSI_BUS_FAILED, why);
}

static void fetch_done(struct wsi_fetch *fetch)
{
    drop_consumer(fetch);
    wsi_op_forget(&fetch->op);
    fetch->fetched(fetch);
}

/* The broker sends what there is at once. If some of it went meanwhile, the request
 * waits for more, and ends with a status; a second one says that this was all. (With
 * no_wait the broker says nothing at all then.) */
static void next_page(struct wsi_fetch *fetch)
{
    char subject[2 * WSI_NATS_STREAM_SIZE + 64];

    fetch->page = WSI_NATS_PAGE;
    fetch->again_ms = wsi_bus_now() + AGAIN_MS;
    wsi_list_remove(&fetch->op.paging);
    wsi_list_append(&fetch->op.bus->paging, &fetch->op.paging);
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", fetch->stream,
             fetch->consumer);
    wsi_op_ask_text(&fetch->op, subject, "{\"batch\":%u,\"expires\":%" PRIu64 "000000}",
                    fetch->page,
                    EXPIRES_MS + wsi_adapter_draw(&fetch->op.bus->random, EXPIRES_MS));
}

/* Of a request that gets a message in the moment when it expires the broker may never say
 * that it has ended. Silence says nothing about what is left, so it is asked again. */
uint64_t wsi_fetches_check(struct wsi_bus *bus, uint64_t now_ms)
{
    while (!wsi_list_is_empty(&bus->paging)) {
        struct wsi_op *op = WSI_CONTAINER_OF(bus->paging.next, struct wsi_op, paging);
        struct wsi_fetch *fetch = fetch_of(op);

        if (fetch->again_ms > now_ms)
            return fetch->again_ms;
        if (now_ms >= fetch->give_up_ms)
            fetch_failed(fetch, "the broker did not answer in time");
        else
            next_page(fetch);
    }
    return UINT64_MAX;
}

/* Takes the message over. */
static bool add(struct wsi_fetch *fetch, natsMsg *msg)
{
    if (fetch->count == fetch->capacity) {
        const size_t capacity = fetch->capacity * 2 + WSI_NATS_PAGE;
        natsMsg **more = wsi_realloc(fetch->msgs, capacity * sizeof(natsMsg *));

        if (more == NULL) {
            natsMsg_Destroy(msg);
            return false;
        }
        fetch->msgs = more;
        fetch->capacity = capacity;
    }
    fetch->msgs[fetch->count++] = msg;
    fetch->bytes += (size_t)natsMsg_GetDataLength(msg) + sizeof(struct wsi_bus_kept);
    return true;
}

/*
 * The broker tells how many are left, but of messages that made room for others before
 * they were sent it does not take note: then it is never 0, and as long as somebody goes
 * on publishing no request ends without a message. As they come in their order, all that
 * were there at first have come, or have gone, when as many came; but a subject's only
 * message may be one that was stored since, in place of the former. Those come at once:
 * with what is left of the page, until it ends, or with the next one.
 */
static bool has_all(const struct wsi_fetch *fetch)
{
    return !fetch->one_each && fetch->count >= fetch->expected;
}

static void end_page(struct wsi_fetch *fetch)
{
    if (fetch->is_last) {
        fetch_done(fetch);
        return;
    }
    fetch->is_unsure = false;
    fetch->is_last = fetch->count >= fetch->expected;
    next_page(fetch);
}

static void page_replied(struct wsi_op *op, natsMsg *msg)
{
    struct wsi_fetch *fetch = fetch_of(op);
    struct wsi_bus *bus = op->bus;
    uint64_t seq, left;
    int64_t time_ms;

    fetch->give_up_ms = wsi_bus_now() + bus->timeout_ms;
    if (!read_place(msg, &seq, &time_ms, &left)) {
        natsMsg_Destroy(msg); /* a status */
        if (fetch->is_unsure || fetch->count >= fetch->expected)
            fetch_done(fetch);
        else {
            fetch->is_unsure = true;
            next_page(fetch);
        }
    } else if (!add(fetch, msg))
        fetch_failed(fetch, "out of memory");
    else if (fetch->bytes > bus->answer_bytes)
        fetch_failed(fetch, "the answer is larger than cluster_answer_bytes");
    else if (left == 0 || has_all(fetch))
        fetch_done(fetch);
    else if (--fetch->page == 0)
        end_page(fetch);
}

static void consumer_made(struct wsi_op *op, natsMsg *msg)
{
    struct wsi_fetch *fetch = fetch_of(op);
    struct wsi_reply reply;
    const char *name;

    wsi_reply_read(&reply, msg);
    natsMsg_Destroy(msg);
    name = json_string_value(json_object_get(reply.json, "name"));
    if (reply.no_stream) {
        wsi_op_forget(op);
        fetch->missing(fetch);
    } else if (reply.why[0] != '\0' || name == NULL)
        fetch_failed(fetch, reply.why[0] != '\0' ? reply.why : "a consumer has no name");
    else {
        snprintf(fetch->consumer, sizeof fetch->consumer, "%s", name);
        op->replied = page_replied;
        fetch->expected = (size_t)json_integer_value(
            json_object_get(reply.json, "num_pending"));
        fetch->give_up_ms = wsi_bus_now() + op->bus->timeout_ms;
        if (fetch->expected > 0)
            next_page(fetch);
        else
            fetch_done(fetch);
    }
    wsi_reply_fini(&reply);
}

void wsi_fetch_start(struct wsi_fetch *fetch)
{
    struct wsi_bus *bus = fetch->op.bus;
    char subject[2 * WSI_NATS_STREAM_SIZE + 64];
    char name[WSI_NODE_HEX_SIZE + 20];

    wsi_op_forget(&fetch->op);
    fetch->op.has_many = true;
    fetch->op.replied = consumer_made;
    fetch->consumer[0] = '\0';
    fetch->is_unsure = fetch->is_last = false;
    /* It is the next one that it gets. */
    snprintf(name, sizeof name, "%s-%" PRIx64, bus->node_hex, bus->tokens + 1);
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s.%s", fetch->stream,
             name);
    wsi_op_ask_text(
        &fetch->op, subject,
        "{\"stream_name\":\"%s\",\"config\":{\"name\":\"%s\",\"deliver_policy\":\"all\","
        "\"ack_policy\":\"none\",\"filter_subject\":\"%s\",\"max_deliver\":-1,"
        "\"replay_policy\":\"instant\",\"mem_storage\":true,\"num_replicas\":1,"
        "\"inactive_threshold\":%" PRIu64 "000000}}",
        fetch->stream, name, fetch->subject,
        bus->timeout_ms < 1000 ? 2000 : 2 * bus->timeout_ms);
}

/* ---- what is kept of a room ---- */

struct load {
    struct wsi_fetch fetch; /* first */
    struct wsi_bus_window window;
    struct wsi_bus_position seen;
    char room[];
};

static void load_ended(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    wsi_fetch_clear(fetch_of(op));
    wsi_op_fail(op, outcome, why);
}

static int64_t calendar_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* @return how many of the first are past the window. */
static size_t trim(const struct load *load, const struct wsi_bus_kept *kept, size_t count)
{
    const struct wsi_bus_window *window = &load->window;
    size_t first = 0, bytes = 0;
    int64_t oldest;

    if (window->messages > 0 && count > window->messages)
        first = count - (size_t)window->messages;
    oldest = calendar_ms() -
             (int64_t)(window->time_ms < INT64_MAX / 2 ? window->time_ms : INT64_MAX / 2);
    while (window->time_ms > 0 && first < count && kept[first].time_ms < oldest)
        first++;
    for (size_t i = count; window->bytes > 0 && i > first; i--) {
        bytes += kept[i - 1].bytes.len;
        if (bytes > window->bytes) {
            /* The newest one stays, however large it is. */
            first = i < count ? i : count - 1;
            break;
        }
    }
    return first;
}

/* What was before the first that is kept: nothing, if nothing can have gone yet. */
static uint64_t before(const struct load *load, const struct wsi_policy *policy,
                       const struct wsi_bus_kept *first)
{
    const bool may_have_gone = policy->time_ms > 0 ||
                               (policy->messages > 0 &&
                                load->fetch.count > policy->messages);

    return may_have_gone ? first->offset - 1 : 0;
}

static void loaded(struct wsi_fetch *fetch)
{
    struct load *load = (struct load *)(void *)fetch;
    struct wsi_bus *bus = fetch->op.bus;
    const struct wsi_policy *policy = wsi_policy_get(bus, &load->window);
    struct wsi_bus_kept *kept = wsi_alloc_array(fetch->count + 1, sizeof *kept);
    struct wsi_bus_answer answer = {.outcome = WSI_BUS_DONE, .time_ms = calendar_ms()};
    struct wsi_bus_receipt *receipt = fetch->op.receipt;
    size_t first, count = 0;

    if (kept == NULL || policy == NULL) {
        wsi_free(kept);
        load_ended(&fetch->op, WSI_BUS_FAILED, "out of memory");
        return;
    }
    answer.position.epoch = wsi_nats_epoch(fetch->stream);
    for (size_t i = 0; i < fetch->count; i++) {
        natsMsg *msg = fetch->msgs[i];
        struct wsi_bus_kept *one = &kept[count];
        int64_t sent_ms = wsi_messages_time(msg);

        if (!wsi_fetch_place(msg, &one->offset, &one->time_ms))
            continue;
        if (sent_ms > 0)
            one->time_ms = sent_ms; /* as those heard it who were there */
        one->prev = count > 0 ? one[-1].offset : before(load, policy, one);
        one->bytes = (struct wsi_bytes){natsMsg_GetData(msg),
                                        (size_t)natsMsg_GetDataLength(msg)};
        count++;
    }
    first = trim(load, kept, count);
    answer.kept = kept + first;
    answer.count = count - first;
    /* All of the room may have expired: it is where we have seen it last. */
    if (count > 0)
        answer.position.offset = kept[count - 1].offset;
    else if (load->seen.epoch == answer.position.epoch)
        answer.position.offset = load->seen.offset;
    wsi_subs_note(bus, load->room, &answer.position);
    receipt->done(receipt, &answer);
    wsi_free(kept);
    wsi_fetch_clear(fetch);
    wsi_op_free(&fetch->op);
}

static void load_now(struct wsi_op *op);

static void load_missing(struct wsi_fetch *fetch)
{
    struct load *load = (struct load *)(void *)fetch;
    struct wsi_policy *policy = wsi_policy_get(fetch->op.bus, &load->window);

    if (policy != NULL)
        wsi_policy_await(policy, &fetch->op);
    else
        load_ended(&fetch->op, WSI_BUS_FAILED, "out of memory");
}

/* How far the stream has come tells whether it has lost what was seen. */
static void info_replied(struct wsi_op *op, natsMsg *msg)
{
    struct load *load = (struct load *)(void *)op;
    struct wsi_policy *policy = wsi_policy_get(op->bus, &load->window);
    struct wsi_reply reply;
    json_int_t last;

    wsi_reply_read(&reply, msg);
    natsMsg_Destroy(msg);
    last = json_integer_value(
        json_object_get(json_object_get(reply.json, "state"), "last_seq"));
    if (reply.no_stream)
        load_missing(&load->fetch);
    else if (reply.why[0] != '\0' || policy == NULL)
        load_ended(op, WSI_BUS_FAILED, policy == NULL ? "out of memory" : reply.why);
    else if (wsi_nats_epoch(load->fetch.stream) == load->seen.epoch &&
             (uint64_t)last < load->seen.offset) {
        snprintf(policy->stream, sizeof policy->stream, "%s", load->fetch.stream);
        wsi_policy_renew(policy, op);
    } else
        wsi_fetch_start(&load->fetch);
    wsi_reply_fini(&reply);
}

static void load_now(struct wsi_op *op)
{
    struct load *load = (struct load *)(void *)op;
    struct wsi_policy *policy = wsi_policy_get(op->bus, &load->window);
    char subject[WSI_NATS_STREAM_SIZE + 64], kind[64];

    wsi_fetch_clear(&load->fetch);
    op->has_many = false;
    if (policy == NULL)
        load_ended(op, WSI_BUS_FAILED, "out of memory");
    else if (policy->stream[0] == '\0')
        wsi_policy_await(policy, op);
    else {
        snprintf(kind, sizeof kind, "h.%" PRIu64 "-%" PRIu64, policy->messages,
                 policy->time_ms);
        (void)wsi_subject(op->bus, load->fetch.subject, kind, load->room);
        memcpy(load->fetch.stream, policy->stream, sizeof policy->stream);
        snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", policy->stream);
        op->replied = info_replied;
        wsi_op_ask(op, subject, (struct wsi_bytes){NULL, 0});
    }
}

int wsi_load_submit(struct wsi_bus *bus, const char *room,
                    const struct wsi_bus_window *window,
                    const struct wsi_bus_position *seen, struct wsi_bus_receipt *receipt)
{
    const size_t size = strlen(room) + 1;
    struct load *load;

    if (size > WSI_NATS_ROOM_MAX + 1)
        return WSOCK_EINVAL;
    if (!atomic_load(&bus->is_up))
        return WSOCK_EAGAIN;
    load = (struct load *)(void *)wsi_op_new(bus, sizeof *load + size, load_now);
    if (load == NULL)
        return WSOCK_ENOMEM;
    load->fetch.op.receipt = receipt;
    load->fetch.op.ended = load_ended;
    load->fetch.op.is_read = true;
    load->fetch.fetched = loaded;
    load->fetch.missing = load_missing;
    load->window = *window;
    load->seen = *seen;
    memcpy(load->room, room, size);
    return wsi_op_submit(&load->fetch.op, sizeof *load + size);
}
