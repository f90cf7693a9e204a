/* SPDX-License-Identifier: MIT */
/*
 * How a client stands, told on a queue. A state has one place: the keeper does not come
 * to it again before on_close was called, which is behind it in the lane. Where attempts
 * fail without a connection it does; then a host that is late misses repetitions.
 */
#include <string.h>

#include "conn/keeper.h"
#include "conn/queued.h"
#include "conn/remote.h"
#include "core/alloc.h"

struct saying {
    struct wsi_keeper *keeper;
    wsock_state_info info; /* info.why only says whether there is one */
    wsock_close_info why;
    char *texts; /* (owned, nullable) "reason\0detail\0" */
};

struct place {
    struct wsi_notice notice;
    atomic_bool pending;
    struct saying saying;
};

struct wsi_told {
    struct place places[WSOCK_STATE_CLOSED];
};

/* Without memory the end is told without them. */
static void keep_why(struct saying *saying, const wsock_close_info *why)
{
    const size_t reason = strlen(why->reason) + 1, detail = strlen(why->detail) + 1;

    saying->why = *why;
    saying->why.reason = saying->why.detail = "";
    saying->texts = wsi_alloc(reason + detail);
    if (saying->texts == NULL)
        return;
    saying->why.reason = memcpy(saying->texts, why->reason, reason);
    saying->why.detail = memcpy(saying->texts + reason, why->detail, detail);
}

/* @param saying (consumed) */
static void say(struct saying *saying)
{
    struct wsi_remote *remote = wsi_remote_of_keeper(saying->keeper);
    struct wsi_handler *handler = wsi_profile_behind(&remote->profile, WSI_ON_STATE);

    if (saying->info.why != NULL)
        saying->info.why = &saying->why;
    if (handler != NULL && wsi_queue_calls(remote->owner.queue))
        handler->fn.state(wsi_client_of(remote), &saying->info, handler->user);
    wsi_free(saying->texts);
}

/* From here on the same may be told again. */
static struct saying take(struct wsi_mail *mail)
{
    struct place *place = WSI_CONTAINER_OF(mail, struct place, notice.mail);
    const struct saying saying = place->saying;

    atomic_store(&place->pending, false);
    return saying;
}

static void run_state(struct wsi_mail *mail)
{
    struct saying saying = take(mail);

    say(&saying);
    wsi_owner_unref(&wsi_remote_of_keeper(saying.keeper)->owner);
}

static void run_closed(struct wsi_mail *mail)
{
    struct saying saying = take(mail);

    /* From here on it may be started again. */
    wsi_keeper_reset(saying.keeper);
    say(&saying);
    wsi_keeper_release(saying.keeper);
}

static void put(struct wsi_keeper *keeper, const wsock_state_info *info,
                void (*run)(struct wsi_mail *))
{
    struct wsi_owner *owner = &wsi_remote_of_keeper(keeper)->owner;
    struct place *place = &keeper->told->places[info->state - 1];

    if (atomic_exchange(&place->pending, true))
        return;
    place->saying = (struct saying){.keeper = keeper, .info = *info};
    if (info->why != NULL)
        keep_why(&place->saying, info->why);
    place->notice.mail.run = run;
    if (run == run_state)
        wsi_owner_ref(owner); /* CLOSED has that of what was started */
    wsi_lane_notify(wsi_queue_lane(owner->queue, keeper->worker), &place->notice);
}

void wsi_queued_put_state(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct wsi_remote *remote = wsi_remote_of_client(client);

    (void)user;
    put(&remote->keeper, info, run_state);
}

void wsi_queued_put_closed(struct wsi_keeper *keeper, const wsock_state_info *info)
{
    put(keeper, info, run_closed);
}

struct wsi_told *wsi_told_new(void)
{
    return wsi_zalloc(sizeof(struct wsi_told));
}

void wsi_told_free(struct wsi_told *told)
{
    wsi_free(told);
}
