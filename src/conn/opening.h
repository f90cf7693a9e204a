/* SPDX-License-Identifier: MIT */
/*
 * A connection until it is a WebSocket, or will never be one. What this takes is kept
 * apart, because an open connection needs none of it.
 *
 *   server:  [PROXY] --> [TLS] --> HEAD --> [BODY] --> ANSWER --> (open)
 *                                    |         |          |
 *                                    +---------+----------+-----> REPLY
 *   client:  START --> CONNECT --> [TUNNEL] --> [TLS] --> HEAD --> (open)
 *                                                         |
 *                                                         +--> REFUSED
 *                                                         `--> MOVING --> CONNECT
 *
 *   trust.c PROXY, secure.c TLS, body.c BODY, accepting.c and answer.c what a server
 *   answers, reply.c REPLY; reaching.c a client's way to HEAD, tunneling.c TUNNEL,
 * moving.c MOVING, connecting.c the rest of it
 */
#ifndef WSI_CONN_OPENING_H
#define WSI_CONN_OPENING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/list.h"
#include "io/dial.h"
#include "io/resolve.h"
#include "proto/handshake.h"
#include "proto/http.h"
#include "proto/pmd.h"

struct wsock_conn;
struct wsi_file;
struct wsi_destination;
struct wsi_way;

enum wsi_opening_phase {
    WSI_OPENING_START,   /* client: not on its worker yet */
    WSI_OPENING_CONNECT, /* client: resolving, connecting */
    WSI_OPENING_PROXY,   /* server: the header of a proxy in front is due */
    WSI_OPENING_TUNNEL,  /* client: the answer of a proxy is due */
    WSI_OPENING_TLS,     /* the handshake of TLS */
    WSI_OPENING_HEAD,    /* the head of the request or response is coming */
    WSI_OPENING_BODY,    /* server: the body of a plain request is coming */
    WSI_OPENING_ANSWER,  /* server: the application decides */
    WSI_OPENING_REPLY,   /* server: an HTTP answer is leaving */
    WSI_OPENING_MOVING,  /* client: a redirect is followed when the socket has closed */
    WSI_OPENING_REFUSED, /* client: what an answer that refuses says may still come */
};

struct wsi_opening {
    uint8_t phase;
    bool is_upgrade;
    bool has_route;  /* of a plain request: its path is an endpoint's */
    bool is_post;    /* it has a body, which may be empty */
    bool head_only;  /* HEAD: the answer has no body */
    bool handed_out; /* the application knows of the request */
    bool in_handler;
    struct wsi_list handshaking; /* server: in worker->handshakes, in the phase TLS */
    struct wsock_conn *conn;     /* whose handshake that is */
    struct wsi_buf in; /* received: an unfinished head, then what came behind it */
    struct wsi_http_scan scan;
    size_t body_length; /* server: in BODY */
    size_t passed;      /* client: bytes of interim answers at the begin of `in` */
    uint64_t deadline_ms;
    char key[WSI_KEY_SIZE + 1];

    /* The answer, under worker->lock until it is there. Its flag lies apart from those
     * above, which compilers read together. */
    bool answered;
    unsigned status; /* 101 accepts */
    struct wsi_buf headers, body;
    char *content_type;

    int file; /* being sent; -1 when none */
    uint64_t file_left;

    struct wsi_pmd_config offered; /* client: what the request offers of compression */
    /* In REFUSED, where `in` begins with the body. */
    const char *refusal;   /* static: the status in words */
    size_t refusal_length; /* of the body, as far as it is of interest */
    size_t refusal_text;   /* of that, what may begin with a line to be told */
    bool keeps_body;       /* option max_refusal_bytes */
    uint32_t retry_after_s;

    bool is_given; /* client: the application connected */
    int given;     /* (owned) that socket, until it is the stream's; -1 when none */
    struct wsi_address peer; /* server: who connected; client: what is being tried */
    struct wsi_address local; /* unless it is the listener's; once there is a socket */
    /* Server: what a PROXY header says. */
    struct wsi_address *remote; /* (owned, nullable) the client, if it is named */
    bool is_proxy;              /* the client is unknown, or the proxy itself */
    bool is_secure;             /* the client came over TLS, to us or to the proxy */
    bool speaks_tls;            /* server: what comes is TLS */
    struct wsi_resolve *resolve;
    struct wsi_dial *dial;
    struct wsi_way *way;           /* (owned, nullable) through a proxy */
    struct wsi_destination *moved; /* (owned, nullable) where a redirect led to */
    int64_t redirects;
    int error; /* errno of what failed */
};

enum { WSI_ANSWER_MAX = 16 * 1024 * 1024, WSI_ANSWER_HEADERS_MAX = 16 * 1024 };

/** Server: the client, as far as it is known before its request. */
static inline const struct wsi_address *
wsi_opening_remote(const struct wsi_opening *opening)
{
    return opening->remote != NULL ? opening->remote : &opening->peer;
}

int wsi_opening_new(struct wsi_opening **out);
/** Takes NULL. */
void wsi_opening_free(struct wsi_opening *opening);
void wsi_opening_drop_moved(struct wsi_opening *opening);
/** Take it away from the connection: open, or ended. */
void wsi_opening_finish(struct wsock_conn *conn);
/** Before the end is told: on_request_cancelled for a request that was not answered. */
void wsi_opening_cancel(struct wsock_conn *conn);

/* Events, on the worker. */
void wsi_opening_receive(struct wsock_conn *conn, uint8_t *data, size_t len);
/** Server: what is below HTTP is there, and maybe some of the request. */
void wsi_opening_begin(struct wsock_conn *conn);
void wsi_opening_eof(struct wsock_conn *conn);
void wsi_opening_writable(struct wsock_conn *conn);
/** The handshake of TLS is done: HTTP begins. */
void wsi_opening_secured(struct wsock_conn *conn);
/** @return true when that has ended it already. */
bool wsi_opening_stream_closed(struct wsock_conn *conn, int error);
/** The mail that is posted while it opens: an answer, or a client's start. */
void wsi_opening_mail(struct wsock_conn *conn);

uint64_t wsi_opening_deadline(const struct wsock_conn *conn);
void wsi_opening_set_deadline(struct wsock_conn *conn, uint64_t in_ms);
void wsi_opening_timeout(struct wsock_conn *conn);
/** The server or runtime stops. */
void wsi_opening_go_away(struct wsock_conn *conn);
/** The application does not want it any more. */
void wsi_opening_give_up(struct wsock_conn *conn);

/* accepting.c */
void wsi_accepting_head(struct wsock_conn *conn, uint8_t *data, size_t head_len);
/** The body of a plain request is there. */
void wsi_accepting_body(struct wsock_conn *conn);
void wsi_accepting_refuse(struct wsock_conn *conn,
                          const struct wsi_http_refusal *refusal);
/** The answer is there: carry it out. */
void wsi_accepting_answered(struct wsock_conn *conn);
/** The handler has returned: who neither answered nor kept the request never will. */
void wsi_accepting_asked(struct wsock_conn *conn);

/* connecting.c */
/** What is below HTTP is there: ask. */
void wsi_connecting_ask(struct wsock_conn *conn);
bool wsi_connecting_stream_closed(struct wsock_conn *conn, int error);
/** @return true when that was an interim answer, to be passed over. */
bool wsi_connecting_head(struct wsock_conn *conn, uint8_t *data, size_t head_len);
/** More of a refusal's body came. */
void wsi_connecting_receive_refusal(struct wsock_conn *conn, const uint8_t *data,
                                    size_t len);
/** Nothing more comes of it, or not in time. */
void wsi_connecting_refused(struct wsock_conn *conn);
void wsi_connecting_fail(struct wsock_conn *conn, int cause, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* reply.c */
/** Send an HTTP answer and end the connection behind it. */
void wsi_reply(struct wsock_conn *conn, unsigned status, const char *content_type,
               struct wsi_str headers, const void *body, size_t len);
/** 503: not now, and not here; the next try may meet another process. */
void wsi_reply_later(struct wsock_conn *conn, const char *text);
/** A status with one line of text. */
void wsi_reply_text(struct wsock_conn *conn, unsigned status, const char *text);
/** @param file (consumed) */
void wsi_reply_file(struct wsock_conn *conn, const struct wsi_file *file);
void wsi_reply_writable(struct wsock_conn *conn);
/** Queue bytes of a handshake. @return 0; WSOCK_ENOMEM. */
int wsi_opening_write(struct wsock_conn *conn, const void *data, size_t len);

#endif
