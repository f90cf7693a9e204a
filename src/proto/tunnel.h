/* SPDX-License-Identifier: MIT */
/*
 * Through a proxy to a server: what is said to a proxy of HTTP (CONNECT, RFC 9110 section
 * 9.3.6, with Basic credentials) or of SOCKS (version 5, RFC 1928, with user and
 * password, RFC 1929) until bytes go through. The name of the server is the proxy's to
 * resolve.
 */
#ifndef WSI_PROTO_TUNNEL_H
#define WSI_PROTO_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/str.h"
#include "proto/http.h"

enum wsi_via_kind { WSI_VIA_HTTP, WSI_VIA_SOCKS5 };

/** A proxy, by its URL; strings point into that. */
struct wsi_via {
    uint8_t kind;
    bool host_is_ipv6;
    uint16_t port;
    struct wsi_str host;           /* without brackets */
    struct wsi_str user, password; /* percent-encoded */
};

/**
 * "http://[user[:password]@]host[:port][/]", port 80 when it has none, or socks5:// (or
 * socks5h://, which is the same here), port 1080. Without a scheme it is http. Users and
 * passwords that cannot be said to such a proxy are refused here: malformed escapes, more
 * than 512 bytes, for http control characters and a colon in the user (RFC 7617 section
 * 2), for socks5 more than 255 bytes and a password without a user (RFC 1929).
 *
 * @param why (out) on failure a static sentence.
 */
bool wsi_via_parse(struct wsi_via *out, struct wsi_str text, const char **why);

/**
 * Whether a list says that a host is reached without a proxy: "*", a name (which means
 * what lies below it as well, with or without a dot before it), an address, or a network
 * in CIDR notation; separated by commas or blanks. What is malformed says nothing.
 */
bool wsi_via_is_bypassed(struct wsi_str list, struct wsi_str host);

/** The way through one proxy; all zero but for these, which stay as they are meanwhile.
 */
struct wsi_tunnel {
    struct wsi_via via;
    struct wsi_str host; /* of the server, without brackets */
    bool host_is_ipv6;
    uint16_t port;
    uint8_t step;
    struct wsi_http_scan scan;
    size_t spent; /* bytes of interim answers */
};

struct wsi_tunnel_failure {
    unsigned status; /* of HTTP, or 0 */
    char why[160];   /* a sentence */
};

enum { WSI_TUNNEL_HEAD_MAX = 16 * 1024 };

/** Append the first bytes for the proxy. @return 0; WSOCK_ENOMEM; WSOCK_EINVAL and
 * *failure for a name or credentials that cannot be said. */
int wsi_tunnel_begin(struct wsi_tunnel *tunnel, struct wsi_buf *out,
                     struct wsi_tunnel_failure *failure);

/**
 * Take what the proxy answers.
 *
 * @param in   what came, which is consumed; what is left at the end came from the server.
 * @param out  what to send next is appended.
 * @param head scratch.
 * @return 1: bytes go through now; 0: more is to come; WSOCK_EHANDSHAKE and *failure;
 *         WSOCK_ENOMEM.
 */
int wsi_tunnel_receive(struct wsi_tunnel *tunnel, struct wsi_buf *in, struct wsi_buf *out,
                       struct wsi_http_head *head, struct wsi_tunnel_failure *failure);

#endif
