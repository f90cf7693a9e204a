/* SPDX-License-Identifier: MIT */
/* What few connections need. */
#include "conn/extra.h"

#include "conn/conn.h"
#include "conn/droppable.h"
#include "conn/identity.h"
#include "conn/rate.h"
#include "conn/receive_parts.h"
#include "conn/send_parts.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "proto/deflate.h"

struct wsi_extra *wsi_conn_extra(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_extra_of(conn), *made;

    if (extra != NULL)
        return extra;
    made = wsi_zalloc(sizeof *made);
    if (made != NULL && !atomic_compare_exchange_strong(&conn->extra, &extra, made)) {
        wsi_free(made);
        return extra;
    }
    return made;
}

void wsi_conn_leave_guests(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_extra_of(conn);

    if (extra == NULL || extra->guest == NULL)
        return;
    wsi_guests_leave(&wsi_service_of(conn->owner)->guests, extra->guest);
    extra->guest = NULL;
}

void wsi_conn_empty_extra(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_extra_of(conn);

    if (extra == NULL)
        return;
    wsi_blob_unref(extra->pong);
    extra->pong = NULL;
    wsi_rate_free(extra->rate);
    extra->rate = NULL;
    wsi_deflater_free(extra->deflater);
    extra->deflater = NULL;
    wsi_inflater_free(extra->inflater);
    extra->inflater = NULL;
    wsi_incoming_free(extra->incoming);
    extra->incoming = NULL;
    wsi_outgoing_abandon(conn);
    wsi_droppable_clear(conn);
}

void wsi_conn_free_extra(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_extra_of(conn);
    struct wsi_attached *attached;

    if (extra == NULL)
        return;
    attached = atomic_load(&extra->attached);
    if (attached != NULL)
        attached->release(attached);
    wsi_conn_free_identity(conn);
    wsi_outgoing_free(atomic_load(&extra->outgoing));
    wsi_droppable_free(atomic_load(&extra->droppable));
    wsi_free(atomic_load(&extra->tls));
    wsi_free(extra->url);
    wsi_blob_unref(extra->body);
    wsi_free(extra->queued);
    wsi_free(extra);
}
