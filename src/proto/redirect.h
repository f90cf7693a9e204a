/* SPDX-License-Identifier: MIT */
/* Where a redirect leads: a Location (RFC 9110 section 10.2.2) as a URL of ours. */
#ifndef WSI_PROTO_REDIRECT_H
#define WSI_PROTO_REDIRECT_H

#include <stdbool.h>

#include "core/buf.h"
#include "core/str.h"
#include "proto/url.h"

/** 301, 302, 303, 307, 308. */
bool wsi_redirect_is(unsigned status);

/**
 * Resolve a Location against the URL that was asked (RFC 3986 section 5.2) and append the
 * result, with a NUL behind it: a URL of ws or wss, which http and https stand for. A
 * fragment is dropped. What comes out may still be refused by wsi_url_parse().
 *
 * @param why (out) on failure a static sentence.
 * @return 0; WSOCK_ENOMEM; WSOCK_EURL for another scheme, the way from wss to ws, and for
 *         what a Unix socket says.
 */
int wsi_redirect_write(struct wsi_buf *out, const struct wsi_url *from,
                       struct wsi_str location, const char **why);

/** Whether two URLs have the same scheme, host and port (RFC 6454 section 4). */
bool wsi_redirect_same_origin(const struct wsi_url *a, const struct wsi_url *b);

#endif
