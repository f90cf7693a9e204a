/* SPDX-License-Identifier: MIT */
/* What nodes have each other do. */
#include "room/action.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/service.h"
#include "core/alloc.h"
#include "room/crowd.h"
#include "room/form.h"
#include "room/room.h"
#include "room/roster.h"
#include "room/spread.h"
#include "room/wire.h"

/* @return (owned, nullable) NULL without memory, and for what nobody can be. */
static uint8_t *encode(struct wsi_spread *spread, struct wsi_wire *wire, size_t *size)
{
    uint8_t *bytes;

    memcpy(wire->node, spread->node, sizeof wire->node);
    *size = wsi_wire_size(wire);
    bytes = *size > 0 ? wsi_alloc(*size) : NULL;
    if (bytes != NULL)
        wsi_wire_write(bytes, wire);
    return bytes;
}

/* With the room's lock held, as it is that of the numbers. */
static int publish(wsock_room *room, uint8_t *bytes, size_t size)
{
    const struct wsi_bus_channel channel = {.kind = WSI_BUS_ROOM, .name = room->name};
    struct wsi_spread *spread = wsi_registry_spread(room->registry);

    wsi_wire_number(bytes, wsi_spread_draw(spread));
    return wsi_spread_publish(spread, &channel, (struct wsi_bytes){bytes, size}, NULL);
}

int wsi_action_say(wsock_room *room, struct wsi_wire *wire)
{
    size_t size;
    uint8_t *bytes = encode(wsi_registry_spread(room->registry), wire, &size);
    const int r = bytes != NULL ? publish(room, bytes, size) : WSOCK_ENOMEM;

    wsi_free(bytes);
    return r;
}

void wsi_action_in_room(wsock_room *room, struct wsi_wire *wire)
{
    struct wsi_spread *spread = wsi_registry_spread(room->registry);
    uint8_t *bytes;
    size_t size;

    if (room->branch == NULL)
        return;
    bytes = encode(spread, wire, &size);
    if (bytes == NULL)
        return;
    pthread_mutex_lock(&room->lock);
    (void)publish(room, bytes, size);
    pthread_mutex_unlock(&room->lock);
    wsi_free(bytes);
}

void wsi_action_everywhere(struct wsi_registry *registry, struct wsi_wire *wire)
{
    struct wsi_spread *spread = wsi_registry_spread(registry);
    uint8_t *bytes;
    size_t size;

    if (spread == NULL)
        return;
    bytes = encode(spread, wire, &size);
    if (bytes == NULL)
        return;
    wsi_spread_tell_all(spread, bytes, size);
    wsi_free(bytes);
}

static int type_of(const struct wsi_wire *wire)
{
    return wire->type | (wire->is_uncompressed ? WSOCK_UNCOMPRESSED : 0);
}

void wsi_action_take_in_room(wsock_room *room, const struct wsi_wire *wire)
{
    switch (wire->kind) {
    case WSI_WIRE_DIRECT:
        wsi_room_send_to_here(room, wire->identity, type_of(wire), wire->data.data,
                              wire->data.len);
        break;
    case WSI_WIRE_KICK:
        wsi_room_kick_here(room, wire->identity, wire->reason);
        break;
    case WSI_WIRE_CLOSE:
        wsi_room_close_here(room, wire->reason);
        break;
    case WSI_WIRE_JOINED:
    case WSI_WIRE_LEFT:
        wsi_roster_take(room, wire);
        break;
    default:
        break;
    }
}

/* Of a client, it names what happens and from whom, for those who speak rooms.v1; of the
 * application, it is for all. */
static void take_direct(const struct wsi_registry *registry,
                        const struct wsi_crowd *crowd, const struct wsi_wire *wire)
{
    const struct wsi_telling telling = {
        .event = wire->event,
        .from = wire->from != NULL ? wire->from : "",
        .data = wire->data.data,
        .len = wire->data.len,
        .time_ms = wsi_pool_calendar_ms(registry->owner->pool),
        .type = wire->type | (wire->is_json ? WSOCK_JSON : 0),
    };

    if (wire->event != NULL)
        wsi_crowd_tell(crowd, &telling);
    else
        wsi_crowd_send(crowd, type_of(wire), wire->data.data, wire->data.len);
}

void wsi_action_take(struct wsi_registry *registry, const struct wsi_wire *wire)
{
    struct wsi_service *service = wsi_service_of(registry->owner);
    struct wsi_crowd crowd;

    if (wire->kind == WSI_WIRE_RECOUNT)
        wsi_rosters_recount(wsi_registry_spread(registry));
    if ((wire->kind != WSI_WIRE_DIRECT && wire->kind != WSI_WIRE_DISCONNECT) ||
        wsi_crowd_of_identity(&crowd, &service->identities, wire->identity) < 0)
        return;
    if (wire->kind == WSI_WIRE_DIRECT)
        take_direct(registry, &crowd, wire);
    else
        wsi_crowd_close(&crowd, wire->code, wire->reason);
    wsi_crowd_drop(&crowd);
}
