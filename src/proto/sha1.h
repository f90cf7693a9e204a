/* SPDX-License-Identifier: MIT */
/*
 * SHA-1 (FIPS 180-4), for Sec-WebSocket-Accept alone. It is no security primitive
 * there: it only shows that the server has read the key of this very request. That is why
 * it lives here: a build without TLS must not need a cryptographic library for it.
 */
#ifndef WSI_PROTO_SHA1_H
#define WSI_PROTO_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { WSI_SHA1_SIZE = 20 };

void wsi_sha1(uint8_t digest[WSI_SHA1_SIZE], const void *data, size_t len);

#endif
