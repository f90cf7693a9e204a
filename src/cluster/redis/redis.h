/* SPDX-License-Identifier: MIT */
/*
 * The adapter of Redis, seen from inside.
 *
 *     callers' threads --ops--> outbox --> topology: which peer --> its wire of commands
 *                                 |                                 and that of
 *                                 +--> subscriptions, presence      subscriptions
 *
 * Everything behind the outbox happens on one worker of the pool, where all links of a
 * bus live; so nothing there needs a lock. A control link that goes nowhere brings the
 * posts of other threads, and the timer.
 *
 * A scout asks one of the URL's hosts what there is: a single broker, or the masters of a
 * Redis Cluster and their slots. Each of these is a peer with two wires. When one breaks,
 * scouts go out again until all is up.
 */
#ifndef WSI_REDIS_REDIS_H
#define WSI_REDIS_REDIS_H

#include <hiredis.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cluster/adapter.h"
#include "cluster/link.h"
#include "cluster/redis/guard.h"
#include "cluster/redis/keys.h"
#include "cluster/redis/script.h"
#include "cluster/redis/target.h"
#include "core/hash.h"
#include "core/list.h"
#include "core/table.h"

enum {
    WSI_PEERS_MAX = 64,
    WSI_REDIRECTS_MAX = 8,
    WSI_ASKED_MAX = 1024,  /* subscriptions that a wire waits for at a time */
    WSI_PRESENT_MAX = 256, /* renewals that are under way at a time */
    WSI_NO_SLOT = 0xFFFF,
    WSI_ARGS_MAX = 160,
};

struct wsi_op;
struct wsi_peer;
struct wsi_wire;

/* ---- one command, from its caller to its answer: op.c ---- */

struct wsi_op {
    struct wsi_op *next;
    struct wsi_bus *bus;
    /** On the worker, out of the outbox; NULL: send the command. */
    void (*run)(struct wsi_op *op);
    /** Make the command, when the wire is known that it will leave on. (nullable) @return
     * 0; WSOCK_ENOMEM. */
    int (*prepare)(struct wsi_op *op, struct wsi_wire *wire);
    /** The answer, which is no error. Takes the op over. */
    void (*answered)(struct wsi_op *op, const redisReply *reply);
    /** There is none. Takes the op over. */
    void (*ended)(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why);
    struct wsi_bus_receipt *receipt; /* nullable */
    char *command;                   /* of hiredis, nullable */
    size_t command_len;
    size_t cost;                /* in bus->queued */
    uint64_t deadline_ms;       /* to be sent */
    struct wsi_wire *wire;      /* that it was sent on */
    struct wsi_peer *asked_for; /* ASK: whom to send it to, once */
    uint16_t slot;
    uint8_t redirects;
    bool
        is_internal; /* of a greeting: is never sent again, and its error ends the wire */
    bool is_secret;  /* of its error only the first word is told */
    bool is_due;     /* however much waits: it gives back more than it takes */
};

/** @param size of the struct that begins with it. All zero but for bus. @return
 * (nullable) */
struct wsi_op *wsi_op_new(struct wsi_bus *bus, size_t size);
void wsi_op_free(struct wsi_op *op);
/* Words of a command, borrowed until it was formatted. */
struct wsi_args {
    const char *text[WSI_ARGS_MAX];
    size_t len[WSI_ARGS_MAX];
    int count;
};
void wsi_args_add(struct wsi_args *args, const char *text);
void wsi_args_add_bytes(struct wsi_args *args, const void *data, size_t len);
/** Begin with EVALSHA of a script and its count of keys. */
void wsi_args_script(struct wsi_args *args, const struct wsi_bus *bus,
                     enum wsi_script script, const char *keys);
/** Put the command into it, instead of what was there. @return 0; WSOCK_ENOMEM. */
int wsi_op_format_args(struct wsi_op *op, const struct wsi_args *args);

/** From any thread: count it, and have it run on the worker. @return 0; WSOCK_EAGAIN;
 * WSOCK_ECLOSED; then it was freed. */
int wsi_op_submit(struct wsi_op *op);
/** Tell the receipt, if any, and free it. */
void wsi_op_finish(struct wsi_op *op, const struct wsi_bus_answer *answer);
/** The usual `ended`. */
void wsi_op_fail(struct wsi_op *op, enum wsi_bus_outcome outcome, const char *why);
/** What an answer that nobody understands comes to. */
void wsi_op_nonsense(struct wsi_op *op);

/* ---- one connection: wire.c ---- */

enum wsi_wire_kind { WSI_WIRE_SCOUT, WSI_WIRE_COMMANDS, WSI_WIRE_SUBSCRIPTIONS };

struct wsi_wire {
    struct wsi_link_handler handler; /* first */
    struct wsi_bus *bus;
    struct wsi_peer *peer; /* NULL: a scout, or it has failed */
    enum wsi_wire_kind kind;
    struct wsi_link *link;
    struct wsi_guard guard;
    redisReader *reader;
    struct wsi_op *first, *last; /* wait for answers */
    size_t waiting;
    uint64_t since_ms;    /* the last answer, or the first command after none waited */
    uint64_t pinged_ms;   /* the last time, or when it became ready */
    struct wsi_list node; /* in bus->wires until the link has closed */
    bool ready, failed;
    struct wsi_target_host host;
};

/** @return NULL without memory, or when the pool ends. */
struct wsi_wire *wsi_wire_open(struct wsi_bus *bus, struct wsi_peer *peer,
                               enum wsi_wire_kind kind,
                               const struct wsi_target_host *host);
/** Send the op's command; its answer is awaited. @return false: the link takes no more,
 *  and the op is still the caller's. */
bool wsi_wire_send(struct wsi_wire *wire, struct wsi_op *op);
/** A command of one word, or all scripts, whose answers nobody needs. @return false when
 * the wire has failed for it. */
bool wsi_wire_say(struct wsi_wire *wire, const char *command);
bool wsi_wire_say_scripts(struct wsi_wire *wire);
/** One whose answer, an error too, is of no interest. */
void wsi_wire_mention(struct wsi_wire *wire, const struct wsi_args *args);
/** Give it up: what waits for answers ends as UNKNOWN, and the topology is told. */
void wsi_wire_fail(struct wsi_wire *wire, const char *why);
/** When its answer, or the next PING, is due; fails it when an answer is overdue. */
uint64_t wsi_wire_check(struct wsi_wire *wire, uint64_t now_ms);

/* ---- who there is: topology.c, redirect.c ---- */

struct wsi_peer {
    struct wsi_target_host host;
    struct wsi_wire *commands, *subscriptions; /* nullable */
    struct wsi_op *first, *last;               /* not sent yet */
    struct wsi_list unasked;                   /* wsi_sub.link */
    bool is_used, has_slots, lacks_scripts;
};

void wsi_topology_start(struct wsi_bus *bus);
/** A scout has found what there is. @param reply of CLUSTER SLOTS, or NULL: one broker.
 */
void wsi_topology_found(struct wsi_wire *scout, const redisReply *reply);
/** A wire is ready. */
void wsi_topology_ready(struct wsi_wire *wire);
/** A wire has failed; it is not among its peer's any more. */
void wsi_topology_lost(struct wsi_wire *wire, const char *why);
/** Look whether all is up. */
void wsi_topology_settle(struct wsi_bus *bus);
/** Send a scout soon. */
void wsi_topology_doubt(struct wsi_bus *bus);
/** Who has a slot now, or is nobody. */
struct wsi_peer *wsi_topology_peer(struct wsi_bus *bus, unsigned slot);
/** Who is at a host, from now on. @return (nullable) NULL: there are too many. */
struct wsi_peer *wsi_topology_add(struct wsi_bus *bus,
                                  const struct wsi_target_host *host);
/** Open what wires a peer lacks. */
void wsi_topology_open(struct wsi_bus *bus, struct wsi_peer *peer);
/** A slot has moved. */
void wsi_topology_move(struct wsi_bus *bus, unsigned slot, struct wsi_peer *to);
/** Queue an op at its peer, and send what can be sent. */
void wsi_topology_send(struct wsi_op *op);
void wsi_topology_flush(struct wsi_bus *bus, struct wsi_peer *peer);
/** The same of one that goes before what is queued. */
void wsi_topology_queue_first(struct wsi_op *op);
/** Fail all that was not sent. */
void wsi_topology_drop(struct wsi_bus *bus, enum wsi_bus_outcome outcome,
                       const char *why);
/** What is to happen by the clock. @return when next. */
uint64_t wsi_topology_check(struct wsi_bus *bus, uint64_t now_ms);

/** An error of a command: send the op again elsewhere or later, if it says so. @return
 * whether it was taken over. */
bool wsi_redirect_take(struct wsi_op *op, const char *error, size_t len);
/** The same of a subscription. @return whether it is to be asked for again. */
bool wsi_redirect_follow(struct wsi_bus *bus, const struct wsi_wire *wire,
                         const char *error, size_t len);
/** Nothing waits for answers any more: go on with what is to be sent again. */
uint64_t wsi_redirect_check(struct wsi_bus *bus, uint64_t now_ms);

/* ---- subscriptions: subs.c ---- */

enum wsi_sub_state { WSI_SUB_IDLE, WSI_SUB_ASKED, WSI_SUB_UP, WSI_SUB_LEAVING };

struct wsi_sub {
    struct wsi_table_node node; /* in bus->subs */
    struct wsi_list all;        /* in bus->all_subs */
    struct wsi_list link;       /* in peer->unasked, or in none */
    struct wsi_wire *wire;      /* that it was asked on */
    enum wsi_bus_kind kind;
    enum wsi_sub_state state;
    bool wanted, pattern;
    bool is_refused;     /* since it was up last; that was logged */
    uint64_t tell_at_ms; /* pattern: when everybody will have heard of it; 0: told */
    uint16_t slot;
    size_t channel_len;
    const char *name; /* of the channel, in text; NULL for ALL and the pattern */
    char text[];      /* the channel at the broker */
};

/** Those that every node has. @return 0; WSOCK_ENOMEM. */
int wsi_subs_init(struct wsi_bus *bus);
void wsi_subs_fini(struct wsi_bus *bus);
/** Whether those are up. */
bool wsi_subs_has_own(const struct wsi_bus *bus);
/** Ask for what is wanted of a peer and not asked for yet. */
void wsi_subs_ask(struct wsi_peer *peer);
/** Slots have moved, or peers gone: find out again who is to be asked. */
void wsi_subs_place(struct wsi_bus *bus);
/** What was had from a wire is lost. */
void wsi_subs_lost(struct wsi_wire *wire);
/** What comes on such a wire and answers nothing: messages. @return NULL, or what is
 * wrong. */
const char *wsi_subs_push(struct wsi_wire *wire, const redisReply *reply);
/** Whether a push is the answer that this op waits for. */
bool wsi_subs_answers(const struct wsi_op *op, const redisReply *reply);
uint64_t wsi_subs_check(struct wsi_bus *bus, uint64_t now_ms);

/* ---- who is in rooms: presence.c ---- */

/** This node is in the list of nodes from the start. @return 0; WSOCK_ENOMEM. */
int wsi_presence_init(struct wsi_bus *bus);
/** Say everything again, a beat: say that it still holds. */
void wsi_presence_again(struct wsi_bus *bus, const struct wsi_peer *peer);
void wsi_presence_beat(struct wsi_bus *bus);
/** Take all of it back, as far as that can be said at once. */
void wsi_presence_leave(struct wsi_bus *bus);
void wsi_presence_fini(struct wsi_bus *bus);

/* ---- messages: messages.c, load.c ---- */

/** Hand a message from the broker on. */
void wsi_messages_arrived(struct wsi_bus *bus, const struct wsi_bus_channel *channel,
                          const char *data, size_t len);
/** Read "NUMBER NUMBER NUMBER". */
bool wsi_numbers(uint64_t out[3], const redisReply *reply);

/* ---- the bus: bus.c ---- */

enum wsi_closing { WSI_BUS_OPEN, WSI_BUS_CLOSING, WSI_BUS_ENDING };

struct wsi_bus {
    struct wsi_link_handler handler; /* first: of the control link */
    struct wsi_link *control;
    struct wsi_bus_services services;
    struct wsi_bus_handler *user;
    struct wsi_target target;
    struct wsi_tls_context *tls; /* (owned, nullable) */
    char prefix[3 * WSI_PREFIX_MAX + 1];
    uint8_t node[WSI_BUS_NODE_ID_SIZE];
    char node_hex[WSI_NODE_HEX_SIZE];
    uint64_t beat_ms, timeout_ms;
    size_t queue_bytes, answer_bytes;
    char sha[WSI_SCRIPTS][WSI_SCRIPT_SHA_SIZE];
    unsigned worker;

    pthread_mutex_t lock;           /* what follows, up to the blank line */
    struct wsi_op *outbox, *newest; /* the oldest first */
    bool refuses;                   /* close() was called */

    atomic_size_t queued; /* cost of ops that were not answered */
    atomic_bool is_cluster;
    atomic_bool is_heard; /* somebody hears all rooms of the cluster */

    /* On the worker: */
    enum wsi_closing closing;
    bool control_closes;
    uint64_t close_at_ms; /* then it ends, whatever is still awaited */
    uint64_t timer_at_ms;
    struct wsi_list wires; /* all whose links have not closed */
    struct wsi_wire *scout;
    uint64_t scout_at_ms; /* when the next one leaves; UINT64_MAX: none is needed */
    unsigned attempts, next_host;
    bool is_known;   /* the topology */
    bool is_covered; /* each slot has a master */
    bool is_up;
    char told[WSI_BUS_WHY_SIZE]; /* the last reason */
    /* The last one is nobody: what has no place waits there. */
    struct wsi_peer peers[WSI_PEERS_MAX + 1];
    uint8_t slots[WSI_SLOTS]; /* index of a peer */

    bool holds; /* nothing is sent until all answers have come */
    uint64_t again_at_ms;
    struct wsi_op *again, *again_last;

    struct wsi_hash_key hash_key;
    struct wsi_table subs;
    struct wsi_list all_subs;
    struct wsi_sub *own[2];                /* of this node, and of all nodes */
    struct wsi_sub *pattern;               /* (nullable) of all rooms */
    uint64_t ask_again_ms;                 /* for what was refused; 0: nothing was */
    struct wsi_table rooms, entries;       /* presence of this node */
    struct wsi_list idle_rooms, due_rooms; /* wsi_here.link */
    size_t renewing;
    uint64_t beat_at_ms;
    uint64_t random;
};

static inline uint64_t wsi_bus_now(const struct wsi_bus *bus)
{
    return bus->services.now_ms(bus->services.pool);
}

/** Something has changed that the clock decides on: look within that time. */
void wsi_bus_wake(struct wsi_bus *bus, uint64_t at_ms);
/** It is up, or why not; the user is told when that changed. */
void wsi_bus_state(struct wsi_bus *bus, bool up, const char *why);
/** A wire's link has closed. */
void wsi_bus_wire_gone(struct wsi_bus *bus);
/** An error of the broker's as text for people. @param out WSI_BUS_WHY_SIZE bytes */
void wsi_error_text(char *out, const char *error, size_t len, bool is_secret);

#endif
