/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 message heads (RFC 9112), as strictly as an upgrade deserves: what other
 * parsers might read in two ways is refused. Bodies are not our business.
 */
#ifndef WSI_PROTO_HTTP_H
#define WSI_PROTO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"

enum { WSI_HTTP_FIELDS_MAX = 256 }; /* the ceiling of the option max_headers */

struct wsi_http_field {
    struct wsi_str name, value; /* value without surrounding blanks */
};

/** A parsed head; every string points into the bytes that were parsed. */
struct wsi_http_head {
    struct wsi_str method, target; /* of a request */
    unsigned status;               /* of a response */
    struct wsi_str reason;
    unsigned minor; /* HTTP/1.minor */
    unsigned count;
    struct wsi_http_field fields[WSI_HTTP_FIELDS_MAX];
};

/** Why a head was refused: the status to answer with, and a static sentence. */
struct wsi_http_refusal {
    unsigned status;
    const char *why;
};

/** Where the search for the end of a head stands; all zero at the start. */
struct wsi_http_scan {
    size_t pos;
};

/**
 * Look for the end of a head in bytes that grow between calls; each byte is looked at
 * once. Refuses as soon as it sees what no head may contain: bare CR or LF, NUL and other
 * controls, a first byte that begins no token, more than max_bytes without an end.
 *
 * @return the head's length with its final CRLF CRLF; 0 when it is not whole yet;
 *         negative when refused, and *refusal is set (400, or 431 for the size).
 */
ptrdiff_t wsi_http_scan(struct wsi_http_scan *scan, const uint8_t *data, size_t len,
                        size_t max_bytes, struct wsi_http_refusal *refusal);

/**
 * Parse a whole request head (len as wsi_http_scan gave it).
 *
 * @return 0, or -1 and *refusal: 400 malformed (obs-fold, blank before the colon, bad
 *         token, duplicate or missing or empty Host, Content-Length or Transfer-Encoding
 *         that differ or are malformed, ...), 431 more than max_fields fields, 505
 * version. The head's content means nothing then.
 *
 * The target of an accepted head is what wsi_target_split() takes, except "*" of OPTIONS
 * and host:port of CONNECT. HTTP/1.0 passes, with or without Host.
 */
int wsi_http_parse_request(const uint8_t *data, size_t len, unsigned max_fields,
                           struct wsi_http_head *head, struct wsi_http_refusal *refusal);

/** The same for a response; the status of a refusal is 0. */
int wsi_http_parse_response(const uint8_t *data, size_t len, unsigned max_fields,
                            struct wsi_http_head *head, struct wsi_http_refusal *refusal);

/** The same for the answer to a CONNECT: Content-Length and Transfer-Encoding of a 2xx mean
 *  nothing, and may be anything (RFC 9110 section 9.3.6). */
int wsi_http_parse_connect_response(const uint8_t *data, size_t len, unsigned max_fields,
                                    struct wsi_http_head *head,
                                    struct wsi_http_refusal *refusal);

/** The nth (from 0) field of that name, ASCII case aside; NULL when there is none. */
const struct wsi_http_field *wsi_http_find(const struct wsi_http_head *head,
                                           struct wsi_str name, unsigned nth);

/** True when a comma-separated list of tokens (all fields of that name together) has the
 *  token, ASCII case aside. */
bool wsi_http_list_has(const struct wsi_http_head *head, struct wsi_str name,
                       struct wsi_str token);

/** Take the next element of a comma-separated list; false at its end. Empty elements are
 *  skipped, blanks trimmed. */
bool wsi_http_list_next(struct wsi_str *list, struct wsi_str *element);

/** The seconds of Retry-After (RFC 9110 section 10.2.3), 0 when there is none or a date;
 *  more than fit are UINT32_MAX. */
uint32_t wsi_http_retry_after(const struct wsi_http_head *head);

/** RFC 9110 token: one or more tchar. */
bool wsi_http_is_token(struct wsi_str text);

/** True when the text may be a field value: visible ASCII, obs-text, blanks and tabs
 *  inside (not at the ends); no CR, LF, NUL or other control. Empty is fine. */
bool wsi_http_is_field_value(struct wsi_str text);

/** The standard reason phrase of a status, "" for others. */
const char *wsi_http_reason(unsigned status);

#endif
