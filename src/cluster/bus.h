/* SPDX-License-Identifier: MIT */
/*
 * What a cluster asks of a message broker, and nothing more. A bus carries bytes that it
 * does not look into; what they mean is the business of room/, which is above.
 *
 *     room/ --- publish, append, load, present ---> bus --- adapter ---> broker
 *     room/ <--------------- arrived, answers ----- bus <-- adapter <---
 *
 * An adapter (in process, Redis, NATS) fills struct wsi_bus_type. Those of brokers are
 * plug-ins: modules that the library loads when a cluster is asked for, so that it links
 * with the client library of none; plugin.h says how they are found. They reach the loop,
 * TLS, the allocator and the log by struct wsi_bus_services only.
 *
 * Calls of a bus come from any thread, also with locks held: they queue what they are
 * given, never block, and never call back before they have returned. What they queue is
 * bounded by the option cluster_queue_bytes. Calls back come from threads of the
 * adapter's or workers, one at a time for one channel, in the order of the channel.
 */
#ifndef WSI_CLUSTER_BUS_H
#define WSI_CLUSTER_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsi_bus;
struct wsi_bus_services;

enum {
    WSI_BUS_VERSION = 1, /* of this interface; a plug-in of another one is refused */
    WSI_BUS_NODE_ID_SIZE = 16,
    WSI_BUS_WHY_SIZE = 256, /* of a sentence that says why */
};

struct wsi_bytes {
    const void *data;
    size_t len;
};

/* ---- where messages go ---- */

enum wsi_bus_kind {
    WSI_BUS_ROOM, /* what is said in the room of that name */
    WSI_BUS_NODE, /* to the node with that id, as hexadecimal digits */
    WSI_BUS_ALL,  /* to every node; it has no name, and all are subscribed to it */
};

/* A channel: names of rooms are UTF-8, 1 to 255 bytes (room/name.h). An adapter escapes
 * what its broker cannot have in names, so that no two channels become one. */
struct wsi_bus_channel {
    enum wsi_bus_kind kind;
    const char *name; /* nullable for ALL */
};

/* ---- positions, and what a broker keeps ---- */

/* How much of a room is kept; 0: no bound of that kind. A broker may keep more. */
struct wsi_bus_window {
    uint64_t messages, time_ms, bytes;
};

struct wsi_bus_position {
    uint64_t epoch, offset;
};

/* A message that a broker keeps. Offsets rise; that of the message before is known with
 * each, as a broker may number several rooms in one row. */
struct wsi_bus_kept {
    uint64_t offset, prev; /* prev 0: it is the room's first of its epoch */
    int64_t time_ms; /* by the broker's clock, since 1970 */
    struct wsi_bytes bytes;
};

/* Names one message for good: whoever sends it again, because he heard of no result,
 * stores it once. */
struct wsi_bus_id {
    uint8_t node[WSI_BUS_NODE_ID_SIZE];
    uint64_t seq;
};

/* ---- answers ---- */

enum wsi_bus_outcome {
    WSI_BUS_DONE,
    WSI_BUS_FAILED,  /* it did not happen */
    WSI_BUS_UNKNOWN, /* the broker went away before it said so */
};

/* An entry of the lists that present_list() and nodes() answer. */
struct wsi_bus_entry {
    uint8_t node[WSI_BUS_NODE_ID_SIZE];
    const char *name; /* of the entry; "" in a list of nodes */
    struct wsi_bytes bytes;
};

struct wsi_bus_answer {
    enum wsi_bus_outcome outcome;
    const char *why;                     /* when it is not DONE */
    struct wsi_bus_position position;    /* append: of it; load: of the newest */
    int64_t time_ms;                     /* by the broker's clock; append: of the message;
                                            load: now */
    const struct wsi_bus_kept *kept;     /* load: what is kept, oldest first, no gap */
    const struct wsi_bus_entry *entries; /* lists */
    size_t count;                        /* of kept, or of entries */
};

/* Who is to be told. It is the caller's, and has to stay until `done` was called, which
 * happens once, also when the bus closes; not at all when the call failed. All that the
 * answer points to is borrowed until `done` returns. */
struct wsi_bus_receipt {
    void (*done)(struct wsi_bus_receipt *receipt, const struct wsi_bus_answer *answer);
    struct wsi_bus_receipt *next; /* for the adapter */
};

/* ---- what an adapter calls ---- */

enum wsi_bus_state {
    WSI_BUS_CONNECTING, /* not yet, or not any more: `why` says so */
    WSI_BUS_UP,
};

struct wsi_bus_handler {
    /** It came up, or went away. Once it is up, what is said to this node and to all
     *  nodes arrives; all subscriptions are made again by the adapter, and each is told by
     *  `subscribed`. */
    void (*state)(struct wsi_bus_handler *handler, enum wsi_bus_state state,
                  const char *why);
    /** From now on messages of the channel arrive; those from before are lost, if it was
     *  subscribed and is so again. */
    void (*subscribed)(struct wsi_bus_handler *handler,
                       const struct wsi_bus_channel *channel);
    /** A message, those of this node included. @param kept (nullable) of one that is
     *  kept: offsets of a channel come in order, and may come twice. Its bytes are
     *  `bytes`. */
    void (*arrived)(struct wsi_bus_handler *handler,
                    const struct wsi_bus_channel *channel, uint64_t epoch,
                    const struct wsi_bus_kept *kept, struct wsi_bytes bytes);
    /** close() has ended: no call follows. */
    void (*closed)(struct wsi_bus_handler *handler);
};

/* ---- what an adapter does ---- */

/* What the options cluster_... say. Borrowed until open() returns. */
struct wsi_bus_config {
    const char *url;    /* with user, password and database; checked by parse() */
    const char *prefix; /* of all channels and keys: two clusters on one broker */
    uint8_t node[WSI_BUS_NODE_ID_SIZE];
    uint64_t beat_ms;            /* a node that was silent for three of these is gone */
    uint64_t timeout_ms;         /* for an answer of the broker; then it counts as gone */
    size_t queue_bytes;          /* more than so much that waits is WSOCK_EAGAIN */
    size_t answer_bytes;         /* no answer of the broker may be larger */
    const char *ca, *cert, *key; /* nullable: files in PEM */
    bool verify;                 /* the broker's certificate */
};

/*
 * Results of all that return int: 0; WSOCK_EAGAIN above queue_bytes, or while the broker
 * is away and this cannot wait; WSOCK_ECLOSED; WSOCK_ENOMEM; WSOCK_ENOTSUP.
 */
struct wsi_bus_type {
    unsigned version;           /* WSI_BUS_VERSION */
    const char *const *schemes; /* "redis", "rediss", NULL */

    /** @param why (out) of WSI_BUS_WHY_SIZE bytes: what is wrong. It must show no
     *  password. @return 0; WSOCK_EURL. */
    int (*parse)(const char *url, char *why);
    /** Begin to connect; `state` tells when it came up. @param out (out, owned) end it
     *  with close(). */
    int (*open)(struct wsi_bus **out, const struct wsi_bus_services *services,
                const struct wsi_bus_config *config, struct wsi_bus_handler *handler,
                char *why);
    /** Begin to end: receipts get FAILED or UNKNOWN, then comes `closed`. What was
     *  queued and can leave at once does. */
    void (*close)(struct wsi_bus *bus);

    /** Of ROOM channels, each at most once at a time. They survive the broker. */
    int (*subscribe)(struct wsi_bus *bus, const char *room);
    void (*unsubscribe)(struct wsi_bus *bus, const char *room);
    /** Hear all rooms, which makes subscriptions of single ones needless: for who listens
     *  by patterns. Told by `subscribed` of a room with a NULL name. */
    int (*subscribe_all)(struct wsi_bus *bus, bool on);

    /** At most once to whoever is subscribed. @param receipt (nullable) DONE: the broker
     *  has it. */
    int (*publish)(struct wsi_bus *bus, const struct wsi_bus_channel *channel,
                   struct wsi_bytes bytes, struct wsi_bus_receipt *receipt);

    /**
     * Give a message of a room its place, keep it, and send it to whoever is subscribed,
     * in the order of the places.
     *
     * @param seen the highest position that this node has seen of the room: a broker
     *             whose newest offset of that epoch is below it has lost messages, and
     *             begins another epoch first, on behalf of all nodes at once.
     */
    int (*append)(struct wsi_bus *bus, const char *room, struct wsi_bytes bytes,
                  const struct wsi_bus_id *id, const struct wsi_bus_window *window,
                  const struct wsi_bus_position *seen, struct wsi_bus_receipt *receipt);
    /** What is kept of a room, within the window. A room of which nothing is kept yet has
     *  an epoch from this call on. @param seen as of append(). */
    int (*load)(struct wsi_bus *bus, const char *room,
                const struct wsi_bus_window *window, const struct wsi_bus_position *seen,
                struct wsi_bus_receipt *receipt);

    /** Have an entry in the list of a room as long as this node lives and does not drop
     *  it; a later one of the name takes its place. The adapter says it again when the
     *  broker has forgotten. */
    int (*present)(struct wsi_bus *bus, const char *room, const char *name,
                   struct wsi_bytes bytes);
    void (*absent)(struct wsi_bus *bus, const char *room, const char *name);
    /** All entries of a room, of all nodes that live. */
    int (*present_list)(struct wsi_bus *bus, const char *room,
                        struct wsi_bus_receipt *receipt);

    /** What nodes() tells of this node; said again with every beat. */
    int (*describe)(struct wsi_bus *bus, struct wsi_bytes bytes);
    int (*nodes)(struct wsi_bus *bus, struct wsi_bus_receipt *receipt);
};

/* ---- what a plug-in may use of the library ---- */

struct wsi_link;
struct wsi_link_config;
struct wsi_link_handler;
struct wsi_link_tls_config;
struct wsi_tls_context;

struct wsi_bus_services {
    void *pool; /* the runtime's, opaque */
    void *(*alloc)(size_t size);
    void *(*realloc)(void *memory, size_t size);
    void (*free)(void *memory);
    void (*random)(void *pool, void *out, size_t len);
    uint64_t (*now_ms)(void *pool); /* of the loops' clock */
    /** @param level as of the option log_level. */
    void (*log)(void *pool, int level, const char *text);

    /* Streams to a broker over a loop of the pool: link.h. */
    int (*tls_new)(struct wsi_tls_context **out, const struct wsi_link_tls_config *config,
                   char *why, size_t size);
    void (*tls_free)(struct wsi_tls_context *tls);
    int (*link_open)(void *pool, struct wsi_link **out,
                     const struct wsi_link_config *config,
                     struct wsi_link_handler *handler);
    int (*link_send)(struct wsi_link *link, const void *data, size_t len);
    void (*link_close)(struct wsi_link *link);
    void (*link_post)(struct wsi_link *link);
    void (*link_timer)(struct wsi_link *link, uint64_t delay_ms);
};

/** What a plug-in exports, by the name wsi_bus_plugin: its type, as long as the process
 *  lives. */
typedef const struct wsi_bus_type *wsi_bus_plugin_fn(void);

#endif
