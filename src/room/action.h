/* SPDX-License-Identifier: MIT */
/*
 * What is done to people over all nodes of a cluster: direct messages, kicks, the end of
 * a room, disconnecting. It is done here first; the others hear of it on the room's
 * channel, or on that of all.
 */
#ifndef WSI_ROOM_ACTION_H
#define WSI_ROOM_ACTION_H

#include <wsock/room.h>

struct wsi_registry;
struct wsi_wire;

/** Have the other nodes do it too, if there are any. Without memory, or without the
 *  broker, they do not hear of it. No lock is held. @param wire all but its node and
 *  number. */
void wsi_action_in_room(wsock_room *room, struct wsi_wire *wire);
/** The same with the room's lock held. @return 0; WSOCK_ENOMEM, or as the bus. */
int wsi_action_say(wsock_room *room, struct wsi_wire *wire);
void wsi_action_everywhere(struct wsi_registry *registry, struct wsi_wire *wire);

/** Do what another node said. */
void wsi_action_take_in_room(wsock_room *room, const struct wsi_wire *wire);
void wsi_action_take(struct wsi_registry *registry, const struct wsi_wire *wire);

/* people.c: the public calls, of what was checked, on this node only. */
int wsi_room_send_to_here(wsock_room *room, const char *identity, int type,
                          const void *data, size_t len);
int wsi_room_kick_here(wsock_room *room, const char *identity, const char *reason);
int wsi_room_close_here(wsock_room *room, const char *reason);

#endif
