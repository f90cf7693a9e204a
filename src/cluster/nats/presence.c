/* SPDX-License-Identifier: MIT */
/*
 * Who is there. A node says its own entry with every beat, and it expires after three.
 * Entries of rooms do not expire, as saying all of them again with every beat would cost
 * as much as there are people; they count as long as their node is listed, and whoever
 * meets one of a node that is not has all of that node's removed.
 *
 *          present()            stored
 *     [] ----------> unsaid -----------> said     changed while under way: unsaid again
 *                      ^  removed <--------+      dropped: removed, once it is stored
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"

struct person {
    struct wsi_table_node by_name; /* in bus->entries */
    struct wsi_list all;           /* in bus->all_entries */
    struct wsi_list link;          /* in bus->unsaid while it is to be said */
    bool is_put;                   /* under way */
    bool is_known;                 /* the broker may have it */
    bool is_gone;                  /* dropped by the caller */
    char *bytes;                   /* (owned) */
    size_t len;
    char subject[]; /* at the broker */
};

static struct person *person_of(struct wsi_table_node *node)
{
    return WSI_CONTAINER_OF(node, struct person, by_name);
}

static void free_person(struct wsi_bus *bus, struct person *person)
{
    wsi_table_remove(&bus->entries, &person->by_name);
    wsi_list_remove(&person->all);
    wsi_list_remove(&person->link);
    wsi_free(person->bytes);
    wsi_free(person);
}

static struct person *find(const struct wsi_bus *bus, const char *subject, uint64_t hash)
{
    struct wsi_table_node *node = wsi_table_find(&bus->entries, hash);

    while (node != NULL && strcmp(person_of(node)->subject, subject) != 0)
        node = wsi_table_find_next(node);
    return node != NULL ? person_of(node) : NULL;
}

/* ---- saying ---- */

struct put {
    struct wsi_op op; /* first */
    char subject[];
};

static void pump(struct wsi_bus *bus);

/* @return (nullable) whose it was. */
static struct person *put_ended(struct wsi_op *op)
{
    const char *subject = ((struct put *)(void *)op)->subject;
    struct wsi_bus *bus = op->bus;
    struct person *person = find(bus, subject,
                                 wsi_hash(&bus->hash_key, subject, strlen(subject)));

    bus->putting--;
    if (person != NULL)
        person->is_put = false;
    return person;
}

static void put_failed(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    struct wsi_bus *bus = op->bus;
    struct person *person = put_ended(op);

    (void)outcome, (void)why;
    /* Until the next beat, or until the lists are there again. */
    if (person != NULL && wsi_list_is_empty(&person->link))
        wsi_list_append(&bus->unsaid, &person->link);
    wsi_op_free(op);
}

static void put_replied(struct wsi_op *op, natsMsg *msg)
{
    struct wsi_bus *bus = op->bus;
    struct wsi_reply reply;
    struct person *person;

    wsi_reply_read(&reply, msg);
    natsMsg_Destroy(msg);
    if (reply.why[0] != '\0') {
        put_failed(op, WSI_BUS_FAILED, reply.why);
        if (reply.no_stream)
            wsi_lists_ensure(bus);
    } else {
        person = put_ended(op);
        if (person != NULL && person->is_gone && wsi_list_is_empty(&person->link))
            free_person(bus, person);
        wsi_op_free(op);
        pump(bus);
    }
    wsi_reply_fini(&reply);
}

static void say(struct wsi_bus *bus, struct person *person)
{
    const size_t size = strlen(person->subject) + 1;
    struct wsi_op *op = wsi_op_new(bus, sizeof(struct put) + size, NULL);
    char subject[WSI_NATS_SUBJECT_SIZE];

    if (op == NULL) {
        wsi_list_append(&bus->unsaid, &person->link);
        return;
    }
    memcpy(((struct put *)(void *)op)->subject, person->subject, size);
    op->replied = put_replied;
    op->ended = put_failed;
    person->is_put = true;
    bus->putting++;
    if (!person->is_gone) {
        person->is_known = true;
        wsi_op_ask(op, person->subject, (struct wsi_bytes){person->bytes, person->len});
        return;
    }
    snprintf(subject, sizeof subject, "$JS.API.STREAM.PURGE.wsock-%s-people",
             bus->prefix);
    wsi_op_ask_text(op, subject, "{\"filter\":\"%s\"}", person->subject);
}

static void pump(struct wsi_bus *bus)
{
    struct wsi_list todo;

    /* Each once: what fails at once is unsaid again. */
    wsi_list_move(&todo, &bus->unsaid);
    while (bus->has_lists && bus->is_linked && bus->putting < WSI_NATS_PUTS_MAX &&
           !wsi_list_is_empty(&todo)) {
        struct person *person = WSI_CONTAINER_OF(wsi_list_pop(&todo), struct person,
                                                 link);

        if (person->is_put)
            wsi_list_append(&bus->unsaid, &person->link);
        else
            say(bus, person);
    }
    while (!wsi_list_is_empty(&bus->unsaid))
        wsi_list_append(&todo, wsi_list_pop(&bus->unsaid));
    wsi_list_move(&bus->unsaid, &todo);
}

static void say_all_again(struct wsi_bus *bus)
{
    WSI_LIST_EACH(node, &bus->all_entries)
    {
        struct person *person = WSI_CONTAINER_OF(node, struct person, all);

        if (wsi_list_is_empty(&person->link))
            wsi_list_append(&bus->unsaid, &person->link);
    }
}

void wsi_presence_lost(struct wsi_bus *bus)
{
    bus->has_lists = bus->lists_warned = false;
    bus->beaten_ms = 0;
}

/* ---- entries of rooms ---- */

struct change {
    struct wsi_op op; /* first */
    bool on;
    char *bytes; /* (owned, nullable) */
    size_t len;
    char subject[];
};

static struct person *add(struct wsi_bus *bus, const char *subject, uint64_t hash)
{
    const size_t size = strlen(subject) + 1;
    struct person *person = wsi_zalloc(sizeof *person + size);

    if (person == NULL)
        return NULL;
    memcpy(person->subject, subject, size);
    wsi_list_init(&person->link);
    if (wsi_table_add(&bus->entries, &person->by_name, hash) < 0) {
        wsi_free(person);
        return NULL;
    }
    wsi_list_append(&bus->all_entries, &person->all);
    return person;
}

static void change_now(struct wsi_op *op)
{
    struct change *change = (struct change *)(void *)op;
    struct wsi_bus *bus = op->bus;
    const uint64_t hash = wsi_hash(&bus->hash_key, change->subject,
                                   strlen(change->subject));
    struct person *person = find(bus, change->subject, hash);

    if (person == NULL && change->on)
        person = add(bus, change->subject, hash);
    if (person != NULL) {
        wsi_free(person->bytes);
        person->bytes = change->bytes;
        person->len = change->len;
        person->is_gone = !change->on;
        if (person->is_gone && !person->is_known)
            free_person(bus, person);
        else if (wsi_list_is_empty(&person->link))
            wsi_list_append(&bus->unsaid, &person->link);
    } else
        wsi_free(change->bytes);
    wsi_op_free(op);
    pump(bus);
}

static char *copy(struct wsi_bytes bytes)
{
    char *out = wsi_alloc(bytes.len + 1);

    if (out != NULL && bytes.len > 0)
        memcpy(out, bytes.data, bytes.len);
    return out;
}

int wsi_presence_submit(struct wsi_bus *bus, const char *room, const char *name,
                        struct wsi_bytes bytes, bool on)
{
    char subject[WSI_NATS_SUBJECT_SIZE];
    struct change *change;
    size_t n, size;
    int r;

    if (strlen(room) > WSI_NATS_ROOM_MAX || strlen(name) > WSI_NATS_NAME_MAX ||
        !wsi_subject(bus, subject, "p", room))
        return WSOCK_EINVAL;
    n = strlen(subject);
    n += (size_t)snprintf(subject + n, sizeof subject - n, ".%s.", bus->node_hex);
    if (!wsi_nats_encode(subject + n, sizeof subject - n, name))
        return WSOCK_EINVAL;
    size = strlen(subject) + 1;
    change = (struct change *)(void *)wsi_op_new(bus, sizeof *change + size, change_now);
    if (change == NULL)
        return WSOCK_ENOMEM;
    memcpy(change->subject, subject, size);
    change->op.is_due = !on;
    change->on = on;
    change->len = bytes.len;
    change->bytes = copy(bytes);
    if (change->bytes == NULL) {
        wsi_free(change);
        return WSOCK_ENOMEM;
    }
    char *bytes_copy = change->bytes;

    r = wsi_op_submit(&change->op, size + bytes.len);
    if (r < 0)
        wsi_free(bytes_copy);
    return r;
}

/* ---- nodes ---- */

struct beat {
    struct wsi_op op; /* first */
    uint64_t sent_ms;
};

/* If the beat before it may have expired, others may have had this node's entries removed
 * meanwhile. */
static void beat_heard(struct wsi_bus *bus, uint64_t sent_ms)
{
    const uint64_t before_ms = bus->beaten_ms;

    bus->beaten_ms = sent_ms;
    if (before_ms != 0 && wsi_bus_now() >= before_ms + 3 * bus->beat_ms) {
        say_all_again(bus);
        pump(bus);
    }
}

static void beat_replied(struct wsi_op *op, natsMsg *msg)
{
    struct wsi_bus *bus = op->bus;
    struct wsi_reply reply;

    wsi_reply_read(&reply, msg);
    natsMsg_Destroy(msg);
    if (reply.why[0] != '\0')
        wsi_lists_ensure(bus);
    else
        beat_heard(bus, ((struct beat *)(void *)op)->sent_ms);
    wsi_reply_fini(&reply);
    wsi_op_free(op);
}

static void beat(struct wsi_bus *bus)
{
    struct wsi_op *op = wsi_op_new(bus, sizeof(struct beat), NULL);
    char subject[WSI_NATS_SUBJECT_SIZE];

    if (op == NULL)
        return;
    op->replied = beat_replied;
    ((struct beat *)(void *)op)->sent_ms = wsi_bus_now();
    (void)wsi_subject(bus, subject, "n", bus->node_hex);
    wsi_op_ask(op, subject, (struct wsi_bytes){bus->description, bus->description_len});
}

/* The node comes first: entries of one that is not listed would be removed. */
void wsi_presence_beat(struct wsi_bus *bus)
{
    if (!bus->has_lists) {
        wsi_lists_ensure(bus);
        return;
    }
    beat(bus);
    pump(bus);
}

void wsi_presence_say(struct wsi_bus *bus)
{
    say_all_again(bus);
    wsi_presence_beat(bus);
}

struct describe {
    struct wsi_op op; /* first */
    char *bytes;      /* (owned) */
    size_t len;
};

static void describe_now(struct wsi_op *op)
{
    const struct describe *describe = (const struct describe *)(const void *)op;
    struct wsi_bus *bus = op->bus;

    wsi_free(bus->description);
    bus->description = describe->bytes;
    bus->description_len = describe->len;
    wsi_op_free(op);
    if (bus->has_lists)
        wsi_presence_beat(bus);
}

int wsi_presence_describe(struct wsi_bus *bus, struct wsi_bytes bytes)
{
    struct describe *describe = (struct describe *)(void *)wsi_op_new(
        bus, sizeof *describe, describe_now);
    char *text = copy(bytes);
    int r = WSOCK_ENOMEM;

    if (describe == NULL || text == NULL)
        wsi_free(describe);
    else {
        describe->bytes = text;
        describe->len = bytes.len;
        r = wsi_op_submit(&describe->op, bytes.len);
    }
    if (r < 0)
        wsi_free(text);
    return r;
}

static void left(struct wsi_op *op, natsMsg *msg)
{
    natsMsg_Destroy(msg);
    wsi_op_free(op);
}

/* @param to that place of the stream, which stays; 0: all. */
static void purge(struct wsi_bus *bus, const char *list, const char *before,
                  const char *hex, const char *after, uint64_t to)
{
    struct wsi_op *op = wsi_op_new(bus, sizeof *op, NULL);
    char subject[WSI_NATS_SUBJECT_SIZE];

    if (op == NULL)
        return;
    op->replied = left;
    snprintf(subject, sizeof subject, "$JS.API.STREAM.PURGE.wsock-%s-%s", bus->prefix,
             list);
    wsi_op_ask_text(op, subject, "{\"filter\":\"%s.%s%s%s\",\"seq\":%" PRIu64 "}",
                    bus->prefix, before, hex, after, to);
}

void wsi_presence_leave(struct wsi_bus *bus)
{
    if (!bus->has_lists || !bus->is_linked)
        return;
    bus->has_lists = false;
    purge(bus, "nodes", "n.", bus->node_hex, "", 0);
    purge(bus, "people", "p.*.", bus->node_hex, ".*", 0);
}

void wsi_presence_fini(struct wsi_bus *bus)
{
    WSI_LIST_EACH(node, &bus->all_entries)
    {
        free_person(bus, WSI_CONTAINER_OF(node, struct person, all));
    }
    wsi_table_fini(&bus->entries);
    wsi_free(bus->description);
}

/* ---- listing ---- */

struct list {
    struct wsi_fetch fetch; /* first */
    bool of_nodes;          /* and not of a room */
    natsMsg **people;       /* (owned) that were fetched first */
    size_t count;
    char subject[WSI_NATS_SUBJECT_SIZE]; /* of what is listed */
};

static void clear(struct list *list)
{
    wsi_fetch_clear(&list->fetch);
    for (size_t i = 0; i < list->count; i++)
        natsMsg_Destroy(list->people[i]);
    wsi_free(list->people);
    list->people = NULL;
    list->count = 0;
}

static void list_ended(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why)
{
    clear((struct list *)(void *)op);
    wsi_op_fail(op, outcome, why);
}

/* The token of a subject that has so many dots before it. */
static const char *token(const natsMsg *msg, unsigned dots, size_t *len)
{
    const char *at = natsMsg_GetSubject((natsMsg *)(uintptr_t)msg);

    while (dots-- > 0) {
        at = strchr(at, '.');
        if (at == NULL)
            return NULL;
        at++;
    }
    *len = strcspn(at, ".");
    return at;
}

static bool node_of(uint8_t *node, const natsMsg *msg, unsigned dots)
{
    size_t len;
    const char *hex = token(msg, dots, &len);

    return hex != NULL && wsi_node_from_hex(node, hex, len);
}

static bool is_alive(const struct list *list, const uint8_t *node)
{
    const struct wsi_bus *bus = list->fetch.op.bus;
    uint8_t other[WSI_BUS_NODE_ID_SIZE];

    if (memcmp(node, bus->node, sizeof other) == 0)
        return true;
    for (size_t i = 0; i < list->fetch.count; i++)
        if (node_of(other, list->fetch.msgs[i], 2) &&
            memcmp(node, other, sizeof other) == 0)
            return true;
    return false;
}

/* What a node that is gone has left is removed, but nothing that it says once it is back.
 */
static bool counts(const struct list *list, const uint8_t *node)
{
    char hex[WSI_NODE_HEX_SIZE];
    uint64_t newest = 0;
    int64_t time_ms;

    if (is_alive(list, node))
        return true;
    if (wsi_fetch_place(list->people[list->count - 1], &newest, &time_ms)) {
        wsi_node_hex(hex, node);
        purge(list->fetch.op.bus, "people", "p.*.", hex, ".*", newest + 1);
    }
    return false;
}

static void list_done(struct list *list, struct wsi_bus_entry *entries, char *names)
{
    struct wsi_bus_answer answer = {.outcome = WSI_BUS_DONE, .entries = entries};
    natsMsg **msgs = list->of_nodes ? list->fetch.msgs : list->people;
    const size_t there = list->of_nodes ? list->fetch.count : list->count;
    const size_t count = msgs != NULL ? there : 0;
    struct wsi_bus_receipt *receipt = list->fetch.op.receipt;
    uint8_t last[WSI_BUS_NODE_ID_SIZE] = {0};
    bool last_counts = false;

    for (size_t i = 0; i < count; i++) {
        struct wsi_bus_entry *entry = &entries[answer.count];
        char *name = names + answer.count * (WSI_NATS_NAME_MAX + 1);
        const char *text = "";
        size_t len = 0;

        if (!node_of(entry->node, msgs[i], list->of_nodes ? 2 : 3))
            continue;
        if (!list->of_nodes && (i == 0 || memcmp(last, entry->node, sizeof last) != 0)) {
            memcpy(last, entry->node, sizeof last);
            last_counts = counts(list, last);
        }
        if (!list->of_nodes)
            text = token(msgs[i], 4, &len);
        name[0] = '\0';
        if ((!list->of_nodes && !last_counts) || text == NULL ||
            (len > 0 && !wsi_nats_decode(name, WSI_NATS_NAME_MAX + 1, text, len)))
            continue;
        entry->name = name;
        entry->bytes = (struct wsi_bytes){natsMsg_GetData(msgs[i]),
                                          (size_t)natsMsg_GetDataLength(msgs[i])};
        answer.count++;
    }
    receipt->done(receipt, &answer);
    clear(list);
    wsi_op_free(&list->fetch.op);
}

struct place {
    const char *subject;
    size_t at;
};

static int compare(const void *a, const void *b)
{
    const struct place *one = a, *other = b;
    const int r = strcmp(one->subject, other->subject);

    return r != 0 ? r : one->at < other->at ? -1 : one->at > other->at;
}

/* What was said again meanwhile came twice: the later one counts. @return false without
 * memory. */
static bool drop_former(struct wsi_fetch *fetch)
{
    struct place *places = wsi_alloc_array(fetch->count + 1, sizeof *places);
    size_t kept = 0;

    if (places == NULL)
        return false;
    for (size_t i = 0; i < fetch->count; i++)
        places[i] = (struct place){natsMsg_GetSubject(fetch->msgs[i]), i};
    qsort(places, fetch->count, sizeof *places, compare);
    for (size_t i = 1; i < fetch->count; i++)
        if (strcmp(places[i - 1].subject, places[i].subject) == 0) {
            natsMsg_Destroy(fetch->msgs[places[i - 1].at]);
            fetch->msgs[places[i - 1].at] = NULL;
        }
    wsi_free(places);
    for (size_t i = 0; i < fetch->count; i++)
        if (fetch->msgs[i] != NULL)
            fetch->msgs[kept++] = fetch->msgs[i];
    fetch->count = kept;
    return true;
}

static void list_fetched(struct wsi_fetch *fetch)
{
    struct list *list = (struct list *)(void *)fetch;
    struct wsi_bus *bus = fetch->op.bus;
    struct wsi_bus_entry *entries;
    size_t count;
    char *names;

    if (!drop_former(fetch)) {
        list_ended(&fetch->op, WSI_BUS_FAILED, "out of memory");
        return;
    }
    if (!list->of_nodes && list->people == NULL && fetch->count > 0) {
        list->people = fetch->msgs;
        list->count = fetch->count;
        fetch->msgs = NULL;
        fetch->count = fetch->capacity = 0; /* their bytes count on */
        snprintf(fetch->stream, sizeof fetch->stream, "wsock-%s-nodes", bus->prefix);
        snprintf(fetch->subject, sizeof fetch->subject, "%s.n.*", bus->prefix);
        wsi_fetch_start(fetch);
        return;
    }
    count = list->of_nodes ? fetch->count : list->count;
    entries = wsi_alloc_array(count + 1, sizeof *entries);
    names = wsi_alloc_array(count + 1, WSI_NATS_NAME_MAX + 1);
    if (entries != NULL && names != NULL)
        list_done(list, entries, names);
    else
        list_ended(&fetch->op, WSI_BUS_FAILED, "out of memory");
    wsi_free(entries);
    wsi_free(names);
}

static void list_missing(struct wsi_fetch *fetch)
{
    clear((struct list *)(void *)fetch);
    wsi_lists_await(&fetch->op);
}

static void list_now(struct wsi_op *op)
{
    struct wsi_fetch *fetch = (struct wsi_fetch *)(void *)op;
    const struct list *list = (const struct list *)(const void *)op;
    struct wsi_bus *bus = op->bus;

    snprintf(fetch->stream, sizeof fetch->stream, "wsock-%s-%s", bus->prefix,
             list->of_nodes ? "nodes" : "people");
    memcpy(fetch->subject, list->subject, sizeof fetch->subject);
    wsi_fetch_start(fetch);
}

int wsi_presence_list(struct wsi_bus *bus, const char *room,
                      struct wsi_bus_receipt *receipt)
{
    struct list *list;
    char *subject;

    if (room != NULL && strlen(room) > WSI_NATS_ROOM_MAX)
        return WSOCK_EINVAL;
    if (!atomic_load(&bus->is_up))
        return WSOCK_EAGAIN;
    list = (struct list *)(void *)wsi_op_new(bus, sizeof *list, list_now);
    if (list == NULL)
        return WSOCK_ENOMEM;
    subject = list->subject;
    list->of_nodes = room == NULL;
    list->fetch.op.receipt = receipt;
    list->fetch.op.ended = list_ended;
    list->fetch.op.is_read = true;
    list->fetch.one_each = true;
    list->fetch.fetched = list_fetched;
    list->fetch.missing = list_missing;
    if (room == NULL)
        snprintf(subject, WSI_NATS_SUBJECT_SIZE, "%s.n.*", bus->prefix);
    else {
        (void)wsi_subject(bus, subject, "p", room);
        strncat(subject, ".*.*", WSI_NATS_SUBJECT_SIZE - strlen(subject) - 1);
    }
    return wsi_op_submit(&list->fetch.op, sizeof *list);
}
