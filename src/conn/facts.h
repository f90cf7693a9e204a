/* SPDX-License-Identifier: MIT */
/*
 * What a handshake said, kept for the life of its connection: one block of NUL-terminated
 * strings, which never changes once the subprotocol is set, and is read from any thread.
 *
 * All strings are (borrowed from facts). What decodes to a NUL, or has a malformed
 * escape, cannot be told as a string: such a pair of the query or such a capture is left
 * out, and such a path is told as it was sent. Of cookies and of pairs of the query the
 * first 256 count. Bytes of header values above 0x7f stay as they came.
 */
#ifndef WSI_CONN_FACTS_H
#define WSI_CONN_FACTS_H

#include <stdbool.h>
#include <stddef.h>

#include "conn/route.h"
#include "core/str.h"
#include "proto/http.h"

struct wsi_facts;

/** Where a request comes from. */
struct wsi_whence {
    const char *remote;  /* the client's address, as far as it is known */
    const char *peer;    /* the address of who is connected: the client, or a proxy */
    const char *local;   /* this end's; "" when many have the same, which is kept apart */
    struct wsi_str host; /* that the client asked for, if the Host header does not say */
    bool is_secure;      /* the client came over TLS */
};

/**
 * @param out      (out, owned) end it with wsi_facts_free().
 * @param whence   (borrowed until return)
 * @param head     (borrowed until return)
 * @param captures (borrowed until return) of wsi_routes_match().
 * @return 0; WSOCK_ENOMEM; WSOCK_ETOOBIG for a head far beyond what max_head_bytes
 * allows.
 */
int wsi_facts_from_request(struct wsi_facts **out, const struct wsi_whence *whence,
                           const struct wsi_http_head *head,
                           const struct wsi_capture *captures, unsigned capture_count);

/** The same from a server's answer: header fields and subprotocol, all else is empty. */
int wsi_facts_from_response(struct wsi_facts **out, const char *remote, const char *local,
                            const struct wsi_http_head *head);

/** Takes NULL. */
void wsi_facts_free(struct wsi_facts *facts);

/** Bytes of the block. */
size_t wsi_facts_size(const struct wsi_facts *facts);

/** The addresses, as they were given; of a response, both are the server's. */
const char *wsi_facts_remote(const struct wsi_facts *facts);
const char *wsi_facts_peer(const struct wsi_facts *facts);
/** This end's address, as it was given; NULL when that was "". */
const char *wsi_facts_local(const struct wsi_facts *facts);
/** The host that was asked for, with its port; "" when that was not said. */
const char *wsi_facts_host(const struct wsi_facts *facts);
bool wsi_facts_is_secure(const struct wsi_facts *facts);
/** "GET"; "" of a response. */
const char *wsi_facts_method(const struct wsi_facts *facts);
/** As sent, with the query. */
const char *wsi_facts_target(const struct wsi_facts *facts);
/** How many bytes of that a log may show: a query may hold a token. */
int wsi_facts_shown(const struct wsi_facts *facts);
/** Decoded, without the query; "" for a target that has no path. */
const char *wsi_facts_path(const struct wsi_facts *facts);
/** The first header field of that name, ASCII case aside; NULL when there is none. */
const char *wsi_facts_header(const struct wsi_facts *facts, const char *name);
/** The decoded value of a capture; NULL when there is none of that name. */
const char *wsi_facts_param(const struct wsi_facts *facts, const char *name);
/** The first value of that name in the query, decoded; NULL when there is none. */
const char *wsi_facts_query(const struct wsi_facts *facts, const char *name);
/** The first cookie of that name; NULL when there is none. */
const char *wsi_facts_cookie(const struct wsi_facts *facts, const char *name);

/** What a request's one Authorization header says, in the scheme Basic or Bearer; NULL
 *  when it says anything else. */
const char *wsi_facts_basic_user(const struct wsi_facts *facts);
const char *wsi_facts_basic_password(const struct wsi_facts *facts);
const char *wsi_facts_bearer_token(const struct wsi_facts *facts);

/** As wsock_request_field_at(): @param kind WSOCK_FIELDS_*.
 *  @return 0; WSOCK_ENOENT beyond the last; WSOCK_EINVAL for another kind. */
int wsi_facts_field_at(const struct wsi_facts *facts, const char **name,
                       const char **value, int kind, size_t index);

/** True when the subprotocol stands in the request's Sec-WebSocket-Protocol. */
bool wsi_facts_offers(const struct wsi_facts *facts, const char *protocol);

/**
 * Note the subprotocol that was agreed on, one that the request offers; of a response it
 * is noted already. There is room for it: this cannot fail for want of memory. Once,
 * before other threads may call wsi_facts_subprotocol().
 *
 * @return 0; WSOCK_EINVAL for one that was not offered.
 */
int wsi_facts_set_subprotocol(struct wsi_facts *facts, const char *protocol);

/**
 * The same with the first of a comma-separated list that the request offers; with none
 * when it offers none of them.
 */
void wsi_facts_choose_subprotocol(struct wsi_facts *facts, const char *list);

/** "" when none. */
const char *wsi_facts_subprotocol(const struct wsi_facts *facts);

#endif
