/* SPDX-License-Identifier: MIT */
/*
 * A node of a broker in memory (memory.h), and how it is told what happens: events in one
 * queue, under the broker's lock, which a mail takes out one by one.
 */
#ifndef WSI_CLUSTER_MEMORY_NODE_H
#define WSI_CLUSTER_MEMORY_NODE_H

#include <pthread.h>

#include "cluster/memory.h"
#include "cluster/memory_broker.h"
#include "conn/worker.h"

enum {
    WSI_BROKER_NAME_MAX = 255,
    WSI_FAULTS = WSI_FAULT_RESTORE + 1,
};

struct wsi_broker {
    struct wsi_list node; /* in brokers; under their lock, as uses */
    size_t uses;
    pthread_mutex_t lock; /* what follows, and all of its nodes */
    struct wsi_list buses;
    struct wsi_streams streams, dump;
    uint64_t fault[WSI_FAULTS];
    uint64_t drawn; /* for what goes wrong at random */
    char name[];
};

/* What a node is to be told, in order. */
enum wsi_bus_event_kind { WSI_BUS_SUBSCRIBED, WSI_BUS_ARRIVED, WSI_BUS_ANSWER };

struct wsi_bus_event {
    struct wsi_bus_event *next;
    uint64_t due_ms;
    enum wsi_bus_event_kind kind;
};

struct wsi_subscription {
    struct wsi_bus_event event;
    struct wsi_table_node node; /* bus->rooms */
    bool queued, ended;
    char room[]; /* "": all rooms */
};

struct wsi_arrived {
    struct wsi_bus_event event;
    enum wsi_bus_kind channel;
    bool is_kept;
    uint64_t epoch;
    struct wsi_bus_kept kept;
    struct wsi_blob *bytes; /* a reference */
    char name[];
};

struct wsi_answer {
    struct wsi_bus_event event;
    struct wsi_bus_receipt *receipt;
    struct wsi_bus_answer answer;
    struct wsi_bus_kept *kept;     /* (owned, nullable) */
    struct wsi_bus_entry *entries; /* (owned, nullable) their names are owned */
    struct wsi_blob **blobs;       /* (owned, nullable) references: the bytes of either */
};

/* An append that waits for the broker. */
struct wsi_waiting {
    struct wsi_list node; /* bus->waiting */
    struct wsi_answer *answer;
    struct wsi_blob *bytes; /* a reference */
    struct wsi_bus_id id;
    struct wsi_bus_window window;
    struct wsi_bus_position seen;
    char room[];
};

/* An entry of this node's in the list of a room. */
struct wsi_bus_person {
    struct wsi_table_node node; /* bus->entries */
    struct wsi_blob *bytes;     /* a reference */
    const char *name;           /* behind the room */
    char room[];
};

struct wsi_bus {
    struct wsi_list node; /* broker->buses */
    struct wsi_broker *broker;
    struct wsi_bus_services services;
    struct wsi_bus_handler *handler;
    struct wsi_worker *worker;
    uint8_t id[WSI_BUS_NODE_ID_SIZE];
    uint64_t queue_bytes, answer_bytes;
    bool cut, closing;
    bool linked;             /* to the broker, as far as events go */
    bool went_away, came_up; /* to be told */
    struct wsi_mail mail;
    bool scheduled;
    struct wsi_timer timer; /* on the worker */
    struct wsi_bus_event *first, **last;
    uint64_t due_ms;      /* of the last event */
    size_t arrived_bytes; /* of messages among them */
    struct wsi_table rooms;
    struct wsi_subscription *all; /* (owned, nullable) */
    struct wsi_table entries;
    struct wsi_list waiting;
    bool runs_waiting;
    size_t waiting_bytes;
    struct wsi_blob *description; /* a reference, nullable */
};

/** @param create if it is not there. @return (owned, nullable) */
struct wsi_broker *wsi_broker_get(const char *name, bool create);
void wsi_broker_drop(struct wsi_broker *broker);

static inline bool wsi_bus_is_up(const struct wsi_bus *bus)
{
    return !bus->cut && bus->broker->fault[WSI_FAULT_AWAY] == 0;
}

/* ---- with the broker's lock held ---- */

static inline struct wsi_bus *wsi_bus_of(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct wsi_bus, node);
}

/** Whether a fault that meets one of so many meets this one. */
bool wsi_broker_meets(struct wsi_broker *broker, enum wsi_bus_fault fault);
uint64_t wsi_broker_hash(const struct wsi_broker *broker, const char *name);

/** The events of a node. */
void wsi_bus_schedule(struct wsi_bus *bus);
void wsi_bus_tell(struct wsi_bus *bus, struct wsi_bus_event *event);
void wsi_bus_tell_subscribed(struct wsi_bus *bus, struct wsi_subscription *subscription);
/** To all who are subscribed. */
void wsi_broker_spread(struct wsi_broker *broker, const struct wsi_bus_channel *channel,
                       uint64_t epoch, const struct wsi_bus_kept *kept,
                       struct wsi_blob *bytes);

void wsi_answer_free(struct wsi_answer *answer);

/** What is under way to a node is lost, but for answers: what they tell is. */
void wsi_bus_lose(struct wsi_bus *bus);
void wsi_bus_go_away(struct wsi_bus *bus);
void wsi_bus_come_up(struct wsi_bus *bus);

struct wsi_subscription *wsi_bus_subscription(const struct wsi_bus *bus,
                                              const char *room);

/* ---- without ---- */

/** Begins to tell. */
void wsi_bus_init(struct wsi_bus *bus);

/* ---- memory.c ---- */

/** With the lock held: do what has waited for the broker. */
void wsi_bus_run_waiting(struct wsi_bus *bus);
/** On the worker: it is closing, and everything was told. */
void wsi_bus_finish(struct wsi_bus *bus);

#endif
