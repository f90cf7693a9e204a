/* SPDX-License-Identifier: MIT */
/*
 * "host[:port]" as it stands in a Host header (RFC 9110 section 7.2), in an absolute-form
 * target and in a URL (RFC 3986 section 3.2).
 */
#ifndef WSI_PROTO_AUTHORITY_H
#define WSI_PROTO_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

enum { WSI_HOST_MAX = 255 };

struct wsi_authority {
    struct wsi_str host; /* without the brackets of an IPv6 literal */
    bool is_ipv6;
    bool port_given;
    uint16_t port; /* 0 unless given */
};

/**
 * Split and check. Stricter than the grammar where readers differ: no percent-encoding
 * in the host, no "host:" without a number, and what ends in a label of digits must be
 * four decimal octets ("127.1" and "010.0.0.1" are read in several ways); no label is
 * empty but that of the root, behind the last dot. IPv6 zone ids and IPvFuture are
 * refused, as is user information.
 *
 * @param why (out) set on failure: a static sentence.
 */
bool wsi_authority_parse(struct wsi_str text, struct wsi_authority *out,
                         const char **why);

/** "a.example.com" is below "example.com", and so is "b.a.example.com". */
bool wsi_host_is_below(struct wsi_str host, struct wsi_str top);

#endif
