/* SPDX-License-Identifier: MIT */
/* Memberships: one by one, and leaving everything at the end. */
#include "conn/member.h"

#include <assert.h>

#include <wsock/error.h>

/* With the worker's lock held. @param count (out, nullable) how many there are of all
 * that count. @return (nullable) */
static struct wsi_membership *find(const struct wsock_conn *conn, const void *of,
                                   int64_t *count)
{
    struct wsi_membership *found = NULL;

    if (count != NULL)
        *count = 0;
    WSI_LIST_EACH(node, &conn->rooms)
    {
        struct wsi_membership *membership = WSI_CONTAINER_OF(node, struct wsi_membership,
                                                             node);

        if (count != NULL)
            *count += membership->of != NULL;
        if (membership->of == of)
            found = membership;
    }
    return found;
}

int wsi_membership_begin(struct wsi_membership *membership, struct wsock_conn *conn)
{
    int64_t count;
    int r = 0;

    pthread_mutex_lock(&conn->worker->lock);
    if (!wsi_conn_takes_messages(conn))
        r = WSOCK_ECLOSED;
    else if (find(conn, membership->of, &count) != NULL)
        r = WSOCK_EEXIST;
    else if (count >=
             wsi_option(&conn->profile->options, WSI_OPT_MAX_ROOMS_PER_CONNECTION))
        r = WSOCK_ETOOBIG;
    else
        wsi_list_append(&conn->rooms, &membership->node);
    pthread_mutex_unlock(&conn->worker->lock);
    return r;
}

struct wsi_membership *wsi_membership_end(struct wsock_conn *conn, const void *of)
{
    struct wsi_membership *membership;

    pthread_mutex_lock(&conn->worker->lock);
    membership = find(conn, of, NULL);
    if (membership != NULL)
        wsi_list_remove(&membership->node);
    pthread_mutex_unlock(&conn->worker->lock);
    return membership;
}

struct wsi_membership *wsi_membership_find(struct wsock_conn *conn, const void *of)
{
    struct wsi_membership *membership;

    pthread_mutex_lock(&conn->worker->lock);
    membership = find(conn, of, NULL);
    pthread_mutex_unlock(&conn->worker->lock);
    return membership;
}

bool wsi_conn_has_memberships(struct wsock_conn *conn)
{
    bool has;

    pthread_mutex_lock(&conn->worker->lock);
    has = !wsi_list_is_empty(&conn->rooms);
    pthread_mutex_unlock(&conn->worker->lock);
    return has;
}

void wsi_conn_set_form(struct wsock_conn *conn, enum wsi_form form)
{
    int64_t count;

    pthread_mutex_lock(&conn->worker->lock);
    find(conn, conn, &count);
    assert(count == 0);
    conn->form = (uint8_t)form;
    pthread_mutex_unlock(&conn->worker->lock);
}

void wsi_members_leave_all(struct wsock_conn *conn)
{
    pthread_mutex_t *lock = &conn->worker->lock;

    for (;;) {
        struct wsi_membership *membership;
        struct wsi_list *node;

        pthread_mutex_lock(lock);
        node = wsi_list_pop(&conn->rooms);
        pthread_mutex_unlock(lock);
        if (node == NULL)
            return;
        membership = WSI_CONTAINER_OF(node, struct wsi_membership, node);
        membership->leave(membership);
    }
}
