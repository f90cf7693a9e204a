/* SPDX-License-Identifier: MIT */
/*
 * What the tests of adapters share: nodes on a bus that write down what they are told,
 * and receipts that can be waited for. Waiting is for an event, with a deadline that only
 * a failure reaches.
 */
#ifndef WSI_TEST_NODES_H
#define WSI_TEST_NODES_H

#include "test.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "cluster/bus.h"
#include "conn/worker.h"

enum what { UP, AWAY, SUBSCRIBED, PLAIN, KEPT, CLOSED };

struct event {
    enum what what;
    enum wsi_bus_kind kind;
    char name[256]; /* of the channel; why it is away */
    uint64_t epoch, offset, prev;
    int64_t time_ms;
    size_t len;
    char *bytes; /* NUL behind them */
};

struct node {
    struct wsi_bus_handler handler;
    struct wsi_bus *bus;
    const struct wsi_bus_type *type;
    struct wsi_bus_config config; /* may be changed before node_open() */
    char url[512];
    struct event *events;
    size_t count, capacity;
};

/* The pool that all nodes of a test are on. */
extern struct wsi_pool nodes_pool;
void nodes_begin(void);
/** All nodes must have been closed. */
void nodes_end(void);

/** Defaults: beat 1000 ms, timeout 2000 ms, 64 MiB, an id of its own. */
void node_init(struct node *node, const char *url);
/** @return of open(); the reason lies in why. */
int node_try_open(struct node *node, char *why);
void node_open(struct node *node);
/** node_open(), and see it up. */
#define node_up(node) (node_open(node), node_await((node), UP, NULL, 1))
/** The same of one with the defaults. */
void node_join(struct node *node, const char *url);
/** Close, and wait for it. */
void node_close(struct node *node);

/** Until there are so many of a kind, of that channel if it is not NULL. */
#define node_await(node, what, name, count) \
    node_await_at((node), (what), (name), (count), __FILE__, __LINE__)
void node_await_at(struct node *node, enum what what, const char *name, size_t count,
                   const char *file, int line);
size_t node_count(struct node *node, enum what what, const char *name);
/** The nth, from 0. @return (borrowed until the next call that waits) */
const struct event *node_event(struct node *node, enum what what, const char *name,
                               size_t nth);
/** Forget what was told. */
void node_forget(struct node *node);
void node_subscribe(struct node *node, const char *room);

struct answer {
    struct wsi_bus_receipt receipt; /* first */
    int done;
    enum wsi_bus_outcome outcome;
    char why[WSI_BUS_WHY_SIZE];
    struct wsi_bus_position position;
    int64_t time_ms;
    size_t count;
    struct wsi_bus_kept *kept;     /* copies, as the entries are */
    struct wsi_bus_entry *entries; /* sorted by name */
};

void answer_init(struct answer *answer);
#define answer_await(answer) answer_await_at((answer), __FILE__, __LINE__)
enum wsi_bus_outcome answer_await_at(struct answer *answer, const char *file, int line);
void answer_fini(struct answer *answer);
/** Wait for it, see that it is of that kind, and have done with it. @param why (nullable)
 * what it gives as the reason, or a part of that */
#define answer_ends(answer, outcome, why) \
    answer_ends_at((answer), (outcome), (why), __FILE__, __LINE__)
void answer_ends_at(struct answer *answer, enum wsi_bus_outcome outcome, const char *why,
                    const char *file, int line);

struct wsi_bytes text_bytes(const char *text);
/** Rooms outlive a test at a broker: each test has its own. @return (borrowed until the
 * next call) */
const char *room_of_its_own(void);
void say(struct node *node, const char *room, const char *text);
/** Append, and wait for the answer. @param seq 0: the next one */
struct wsi_bus_position keep(struct node *node, const char *room, const char *text,
                             uint64_t seq);
int keep_later(struct node *node, const char *room, const char *text, uint64_t seq,
               const struct wsi_bus_window *window, const struct wsi_bus_position *seen,
               struct answer *answer);
uint64_t next_seq(void);
/** @param answer (out) end it with answer_fini() */
void load(struct node *node, const char *room, const struct wsi_bus_window *window,
          const struct wsi_bus_position *seen, struct answer *answer);
/** "name=bytes name=bytes", sorted; of the present_list(), NULL: nodes(). */
void people(struct node *node, const char *room, char *out, size_t size);
/** The same until it reads so. */
void people_await(struct node *node, const char *room, const char *expected);

#endif
