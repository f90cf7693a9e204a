/* SPDX-License-Identifier: MIT */
/* For whom a message is: who is left out, and who is chosen. */
#ifndef WSI_ROOM_AUDIENCE_H
#define WSI_ROOM_AUDIENCE_H

#include <stdbool.h>
#include <stddef.h>

#include <wsock/room.h>

struct wsi_crowd;

/* Connections. Zero is none. */
struct wsi_conns {
    wsock_conn **conns; /* (owned, nullable) sorted by address; references */
    size_t count;
};

void wsi_conns_release(struct wsi_conns *conns);
static inline void wsi_conns_drop(struct wsi_conns *conns)
{
    if (conns->conns != NULL)
        wsi_conns_release(conns);
}

bool wsi_conns_have(const struct wsi_conns *conns, const wsock_conn *conn);

/** All who are left out by name, of themselves or of their identity. @param same who has
 *  the identity. @param out (out) @return 0; WSOCK_ENOMEM, and it is zero. */
int wsi_conns_exclude(struct wsi_conns *out, const wsock_publish *what,
                      const struct wsi_crowd *same);

/** The members that a predicate accepts, of a snapshot, but those who are left out.
 *  @param out (out) @return 0; WSOCK_ENOMEM, and it is zero. */
int wsi_conns_choose(struct wsi_conns *out, wsock_room *room, const wsock_publish *what,
                     const struct wsi_conns *excluded);

#endif
