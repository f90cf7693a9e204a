/* SPDX-License-Identifier: MIT */
/* The public request: what it says, and its answer. */
#include <wsock/request.h>

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/answer.h"
#include "conn/conn.h"
#include "conn/extra.h"
#include "core/blob.h"
#include "core/secret.h"

static const struct wsi_facts *facts_of(const wsock_request *request)
{
    return wsi_conn_of_request(request)->facts;
}

wsock_request *wsock_request_ref(wsock_request *request)
{
    wsock_conn_ref(wsi_conn_of_request(request));
    return request;
}

void wsock_request_unref(wsock_request *request)
{
    if (request != NULL)
        wsock_conn_unref(wsi_conn_of_request(request));
}

int wsock_request_is_upgrade(const wsock_request *request)
{
    /* Only an upgrade belongs to an endpoint. */
    return request != NULL && wsi_conn_of_request(request)->profile != NULL;
}

const char *wsock_request_method(const wsock_request *request)
{
    return request != NULL ? wsi_facts_method(facts_of(request)) : "";
}

const char *wsock_request_target(const wsock_request *request)
{
    return request != NULL ? wsi_facts_target(facts_of(request)) : "";
}

const char *wsock_request_path(const wsock_request *request)
{
    return request != NULL ? wsi_facts_path(facts_of(request)) : "";
}

const char *wsock_request_param(const wsock_request *request, const char *name)
{
    return request != NULL && name != NULL ? wsi_facts_param(facts_of(request), name)
                                           : NULL;
}

const char *wsock_request_query(const wsock_request *request, const char *name)
{
    return request != NULL && name != NULL ? wsi_facts_query(facts_of(request), name)
                                           : NULL;
}

const char *wsock_request_header(const wsock_request *request, const char *name)
{
    return request != NULL && name != NULL ? wsi_facts_header(facts_of(request), name)
                                           : NULL;
}

const char *wsock_request_cookie(const wsock_request *request, const char *name)
{
    return request != NULL && name != NULL ? wsi_facts_cookie(facts_of(request), name)
                                           : NULL;
}

int wsock_request_body(const wsock_request *request, const void **data, size_t *len)
{
    const struct wsi_extra *extra;
    const struct wsock_conn *conn;

    if (request == NULL || data == NULL || len == NULL)
        return WSOCK_EINVAL;
    conn = wsi_conn_of_request(request);
    extra = wsi_conn_role(conn) == WSI_SERVER ? wsi_extra_of(conn) : NULL;
    if (extra == NULL || extra->body == NULL)
        return WSOCK_ENOENT;
    *data = extra->body->data;
    *len = extra->body->len;
    return 0;
}

int wsock_request_field_at(const wsock_request *request, const char **name,
                           const char **value, int kind, size_t index)
{
    if (request == NULL || name == NULL || value == NULL)
        return WSOCK_EINVAL;
    return wsi_facts_field_at(facts_of(request), name, value, kind, index);
}

const char *wsock_request_remote_address(const wsock_request *request)
{
    return request != NULL ? wsi_facts_remote(facts_of(request)) : "";
}

const char *wsock_request_peer_address(const wsock_request *request)
{
    return request != NULL ? wsi_facts_peer(facts_of(request)) : "";
}

const char *wsock_request_host(const wsock_request *request)
{
    return request != NULL ? wsi_facts_host(facts_of(request)) : "";
}

int wsock_request_is_secure(const wsock_request *request)
{
    return request != NULL && wsi_facts_is_secure(facts_of(request));
}

int wsock_request_offers(const wsock_request *request, const char *subprotocol)
{
    return request != NULL && subprotocol != NULL &&
           wsi_facts_offers(facts_of(request), subprotocol);
}

const char *wsock_request_basic_user(const wsock_request *request)
{
    return request != NULL ? wsi_facts_basic_user(facts_of(request)) : NULL;
}

const char *wsock_request_basic_password(const wsock_request *request)
{
    return request != NULL ? wsi_facts_basic_password(facts_of(request)) : NULL;
}

const char *wsock_request_bearer_token(const wsock_request *request)
{
    return request != NULL ? wsi_facts_bearer_token(facts_of(request)) : NULL;
}

int wsock_secret_equal(const char *given, const char *secret)
{
    return given != NULL && secret != NULL && wsi_secret_equal(given, secret);
}

int wsock_request_set_user(wsock_request *request, void *user, wsock_free_fn free_user)
{
    if (request == NULL)
        return WSOCK_EINVAL;
    return wsock_conn_set_user(wsi_conn_of_request(request), user, free_user);
}

void *wsock_request_get_user(const wsock_request *request)
{
    return request != NULL ? wsock_conn_get_user(wsi_conn_of_request(request)) : NULL;
}

int wsock_request_add_header(wsock_request *request, const char *name, const char *value)
{
    if (request == NULL || name == NULL || value == NULL)
        return WSOCK_EINVAL;
    return wsi_answer_add_header(wsi_conn_of_request(request), name, value);
}

int wsock_request_accept(wsock_request *request, const char *subprotocol)
{
    if (request == NULL)
        return WSOCK_EINVAL;
    return wsi_answer_accept(wsi_conn_of_request(request), subprotocol);
}

int wsock_request_reject(wsock_request *request, int status, const char *text)
{
    return wsock_request_respond(request, status,
                                 text != NULL ? "text/plain; charset=utf-8" : NULL, text,
                                 text != NULL ? strlen(text) : 0);
}

int wsock_request_respond(wsock_request *request, int status, const char *content_type,
                          const void *data, size_t len)
{
    if (request == NULL || (data == NULL && len > 0))
        return WSOCK_EINVAL;
    if (status < 200 || status > 599)
        return WSOCK_ERANGE;
    return wsi_answer_respond(wsi_conn_of_request(request), (unsigned)status,
                              content_type, data, len);
}
