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
    pthread_mutex_t lock;     /* what follows */
    struct wsi_buf headers;   /* lines, each ended by CRLF */
    struct wsi_buf protocols; /* "a, b" */
};

static inline struct wsi_remote *wsi_remote_of(struct wsi_owner *owner)
{
    return WSI_CONTAINER_OF(owner, struct wsi_remote, owner);
}

/**
 * Begin a connection; everything else happens on its worker.
 *
 * @param out (out, owned, nullable)
 * @return 0; WSOCK_ENOMEM; WSOCK_ECLOSED; what wsi_pool_start() answers.
 */
int wsi_remote_connect(struct wsi_remote *remote, wsock_conn **out);

#endif
