/* SPDX-License-Identifier: MIT */
/* A server's bus: opening and closing it, what is heard over it, and whom that is for. */
#include "room/spread.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <wsock/error.h>

#include "cluster/plugin.h"
#include "cluster/services.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "room/action.h"
#include "room/branch.h"
#include "room/census.h"
#include "room/room.h"
#include "room/wire.h"

enum {
    TURN_MS = 250,       /* between turns of the house */
    LINGER_MS = 30000,   /* that a room is kept which nobody needs */
    NODE_NAME_MAX = 255, /* as the option cluster_name */
    COMPLAINTS_MS = 10000,
};

/* A room that is heard, by name: rooms of one name follow each other, and the new one may
 * come before the old one has gone. */
struct wanted {
    struct wsi_table_node node;
    size_t count;
    bool is_heard; /* since the bus came up */
    char name[];
};

static struct wsi_spread *spread_of(struct wsi_bus_handler *handler)
{
    return WSI_CONTAINER_OF(handler, struct wsi_spread, handler);
}

static const struct wsi_options *options_of(const struct wsi_spread *spread)
{
    return spread->registry->options;
}

static uint64_t now_ms(const struct wsi_spread *spread)
{
    return spread->services.now_ms(spread->services.pool);
}

/* ---- what is heard ---- */

static uint64_t hash_of(const struct wsi_spread *spread, const char *name)
{
    return wsi_hash(&spread->registry->key, name, strlen(name));
}

/* With the lock held. */
static struct wanted *find_wanted(const struct wsi_spread *spread, const char *name)
{
    struct wsi_table_node *node = wsi_table_find(&spread->wanted, hash_of(spread, name));

    while (node != NULL &&
           strcmp(WSI_CONTAINER_OF(node, struct wanted, node)->name, name) != 0)
        node = wsi_table_find_next(node);
    return node != NULL ? WSI_CONTAINER_OF(node, struct wanted, node) : NULL;
}

/* With the lock held. @return (nullable) NULL without memory. */
static struct wanted *add_wanted(struct wsi_spread *spread, const char *name)
{
    const size_t size = strlen(name) + 1;
    struct wanted *wanted = wsi_zalloc(sizeof *wanted + size);

    if (wanted == NULL)
        return NULL;
    memcpy(wanted->name, name, size);
    if (wsi_table_add(&spread->wanted, &wanted->node, hash_of(spread, name)) < 0) {
        wsi_free(wanted);
        return NULL;
    }
    return wanted;
}

/* With the lock held. */
static void drop_wanted(struct wsi_spread *spread, struct wanted *wanted)
{
    wsi_table_remove(&spread->wanted, &wanted->node);
    wsi_free(wanted);
}

/* With the lock held. */
static int want(struct wsi_spread *spread, const char *name)
{
    struct wanted *wanted = find_wanted(spread, name);
    int r;

    if (wanted != NULL) {
        wanted->count++;
        return wanted->is_heard;
    }
    wanted = add_wanted(spread, name);
    if (wanted == NULL)
        return WSOCK_ENOMEM;
    r = spread->type->subscribe(spread->bus, name);
    if (r < 0)
        drop_wanted(spread, wanted);
    else
        wanted->count = 1;
    return r;
}

int wsi_spread_want(struct wsi_spread *spread, const char *name)
{
    int r = WSOCK_ECLOSED;

    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open) {
        pthread_mutex_lock(&spread->lock);
        r = want(spread, name);
        pthread_mutex_unlock(&spread->lock);
    }
    pthread_rwlock_unlock(&spread->gate);
    return r;
}

void wsi_spread_unwant(struct wsi_spread *spread, const char *name)
{
    struct wanted *wanted;

    pthread_rwlock_rdlock(&spread->gate);
    pthread_mutex_lock(&spread->lock);
    wanted = find_wanted(spread, name);
    if (wanted != NULL && --wanted->count == 0) {
        drop_wanted(spread, wanted);
        if (spread->open)
            spread->type->unsubscribe(spread->bus, name);
    }
    pthread_mutex_unlock(&spread->lock);
    pthread_rwlock_unlock(&spread->gate);
}

/* With the gate held. */
static void look_at_patterns(struct wsi_spread *spread)
{
    const bool wants = wsi_groups_have_some(&spread->registry->groups);

    pthread_mutex_lock(&spread->lock);
    if (wants != spread->hears_all &&
        spread->type->subscribe_all(spread->bus, wants) == 0)
        spread->hears_all = wants;
    pthread_mutex_unlock(&spread->lock);
}

void wsi_spread_look_at_patterns(struct wsi_spread *spread)
{
    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open)
        look_at_patterns(spread);
    pthread_rwlock_unlock(&spread->gate);
}

/* ---- what is said ---- */

int wsi_spread_publish(struct wsi_spread *spread, const struct wsi_bus_channel *channel,
                       struct wsi_bytes bytes, struct wsi_bus_receipt *receipt)
{
    int r = WSOCK_ECLOSED;

    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open)
        r = spread->type->publish(spread->bus, channel, bytes, receipt);
    pthread_rwlock_unlock(&spread->gate);
    return r;
}

void wsi_spread_tell_all(struct wsi_spread *spread, uint8_t *bytes, size_t len)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ALL};

    pthread_rwlock_rdlock(&spread->gate);
    pthread_mutex_lock(&spread->lock); /* of the numbers */
    wsi_wire_number(bytes, wsi_spread_draw(spread));
    if (spread->open)
        spread->type->publish(spread->bus, &channel, (struct wsi_bytes){bytes, len},
                              NULL);
    pthread_mutex_unlock(&spread->lock);
    pthread_rwlock_unlock(&spread->gate);
}

int wsi_spread_append(struct wsi_spread *spread, const char *room, struct wsi_bytes bytes,
                      uint64_t seq, const struct wsi_bus_window *window,
                      const struct wsi_bus_position *seen,
                      struct wsi_bus_receipt *receipt)
{
    struct wsi_bus_id id = {.seq = seq};
    int r = WSOCK_ECLOSED;

    memcpy(id.node, spread->node, sizeof id.node);
    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open)
        r = spread->type->append(spread->bus, room, bytes, &id, window, seen, receipt);
    pthread_rwlock_unlock(&spread->gate);
    return r;
}

int wsi_spread_load(struct wsi_spread *spread, const char *room,
                    const struct wsi_bus_window *window,
                    const struct wsi_bus_position *seen, struct wsi_bus_receipt *receipt)
{
    int r = WSOCK_ECLOSED;

    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open)
        r = spread->type->load(spread->bus, room, window, seen, receipt);
    pthread_rwlock_unlock(&spread->gate);
    return r;
}

int wsi_spread_list(struct wsi_spread *spread, const char *room,
                    struct wsi_bus_receipt *receipt)
{
    int r = WSOCK_ECLOSED;

    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open && !wsi_spread_is_up(spread, NULL))
        r = WSOCK_EAGAIN; /* an adapter may have lists wait for the broker */
    else if (spread->open)
        r = room != NULL ? spread->type->present_list(spread->bus, room, receipt)
                         : spread->type->nodes(spread->bus, receipt);
    pthread_rwlock_unlock(&spread->gate);
    return r;
}

int wsi_spread_present(struct wsi_spread *spread, const char *room, const char *identity,
                       struct wsi_bytes info)
{
    int r = WSOCK_ECLOSED;

    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open)
        r = spread->type->present(spread->bus, room, identity, info);
    pthread_rwlock_unlock(&spread->gate);
    return r;
}

void wsi_spread_absent(struct wsi_spread *spread, const char *room, const char *identity)
{
    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open)
        spread->type->absent(spread->bus, room, identity);
    pthread_rwlock_unlock(&spread->gate);
}

void wsi_spread_describe(struct wsi_spread *spread, struct wsi_bytes bytes)
{
    pthread_rwlock_rdlock(&spread->gate);
    if (spread->open)
        spread->type->describe(spread->bus, bytes);
    pthread_rwlock_unlock(&spread->gate);
}

/* ---- what the bus tells ---- */

/* With the lock held. */
static void forget_heard(struct wsi_spread *spread)
{
    for (size_t i = 0; i < spread->wanted.bucket_count; i++)
        for (struct wsi_table_node *node = spread->wanted.buckets[i]; node != NULL;
             node = node->next)
            WSI_CONTAINER_OF(node, struct wanted, node)->is_heard = false;
}

static void on_state(struct wsi_bus_handler *handler, enum wsi_bus_state state,
                     const char *why)
{
    struct wsi_spread *spread = spread_of(handler);
    struct wsi_log *log = &spread->registry->owner->pool->log;
    bool is_back;

    pthread_mutex_lock(&spread->lock);
    spread->up = state == WSI_BUS_UP;
    is_back = spread->up && spread->was_up;
    spread->was_up |= spread->up;
    snprintf(spread->why, sizeof spread->why, "%s", spread->up ? "" : why);
    if (!spread->up)
        forget_heard(spread);
    pthread_mutex_unlock(&spread->lock);
    if (state == WSI_BUS_UP)
        wsi_log(log, WSOCK_LOG_INFO, "cluster", "the broker is there");
    else
        wsi_log(log, WSOCK_LOG_WARN, "cluster", "without the broker: %s", why);
    if (is_back)
        wsi_rosters_were_cut_off(spread);
    if (spread->on_state != NULL)
        spread->on_state(spread);
}

void wsi_spread_refused(struct wsi_spread *spread, const char *why)
{
    const uint64_t now = now_ms(spread);
    uint_fast64_t at = atomic_load(&spread->complains_ms);

    if (now >= at && wsi_spread_is_up(spread, NULL) &&
        atomic_compare_exchange_strong(&spread->complains_ms, &at, now + COMPLAINTS_MS))
        wsi_log(&spread->registry->owner->pool->log, WSOCK_LOG_WARN, "cluster",
                "the broker does not keep a message: %s", why);
}

static void on_subscribed(struct wsi_bus_handler *handler,
                          const struct wsi_bus_channel *channel)
{
    struct wsi_spread *spread = spread_of(handler);
    struct wanted *wanted = NULL;
    wsock_room *room;

    if (channel->kind != WSI_BUS_ROOM || channel->name == NULL)
        return;
    pthread_mutex_lock(&spread->lock);
    wanted = find_wanted(spread, channel->name);
    if (wanted != NULL)
        wanted->is_heard = true;
    pthread_mutex_unlock(&spread->lock);
    if (wanted == NULL || wsi_registry_find(spread->registry, &room, channel->name) < 0)
        return;
    wsi_branch_heard(room);
    wsock_room_unref(room);
}

/* @return (owned, nullable) a room that somebody here may hear. */
static wsock_room *room_for(struct wsi_spread *spread, const char *name)
{
    struct wsi_registry *registry = spread->registry;
    char why[WSI_ROOM_WHY_SIZE];
    wsock_room *room;
    int r = wsi_registry_find(registry, &room, name);

    if (r == WSOCK_ENOENT && wsi_groups_match(&registry->groups, name))
        r = wsi_registry_get(registry, &room, name, NULL, why, sizeof why);
    return r == 0 ? room : NULL;
}

static void take_for_all(struct wsi_spread *spread, struct wsi_bytes bytes)
{
    struct wsi_wire wire;
    bool new;

    if (wsi_wire_read(&wire, bytes) < 0 ||
        memcmp(wire.node, spread->node, sizeof wire.node) == 0)
        return;
    pthread_mutex_lock(&spread->lock);
    new = wsi_heard_take(&spread->heard, wire.node, wire.seq);
    pthread_mutex_unlock(&spread->lock);
    if (new)
        wsi_action_take(spread->registry, &wire);
}

static void on_arrived(struct wsi_bus_handler *handler,
                       const struct wsi_bus_channel *channel, uint64_t epoch,
                       const struct wsi_bus_kept *kept, struct wsi_bytes bytes)
{
    struct wsi_spread *spread = spread_of(handler);
    wsock_room *room;

    if (channel->kind != WSI_BUS_ROOM) {
        take_for_all(spread, bytes);
        return;
    }
    room = room_for(spread, channel->name);
    if (room == NULL)
        return;
    wsi_branch_arrived(room, epoch, kept, bytes);
    wsock_room_unref(room);
}

static void on_closed(struct wsi_bus_handler *handler)
{
    struct wsi_spread *spread = spread_of(handler);
    struct wsi_pool *pool = spread->registry->owner->pool;

    wsi_worker_post(spread->worker, &spread->ended);
    wsi_pool_release(pool);
}

/* ---- the house ---- */

/* Once it is closed nothing is listed any more. */
void wsi_spread_retry(struct wsi_spread *spread, struct wsi_branch *branch)
{
    pthread_rwlock_rdlock(&spread->gate);
    pthread_mutex_lock(&spread->lock);
    if (spread->open && wsi_list_is_empty(&branch->retry)) {
        wsi_ref_take(&branch->room->ref);
        wsi_list_append(&spread->retries, &branch->retry);
    }
    pthread_mutex_unlock(&spread->lock);
    pthread_rwlock_unlock(&spread->gate);
}

void wsi_spread_linger(struct wsi_spread *spread, struct wsi_branch *branch)
{
    pthread_rwlock_rdlock(&spread->gate);
    pthread_mutex_lock(&spread->lock);
    if (spread->open && wsi_list_is_empty(&branch->idle)) {
        wsi_ref_take(&branch->room->ref);
        branch->idle_since_ms = now_ms(spread);
        wsi_list_append(&spread->idle, &branch->idle);
    }
    pthread_mutex_unlock(&spread->lock);
    pthread_rwlock_unlock(&spread->gate);
}

/* @return (owned, nullable) */
static struct wsi_branch *pop_retry(struct wsi_list *due)
{
    struct wsi_list *node = wsi_list_pop(due);

    return node != NULL ? WSI_CONTAINER_OF(node, struct wsi_branch, retry) : NULL;
}

/* What was there when the turn began: who fails again comes in the next one. */
static void try_again(struct wsi_spread *spread)
{
    struct wsi_list due;
    struct wsi_branch *branch;

    pthread_mutex_lock(&spread->lock);
    wsi_list_move(&due, &spread->retries);
    branch = pop_retry(&due);
    pthread_mutex_unlock(&spread->lock);
    while (branch != NULL) {
        wsock_room *room = branch->room;

        wsi_branch_try(room);
        wsock_room_unref(room);
        pthread_mutex_lock(&spread->lock);
        branch = pop_retry(&due);
        pthread_mutex_unlock(&spread->lock);
    }
}

/* @param all no room is kept any more. */
static void forget_idle(struct wsi_spread *spread, bool all)
{
    for (;;) {
        struct wsi_branch *branch = NULL;

        pthread_mutex_lock(&spread->lock);
        if (!wsi_list_is_empty(&spread->idle))
            branch = WSI_CONTAINER_OF(spread->idle.next, struct wsi_branch, idle);
        if (branch != NULL && !all && now_ms(spread) < branch->idle_since_ms + LINGER_MS)
            branch = NULL;
        if (branch != NULL)
            wsi_list_remove(&branch->idle);
        pthread_mutex_unlock(&spread->lock);
        if (branch == NULL)
            return;
        wsi_branch_idle_over(branch->room);
        wsock_room_unref(branch->room);
    }
}

/* Once a beat. */
static void describe(struct wsi_spread *spread)
{
    const uint64_t now = now_ms(spread);

    if (spread->described_ms != 0 && now < spread->described_ms + spread->beat_ms)
        return;
    spread->described_ms = now;
    wsi_census_describe(spread, atomic_load(&spread->registry->owner->open));
}

static void turn(struct wsi_timer *timer)
{
    struct wsi_spread *spread = WSI_CONTAINER_OF(timer, struct wsi_spread, timer);

    describe(spread);
    try_again(spread);
    forget_idle(spread, false);
    wsi_rosters_turn(spread);
    wsi_spread_look_at_patterns(spread);
    wsi_loop_timer(spread->worker->loop, timer, TURN_MS);
}

static void run_start(struct wsi_mail *mail)
{
    turn(&WSI_CONTAINER_OF(mail, struct wsi_spread, start)->timer);
}

static void run_stop(struct wsi_mail *mail)
{
    struct wsi_spread *spread = WSI_CONTAINER_OF(mail, struct wsi_spread, stop);
    struct wsi_branch *branch;

    wsi_timer_stop(&spread->timer);
    pthread_mutex_lock(&spread->lock);
    branch = pop_retry(&spread->retries);
    pthread_mutex_unlock(&spread->lock);
    while (branch != NULL) {
        wsock_room_unref(branch->room);
        pthread_mutex_lock(&spread->lock);
        branch = pop_retry(&spread->retries);
        pthread_mutex_unlock(&spread->lock);
    }
    forget_idle(spread, true);
    spread->type->close(spread->bus);
}

static void run_ended(struct wsi_mail *mail)
{
    struct wsi_spread *spread = WSI_CONTAINER_OF(mail, struct wsi_spread, ended);

    spread->on_closed(spread);
}

/* ---- life ---- */

static const char *text_or_null(const struct wsi_options *options, enum wsi_option_id id)
{
    const char *text = wsi_option_text(options, id);

    return *text != '\0' ? text : NULL;
}

static int open_bus(struct wsi_spread *spread, char *why)
{
    const struct wsi_options *options = options_of(spread);
    const char *prefix = wsi_option_text(options, WSI_OPT_CLUSTER_PREFIX);
    struct wsi_bus_config config = {
        .url = wsi_option_text(options, WSI_OPT_CLUSTER),
        .prefix = *prefix != '\0' ? prefix : "wsock",
        .beat_ms = spread->beat_ms,
        .timeout_ms = (uint64_t)wsi_option(options, WSI_OPT_CLUSTER_TIMEOUT),
        .queue_bytes = (size_t)wsi_option(options, WSI_OPT_CLUSTER_QUEUE_BYTES),
        .answer_bytes = (size_t)wsi_option(options, WSI_OPT_CLUSTER_ANSWER_BYTES),
        .ca = text_or_null(options, WSI_OPT_CLUSTER_CA),
        .cert = text_or_null(options, WSI_OPT_CLUSTER_CERT),
        .key = text_or_null(options, WSI_OPT_CLUSTER_KEY),
        .verify = wsi_option(options, WSI_OPT_CLUSTER_VERIFY) != 0,
    };
    int r = wsi_plugin_find(&spread->type, config.url, why);

    if (r < 0)
        return r;
    memcpy(config.node, spread->node, sizeof config.node);
    r = spread->type->open(&spread->bus, &spread->services, &config, &spread->handler,
                           why);
    spread->open = r == 0;
    return r;
}

/* A thread of the adapter's tells that it has closed, and wakes a worker: the pool stays
 * until that thread has done so. */
static int hold_and_open(struct wsi_spread *spread, struct wsi_pool *pool, char *why)
{
    int r = wsi_pool_hold(pool);

    if (r < 0) {
        snprintf(why, WSI_BUS_WHY_SIZE, "%s", wsock_strerror(r));
        return r;
    }
    r = open_bus(spread, why);
    if (r < 0)
        wsi_pool_release(pool);
    return r;
}

static struct wsi_spread *new_spread(struct wsi_registry *registry)
{
    const char *option = wsi_option_text(registry->options, WSI_OPT_CLUSTER_NAME);
    char machine[NODE_NAME_MAX + 1] = "";
    struct wsi_spread *spread;
    size_t size;

    if (*option == '\0' && gethostname(machine, sizeof machine - 1) == 0)
        option = machine;
    size = strlen(option) + 1;
    spread = wsi_zalloc(sizeof *spread + size);
    if (spread == NULL)
        return NULL;
    memcpy(spread->name, option, size);
    spread->registry = registry;
    return spread;
}

int wsi_spread_open(struct wsi_spread **out, struct wsi_registry *registry,
                    void (*state)(struct wsi_spread *spread), char *why)
{
    struct wsi_pool *pool = registry->owner->pool;
    struct wsi_spread *spread = new_spread(registry);
    int r;

    if (spread == NULL) {
        snprintf(why, WSI_BUS_WHY_SIZE, "%s", wsock_strerror(WSOCK_ENOMEM));
        return WSOCK_ENOMEM;
    }
    wsi_services_init(&spread->services, pool);
    wsi_pool_random(pool, spread->node, sizeof spread->node);
    spread->handler = (struct wsi_bus_handler){on_state, on_subscribed, on_arrived,
                                               on_closed};
    spread->beat_ms = (uint64_t)wsi_option(registry->options, WSI_OPT_CLUSTER_BEAT);
    spread->on_state = state;
    pthread_rwlock_init(&spread->gate, NULL);
    pthread_mutex_init(&spread->lock, NULL);
    snprintf(spread->why, sizeof spread->why, "it was not reached yet");
    wsi_list_init(&spread->retries);
    wsi_rosters_init(&spread->rosters);
    wsi_list_init(&spread->idle);
    wsi_timer_init(&spread->timer, turn);
    spread->worker = wsi_pool_pick(pool);
    spread->start.run = run_start;
    spread->stop.run = run_stop;
    spread->ended.run = run_ended;
    r = hold_and_open(spread, pool, why);
    if (r < 0) {
        wsi_spread_free(spread);
        return r;
    }
    *out = spread;
    return 0;
}

void wsi_spread_start(struct wsi_spread *spread)
{
    wsi_worker_post(spread->worker, &spread->start);
}

void wsi_spread_close(struct wsi_spread *spread,
                      void (*closed)(struct wsi_spread *spread))
{
    spread->on_closed = closed;
    pthread_rwlock_wrlock(&spread->gate);
    spread->open = false;
    pthread_rwlock_unlock(&spread->gate);
    wsi_worker_post(spread->worker, &spread->stop);
}

void wsi_spread_free(struct wsi_spread *spread)
{
    if (spread == NULL)
        return;
    for (size_t i = 0; i < spread->wanted.bucket_count; i++)
        for (struct wsi_table_node *node = spread->wanted.buckets[i], *next; node != NULL;
             node = next) {
            next = node->next;
            wsi_free(WSI_CONTAINER_OF(node, struct wanted, node));
        }
    wsi_table_fini(&spread->wanted);
    wsi_heard_fini(&spread->heard);
    pthread_mutex_destroy(&spread->lock);
    pthread_rwlock_destroy(&spread->gate);
    wsi_free(spread);
}

bool wsi_spread_is_up(struct wsi_spread *spread, char *why)
{
    bool up;

    pthread_mutex_lock(&spread->lock);
    up = spread->up;
    if (why != NULL)
        snprintf(why, WSI_BUS_WHY_SIZE, "%s", spread->why);
    pthread_mutex_unlock(&spread->lock);
    return up;
}
