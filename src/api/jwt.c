/* SPDX-License-Identifier: MIT */
/* Signed tokens: the checks of arguments. What they mean is in v1/jwt.c. */
#include <wsock/error.h>
#include <wsock/jwt.h>

#include "api/failure.h"
#include "api/runtime.h"
#include "v1/jwt.h"

const char *wsock_jwt_error_text(int jwt_error)
{
#define TEXT_(name, value, text) \
    case (value):                \
        return (text);
    switch (jwt_error) {
        WSOCK_JWT_ERROR_MAP(TEXT_)
    default:
        return "unknown error";
    }
#undef TEXT_
}

int wsock_runtime_jwt_key(wsock_runtime *runtime, wsock_jwt_key **out, int algorithm,
                          const void *data, size_t len)
{
    const char *why = "";
    int r;

    if (runtime == NULL || out == NULL || data == NULL)
        return WSOCK_EINVAL;
    r = wsi_jwt_key_new(out, &why, algorithm, (struct wsi_str){data, len});
    return r < 0 ? wsi_fail(&runtime->failure, r, "the key of tokens: %s", why) : 0;
}

wsock_jwt_key *wsock_jwt_key_ref(wsock_jwt_key *key)
{
    wsi_ref_take(&key->ref);
    return key;
}

void wsock_jwt_key_unref(wsock_jwt_key *key)
{
    if (key != NULL && wsi_ref_drop(&key->ref))
        wsi_jwt_key_free(key);
}

int wsock_jwt_verify(wsock_jwt_key *key, wsock_jwt **out, int *why, const char *token,
                     size_t len, const wsock_jwt_rules *rules)
{
    int error = 0, r;

    if (key == NULL || out == NULL || token == NULL)
        return WSOCK_EINVAL;
    if (rules != NULL && (rules->size < sizeof *rules || rules->leeway_ms < 0))
        return WSOCK_EINVAL;
    r = wsi_jwt_verify(key, out, &error, (struct wsi_str){token, len}, rules);
    if (why != NULL && (r == 0 || r == WSOCK_EACCESS))
        *why = error;
    return r;
}

wsock_jwt *wsock_jwt_ref(wsock_jwt *jwt)
{
    wsi_ref_take(&jwt->ref);
    return jwt;
}

void wsock_jwt_unref(wsock_jwt *jwt)
{
    if (jwt != NULL && wsi_ref_drop(&jwt->ref))
        wsi_jwt_free(jwt);
}

const char *wsock_jwt_subject(const wsock_jwt *jwt)
{
    return jwt != NULL ? jwt->subject : "";
}

const char *wsock_jwt_claims(const wsock_jwt *jwt)
{
    return jwt != NULL ? jwt->claims : "{}";
}

const char *wsock_jwt_info(const wsock_jwt *jwt)
{
    return jwt != NULL ? jwt->info : NULL;
}

int64_t wsock_jwt_expires_ms(const wsock_jwt *jwt)
{
    return jwt != NULL ? jwt->expires_ms : 0;
}

int wsock_jwt_allows(const wsock_jwt *jwt, int what, const char *room)
{
    if (jwt != NULL && what == WSOCK_JWT_DIRECT)
        return !jwt->pub.is_there;
    if (jwt == NULL || room == NULL)
        return 0;
    if (what == WSOCK_JWT_JOIN)
        return wsi_jwt_patterns_allow(&jwt->rooms, room);
    return what == WSOCK_JWT_PUBLISH && wsi_jwt_patterns_allow(&jwt->pub, room);
}
