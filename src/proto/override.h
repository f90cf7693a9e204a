/* SPDX-License-Identifier: MIT */
/*
 * Addresses that are given for names, so that none is looked up: a list of
 * "HOST:PORT:ADDRESS", separated by commas, as --resolve of curl has it. HOST may be "*",
 * which is any; an IPv6 address may stand in brackets. Another port may follow: of IPv6,
 * only behind brackets. A host that is listed more than once has all of these addresses,
 * in their order.
 */
#ifndef WSI_PROTO_OVERRIDE_H
#define WSI_PROTO_OVERRIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

/**
 * ADDRESS or ADDRESS:PORT.
 *
 * @param address (out) without brackets.
 * @param port    (out) unchanged when there is none.
 * @return NULL, or why it is malformed.
 */
const char *wsi_override_address(struct wsi_str text, struct wsi_str *address,
                                 uint16_t *port);

/** @return NULL, or why this is no element of such a list. */
const char *wsi_override_check(struct wsi_str element);

/**
 * Take the next address for a host and port.
 *
 * @param list    of elements that were checked; what is left of it.
 * @param address (out) without brackets.
 * @param to_port (out) the port to connect to there.
 * @return false when there is none any more.
 */
bool wsi_override_next(struct wsi_str *list, struct wsi_str host, uint16_t port,
                       struct wsi_str *address, uint16_t *to_port);

#endif
