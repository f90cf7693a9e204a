/* SPDX-License-Identifier: MIT */
/*
 * Proxies between a client and its server: which one, by the options proxy and no_proxy
 * or by the environment, and the way through it (proto/tunnel.h).
 */
#ifndef WSI_CONN_TUNNELING_H
#define WSI_CONN_TUNNELING_H

#include <stddef.h>
#include <stdint.h>

#include "proto/tunnel.h"

struct wsock_conn;

/** What the environment says of proxies, as it was when the client was made: for ws, and
 * for wss, where a redirect may lead. */
struct wsi_environment {
    struct wsi_environment_proxy {
        const char *variable; /* that names it; NULL when none does */
        char *url;            /* (owned, nullable) */
    } plain, secure;
    char *no_proxy; /* (owned, nullable) */
};

/** @return 0; WSOCK_ENOMEM: wsi_environment_fini() is due as well. */
int wsi_environment_read(struct wsi_environment *environment);
void wsi_environment_fini(struct wsi_environment *environment);

/** The way of one connection. */
struct wsi_way {
    struct wsi_tunnel tunnel;
    char proxy[]; /* its URL */
};

/** Decide whether the connection goes through a proxy: then opening->way is set. @return
 * 0, or -1 when it has failed. */
int wsi_tunneling_choose(struct wsock_conn *conn);

/** The proxy is connected: ask it. */
void wsi_tunneling_start(struct wsock_conn *conn);

/** It answers. */
void wsi_tunneling_receive(struct wsock_conn *conn, const uint8_t *data, size_t len);

/** It ended the connection instead. @param error errno, or 0 for the end of its stream.
 */
void wsi_tunneling_lost(struct wsock_conn *conn, int error);

#endif
