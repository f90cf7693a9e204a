/* SPDX-License-Identifier: MIT */
/* Signatures of tokens: HMAC of RFC 2104 and RSA of RFC 8017 section 8.2, both with
 * SHA-256. Only there in a build with OpenSSL. */
#ifndef WSI_TLS_SIGNATURE_H
#define WSI_TLS_SIGNATURE_H

#include <stddef.h>

#include "core/str.h"

/** Of RSA keys that are taken: below, they can be broken; above, one takes too long. */
enum { WSI_RSA_BITS_MIN = 2048, WSI_RSA_BITS_MAX = 16384 };

/** A public key. Any number of threads may use it. */
struct wsi_rsa_key;

/**
 * Read one from PEM: a public key, or a certificate.
 *
 * @param why (out) on failure a clause that says why, static text.
 * @return 0; WSOCK_EINVAL.
 */
int wsi_rsa_key_new(struct wsi_rsa_key **out, const char **why, struct wsi_str pem);
/** Takes NULL. */
void wsi_rsa_key_free(struct wsi_rsa_key *key);

/** @return 1 when it is the signature of the data; 0 when it is not; WSOCK_ENOMEM. */
int wsi_rsa_verify(const struct wsi_rsa_key *key, struct wsi_str data,
                   struct wsi_str signature);

/** The same by a secret; how long it takes tells nothing of the right one. */
int wsi_hmac_verify(struct wsi_str secret, struct wsi_str data, struct wsi_str signature);

/** Overwrite a secret before its memory goes. */
void wsi_secret_wipe(void *secret, size_t len);

#endif
