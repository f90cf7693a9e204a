/* SPDX-License-Identifier: MIT */
/* What a client does before a connection of it exists. How that opens: reaching.c. */
#include "conn/remote.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/opening.h"
#include "core/errno_text.h"
#include "io/sockets.h"

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

/* Have its worker begin. From here on it may end at any time. */
static void begin(struct wsock_conn *conn, wsock_conn **out)
{
    conn->opening->phase = WSI_OPENING_START;
    if (out != NULL)
        *out = wsock_conn_ref(conn);
    wsi_conn_post_drain(conn);
}

int wsi_remote_connect_on(struct wsi_remote *remote, struct wsi_worker *worker,
                          wsock_conn **out)
{
    struct wsock_conn *conn;
    int r;

    r = wsi_conn_new(&conn, worker, &remote->owner, &remote->profile, WSI_CLIENT);
    if (r == 0)
        begin(conn, out);
    return r;
}

int wsi_remote_connect(struct wsi_remote *remote, wsock_conn **out)
{
    struct wsi_pool *pool = remote->owner.pool;
    int r = wsi_pool_start(pool);

    if (r < 0)
        return r;
    return wsi_remote_connect_on(remote, wsi_pool_pick(pool), out);
}

static int take_given(const struct wsi_pool *pool, int given, int *fd,
                      struct wsi_address *peer, char *why)
{
    void *state;
    int r;

    if (wsi_loop_sockets(pool->workers[0].loop, &state)->lookup != NULL) {
        snprintf(why, WSI_GIVEN_WHY_SIZE,
                 "there are no descriptors on a network in memory");
        return WSOCK_ENOTSUP;
    }
    r = wsi_connected_given(given, peer, fd);
    if (r < 0)
        snprintf(why, WSI_GIVEN_WHY_SIZE, "the descriptor %d: %s", given,
                 wsi_errno_text(errno));
    return r;
}

int wsi_remote_connect_given(struct wsi_remote *remote, int given, wsock_conn **out,
                             char *why)
{
    struct wsi_pool *pool = remote->owner.pool;
    struct wsi_address peer = {0};
    struct wsock_conn *conn;
    int fd = -1, r;

    *why = '\0';
    r = wsi_pool_start(pool);
    if (r == 0)
        r = take_given(pool, given, &fd, &peer, why);
    if (r < 0)
        return r;
    r = wsi_conn_new(&conn, wsi_pool_pick(pool), &remote->owner, &remote->profile,
                     WSI_CLIENT);
    if (r < 0) {
        close(fd);
        return r;
    }
    conn->opening->is_given = true;
    conn->opening->given = fd;
    conn->opening->peer = peer;
    begin(conn, out);
    return 0;
}
