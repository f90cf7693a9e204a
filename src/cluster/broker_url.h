/* SPDX-License-Identifier: MIT */
/* What URLs of brokers have in common, for the adapters. */
#ifndef WSI_CLUSTER_BROKER_URL_H
#define WSI_CLUSTER_BROKER_URL_H

#include <stdbool.h>
#include <stddef.h>

/** Decode percent-encoding. @param out of `size` bytes, NUL-terminated. @return false:
 *  malformed, too long, or with a NUL. */
bool wsi_broker_url_decode(char *out, size_t size, const char *text, size_t len);

/** Read a number of at most six digits. @return false when it is none, or above max. */
bool wsi_broker_url_number(unsigned *out, const char *text, size_t len, unsigned max);

#endif
