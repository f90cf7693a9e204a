/* SPDX-License-Identifier: MIT */
/* Base64 with padding, RFC 4648 section 4, and base64url without, section 5 (as RFC 7515
 * writes it); one encoding only for each run of bytes. */
#ifndef WSI_PROTO_BASE64_H
#define WSI_PROTO_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "core/str.h"

/* Characters for len bytes, without the NUL. */
#define WSI_BASE64_LEN(len) (((len) + 2) / 3 * 4)

/** @param out WSI_BASE64_LEN(len) + 1 bytes, ended by a NUL. */
void wsi_base64_encode(char *out, const void *data, size_t len);

/**
 * @param out text.len / 4 * 3 bytes.
 * @return how many bytes; -1 for anything that wsi_base64_encode() would not have
 *         written: another character, wrong padding, bits set behind the last byte.
 */
ptrdiff_t wsi_base64_decode(uint8_t *out, struct wsi_str text);

/** The same of base64url without padding. @param out text.len / 4 * 3 + 2 bytes. */
ptrdiff_t wsi_base64url_decode(uint8_t *out, struct wsi_str text);

#endif
