/* SPDX-License-Identifier: MIT */
/*
 * A server, seen from its connections: its limits, its routes, what answers plain
 * requests. The public object (api/server.h) is built around it.
 */
#ifndef WSI_CONN_SERVICE_H
#define WSI_CONN_SERVICE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "conn/files.h"
#include "conn/guests.h"
#include "conn/identity.h"
#include "conn/owner.h"
#include "conn/profile.h"
#include "conn/route.h"
#include "conn/secure.h"
#include "conn/trust.h"
#include "io/address.h"

struct wsi_blob;

/* A visit to every worker that sends the connections away. */
struct wsi_farewell {
    struct wsi_round round;
    struct wsi_service *service; /* a reference and a task while it is under way */
};

struct wsi_service {
    struct wsi_owner owner;     /* first: a connection's owner is its service */
    struct wsi_profile profile; /* scope server; WSI_ON_HTTP and WSI_ON_STOPPED */
    struct wsi_routes routes;   /* to struct wsi_profile of an endpoint; fixed while
                                   listening */
    struct wsi_files files;
    struct wsi_guests guests;
    struct wsi_identities identities;
    struct wsi_trust trust; /* as files, fixed by the first listener */
    struct wsi_secure secure;
    size_t connections_automatic; /* what max_connections = 0 means here */
    atomic_size_t alive;          /* connections in any state */
    atomic_size_t tasks;          /* what must end before it has stopped: itself until
                                     wsi_service_stop(), connections, sockets, rounds */
    atomic_bool stopping;
    atomic_bool accept_paused;
    atomic_uint stops; /* calls of wsi_service_stop() */
    struct wsi_farewell farewells[2];
    atomic_uint_fast64_t stop_at_ms; /* when stopping: connections are cut off */
    void (*finished)(struct wsi_service *service); /* the last task ended; on a worker, or
                                                      where it was stopped */
};

static inline struct wsi_service *wsi_service_of(struct wsi_owner *owner)
{
    return WSI_CONTAINER_OF(owner, struct wsi_service, owner);
}

/** The options stay the caller's to set. */
void wsi_service_init(struct wsi_service *service, struct wsi_pool *pool,
                      void (*release)(struct wsi_owner *),
                      void (*finished)(struct wsi_service *));
void wsi_service_fini(struct wsi_service *service);

void wsi_service_task(struct wsi_service *service);
/** The same unless it has stopped. @return whether there is one more. */
bool wsi_service_try_task(struct wsi_service *service);
void wsi_service_task_done(struct wsi_service *service);

/** Send every connection away (1001), and cut off what is left in timeout_ms. The
 * listeners are the caller's to close. May be called once more with less time, also when
 * it has just stopped. */
void wsi_service_stop(struct wsi_service *service, uint64_t timeout_ms);

/** An accepted socket. */
struct wsi_arrival {
    struct wsi_address peer;
    struct wsi_blob *local; /* (borrowed, nullable) this end's address as text, if all of
                               the listener's connections have the same */
    int fd;                   /* (owned) */
    bool secure;              /* it speaks TLS */
};

/** Take it over, on the worker that it will live on. @param arrival (borrowed until
 * return) but for its descriptor. */
void wsi_service_adopt(struct wsi_service *service, struct wsi_worker *worker,
                       const struct wsi_arrival *arrival);

/** The options of the service that owns a connection. */
const struct wsi_options *wsi_service_options(struct wsi_owner *owner);

/** What max_connections means now: connections beyond it get 503. */
size_t wsi_service_limit(const struct wsi_service *service);

#endif
