/* SPDX-License-Identifier: MIT */
/* Some connections, as they were at one moment, and what is done to each of them. */
#ifndef WSI_ROOM_CROWD_H
#define WSI_ROOM_CROWD_H

#include <stddef.h>

#include <wsock/types.h>

struct wsi_identities;
struct wsi_telling;

enum { WSI_CROWD_FEW = 16 };

struct wsi_crowd {
    wsock_conn **conns; /* references */
    size_t count;
    wsock_conn *few[WSI_CROWD_FEW]; /* where they are, if there are no more */
};

/** Write at most max references. @return how many there are. */
typedef size_t (*wsi_crowd_fn)(void *of, wsock_conn **out, size_t max, const char *name);

/** @return 0; WSOCK_ENOMEM, and there is nothing to drop. */
int wsi_crowd_take(struct wsi_crowd *crowd, wsi_crowd_fn list, void *of,
                   const char *name);
/** The open connections of an identity. */
int wsi_crowd_of_identity(struct wsi_crowd *crowd, struct wsi_identities *identities,
                          const char *identity);
void wsi_crowd_drop(struct wsi_crowd *crowd);

/** Send a message to each that is open; who speaks rooms.v1 gets it as a frame `direct`.
 *  @return to how many; when it was refused to all of several or one, why: WSOCK_EAGAIN,
 *  WSOCK_ENOMEM; WSOCK_EUTF8, WSOCK_ETOOBIG. */
int wsi_crowd_send(const struct wsi_crowd *crowd, int type, const void *data, size_t len);
/** The same to those only who speak rooms.v1. What is told was checked. */
int wsi_crowd_tell(const struct wsi_crowd *crowd, const struct wsi_telling *telling);

/** Begin to close each. @return how many were open; WSOCK_ENOMEM. */
int wsi_crowd_close(const struct wsi_crowd *crowd, unsigned code, const char *reason);

#endif
