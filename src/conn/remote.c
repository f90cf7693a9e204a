/* SPDX-License-Identifier: MIT */
/* What a client does before a connection of it exists. How that opens: reaching.c. */
#include "conn/remote.h"

#include "conn/conn.h"
#include "conn/opening.h"

int wsi_remote_prepare(struct wsi_remote *remote, char *why)
{
    int r = 0;

    if (!remote->home.url.secure)
        return 0;
    pthread_mutex_lock(&remote->lock);
    if (!wsi_secure_is_current(&remote->secure))
        r = wsi_secure_load(&remote->secure, &remote->profile.options, NULL, why);
    pthread_mutex_unlock(&remote->lock);
    return r;
}

int wsi_remote_connect_on(struct wsi_remote *remote, struct wsi_worker *worker,
                          wsock_conn **out)
{
    struct wsock_conn *conn;
    int r;

    r = wsi_conn_new(&conn, worker, &remote->owner, &remote->profile, WSI_CLIENT);
    if (r < 0)
        return r;
    conn->opening->phase = WSI_OPENING_START;
    if (out != NULL)
        *out = wsock_conn_ref(conn);
    wsi_conn_post_drain(conn);
    return 0;
}

int wsi_remote_connect(struct wsi_remote *remote, wsock_conn **out)
{
    struct wsi_pool *pool = remote->owner.pool;
    int r = wsi_pool_start(pool);

    if (r < 0)
        return r;
    return wsi_remote_connect_on(remote, wsi_pool_pick(pool), out);
}
