/* SPDX-License-Identifier: MIT */
/*
 * The URLs that name servers and listeners (RFC 6455 section 3, RFC 3986):
 *   ws://host[:port][/path][?query]       wss://...
 *   ws+unix:/path.sock[:/path[?query]]    wss+unix:...
 * and the pieces of a request target.
 *
 * The path of a Unix socket stands as the file system has it, without escapes; it ends at
 * the first ":/" or ":?". The host "*" means every address, v4 and v6, and is for
 * listeners: clients refuse it.
 */
#ifndef WSI_PROTO_URL_H
#define WSI_PROTO_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"

struct wsi_url {
    bool secure; /* wss */
    bool is_unix;
    uint16_t port; /* 80 or 443 when the URL has none; 0 may be asked for */
    bool port_given;
    struct wsi_str host; /* without the brackets of an IPv6 literal */
    bool host_is_ipv6;
    struct wsi_str userinfo; /* "user:password", still percent-encoded; usually empty */
    struct wsi_str path;     /* of a Unix socket, as it stands in the file system */
    struct wsi_str target;   /* path and query of the request; "/" when the URL has none,
                                and with a '/' in front of a bare query only through
                                wsi_url_write_target() */
};

/**
 * Split a URL; every string points into text.
 *
 * Refused: other schemes, a fragment, an empty or malformed host (authority.h), a port
 * that is no number or above 65535, characters that must be percent-encoded, a malformed
 * percent-encoding, an unclosed bracket, a Unix path longer than 107 bytes, user
 * information with ws+unix.
 *
 * @param why (out) set on failure: a static sentence.
 * @return 0, or WSOCK_EURL.
 */
int wsi_url_parse(const char *text, struct wsi_url *url, const char **why);

/** What goes into the Host header: host, brackets for IPv6, the port unless default;
 *  "localhost" for a Unix socket. NUL-terminated; @return its length, or WSOCK_ETOOBIG.
 */
int wsi_url_write_host(const struct wsi_url *url, char *out, size_t size);

/** The request target in origin-form. NUL-terminated; @return its length, or
 * WSOCK_ETOOBIG. */
int wsi_url_write_target(const struct wsi_url *url, char *out, size_t size);

/** A request target as RFC 9112 section 3.2 allows it for GET, in two parts. */
struct wsi_target {
    struct wsi_str path;      /* still percent-encoded, begins with '/' */
    struct wsi_str query;     /* without the '?' */
    struct wsi_str authority; /* of an absolute-form target; else empty */
};

/** Split an origin-form or absolute-form target; false when it is neither. */
bool wsi_target_split(struct wsi_str target, struct wsi_target *out);

/**
 * Decode percent-encoding, and '+' as a blank when `form`.
 *
 * @param out  at least in.len bytes; may be in's own memory.
 * @param size (out) the decoded length.
 * @return false for a malformed escape.
 */
bool wsi_percent_decode(struct wsi_str in, bool form, char *out, size_t *size);

/** Take the next "name=value" of a query (still encoded); false at its end. */
bool wsi_query_next(struct wsi_str *query, struct wsi_str *name, struct wsi_str *value);

/** Take the next cookie of a Cookie header (RFC 6265 section 4.2); false at its end. */
bool wsi_cookie_next(struct wsi_str *cookies, struct wsi_str *name,
                     struct wsi_str *value);

#endif
