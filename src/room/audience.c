/* SPDX-License-Identifier: MIT */
/* Whom a message is for. */
#include "room/audience.h"

#include <stdint.h>
#include <stdlib.h>

#include <wsock/conn.h>
#include <wsock/error.h>

#include "core/alloc.h"
#include "room/crowd.h"

void wsi_conns_release(struct wsi_conns *conns)
{
    for (size_t i = 0; i < conns->count; i++)
        wsock_conn_unref(conns->conns[i]);
    wsi_free(conns->conns);
    *conns = (struct wsi_conns){0};
}

static int compare_addresses(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t) * (wsock_conn *const *)a;
    const uintptr_t y = (uintptr_t) * (wsock_conn *const *)b;

    return x < y ? -1 : x > y;
}

bool wsi_conns_have(const struct wsi_conns *conns, const wsock_conn *conn)
{
    return conns->count > 0 && bsearch(&conn, conns->conns, conns->count, sizeof conn,
                                       compare_addresses) != NULL;
}

static void sort(struct wsi_conns *conns)
{
    size_t kept = 0;

    if (conns->count == 0)
        return;
    qsort(conns->conns, conns->count, sizeof(wsock_conn *), compare_addresses);
    for (size_t i = 1; i < conns->count; i++) {
        if (conns->conns[i] == conns->conns[kept])
            wsock_conn_unref(conns->conns[i]);
        else
            conns->conns[++kept] = conns->conns[i];
    }
    conns->count = kept + 1;
}

static int make_room(struct wsi_conns *out, size_t count)
{
    *out = (struct wsi_conns){0};
    if (count == 0)
        return 0;
    out->conns = wsi_alloc_array(count, sizeof(wsock_conn *));
    return out->conns != NULL ? 0 : WSOCK_ENOMEM;
}

static void add(struct wsi_conns *conns, wsock_conn *conn)
{
    conns->conns[conns->count++] = wsock_conn_ref(conn);
}

int wsi_conns_exclude(struct wsi_conns *out, const wsock_publish *what,
                      const struct wsi_crowd *same)
{
    const int r = make_room(out, what->excluded_count + same->count);

    if (r < 0)
        return r;
    for (size_t i = 0; i < what->excluded_count; i++)
        if (what->excluded[i] != NULL)
            add(out, what->excluded[i]);
    for (size_t i = 0; i < same->count; i++)
        add(out, same->conns[i]);
    sort(out);
    return 0;
}

static size_t list_members(void *room, wsock_conn **out, size_t max, const char *name)
{
    (void)name;
    return wsock_room_members(room, out, max);
}

int wsi_conns_choose(struct wsi_conns *out, wsock_room *room, const wsock_publish *what,
                     const struct wsi_conns *excluded)
{
    struct wsi_crowd members;
    int r = wsi_crowd_take(&members, list_members, room, NULL);

    *out = (struct wsi_conns){0};
    if (r < 0)
        return r;
    r = make_room(out, members.count);
    for (size_t i = 0; r == 0 && i < members.count; i++) {
        wsock_conn *conn = members.conns[i];

        if (conn != what->except && !wsi_conns_have(excluded, conn) &&
            what->only(conn, what->only_user))
            add(out, conn);
    }
    wsi_crowd_drop(&members);
    if (out->count == 0)
        wsi_conns_drop(out);
    sort(out);
    return r;
}
