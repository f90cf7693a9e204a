/* SPDX-License-Identifier: MIT */
#include "nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cluster/plugin.h"
#include "cluster/services.h"

enum { PATIENCE_S = 60 }; /* only a broken build takes so long */

struct wsi_pool nodes_pool;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct wsi_bus_services services;

/* ---- the pool ---- */

static void released(struct wsi_pool *pool)
{
    (void)pool;
}

void nodes_begin(void)
{
    assert_int_equal(wsi_pool_init(&nodes_pool, released), 0);
    assert_int_equal(
        wsi_options_set_number(&nodes_pool.options, "workers", 2, false, NULL, 0), 0);
    assert_int_equal(wsi_pool_start(&nodes_pool), 0);
    wsi_services_init(&services, &nodes_pool);
}

void nodes_end(void)
{
    pthread_mutex_lock(&nodes_pool.lock);
    while (nodes_pool.live > 0)
        pthread_cond_wait(&nodes_pool.changed, &nodes_pool.lock);
    pthread_mutex_unlock(&nodes_pool.lock);
    wsi_pool_end(&nodes_pool);
    wsi_pool_fini(&nodes_pool);
}

/* ---- what nodes are told ---- */

static void note(struct wsi_bus_handler *handler, const struct event *event)
{
    struct node *node = (struct node *)(void *)handler;

    pthread_mutex_lock(&lock);
    if (node->count == node->capacity) {
        node->capacity = node->capacity * 2 + 64;
        node->events = realloc(node->events, node->capacity * sizeof *node->events);
    }
    node->events[node->count++] = *event;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_state(struct wsi_bus_handler *handler, enum wsi_bus_state state,
                     const char *why)
{
    struct event event = {.what = state == WSI_BUS_UP ? UP : AWAY};

    snprintf(event.name, sizeof event.name, "%s", why);
    note(handler, &event);
}

static void on_subscribed(struct wsi_bus_handler *handler,
                          const struct wsi_bus_channel *channel)
{
    struct event event = {.what = SUBSCRIBED, .kind = channel->kind};

    snprintf(event.name, sizeof event.name, "%s",
             channel->name != NULL           ? channel->name
             : channel->kind == WSI_BUS_ROOM ? "*"
                                             : "");
    note(handler, &event);
}

static void on_arrived(struct wsi_bus_handler *handler,
                       const struct wsi_bus_channel *channel, uint64_t epoch,
                       const struct wsi_bus_kept *kept, struct wsi_bytes bytes)
{
    struct event event = {.what = kept != NULL ? KEPT : PLAIN, .kind = channel->kind};

    snprintf(event.name, sizeof event.name, "%s",
             channel->name != NULL ? channel->name : "");
    if (kept != NULL) {
        event.epoch = epoch;
        event.offset = kept->offset;
        event.prev = kept->prev;
        event.time_ms = kept->time_ms;
    }
    event.len = bytes.len;
    event.bytes = calloc(bytes.len + 1, 1);
    memcpy(event.bytes, bytes.data, bytes.len);
    note(handler, &event);
}

static void on_closed(struct wsi_bus_handler *handler)
{
    const struct event event = {.what = CLOSED};

    note(handler, &event);
}

/* ---- nodes ---- */

void node_init(struct node *node, const char *url)
{
    static atomic_uint made;
    const unsigned number = atomic_fetch_add(&made, 1) + 1;

    memset(node, 0, sizeof *node);
    node->handler = (struct wsi_bus_handler){on_state, on_subscribed, on_arrived,
                                             on_closed};
    snprintf(node->url, sizeof node->url, "%s", url);
    node->config = (struct wsi_bus_config){.prefix = "test",
                                           .beat_ms = 1000,
                                           .timeout_ms = 2000,
                                           .queue_bytes = 64 << 20,
                                           .answer_bytes = 64 << 20,
                                           .verify = true};
    memcpy(node->config.node, &number, sizeof number);
    node->config.node[15] = 0xA7;
}

/* Tests hold the code that looks for modules themselves, far from where these lie. */
static int find_type(const struct wsi_bus_type **out, const char *url, char *why)
{
    int r;

#ifdef REDIS_MODULE
    if (strncmp(url, "redis", 5) == 0) {
        r = wsi_plugin_load(out, REDIS_MODULE, why);
        return r == 0 ? (*out)->parse(url, why) : r;
    }
#endif
#ifdef NATS_MODULE
    if (strncmp(url, "nats", 4) == 0 || strncmp(url, "tls", 3) == 0) {
        r = wsi_plugin_load(out, NATS_MODULE, why);
        return r == 0 ? (*out)->parse(url, why) : r;
    }
#endif
    r = wsi_plugin_find(out, url, why);
    return r;
}

int node_try_open(struct node *node, char *why)
{
    int r;

    why[0] = '\0';
    node->config.url = node->url;
    r = find_type(&node->type, node->url, why);
    if (r == 0)
        r = node->type->open(&node->bus, &services, &node->config, &node->handler, why);
    return r;
}

void node_open(struct node *node)
{
    char why[WSI_BUS_WHY_SIZE];

    if (node_try_open(node, why) != 0)
        fail_msg("%s: %s", node->url, why);
}

void node_join(struct node *node, const char *url)
{
    node_init(node, url);
    node_open(node);
    node_await(node, UP, NULL, 1);
}

void node_close(struct node *node)
{
    node->type->close(node->bus);
    node_await(node, CLOSED, NULL, 1);
    node_forget(node);
    free(node->events);
    node->events = NULL;
    node->capacity = 0;
}

static bool is_of(const struct event *event, enum what what, const char *name)
{
    return event->what == what && (name == NULL || strcmp(event->name, name) == 0);
}

static size_t count_locked(const struct node *node, enum what what, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < node->count; i++)
        count += is_of(&node->events[i], what, name);
    return count;
}

/* @return false when nothing comes any more. */
static bool wait_locked(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return pthread_cond_timedwait(&changed, &lock, &until) == 0;
}

/* Other threads still use what the test has on its stack, so it cannot be left: what they
 * would do then hides what happened. */
static _Noreturn void give_up(const char *file, int line)
{
    fprintf(stderr, "%s:%d: it did not come in %d s\n", file, line, PATIENCE_S);
    fflush(NULL);
    _exit(1);
}

void node_await_at(struct node *node, enum what what, const char *name, size_t count,
                   const char *file, int line)
{
    static const char *const words[] = {"UP",    "AWAY", "SUBSCRIBED",
                                        "PLAIN", "KEPT", "CLOSED"};
    bool good = true;

    pthread_mutex_lock(&lock);
    while (count_locked(node, what, name) < count && good)
        good = wait_locked();
    if (!good) {
        for (size_t i = 0; i < node->count && i < 40; i++)
            print_message("  %s %s %s\n", words[node->events[i].what],
                          node->events[i].name,
                          node->events[i].bytes != NULL ? node->events[i].bytes : "");
    }
    pthread_mutex_unlock(&lock);
    if (!good) {
        print_error("awaited %zu %s of %s\n", count, words[what],
                    name != NULL ? name : "any");
        give_up(file, line);
    }
}

size_t node_count(struct node *node, enum what what, const char *name)
{
    size_t count;

    pthread_mutex_lock(&lock);
    count = count_locked(node, what, name);
    pthread_mutex_unlock(&lock);
    return count;
}

const struct event *node_event(struct node *node, enum what what, const char *name,
                               size_t nth)
{
    static struct event found;
    bool is_there = false;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < node->count && !is_there; i++)
        if (is_of(&node->events[i], what, name) && nth-- == 0) {
            found = node->events[i];
            is_there = true;
        }
    pthread_mutex_unlock(&lock);
    assert_true(is_there);
    return &found;
}

void node_forget(struct node *node)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < node->count; i++)
        free(node->events[i].bytes);
    node->count = 0;
    pthread_mutex_unlock(&lock);
}

void node_subscribe(struct node *node, const char *room)
{
    const size_t before = node_count(node, SUBSCRIBED, room);

    assert_int_equal(node->type->subscribe(node->bus, room), 0);
    node_await(node, SUBSCRIBED, room, before + 1);
}

/* ---- answers ---- */

static int by_name(const void *a, const void *b)
{
    const struct wsi_bus_entry *x = a, *y = b;
    const int order = strcmp(x->name, y->name);

    return order != 0 ? order : memcmp(x->node, y->node, sizeof x->node);
}

static struct wsi_bytes copy_of(struct wsi_bytes bytes)
{
    char *copy = calloc(bytes.len + 1, 1);

    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    return (struct wsi_bytes){copy, bytes.len};
}

static void on_done(struct wsi_bus_receipt *receipt, const struct wsi_bus_answer *told)
{
    struct answer *answer = (struct answer *)(void *)receipt;

    pthread_mutex_lock(&lock);
    answer->done++;
    answer->outcome = told->outcome;
    snprintf(answer->why, sizeof answer->why, "%s", told->why != NULL ? told->why : "");
    answer->position = told->position;
    answer->time_ms = told->time_ms;
    answer->count = told->count;
    answer->kept = told->kept != NULL ? calloc(told->count, sizeof *answer->kept) : NULL;
    answer->entries = told->entries != NULL
                          ? calloc(told->count + 1, sizeof *answer->entries)
                          : NULL;
    for (size_t i = 0; i < told->count; i++) {
        if (told->kept != NULL) {
            answer->kept[i] = told->kept[i];
            answer->kept[i].bytes = copy_of(told->kept[i].bytes);
        } else {
            answer->entries[i] = told->entries[i];
            answer->entries[i].name = strdup(told->entries[i].name);
            answer->entries[i].bytes = copy_of(told->entries[i].bytes);
        }
    }
    if (answer->entries != NULL)
        qsort(answer->entries, answer->count, sizeof *answer->entries, by_name);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void answer_init(struct answer *answer)
{
    memset(answer, 0, sizeof *answer);
    answer->receipt.done = on_done;
}

enum wsi_bus_outcome answer_await_at(struct answer *answer, const char *file, int line)
{
    bool good = true;

    pthread_mutex_lock(&lock);
    while (answer->done == 0 && good)
        good = wait_locked();
    pthread_mutex_unlock(&lock);
    if (!good) {
        print_error("no answer came\n");
        give_up(file, line);
    }
    return answer->outcome;
}

void answer_fini(struct answer *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        if (answer->kept != NULL)
            free((void *)(uintptr_t)answer->kept[i].bytes.data);
        if (answer->entries != NULL) {
            free((void *)(uintptr_t)answer->entries[i].name);
            free((void *)(uintptr_t)answer->entries[i].bytes.data);
        }
    }
    free(answer->kept);
    free(answer->entries);
    answer_init(answer);
}

void answer_ends_at(struct answer *answer, enum wsi_bus_outcome outcome, const char *why,
                    const char *file, int line)
{
    const enum wsi_bus_outcome ended = answer_await_at(answer, file, line);

    if (ended != outcome || (why != NULL && strstr(answer->why, why) == NULL)) {
        print_error("outcome %d: %s\n", (int)ended, answer->why);
        _fail(file, line);
    }
    answer_fini(answer);
}

/* ---- doing ---- */

struct wsi_bytes text_bytes(const char *text)
{
    return (struct wsi_bytes){text, strlen(text)};
}

const char *room_of_its_own(void)
{
    static char name[64];
    static int made;

    snprintf(name, sizeof name, "room.%d", ++made);
    return name;
}

void say(struct node *node, const char *room, const char *text)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = room};

    assert_int_equal(node->type->publish(node->bus, &channel, text_bytes(text), NULL), 0);
}

uint64_t next_seq(void)
{
    static atomic_uint_fast64_t seq;

    return atomic_fetch_add(&seq, 1) + 1;
}

int keep_later(struct node *node, const char *room, const char *text, uint64_t seq,
               const struct wsi_bus_window *window, const struct wsi_bus_position *seen,
               struct answer *answer)
{
    static const struct wsi_bus_window wide;
    static const struct wsi_bus_position nothing;
    struct wsi_bus_id id = {.seq = seq != 0 ? seq : next_seq()};

    memcpy(id.node, node->config.node, sizeof id.node);
    answer_init(answer);
    return node->type->append(node->bus, room, text_bytes(text), &id,
                              window != NULL ? window : &wide,
                              seen != NULL ? seen : &nothing, &answer->receipt);
}

struct wsi_bus_position keep(struct node *node, const char *room, const char *text,
                             uint64_t seq)
{
    struct wsi_bus_position position;
    struct answer answer;

    assert_int_equal(keep_later(node, room, text, seq, NULL, NULL, &answer), 0);
    if (answer_await(&answer) != WSI_BUS_DONE)
        fail_msg("%s", answer.why);
    assert_true(answer.time_ms > 0);
    position = answer.position;
    answer_fini(&answer);
    return position;
}

void load(struct node *node, const char *room, const struct wsi_bus_window *window,
          const struct wsi_bus_position *seen, struct answer *answer)
{
    static const struct wsi_bus_window wide;
    static const struct wsi_bus_position nothing;

    answer_init(answer);
    assert_int_equal(node->type->load(node->bus, room, window != NULL ? window : &wide,
                                      seen != NULL ? seen : &nothing, &answer->receipt),
                     0);
    if (answer_await(answer) != WSI_BUS_DONE)
        fail_msg("%s", answer->why);
}

void people(struct node *node, const char *room, char *out, size_t size)
{
    struct answer answer;
    size_t n = 0;

    answer_init(&answer);
    if (room != NULL)
        assert_int_equal(node->type->present_list(node->bus, room, &answer.receipt), 0);
    else
        assert_int_equal(node->type->nodes(node->bus, &answer.receipt), 0);
    if (answer_await(&answer) != WSI_BUS_DONE)
        fail_msg("%s", answer.why);
    out[0] = '\0';
    for (size_t i = 0; i < answer.count && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s=%s", i > 0 ? " " : "",
                              answer.entries[i].name,
                              (const char *)answer.entries[i].bytes.data);
    answer_fini(&answer);
}

/* What is said to the broker by one node is there for another one a moment later. */
void people_await(struct node *node, const char *room, const char *expected)
{
    struct timespec now, until;
    char found[4096];

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    do {
        people(node, room, found, sizeof found);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (strcmp(found, expected) != 0 && now.tv_sec < until.tv_sec);
    assert_string_equal(found, expected);
}
