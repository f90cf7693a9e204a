/* SPDX-License-Identifier: MIT */
/* Groups of subscribers, and how a message comes to them. */
#include "room/group.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/frames.h"
#include "conn/member.h"
#include "core/alloc.h"
#include "core/list.h"
#include "room/envelope.h"
#include "room/room.h"
#include "room/spread.h"

/* Of one group on one worker. */
struct part {
    struct wsi_list pending; /* subscriptions that the worker has not seen yet */
    struct wsi_list members; /* those that it has; on the worker */
    atomic_size_t count;
};

struct wsi_group {
    struct wsi_ref ref; /* subscriptions, matches */
    struct wsi_registry *registry;
    pthread_mutex_t lock; /* joining, leaving, what is pending */
    struct wsi_takers takers;
    char *pattern; /* behind the parts */
    struct part parts[];
};

struct subscription {
    struct wsi_membership membership;
    struct wsi_group *group;    /* a reference */
    wsock_conn *conn;           /* a reference */
    struct wsi_list node;       /* pending or members of its part */
    uint64_t joined;            /* serials */
    atomic_uint_fast64_t left;  /* UINT64_MAX until then */
    struct wsi_feed_rules slow; /* the server's: it hears rooms that differ */
    struct wsi_feed feed;       /* on the worker */
    struct wsi_mail gone;
};

void wsi_groups_init(struct wsi_groups *groups)
{
    atomic_init(&groups->generation, 0);
    atomic_init(&groups->serial, 0);
    pthread_mutex_init(&groups->lock, NULL);
    wsi_patterns_init(&groups->patterns);
}

void wsi_groups_fini(struct wsi_groups *groups)
{
    wsi_patterns_fini(&groups->patterns);
    pthread_mutex_destroy(&groups->lock);
}

bool wsi_groups_have_some(struct wsi_groups *groups)
{
    bool some;

    if (wsi_groups_are_none(groups))
        return false;
    pthread_mutex_lock(&groups->lock);
    some = groups->patterns.root.uses > 0;
    pthread_mutex_unlock(&groups->lock);
    return some;
}

bool wsi_groups_match(struct wsi_groups *groups, const char *name)
{
    bool matches;

    if (wsi_groups_are_none(groups))
        return false;
    pthread_mutex_lock(&groups->lock);
    matches = wsi_patterns_match(&groups->patterns, NULL, 0, name) > 0;
    pthread_mutex_unlock(&groups->lock);
    return matches;
}

/* ---- groups ---- */

static struct wsi_group *new_group(struct wsi_registry *registry, const char *pattern)
{
    const unsigned workers = wsi_pool_count(registry->owner->pool);
    const size_t parts = workers * sizeof(struct part), size = strlen(pattern) + 1;
    struct wsi_group *group = wsi_zalloc(sizeof *group + parts + size);

    if (group == NULL)
        return NULL;
    wsi_ref_init(&group->ref);
    pthread_mutex_init(&group->lock, NULL);
    group->registry = registry;
    group->pattern = (char *)group + sizeof *group + parts;
    memcpy(group->pattern, pattern, size);
    for (unsigned i = 0; i < workers; i++) {
        wsi_list_init(&group->parts[i].pending);
        wsi_list_init(&group->parts[i].members);
    }
    wsi_owner_ref(registry->owner);
    return group;
}

static void free_group(struct wsi_group *group)
{
    struct wsi_owner *owner = group->registry->owner;

    pthread_mutex_destroy(&group->lock);
    wsi_free(group);
    wsi_owner_unref(owner);
}

/* As wsi_registry_drop(): a pattern never leads to a group that is going. */
static void drop_group(struct wsi_group *group)
{
    struct wsi_groups *groups = &group->registry->groups;
    bool last;

    if (wsi_ref_drop_unless_last(&group->ref))
        return;
    pthread_mutex_lock(&groups->lock);
    last = wsi_ref_drop(&group->ref);
    if (last)
        wsi_patterns_remove(&groups->patterns, group->pattern);
    pthread_mutex_unlock(&groups->lock);
    if (last)
        free_group(group);
}

/* With the lock of the groups held. @return (owned, nullable) NULL without memory. */
static struct wsi_group *make_group(struct wsi_registry *registry, const char *pattern)
{
    struct wsi_groups *groups = &registry->groups;
    struct wsi_group *group = new_group(registry, pattern);

    if (group == NULL)
        return NULL;
    if (wsi_patterns_add(&groups->patterns, pattern, group) < 0) {
        free_group(group);
        return NULL;
    }
    atomic_fetch_add(&groups->generation, 1);
    return group;
}

/* @param create make it if there is none. @return (owned, nullable) */
static struct wsi_group *get_group(struct wsi_registry *registry, const char *pattern,
                                   bool create)
{
    struct wsi_groups *groups = &registry->groups;
    struct wsi_group *group;

    pthread_mutex_lock(&groups->lock);
    group = wsi_patterns_get(&groups->patterns, pattern);
    if (group != NULL)
        wsi_ref_take(&group->ref);
    else if (create)
        group = make_group(registry, pattern);
    pthread_mutex_unlock(&groups->lock);
    return group;
}

/* ---- subscriptions ---- */

static struct part *part_of(const struct subscription *subscription)
{
    return &subscription->group->parts[subscription->conn->worker->index];
}

static void free_subscription(struct subscription *subscription)
{
    wsock_conn_unref(subscription->conn);
    drop_group(subscription->group);
    wsi_free(subscription);
}

static void run_gone(struct wsi_mail *mail)
{
    struct subscription *subscription = WSI_CONTAINER_OF(mail, struct subscription, gone);

    pthread_mutex_lock(&subscription->group->lock);
    wsi_list_remove(&subscription->node);
    pthread_mutex_unlock(&subscription->group->lock);
    wsi_feed_end(subscription->conn, &subscription->feed);
    free_subscription(subscription);
}

/* With the group's lock held, by who unlinked the membership: messages from here on are
 * not for it; those before may still be under way. */
static void end(struct subscription *subscription)
{
    struct wsi_group *group = subscription->group;

    atomic_store_explicit(&subscription->left, wsi_groups_draw(&group->registry->groups),
                          memory_order_relaxed);
    atomic_fetch_sub(&part_of(subscription)->count, 1);
    wsi_takers_count(&group->takers, subscription->conn, false);
}

static void leave_by_end(struct wsi_membership *membership)
{
    struct subscription *subscription = WSI_CONTAINER_OF(membership, struct subscription,
                                                         membership);

    pthread_mutex_lock(&subscription->group->lock);
    end(subscription);
    pthread_mutex_unlock(&subscription->group->lock);
    wsi_worker_post(subscription->conn->worker, &subscription->gone);
}

/* With the group's lock held. @return 0; WSOCK_ECLOSED; WSOCK_EEXIST; WSOCK_ETOOBIG. */
static int begin(struct subscription *subscription)
{
    struct wsi_group *group = subscription->group;
    const int r = wsi_membership_begin(&subscription->membership, subscription->conn);

    if (r < 0)
        return r;
    atomic_fetch_add(&part_of(subscription)->count, 1);
    wsi_takers_count(&group->takers, subscription->conn, true);
    subscription->joined = wsi_groups_draw(&group->registry->groups);
    wsi_list_append(&part_of(subscription)->pending, &subscription->node);
    return 0;
}

/* Of rooms that say so only the latest waits, by their keys; but keys of several rooms
 * may be the same, so here the oldest make room. */
static void init_feed(struct subscription *subscription,
                      const struct wsi_options *options)
{
    const int64_t slow = wsi_option(options, WSI_OPT_SLOW_MEMBERS);

    wsi_feed_rules_init(&subscription->slow,
                        slow == WSI_SLOW_LATEST_ONLY ? WSI_SLOW_DROP_OLDEST : slow,
                        wsi_option(options, WSI_OPT_SLOW_QUEUE_MESSAGES),
                        wsi_option(options, WSI_OPT_SLOW_QUEUE_BYTES));
    wsi_feed_init(&subscription->feed, &subscription->slow);
}

static struct subscription *new_subscription(struct wsi_registry *registry,
                                             wsock_conn *conn, const char *pattern)
{
    /* Where messages are marked that it has heard. */
    struct subscription *subscription = wsi_conn_extra(conn) != NULL
                                            ? wsi_zalloc(sizeof *subscription)
                                            : NULL;

    if (subscription == NULL)
        return NULL;
    subscription->group = get_group(registry, pattern, true);
    if (subscription->group == NULL) {
        wsi_free(subscription);
        return NULL;
    }
    init_feed(subscription, registry->options);
    subscription->conn = wsock_conn_ref(conn);
    subscription->membership.of = subscription->group;
    subscription->membership.leave = leave_by_end;
    subscription->gone.run = run_gone;
    atomic_init(&subscription->left, UINT64_MAX);
    wsi_list_init(&subscription->membership.node);
    wsi_list_init(&subscription->node);
    return subscription;
}

int wsi_group_join(struct wsi_registry *registry, wsock_conn *conn, const char *pattern)
{
    struct subscription *subscription = new_subscription(registry, conn, pattern);
    int r;

    if (subscription == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&subscription->group->lock);
    r = begin(subscription);
    pthread_mutex_unlock(&subscription->group->lock);
    if (r < 0)
        free_subscription(subscription);
    else if (wsi_registry_spread(registry) != NULL)
        wsi_spread_look_at_patterns(wsi_registry_spread(registry));
    return r;
}

int wsi_group_leave(struct wsi_registry *registry, wsock_conn *conn, const char *pattern)
{
    struct wsi_group *group = get_group(registry, pattern, false);
    struct wsi_membership *membership;
    struct subscription *subscription = NULL;

    if (group == NULL)
        return WSOCK_ENOENT;
    pthread_mutex_lock(&group->lock);
    membership = wsi_membership_end(conn, group);
    if (membership != NULL) {
        subscription = WSI_CONTAINER_OF(membership, struct subscription, membership);
        end(subscription);
    }
    pthread_mutex_unlock(&group->lock);
    if (subscription != NULL)
        wsi_worker_post(conn->worker, &subscription->gone);
    drop_group(group);
    return subscription != NULL ? 0 : WSOCK_ENOENT;
}

/* ---- the groups of a room ---- */

void wsi_matches_unref(struct wsi_matches *matches)
{
    if (matches == NULL || !wsi_ref_drop(&matches->ref))
        return;
    for (size_t i = 0; i < matches->count; i++)
        drop_group(matches->groups[i]);
    wsi_free(matches);
}

/* With the lock of the groups held. @return 0; WSOCK_ENOMEM. */
static int find(struct wsi_matches **out, const struct wsi_groups *groups,
                const char *name)
{
    const size_t count = wsi_patterns_match(&groups->patterns, NULL, 0, name);
    struct wsi_matches *matches;

    if (count == 0) {
        *out = NULL;
        return 0;
    }
    matches = wsi_alloc(sizeof *matches + count * sizeof(struct wsi_group *));
    if (matches == NULL)
        return WSOCK_ENOMEM;
    wsi_ref_init(&matches->ref);
    matches->count = count;
    wsi_patterns_match(&groups->patterns, (void **)(void *)matches->groups, count, name);
    for (size_t i = 0; i < count; i++)
        wsi_ref_take(&matches->groups[i]->ref);
    *out = matches;
    return 0;
}

int wsi_matches_update(struct wsi_matches **matches, uint64_t *generation,
                       struct wsi_groups *groups, const char *name)
{
    struct wsi_matches *found = NULL;
    uint64_t now;
    int r;

    if (*generation == atomic_load(&groups->generation))
        return 0;
    pthread_mutex_lock(&groups->lock);
    now = atomic_load(&groups->generation);
    r = find(&found, groups, name);
    pthread_mutex_unlock(&groups->lock);
    if (r < 0)
        return r;
    wsi_matches_unref(*matches);
    *matches = found;
    *generation = now;
    return 0;
}

size_t wsi_matches_count(const struct wsi_matches *matches, unsigned worker)
{
    size_t count = 0;

    for (size_t i = 0; i < matches->count; i++)
        count += atomic_load(&matches->groups[i]->parts[worker].count);
    return count;
}

unsigned wsi_matches_takers(const struct wsi_matches *matches)
{
    unsigned takers = 0;

    for (size_t i = 0; i < matches->count; i++)
        takers |= wsi_takers_set(&matches->groups[i]->takers);
    return takers;
}

/* ---- delivering, on a worker ---- */

void wsi_matches_mark(wsock_conn *conn, uint64_t serial)
{
    struct wsi_extra *extra = wsi_extra_of(conn);

    if (extra != NULL)
        extra->heard = serial;
}

/* What was subscribed before the message must be seen now. */
static void take_pending(struct wsi_group *group, struct part *part)
{
    struct wsi_list *node;

    pthread_mutex_lock(&group->lock);
    while ((node = wsi_list_pop(&part->pending)) != NULL)
        wsi_list_append(&part->members, node);
    pthread_mutex_unlock(&group->lock);
}

static bool was_there(const struct subscription *subscription, uint64_t serial)
{
    return subscription->joined < serial &&
           serial < atomic_load_explicit(&subscription->left, memory_order_relaxed);
}

static void deliver(struct subscription *subscription,
                    const struct wsi_envelope *envelope)
{
    wsock_conn *conn = subscription->conn;

    if (!was_there(subscription, envelope->serial) ||
        wsi_extra_of(conn)->heard == envelope->serial)
        return;
    wsi_matches_mark(conn, envelope->serial);
    wsi_envelope_deliver(envelope, conn, &subscription->feed);
}

void wsi_matches_deliver(const struct wsi_envelope *envelope, unsigned worker)
{
    for (size_t i = 0; i < envelope->matches->count; i++) {
        struct wsi_group *group = envelope->matches->groups[i];
        struct part *part = &group->parts[worker];

        take_pending(group, part);
        WSI_LIST_EACH(node, &part->members)
        {
            deliver(WSI_CONTAINER_OF(node, struct subscription, node), envelope);
        }
    }
}
