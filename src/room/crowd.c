/* SPDX-License-Identifier: MIT */
/* Snapshots of connections. */
#include "room/crowd.h"

#include <string.h>

#include <wsock/conn.h>
#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/conn.h"
#include "conn/encode.h"
#include "conn/identity.h"
#include "conn/send.h"
#include "core/alloc.h"
#include "room/form.h"
#include "room/writer.h"

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

/* How it went, so far. */
struct tally {
    int sent, refused;
};

static void add_up(struct tally *tally, int r)
{
    if (r == 0)
        tally->sent++;
    else if (r != WSOCK_ECLOSED || tally->refused == 0)
        tally->refused = r;
}

static bool has_form(const struct wsi_crowd *crowd, enum wsi_form form)
{
    for (size_t i = 0; i < crowd->count; i++)
        if (crowd->conns[i]->form == form)
            return true;
    return false;
}

static void tell(const struct wsi_crowd *crowd, const struct wsi_telling *telling,
                 struct tally *tally)
{
    struct wsi_blob *frame;

    if (!has_form(crowd, WSI_FORM_V1))
        return;
    frame = wsi_frame_new(wsi_form_direct, telling);
    for (size_t i = 0; i < crowd->count; i++)
        if (crowd->conns[i]->form == WSI_FORM_V1)
            add_up(tally, frame != NULL ? wsi_conn_send_frame(crowd->conns[i], frame)
                                        : WSOCK_ENOMEM);
    wsi_blob_unref(frame);
}

int wsi_crowd_tell(const struct wsi_crowd *crowd, const struct wsi_telling *telling)
{
    struct tally tally = {0};

    tell(crowd, telling, &tally);
    return sum_up(tally.sent, tally.refused);
}

int wsi_crowd_send(const struct wsi_crowd *crowd, int type, const void *data, size_t len)
{
    const struct wsi_telling telling = {
        .event = "message",
        .from = "",
        .data = data,
        .len = len,
        .time_ms = crowd->count > 0 ? wsi_pool_calendar_ms(crowd->conns[0]->worker->pool)
                                    : 0,
        .type = type & ~WSOCK_UNCOMPRESSED,
    };
    struct tally tally = {.refused = wsi_encode_check(type, data, len)};

    if (tally.refused < 0)
        return tally.refused;
    tell(crowd, &telling, &tally);
    for (size_t i = 0; i < crowd->count; i++)
        if (crowd->conns[i]->form != WSI_FORM_V1)
            add_up(&tally, wsi_conn_send(crowd->conns[i], type, data, len));
    return sum_up(tally.sent, tally.refused);
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
