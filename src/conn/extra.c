/* SPDX-License-Identifier: MIT */
/* What few connections need. */
#include "conn/extra.h"

#include "conn/conn.h"
#include "conn/rate.h"
#include "core/alloc.h"
#include "proto/deflate.h"

struct wsi_extra *wsi_conn_extra(struct wsock_conn *conn)
{
    if (conn->extra == NULL)
        conn->extra = wsi_zalloc(sizeof *conn->extra);
    return conn->extra;
}

void wsi_conn_drop_extra(struct wsock_conn *conn)
{
    struct wsi_extra *extra = conn->extra;

    conn->extra = NULL;
    if (extra == NULL)
        return;
    wsi_rate_free(extra->rate);
    wsi_deflater_free(extra->deflater);
    wsi_inflater_free(extra->inflater);
    wsi_free(extra);
}
