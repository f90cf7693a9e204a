/* SPDX-License-Identifier: MIT */
/* Rooms as a server has them; the calls on a room itself are in the room layer. */
#include <wsock/error.h>
#include <wsock/room.h>

#include "api/message.h"
#include "api/server.h"
#include "conn/service.h"
#include "room/room.h"

int wsock_server_room(wsock_server *server, wsock_room **out, const char *name)
{
    int r;

    if (server == NULL || out == NULL || name == NULL)
        return WSOCK_EINVAL;
    if (atomic_load(&server->service.stopping))
        return wsi_fail(&server->failure, WSOCK_ECLOSED, "the server is stopping");
    r = wsi_registry_get(&server->rooms, out, name, true);
    return r < 0 ? wsi_fail(&server->failure, r, "room \"%s\": %s", name,
                            r == WSOCK_EINVAL ? "not a valid name" : wsock_strerror(r))
                 : 0;
}

int wsock_server_find_room(wsock_server *server, wsock_room **out, const char *name)
{
    if (server == NULL || out == NULL || name == NULL)
        return WSOCK_EINVAL;
    return wsi_registry_get(&server->rooms, out, name, false);
}

int wsock_room_broadcast_message(wsock_room *room, wsock_conn *except,
                                 wsock_message *message)
{
    unsigned windows;
    int r;

    if (room == NULL || message == NULL)
        return WSOCK_EINVAL;
    r = wsi_room_may_pack(room, &windows);
    if (r < 0)
        return r;
    wsi_message_pack(message, wsi_service_options(room->registry->owner), windows);
    return wsi_room_broadcast_frames(room, except, &message->frames);
}
