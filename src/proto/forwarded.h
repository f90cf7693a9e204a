/* SPDX-License-Identifier: MIT */
/* What HTTP proxies say of the client: X-Forwarded-For, -Host and -Proto. */
#ifndef WSI_PROTO_FORWARDED_H
#define WSI_PROTO_FORWARDED_H

#include <stdbool.h>

#include "proto/http.h"
#include "proto/ip.h"

/* Proxies on one way; whoever is listed behind so many others counts as the client. */
enum { WSI_FORWARDED_HOPS_MAX = 32 };

struct wsi_forwarded {
    bool has_ip;
    struct wsi_ip ip;
    uint16_t port;       /* 0: not said */
    struct wsi_str host; /* an authority; of length 0: not said */
    bool has_scheme;
    bool is_secure; /* https or wss */
};

/**
 * Read what the fields of a request say, which a proxy that is trusted has sent.
 * X-Forwarded-For is walked from its right end, where each proxy adds the address that it
 * was reached from, up to the first that is not trusted: what stands left of it, the
 * client may have written. What is no address ends the walk before it. Of the other two
 * fields, the value counts that the farthest trusted proxy added, or the first one when
 * not every proxy adds to them.
 */
void wsi_forwarded_read(struct wsi_forwarded *out, const struct wsi_http_head *head,
                        const struct wsi_networks *trusted);

#endif
