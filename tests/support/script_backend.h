/* SPDX-License-Identifier: MIT */
/*
 * A loop whose time and sockets a test decides: nothing happens but what the script says.
 * Each scripted socket (a peer) has bytes that will be received and limits on how; what
 * was sent to it is kept. Readiness is level-triggered, as with epoll. A loop that waits
 * while nothing is ready moves the clock on; one that would wait for ever fails the test.
 */
#ifndef WSI_TEST_SCRIPT_BACKEND_H
#define WSI_TEST_SCRIPT_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/backend.h"
#include "io/stream.h"

enum { SCRIPT_PEERS_MAX = 64 };

#define SCRIPT_UNLIMITED SIZE_MAX

/* Grows without the allocator that tests make fail. */
struct script_bytes {
    uint8_t *data;
    size_t len, capacity;
};

struct script_peer {
    /* What the stream receives. Add to it with script_feed(). */
    struct script_bytes input;
    size_t read_max;     /* bytes that one receive gives at most; 1 gives every cut */
    size_t read_resets;  /* after this many bytes received: ECONNRESET */
    unsigned read_again; /* this many receives fail with EAGAIN first, though ready */
    bool eof;            /* after the input: end of stream */

    /* What the stream sends. */
    struct script_bytes output;
    size_t write_max;    /* bytes that one send takes at most: short writes */
    size_t write_room;   /* bytes taken before EAGAIN; a test gives more when it likes */
    size_t write_resets; /* after this many bytes sent: EPIPE */

    bool hangup;
    unsigned receives, sends, watches; /* calls */
    unsigned pieces;                   /* in all sends together */
    size_t received, sent;             /* bytes */

    /* Private. */
    struct wsi_stream *stream;
    unsigned watch;
    bool hangup_reported;
    int fd, far_fd;
};

struct script {
    uint64_t now_us;
    unsigned waits; /* turns */

    struct wsi_backend backend;
    struct wsi_clock clock;

    /* Private. */
    struct wsi_loop *loop;
    struct script_peer *peer[SCRIPT_PEERS_MAX];
    size_t peers;
    bool woken;
};

/** Only the backend and the clock, for who makes the loop; its time begins at 1,000,000
 * us. */
void script_init(struct script *script);

/** A loop on this script. */
struct wsi_loop *script_loop_new(struct script *script);

/** As script_loop_new(), where allocations may fail. */
int script_loop_try(struct script *script, struct wsi_loop **out);

/** A new socket for wsi_stream_adopt(), with no limits and nothing to read. @return its
 *  descriptor, which has a real one behind it that is only closed and shut down. */
int script_peer_init(struct script *script, struct script_peer *peer);

/** Frees what the peer kept; the stream must have closed its descriptor. */
void script_peer_fini(struct script *script, struct script_peer *peer);

/** Append to what the stream will receive. */
void script_feed(struct script_peer *peer, const void *data, size_t len);

/** Whether the stream ended its direction (by shutdown or close). */
bool script_fin(struct script_peer *peer);

/** True when the next turn has something to do now: it would not wait. */
bool script_is_busy(struct script *script);

/** Let time pass without a turn. */
void script_sleep(struct script *script, uint64_t ms);

#endif
