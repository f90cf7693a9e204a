/* SPDX-License-Identifier: MIT */
/*
 * A client, seen from its connections: where they go, what they ask for. The public
 * object is this one; api/client.c checks what goes into it.
 */
#ifndef WSI_CONN_REMOTE_H
#define WSI_CONN_REMOTE_H

#include <pthread.h>

#include <wsock/types.h>

#include "conn/destination.h"
#include "conn/keeper.h"
#include "conn/owner.h"
#include "conn/profile.h"
#include "conn/secure.h"
#include "conn/tunneling.h"
#include "core/buf.h"
#include "proto/url.h"

struct wsi_remote {
    struct wsi_owner owner;      /* first: a connection's owner is its remote */
    struct wsi_profile profile;  /* scope client */
    struct wsi_destination home; /* its URL */
    struct wsi_environment environment;
    struct wsi_secure secure;
    struct wsi_keeper keeper;
    pthread_mutex_t lock;     /* what follows, and the options */
    struct wsi_buf headers;   /* lines, each ended by CRLF */
    struct wsi_buf protocols; /* "a, b" */
};

static inline struct wsi_remote *wsi_remote_of(struct wsi_owner *owner)
{
    return WSI_CONTAINER_OF(owner, struct wsi_remote, owner);
}

static inline struct wsi_remote *wsi_remote_of_keeper(struct wsi_keeper *keeper)
{
    return WSI_CONTAINER_OF(keeper, struct wsi_remote, keeper);
}

/* The public handle is its remote, seen from outside. */
static inline wsock_client *wsi_client_of(struct wsi_remote *remote)
{
    return (wsock_client *)(void *)remote;
}

static inline struct wsi_remote *wsi_remote_of_client(wsock_client *client)
{
    return (struct wsi_remote *)(void *)client;
}

enum { WSI_GIVEN_WHY_SIZE = 128 };

/**
 * Read the files of TLS, if it speaks TLS and they were not read since an option of it
 * was set.
 *
 * @param why (out) WSI_TLS_WHY_SIZE bytes: on failure what is wrong.
 * @return as wsi_secure_load().
 */
int wsi_remote_prepare(struct wsi_remote *remote, char *why);

/**
 * Begin a connection; everything else happens on its worker.
 *
 * @param out (out, owned, nullable)
 * @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED; what wsi_pool_start() answers.
 */
int wsi_remote_connect(struct wsi_remote *remote, wsock_conn **out);
/**
 * The same over a socket that is connected already.
 *
 * @param given (borrowed until return) duplicated.
 * @param why   (out) WSI_GIVEN_WHY_SIZE bytes: on failure what is wrong, or "" where the
 *              result says it.
 * @return as wsi_remote_connect(); WSOCK_EINVAL for what is no connected stream socket;
 * WSOCK_EMFILE; WSOCK_ESYSTEM; WSOCK_ENOTSUP on a network in memory.
 */
int wsi_remote_connect_given(struct wsi_remote *remote, int given, wsock_conn **out,
                             char *why);
/** The same as wsi_remote_connect() on a worker that runs. */
int wsi_remote_connect_on(struct wsi_remote *remote, struct wsi_worker *worker,
                          wsock_conn **out);

#endif
