/* SPDX-License-Identifier: MIT */
/* Handlers of rooms, and the queue that leads to them. */
#include "room/herald.h"

#include <wsock/error.h>

#include "conn/queue.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "core/ref.h"
#include "room/branch.h"
#include "room/envelope.h"
#include "room/presence.h"
#include "room/room.h"

/* It is released after its last call, which may still run when it has been replaced. */
struct wsi_room_handler {
    struct wsi_ref ref;
    union wsi_tell_fn fn;
    void *user;
    wsock_free_fn free_user;
};

static void drop_handler(struct wsi_room_handler *handler)
{
    if (handler == NULL || !wsi_ref_drop(&handler->ref))
        return;
    if (handler->free_user != NULL)
        handler->free_user(handler->user);
    wsi_free(handler);
}

static void drop_handlers(struct wsi_room_handler **on)
{
    for (int i = 0; i < WSI_TELLS; i++)
        drop_handler(on[i]);
}

void wsi_herald_free(struct wsi_herald *herald)
{
    if (herald == NULL)
        return;
    drop_handlers(herald->on);
    wsi_free(herald);
}

/* ---- telling ---- */

static void tell_member(wsock_room *room, const struct wsi_room_handler *handler,
                        const struct wsi_attendance *attendance, bool left)
{
    const wsock_member member = wsi_attendance_show(attendance, left);

    handler->fn.presence(room, &member, handler->user);
}

static void tell_message(wsock_room *room, const struct wsi_room_handler *handler,
                         const struct wsi_envelope *envelope)
{
    const wsock_room_message message = wsi_said_show(&envelope->said);

    handler->fn.message(room, &message, handler->user);
}

/* @param handler (nullable) */
static void tell(wsock_room *room, const struct wsi_room_handler *handler,
                 const struct wsi_room_op *op)
{
    if (handler == NULL)
        return;
    if (op->kind == WSI_ROOM_MESSAGE)
        tell_message(room, handler, op->subject);
    else
        tell_member(room, handler, op->subject, op->kind == WSI_ROOM_LEAVE);
}

static enum wsi_tell tell_of(const struct wsi_room_op *op)
{
    switch (op->kind) {
    case WSI_ROOM_JOIN:
        return WSI_TELL_JOIN;
    case WSI_ROOM_LEAVE:
        return WSI_TELL_LEAVE;
    default:
        return WSI_TELL_MESSAGE;
    }
}

static void release(struct wsi_room_op *op)
{
    if (op->kind == WSI_ROOM_MESSAGE)
        wsi_envelope_unref(op->subject);
    else
        wsi_attendance_unref(op->subject);
}

/* What waits, and who is to be told. */
static struct wsi_room_op *take(struct wsi_herald *herald, struct wsi_room_handler **on)
{
    struct wsi_room_op *ops;

    pthread_mutex_lock(&herald->room->lock);
    ops = herald->first;
    herald->first = NULL;
    herald->last = &herald->first;
    herald->scheduled = false;
    herald->pending_bytes = 0;
    for (int i = 0; i < WSI_TELLS; i++) {
        on[i] = herald->on[i];
        if (on[i] != NULL)
            wsi_ref_take(&on[i]->ref);
    }
    pthread_mutex_unlock(&herald->room->lock);
    return ops;
}

static void run(struct wsi_mail *mail)
{
    struct wsi_herald *herald = WSI_CONTAINER_OF(mail, struct wsi_herald, mail);
    wsock_room *room = herald->room;
    struct wsi_owner *owner = wsi_owner_ref(room->registry->owner);
    struct wsi_room_handler *on[WSI_TELLS];
    struct wsi_room_op *op = take(herald, on);

    while (op != NULL) {
        struct wsi_room_op *next = op->next;

        if (owner->queue == NULL || wsi_queue_calls(owner->queue))
            tell(room, on[tell_of(op)], op);
        release(op);
        op = next;
    }
    drop_handlers(on);
    wsock_room_unref(room);
    wsi_service_task_done(wsi_service_of(owner));
    wsi_owner_unref(owner);
}

/* ---- queueing ---- */

bool wsi_herald_append(struct wsi_herald *herald, struct wsi_room_op *op, size_t bytes)
{
    struct wsi_service *service = wsi_service_of(herald->room->registry->owner);
    bool post = false;

    if (!herald->scheduled) {
        /* Behind on_stopped nothing is told. */
        if (wsi_pool_count(service->owner.pool) == 0 || !wsi_service_try_task(service)) {
            release(op);
            return false;
        }
        wsi_ref_take(&herald->room->ref);
        herald->scheduled = post = true;
    }
    herald->pending_bytes += bytes;
    op->next = NULL;
    *herald->last = op;
    herald->last = &op->next;
    return post;
}

void wsi_herald_post(struct wsi_herald *herald)
{
    struct wsi_owner *owner = herald->room->registry->owner;
    struct wsi_pool *pool = owner->pool;

    if (owner->queue != NULL)
        wsi_queue_call(owner->queue, &herald->mail);
    else
        wsi_worker_post(&pool->workers[herald->room->hash % wsi_pool_count(pool)],
                        &herald->mail);
}

static struct wsi_herald *new_herald(wsock_room *room)
{
    struct wsi_herald *herald = wsi_zalloc(sizeof *herald);

    if (herald == NULL)
        return NULL;
    herald->room = room;
    herald->mail.run = run;
    herald->last = &herald->first;
    return herald;
}

/* With the room's lock held. @param handler (nullable) @param old (out, owned) */
static int set(wsock_room *room, enum wsi_tell which, struct wsi_room_handler *handler,
               struct wsi_room_handler **old)
{
    if (room->closed)
        return WSOCK_ECLOSED;
    if (room->herald == NULL && handler == NULL)
        return 0;
    if (room->herald == NULL)
        room->herald = new_herald(room);
    if (room->herald == NULL)
        return WSOCK_ENOMEM;
    *old = room->herald->on[which];
    room->herald->on[which] = handler;
    return 0;
}

int wsi_herald_on(wsock_room *room, enum wsi_tell which, union wsi_tell_fn fn,
                  bool is_set, void *user, wsock_free_fn free_user)
{
    struct wsi_room_handler *handler = is_set ? wsi_alloc(sizeof *handler) : NULL;
    struct wsi_room_handler *old = NULL;
    int r;

    if (is_set && handler == NULL)
        return WSOCK_ENOMEM;
    if (is_set) {
        *handler = (struct wsi_room_handler){
            .fn = fn, .user = user, .free_user = free_user};
        wsi_ref_init(&handler->ref);
    }
    pthread_mutex_lock(&room->lock);
    r = set(room, which, handler, &old);
    if (r == 0)
        wsi_branch_look(room);
    pthread_mutex_unlock(&room->lock);
    if (r < 0)
        wsi_free(handler);
    else if (!is_set && free_user != NULL)
        free_user(user);
    drop_handler(old);
    return r;
}
