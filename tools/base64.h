/* SPDX-License-Identifier: MIT */
/* Base64 of RFC 4648 section 4, for binary messages within JSON. */
#ifndef BASE64_H
#define BASE64_H

#include <stddef.h>

/** @return (owned) NUL-terminated text for free(); NULL without memory. */
char *base64_encode(const void *data, size_t len);

/** Strict: padding required, nothing but the alphabet. @param out_len (out) @return
 * (owned) for free(); NULL for what is no Base64, or without memory. */
void *base64_decode(const char *text, size_t len, size_t *out_len);

#endif
