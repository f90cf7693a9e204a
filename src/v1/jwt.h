/* SPDX-License-Identifier: MIT */
/*
 * Signed tokens: what wsock/jwt.h declares, without the checks of arguments. jwt_none.c
 * stands in for jwt.c in a build without OpenSSL or jansson.
 */
#ifndef WSI_V1_JWT_H
#define WSI_V1_JWT_H

#include <stdbool.h>

#include <wsock/jwt.h>

#include "core/ref.h"
#include "core/str.h"

struct wsi_rsa_key;

enum {
    WSI_JWT_MAX = 8192,     /* bytes of a token */
    WSI_JWT_DEPTH_MAX = 32, /* of its JSON */
    WSI_JWT_PATTERNS_MAX = 256,
    WSI_JWT_SECRET_MIN = 32, /* RFC 7518 section 3.2 */
};

struct wsock_jwt_key {
    struct wsi_ref ref;
    int algorithm;
    struct wsi_rsa_key *rsa; /* (owned) of RS256 */
    char *secret;            /* (owned) of HS256 */
    size_t secret_len;
};

/** Patterns of rooms, as one text in which each ends in NUL. */
struct wsi_jwt_patterns {
    bool is_there; /* else everything is allowed */
    unsigned count;
    char *text; /* (owned, nullable) */
};

struct wsock_jwt {
    struct wsi_ref ref;
    char *claims;  /* (owned) */
    char *subject; /* (owned) */
    char *info;    /* (owned, nullable) */
    int64_t expires_ms;
    struct wsi_jwt_patterns rooms, pub;
};

/** @param why (out) on failure a clause that says why, static text. @return as
 *  wsock_runtime_jwt_key(). */
int wsi_jwt_key_new(struct wsock_jwt_key **out, const char **why, int algorithm,
                    struct wsi_str data);
void wsi_jwt_key_free(struct wsock_jwt_key *key);

/** @param why (out) 0 unless WSOCK_EACCESS. @return as wsock_jwt_verify(). */
int wsi_jwt_verify(const struct wsock_jwt_key *key, struct wsock_jwt **out, int *why,
                   struct wsi_str token, const struct wsock_jwt_rules *rules);
void wsi_jwt_free(struct wsock_jwt *jwt);

bool wsi_jwt_patterns_allow(const struct wsi_jwt_patterns *patterns, const char *room);

#endif
