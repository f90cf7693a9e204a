/* SPDX-License-Identifier: MIT */
/*
 * The application's answer to a request. It is noted under the worker's lock, once, and
 * carried out on the worker: behind the handler when it is given inside it, else by mail.
 */
#include "conn/answer.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/header.h"
#include "conn/opening.h"
#include "core/alloc.h"

/* With the lock held. @return (nullable) what still waits for an answer. */
static struct wsi_opening *waiting(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;

    return opening != NULL && opening->handed_out && !opening->answered ? opening : NULL;
}

bool wsi_answer_is_due(struct wsock_conn *conn)
{
    bool is_due;

    pthread_mutex_lock(&conn->worker->lock);
    is_due = waiting(conn) != NULL;
    pthread_mutex_unlock(&conn->worker->lock);
    return is_due;
}

int wsi_answer_add_header(struct wsock_conn *conn, const char *name, const char *value)
{
    struct wsi_opening *opening;
    int r = WSOCK_ECLOSED;

    pthread_mutex_lock(&conn->worker->lock);
    opening = waiting(conn);
    if (opening != NULL)
        r = wsi_header_append(&opening->headers, name, value, WSI_ANSWER_HEADERS_MAX);
    pthread_mutex_unlock(&conn->worker->lock);
    return r;
}

static int note_accept(struct wsock_conn *conn, struct wsi_opening *opening,
                       const char *subprotocol)
{
    if (!opening->is_upgrade)
        return WSOCK_EINVAL;
    if (subprotocol == NULL)
        wsi_facts_choose_subprotocol(
            conn->facts, wsi_option_text(&conn->profile->options, WSI_OPT_SUBPROTOCOLS));
    else if (*subprotocol != '\0' &&
             wsi_facts_set_subprotocol(conn->facts, subprotocol) < 0)
        return WSOCK_EINVAL;
    opening->status = 101;
    return 0;
}

static int note_response(struct wsi_opening *opening, unsigned status,
                         const char *content_type, const void *data, size_t len)
{
    char *type = NULL;
    int r;

    if (status < (opening->is_upgrade ? 300u : 200u) || status > 599)
        return WSOCK_ERANGE;
    if (content_type != NULL) {
        if (!wsi_http_is_field_value(wsi_str_of(content_type)))
            return WSOCK_EINVAL;
        type = wsi_strdup(content_type);
        if (type == NULL)
            return WSOCK_ENOMEM;
    }
    r = wsi_buf_append(&opening->body, data, len, WSI_ANSWER_MAX);
    if (r < 0) {
        wsi_free(type);
        return r;
    }
    opening->content_type = type;
    opening->status = status;
    return 0;
}

/* The answer is noted: have it carried out. The lock is held, and is given back. */
static int carry_out(struct wsock_conn *conn, struct wsi_opening *opening, int r)
{
    bool later;

    if (r == 0)
        opening->answered = true;
    later = !(wsi_worker_current == conn->worker && opening->in_handler);
    pthread_mutex_unlock(&conn->worker->lock);
    if (r == 0 && later)
        wsi_conn_post_drain(conn);
    return r;
}

int wsi_answer_accept(struct wsock_conn *conn, const char *subprotocol)
{
    struct wsi_opening *opening;

    pthread_mutex_lock(&conn->worker->lock);
    opening = waiting(conn);
    if (opening == NULL) {
        pthread_mutex_unlock(&conn->worker->lock);
        return WSOCK_ECLOSED;
    }
    return carry_out(conn, opening, note_accept(conn, opening, subprotocol));
}

int wsi_answer_respond(struct wsock_conn *conn, unsigned status, const char *content_type,
                       const void *data, size_t len)
{
    struct wsi_opening *opening;

    pthread_mutex_lock(&conn->worker->lock);
    opening = waiting(conn);
    if (opening == NULL) {
        pthread_mutex_unlock(&conn->worker->lock);
        return WSOCK_ECLOSED;
    }
    return carry_out(conn, opening,
                     note_response(opening, status, content_type, data, len));
}
