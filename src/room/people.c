/* SPDX-License-Identifier: MIT */
/* What is asked of the people of a room, and done to them. */
#include <string.h>

#include <wsock/error.h>
#include <wsock/member.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "proto/utf8.h"
#include "room/action.h"
#include "room/crowd.h"
#include "room/room.h"
#include "room/wire.h"

enum { REASON_MAX_BYTES = 255, US_PER_S = 1000000 };

/* ---- handlers ---- */

int wsock_room_on_join(wsock_room *room, wsock_presence_fn fn, void *user,
                       wsock_free_fn free_user)
{
    if (room == NULL)
        return WSOCK_EINVAL;
    return wsi_herald_on(room, WSI_TELL_JOIN, (union wsi_tell_fn){.presence = fn},
                         fn != NULL, user, free_user);
}

int wsock_room_on_leave(wsock_room *room, wsock_presence_fn fn, void *user,
                        wsock_free_fn free_user)
{
    if (room == NULL)
        return WSOCK_EINVAL;
    return wsi_herald_on(room, WSI_TELL_LEAVE, (union wsi_tell_fn){.presence = fn},
                         fn != NULL, user, free_user);
}

int wsock_room_on_message(wsock_room *room, wsock_room_message_fn fn, void *user,
                          wsock_free_fn free_user)
{
    if (room == NULL)
        return WSOCK_EINVAL;
    return wsi_herald_on(room, WSI_TELL_MESSAGE, (union wsi_tell_fn){.message = fn},
                         fn != NULL, user, free_user);
}

/* ---- looking ---- */

struct seen {
    struct wsi_present *present; /* references */
    struct wsi_blob *info;       /* nullable */
    size_t conns;
};

static void look_at(struct seen *seen, struct wsi_present *present)
{
    const struct wsi_attendance *newest = WSI_CONTAINER_OF(present->attendances.prev,
                                                           struct wsi_attendance, node);

    wsi_ref_take(&present->ref);
    *seen = (struct seen){
        .present = present,
        .info = newest->info != NULL ? wsi_blob_ref(newest->info) : NULL,
        .conns = present->count,
    };
}

/* @param out (out, owned, nullable) @return 0; WSOCK_ENOMEM. */
static int look(wsock_room *room, struct seen **out, size_t *count)
{
    struct seen *seen = NULL;
    size_t i = 0, most;

    pthread_mutex_lock(&room->lock);
    most = room->people.count;
    if (most > 0)
        seen = wsi_alloc_array(most, sizeof *seen);
    for (size_t b = 0; seen != NULL && b < room->people.bucket_count; b++)
        for (struct wsi_table_node *node = room->people.buckets[b]; node != NULL;
             node = node->next) {
            struct wsi_present *present = WSI_CONTAINER_OF(node, struct wsi_present,
                                                           node);

            if (present->count > 0) /* else it is on other nodes only */
                look_at(&seen[i++], present);
        }
    pthread_mutex_unlock(&room->lock);
    *out = seen;
    *count = i;
    return most > 0 && seen == NULL ? WSOCK_ENOMEM : 0;
}

static int show(const struct seen *seen, wsock_person_fn fn, void *user)
{
    const wsock_person person = {
        .size = sizeof person,
        .identity = seen->present->identity,
        .info = seen->info != NULL ? seen->info->data : NULL,
        .info_len = seen->info != NULL ? seen->info->len : 0,
        .conns = seen->conns,
    };

    return fn(&person, user);
}

int wsock_room_people(wsock_room *room, wsock_person_fn fn, void *user)
{
    struct seen *seen;
    size_t count;
    int r;

    if (room == NULL)
        return WSOCK_EINVAL;
    r = look(room, &seen, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        if (fn != NULL && show(&seen[i], fn, user) != 0)
            fn = NULL;
        wsi_blob_unref(seen[i].info);
        wsi_present_unref(seen[i].present);
    }
    wsi_free(seen);
    return (int)count;
}

int wsock_room_info(wsock_room *room, wsock_conn *conn, void *out, size_t size)
{
    const struct wsi_blob *info = NULL;
    const struct wsi_member *member;
    int r = 0;

    if (room == NULL || conn == NULL || (out == NULL && size > 0))
        return WSOCK_EINVAL;
    pthread_mutex_lock(&room->lock);
    member = wsi_room_member(room, conn);
    if (member == NULL)
        r = WSOCK_ENOENT;
    else if (member->attendance != NULL)
        info = member->attendance->info;
    if (info != NULL && info->len > size)
        r = WSOCK_ETOOBIG;
    else if (info != NULL && out != NULL) /* it is never empty */
        memcpy(out, info->data, (size_t)(r = (int)info->len));
    pthread_mutex_unlock(&room->lock);
    return r;
}

/* ---- speaking to one ---- */

static size_t list_conns(void *of, wsock_conn **out, size_t max, const char *identity)
{
    wsock_room *room = of;
    const struct wsi_present *present;
    size_t written = 0, count = 0;

    pthread_mutex_lock(&room->lock);
    present = wsi_presence_find(room, identity);
    if (present != NULL) {
        count = present->count;
        WSI_LIST_EACH(node, &present->attendances)
        {
            if (written == max)
                break;
            out[written++] = wsock_conn_ref(
                WSI_CONTAINER_OF(node, struct wsi_attendance, node)->conn);
        }
    }
    pthread_mutex_unlock(&room->lock);
    return count;
}

int wsi_room_send_to_here(wsock_room *room, const char *identity, int type,
                          const void *data, size_t len)
{
    struct wsi_crowd crowd;
    int r;

    r = wsi_crowd_take(&crowd, list_conns, room, identity);
    if (r < 0)
        return r;
    r = wsi_crowd_send(&crowd, type, data, len);
    wsi_crowd_drop(&crowd);
    return r;
}

int wsock_room_send_to(wsock_room *room, const char *identity, int type, const void *data,
                       size_t len)
{
    struct wsi_wire wire = {.kind = WSI_WIRE_DIRECT,
                            .type = type & ~WSOCK_UNCOMPRESSED,
                            .is_uncompressed = (type & WSOCK_UNCOMPRESSED) != 0,
                            .data = {data, len},
                            .identity = identity};
    int r;

    if (room == NULL || identity == NULL)
        return WSOCK_EINVAL;
    r = wsi_room_send_to_here(room, identity, type, data, len);
    if (r >= 0 && *identity != '\0')
        wsi_action_in_room(room, &wire);
    return r;
}

/* ---- sending away ---- */

/* @param out (out, owned, nullable) NULL for none. */
static int copy_reason(struct wsi_blob **out, const char *reason)
{
    const size_t len = reason != NULL ? strnlen(reason, REASON_MAX_BYTES + 1) : 0;

    *out = NULL;
    if (len > REASON_MAX_BYTES)
        return WSOCK_ETOOBIG;
    if (!wsi_utf8_is_valid(reason, len))
        return WSOCK_EUTF8;
    if (len == 0)
        return 0;
    *out = wsi_blob_new(len + 1);
    if (*out == NULL)
        return WSOCK_ENOMEM;
    memcpy((*out)->data, reason, len + 1);
    return 0;
}

int wsi_room_kick_here(wsock_room *room, const char *identity, const char *reason)
{
    struct wsi_room_posts posts = {0};
    struct wsi_present *present;
    struct wsi_blob *text;
    int kicked = 0, r;

    r = copy_reason(&text, reason);
    if (r < 0)
        return r;
    pthread_mutex_lock(&room->lock);
    present = wsi_presence_find(room, identity);
    if (present != NULL) {
        wsi_ref_take(&present->ref);
        WSI_LIST_EACH(node, &present->attendances)
        {
            kicked += wsi_room_end_member(
                room, WSI_CONTAINER_OF(node, struct wsi_attendance, node)->conn,
                WSOCK_LEFT_BY_KICK, text, &posts);
        }
    }
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
    wsi_present_unref(present);
    wsi_blob_unref(text);
    return kicked;
}

static const char *text_or_null(const char *text)
{
    return text != NULL && *text != '\0' ? text : NULL;
}

int wsock_room_kick(wsock_room *room, const char *identity, const char *reason)
{
    struct wsi_wire wire = {.kind = WSI_WIRE_KICK,
                            .type = WSOCK_TEXT,
                            .identity = identity,
                            .reason = text_or_null(reason)};
    int r;

    if (room == NULL || identity == NULL)
        return WSOCK_EINVAL;
    r = wsi_room_kick_here(room, identity, reason);
    if (r >= 0 && *identity != '\0')
        wsi_action_in_room(room, &wire);
    return r;
}

int wsock_room_kick_conn(wsock_room *room, wsock_conn *conn, const char *reason)
{
    struct wsi_blob *text;
    int r;

    if (room == NULL || conn == NULL)
        return WSOCK_EINVAL;
    r = copy_reason(&text, reason);
    if (r == 0)
        r = wsi_room_remove(room, conn, WSOCK_LEFT_BY_KICK, text);
    wsi_blob_unref(text);
    return r;
}

/* With the room's lock held. */
static int close_room(wsock_room *room, struct wsi_blob *reason,
                      struct wsi_room_posts *posts, struct wsi_room_debts *debts)
{
    if (room->closed)
        return WSOCK_ECLOSED;
    *debts = wsi_room_begin_close(room);
    WSI_LIST_EACH(node, &room->members)
    {
        wsi_room_end_member(room, WSI_CONTAINER_OF(node, struct wsi_member, node)->conn,
                            WSOCK_LEFT_BY_CLOSE, reason, posts);
    }
    return 0;
}

int wsi_room_close_here(wsock_room *room, const char *reason)
{
    struct wsi_room_posts posts = {0};
    struct wsi_blob *text;
    struct wsi_room_debts debts = {0};
    int r = copy_reason(&text, reason);

    if (r < 0)
        return r;
    wsi_registry_remove(room->registry, room);
    pthread_mutex_lock(&room->lock);
    r = close_room(room, text, &posts, &debts);
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
    wsi_blob_unref(text);
    wsi_room_finish_close(room, debts);
    return r;
}

int wsock_room_close(wsock_room *room, const char *reason)
{
    struct wsi_wire wire = {
        .kind = WSI_WIRE_CLOSE, .type = WSOCK_TEXT, .reason = text_or_null(reason)};
    int r;

    if (room == NULL)
        return WSOCK_EINVAL;
    r = wsi_room_close_here(room, reason);
    if (r == 0)
        wsi_action_in_room(room, &wire);
    return r;
}

/* ---- rates ---- */

/* Each message pays for the time after it; who is a second ahead has to wait. */
static int pay(struct wsi_member *member, int64_t rate, uint64_t now_us)
{
    const uint64_t cost = (uint64_t)(US_PER_S / rate);
    const uint64_t paid = member->published_us > now_us ? member->published_us : now_us;

    if (paid + cost > now_us + US_PER_S)
        return WSOCK_ERATE;
    member->published_us = paid + cost;
    return 0;
}

int wsock_room_may_publish(wsock_room *room, wsock_conn *conn)
{
    struct wsi_member *member;
    int64_t rate;
    int r;

    if (room == NULL || conn == NULL)
        return WSOCK_EINVAL;
    rate = wsi_room_option(&room->options, WSI_OPT_MAX_PUBLISH_RATE);
    pthread_mutex_lock(&room->lock);
    member = wsi_room_member(room, conn);
    if (member == NULL)
        r = WSOCK_ENOENT;
    else if (wsi_option_is_off(rate))
        r = 0;
    else
        r = pay(member, rate, wsi_clock_us(conn->worker->pool->clock));
    pthread_mutex_unlock(&room->lock);
    return r;
}
