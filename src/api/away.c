/* SPDX-License-Identifier: MIT */
/* Telling the clients of rooms that their server will go. */
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/rooms_v1.h>

#include "api/server.h"
#include "conn/conn.h"
#include "conn/extra.h"
#include "core/alloc.h"

enum { TEXT_MAX = 80 };

#define AFTER_MAX_MS (UINT64_C(24) * 3600 * 1000)

/* A visit to every worker. */
struct away {
    struct wsi_round round;
    struct wsi_service *service; /* a reference and a task */
    size_t len;
    char text[TEXT_MAX];
};

static bool speaks_rooms(const struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    return extra != NULL && atomic_load(&extra->attached) != NULL &&
           *wsock_conn_subprotocol(conn) != '\0';
}

static void visit(struct wsi_round *round, struct wsi_worker *worker)
{
    const struct away *away = WSI_CONTAINER_OF(round, struct away, round);

    WSI_LIST_EACH(node, &worker->conns)
    {
        struct wsock_conn *conn = WSI_CONTAINER_OF(node, struct wsock_conn, node);

        /* Whose backlog is full will see that it has gone. */
        if (conn->owner == &away->service->owner && speaks_rooms(conn))
            wsock_conn_send(conn, WSOCK_TEXT, away->text, away->len);
    }
}

static void visited(struct wsi_round *round)
{
    struct away *away = WSI_CONTAINER_OF(round, struct away, round);
    struct wsi_service *service = away->service;

    wsi_free(away);
    wsi_service_task_done(service);
    wsi_owner_unref(&service->owner);
}

int wsock_server_away(wsock_server *server, uint64_t after_ms, int reconnect)
{
    struct away *away;

    if (server == NULL)
        return WSOCK_EINVAL;
    if (after_ms > AFTER_MAX_MS)
        return WSOCK_ERANGE;
    away = wsi_zalloc(sizeof *away);
    if (away == NULL)
        return WSOCK_ENOMEM;
    if (!wsi_service_try_task(&server->service)) {
        wsi_free(away);
        return WSOCK_ECLOSED;
    }
    away->service = wsi_service_of(wsi_owner_ref(&server->service.owner));
    away->len = (size_t)snprintf(away->text, sizeof away->text,
                                 "{\"type\":\"away\",\"after_ms\":%llu,\"reconnect\":%s}",
                                 (unsigned long long)after_ms,
                                 reconnect != 0 ? "true" : "false");
    away->round.visit = visit;
    away->round.done = visited;
    wsi_pool_round(server->service.owner.pool, &away->round);
    return 0;
}
