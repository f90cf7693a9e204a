/* SPDX-License-Identifier: MIT */
/* Brokers by name, and the events of their nodes. */
#include "cluster/memory_node.h"

#include <stdio.h>
#include <string.h>

#include "cluster/node_id.h"
#include "core/alloc.h"

static pthread_mutex_t brokers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wsi_list brokers = {&brokers, &brokers};

/* ---- brokers ---- */

/* With their lock held. */
static struct wsi_broker *find_broker(const char *name)
{
    WSI_LIST_EACH(node, &brokers)
    {
        struct wsi_broker *broker = WSI_CONTAINER_OF(node, struct wsi_broker, node);

        if (strcmp(broker->name, name) == 0)
            return broker;
    }
    return NULL;
}

static struct wsi_broker *make_broker(const char *name)
{
    const size_t size = strlen(name) + 1;
    struct wsi_broker *broker = wsi_zalloc(sizeof *broker + size);

    if (broker == NULL)
        return NULL;
    pthread_mutex_init(&broker->lock, NULL);
    wsi_list_init(&broker->buses);
    wsi_streams_init(&broker->streams);
    broker->dump = broker->streams;
    broker->drawn = 1;
    memcpy(broker->name, name, size);
    wsi_list_append(&brokers, &broker->node);
    return broker;
}

struct wsi_broker *wsi_broker_get(const char *name, bool create)
{
    struct wsi_broker *broker;

    pthread_mutex_lock(&brokers_lock);
    broker = find_broker(name);
    if (broker == NULL && create)
        broker = make_broker(name);
    if (broker != NULL)
        broker->uses++;
    pthread_mutex_unlock(&brokers_lock);
    return broker;
}

void wsi_broker_drop(struct wsi_broker *broker)
{
    bool last;

    pthread_mutex_lock(&brokers_lock);
    last = --broker->uses == 0;
    if (last)
        wsi_list_remove(&broker->node);
    pthread_mutex_unlock(&brokers_lock);
    if (!last)
        return;
    wsi_streams_clear(&broker->streams);
    wsi_streams_clear(&broker->dump);
    pthread_mutex_destroy(&broker->lock);
    wsi_free(broker);
}

bool wsi_broker_meets(struct wsi_broker *broker, enum wsi_bus_fault fault)
{
    if (broker->fault[fault] == 0)
        return false;
    broker->drawn = broker->drawn * 6364136223846793005u + 1442695040888963407u;
    return (broker->drawn >> 33) % broker->fault[fault] == 0;
}

/* ---- events; all of this with the broker's lock held ---- */

uint64_t wsi_broker_hash(const struct wsi_broker *broker, const char *name)
{
    return wsi_hash(&broker->streams.key, name, strlen(name));
}

void wsi_bus_schedule(struct wsi_bus *bus)
{
    if (bus->scheduled)
        return;
    bus->scheduled = true;
    wsi_worker_push(bus->worker, &bus->mail);
}

void wsi_bus_tell(struct wsi_bus *bus, struct wsi_bus_event *event)
{
    const uint64_t due = bus->services.now_ms(bus->services.pool) +
                         bus->broker->fault[WSI_FAULT_SLOW];

    if (due > bus->due_ms)
        bus->due_ms = due;
    event->due_ms = bus->due_ms;
    event->next = NULL;
    *bus->last = event;
    bus->last = &event->next;
    wsi_bus_schedule(bus);
}

static void free_arrival(struct wsi_arrived *arrival)
{
    wsi_blob_unref(arrival->bytes);
    wsi_free(arrival);
}

void wsi_answer_free(struct wsi_answer *answer)
{
    for (size_t i = 0; i < answer->answer.count; i++) {
        if (answer->blobs != NULL)
            wsi_blob_unref(answer->blobs[i]);
        if (answer->entries != NULL)
            wsi_free((char *)answer->entries[i].name);
    }
    wsi_free(answer->kept);
    wsi_free(answer->entries);
    wsi_free(answer->blobs);
    wsi_free(answer);
}

void wsi_bus_tell_subscribed(struct wsi_bus *bus, struct wsi_subscription *subscription)
{
    if (subscription->queued)
        return;
    subscription->queued = true;
    wsi_bus_tell(bus, &subscription->event);
}

static size_t cost_of(const struct wsi_arrived *arrival)
{
    return sizeof *arrival + arrival->bytes->len;
}

/* What was under way to this node is lost. */
void wsi_bus_lose(struct wsi_bus *bus)
{
    struct wsi_bus_event *event = bus->first;

    bus->first = NULL;
    bus->last = &bus->first;
    while (event != NULL) {
        struct wsi_bus_event *next = event->next;

        if (event->kind == WSI_BUS_ARRIVED) {
            bus->arrived_bytes -= cost_of((struct wsi_arrived *)event);
            free_arrival((struct wsi_arrived *)event);
        } else if (event->kind == WSI_BUS_ANSWER) {
            struct wsi_bus_answer *answer = &((struct wsi_answer *)event)->answer;

            if (answer->outcome == WSI_BUS_DONE && !bus->closing) {
                answer->outcome = WSI_BUS_UNKNOWN;
                answer->why = "the broker went away";
            }
            wsi_bus_tell(bus, event);
        } else if (((struct wsi_subscription *)event)->ended) {
            wsi_free(event);
        } else {
            ((struct wsi_subscription *)event)->queued = false;
        }
        event = next;
    }
}

void wsi_bus_go_away(struct wsi_bus *bus)
{
    if (!bus->linked)
        return;
    wsi_bus_lose(bus);
    bus->linked = bus->came_up = false;
    bus->went_away = true;
    wsi_bus_schedule(bus);
}

void wsi_bus_come_up(struct wsi_bus *bus)
{
    bus->linked = bus->came_up = true;
    if (bus->all != NULL)
        wsi_bus_tell_subscribed(bus, bus->all);
    for (size_t i = 0; i < bus->rooms.bucket_count; i++)
        for (struct wsi_table_node *node = bus->rooms.buckets[i]; node != NULL;
             node = node->next)
            wsi_bus_tell_subscribed(
                bus, WSI_CONTAINER_OF(node, struct wsi_subscription, node));
    wsi_bus_schedule(bus);
    wsi_bus_run_waiting(bus);
}

struct wsi_subscription *wsi_bus_subscription(const struct wsi_bus *bus, const char *room)
{
    struct wsi_table_node *node = wsi_table_find(&bus->rooms,
                                                 wsi_broker_hash(bus->broker, room));

    while (node != NULL &&
           strcmp(WSI_CONTAINER_OF(node, struct wsi_subscription, node)->room, room) != 0)
        node = wsi_table_find_next(node);
    return node != NULL ? WSI_CONTAINER_OF(node, struct wsi_subscription, node) : NULL;
}

/* As brokers do it, who cannot be told has lost his link: for want of memory, or because
 * he takes too little of what he was told. */
static void tell_arrived(struct wsi_bus *bus, const struct wsi_bus_channel *channel,
                         uint64_t epoch, const struct wsi_bus_kept *kept,
                         struct wsi_blob *bytes)
{
    const char *name = channel->name != NULL ? channel->name : "";
    const size_t size = strlen(name) + 1;
    struct wsi_arrived *arrival = wsi_zalloc(sizeof *arrival + size);

    if (arrival == NULL || bus->arrived_bytes > bus->queue_bytes + bus->answer_bytes ||
        wsi_broker_meets(bus->broker, WSI_FAULT_LOSE_LINKS)) {
        wsi_free(arrival);
        wsi_bus_go_away(bus);
        wsi_bus_come_up(bus);
        return;
    }
    if (wsi_broker_meets(bus->broker, WSI_FAULT_LOSE_MESSAGES)) {
        wsi_free(arrival);
        return;
    }
    arrival->event.kind = WSI_BUS_ARRIVED;
    arrival->channel = channel->kind;
    arrival->is_kept = kept != NULL;
    arrival->epoch = epoch;
    if (kept != NULL)
        arrival->kept = *kept;
    arrival->bytes = wsi_blob_ref(bytes);
    memcpy(arrival->name, name, size);
    bus->arrived_bytes += cost_of(arrival);
    wsi_bus_tell(bus, &arrival->event);
}

/* How many of its subscriptions a message meets. */
static int count_ways(const struct wsi_bus *bus, const struct wsi_bus_channel *channel)
{
    char hex[WSI_NODE_HEX_SIZE];

    switch (channel->kind) {
    case WSI_BUS_ALL:
        return 1;
    case WSI_BUS_NODE:
        wsi_node_hex(hex, bus->id);
        return strcmp(hex, channel->name) == 0;
    default:
        return (bus->all != NULL) + (wsi_bus_subscription(bus, channel->name) != NULL);
    }
}

void wsi_broker_spread(struct wsi_broker *broker, const struct wsi_bus_channel *channel,
                       uint64_t epoch, const struct wsi_bus_kept *kept,
                       struct wsi_blob *bytes)
{
    WSI_LIST_EACH(node, &broker->buses)
    {
        struct wsi_bus *bus = wsi_bus_of(node);
        int ways = wsi_bus_is_up(bus) ? count_ways(bus, channel) : 0;

        if (ways > 0 && wsi_broker_meets(broker, WSI_FAULT_TWICE))
            ways++;
        for (; ways > 0; ways--)
            tell_arrived(bus, channel, epoch, kept, bytes);
    }
}

/* ---- telling, on the worker ---- */

static void call_arrived(struct wsi_bus *bus, struct wsi_arrived *arrival)
{
    const struct wsi_bus_channel channel = {
        .kind = arrival->channel,
        .name = arrival->channel != WSI_BUS_ALL ? arrival->name : NULL};
    const struct wsi_bytes bytes = {arrival->bytes->data, arrival->bytes->len};

    bus->handler->arrived(bus->handler, &channel, arrival->epoch,
                          arrival->is_kept ? &arrival->kept : NULL, bytes);
    free_arrival(arrival);
}

/* @param room as of then: the subscription may have ended meanwhile. */
static void call_subscribed(struct wsi_bus *bus, const char *room)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM,
                                            .name = *room != '\0' ? room : NULL};

    bus->handler->subscribed(bus->handler, &channel);
}

static void call(struct wsi_bus *bus, struct wsi_bus_event *event, const char *room)
{
    if (event == NULL) {
        call_subscribed(bus, room);
    } else if (event->kind == WSI_BUS_ARRIVED) {
        call_arrived(bus, (struct wsi_arrived *)event);
    } else {
        struct wsi_answer *answer = (struct wsi_answer *)event;

        answer->receipt->done(answer->receipt, &answer->answer);
        wsi_answer_free(answer);
    }
}

/* With the lock held. @param room (out) of a subscription that is to be told.
 * @return false when there is nothing, or nothing yet. */
static bool take_event(struct wsi_bus *bus, struct wsi_bus_event **out, char *room)
{
    struct wsi_bus_event *event = bus->first;

    while (event != NULL &&
           (bus->closing || event->due_ms <= bus->services.now_ms(bus->services.pool))) {
        struct wsi_subscription *subscription = (struct wsi_subscription *)event;

        bus->first = event->next;
        if (bus->first == NULL)
            bus->last = &bus->first;
        *out = event;
        if (event->kind == WSI_BUS_ARRIVED)
            bus->arrived_bytes -= cost_of((struct wsi_arrived *)event);
        if (event->kind != WSI_BUS_SUBSCRIBED)
            return true;
        subscription->queued = false;
        *out = NULL;
        if (!subscription->ended) {
            snprintf(room, WSI_BROKER_NAME_MAX + 1, "%s", subscription->room);
            return true;
        }
        wsi_free(subscription);
        event = bus->first;
    }
    if (event != NULL)
        wsi_timer_start(wsi_loop_wheel(bus->worker->loop), &bus->timer, event->due_ms);
    return false;
}

/* With the lock held, which it gives back for a while. @return whether it was told. */
static bool tell_state(struct wsi_bus *bus)
{
    const bool up = !bus->went_away && bus->came_up;

    if (!bus->went_away && !bus->came_up)
        return false;
    if (up)
        bus->came_up = false;
    else
        bus->went_away = false;
    pthread_mutex_unlock(&bus->broker->lock);
    bus->handler->state(bus->handler, up ? WSI_BUS_UP : WSI_BUS_CONNECTING,
                        up ? "" : "the broker went away");
    pthread_mutex_lock(&bus->broker->lock);
    return true;
}

static void run(struct wsi_mail *mail)
{
    struct wsi_bus *bus = WSI_CONTAINER_OF(mail, struct wsi_bus, mail);
    char room[WSI_BROKER_NAME_MAX + 1];
    struct wsi_bus_event *event;
    bool closing;

    pthread_mutex_lock(&bus->broker->lock);
    do {
        while (tell_state(bus))
            ;
        if (!take_event(bus, &event, room))
            break;
        pthread_mutex_unlock(&bus->broker->lock);
        call(bus, event, room);
        pthread_mutex_lock(&bus->broker->lock);
    } while (true);
    bus->scheduled = false;
    closing = bus->closing;
    pthread_mutex_unlock(&bus->broker->lock);
    if (closing)
        wsi_bus_finish(bus);
}

static void run_timer(struct wsi_timer *timer)
{
    struct wsi_bus *bus = WSI_CONTAINER_OF(timer, struct wsi_bus, timer);

    pthread_mutex_lock(&bus->broker->lock);
    wsi_bus_schedule(bus);
    pthread_mutex_unlock(&bus->broker->lock);
}

void wsi_bus_init(struct wsi_bus *bus)
{
    bus->mail.run = run;
    wsi_timer_init(&bus->timer, run_timer);
    bus->last = &bus->first;
    wsi_list_init(&bus->waiting);
}
