/* SPDX-License-Identifier: MIT */
/* A build without OpenSSL or jansson: there are no keys, so nothing else is ever called.
 */
#include <wsock/error.h>

#include "v1/jwt.h"

int wsi_jwt_key_new(struct wsock_jwt_key **out, const char **why, int algorithm,
                    struct wsi_str data)
{
    (void)out, (void)algorithm, (void)data;
    *why = "this build has no OpenSSL or no jansson";
    return WSOCK_ENOTSUP;
}

void wsi_jwt_key_free(struct wsock_jwt_key *key)
{
    (void)key;
}

int wsi_jwt_verify(const struct wsock_jwt_key *key, struct wsock_jwt **out, int *why,
                   struct wsi_str token, const struct wsock_jwt_rules *rules)
{
    (void)key, (void)out, (void)why, (void)token, (void)rules;
    return WSOCK_ENOTSUP;
}

void wsi_jwt_free(struct wsock_jwt *jwt)
{
    (void)jwt;
}

bool wsi_jwt_patterns_allow(const struct wsi_jwt_patterns *patterns, const char *room)
{
    (void)patterns, (void)room;
    return false;
}
