/* SPDX-License-Identifier: MIT */
/*
 * What the files of the network in memory share: memory_sockets.c (names, connections,
 * bytes) and memory.c (readiness, time, conditions).
 */
#ifndef WSI_IO_MEMORY_INTERNAL_H
#define WSI_IO_MEMORY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/list.h"
#include "io/loop_internal.h"
#include "io/memory.h"

/* What one end has sent, in the list of the other. */
struct wsi_packet {
    struct wsi_list node;
    uint64_t at_us;    /* when it arrives */
    size_t len, taken; /* len 0: the FIN, or the RST */
    bool resets;
    uint8_t data[];
};

/* A listener, or one end of a connection. */
struct wsi_endpoint {
    struct wsi_list node;     /* memory->sockets */
    struct wsi_list due;      /* memory->due, while a turn delivers */
    struct wsi_list waiting;  /* in a listener's backlog */
    struct wsi_list backlog;  /* a listener's: endpoints that nobody accepted yet */
    struct wsi_list incoming; /* wsi_packet.node, the oldest first */
    size_t incoming_bytes;    /* not read */
    uint64_t ready_us;        /* connected from then on */
    struct wsi_address local, remote;
    struct wsi_endpoint *peer; /* NULL: it was closed, or there never was one */
    struct wsi_stream *stream;
    struct wsi_listener *listener;
    unsigned watch, ready;
    int fd;
    int error; /* that reset it */
    bool listens, listens_on;
    bool fin_sent, fin_read;
    bool held; /* nothing arrives here */
    bool hangup_reported;
};

struct wsi_memory {
    struct wsi_backend backend;
    struct wsi_clock clock;
    _Atomic uint64_t now_us;
    _Atomic(struct wsi_loop *) loop; /* nullable */
    pthread_mutex_t lock;            /* recursive; guards all that follows */
    struct wsi_list names;
    struct wsi_list sockets; /* wsi_endpoint.node, the oldest first */
    struct wsi_list due;
    struct wsi_endpoint **table; /* by descriptor */
    size_t table_size, table_used;
    struct wsi_address source;
    uint16_t next_port;
    uint64_t delay_us;
    size_t chunk, room;
    bool held;
};

static inline uint64_t wsi_memory_now_us(const struct wsi_memory *memory)
{
    return atomic_load_explicit(&memory->now_us, memory_order_relaxed);
}

/* memory_sockets.c */

extern const struct wsi_sockets wsi_memory_sockets;

void wsi_memory_init_names(struct wsi_memory *memory);
void wsi_memory_free_names(struct wsi_memory *memory);

/** @return (nullable) */
struct wsi_endpoint *wsi_memory_find(struct wsi_memory *memory, int fd);
/** @return (nullable) the oldest in a backlog, if it is connected by now. */
struct wsi_endpoint *wsi_memory_waiting(const struct wsi_memory *memory,
                                        const struct wsi_endpoint *listener);
/** @return (nullable) what is to be read next. */
struct wsi_packet *wsi_memory_arrived(const struct wsi_memory *memory,
                                      const struct wsi_endpoint *end);
/** An RST has arrived here, behind what was read. */
bool wsi_memory_is_reset(const struct wsi_memory *memory, const struct wsi_endpoint *end);
/** The peer has gone, and this end can know. */
bool wsi_memory_is_broken(const struct wsi_memory *memory,
                          const struct wsi_endpoint *end);
size_t wsi_memory_room(const struct wsi_memory *memory, const struct wsi_endpoint *end);
/** An RST from nowhere; what had arrived can still be read. */
void wsi_memory_reset(struct wsi_memory *memory, struct wsi_endpoint *end);

ssize_t wsi_memory_receive(void *state, struct wsi_stream *stream, void *buf, size_t len);
ssize_t wsi_memory_send(void *state, struct wsi_stream *stream, const void *data,
                        size_t len);
ssize_t wsi_memory_send_pieces(void *state, struct wsi_stream *stream,
                               const struct iovec *iov, int count);

#endif
