/* SPDX-License-Identifier: MIT */
/* People of a room. */
#include "room/presence.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/identity.h"
#include "core/alloc.h"
#include "room/herald.h"
#include "room/room.h"
#include "room/roster.h"

/* ---- identities of a room ---- */

static uint64_t hash_of(const wsock_room *room, const char *identity)
{
    return wsi_hash(&room->registry->key, identity, strlen(identity));
}

static struct wsi_present *find(const wsock_room *room, const char *identity,
                                uint64_t hash)
{
    struct wsi_table_node *node = wsi_table_find(&room->people, hash);

    while (node != NULL) {
        struct wsi_present *present = WSI_CONTAINER_OF(node, struct wsi_present, node);

        if (strcmp(present->identity, identity) == 0)
            return present;
        node = wsi_table_find_next(node);
    }
    return NULL;
}

struct wsi_present *wsi_presence_find(const wsock_room *room, const char *identity)
{
    return find(room, identity, hash_of(room, identity));
}

static struct wsi_present *make(wsock_room *room, const char *identity, uint64_t hash)
{
    const size_t size = strlen(identity) + 1;
    struct wsi_present *present = wsi_zalloc(sizeof *present + size);

    if (present == NULL)
        return NULL;
    memcpy(present->identity, identity, size);
    wsi_list_init(&present->attendances);
    wsi_list_init(&present->far);
    wsi_list_init(&present->change);
    wsi_ref_init(&present->ref);
    if (wsi_table_add(&room->people, &present->node, hash) < 0) {
        wsi_free(present);
        return NULL;
    }
    return present;
}

struct wsi_present *wsi_presence_get(wsock_room *room, const char *identity)
{
    const uint64_t hash = hash_of(room, identity);
    struct wsi_present *present = find(room, identity, hash);

    if (present == NULL)
        return make(room, identity, hash);
    wsi_ref_take(&present->ref);
    return present;
}

void wsi_present_unref(struct wsi_present *present)
{
    if (present != NULL && wsi_ref_drop(&present->ref))
        wsi_free(present);
}

void wsi_presence_look(wsock_room *room, struct wsi_present *present)
{
    if (present->count == 0 && wsi_list_is_empty(&present->far))
        wsi_table_remove(&room->people, &present->node);
}

const struct wsi_blob *wsi_present_info(const struct wsi_present *present)
{
    const struct wsi_blob *info = NULL;

    if (present->count > 0)
        return WSI_CONTAINER_OF(present->attendances.prev, struct wsi_attendance, node)
            ->info;
    WSI_LIST_EACH(node, &present->far)
    {
        const struct wsi_far *far = WSI_CONTAINER_OF(node, struct wsi_far, node);

        info = far->gone || far->info == NULL ? info : far->info;
    }
    return info;
}

/* ---- attendances ---- */

void wsi_attendance_unref(struct wsi_attendance *attendance)
{
    if (attendance == NULL || !wsi_ref_drop(&attendance->ref))
        return;
    wsi_present_unref(attendance->present);
    wsi_blob_unref(attendance->info);
    wsi_blob_unref(attendance->reason);
    wsock_conn_unref(attendance->conn);
    wsi_free(attendance);
}

/* @return (owned, nullable) NULL without memory. */
static struct wsi_attendance *new_attendance(wsock_conn *conn)
{
    struct wsi_attendance *attendance = wsi_zalloc(sizeof *attendance);

    if (attendance == NULL)
        return NULL;
    wsi_ref_init(&attendance->ref);
    attendance->conn = wsock_conn_ref(conn);
    wsi_list_init(&attendance->node);
    attendance->joined = (struct wsi_room_op){.kind = WSI_ROOM_JOIN,
                                              .subject = attendance};
    attendance->left = (struct wsi_room_op){.kind = WSI_ROOM_LEAVE,
                                            .subject = attendance};
    return attendance;
}

static int fill(wsock_room *room, struct wsi_attendance *attendance, const char *identity,
                const wsock_join *how)
{
    const size_t len = how != NULL ? how->info_len : 0;

    if (len > 0) {
        attendance->info = wsi_blob_new(len);
        if (attendance->info == NULL)
            return WSOCK_ENOMEM;
        memcpy(attendance->info->data, how->info, len);
        attendance->info->len = len;
    }
    if (*identity != '\0') {
        attendance->present = wsi_presence_get(room, identity);
        if (attendance->present == NULL)
            return WSOCK_ENOMEM;
    }
    return 0;
}

int wsi_presence_prepare(wsock_room *room, struct wsi_attendance **out, wsock_conn *conn,
                         const wsock_join *how)
{
    const char *identity = wsi_conn_identity(conn);
    const size_t len = how != NULL ? how->info_len : 0;
    struct wsi_attendance *attendance;
    int r;

    *out = NULL;
    if ((int64_t)len > wsi_room_option(&room->options, WSI_OPT_MAX_INFO_BYTES))
        return WSOCK_ETOOBIG;
    if (*identity == '\0' && len == 0 && room->herald == NULL)
        return 0;
    attendance = new_attendance(conn);
    if (attendance == NULL)
        return WSOCK_ENOMEM;
    r = fill(room, attendance, identity, how);
    if (r < 0) {
        wsi_presence_cancel(room, attendance);
        return r;
    }
    *out = attendance;
    return 0;
}

void wsi_presence_cancel(wsock_room *room, struct wsi_attendance *attendance)
{
    if (attendance != NULL && attendance->present != NULL)
        wsi_presence_look(room, attendance->present);
    wsi_attendance_unref(attendance);
}

static bool tell(wsock_room *room, struct wsi_attendance *attendance,
                 struct wsi_room_op *op)
{
    wsi_ref_take(&attendance->ref);
    return wsi_herald_append(room->herald, op, 0);
}

bool wsi_presence_join(wsock_room *room, struct wsi_attendance *attendance)
{
    struct wsi_present *present;

    if (attendance == NULL)
        return false;
    present = attendance->present;
    attendance->first = present == NULL || present->count == 0;
    if (present != NULL) {
        wsi_list_append(&present->attendances, &attendance->node);
        present->count++;
    }
    if (attendance->first && present != NULL)
        wsi_roster_say_joined(room, attendance);
    attendance->told = room->herald != NULL;
    return attendance->told && tell(room, attendance, &attendance->joined);
}

bool wsi_presence_leave(wsock_room *room, struct wsi_attendance *attendance, int how,
                        struct wsi_blob *reason)
{
    struct wsi_present *present;

    if (attendance == NULL)
        return false;
    present = attendance->present;
    if (present != NULL) {
        wsi_list_remove(&attendance->node);
        present->count--;
        wsi_presence_look(room, present);
    }
    attendance->last = present == NULL || present->count == 0;
    if (attendance->last && present != NULL)
        wsi_roster_say_left(room, present);
    attendance->how = (uint8_t)how;
    attendance->reason = reason != NULL ? wsi_blob_ref(reason) : NULL;
    return attendance->told && tell(room, attendance, &attendance->left);
}

wsock_member wsi_attendance_show(const struct wsi_attendance *attendance, bool left)
{
    const struct wsi_blob *info = attendance->info;
    /* While its coming is told it may be going. */
    const struct wsi_blob *reason = left ? attendance->reason : NULL;

    return (wsock_member){
        .size = sizeof(wsock_member),
        .conn = attendance->conn,
        .identity = attendance->present != NULL ? attendance->present->identity : "",
        .info = info != NULL ? info->data : NULL,
        .info_len = info != NULL ? info->len : 0,
        .reason = reason != NULL ? (const char *)reason->data : "",
        .first = !left && attendance->first,
        .last = left && attendance->last,
        .how = left ? attendance->how : 0,
    };
}
