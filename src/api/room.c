/* SPDX-License-Identifier: MIT */
/* Rooms as a server has them; the calls on a room itself are in the room layer. */
#include <wsock/error.h>
#include <wsock/pattern.h>
#include <wsock/room.h>

#include "api/message.h"
#include "api/server.h"
#include "conn/service.h"
#include "room/branch.h"
#include "room/name.h"
#include "room/room.h"

static int get(wsock_server *server, wsock_room **out, const char *name,
               const struct wsi_options *asked)
{
    char why[WSI_ROOM_WHY_SIZE];
    int r;

    if (atomic_load(&server->service.stopping))
        return wsi_fail(&server->failure, WSOCK_ECLOSED, "the server is stopping");
    r = wsi_registry_get(&server->rooms, out, name, asked, why, sizeof why);
    if (r == 0)
        wsi_branch_hold(*out);
    return r < 0 ? wsi_fail(&server->failure, r, "%s", why) : 0;
}

int wsock_server_room(wsock_server *server, wsock_room **out, const char *name)
{
    if (server == NULL || out == NULL || name == NULL)
        return WSOCK_EINVAL;
    return get(server, out, name, NULL);
}

int wsock_server_make_room(wsock_server *server, wsock_room **out, const char *name,
                           const char *const *options)
{
    char why[WSI_OPTION_WHY_SIZE];
    struct wsi_options asked;
    int r;

    if (server == NULL || out == NULL || name == NULL)
        return WSOCK_EINVAL;
    r = wsi_room_options_read(&asked, options, why, sizeof why);
    if (r < 0)
        return wsi_fail(&server->failure, r, "%s", why);
    return get(server, out, name, &asked);
}

int wsock_server_room_defaults(wsock_server *server, const char *pattern,
                               const char *option, const char *value)
{
    char why[WSI_ROOM_WHY_SIZE];
    int r;

    if (server == NULL || pattern == NULL || option == NULL || value == NULL)
        return WSOCK_EINVAL;
    r = wsi_registry_set_default(&server->rooms, pattern, option, value, why, sizeof why);
    return r < 0 ? wsi_fail(&server->failure, r, "%s", why) : 0;
}

int wsock_server_find_room(wsock_server *server, wsock_room **out, const char *name)
{
    if (server == NULL || out == NULL || name == NULL)
        return WSOCK_EINVAL;
    return wsi_registry_find(&server->rooms, out, name);
}

int64_t wsock_server_rooms(wsock_server *server, wsock_room **out, size_t max,
                           const char *pattern)
{
    if (server == NULL || (out == NULL && max > 0) ||
        (pattern != NULL && !wsi_room_pattern_is_valid(pattern)))
        return WSOCK_EINVAL;
    return (int64_t)wsi_registry_list(&server->rooms, out, max, pattern);
}

int wsock_server_subscribe(wsock_server *server, wsock_conn *conn, const char *pattern)
{
    if (server == NULL || conn == NULL || pattern == NULL ||
        conn->worker->pool != server->service.owner.pool ||
        !wsi_room_pattern_is_valid(pattern))
        return WSOCK_EINVAL;
    return wsi_pattern_is_bounded(pattern) ? wsi_group_join(&server->rooms, conn, pattern)
                                           : WSOCK_ETOOBIG;
}

int wsock_server_unsubscribe(wsock_server *server, wsock_conn *conn, const char *pattern)
{
    if (server == NULL || conn == NULL || pattern == NULL)
        return WSOCK_EINVAL;
    return wsi_room_pattern_is_valid(pattern) && wsi_pattern_is_bounded(pattern)
               ? wsi_group_leave(&server->rooms, conn, pattern)
               : WSOCK_ENOENT;
}

int wsock_room_broadcast_message(wsock_room *room, wsock_conn *except,
                                 wsock_message *message)
{
    const wsock_publish what = {
        .size = sizeof what,
        .except = except,
        .type = message == NULL || message->compressible ? 0 : WSOCK_UNCOMPRESSED,
    };

    return room != NULL && message != NULL
               ? wsi_room_publish(room, &what, &message->frames, NULL)
               : WSOCK_EINVAL;
}
