/* SPDX-License-Identifier: MIT */
/**
 * @file
 * An HTTP request to a server: the one that asks for a WebSocket (on_request), or a plain
 * one (wsock_server_on_http()). It is answered once, now or later, from any thread; until
 * the option request_timeout, when it gets 503. What it says stays readable on the
 * connection after open (wsock_conn_request()).
 *
 * All strings are NUL-terminated and (borrowed from the request). What reads a request is
 * for any thread, allocates nothing, and is there since 1.0.
 */
#ifndef WSOCK_REQUEST_H
#define WSOCK_REQUEST_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A request came in. Answer it with wsock_request_accept(), _reject() or _respond(); to
 * do so after the return, take a reference. A request that nobody answered and nobody
 * kept gets 500 at the return.
 *
 * @param request (borrowed until return)
 */
typedef void (*wsock_request_fn)(wsock_request *request, void *user);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_request *wsock_request_ref(wsock_request *request);

/** @param request (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_request_unref(wsock_request *request);

/** 1 when it asks for a WebSocket, 0 for a plain request. */
WSOCK_API int wsock_request_is_upgrade(const wsock_request *request);
/** "GET"; for a plain request "HEAD" too, and "POST" where the server's option
 *  max_body_bytes takes one. */
WSOCK_API const char *wsock_request_method(const wsock_request *request);
/** The request target as sent, with the query: "/chat/a%20b?x=1". */
WSOCK_API const char *wsock_request_target(const wsock_request *request);
/** The path, decoded and without the query: "/chat/a b". */
WSOCK_API const char *wsock_request_path(const wsock_request *request);
/** What a capture of the pattern took, decoded; NULL when the pattern has no such name.
 */
WSOCK_API const char *wsock_request_param(const wsock_request *request, const char *name);
/** The first value of a name in the query, decoded; NULL when there is none. */
WSOCK_API const char *wsock_request_query(const wsock_request *request, const char *name);
/** The first header field of that name, case aside; NULL when there is none. */
WSOCK_API const char *wsock_request_header(const wsock_request *request,
                                           const char *name);
/** The first cookie of that name; NULL when there is none. */
WSOCK_API const char *wsock_request_cookie(const wsock_request *request,
                                           const char *name);

/**
 * The body of a POST, whole. It may have the length 0.
 *
 * @param data (out, borrowed from request)
 * @param len  (out)
 * @return 0; WSOCK_ENOENT for a request that is none; WSOCK_EINVAL.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_request_body(const wsock_request *request, const void **data,
                                 size_t *len);

/** Kinds of fields, for wsock_request_field_at(). */
enum {
    WSOCK_FIELDS_HEADER = 0, /**< header fields, in the order sent */
    WSOCK_FIELDS_PARAM = 1,  /**< captures of the pattern */
    WSOCK_FIELDS_QUERY = 2,  /**< names and values of the query, decoded */
    WSOCK_FIELDS_COOKIE = 3, /**< cookies */
};

/**
 * Walk through fields, repeated names included.
 *
 * @param name  (out, borrowed from request)
 * @param value (out, borrowed from request)
 * @param kind  WSOCK_FIELDS_*.
 * @param index from 0.
 * @return 0; WSOCK_ENOENT beyond the last; WSOCK_EINVAL for the kind.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_request_field_at(const wsock_request *request, const char **name,
                                     const char **value, int kind, size_t index);

/**
 * Where the client is, "192.0.2.1:4711", "[2001:db8::1]:4711" or "unix:". Behind proxies
 * that the options proxy_protocol_from and trust_forwarded_from list, it is the address
 * that they tell, and without the port when they tell none: "192.0.2.1",
 * "[2001:db8::1]". Nobody else is believed.
 */
WSOCK_API const char *wsock_request_remote_address(const wsock_request *request);
/** Who is connected to the server: the client, or the proxy in front of it. */
WSOCK_API const char *wsock_request_peer_address(const wsock_request *request);
/** The host that the client asked for, with the port if it named one, "a.example:8443":
 *  the Host header, or what a listed proxy tells (X-Forwarded-Host). "" when there is
 *  none, which HTTP/1.0 allows. */
WSOCK_API const char *wsock_request_host(const wsock_request *request);
/** 1 when the client came over TLS: to this server, or as far as listed proxies tell
 *  (X-Forwarded-Proto, or a PROXY header of version 2), else 0. */
WSOCK_API int wsock_request_is_secure(const wsock_request *request);

/** 1 when the client offers that subprotocol, else 0. */
WSOCK_API int wsock_request_offers(const wsock_request *request, const char *subprotocol);

/**
 * User and password of an Authorization header in the scheme Basic (RFC 7617), decoded;
 * the bytes above 0x7f are as the client sent them, UTF-8 as a rule.
 *
 * @return NULL when there is no such header, or two, or it is malformed: no base64, no
 * colon, a control character.
 */
WSOCK_API const char *wsock_request_basic_user(const wsock_request *request);
WSOCK_API const char *wsock_request_basic_password(const wsock_request *request);
/** The token of the scheme Bearer (RFC 6750 section 2.1), as sent; NULL as above. */
WSOCK_API const char *wsock_request_bearer_token(const wsock_request *request);

/**
 * Compare what a client says with a secret, such as a password or a token, so that the
 * time it takes does not tell how much of it was right. It may tell the two lengths:
 * where the length of the secret is to be hidden, compare hashes.
 *
 * @param given  (borrowed until return, nullable) equals nothing when NULL.
 * @param secret (borrowed until return, nullable) the same.
 * @return 1 when they are equal, else 0.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_secret_equal(const char *given, const char *secret);

/** What the connection's wsock_conn_get_user() will answer. As wsock_conn_set_user() and
 *  wsock_conn_get_user(). */
WSOCK_API int wsock_request_set_user(wsock_request *request, void *user,
                                     wsock_free_fn free_user);
WSOCK_API void *wsock_request_get_user(const wsock_request *request);

/**
 * Add a header field to the answer.
 *
 * @return 0; WSOCK_EINVAL for what is no valid field, or one that the library itself
 * writes (Upgrade, Connection, Sec-WebSocket-..., Content-Length, ...); WSOCK_ECLOSED
 * once answered or cancelled; WSOCK_ETOOBIG above 16 KiB in all; WSOCK_ENOMEM. Thread:
 * any. Since: 1.0
 */
WSOCK_API int wsock_request_add_header(wsock_request *request, const char *name,
                                       const char *value);

/**
 * Accept the upgrade; on_open follows.
 *
 * @param subprotocol (nullable) one that the client offers, "" for none. NULL: the first
 * in the endpoint's option subprotocols that the client offers, none when it offers none
 * of them or the option is empty (RFC 6455 section 4.2.2); so it is without on_request.
 * @return 0; WSOCK_ECLOSED once answered or cancelled; WSOCK_EINVAL for a subprotocol
 * that was not offered, or a plain request. Thread: any. Since: 1.0
 */
WSOCK_API int wsock_request_accept(wsock_request *request, const char *subprotocol);

/**
 * Refuse it with a status and a line of text.
 *
 * @param status 300 to 599.
 * @param text   (borrowed until return, nullable) the body, UTF-8.
 * @return as wsock_request_respond().
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_request_reject(wsock_request *request, int status, const char *text);

/**
 * Answer with a whole HTTP response; the connection closes behind it. For an upgrade this
 * is a rejection.
 *
 * @param status       200 to 599; 300 to 599 for an upgrade.
 * @param content_type (borrowed until return, nullable) NULL: the answer names none.
 * @param data         (borrowed until return, nullable) copied; not sent to a HEAD.
 * @return 0; WSOCK_ECLOSED once answered or cancelled; WSOCK_ERANGE for the status;
 *         WSOCK_EINVAL for the content type; WSOCK_ETOOBIG above 16 MiB; WSOCK_ENOMEM.
 * Thread: any. Since: 1.0
 */
WSOCK_API int wsock_request_respond(wsock_request *request, int status,
                                    const char *content_type, const void *data,
                                    size_t len);

#ifdef __cplusplus
}
#endif

#endif
