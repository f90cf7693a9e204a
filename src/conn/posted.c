/* SPDX-License-Identifier: MIT */
/* Messages as mail: made and counted on any thread, written on the worker. */
#include "conn/posted.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/send_parts.h"
#include "core/alloc.h"

static bool is_of_parts(const struct wsi_posted *posted)
{
    return posted->kind >= WSI_POSTED_BEGIN;
}

static void run_posted(struct wsi_mail *mail)
{
    struct wsi_posted *posted = WSI_CONTAINER_OF(mail, struct wsi_posted, mail);
    struct wsock_conn *conn = posted->conn;
    int r;

    atomic_fetch_sub_explicit(&conn->posted, 1, memory_order_release);
    /* A close that was asked for after this message comes after it here as well. */
    if (wsi_conn_state(conn) != WSI_CONN_OPEN) {
        wsi_posted_done(posted, 0);
    } else if (posted->kind == WSI_POSTED_MESSAGE && wsi_outgoing_is_open(conn)) {
        wsi_outgoing_wait(conn, posted);
    } else {
        r = is_of_parts(posted) ? wsi_outgoing_run(conn, posted)
                                : wsi_posted_write(conn, posted);
        wsi_posted_done(posted, r);
    }
}

struct wsi_posted *wsi_posted_new(enum wsi_posted_kind kind, const void *data, size_t len)
{
    struct wsi_posted *posted = wsi_alloc(sizeof *posted + len);

    if (posted == NULL)
        return NULL;
    memset(posted, 0, sizeof *posted);
    posted->mail.run = run_posted;
    posted->kind = (uint8_t)kind;
    posted->len = len;
    if (len > 0)
        memcpy(posted->data, data, len);
    return posted;
}

static void note_waiting(struct wsock_conn *conn, struct wsi_posted *posted,
                         size_t counted)
{
    posted->conn = wsock_conn_ref(conn);
    posted->counted = counted;
    atomic_fetch_add_explicit(&conn->posted_bytes, counted, memory_order_relaxed);
    atomic_fetch_add_explicit(&conn->worker->pool->buffered, (int64_t)counted,
                              memory_order_relaxed);
}

void wsi_posted_post(struct wsock_conn *conn, struct wsi_posted *posted, size_t counted)
{
    note_waiting(conn, posted, counted);
    atomic_fetch_add_explicit(&conn->posted, 1, memory_order_acq_rel);
    wsi_worker_post(conn->worker, &posted->mail);
}

void wsi_posted_done(struct wsi_posted *posted, int r)
{
    struct wsock_conn *conn = posted->conn;

    atomic_fetch_sub_explicit(&conn->posted_bytes, posted->counted, memory_order_relaxed);
    atomic_fetch_sub_explicit(&conn->worker->pool->buffered, (int64_t)posted->counted,
                              memory_order_relaxed);
    if (r == WSOCK_ENOMEM)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US,
                     "out of memory for a message that was accepted");
    else if (r == 0 && wsi_conn_state(conn) == WSI_CONN_OPEN)
        wsi_conn_written(conn);
    wsi_blob_unref(posted->frame);
    wsi_free(posted);
    wsock_conn_unref(conn);
}
