/* SPDX-License-Identifier: MIT */
/* Members that joined before it was known what that means. */
#include "room/waiting.h"

#include "conn/conn.h"
#include "conn/queue.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "room/branch.h"
#include "room/room.h"
#include "room/spread.h"

/* ---- with the room's lock held ---- */

static uint64_t now_ms(const wsock_room *room)
{
    return wsi_clock_us(room->registry->owner->pool->clock) / 1000;
}

struct wsi_waiting *wsi_waiting_new(struct wsi_member *member, const wsock_join *how)
{
    const wsock_room *room = member->room;
    struct wsi_waiting *waiting = wsi_zalloc(sizeof *waiting);

    if (waiting == NULL)
        return NULL;
    waiting->member = member;
    waiting->fresh = how == NULL || how->since == NULL;
    if (!waiting->fresh)
        waiting->since = *how->since;
    waiting->joined = (wsock_joined){.size = sizeof waiting->joined, .recovered = -1};
    waiting->fn = how != NULL ? how->on_joined : NULL;
    waiting->user = how != NULL ? how->joined_user : NULL;
    waiting->until_ms = now_ms(room) + (uint64_t)wsi_option(room->registry->options,
                                                            WSI_OPT_CLUSTER_TIMEOUT);
    waiting->op = (struct wsi_room_op){.kind = WSI_ROOM_KNOWN, .subject = waiting};
    wsi_list_init(&waiting->node);
    return waiting;
}

void wsi_waiting_begin(struct wsi_waiting *waiting)
{
    struct wsi_branch *branch = waiting->member->room->branch;

    wsi_list_append(&branch->waiting, &waiting->node);
    wsi_spread_retry(wsi_registry_spread(branch->room->registry),
                     branch); /* it does not wait for ever */
}

void wsi_waiting_cancel(struct wsi_waiting *waiting)
{
    wsi_free(waiting);
}

struct wsi_room_op *wsi_waiting_end(struct wsi_waiting *waiting)
{
    wsi_list_remove(&waiting->node);
    waiting->member->waiting = NULL;
    return &waiting->op;
}

/* Without memory it is not recovered. */
static void judge(struct wsi_waiting *waiting, struct wsi_history *history)
{
    if (waiting->fresh) {
        waiting->joined.epoch = history->epoch;
        waiting->joined.offset = history->last;
        waiting->joined.recovered = 0;
    } else if (wsi_history_since(history, &waiting->missed, &waiting->joined,
                                 &waiting->since) < 0) {
        waiting->joined.recovered = 0;
    }
}

static void decide(struct wsi_waiting *waiting, struct wsi_room_posts *posts)
{
    struct wsi_member *member = waiting->member;
    wsock_room *room = member->room;

    if (room->branch->loaded) {
        judge(waiting, room->history);
    } else {
        waiting->joined.recovered = 0;
        room->branch->moved = true; /* it does not learn here where the room is */
    }
    wsi_room_append_op(room, member, wsi_waiting_end(waiting), posts);
}

/* It has heard of more, on another node, than is known here. */
static bool may_learn(const struct wsi_waiting *waiting)
{
    return !waiting->fresh &&
           wsi_history_is_behind(waiting->member->room->history, &waiting->since);
}

void wsi_waiting_decide(struct wsi_branch *branch, bool all, struct wsi_room_posts *posts)
{
    WSI_LIST_EACH(node, &branch->waiting)
    {
        struct wsi_waiting *waiting = WSI_CONTAINER_OF(node, struct wsi_waiting, node);

        if ((all && !may_learn(waiting)) || now_ms(branch->room) >= waiting->until_ms)
            decide(waiting, posts);
    }
}

/* ---- telling who waited, on its worker ---- */

static void free_waiting(struct wsi_waiting *waiting)
{
    wsock_conn_unref(waiting->conn);
    wsi_free(waiting);
}

static void run_known(struct wsi_mail *mail)
{
    struct wsi_waiting *waiting = WSI_CONTAINER_OF(mail, struct wsi_waiting, mail);

    if (wsi_queue_calls(waiting->conn->owner->queue))
        waiting->fn(waiting->conn, &waiting->joined, waiting->user);
    free_waiting(waiting);
}

struct wsi_missed *wsi_waiting_tell(struct wsi_waiting *waiting)
{
    wsock_conn *conn = waiting->member->conn;
    struct wsi_missed *missed = waiting->missed;

    if (waiting->fn != NULL && conn->owner->queue != NULL) {
        waiting->conn = wsock_conn_ref(conn);
        waiting->mail.run = run_known;
        wsi_queue_call(conn->owner->queue, &waiting->mail);
        return missed;
    }
    if (waiting->fn != NULL)
        waiting->fn(conn, &waiting->joined, waiting->user);
    free_waiting(waiting);
    return missed;
}
