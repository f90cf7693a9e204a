/* SPDX-License-Identifier: MIT */
/* The adapter within the process: what a node asks of the broker, and what goes wrong. */
#include "cluster/memory.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/memory_node.h"
#include "core/alloc.h"

static const char scheme[] = "memory:";

/* ---- life ---- */

static int parse(const char *url, char *why)
{
    const size_t len = sizeof scheme - 1;

    if (strncmp(url, scheme, len) == 0 && url[len] != '\0' &&
        strlen(url + len) <= WSI_BROKER_NAME_MAX)
        return 0;
    snprintf(why, WSI_BUS_WHY_SIZE, "memory: is followed by a name of 1 to %d bytes",
             WSI_BROKER_NAME_MAX);
    return WSOCK_EURL;
}

static int open_bus(struct wsi_bus **out, const struct wsi_bus_services *services,
                    const struct wsi_bus_config *config, struct wsi_bus_handler *handler,
                    char *why)
{
    struct wsi_pool *pool = services->pool;
    struct wsi_bus *bus = wsi_zalloc(sizeof *bus);

    if (bus != NULL)
        bus->broker = wsi_broker_get(config->url + sizeof scheme - 1, true);
    if (bus == NULL || bus->broker == NULL) {
        snprintf(why, WSI_BUS_WHY_SIZE, "%s", wsock_strerror(WSOCK_ENOMEM));
        wsi_free(bus);
        return WSOCK_ENOMEM;
    }
    bus->services = *services;
    bus->handler = handler;
    bus->worker = wsi_pool_pick(pool);
    memcpy(bus->id, config->node, sizeof bus->id);
    bus->queue_bytes = config->queue_bytes;
    bus->answer_bytes = config->answer_bytes;
    wsi_bus_init(bus);
    pthread_mutex_lock(&bus->broker->lock);
    wsi_list_append(&bus->broker->buses, &bus->node);
    if (wsi_bus_is_up(bus))
        wsi_bus_come_up(bus);
    pthread_mutex_unlock(&bus->broker->lock);
    *out = bus;
    return 0;
}

static void free_waiting(struct wsi_bus *bus, struct wsi_waiting *waiting)
{
    bus->waiting_bytes -= sizeof *waiting + waiting->bytes->len;
    wsi_list_remove(&waiting->node);
    wsi_blob_unref(waiting->bytes);
    wsi_free(waiting);
}

static void answer_with(struct wsi_bus *bus, struct wsi_answer *answer,
                        enum wsi_bus_outcome outcome, const char *why)
{
    answer->answer.outcome = outcome;
    answer->answer.why = why;
    wsi_bus_tell(bus, &answer->event);
}

static void close_bus(struct wsi_bus *bus)
{
    struct wsi_broker *broker = bus->broker;

    pthread_mutex_lock(&broker->lock);
    bus->closing = true;
    wsi_list_remove(&bus->node);
    wsi_bus_lose(bus);
    WSI_LIST_EACH(node, &bus->waiting)
    {
        struct wsi_waiting *waiting = WSI_CONTAINER_OF(node, struct wsi_waiting, node);

        answer_with(bus, waiting->answer, WSI_BUS_FAILED, "the server is stopping");
        free_waiting(bus, waiting);
    }
    bus->went_away = bus->came_up = false;
    wsi_bus_schedule(bus);
    pthread_mutex_unlock(&broker->lock);
}

static void free_person(struct wsi_bus_person *person)
{
    wsi_blob_unref(person->bytes);
    wsi_free(person);
}

/* On the worker: nobody can find it any more. */
void wsi_bus_finish(struct wsi_bus *bus)
{
    struct wsi_bus_handler *handler = bus->handler;

    wsi_timer_stop(&bus->timer);
    wsi_free(bus->all);
    for (size_t i = 0; i < bus->rooms.bucket_count; i++)
        for (struct wsi_table_node *node = bus->rooms.buckets[i], *next; node != NULL;
             node = next) {
            next = node->next;
            wsi_free(WSI_CONTAINER_OF(node, struct wsi_subscription, node));
        }
    for (size_t i = 0; i < bus->entries.bucket_count; i++)
        for (struct wsi_table_node *node = bus->entries.buckets[i], *next; node != NULL;
             node = next) {
            next = node->next;
            free_person(WSI_CONTAINER_OF(node, struct wsi_bus_person, node));
        }
    wsi_table_fini(&bus->rooms);
    wsi_table_fini(&bus->entries);
    wsi_blob_unref(bus->description);
    wsi_broker_drop(bus->broker);
    wsi_free(bus);
    handler->closed(handler);
}

/* ---- subscriptions ---- */

static struct wsi_subscription *new_subscription(const char *room)
{
    const size_t size = strlen(room) + 1;
    struct wsi_subscription *subscription = wsi_zalloc(sizeof *subscription + size);

    if (subscription == NULL)
        return NULL;
    subscription->event.kind = WSI_BUS_SUBSCRIBED;
    memcpy(subscription->room, room, size);
    return subscription;
}

/* With the lock held. */
static void end_subscription(struct wsi_subscription *subscription)
{
    subscription->ended = true;
    if (!subscription->queued)
        wsi_free(subscription);
}

static int subscribe(struct wsi_bus *bus, const char *room)
{
    struct wsi_subscription *subscription = new_subscription(room);
    int r;

    if (subscription == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&bus->broker->lock);
    r = wsi_table_add(&bus->rooms, &subscription->node,
                      wsi_broker_hash(bus->broker, room));
    if (r == 0 && wsi_bus_is_up(bus))
        wsi_bus_tell_subscribed(bus, subscription);
    pthread_mutex_unlock(&bus->broker->lock);
    if (r < 0)
        wsi_free(subscription);
    return r;
}

static void unsubscribe(struct wsi_bus *bus, const char *room)
{
    struct wsi_subscription *subscription;

    pthread_mutex_lock(&bus->broker->lock);
    subscription = wsi_bus_subscription(bus, room);
    if (subscription != NULL) {
        wsi_table_remove(&bus->rooms, &subscription->node);
        end_subscription(subscription);
    }
    pthread_mutex_unlock(&bus->broker->lock);
}

static int subscribe_all(struct wsi_bus *bus, bool on)
{
    struct wsi_subscription *subscription = on ? new_subscription("") : NULL;

    if (on && subscription == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&bus->broker->lock);
    if (bus->all != NULL)
        end_subscription(bus->all);
    bus->all = subscription;
    if (on && wsi_bus_is_up(bus))
        wsi_bus_tell_subscribed(bus, subscription);
    pthread_mutex_unlock(&bus->broker->lock);
    return 0;
}

/* ---- answers ---- */

/* @return (owned, nullable) NULL without memory. */
static struct wsi_answer *new_answer(struct wsi_bus_receipt *receipt)
{
    struct wsi_answer *answer = wsi_zalloc(sizeof *answer);

    if (answer == NULL)
        return NULL;
    answer->event.kind = WSI_BUS_ANSWER;
    answer->receipt = receipt;
    return answer;
}

/* With the lock held: it is done, but that may get lost. */
static void answer_done(struct wsi_bus *bus, struct wsi_answer *answer)
{
    if (wsi_broker_meets(bus->broker, WSI_FAULT_LOSE_ANSWERS))
        answer_with(bus, answer, WSI_BUS_UNKNOWN, "the broker did not answer");
    else
        answer_with(bus, answer, WSI_BUS_DONE, NULL);
}

/* ---- messages ---- */

static struct wsi_blob *copy_bytes(struct wsi_bytes bytes)
{
    struct wsi_blob *blob = wsi_blob_new(bytes.len);

    if (blob == NULL)
        return NULL;
    if (bytes.len > 0)
        memcpy(blob->data, bytes.data, bytes.len);
    blob->len = bytes.len;
    return blob;
}

static int publish(struct wsi_bus *bus, const struct wsi_bus_channel *channel,
                   struct wsi_bytes bytes, struct wsi_bus_receipt *receipt)
{
    struct wsi_answer *answer = receipt != NULL ? new_answer(receipt) : NULL;
    struct wsi_blob *blob = copy_bytes(bytes);
    int r = blob == NULL || (receipt != NULL && answer == NULL) ? WSOCK_ENOMEM : 0;

    pthread_mutex_lock(&bus->broker->lock);
    if (r == 0 && !wsi_bus_is_up(bus))
        r = WSOCK_EAGAIN;
    if (r == 0)
        wsi_broker_spread(bus->broker, channel, 0, NULL, blob);
    if (r == 0 && answer != NULL)
        answer_done(bus, answer);
    pthread_mutex_unlock(&bus->broker->lock);
    wsi_blob_unref(blob);
    if (r < 0)
        wsi_free(answer);
    return r;
}

static int64_t calendar_ms(const struct wsi_bus *bus)
{
    return wsi_pool_calendar_ms(bus->services.pool);
}

/* With the lock held. @return (borrowed, nullable) NULL without memory. */
static struct wsi_stream *get_stream(struct wsi_bus *bus, const char *room,
                                     const struct wsi_bus_position *seen)
{
    uint64_t epoch = 0;

    while (epoch == 0)
        bus->services.random(bus->services.pool, &epoch, sizeof epoch);
    return wsi_streams_get(&bus->broker->streams, room, seen, epoch);
}

/* With the lock held: the broker gets it. @param answer (consumed) */
static void store(struct wsi_bus *bus, const struct wsi_waiting *waiting,
                  struct wsi_answer *answer)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = waiting->room};
    struct wsi_stream *stream = get_stream(bus, waiting->room, &waiting->seen);
    struct wsi_stream_entry *entry;
    struct wsi_bus_kept kept;
    int r = WSOCK_ENOMEM;

    if (stream != NULL && bus->broker->fault[WSI_FAULT_REFUSE] == 0)
        r = wsi_stream_append(stream, &entry, waiting->bytes, &waiting->id,
                              calendar_ms(bus));
    if (r < 0) {
        answer_with(bus, answer, WSI_BUS_FAILED, "the broker is out of memory");
        return;
    }
    kept = (struct wsi_bus_kept){
        .offset = entry->offset, .prev = entry->offset - 1, .time_ms = entry->time_ms};
    answer->answer.position = (struct wsi_bus_position){stream->epoch, kept.offset};
    answer->answer.time_ms = kept.time_ms;
    if (r > 0)
        wsi_broker_spread(bus->broker, &channel, stream->epoch, &kept, waiting->bytes);
    wsi_stream_trim(stream, &waiting->window, calendar_ms(bus));
    answer_done(bus, answer);
}

/* What is told of one may cut the link, which is up again at once. */
void wsi_bus_run_waiting(struct wsi_bus *bus)
{
    struct wsi_list *node;

    if (bus->runs_waiting)
        return;
    bus->runs_waiting = true;
    while (wsi_bus_is_up(bus) && (node = wsi_list_pop(&bus->waiting)) != NULL) {
        struct wsi_waiting *waiting = WSI_CONTAINER_OF(node, struct wsi_waiting, node);

        store(bus, waiting, waiting->answer);
        free_waiting(bus, waiting);
    }
    bus->runs_waiting = false;
}

/* @return (owned, nullable) NULL without memory. */
static struct wsi_waiting *new_waiting(const char *room, struct wsi_bytes bytes)
{
    const size_t size = strlen(room) + 1;
    struct wsi_waiting *waiting = wsi_zalloc(sizeof *waiting + size);

    if (waiting == NULL)
        return NULL;
    waiting->bytes = copy_bytes(bytes);
    if (waiting->bytes == NULL) {
        wsi_free(waiting);
        return NULL;
    }
    wsi_list_init(&waiting->node);
    memcpy(waiting->room, room, size);
    return waiting;
}

/* With the lock held. @param waiting (consumed on success) */
static int store_or_wait(struct wsi_bus *bus, struct wsi_waiting *waiting)
{
    bus->waiting_bytes += sizeof *waiting + waiting->bytes->len;
    if (wsi_bus_is_up(bus)) {
        store(bus, waiting, waiting->answer);
        free_waiting(bus, waiting);
        return 0;
    }
    if (bus->waiting_bytes <= bus->queue_bytes) {
        wsi_list_append(&bus->waiting, &waiting->node);
        return 0;
    }
    bus->waiting_bytes -= sizeof *waiting + waiting->bytes->len;
    return WSOCK_EAGAIN;
}

static int append(struct wsi_bus *bus, const char *room, struct wsi_bytes bytes,
                  const struct wsi_bus_id *id, const struct wsi_bus_window *window,
                  const struct wsi_bus_position *seen, struct wsi_bus_receipt *receipt)
{
    struct wsi_waiting *waiting = new_waiting(room, bytes);
    struct wsi_answer *answer = waiting != NULL ? new_answer(receipt) : NULL;
    int r = WSOCK_ENOMEM;

    if (answer != NULL) {
        waiting->answer = answer;
        waiting->id = *id;
        waiting->window = *window;
        waiting->seen = *seen;
        pthread_mutex_lock(&bus->broker->lock);
        r = store_or_wait(bus, waiting);
        pthread_mutex_unlock(&bus->broker->lock);
    }
    if (r < 0) {
        wsi_free(answer);
        if (waiting != NULL)
            wsi_blob_unref(waiting->bytes);
        wsi_free(waiting);
    }
    return r;
}

/* With the lock held. @return 0; WSOCK_ENOMEM, and the answer can be freed. */
static int fill_kept(struct wsi_answer *answer, const struct wsi_stream *stream)
{
    size_t i = 0;

    if (stream->count == 0)
        return 0;
    answer->kept = wsi_alloc_array(stream->count, sizeof *answer->kept);
    answer->blobs = wsi_alloc_array(stream->count, sizeof(struct wsi_blob *));
    if (answer->kept == NULL || answer->blobs == NULL)
        return WSOCK_ENOMEM;
    WSI_LIST_EACH(node, &stream->entries)
    {
        const struct wsi_stream_entry *entry = WSI_CONTAINER_OF(
            node, struct wsi_stream_entry, node);

        answer->blobs[i] = wsi_blob_ref(entry->bytes);
        answer->kept[i++] = (struct wsi_bus_kept){
            .offset = entry->offset,
            .prev = entry->offset - 1,
            .time_ms = entry->time_ms,
            .bytes = {entry->bytes->data, entry->bytes->len},
        };
    }
    answer->answer.count = i;
    answer->answer.kept = answer->kept;
    return 0;
}

/* With the lock held. @param answer consumed on success. */
static int load_now(struct wsi_bus *bus, const char *room,
                    const struct wsi_bus_window *window,
                    const struct wsi_bus_position *seen, struct wsi_answer *answer)
{
    struct wsi_stream *stream;

    if (!wsi_bus_is_up(bus))
        return WSOCK_EAGAIN;
    stream = get_stream(bus, room, seen);
    if (stream == NULL)
        return WSOCK_ENOMEM;
    wsi_stream_trim(stream, window, calendar_ms(bus));
    answer->answer.position = (struct wsi_bus_position){stream->epoch, stream->last};
    answer->answer.time_ms = calendar_ms(bus);
    if (stream->bytes > bus->answer_bytes) {
        answer_with(bus, answer, WSI_BUS_FAILED,
                    "the answer is larger than cluster_answer_bytes");
        return 0;
    }
    if (fill_kept(answer, stream) < 0)
        return WSOCK_ENOMEM;
    answer_done(bus, answer);
    return 0;
}

static int load(struct wsi_bus *bus, const char *room,
                const struct wsi_bus_window *window, const struct wsi_bus_position *seen,
                struct wsi_bus_receipt *receipt)
{
    struct wsi_answer *answer = new_answer(receipt);
    int r;

    if (answer == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&bus->broker->lock);
    r = load_now(bus, room, window, seen, answer);
    pthread_mutex_unlock(&bus->broker->lock);
    if (r < 0)
        wsi_answer_free(answer);
    return r;
}

/* ---- people and nodes ---- */

static struct wsi_bus_person *person_of(struct wsi_table_node *node)
{
    return WSI_CONTAINER_OF(node, struct wsi_bus_person, node);
}

/* With the lock held. */
static struct wsi_bus_person *find_person(const struct wsi_bus *bus, const char *room,
                                          const char *name)
{
    struct wsi_table_node *node = wsi_table_find(&bus->entries,
                                                 wsi_broker_hash(bus->broker, room) +
                                                     wsi_broker_hash(bus->broker, name));

    while (node != NULL && (strcmp(person_of(node)->room, room) != 0 ||
                            strcmp(person_of(node)->name, name) != 0))
        node = wsi_table_find_next(node);
    return node != NULL ? person_of(node) : NULL;
}

static struct wsi_bus_person *new_person(const char *room, const char *name,
                                         struct wsi_bytes bytes)
{
    const size_t room_size = strlen(room) + 1, name_size = strlen(name) + 1;
    struct wsi_bus_person *person = wsi_zalloc(sizeof *person + room_size + name_size);

    if (person == NULL)
        return NULL;
    person->bytes = copy_bytes(bytes);
    if (person->bytes == NULL) {
        wsi_free(person);
        return NULL;
    }
    memcpy(person->room, room, room_size);
    memcpy(person->room + room_size, name, name_size);
    person->name = person->room + room_size;
    return person;
}

static int present(struct wsi_bus *bus, const char *room, const char *name,
                   struct wsi_bytes bytes)
{
    struct wsi_bus_person *person = new_person(room, name, bytes), *former;
    int r;

    if (person == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&bus->broker->lock);
    former = find_person(bus, room, name);
    r = wsi_table_add(&bus->entries, &person->node,
                      wsi_broker_hash(bus->broker, room) +
                          wsi_broker_hash(bus->broker, name));
    if (r == 0 && former != NULL)
        wsi_table_remove(&bus->entries, &former->node);
    pthread_mutex_unlock(&bus->broker->lock);
    if (r < 0)
        free_person(person);
    else if (former != NULL)
        free_person(former);
    return r;
}

static void absent(struct wsi_bus *bus, const char *room, const char *name)
{
    struct wsi_bus_person *person;

    pthread_mutex_lock(&bus->broker->lock);
    person = find_person(bus, room, name);
    if (person != NULL)
        wsi_table_remove(&bus->entries, &person->node);
    pthread_mutex_unlock(&bus->broker->lock);
    if (person != NULL)
        free_person(person);
}

/* With the lock held: one more for a list. @param bytes (nullable) */
static int list_one(struct wsi_answer *answer, const struct wsi_bus *bus,
                    const char *name, struct wsi_blob *bytes)
{
    const size_t i = answer->answer.count;
    struct wsi_bus_entry *entries;
    struct wsi_blob **blobs;
    char *copy;

    entries = wsi_realloc(answer->entries, (i + 1) * sizeof *entries);
    if (entries == NULL)
        return WSOCK_ENOMEM;
    answer->answer.entries = answer->entries = entries;
    blobs = wsi_realloc(answer->blobs, (i + 1) * sizeof *blobs);
    if (blobs == NULL)
        return WSOCK_ENOMEM;
    answer->blobs = blobs;
    copy = wsi_strdup(name);
    if (copy == NULL)
        return WSOCK_ENOMEM;
    entries[i] = (struct wsi_bus_entry){.name = copy};
    memcpy(entries[i].node, bus->id, sizeof bus->id);
    if (bytes != NULL)
        entries[i].bytes = (struct wsi_bytes){bytes->data, bytes->len};
    blobs[i] = bytes != NULL ? wsi_blob_ref(bytes) : NULL;
    answer->answer.count++;
    return 0;
}

/* With the lock held. @param room (nullable) NULL: of the nodes themselves. */
static int list_node(struct wsi_answer *answer, const struct wsi_bus *bus,
                     const char *room)
{
    int r = 0;

    if (room == NULL)
        return list_one(answer, bus, "", bus->description);
    for (size_t i = 0; r == 0 && i < bus->entries.bucket_count; i++)
        for (struct wsi_table_node *node = bus->entries.buckets[i];
             r == 0 && node != NULL; node = node->next)
            if (strcmp(person_of(node)->room, room) == 0)
                r = list_one(answer, bus, person_of(node)->name, person_of(node)->bytes);
    return r;
}

static int list(struct wsi_bus *bus, const char *room, struct wsi_bus_receipt *receipt)
{
    struct wsi_answer *answer = new_answer(receipt);
    int r = 0;

    if (answer == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&bus->broker->lock);
    if (!wsi_bus_is_up(bus))
        r = WSOCK_EAGAIN;
    WSI_LIST_EACH(node, &bus->broker->buses)
    {
        if (r == 0 && wsi_bus_is_up(wsi_bus_of(node)))
            r = list_node(answer, wsi_bus_of(node), room);
    }
    if (r == 0)
        answer_done(bus, answer);
    pthread_mutex_unlock(&bus->broker->lock);
    if (r < 0)
        wsi_answer_free(answer);
    return r;
}

static int nodes(struct wsi_bus *bus, struct wsi_bus_receipt *receipt)
{
    return list(bus, NULL, receipt);
}

static int describe(struct wsi_bus *bus, struct wsi_bytes bytes)
{
    struct wsi_blob *blob = copy_bytes(bytes), *former;

    if (blob == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&bus->broker->lock);
    former = bus->description;
    bus->description = blob;
    pthread_mutex_unlock(&bus->broker->lock);
    wsi_blob_unref(former);
    return 0;
}

static const char *const schemes[] = {"memory", NULL};

const struct wsi_bus_type wsi_bus_memory = {
    .version = WSI_BUS_VERSION,
    .schemes = schemes,
    .parse = parse,
    .open = open_bus,
    .close = close_bus,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .subscribe_all = subscribe_all,
    .publish = publish,
    .append = append,
    .load = load,
    .present = present,
    .absent = absent,
    .present_list = list,
    .describe = describe,
    .nodes = nodes,
};

/* ---- faults ---- */

/* With the lock held: the links of all, or of one, go, and come again if they may. */
static void cut_links(struct wsi_broker *broker)
{
    WSI_LIST_EACH(node, &broker->buses)
    {
        wsi_bus_go_away(wsi_bus_of(node));
        if (wsi_bus_is_up(wsi_bus_of(node)))
            wsi_bus_come_up(wsi_bus_of(node));
    }
}

/* With the lock held. */
static int apply(struct wsi_broker *broker, enum wsi_bus_fault fault, uint64_t value)
{
    struct wsi_streams copy = {.key = broker->streams.key};
    int r = 0;

    broker->fault[fault] = value;
    if (fault == WSI_FAULT_REMEMBER) {
        wsi_streams_clear(&broker->dump);
        return wsi_streams_copy(&broker->dump, &broker->streams);
    }
    if (fault == WSI_FAULT_RESTORE)
        r = wsi_streams_copy(&copy, &broker->dump);
    if (r < 0)
        return r;
    if (fault == WSI_FAULT_RESTORE || fault == WSI_FAULT_EMPTY) {
        wsi_streams_clear(&broker->streams);
        broker->streams = copy;
    }
    if (fault == WSI_FAULT_RESTORE || fault == WSI_FAULT_EMPTY || fault == WSI_FAULT_AWAY)
        cut_links(broker);
    return 0;
}

int wsi_bus_memory_fault(const char *name, enum wsi_bus_fault fault, uint64_t value)
{
    struct wsi_broker *broker = wsi_broker_get(name, false);
    int r;

    if (broker == NULL)
        return WSOCK_ENOENT;
    pthread_mutex_lock(&broker->lock);
    r = apply(broker, fault, value);
    pthread_mutex_unlock(&broker->lock);
    wsi_broker_drop(broker);
    return r;
}

static bool is_described(const struct wsi_bus *bus, const char *description)
{
    const struct wsi_blob *own = bus->description;

    return own != NULL &&
           memmem(own->data, own->len, description, strlen(description)) != NULL;
}

int wsi_bus_memory_cut(const char *name, const char *description, bool cut)
{
    struct wsi_broker *broker = wsi_broker_get(name, false);
    int r = WSOCK_ENOENT;

    if (broker == NULL)
        return r;
    pthread_mutex_lock(&broker->lock);
    WSI_LIST_EACH(node, &broker->buses)
    {
        struct wsi_bus *bus = wsi_bus_of(node);

        if (!is_described(bus, description))
            continue;
        r = 0;
        bus->cut = cut;
        if (cut)
            wsi_bus_go_away(bus);
        else if (wsi_bus_is_up(bus))
            wsi_bus_come_up(bus);
    }
    pthread_mutex_unlock(&broker->lock);
    wsi_broker_drop(broker);
    return r;
}
