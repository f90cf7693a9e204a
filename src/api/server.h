/* SPDX-License-Identifier: MIT */
/* The public server, and the endpoints that live in it. */
#ifndef WSI_API_SERVER_H
#define WSI_API_SERVER_H

#include <wsock/server.h>

#include "api/failure.h"
#include "conn/service.h"
#include "core/list.h"
#include "room/registry.h"

/* What a layer above has laid over an endpoint: its handlers are those of that layer, and
 * the application's stand beside. */
struct wsi_overlay {
    struct wsi_profile beside; /* on_open and on_close */
    /** The server has stopped: what the application gave goes. */
    void (*clear)(struct wsi_overlay *overlay);
    /** With the endpoint. */
    void (*release)(struct wsi_overlay *overlay);
};

/* An endpoint is part of its server: a reference to one is a reference to the other. */
struct wsock_endpoint {
    struct wsi_profile profile; /* first: the value of its route */
    struct wsi_list node;       /* server->endpoints */
    wsock_server *server;
    char *pattern;
    _Atomic(struct wsi_overlay *) overlay; /* (owned, nullable) set once */
    struct wsi_failure failure;
};

struct wsock_server {
    struct wsi_service service; /* first */
    struct wsi_list node;       /* wsock_runtime.servers, guarded by the pool's lock */
    bool told[2];               /* wsi_runtime_stop() did, by its argument; as node */
    bool stopped;               /* on_stopped ran; as node */
    pthread_mutex_t lock;       /* what follows */
    bool listening;             /* has been: some options are fixed */
    bool patterns_fixed;        /* accepts, or did: workers read the routes */
    bool stop_called;
    struct wsi_mail ended; /* on_stopped, on the queue */
    struct wsi_mail cluster_told;
    bool cluster_tells; /* that is under way */
    void (*cluster_closed)(wsock_server *server);
    struct wsi_list endpoints;
    struct wsi_list acceptors;
    struct wsi_registry rooms;
    struct wsi_failure failure;
};

/** Its handlers never run again. */
void wsi_endpoint_clear(struct wsock_endpoint *endpoint);
/** With its server, or before it was a part of it. */
void wsi_endpoint_free(struct wsock_endpoint *endpoint);

/** @param cut cut its connections off at once. */
void wsi_server_stop(wsock_server *server, bool cut);

#endif
