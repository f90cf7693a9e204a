/* SPDX-License-Identifier: MIT */
/* Leaving everything at the end. */
#include "conn/member.h"

#include "conn/conn.h"

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
