/* SPDX-License-Identifier: MIT */
/* A build without jansson: nobody is ever asked. */
#include <wsock/error.h>
#include <wsock/rooms_v1.h>

int wsock_endpoint_serve_rooms(wsock_endpoint *endpoint, const wsock_rooms_hooks *hooks,
                               void *user, wsock_free_fn free_user)
{
    (void)hooks;
    (void)user;
    (void)free_user;
    return endpoint != NULL ? WSOCK_ENOTSUP : WSOCK_EINVAL;
}

wsock_ask *wsock_ask_ref(wsock_ask *ask)
{
    return ask;
}

void wsock_ask_unref(wsock_ask *ask)
{
    (void)ask;
}

int wsock_ask_kind(const wsock_ask *ask)
{
    (void)ask;
    return WSOCK_EINVAL;
}

wsock_conn *wsock_ask_conn(const wsock_ask *ask)
{
    (void)ask;
    return NULL;
}

const char *wsock_ask_room(const wsock_ask *ask)
{
    (void)ask;
    return "";
}

const char *wsock_ask_name(const wsock_ask *ask)
{
    (void)ask;
    return NULL;
}

const char *wsock_ask_token(const wsock_ask *ask)
{
    (void)ask;
    return NULL;
}

const char *wsock_ask_event(const wsock_ask *ask)
{
    (void)ask;
    return NULL;
}

const char *wsock_ask_key(const wsock_ask *ask)
{
    (void)ask;
    return NULL;
}

int wsock_ask_data(const wsock_ask *ask, const void **data, size_t *len)
{
    (void)ask;
    (void)data;
    (void)len;
    return WSOCK_EINVAL;
}

int wsock_ask_set_identity(wsock_ask *ask, const char *identity)
{
    (void)ask;
    (void)identity;
    return WSOCK_EINVAL;
}

int wsock_ask_set_info(wsock_ask *ask, const char *json, size_t len)
{
    (void)ask;
    (void)json;
    (void)len;
    return WSOCK_EINVAL;
}

int wsock_ask_set_expiry_ms(wsock_ask *ask, int64_t expiry_ms)
{
    (void)ask;
    (void)expiry_ms;
    return WSOCK_EINVAL;
}

int wsock_ask_set_data(wsock_ask *ask, int type, const void *data, size_t len)
{
    (void)ask;
    (void)type;
    (void)data;
    (void)len;
    return WSOCK_EINVAL;
}

int wsock_ask_accept(wsock_ask *ask)
{
    (void)ask;
    return WSOCK_EINVAL;
}

int wsock_ask_refuse(wsock_ask *ask, const char *code, const char *text, int retry)
{
    (void)ask;
    (void)code;
    (void)text;
    (void)retry;
    return WSOCK_EINVAL;
}

int wsock_ask_reply(wsock_ask *ask, const char *json, size_t len)
{
    (void)ask;
    (void)json;
    (void)len;
    return WSOCK_EINVAL;
}
