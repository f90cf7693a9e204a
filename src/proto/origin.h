/* SPDX-License-Identifier: MIT */
/* Which web pages may connect: the Origin of RFC 6455 section 10.2. */
#ifndef WSI_PROTO_ORIGIN_H
#define WSI_PROTO_ORIGIN_H

#include <stdbool.h>

#include "proto/http.h"

/**
 * @param host    the authority that the client asked for, behind whatever proxy; of
 *                length 0 when there is none.
 * @param is_secure the client is known to have come over TLS: that host's pages have https
 *                then, and either http or https otherwise.
 * @param allowed the option origins: "" for pages of that host and port, else a list of
 *                what wsi_origin_check_entry() takes.
 * @return true too for a request without Origin: it does not come from a browser's page.
 */
bool wsi_origin_is_allowed(const struct wsi_http_head *head, struct wsi_str host,
                           bool is_secure, const char *allowed);

/**
 * One entry of the option origins: "*", "same", "null", "file://", an origin, or an
 * origin whose host begins with "*." for all hosts below it.
 *
 * @return NULL, or a clause that says what is wrong with it.
 */
const char *wsi_origin_check_entry(struct wsi_str entry);

#endif
