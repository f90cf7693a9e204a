/* SPDX-License-Identifier: MIT */
/*
 * What is told of a room to the application: joins, leaves and messages, each once, in
 * the order of the room, one call at a time. The calls run on the queue of the server, or
 * on one worker, which the room's name decides. A room of which nobody wants to hear has
 * no herald.
 */
#ifndef WSI_ROOM_HERALD_H
#define WSI_ROOM_HERALD_H

#include <stdbool.h>
#include <stddef.h>

#include <wsock/member.h>

#include "core/mailbox.h"
#include "room/op.h"

struct wsi_room_handler;

enum wsi_tell { WSI_TELL_JOIN, WSI_TELL_LEAVE, WSI_TELL_MESSAGE, WSI_TELLS };

union wsi_tell_fn {
    wsock_presence_fn presence;
    wsock_room_message_fn message;
};

/* Under the room's lock. */
struct wsi_herald {
    wsock_room *room;
    struct wsi_mail mail;
    struct wsi_room_op *first, **last;
    bool scheduled;       /* the mail is under way, with a reference and a task */
    size_t pending_bytes; /* of messages that wait to be told */
    struct wsi_room_handler *on[WSI_TELLS]; /* references, nullable */
};

/** Set, replace or remove a handler. @return 0; WSOCK_ECLOSED; WSOCK_ENOMEM. */
int wsi_herald_on(wsock_room *room, enum wsi_tell which, union wsi_tell_fn fn,
                  bool is_set, void *user, wsock_free_fn free_user);
/** With the room's memory. @param herald (nullable) */
void wsi_herald_free(struct wsi_herald *herald);

/* ---- with the room's lock held; NULL is a herald of nothing ---- */

static inline bool wsi_herald_is_used(const struct wsi_herald *herald)
{
    bool used = false;

    for (int i = 0; herald != NULL && i < WSI_TELLS; i++)
        used |= herald->on[i] != NULL;
    return used;
}

static inline bool wsi_herald_tells(const struct wsi_herald *herald, enum wsi_tell which)
{
    return herald != NULL && herald->on[which] != NULL;
}

/** Queue an event, whose subject has a reference more. @param bytes that it keeps.
 * @return whether wsi_herald_post() is due once the lock is given back. */
bool wsi_herald_append(struct wsi_herald *herald, struct wsi_room_op *op, size_t bytes);

/** Without the lock. */
void wsi_herald_post(struct wsi_herald *herald);

#endif
