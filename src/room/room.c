/* SPDX-License-Identifier: MIT */
/* Rooms and their members: joining and leaving. */
#include "room/room.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "core/alloc.h"
#include "room/branch.h"
#include "room/waiting.h"

static void leave_by_end(struct wsi_membership *membership);

wsock_room *wsi_room_new(struct wsi_registry *registry, const char *name,
                         const struct wsi_room_options *options)
{
    const size_t size = strlen(name) + 1;
    wsock_room *room = wsi_zalloc(sizeof *room + size);

    if (room == NULL)
        return NULL;
    memcpy(room->name, name, size);
    wsi_ref_init(&room->ref);
    room->registry = registry;
    room->options = *options;
    wsi_feed_rules_init(&room->slow, wsi_room_option(options, WSI_OPT_SLOW_MEMBERS),
                        wsi_room_option(options, WSI_OPT_SLOW_QUEUE_MESSAGES),
                        wsi_room_option(options, WSI_OPT_SLOW_QUEUE_BYTES));
    if (wsi_history_is_on(options)) {
        room->history = wsi_history_new(room);
        if (room->history == NULL) {
            wsi_free(room);
            return NULL;
        }
        room->slow.in_order = true; /* of offsets */
    }
    if (wsi_registry_spread(registry) != NULL && wsi_branch_make(room) < 0) {
        wsi_history_free(room->history);
        wsi_free(room);
        return NULL;
    }
    wsi_room_look_at_kept(room);
    pthread_mutex_init(&room->lock, NULL);
    wsi_list_init(&room->members);
    wsi_notices_init(&room->notices);
    wsi_owner_ref(registry->owner);
    return room;
}

void wsi_room_free(wsock_room *room)
{
    struct wsi_owner *owner = room->registry->owner;

    pthread_mutex_destroy(&room->lock);
    wsi_matches_unref(room->matches);
    wsi_notices_fini(&room->notices);
    wsi_table_fini(&room->people);
    wsi_herald_free(room->herald);
    wsi_branch_free(room->branch);
    wsi_history_free(room->history);
    wsi_free(room->shards);
    wsi_free(room);
    wsi_owner_unref(owner);
}

bool wsi_room_look_at_kept(wsock_room *room)
{
    const bool keep = !room->closed &&
                      (wsi_room_option(&room->options, WSI_OPT_PERSISTENT) != 0 ||
                       (room->history != NULL && room->history->count > 0 &&
                        room->branch == NULL)); /* else the broker keeps it */

    if (keep == room->kept)
        return false;
    room->kept = keep;
    if (keep)
        wsi_ref_take(&room->ref);
    return !keep;
}

struct wsi_room_debts wsi_room_begin_close(wsock_room *room)
{
    struct wsi_room_debts debts = {0};

    room->closed = true;
    if (room->history != NULL)
        debts.stop = wsi_history_clear(room->history);
    debts.drop = wsi_room_look_at_kept(room);
    wsi_branch_look(room);
    return debts;
}

void wsi_room_finish_close(wsock_room *room, struct wsi_room_debts debts)
{
    if (debts.stop)
        wsi_history_stop(room->history);
    if (debts.drop)
        wsock_room_unref(room);
}

void wsi_room_close(wsock_room *room)
{
    struct wsi_room_debts debts;

    pthread_mutex_lock(&room->lock);
    debts = wsi_room_begin_close(room);
    pthread_mutex_unlock(&room->lock);
    wsi_room_finish_close(room, debts);
}

wsock_room *wsock_room_ref(wsock_room *room)
{
    wsi_ref_take(&room->ref);
    return room;
}

void wsock_room_unref(wsock_room *room)
{
    if (room != NULL)
        wsi_registry_drop(room->registry, room);
}

/* ---- joining and leaving ---- */

bool wsi_room_has(wsock_room *room, wsock_conn *conn)
{
    return wsi_membership_find(conn, room) != NULL;
}

static struct wsi_member *member_of(struct wsi_membership *membership)
{
    return WSI_CONTAINER_OF(membership, struct wsi_member, membership);
}

struct wsi_member *wsi_room_member(wsock_room *room, wsock_conn *conn)
{
    struct wsi_membership *membership = wsi_membership_find(conn, room);

    return membership != NULL ? member_of(membership) : NULL;
}

/* With the room's lock held. */
static int may_join(const wsock_room *room)
{
    if (room->closed)
        return WSOCK_ECLOSED;
    return (int64_t)room->count >= wsi_room_option(&room->options, WSI_OPT_MAX_MEMBERS)
               ? WSOCK_ETOOBIG
               : 0;
}

static struct wsi_member *new_member(wsock_room *room, wsock_conn *conn, const char *id)
{
    struct wsi_member *member = wsi_zalloc(sizeof *member);

    if (member == NULL)
        return NULL;
    if (conn->form == WSI_FORM_V1) {
        member->ticket = wsi_ticket_new(id);
        if (member->ticket == NULL) {
            wsi_free(member);
            return NULL;
        }
        member->ticket->met = (struct wsi_room_op){.kind = WSI_ROOM_MET,
                                                   .subject = member};
    }
    member->membership.of = room;
    member->membership.leave = leave_by_end;
    member->room = wsock_room_ref(room);
    member->conn = wsock_conn_ref(conn);
    member->join = (struct wsi_room_op){.kind = WSI_ROOM_JOIN, .subject = member};
    member->leave = (struct wsi_room_op){.kind = WSI_ROOM_LEAVE, .subject = member};
    wsi_list_init(&member->membership.node);
    wsi_list_init(&member->local);
    wsi_feed_init(&member->feed, &room->slow);
    return member;
}

void wsi_room_append(wsock_room *room, unsigned shard, struct wsi_room_op *op,
                     struct wsi_room_posts *posts)
{
    if (wsi_shard_append(&room->shards[shard], op))
        posts->shards[shard / 64] |= UINT64_C(1) << shard % 64;
}

void wsi_room_append_op(wsock_room *room, const struct wsi_member *member,
                        struct wsi_room_op *op, struct wsi_room_posts *posts)
{
    wsi_room_append(room, member->conn->worker->index, op, posts);
}

/* With the room's lock held: what it missed, as far as that is known, or where the room
 * is for who is to be told. */
static int begin_since(struct wsi_member *member, const wsock_join *how,
                       wsock_joined *joined)
{
    wsock_room *room = member->room;
    const bool since = how != NULL && how->since != NULL;
    const bool is_told = member->ticket != NULL ||
                         (how != NULL && how->on_joined != NULL);

    if (room->history == NULL || (!since && !is_told))
        return 0;
    if (room->branch == NULL || !wsi_branch_may_learn(room->branch, how)) {
        if (!since)
            return 0;
        return wsi_history_since(room->history, &member->missed, joined, how->since);
    }
    joined->recovered = -1;
    member->waiting = wsi_waiting_new(member, how);
    member->joins_late = member->waiting != NULL;
    return member->joins_late ? 0 : WSOCK_ENOMEM;
}

/* With the room's lock held: what is known of the answer. */
static void fill_ticket(struct wsi_member *member, const wsock_joined *joined)
{
    const wsock_room *room = member->room;
    struct wsi_ticket *ticket = member->ticket;

    if (room->history != NULL) {
        ticket->epoch = room->history->epoch;
        ticket->offset = room->history->last;
        ticket->recovered = joined->recovered > 0;
    }
    ticket->waits = (member->waiting != NULL ? WSI_WAITS_FOR_PLACE : 0) |
                    (wsi_roster_is_due(room) ? WSI_WAITS_FOR_PEOPLE : 0);
}

/* With the room's lock held. */
static int begin(struct wsi_member *member, const wsock_join *how, wsock_joined *joined)
{
    wsock_room *room = member->room;
    int r = may_join(room);

    if (r == 0)
        r = wsi_room_make_shards(room);
    if (r == 0)
        r = wsi_presence_prepare(room, &member->attendance, member->conn, how);
    if (r == 0)
        r = begin_since(member, how, joined);
    /* The last that can fail: from now on another thread may end the connection, and then
     * waits with the member for the lock. */
    if (r == 0)
        r = wsi_membership_begin(&member->membership, member->conn);
    if (r < 0) {
        wsi_presence_cancel(room, member->attendance);
        member->attendance = NULL;
        wsi_waiting_cancel(member->waiting);
        member->waiting = NULL;
    } else if (member->ticket != NULL) {
        fill_ticket(member, joined);
    }
    return r;
}

/* With the room's lock held: a member is one more, or one less, unless others of the same
 * identity are there, or on other nodes. */
static void count_head(wsock_room *room, const struct wsi_attendance *attendance,
                       bool came, struct wsi_room_posts *posts)
{
    const struct wsi_present *present = attendance != NULL ? attendance->present : NULL;

    if (attendance != NULL && !(came ? attendance->first : attendance->last))
        return;
    if (present != NULL && present->far_count > 0)
        return; /* it is on another node */
    room->heads += came ? 1 : (size_t)-1;
    wsi_notices_change(room, attendance != NULL ? attendance->present : NULL, posts);
}

/* With the room's lock held. Those who are there hear of it, and it does not. */
static void link_member(struct wsi_member *member, struct wsi_room_posts *posts)
{
    wsock_room *room = member->room;
    const unsigned shard = member->conn->worker->index;

    posts->herald |= wsi_presence_join(room, member->attendance);
    count_head(room, member->attendance, true, posts);
    wsi_list_append(&room->members, &member->node);
    room->count++;
    wsi_takers_count(&room->takers, member->conn, true);
    room->shards[shard].count++;
    wsi_room_append(room, shard, &member->join, posts);
    wsi_branch_look(room);
    if (member->waiting != NULL)
        wsi_waiting_begin(member->waiting);
    else
        wsi_branch_listen(room);
    if (member->ticket != NULL && (member->ticket->waits & WSI_WAITS_FOR_PEOPLE) != 0)
        wsi_roster_await(member);
}

/* Whoever asked, if it is known. */
static void tell_joined(const wsock_join *how, wsock_conn *conn,
                        const wsock_joined *joined)
{
    if (how != NULL && how->on_joined != NULL && joined->recovered >= 0)
        how->on_joined(conn, joined, how->joined_user);
}

int wsi_room_join(wsock_room *room, wsock_conn *conn, const wsock_join *how,
                  wsock_joined *out, const char *id)
{
    struct wsi_room_posts posts = {0};
    wsock_joined joined = {.size = sizeof joined};
    struct wsi_member *member;
    int r;

    if (conn->worker->pool != room->registry->owner->pool)
        return WSOCK_EINVAL;
    member = new_member(room, conn, id);
    if (member == NULL)
        return WSOCK_ENOMEM;
    pthread_mutex_lock(&room->lock);
    r = begin(member, how, &joined);
    if (r == 0)
        link_member(member, &posts);
    pthread_mutex_unlock(&room->lock);
    if (r == 0) {
        tell_joined(how, conn, &joined);
        wsi_room_post(room, &posts);
    } else {
        wsi_member_free(member);
    }
    if (r == 0 && out != NULL)
        *out = joined;
    return r;
}

int wsock_room_join(wsock_room *room, wsock_conn *conn)
{
    return room != NULL && conn != NULL ? wsi_room_join(room, conn, NULL, NULL, NULL)
                                        : WSOCK_EINVAL;
}

/* Sizes of wsock_join by version. */
enum { JOIN_SIZE_1_0 = offsetof(wsock_join, joined_user) + sizeof(void *) };
_Static_assert(sizeof(wsock_join) == JOIN_SIZE_1_0, "no tail padding");

static bool is_valid(const wsock_join *how, const wsock_joined *out)
{
    return how->size >= JOIN_SIZE_1_0 && (how->info != NULL || how->info_len == 0) &&
           (how->since == NULL || how->since->size >= sizeof *how->since) &&
           (out == NULL || out->size >= sizeof *out);
}

int wsock_room_join_with(wsock_room *room, wsock_conn *conn, const wsock_join *how,
                         wsock_joined *out)
{
    if (room == NULL || conn == NULL || how == NULL || !is_valid(how, out))
        return WSOCK_EINVAL;
    return wsi_room_join(room, conn, how, out, NULL);
}

int wsock_room_join_since(wsock_room *room, wsock_conn *conn, const wsock_position *since,
                          wsock_joined *out)
{
    const wsock_join how = {.size = sizeof how, .since = since};

    return wsock_room_join_with(room, conn, &how, out);
}

void wsi_room_post(wsock_room *room, const struct wsi_room_posts *posts)
{
    const unsigned workers = wsi_pool_count(room->registry->owner->pool);

    for (unsigned i = 0; 64 * i < workers; i++)
        for (uint64_t left = posts->shards[i]; left != 0; left &= left - 1)
            wsi_shard_post(&room->shards[64 * i + (unsigned)__builtin_ctzll(left)]);
    if (posts->herald)
        wsi_herald_post(room->herald);
    if (posts->timer != NULL) {
        wsock_timer_stop(posts->timer);
        wsock_timer_unref(posts->timer);
    }
}

/* With the room's lock held, by who unlinked the membership. */
static void end(struct wsi_member *member, int how, struct wsi_blob *reason,
                struct wsi_room_posts *posts)
{
    wsock_room *room = member->room;
    const unsigned shard = member->conn->worker->index;

    wsi_list_remove(&member->node);
    room->count--;
    wsi_takers_count(&room->takers, member->conn, false);
    room->shards[shard].count--;
    posts->herald |= wsi_presence_leave(room, member->attendance, how, reason);
    if (member->waiting != NULL)
        wsi_room_append(room, shard, wsi_waiting_end(member->waiting), posts);
    if (wsi_roster_give_up(member))
        wsi_room_append(room, shard, &member->ticket->met, posts);
    wsi_room_append(room, shard, &member->leave, posts);
    count_head(room, member->attendance, false, posts);
    if (member->conn->form == WSI_FORM_V1)
        wsi_notices_look(room, posts);
    wsi_branch_look(room);
}

/* The connection is ending, so it cannot join again. */
static void leave_by_end(struct wsi_membership *membership)
{
    struct wsi_member *member = member_of(membership);
    wsock_room *room = wsock_room_ref(member->room);
    struct wsi_room_posts posts = {0};

    pthread_mutex_lock(&room->lock);
    end(member, WSOCK_LEFT_BY_END, NULL, &posts);
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
    wsock_room_unref(room);
}

int wsock_room_leave(wsock_room *room, wsock_conn *conn)
{
    return room != NULL && conn != NULL
               ? wsi_room_remove(room, conn, WSOCK_LEFT_BY_CALL, NULL)
               : WSOCK_EINVAL;
}

/* The room's lock is held all the while: a join between the two steps would make the
 * connection a member twice, and it would hear what is broadcast meanwhile twice. */
bool wsi_room_end_member(wsock_room *room, wsock_conn *conn, int how,
                         struct wsi_blob *reason, struct wsi_room_posts *posts)
{
    struct wsi_membership *membership = wsi_membership_end(conn, room);

    if (membership == NULL)
        return false;
    end(member_of(membership), how, reason, posts);
    return true;
}

int wsi_room_remove(wsock_room *room, wsock_conn *conn, int how, struct wsi_blob *reason)
{
    struct wsi_room_posts posts = {0};
    bool was_there;

    pthread_mutex_lock(&room->lock);
    was_there = wsi_room_end_member(room, conn, how, reason, &posts);
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
    return was_there ? 0 : WSOCK_ENOENT;
}

int wsi_room_leave(wsock_room *room, wsock_conn *conn, struct wsi_ticket *ticket)
{
    struct wsi_room_posts posts = {0};
    struct wsi_membership *membership;

    pthread_mutex_lock(&room->lock);
    membership = wsi_membership_end(conn, room);
    if (membership != NULL) {
        member_of(membership)->farewell = ticket;
        end(member_of(membership), WSOCK_LEFT_BY_CALL, NULL, &posts);
    }
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
    if (membership == NULL)
        wsi_ticket_free(ticket);
    return membership != NULL ? 0 : WSOCK_ENOENT;
}

/* ---- looking ---- */

int wsock_room_get_int64(wsock_room *room, const char *name, int64_t *out)
{
    struct wsi_options options;

    if (room == NULL || name == NULL || out == NULL)
        return WSOCK_EINVAL;
    wsi_room_options_show(&room->options, &options);
    return wsi_options_get_number(&options, out, name, NULL, 0);
}

int wsock_room_get_string(wsock_room *room, char *out, size_t size, const char *name)
{
    struct wsi_options options;

    if (room == NULL || out == NULL || name == NULL)
        return WSOCK_EINVAL;
    wsi_room_options_show(&room->options, &options);
    return wsi_options_get_text(&options, out, size, name, NULL, 0);
}

const char *wsock_room_name(const wsock_room *room)
{
    return room != NULL ? room->name : "";
}

int64_t wsock_room_dropped(wsock_room *room, wsock_conn *conn)
{
    const struct wsi_member *member;
    int64_t count = WSOCK_ENOENT;

    if (room == NULL)
        return WSOCK_EINVAL;
    if (conn == NULL)
        return (int64_t)atomic_load_explicit(&room->slow.dropped, memory_order_relaxed);
    pthread_mutex_lock(&room->lock);
    member = wsi_room_member(room, conn);
    if (member != NULL)
        count = (int64_t)atomic_load_explicit(&member->feed.dropped,
                                              memory_order_relaxed);
    pthread_mutex_unlock(&room->lock);
    return count;
}

size_t wsock_room_count(wsock_room *room)
{
    size_t count;

    if (room == NULL)
        return 0;
    pthread_mutex_lock(&room->lock);
    count = room->count;
    pthread_mutex_unlock(&room->lock);
    return count;
}

size_t wsock_room_members(wsock_room *room, wsock_conn **out, size_t max)
{
    size_t written = 0, count;

    if (room == NULL || (out == NULL && max > 0))
        return 0;
    pthread_mutex_lock(&room->lock);
    WSI_LIST_EACH(node, &room->members)
    {
        if (written == max)
            break;
        out[written++] = wsock_conn_ref(
            WSI_CONTAINER_OF(node, struct wsi_member, node)->conn);
    }
    count = room->count;
    pthread_mutex_unlock(&room->lock);
    return count;
}
