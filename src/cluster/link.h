/* SPDX-License-Identifier: MIT */
/*
 * A stream of bytes to a broker, on one loop of the pool: names are looked up, addresses
 * race, TLS shakes hands and verifies, as for clients. It lives on one worker; its
 * handler runs there. A link does not come back by itself: whoever has it opens another
 * one.
 *
 *   open --> [look up, connect, TLS] --opened--> [send, received ...] --closed
 *              |                                   |
 *              +---- whatever fails, close() ------+---------------> closed
 */
#ifndef WSI_CLUSTER_LINK_H
#define WSI_CLUSTER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsi_link;
struct wsi_tls_context;

/* Files in PEM, each nullable: without authorities the system's are taken. */
struct wsi_link_tls_config {
    const char *ca, *cert, *key;
    bool verify; /* the broker's certificate, its name included */
};

/**
 * What links with TLS need: made once, so that the files are read once. Blocks on the
 * file system.
 *
 * @param why (out) size bytes: on failure what is wrong.
 * @return 0; WSOCK_ETLS; WSOCK_ENOTSUP without TLS in this build; WSOCK_ENOMEM.
 */
int wsi_link_tls_new(struct wsi_tls_context **out,
                     const struct wsi_link_tls_config *config, char *why, size_t size);
/** Links that have it keep it. Takes NULL. */
void wsi_link_tls_free(struct wsi_tls_context *tls);

/* Borrowed until wsi_link_open() returns. */
struct wsi_link_config {
    /* A name, an address, or the path of a Unix socket. NULL: the link goes nowhere, and
     * only lends its handler a worker: posts and the timer. */
    const char *host;
    uint16_t port;               /* 0: a Unix socket */
    struct wsi_tls_context *tls; /* (nullable) */
    const char *server_name;     /* of the certificate; nullable: the host */
    uint64_t connect_timeout_ms; /* of all of it, TLS included */
    size_t output_bytes;         /* that wait for the socket at most; then send() fails */
    unsigned worker;             /* modulo their number */
};

/* All on the link's worker, never inside a call of the link. */
struct wsi_link_handler {
    void (*opened)(struct wsi_link_handler *handler);
    /** @param data (borrowed until return) */
    void (*received)(struct wsi_link_handler *handler, const void *data, size_t len);
    /** link_post() was called, once or more, since the last time. */
    void (*posted)(struct wsi_link_handler *handler);
    /** The timer. */
    void (*timed)(struct wsi_link_handler *handler);
    /** Once, last; the link is gone. @param why one sentence. */
    void (*closed)(struct wsi_link_handler *handler, const char *why);
};

/** Begin to connect. Any thread, and `closed` follows for sure. @param pool struct
 * wsi_pool. @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED when the pool is ending; what
 * wsi_pool_start() answers. */
int wsi_link_open(void *pool, struct wsi_link **out, const struct wsi_link_config *config,
                  struct wsi_link_handler *handler);

/** Queue bytes; they leave at the end of the loop's turn. On its worker. @return 0;
 * WSOCK_EAGAIN above output_bytes; WSOCK_ECLOSED before it opened and once it ends;
 * WSOCK_ENOMEM. */
int wsi_link_send(struct wsi_link *link, const void *data, size_t len);

/** End it: what was queued leaves if that takes no longer than a second. On its worker;
 * `closed` follows. May be called again. */
void wsi_link_close(struct wsi_link *link);

/** Have `posted` called. Any thread, as long as the link is there for sure: one that goes
 * nowhere does not end by itself. */
void wsi_link_post(struct wsi_link *link);

/** Have `timed` called once, in that time, instead of when it was to be called before;
 * UINT64_MAX: not at all. On its worker. */
void wsi_link_timer(struct wsi_link *link, uint64_t delay_ms);

#endif
