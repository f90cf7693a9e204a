/* SPDX-License-Identifier: MIT */
/*
 * Listening for a service. By default there is one socket for each address, and the
 * worker that accepts deals the connections out to all workers in turn, which keeps them
 * even at any number; with the option reuse_port each worker has a socket of its own and
 * the kernel deals by hash. docs/architecture.md has the measurement behind the default.
 */
#ifndef WSI_CONN_ACCEPTOR_H
#define WSI_CONN_ACCEPTOR_H

#include "conn/service.h"
#include "core/list.h"
#include "proto/url.h"

struct wsi_acceptor {
    struct wsi_list node; /* the server's list of them */
    char *asked, *url;    /* as it was asked for; with the real port */
    bool secure;          /* wss */
    unsigned count;
    struct wsi_accept_socket *sockets[]; /* (owned until wsi_acceptor_close()) */
};

/**
 * Open the sockets of a URL; wsi_acceptor_update() begins to accept. The pool runs. A
 * name is resolved here, which may take its time.
 *
 * @param out (out, owned) end it with wsi_acceptor_close().
 * @param why (out) on failure: what failed, in words.
 * @return as wsock_server_listen().
 */
int wsi_acceptor_open(struct wsi_acceptor **out, struct wsi_service *service,
                      const char *text, char *why, size_t why_size);

/** Stop accepting; the sockets close on their workers. No update may come after it, nor
 * at the same time. */
void wsi_acceptor_close(struct wsi_acceptor *acceptor);

/** service->accept_paused has changed. */
void wsi_acceptor_update(struct wsi_acceptor *acceptor);

#endif
