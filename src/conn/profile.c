/* SPDX-License-Identifier: MIT */
/* Handlers that may be replaced while they run. */
#include "conn/profile.h"

#include <wsock/error.h>

#include "conn/policy.h"
#include "core/alloc.h"

void wsi_profile_init(struct wsi_profile *profile, unsigned scope)
{
    wsi_options_init(&profile->options, scope);
    profile->options.check = wsi_policy_check;
    for (int i = 0; i < WSI_ON_COUNT; i++)
        atomic_init(&profile->on[i], NULL);
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
    for (int i = 0; i < WSI_ON_COUNT; i++)
        release_handler(atomic_exchange(&profile->on[i], NULL));
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
    old = atomic_exchange_explicit(&profile->on[which], handler, memory_order_acq_rel);
    if (old != NULL) {
        old->round.visit = NULL;
        old->round.done = all_passed;
        wsi_pool_round(pool, &old->round);
    }
    return 0;
}
