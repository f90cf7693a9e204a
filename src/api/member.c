/* SPDX-License-Identifier: MIT */
/* Identities, and what is done to all connections of one. */
#include <wsock/member.h>

#include <wsock/error.h>
#include <wsock/request.h>

#include "api/closing.h"
#include "api/server.h"
#include "conn/answer.h"
#include "conn/conn.h"
#include "conn/identity.h"
#include "room/action.h"
#include "room/crowd.h"
#include "room/wire.h"

int wsock_conn_set_identity(wsock_conn *conn, const char *identity)
{
    if (conn == NULL || identity == NULL)
        return WSOCK_EINVAL;
    return wsi_conn_set_identity(conn, identity);
}

const char *wsock_conn_identity(const wsock_conn *conn)
{
    return conn != NULL ? wsi_conn_identity(conn) : "";
}

int wsock_request_set_identity(wsock_request *request, const char *identity)
{
    if (request == NULL || identity == NULL || !wsock_request_is_upgrade(request))
        return WSOCK_EINVAL;
    if (!wsi_answer_is_due(wsi_conn_of_request(request)))
        return WSOCK_ECLOSED;
    return wsi_conn_set_identity(wsi_conn_of_request(request), identity);
}

/* @return 0, and *crowd is to be dropped; WSOCK_EINVAL; WSOCK_ENOMEM. */
static int find(struct wsi_crowd *crowd, wsock_server *server, const char *identity)
{
    if (server == NULL || identity == NULL)
        return WSOCK_EINVAL;
    return wsi_crowd_of_identity(crowd, &server->service.identities, identity);
}

size_t wsock_server_identity_conns(wsock_server *server, wsock_conn **out, size_t max,
                                   const char *identity)
{
    if (server == NULL || identity == NULL || (out == NULL && max > 0))
        return 0;
    return wsi_identities_conns(&server->service.identities, out, max, identity);
}

int wsock_server_send_to(wsock_server *server, const char *identity, int type,
                         const void *data, size_t len)
{
    struct wsi_wire wire = {.kind = WSI_WIRE_DIRECT,
                            .type = type & ~WSOCK_UNCOMPRESSED,
                            .is_uncompressed = (type & WSOCK_UNCOMPRESSED) != 0,
                            .data = {data, len},
                            .identity = identity};
    struct wsi_crowd crowd;
    int r = find(&crowd, server, identity);

    if (r < 0)
        return r;
    r = wsi_crowd_send(&crowd, type, data, len);
    wsi_crowd_drop(&crowd);
    if (r >= 0 && *identity != '\0')
        wsi_action_everywhere(&server->rooms, &wire);
    return r;
}

int wsock_server_disconnect(wsock_server *server, const char *identity, int code,
                            const char *reason)
{
    struct wsi_wire wire = {.kind = WSI_WIRE_DISCONNECT,
                            .type = WSOCK_TEXT,
                            .identity = identity,
                            .code = (unsigned)code,
                            .reason = reason != NULL && *reason != '\0' ? reason : NULL};
    struct wsi_crowd crowd;
    int r = wsi_close_check(code, reason);

    if (r == 0)
        r = find(&crowd, server, identity);
    if (r < 0)
        return r;
    r = wsi_crowd_close(&crowd, (unsigned)code, reason);
    wsi_crowd_drop(&crowd);
    if (r >= 0 && *identity != '\0')
        wsi_action_everywhere(&server->rooms, &wire);
    return r;
}
