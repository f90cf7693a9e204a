/* SPDX-License-Identifier: MIT */
/*
 * The opening handshake, RFC 6455 section 4: what makes a request a WebSocket upgrade,
 * what a client demands of the answer, and the bytes of both.
 */
#ifndef WSI_PROTO_HANDSHAKE_H
#define WSI_PROTO_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/str.h"
#include "proto/http.h"

enum { WSI_KEY_SIZE = 24 }; /* base64 of 16 bytes */

/* ---- server ---- */

/**
 * Decide whether a request asks for a WebSocket, and whether it does so correctly
 * (4.2.1). What asks is an Upgrade header that lists "websocket": without one a request
 * is plain whatever its Sec-WebSocket-* say, as proxies that do not know the upgrade
 * strip just that one.
 *
 * @param is_upgrade (out) false for a plain request, which is no error; untouched when
 *                   refused.
 * @return 0, or -1 and *refusal: 400, 405 (upgrade by another method than GET), 426
 * (another Sec-WebSocket-Version, also one that is no number; the answer must carry
 *         "Sec-WebSocket-Version: 13", as that of wsi_http_write_response() does).
 */
int wsi_handshake_check_request(const struct wsi_http_head *head, bool *is_upgrade,
                                struct wsi_http_refusal *refusal);

/** Next subprotocol that the client offers; cursor is zero at the start. For heads of
 *  requests only. */
bool wsi_handshake_next_protocol(const struct wsi_http_head *head, unsigned *cursor,
                                 struct wsi_str *protocol);

/**
 * Append the 101 answer (4.2.2).
 *
 * @param key        the request's Sec-WebSocket-Key, WSI_KEY_SIZE characters.
 * @param protocol   of length 0 for none.
 * @param extensions Sec-WebSocket-Extensions, of length 0 for none.
 * @param headers    further header lines, each ended by CRLF, checked by the caller.
 * @return 0; WSOCK_ENOMEM; WSOCK_ETOOBIG.
 */
int wsi_handshake_write_accept(struct wsi_buf *out, struct wsi_str key,
                               struct wsi_str protocol, struct wsi_str extensions,
                               struct wsi_str headers, size_t limit_bytes);

/**
 * Append any other answer, whole: status line, Connection: close, Content-Length, what
 * 426 demands (Upgrade, Sec-WebSocket-Version), "Allow: GET" for a 405 unless headers has
 * an Allow, and the body unless head_only. Statuses 1xx, 204 and 304 have neither body
 * nor Content-Length, whatever body_len says.
 *
 * @param status       100 to 999.
 * @param content_type of length 0 for none.
 */
int wsi_http_write_response(struct wsi_buf *out, unsigned status,
                            struct wsi_str content_type, struct wsi_str headers,
                            const void *body, size_t body_len, bool head_only,
                            size_t limit_bytes);

/** The same without a body, for a body of body_len bytes that the caller sends itself. */
int wsi_http_write_response_head(struct wsi_buf *out, unsigned status,
                                 struct wsi_str content_type, struct wsi_str headers,
                                 uint64_t body_len, size_t limit_bytes);

/* ---- client ---- */

struct wsi_handshake_request {
    struct wsi_str host;      /* as it goes into Host: with the port unless the default */
    struct wsi_str target;    /* origin-form: path and query */
    struct wsi_str key;       /* WSI_KEY_SIZE characters */
    struct wsi_str protocols; /* comma-separated, of length 0 for none */
    struct wsi_str extensions; /* of length 0 for none */
    struct wsi_str headers; /* further lines, each ended by CRLF, checked by the caller */
};

/** Sixteen random bytes in base64 (4.1, item 7). */
void wsi_handshake_make_key(char out[WSI_KEY_SIZE + 1], const uint8_t random[16]);

int wsi_handshake_write_request(struct wsi_buf *out,
                                const struct wsi_handshake_request *request,
                                size_t limit_bytes);

/**
 * Check the server's answer (4.1, the numbered list after "validates").
 *
 * @param offered  the request's protocols.
 * @param extensions_offered whether the request had extensions: then the answer's are the
 *                 caller's to judge, otherwise any is a refusal.
 * @param protocol (out) what the server chose, pointing into the head; length 0 for none.
 * @return 0, or -1 and *refusal: its status is the server's when that is not 101 (why
 * names it), and 0 for an answer of 101 that breaks the rules.
 */
int wsi_handshake_check_response(const struct wsi_http_head *head, struct wsi_str key,
                                 struct wsi_str offered, bool extensions_offered,
                                 struct wsi_str *protocol,
                                 struct wsi_http_refusal *refusal);

/** The Sec-WebSocket-Accept of a key: base64 of a SHA-1 (4.2.2, item 5.4). */
void wsi_handshake_accept_key(char out[29], struct wsi_str key);

#endif
