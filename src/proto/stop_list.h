/* SPDX-License-Identifier: MIT */
/*
 * After which ends of its connection a client gives up instead of connecting again: the
 * option reconnect_stop. An entry is a close code (RFC 6455 section 7.4), a status of
 * HTTP, a range of either such as 4000-4099, "certificate" for a server whose certificate
 * is not accepted, or "none", which is no end at all.
 */
#ifndef WSI_PROTO_STOP_LIST_H
#define WSI_PROTO_STOP_LIST_H

#include <stdbool.h>

#include "core/str.h"

/* What "" stands for: where the same would come of the next attempt, because one end asks
 * for what the other does not do. Left out is what may pass: 1001, 1006, 1011 to 1014;
 * 408, 409, 425, 429 and most of 5xx. */
#define WSI_STOP_LIST_DEFAULT                                                 \
    "1002, 1003, 1007-1010, 400-407, 410-417, 421, 426, 428, 431, 451, 501, " \
    "505, certificate"

/** One entry. @return NULL, or a clause that says what is wrong with it. */
const char *wsi_stop_list_check_entry(struct wsi_str entry);

/** @param list whose entries were checked. @param number a close code or a status. */
bool wsi_stop_list_has(const char *list, unsigned number);

/** Whether a certificate that is not accepted is an end for good. */
bool wsi_stop_list_has_certificate(const char *list);

#endif
