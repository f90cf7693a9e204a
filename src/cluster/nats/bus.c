/* SPDX-License-Identifier: MIT */
/* The adapter of NATS as cluster/ sees it: opening, the driver, the clock, closing. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <wsock/error.h>
#include <wsock/runtime.h>

#include "cluster/nats/nats.h"
#include "core/alloc.h"

enum {
    CLOSE_MS = 1000, /* for what is under way */
    AGAIN_MS = 100,  /* before the second attempt to connect, at most */
    AGAIN_MAX_MS = 5000,
};

/* ---- small things ---- */

uint64_t wsi_bus_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void tell(struct wsi_bus *bus, bool up, const char *why)
{
    const bool was_up = atomic_exchange(&bus->is_up, up);

    if (bus->is_closing || (up == was_up && (up || strcmp(bus->told, why) == 0)))
        return;
    snprintf(bus->told, sizeof bus->told, "%s", why);
    bus->user->state(bus->user, up ? WSI_BUS_UP : WSI_BUS_CONNECTING, bus->told);
}

/* ---- the connection ---- */

void wsi_bus_come_up(struct wsi_bus *bus)
{
    if (atomic_load(&bus->is_up) || !bus->is_linked || bus->is_closing)
        return;
    bus->attempts = 0;
    tell(bus, true, "");
    if (!wsi_shield_is_used())
        wsi_adapter_log(
            &bus->services, WSOCK_LOG_WARN,
            "libnats reads what the broker sends unseen, and enormous lengths "
            "may harm it: the program had loaded it before");
    wsi_ops_run_waiting(bus);
    wsi_lists_ensure(bus);
    bus->beat_at_ms = wsi_bus_now() + bus->beat_ms;
}

void wsi_bus_lose(struct wsi_bus *bus, const char *why)
{
    struct wsi_conn *conn = bus->conn;
    uint64_t most_ms;

    if (conn == NULL)
        return;
    bus->conn = NULL;
    bus->is_linked = false;
    most_ms = (uint64_t)AGAIN_MS << (bus->attempts < 6 ? bus->attempts++ : 6);
    if (most_ms > AGAIN_MAX_MS)
        most_ms = AGAIN_MAX_MS;
    bus->connect_at_ms = wsi_bus_now() + 10 + wsi_adapter_draw(&bus->random, most_ms);
    tell(bus, false, why);
    wsi_presence_lost(bus);
    wsi_ops_end_asked(bus, why);
    wsi_conn_drop(conn);
    wsi_subs_lost(bus);
}

static void link_up(struct wsi_bus *bus)
{
    bus->is_linked = true;
    bus->pinged_ms = bus->ponged_ms = wsi_bus_now();
    if (!wsi_subs_ask(bus))
        wsi_bus_lose(bus, "the broker takes no subscription");
}

static void check_connection(struct wsi_bus *bus)
{
    char why[WSI_BUS_WHY_SIZE];
    enum wsi_conn_state state;

    if (bus->conn == NULL)
        return;
    state = wsi_conn_state(bus->conn, why);
    if (state == WSI_CONN_OVER)
        wsi_bus_lose(bus, why);
    else if (state == WSI_CONN_OPEN && !bus->is_linked)
        link_up(bus);
    if (bus->is_linked && wsi_conn_lost(bus->conn)) {
        wsi_adapter_log(&bus->services, WSOCK_LOG_WARN,
                        "messages of the broker were lost: they came "
                        "faster than they were taken");
        wsi_subs_tell_again(bus);
    }
}

/* ---- the clock ---- */

static uint64_t check_ping(struct wsi_bus *bus, uint64_t now_ms)
{
    const uint64_t every_ms = bus->timeout_ms / 3 + 1;
    char subject[WSI_NATS_SUBJECT_SIZE];
    const char *why;

    if (bus->ponged_ms < bus->pinged_ms) {
        if (now_ms < bus->pinged_ms + bus->timeout_ms)
            return bus->pinged_ms + bus->timeout_ms;
        wsi_bus_lose(bus, "the broker does not answer");
        return bus->connect_at_ms;
    }
    if (now_ms < bus->pinged_ms + every_ms)
        return bus->pinged_ms + every_ms;
    bus->pinged_ms = now_ms;
    snprintf(subject, sizeof subject, "%s.p", bus->inbox);
    if (wsi_conn_send(bus->conn, subject, NULL, (struct wsi_bytes){NULL, 0}, &why))
        return now_ms + bus->timeout_ms;
    wsi_bus_lose(bus, why);
    return bus->connect_at_ms;
}

static uint64_t check_connecting(struct wsi_bus *bus, uint64_t now_ms)
{
    if (bus->conn != NULL) {
        if (now_ms < bus->connect_by_ms)
            return bus->connect_by_ms;
        wsi_bus_lose(bus, "the broker does not answer");
    }
    if (now_ms < bus->connect_at_ms)
        return bus->connect_at_ms;
    /* libnats itself gives up after timeout_ms; what it does not bound (names, TLS) gets
     * as much again. */
    bus->connect_by_ms = now_ms + 2 * bus->timeout_ms;
    bus->conn = wsi_conn_open(bus);
    if (bus->conn != NULL)
        return now_ms; /* it may have failed already */
    bus->connect_at_ms = now_ms + AGAIN_MS;
    return bus->connect_at_ms;
}

/* @return when to look again. */
static uint64_t check_clock(struct wsi_bus *bus)
{
    const uint64_t now = wsi_bus_now();
    uint64_t next = wsi_sooner(wsi_ops_check(bus, now), wsi_order_check(bus, now));

    next = wsi_sooner(next, wsi_fetches_check(bus, now));
    if (bus->is_closing)
        return wsi_sooner(next, bus->close_at_ms);
    if (!bus->is_linked)
        return wsi_sooner(next, check_connecting(bus, now));
    next = wsi_sooner(next, check_ping(bus, now));
    if (!atomic_load(&bus->is_up))
        return next;
    if (now >= bus->beat_at_ms) {
        bus->beat_at_ms = now + bus->beat_ms;
        wsi_presence_beat(bus);
    }
    return wsi_sooner(next, bus->beat_at_ms);
}

/* ---- the end ---- */

static void free_bus(struct wsi_bus *bus)
{
    wsi_subs_fini(bus);
    wsi_presence_fini(bus);
    wsi_policies_free(bus);
    wsi_table_fini(&bus->by_token);
    wsi_free(bus->ca);
    wsi_free(bus->cert);
    wsi_free(bus->key);
    pthread_cond_destroy(&bus->changed);
    pthread_mutex_destroy(&bus->lock);
    /* It has held the password. */
    explicit_bzero(&bus->target, sizeof bus->target);
    wsi_free(bus);
}

static void begin_to_close(struct wsi_bus *bus)
{
    wsi_presence_leave(bus);
    bus->is_closing = true;
    bus->close_at_ms = wsi_bus_now() + wsi_sooner(bus->timeout_ms, CLOSE_MS);
}

static bool has_ended(const struct wsi_bus *bus)
{
    return bus->is_closing && (!bus->is_linked || wsi_list_is_empty(&bus->asked) ||
                               wsi_bus_now() >= bus->close_at_ms);
}

/* ---- the driver ---- */

static void wait_locked(struct wsi_bus *bus, uint64_t until_ms)
{
    const struct timespec until = {
        .tv_sec = (time_t)(until_ms / 1000),
        .tv_nsec = (long)(until_ms % 1000) * 1000000,
    };

    while (bus->outbox == NULL && bus->events == NULL && !bus->stirred &&
           (bus->is_closing || !bus->refuses) && wsi_bus_now() < until_ms) {
        if (until_ms == UINT64_MAX)
            pthread_cond_wait(&bus->changed, &bus->lock);
        else
            pthread_cond_timedwait(&bus->changed, &bus->lock, &until);
    }
}

static void run_ops(struct wsi_op *op)
{
    while (op != NULL) {
        struct wsi_op *next = op->next;

        op->next = NULL;
        op->run(op);
        op = next;
    }
}

static void run_events(struct wsi_bus *bus, struct wsi_event *event)
{
    size_t bytes = 0;

    while (event != NULL) {
        struct wsi_event *next = event->next;

        bytes += (size_t)natsMsg_GetDataLength(event->msg) + sizeof *event;
        /* By its end a connection may have been lost. */
        if (event->conn == wsi_conn_number(bus->conn))
            wsi_messages_arrived(bus, event->msg, event->broad);
        else
            natsMsg_Destroy(event->msg);
        wsi_free(event);
        event = next;
    }
    pthread_mutex_lock(&bus->lock);
    bus->event_bytes -= bytes;
    pthread_mutex_unlock(&bus->lock);
}

static bool turn(struct wsi_bus *bus, uint64_t *next_ms)
{
    struct wsi_event *events;
    struct wsi_op *ops;
    bool refuses;

    pthread_mutex_lock(&bus->lock);
    wait_locked(bus, *next_ms);
    ops = bus->outbox;
    bus->outbox = NULL;
    events = bus->events;
    bus->events = NULL;
    bus->stirred = false;
    refuses = bus->refuses;
    pthread_mutex_unlock(&bus->lock);
    run_events(bus, events);
    check_connection(bus);
    run_ops(ops);
    wsi_subs_mark(bus);
    if (refuses && !bus->is_closing)
        begin_to_close(bus);
    *next_ms = check_clock(bus);
    return !has_ended(bus);
}

static void *drive(void *user)
{
    struct wsi_bus *bus = user;
    struct wsi_bus_handler *handler = bus->user;
    struct wsi_event *events;
    uint64_t next_ms = 0;

    while (turn(bus, &next_ms))
        ;
    wsi_bus_lose(bus, "the cluster is being left");
    wsi_ops_end_waiting(bus, "the cluster is being left");
    pthread_mutex_lock(&bus->lock);
    events = bus->events;
    pthread_mutex_unlock(&bus->lock);
    run_events(bus, events);
    free_bus(bus);
    handler->closed(handler);
    return NULL;
}

/* ---- what cluster/ calls ---- */

const char *const wsi_adapter_schemes[] = {"nats", "tls", NULL};

const char *wsi_adapter_check_url(const char *url)
{
    struct wsi_nats_target target;
    const char *wrong = wsi_nats_target_parse(&target, url);

    explicit_bzero(&target, sizeof target);
    return wrong;
}

static bool copy_text(char **out, const char *text)
{
    const size_t size = text != NULL ? strlen(text) + 1 : 0;

    if (text == NULL)
        return true;
    *out = wsi_alloc(size);
    if (*out != NULL)
        memcpy(*out, text, size);
    return *out != NULL;
}

static void init_lists(struct wsi_bus *bus)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&bus->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&bus->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    wsi_list_init(&bus->asked);
    wsi_list_init(&bus->waiting);
    wsi_list_init(&bus->paging);
    wsi_list_init(&bus->policies);
    wsi_list_init(&bus->all_subs);
    wsi_list_init(&bus->unsaid);
    wsi_list_init(&bus->all_entries);
    wsi_list_init(&bus->listers);
    wsi_list_init(&bus->holders);
}

static int init_bus(struct wsi_bus *bus, const struct wsi_bus_config *config, char *why)
{
    if (wsi_nats_target_parse(&bus->target, config->url) != NULL)
        return wsi_adapter_parse(config->url, why);
    if (!wsi_nats_encode(bus->prefix, sizeof bus->prefix, config->prefix)) {
        snprintf(why, WSI_BUS_WHY_SIZE, "cluster_prefix is too long for names of NATS");
        return WSOCK_EINVAL;
    }
    memcpy(bus->node, config->node, sizeof bus->node);
    wsi_node_hex(bus->node_hex, bus->node);
    snprintf(bus->inbox, sizeof bus->inbox, "_INBOX.%s", bus->node_hex);
    bus->verify = config->verify;
    bus->beat_ms = config->beat_ms > 0 ? config->beat_ms : 1;
    bus->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : 1;
    bus->queue_bytes = config->queue_bytes;
    bus->answer_bytes = config->answer_bytes;
    bus->services.random(bus->services.pool, &bus->hash_key, sizeof bus->hash_key);
    bus->services.random(bus->services.pool, &bus->random, sizeof bus->random);
    bus->next_host = (unsigned)wsi_adapter_draw(&bus->random, bus->target.host_count);
    if (copy_text(&bus->ca, config->ca) && copy_text(&bus->cert, config->cert) &&
        copy_text(&bus->key, config->key) && wsi_subs_init(bus) == 0)
        return 0;
    snprintf(why, WSI_BUS_WHY_SIZE, "out of memory");
    return WSOCK_ENOMEM;
}

/* The driver hears none of the program's signals. */
static int start(struct wsi_bus *bus, char *why)
{
    pthread_t thread;
    sigset_t before;
    int r;

    wsi_conn_block_signals(&before);
    r = pthread_create(&thread, NULL, drive, bus);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0) {
        pthread_detach(thread);
        return 0;
    }
    snprintf(why, WSI_BUS_WHY_SIZE, "no thread could be made");
    return WSOCK_ENOMEM;
}

int wsi_bus_open(struct wsi_bus **out, const struct wsi_bus_services *services,
                 const struct wsi_bus_config *config, struct wsi_bus_handler *handler,
                 char *why)
{
    const char *unusable = wsi_conn_library();
    struct wsi_bus *bus;
    int r;

    if (unusable != NULL) {
        snprintf(why, WSI_BUS_WHY_SIZE, "%s", unusable);
        return WSOCK_ENOTSUP;
    }
    bus = wsi_adapter_alloc(sizeof *bus, services, why);
    if (bus == NULL)
        return WSOCK_ENOMEM;
    bus->services = *services;
    bus->user = handler;
    init_lists(bus);
    r = init_bus(bus, config, why);
    if (r == 0) {
        *out = bus; /* the driver may call back at once */
        r = start(bus, why);
    }
    if (r < 0)
        free_bus(bus);
    return r;
}

void wsi_bus_close(struct wsi_bus *bus)
{
    pthread_mutex_lock(&bus->lock);
    bus->refuses = true;
    pthread_cond_signal(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}
