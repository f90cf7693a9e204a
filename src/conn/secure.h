/* SPDX-License-Identifier: MIT */
/*
 * TLS on connections: what options say becomes a context of the server or the client, and
 * a connection whose URL begins with wss: gets a filter of it (io/filter.h) before
 * anything of HTTP is read or sent.
 *
 *   opening.h's TLS phase --on_secured--> HEAD
 *                         --on_filter_failed, timeout, end of stream--> ended
 */
#ifndef WSI_CONN_SECURE_H
#define WSI_CONN_SECURE_H

#include <pthread.h>

#include "core/option.h"
#include "tls/tls.h"

struct wsock_conn;

/** The context of a server or a client, as it is now. */
struct wsi_secure {
    pthread_mutex_t lock;
    struct wsi_tls_context *context; /* (owned, nullable) */
    bool is_current;                 /* options have not changed since */
};

void wsi_secure_init(struct wsi_secure *secure);
void wsi_secure_fini(struct wsi_secure *secure);

/** True when there is a context, and wsi_secure_outdate() was not called since. */
bool wsi_secure_is_current(struct wsi_secure *secure);

/**
 * Read the files that options name, check them, and then use them for connections to
 * come. On failure what was before stays. The options may not change meanwhile.
 *
 * @param log (nullable) for warnings.
 * @param why (out) WSI_TLS_WHY_SIZE bytes: on failure what is wrong.
 * @return as wsi_tls_server_new().
 */
int wsi_secure_load(struct wsi_secure *secure, const struct wsi_options *options,
                    struct wsi_log *log, char *why);

/** Options have changed. */
void wsi_secure_outdate(struct wsi_secure *secure);

/** Begin the handshake of a connection, with what came of it already (opening->in). On
 * failure the connection has ended. */
void wsi_conn_start_tls(struct wsock_conn *conn);

/** It counts among the handshakes of its worker no more. */
void wsi_conn_end_handshake(struct wsock_conn *conn);

/** The handshake is done. */
void wsi_conn_secured(struct wsock_conn *conn);

/** Keep what is known of its TLS for wsock_conn_tls(); once. @return 0; WSOCK_ENOMEM. */
int wsi_conn_note_tls(struct wsock_conn *conn);

/** It failed, or what came later did. */
void wsi_conn_tls_failed(struct wsock_conn *conn);

/** The peer ended the stream within the handshake. */
void wsi_conn_tls_eof(struct wsock_conn *conn);

#endif
