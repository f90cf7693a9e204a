/* SPDX-License-Identifier: MIT */
/* The options max_message_rate and max_byte_rate: what a peer may send in a second. A
 * connection pays for the counters only while one of them is set. */
#ifndef WSI_CONN_RATE_H
#define WSI_CONN_RATE_H

#include <stdbool.h>

#include "conn/profile.h"
#include "proto/session.h"

struct wsi_rate;

static inline bool wsi_rate_is_limited(const struct wsi_profile *profile)
{
    return !wsi_option_is_off(wsi_option(&profile->options, WSI_OPT_MAX_MESSAGE_RATE)) ||
           !wsi_option_is_off(wsi_option(&profile->options, WSI_OPT_MAX_BYTE_RATE));
}

/** Count an event, control frames too. @return false when it was too much: then the
 *  connection has been failed with 1008. */
bool wsi_rate_allows(struct wsock_conn *conn, const struct wsi_event *event);

/** Takes NULL. */
void wsi_rate_free(struct wsi_rate *rate);

#endif
