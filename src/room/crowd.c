/* SPDX-License-Identifier: MIT */
/* Snapshots of connections. */
#include "room/crowd.h"

#include <string.h>

#include <wsock/conn.h>
#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/encode.h"
#include "conn/identity.h"
#include "conn/send.h"
#include "core/alloc.h"

static void drop(wsock_conn **conns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        wsock_conn_unref(conns[i]);
}

int wsi_crowd_take(struct wsi_crowd *crowd, wsi_crowd_fn list, void *of, const char *name)
{
    size_t room_for = WSI_CROWD_FEW;

    crowd->conns = crowd->few;
    while ((crowd->count = list(of, crowd->conns, room_for, name)) > room_for) {
        drop(crowd->conns, room_for);
        if (crowd->conns != crowd->few)
            wsi_free(crowd->conns);
        room_for = crowd->count + crowd->count / 8;
        crowd->conns = wsi_alloc_array(room_for, sizeof(wsock_conn *));
        if (crowd->conns == NULL)
            return WSOCK_ENOMEM;
    }
    return 0;
}

static size_t list_identity(void *identities, wsock_conn **out, size_t max,
                            const char *identity)
{
    return wsi_identities_conns(identities, out, max, identity);
}

int wsi_crowd_of_identity(struct wsi_crowd *crowd, struct wsi_identities *identities,
                          const char *identity)
{
    return wsi_crowd_take(crowd, list_identity, identities, identity);
}

void wsi_crowd_drop(struct wsi_crowd *crowd)
{
    drop(crowd->conns, crowd->count);
    if (crowd->conns != crowd->few)
        wsi_free(crowd->conns);
}

/* Those that did it count; where none did, what kept one from it that still could. */
static int sum_up(int done, int refused)
{
    return done > 0 || refused == WSOCK_ECLOSED ? done : refused;
}

int wsi_crowd_send(const struct wsi_crowd *crowd, int type, const void *data, size_t len)
{
    int sent = 0, refused = wsi_encode_check(type, data, len);

    if (refused < 0)
        return refused;
    for (size_t i = 0; i < crowd->count; i++) {
        const int r = wsi_conn_send(crowd->conns[i], type, data, len);

        if (r == 0)
            sent++;
        else if (r != WSOCK_ECLOSED || refused == 0)
            refused = r;
    }
    return sum_up(sent, refused);
}

int wsi_crowd_close(const struct wsi_crowd *crowd, unsigned code, const char *reason)
{
    const size_t len = reason != NULL ? strlen(reason) : 0;
    int closed = 0, refused = 0;

    for (size_t i = 0; i < crowd->count; i++) {
        const int r = wsi_conn_close(crowd->conns[i], code, reason, len);

        if (r == 0)
            closed++;
        else if (r != WSOCK_ECLOSED || refused == 0)
            refused = r;
    }
    return sum_up(closed, refused);
}
