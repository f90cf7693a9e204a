/* SPDX-License-Identifier: MIT */
/*
 * The adapter of NATS, seen from inside.
 *
 *     callers' threads ----ops----> outbox --> driver --> connection of libnats
 *     threads of libnats --events-> inbox ---^    |
 *                                                 +--> all calls back
 *
 * libnats may block for as long as its write deadline, so a bus has a thread of its own,
 * the driver, and nothing but the two queues needs a lock. What libnats tells by threads
 * of its own is queued for the driver. JetStream is spoken to by its API of messages,
 * whose answers come to the inbox subject: no call waits for an answer.
 *
 * A connection that breaks is never mended by libnats but replaced: what was under way is
 * UNKNOWN then, and all subscriptions are made again.
 */
#ifndef WSI_NATS_NATS_H
#define WSI_NATS_NATS_H

#include <jansson.h>
#include <nats/nats.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "cluster/adapter.h"
#include "cluster/nats/names.h"
#include "cluster/nats/target.h"
#include "cluster/node_id.h"
#include "core/hash.h"
#include "core/list.h"
#include "core/table.h"

enum {
    WSI_NATS_PAGE = 32,     /* messages that are fetched at a time */
    WSI_NATS_PUTS_MAX = 64, /* entries that are under way at a time */
    WSI_NATS_TRIES = 4,     /* of what found its stream gone */
};

struct wsi_op;

/* ---- one connection: conn.c ---- */

enum wsi_conn_state { WSI_CONN_OPENING, WSI_CONN_OPEN, WSI_CONN_OVER };

struct wsi_conn;

/* What came from a thread of libnats. */
struct wsi_event {
    struct wsi_event *next;
    uintptr_t conn; /* its number: the memory of one that has gone may be another's */
    natsMsg *msg;   /* owned */
    bool broad;     /* by the subscription of all rooms */
};

/** Begin to connect to the bus's next host, on a thread that ends by itself: names, and
 *  TLS, take libnats as long as they like. @return NULL without memory or threads. */
struct wsi_conn *wsi_conn_open(struct wsi_bus *bus);
/** No two of a process have the same. @return 0 of NULL. */
uintptr_t wsi_conn_number(const struct wsi_conn *conn);
/** @param why (out) WSI_BUS_WHY_SIZE bytes: of one that is OVER. */
enum wsi_conn_state wsi_conn_state(struct wsi_conn *conn, char *why);
/** Whether messages were lost since the last time: too many waited. */
bool wsi_conn_lost(struct wsi_conn *conn);
/** No event of it comes any more. Takes NULL. */
void wsi_conn_drop(struct wsi_conn *conn);
/** @return NULL when there is no memory, or the connection is over. */
natsSubscription *wsi_conn_subscribe(struct wsi_conn *conn, const char *subject,
                                     bool broad);
void wsi_conn_unsubscribe(natsSubscription *subscription);
/** Both false: it is over, or the message is too large; `why` is static. */
bool wsi_conn_send(struct wsi_conn *conn, const char *subject, const char *reply,
                   struct wsi_bytes bytes, const char **why);
bool wsi_conn_send_msg(struct wsi_conn *conn, natsMsg *msg, const char **why);
/** For threads that are made now: all but what tells of faults. */
void wsi_conn_block_signals(sigset_t *before);
/** Once for the process. @return NULL, or what is wrong. */
const char *wsi_conn_library(void);

/* ---- before libnats: shield.c ---- */

/** Once for the process, before libnats is used. @return false: no key for data of
 * threads is left. */
bool wsi_shield_init(void);
/** Whether something that came was looked at: it is after the first message, unless it
 * cannot be. */
bool wsi_shield_is_used(void);
/** @return (nullable) why the last connection was refused, if that was it. */
const char *wsi_shield_refusal(const natsConnection *nc);

/* ---- one thing to do: op.c ---- */

struct wsi_op {
    struct wsi_op *next;    /* in the outbox */
    struct wsi_list node;   /* in bus->waiting or bus->asked, or a list of its own kind */
    struct wsi_list paging; /* in bus->paging: a page was asked for */
    struct wsi_table_node by_token; /* in bus->by_token while it is asked */
    struct wsi_bus *bus;
    /** On the driver. Takes the op over. */
    void (*run)(struct wsi_op *op);
    /** What was asked for. Takes over the message, and, unless has_many, the op. */
    void (*replied)(struct wsi_op *op, natsMsg *msg);
    /** There is no answer. Takes the op over. */
    void (*ended)(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why);
    struct wsi_bus_receipt *receipt; /* nullable */
    uint64_t token, deadline_ms;
    size_t cost; /* in bus->queued */
    unsigned tries;
    bool is_local; /* runs without a broker */
    bool has_many; /* replies to one question; forget() ends them */
    bool is_read;  /* that nobody heard of its result changes nothing */
    bool is_due;   /* however much waits: it gives back more than it takes */
};

/** @param size of the struct that begins with it. All zero but for what it needs.
 * @return (nullable) */
struct wsi_op *wsi_op_new(struct wsi_bus *bus, size_t size, void (*run)(struct wsi_op *));
void wsi_op_free(struct wsi_op *op);
/** From any thread: count what it holds, and have it run on the driver. @return 0;
 * WSOCK_EAGAIN; WSOCK_ECLOSED; then it was freed. */
int wsi_op_submit(struct wsi_op *op, size_t len);
void wsi_op_finish(struct wsi_op *op, const struct wsi_bus_answer *answer);
/** The usual `ended`. */
void wsi_op_fail(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why);
/** Send, and wait for the reply. Takes the op over. */
void wsi_op_ask(struct wsi_op *op, const char *subject, struct wsi_bytes bytes);
void wsi_op_ask_text(struct wsi_op *op, const char *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** The same with headers: names and values. */
void wsi_op_ask_with(struct wsi_op *op, const char *subject, struct wsi_bytes bytes,
                     const char *const headers[][2], size_t count);
/** Have the broker send an empty reply, which comes after all that was sent before. */
void wsi_op_echo(struct wsi_op *op);
/** It waits for nothing any more. */
void wsi_op_forget(struct wsi_op *op);
/** A reply has come. Takes the message over. */
void wsi_op_reply(struct wsi_bus *bus, uint64_t token, natsMsg *msg);
/** End all that wait. */
void wsi_ops_end_asked(struct wsi_bus *bus, const char *why);
void wsi_ops_end_waiting(struct wsi_bus *bus, const char *why);
/** Run what has waited for the broker. */
void wsi_ops_run_waiting(struct wsi_bus *bus);
/** End what is overdue. @return when next. */
uint64_t wsi_ops_check(struct wsi_bus *bus, uint64_t now_ms);

/* ---- JetStream: stream.c ---- */

/* An answer of its API. */
struct wsi_reply {
    json_t *json;               /* nullable */
    bool no_stream, overlaps;   /* what errors can mean */
    char why[WSI_BUS_WHY_SIZE]; /* "": it is no error */
};

void wsi_reply_read(struct wsi_reply *reply, const natsMsg *msg);
void wsi_reply_fini(struct wsi_reply *reply);

/* The stream of all rooms that have one window. */
struct wsi_policy {
    struct wsi_list node;    /* in bus->policies */
    struct wsi_list waiting; /* wsi_op.node: until the stream is there */
    uint64_t messages, time_ms;
    bool is_asked;
    char stream[WSI_NATS_STREAM_SIZE]; /* "": not known */
};

/** That of a window. @return (nullable) NULL without memory. */
struct wsi_policy *wsi_policy_get(struct wsi_bus *bus,
                                  const struct wsi_bus_window *window);
void wsi_policies_free(struct wsi_bus *bus);
/** Find or make the stream, then run the op again; it is ended after some tries. */
void wsi_policy_await(struct wsi_policy *policy, struct wsi_op *op);
/** The stream has lost what was seen of it: have another one, then run the op again. */
void wsi_policy_renew(struct wsi_policy *policy, struct wsi_op *op);
/** The streams of both lists; then they are filled. */
void wsi_lists_ensure(struct wsi_bus *bus);
/** The same, then run the op again; it is ended when they cannot be made. */
void wsi_lists_await(struct wsi_op *op);

/* ---- pages of a stream: fetch.c ---- */

struct wsi_fetch {
    struct wsi_op op; /* first */
    char stream[WSI_NATS_STREAM_SIZE], subject[WSI_NATS_SUBJECT_SIZE];
    char consumer[WSI_NATS_STREAM_SIZE];
    unsigned page;                 /* still to come of the one that was asked for */
    uint64_t again_ms, give_up_ms; /* while a page is under way */
    bool is_unsure;                /* whether there is anything more */
    bool is_last;    /* there was a page of it behind all that was expected */
    bool one_each;   /* a later message of a subject takes the place of the former */
    size_t expected; /* messages that there were when it began */
    natsMsg **msgs;  /* owned */
    size_t count, capacity, bytes;
    /** All is there. Takes the op over. */
    void (*fetched)(struct wsi_fetch *fetch);
    /** There is no such stream. The same. */
    void (*missing)(struct wsi_fetch *fetch);
};

void wsi_fetch_start(struct wsi_fetch *fetch);
void wsi_fetch_clear(struct wsi_fetch *fetch);
/** Ask again for pages that are overdue. @return when next. */
uint64_t wsi_fetches_check(struct wsi_bus *bus, uint64_t now_ms);
/** Whose fetched message it is. @return false when it is none. */
bool wsi_fetch_token(natsMsg *msg, uint64_t *token);
/** The place of a fetched message. @return false when it has none. */
bool wsi_fetch_place(natsMsg *msg, uint64_t *seq, int64_t *time_ms);

/* ---- what is said: messages.c ---- */

/** Hand on a message, or take a reply. Takes the message over. */
void wsi_messages_arrived(struct wsi_bus *bus, natsMsg *msg, bool broad);
/** The header that tells when a message was sent. @return 0 without. */
int64_t wsi_messages_time(natsMsg *msg);
/** "PREFIX.KIND." and a name in one token. @return false when that is too long. */
bool wsi_subject(const struct wsi_bus *bus, char out[WSI_NATS_SUBJECT_SIZE],
                 const char *kind, const char *name);

/* ---- the order of kept messages: order.c ---- */

struct wsi_sub;

/** Hand on a kept message, and what it was waited with. Takes the message over. */
void wsi_order_take(struct wsi_bus *bus, struct wsi_sub *sub, uint64_t epoch,
                    struct wsi_bus_kept *kept, natsMsg *msg);
/** Hand on what is held. */
void wsi_order_flush(struct wsi_bus *bus, struct wsi_sub *sub);
/** Forget it. */
void wsi_order_clear(struct wsi_sub *sub);
/** What is held for too long. @return when next. */
uint64_t wsi_order_check(struct wsi_bus *bus, uint64_t now_ms);

/* ---- who listens: subs.c ---- */

struct wsi_sub {
    struct wsi_table_node by_name;  /* in bus->subs */
    struct wsi_list all;            /* in bus->all_subs */
    natsSubscription *subscription; /* nullable */
    enum wsi_bus_kind kind;
    bool broad; /* of all rooms */
    bool is_up;
    uint64_t mark;        /* that tells that the broker has it */
    uint64_t last, epoch; /* the newest place that was handed on */
    struct wsi_list held; /* what came early */
    size_t held_count;
    uint64_t held_until_ms;
    struct wsi_list holding; /* in bus->holders while something is held */
    char name[];
};

/** Those that every node has. @return 0; WSOCK_ENOMEM. */
int wsi_subs_init(struct wsi_bus *bus);
void wsi_subs_fini(struct wsi_bus *bus);
/** A new connection: ask for all. @return false when it is over. */
bool wsi_subs_ask(struct wsi_bus *bus);
/** Have the broker say when it has what was asked for. */
void wsi_subs_mark(struct wsi_bus *bus);
/** It has. */
void wsi_subs_marked(struct wsi_bus *bus, uint64_t mark);
/** The connection has gone; it was dropped before, so that nothing is sent for each. */
void wsi_subs_lost(struct wsi_bus *bus);
/** Messages were lost: all are told. */
void wsi_subs_tell_again(struct wsi_bus *bus);
struct wsi_sub *wsi_subs_find(const struct wsi_bus *bus, const char *room);
/** Where a room has come to. */
void wsi_subs_note(struct wsi_bus *bus, const char *room,
                   const struct wsi_bus_position *position);

/* ---- who is there: presence.c ---- */

/** The streams are there, perhaps empty: say all. */
void wsi_presence_say(struct wsi_bus *bus);
void wsi_presence_beat(struct wsi_bus *bus);
void wsi_presence_lost(struct wsi_bus *bus);
void wsi_presence_leave(struct wsi_bus *bus);
void wsi_presence_fini(struct wsi_bus *bus);

/* ---- the bus: bus.c ---- */

struct wsi_bus {
    struct wsi_bus_services services;
    struct wsi_bus_handler *user;
    struct wsi_nats_target target;
    char *ca, *cert, *key; /* (owned, nullable) */
    bool verify;
    char prefix[WSI_NATS_PREFIX_MAX];
    char inbox[WSI_NODE_HEX_SIZE + 8];
    uint8_t node[WSI_BUS_NODE_ID_SIZE];
    char node_hex[WSI_NODE_HEX_SIZE];
    uint64_t beat_ms, timeout_ms;
    size_t queue_bytes, answer_bytes;

    pthread_mutex_t lock; /* what follows, up to the blank line */
    pthread_cond_t changed;
    struct wsi_op *outbox, *newest;
    struct wsi_event *events, *newest_event;
    size_t event_bytes;
    bool refuses; /* close() was called */
    bool stirred; /* something else is to be looked at */

    atomic_size_t queued;
    atomic_bool is_up;

    /* On the driver: */
    struct wsi_conn *conn; /* nullable */
    bool is_linked;        /* it is open */
    bool is_closing;
    uint64_t connect_at_ms, connect_by_ms, close_at_ms, beat_at_ms;
    uint64_t beaten_ms; /* when the last beat left that the broker has; 0: none */
    uint64_t pinged_ms, ponged_ms; /* of the connection */
    unsigned attempts, next_host;
    char told[WSI_BUS_WHY_SIZE];
    struct wsi_hash_key hash_key;
    uint64_t tokens, marks, random;
    struct wsi_table by_token;
    struct wsi_list asked, waiting; /* ops, the oldest first */
    struct wsi_list paging;         /* the same, of fetches */
    struct wsi_list policies;
    struct wsi_table subs;
    struct wsi_list all_subs, holders;
    natsSubscription *inbox_subscription; /* nullable */
    bool has_unmarked;
    struct wsi_sub *broad; /* nullable */
    struct wsi_table entries;
    struct wsi_list unsaid, all_entries;
    struct wsi_list listers; /* ops that wait for the lists */
    size_t putting;
    bool has_lists, lists_asked, lists_warned;
    char *description;
    size_t description_len;
};

uint64_t wsi_bus_now(void);
/** The own subscriptions are there: tell that it is up. */
void wsi_bus_come_up(struct wsi_bus *bus);
/** Give the connection up. */
void wsi_bus_lose(struct wsi_bus *bus, const char *why);

#endif
