/* SPDX-License-Identifier: MIT */
/*
 * Within `wsock serve`: members that a backend decides on, over HTTP (docs/auth.md).
 *
 *   backend.c        what is asked, what an answer means, what is remembered of it
 *   backend_http.c   requests under way: a thread with libcurl
 *   backend_none.c   a build without libcurl
 */
#ifndef BACKEND_H
#define BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include <wsock/wsock.h>

enum {
    BACKEND_HEADERS_MAX = 32,
    BACKEND_ANSWER_MAX = 65536, /* bytes */
    BACKEND_ACTIVE_MAX = 32,    /* requests at one time */
    BACKEND_WAITING_MAX = 4096, /* questions that wait for one of them */
    BACKEND_KEPT_MAX = 10000,   /* answers that are remembered */
    BACKEND_KEPT_BYTES_MAX = 16 * 1024 * 1024
};

/** What the arguments say. */
struct backend_config {
    const char *url;                          /**< --auth-url (borrowed) */
    int64_t timeout_ms;                       /**< --auth-timeout */
    const char *headers[BACKEND_HEADERS_MAX]; /**< --auth-header: of the handshake, beside
                                                   the usual ones (borrowed) */
    size_t header_count;
};

struct backend;

/** @return 0, or an exit status after a complaint. */
int backend_new(struct backend **out, const struct backend_config *config);

/** What to ask for rooms, with the backend as `user`. */
extern const wsock_rooms_hooks backend_hooks;

/** Refuse what is asked, now and from now on. Both take NULL. */
void backend_stop(struct backend *backend);
/** After that, and once no hook can run any more. */
void backend_free(struct backend *backend);

/* ---- backend_http.c ---- */

struct backend_http;

/** One question on its way. */
struct backend_job {
    struct backend_job *next;
    wsock_ask *ask; /* (owned) */
    char *body;     /* (owned) what is sent, JSON */
    int64_t deadline_ms;
    char *answer; /* (owned, nullable) what came, not NUL-terminated */
    size_t answer_len;
};

/** What became of one, on the thread of the requests. @param job (consumed) @param status
 *  of HTTP; 0 when there was no whole answer in time. @param why (nullable) then. */
typedef void (*backend_done_fn)(struct backend *backend, struct backend_job *job,
                                long status, const char *why);

/** @return 0, or an exit status after a complaint. */
int backend_http_start(struct backend_http **out, struct backend *backend,
                       const char *url, backend_done_fn done);

/** @param job (consumed) @return 0; -1 when too many wait: it is the caller's still. */
int backend_http_ask(struct backend_http *http, struct backend_job *job);

/** Ends what is under way with status 0; nothing can be asked from then on. Once. */
void backend_http_stop(struct backend_http *http);
void backend_http_free(struct backend_http *http);

#endif
