/* SPDX-License-Identifier: MIT */
/*
 * A stream of bytes to a broker, on one loop of the pool: names are looked up, addresses
 * race, TLS shakes hands and verifies, as for clients. It lives on one worker; its
 * handler runs there. A link does not come back by itself: whoever has it opens another
 * one.
 */
#ifndef WSI_CLUSTER_LINK_H
#define WSI_CLUSTER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsi_link;

/* Borrowed until wsi_link_open() returns. */
struct wsi_link_config {
    const char *host; /* a name, an address, or the path of a Unix socket */
    uint16_t port;    /* 0: a Unix socket */
    bool tls;
    bool verify;
    const char *server_name;     /* nullable: the host */
    const char *ca, *cert, *key; /* nullable: files in PEM */
    uint64_t connect_timeout_ms; /* of all of it, TLS included */
    unsigned worker;             /* modulo their number */
};

struct wsi_link_handler {
    void (*opened)(struct wsi_link_handler *handler);
    /** @param data (borrowed until return) */
    void (*received)(struct wsi_link_handler *handler, const void *data, size_t len);
    /** link_post() was called, once or more, since the last time. */
    void (*posted)(struct wsi_link_handler *handler);
    /** The timer. */
    void (*timed)(struct wsi_link_handler *handler);
    /** Once, last. @param why one sentence. */
    void (*closed)(struct wsi_link_handler *handler, const char *why);
};

#endif
