/* SPDX-License-Identifier: MIT */
/* Which web pages may connect: the Origin of RFC 6455 section 10.2. */
#ifndef WSI_CONN_ORIGIN_H
#define WSI_CONN_ORIGIN_H

#include <stdbool.h>

#include "proto/http.h"

/**
 * @param allowed the option origins: "" for pages of the host and port that the request
 * names,
 *                "*" for any, else a comma-separated list of origins.
 * @return true too for a request without Origin: it does not come from a browser's page.
 */
bool wsi_origin_is_allowed(const struct wsi_http_head *head, const char *allowed);

#endif
