/* SPDX-License-Identifier: MIT */
/* Handlers that may be replaced while they run. */
#include "conn/profile.h"

#include <wsock/error.h>

#include "conn/policy.h"
#include "conn/queue.h"
#include "conn/queued.h"
#include "core/alloc.h"

void wsi_profile_init(struct wsi_profile *profile, unsigned scope)
{
    wsi_options_init(&profile->options, scope);
    profile->options.check = wsi_policy_check;
    profile->queue = NULL;
    for (int i = 0; i < WSI_ON_COUNT; i++) {
        atomic_init(&profile->on[i], NULL);
        atomic_init(&profile->behind[i], NULL);
    }
}

static void release_handler(struct wsi_handler *handler)
{
    if (handler == NULL)
        return;
    if (handler->free_user != NULL)
        handler->free_user(handler->user);
    wsi_free(handler);
}

void wsi_profile_clear(struct wsi_profile *profile)
{
    for (int i = 0; i < WSI_ON_COUNT; i++) {
        struct wsi_handler *handler = atomic_exchange(&profile->on[i], NULL);

        if (profile->queue == NULL)
            release_handler(handler);
        release_handler(atomic_exchange(&profile->behind[i], NULL));
    }
}

bool wsi_profile_set_queue(struct wsi_profile *profile, struct wsock_queue *queue)
{
    for (int i = 0; i < WSI_ON_COUNT; i++)
        if (atomic_load(&profile->on[i]) != NULL)
            return false;
    if (profile->queue != NULL)
        return false;
    profile->queue = queue;
    return true;
}

void wsi_profile_fini(struct wsi_profile *profile)
{
    wsi_profile_clear(profile);
    wsi_options_fini(&profile->options);
}

static void all_passed(struct wsi_round *round)
{
    release_handler(WSI_CONTAINER_OF(round, struct wsi_handler, round));
}

static void run_retire(struct wsi_mail *mail)
{
    release_handler(WSI_CONTAINER_OF(mail, struct wsi_handler, retire));
}

/* The workers lead into the queue from the first handler on, also when there is none any
 * more: who looks there finds out. */
static void set_behind(struct wsi_profile *profile, enum wsi_on which,
                       struct wsi_handler *handler)
{
    struct wsi_handler *old = atomic_exchange(&profile->behind[which], handler);

    atomic_store_explicit(&profile->on[which], &wsi_queued_handlers[which],
                          memory_order_release);
    if (old != NULL) {
        old->retire.run = run_retire;
        wsi_queue_call(profile->queue, &old->retire);
    }
}

int wsi_profile_on(struct wsi_profile *profile, struct wsi_pool *pool, enum wsi_on which,
                   union wsi_handler_fn fn, bool is_set, void *user,
                   wsock_free_fn free_user)
{
    struct wsi_handler *handler = NULL, *old;

    if (is_set) {
        handler = wsi_alloc(sizeof *handler);
        if (handler == NULL)
            return WSOCK_ENOMEM;
        *handler = (struct wsi_handler){.fn = fn, .user = user, .free_user = free_user};
    } else if (free_user != NULL) {
        free_user(user);
    }
    if (profile->queue != NULL) {
        set_behind(profile, which, handler);
        return 0;
    }
    old = atomic_exchange_explicit(&profile->on[which], handler, memory_order_acq_rel);
    if (old != NULL) {
        old->round.visit = NULL;
        old->round.done = all_passed;
        wsi_pool_round(pool, &old->round);
    }
    return 0;
}
