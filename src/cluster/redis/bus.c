/* SPDX-License-Identifier: MIT */
/* The adapter of Redis as cluster/ sees it: opening, the outbox, the clock, closing. */
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/runtime.h>

#include "cluster/redis/redis.h"
#include "core/alloc.h"

enum { CLOSE_MS = 1000, WORKERS = 256 };

/* ---- small things ---- */

void wsi_bus_wake(struct wsi_bus *bus, uint64_t at_ms)
{
    const uint64_t now = wsi_bus_now(bus);

    if (at_ms >= bus->timer_at_ms || bus->closing == WSI_BUS_ENDING)
        return;
    bus->timer_at_ms = at_ms;
    bus->services.link_timer(bus->control, at_ms > now ? at_ms - now : 0);
}

void wsi_bus_state(struct wsi_bus *bus, bool up, const char *why)
{
    const bool same = up == bus->is_up && (up || strcmp(bus->told, why) == 0);

    if (bus->closing != WSI_BUS_OPEN || same)
        return;
    bus->is_up = up;
    snprintf(bus->told, sizeof bus->told, "%s", why);
    if (up)
        wsi_bus_wake(bus, 0); /* a beat */
    bus->user->state(bus->user, up ? WSI_BUS_UP : WSI_BUS_CONNECTING, bus->told);
}

/* ---- the end ---- */

static void bus_free(struct wsi_bus *bus)
{
    wsi_subs_fini(bus);
    wsi_presence_fini(bus);
    bus->services.tls_free(bus->tls);
    pthread_mutex_destroy(&bus->lock);
    /* It has held the password. */
    explicit_bzero(&bus->target, sizeof bus->target);
    wsi_free(bus);
}

static void on_closed(struct wsi_link_handler *handler, const char *why)
{
    struct wsi_bus *bus = (struct wsi_bus *)(void *)handler;
    struct wsi_bus_handler *user = bus->user;

    (void)why;
    bus_free(bus);
    user->closed(user);
}

static bool is_waiting(const struct wsi_bus *bus)
{
    if (bus->again != NULL)
        return true;
    for (int i = 0; i < WSI_PEERS_MAX; i++)
        if (bus->peers[i].commands != NULL &&
            (bus->peers[i].commands->waiting > 0 || bus->peers[i].first != NULL))
            return true;
    return false;
}

static void end(struct wsi_bus *bus)
{
    bus->closing = WSI_BUS_ENDING;
    wsi_topology_drop(bus, WSI_BUS_FAILED, "the cluster is being left");
    WSI_LIST_EACH(node, &bus->wires)
    {
        wsi_wire_fail(WSI_CONTAINER_OF(node, struct wsi_wire, node),
                      "the cluster is being left");
    }
    wsi_bus_wire_gone(bus);
}

void wsi_bus_wire_gone(struct wsi_bus *bus)
{
    if (bus->closing == WSI_BUS_ENDING && wsi_list_is_empty(&bus->wires) &&
        !bus->control_closes) {
        bus->control_closes = true;
        bus->services.link_close(bus->control);
    }
}

/* What can leave does, and its answers are awaited for a while. */
static void begin_to_close(struct wsi_bus *bus)
{
    bus->closing = WSI_BUS_CLOSING;
    bus->scout_at_ms = UINT64_MAX;
    bus->close_at_ms = wsi_bus_now(bus) +
                       (bus->timeout_ms < CLOSE_MS ? bus->timeout_ms : CLOSE_MS);
    wsi_presence_leave(bus);
    wsi_bus_wake(bus, bus->close_at_ms);
}

/* ---- the clock ---- */

static uint64_t check_beat(struct wsi_bus *bus, uint64_t now_ms)
{
    if (!bus->is_up || bus->closing != WSI_BUS_OPEN)
        return UINT64_MAX;
    if (now_ms >= bus->beat_at_ms) {
        bus->beat_at_ms = now_ms + bus->beat_ms;
        wsi_presence_beat(bus);
    }
    return bus->beat_at_ms;
}

static void look(struct wsi_bus *bus)
{
    const uint64_t now = wsi_bus_now(bus);
    uint64_t next = UINT64_MAX;

    if (bus->closing == WSI_BUS_ENDING)
        return;
    bus->timer_at_ms = UINT64_MAX;
    WSI_LIST_EACH(node, &bus->wires)
    {
        next = wsi_sooner(
            next, wsi_wire_check(WSI_CONTAINER_OF(node, struct wsi_wire, node), now));
    }
    next = wsi_sooner(next, wsi_redirect_check(bus, now));
    next = wsi_sooner(next, wsi_topology_check(bus, now));
    next = wsi_sooner(next, wsi_subs_check(bus, now));
    next = wsi_sooner(next, check_beat(bus, now));
    if (bus->closing == WSI_BUS_CLOSING) {
        if (!is_waiting(bus) || now >= bus->close_at_ms) {
            end(bus);
            return;
        }
        next = wsi_sooner(next, wsi_sooner(bus->close_at_ms, now + 5));
    }
    wsi_bus_wake(bus, next);
}

static void on_timed(struct wsi_link_handler *handler)
{
    look((struct wsi_bus *)(void *)handler);
}

/* ---- the outbox ---- */

static void on_posted(struct wsi_link_handler *handler)
{
    struct wsi_bus *bus = (struct wsi_bus *)(void *)handler;
    struct wsi_op *op;
    bool refuses;

    pthread_mutex_lock(&bus->lock);
    op = bus->outbox;
    bus->outbox = bus->newest = NULL;
    refuses = bus->refuses;
    pthread_mutex_unlock(&bus->lock);
    while (op != NULL) {
        struct wsi_op *next = op->next;

        op->next = NULL;
        if (op->run != NULL)
            op->run(op);
        else
            wsi_topology_send(op);
        op = next;
    }
    if (refuses && bus->closing == WSI_BUS_OPEN)
        begin_to_close(bus);
    if (bus->closing != WSI_BUS_OPEN || bus->scout_at_ms == 0)
        look(bus);
}

/* ---- what cluster/ calls ---- */

const char *const wsi_adapter_schemes[] = {"redis", "rediss", "redis+unix", NULL};

const char *wsi_adapter_check_url(const char *url)
{
    struct wsi_target target;
    const char *wrong = wsi_target_parse(&target, url);

    explicit_bzero(&target, sizeof target);
    return wrong;
}

static int load_tls(struct wsi_bus *bus, const struct wsi_bus_config *config, char *why)
{
    const struct wsi_link_tls_config files = {.ca = config->ca,
                                              .cert = config->cert,
                                              .key = config->key,
                                              .verify = config->verify};

    return bus->target.tls
               ? bus->services.tls_new(&bus->tls, &files, why, WSI_BUS_WHY_SIZE)
               : 0;
}

static int bus_init(struct wsi_bus *bus, const struct wsi_bus_config *config, char *why)
{
    if (wsi_target_parse(&bus->target, config->url) != NULL)
        return wsi_adapter_parse(config->url, why);
    if (!wsi_key_prefix(bus->prefix, config->prefix)) {
        snprintf(why, WSI_BUS_WHY_SIZE, "cluster_prefix is longer than 255 bytes");
        return WSOCK_EINVAL;
    }
    memcpy(bus->node, config->node, sizeof bus->node);
    wsi_node_hex(bus->node_hex, bus->node);
    bus->beat_ms = config->beat_ms > 0 ? config->beat_ms : 1;
    bus->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : 1;
    bus->queue_bytes = config->queue_bytes;
    bus->answer_bytes = config->answer_bytes;
    for (int i = 0; i < WSI_SCRIPTS; i++)
        wsi_script_sha(bus->sha[i], (enum wsi_script)i);
    bus->services.random(bus->services.pool, &bus->hash_key, sizeof bus->hash_key);
    bus->services.random(bus->services.pool, &bus->random, sizeof bus->random);
    bus->worker = (unsigned)wsi_adapter_draw(&bus->random, WORKERS);
    wsi_list_init(&bus->wires);
    wsi_list_init(&bus->all_subs);
    wsi_list_init(&bus->idle_rooms);
    wsi_list_init(&bus->due_rooms);
    bus->timer_at_ms = UINT64_MAX;
    wsi_topology_start(bus);
    return load_tls(bus, config, why);
}

static int start(struct wsi_bus *bus, char *why)
{
    const struct wsi_link_config nowhere = {.host = NULL, .worker = bus->worker};
    int r = wsi_subs_init(bus);

    if (r == 0)
        r = wsi_presence_init(bus);
    if (r == 0)
        r = bus->services.link_open(bus->services.pool, &bus->control, &nowhere,
                                    &bus->handler);
    if (r < 0)
        snprintf(why, WSI_BUS_WHY_SIZE, "%s",
                 r == WSOCK_ENOMEM ? "out of memory" : "the runtime is ending");
    return r;
}

static void ignore(struct wsi_link_handler *handler)
{
    (void)handler;
}

static void ignore_bytes(struct wsi_link_handler *handler, const void *data, size_t len)
{
    (void)handler, (void)data, (void)len;
}

int wsi_bus_open(struct wsi_bus **out, const struct wsi_bus_services *services,
                 const struct wsi_bus_config *config, struct wsi_bus_handler *handler,
                 char *why)
{
    struct wsi_bus *bus;
    int r;

    bus = wsi_adapter_alloc(sizeof *bus, services, why);
    if (bus == NULL)
        return WSOCK_ENOMEM;
    bus->handler = (struct wsi_link_handler){ignore, ignore_bytes, on_posted, on_timed,
                                             on_closed};
    bus->services = *services;
    bus->user = handler;
    pthread_mutex_init(&bus->lock, NULL);
    r = bus_init(bus, config, why);
    if (r == 0)
        r = start(bus, why);
    if (r < 0) {
        bus_free(bus);
        return r;
    }
    *out = bus;
    bus->services.link_post(bus->control);
    return 0;
}

void wsi_bus_close(struct wsi_bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    if (!bus->refuses) {
        bus->refuses = true;
        bus->services.link_post(bus->control);
    }
    pthread_mutex_unlock(&bus->lock);
}
