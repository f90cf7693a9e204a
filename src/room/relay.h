/* SPDX-License-Identifier: MIT */
/* A message on its way to the other nodes of a cluster, and who asked what becomes of it.
 */
#ifndef WSI_ROOM_RELAY_H
#define WSI_ROOM_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include <wsock/room.h>

#include "cluster/bus.h"
#include "core/mailbox.h"
#include "room/wire.h"

struct wsi_frames;

struct wsi_relay {
    struct wsi_bus_receipt receipt;
    wsock_room *room;      /* a reference */
    wsock_published_fn fn; /* nullable */
    void *user;
    wsock_published result;
    char why[WSI_BUS_WHY_SIZE];
    struct wsi_mail mail;   /* on the server's queue */
    struct wsi_bytes bytes; /* (owned) as they leave */
    uint64_t seq;           /* their number */
};

/** @param frames (nullable) a message that is encoded, in place of data, key, event and
 *  from. @param out (out, owned) @return 0; WSOCK_ETOOBIG; WSOCK_ENOMEM. */
int wsi_relay_new(struct wsi_relay **out, wsock_room *room, const wsock_publish *what,
                  const struct wsi_frames *frames);
/** @param relay (consumed, nullable) */
void wsi_relay_free(struct wsi_relay *relay);

/** Its number, before it leaves. */
void wsi_relay_number(struct wsi_relay *relay, uint64_t seq);

/** Tell who asked, without locks held. @param relay (consumed) */
void wsi_relay_tell(struct wsi_relay *relay, int outcome, const char *why);

/** Of a message that stays here. @param time_ms of one that has a place. */
void wsi_tell_published(const wsock_publish *what, const wsock_position *position,
                        int64_t time_ms);

#endif
