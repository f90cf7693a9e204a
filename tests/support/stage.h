/* SPDX-License-Identifier: MIT */
/*
 * Workers whose thread is the test, on scripted loops, with a server of one endpoint (/e)
 * and a client: their connections live as in the library, but time passes and bytes come
 * and go only as the test says. What the handlers were told stands in a transcript.
 */
#ifndef WSI_TEST_STAGE_H
#define WSI_TEST_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conn/conn.h"
#include "conn/remote.h"
#include "conn/service.h"
#include "cuts.h"
#include "script_backend.h"

enum { STAGE_WORKERS_MAX = 2 };

struct stage {
    struct wsi_pool pool;
    struct wsi_service service; /* owns connections that stage_accept() makes */
    struct wsi_profile endpoint;
    struct wsi_remote remote; /* owns those of stage_connect() */
    struct script script[STAGE_WORKERS_MAX];
    struct wsi_worker *worker; /* the first one */
    struct wsi_loop *loop;     /* of it */
    struct test_transcript seen;
    bool echo;                                   /* handlers send messages back */
    void (*on_message)(struct wsock_conn *conn); /* nullable: afterwards */
};

/** Everything is ready, with `workers` workers; the thread counts as the first one. */
void stage_begin(struct stage *stage, unsigned workers);
/** Everything must have ended. Fails when something is still held. */
void stage_end(struct stage *stage);

/** The same with one worker, and a connection that has just opened; the transcript has
 * said so. */
struct wsock_conn *stage_begin_server(struct stage *stage, struct script_peer *peer);
struct wsock_conn *stage_begin_client(struct stage *stage, struct script_peer *peer);
/** It is open still: reset it, see it told, and end the stage. */
void stage_finish(struct stage *stage, struct wsock_conn *conn, struct script_peer *peer);

/** An option of the endpoint, from now on. */
void stage_set(struct stage *stage, const char *name, const char *value);

/** Bytes that the worker's random source gives next: 0, 1, 2, ... */
void stage_fix_random(struct stage *stage);

/** Turns without letting time pass, until nothing is ready. */
void stage_settle(struct stage *stage);
/** The same on another worker: the thread is that one meanwhile. */
void stage_settle_worker(struct stage *stage, unsigned index);
/** On each, and once more: what one asks of another is done too. */
void stage_settle_all(struct stage *stage);
/** Let so much time pass, turning whenever something is due. */
void stage_run(struct stage *stage, uint64_t ms);

/** A request, "GET /e", as a client sends it, and the answer that opens. */
extern const char stage_request[];
extern const char stage_accepted[];
/** The request of this library's client, with fixed random bytes, and a good answer. */
extern const char stage_asked[];
extern const char stage_answer[];

/** A connection that was just accepted, nothing received. @return (borrowed) */
struct wsock_conn *stage_accept(struct stage *stage, struct script_peer *peer,
                                unsigned worker);
/** One that is open, its handshake out of the way; the transcript says "open". */
struct wsock_conn *stage_accept_open(struct stage *stage, struct script_peer *peer);
/** A client's connection that was just made reaches this peer: in place of
 *  wsi_reaching_start(). */
void stage_reach(struct stage *stage, struct wsock_conn *conn, struct script_peer *peer);
/** A client's connection whose socket has just connected; the request is not flushed. */
struct wsock_conn *stage_connect(struct stage *stage, struct script_peer *peer);
struct wsock_conn *stage_connect_open(struct stage *stage, struct script_peer *peer);

/** Reset what is open, and free the peer. */
void stage_drop(struct stage *stage, struct wsock_conn *conn, struct script_peer *peer);
/** Free the peer of a connection that has ended. */
void stage_ended(struct stage *stage, struct script_peer *peer);

/** Feed a frame as a client sends it, masked with 1 2 3 4; or as a server does. */
void stage_feed_masked(struct script_peer *peer, unsigned byte0, const void *data,
                       size_t len);
void stage_feed_plain(struct script_peer *peer, unsigned byte0, const void *data,
                      size_t len);

/** Since the last time exactly this was sent; a literal may hold NUL bytes. */
#define stage_sent(peer, literal) stage_sent_bytes(peer, literal, sizeof(literal) - 1)
void stage_sent_bytes(struct script_peer *peer, const void *data, size_t len);

/** Since the last time the handlers were told this: "open", "text hello", "binary 00ff",
 *  "pong x", "drain", "cancelled", "closed CAUSE CODE reason". */
void stage_saw(struct stage *stage, const char *events);

#endif
