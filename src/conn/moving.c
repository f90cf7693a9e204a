/* SPDX-License-Identifier: MIT */
/* Following redirects. */
#include "conn/moving.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/header.h"
#include "conn/opening.h"
#include "conn/reaching.h"
#include "conn/remote.h"
#include "core/alloc.h"
#include "proto/http_line.h"
#include "proto/redirect.h"

const struct wsi_destination *wsi_destination_of(const struct wsock_conn *conn)
{
    return conn->opening->moved != NULL ? conn->opening->moved
                                        : &wsi_remote_of(conn->owner)->home;
}

const char *wsi_moving_url(const struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    return extra != NULL && extra->url != NULL ? extra->url
                                               : wsi_remote_of(conn->owner)->home.text;
}

bool wsi_moving_is_home(const struct wsock_conn *conn)
{
    return conn->opening->moved == NULL ||
           wsi_redirect_same_origin(&conn->opening->moved->url,
                                    &wsi_remote_of(conn->owner)->home.url);
}

static void fail(struct wsock_conn *conn, int r, const char *why)
{
    if (r == WSOCK_ENOMEM)
        wsi_connecting_fail(conn, WSOCK_CAUSE_NO_MEMORY, NULL);
    else
        wsi_connecting_fail(conn, WSOCK_CAUSE_REFUSED, "a redirect is not followed: %s",
                            why);
}

/* The opening goes; where it led to is told for as long as there is a handle. */
static int keep_url(struct wsock_conn *conn, const char *text)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);
    char *url = extra != NULL ? wsi_strdup(text) : NULL;

    if (url == NULL)
        return WSOCK_ENOMEM;
    wsi_free(extra->url);
    extra->url = url;
    return 0;
}

/* Make the new destination the connection's. @return 0; WSOCK_EURL and *why;
 * WSOCK_ENOMEM. */
static int move_to(struct wsock_conn *conn, struct wsi_str location, const char **why)
{
    struct wsi_destination *moved = wsi_zalloc(sizeof *moved);
    struct wsi_buf url = {0};
    int r = moved != NULL ? 0 : WSOCK_ENOMEM;

    if (r == 0)
        r = wsi_redirect_write(&url, &wsi_destination_of(conn)->url, location, why);
    if (r == 0)
        r = wsi_destination_init(moved, (const char *)url.data, why);
    if (r == 0 && moved->authorization != NULL) {
        *why = "it brings a user and a password";
        r = WSOCK_EURL;
    }
    if (r == 0)
        r = keep_url(conn, moved->text);
    wsi_buf_fini(&url);
    if (r < 0) {
        if (moved != NULL)
            wsi_destination_fini(moved);
        wsi_free(moved);
        return r;
    }
    wsi_opening_drop_moved(conn->opening);
    conn->opening->moved = moved;
    return 0;
}

bool wsi_moving_follow(struct wsock_conn *conn, const struct wsi_http_head *head)
{
    struct wsi_opening *opening = conn->opening;
    const int64_t max = wsi_option(&conn->profile->options, WSI_OPT_MAX_REDIRECTS);
    const struct wsi_http_field *location = wsi_http_find(head, WSI_STR("Location"), 0);
    const char *why = NULL;
    int r;

    if (max == 0 || !wsi_redirect_is(head->status) || location == NULL)
        return false;
    conn->http_status = (uint16_t)head->status;
    if (opening->is_given) {
        fail(conn, WSOCK_EURL, "there is no other socket than the one that was given");
        return true;
    }
    if (opening->redirects == max) {
        fail(conn, WSOCK_EURL, "max_redirects is reached");
        return true;
    }
    r = move_to(conn, location->value, &why);
    if (r < 0) {
        fail(conn, r, why);
        return true;
    }
    opening->redirects++;
    opening->phase = WSI_OPENING_MOVING;
    conn->http_status = 0;
    wsi_log(&conn->worker->pool->log, WSOCK_LOG_DEBUG, wsi_conn_subject(conn).text,
            "redirected to %s", opening->moved->text);
    wsi_stream_close(&conn->stream, WSI_CLOSE_NOW);
    return true;
}

void wsi_moving_go_on(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;

    opening->in.len = 0;
    opening->passed = 0;
    opening->scan = (struct wsi_http_scan){0};
    wsi_free(opening->way);
    opening->way = NULL;
    wsi_reaching_begin(conn);
}

static bool is_secret(struct wsi_str line)
{
    return wsi_header_is(line, WSI_STR("Authorization")) ||
           wsi_header_is(line, WSI_STR("Cookie")) ||
           wsi_header_is(line, WSI_STR("Proxy-Authorization"));
}

int wsi_moving_headers(const struct wsock_conn *conn, struct wsi_buf *out,
                       const struct wsi_buf *lines)
{
    struct wsi_str rest = {(const char *)lines->data, lines->len}, line;
    const char *basic = wsi_remote_of(conn->owner)->home.authorization;
    const bool is_home = wsi_moving_is_home(conn);
    bool has_own = false;
    int r = 0;

    while (r == 0 && wsi_http_line_next(&rest, &line)) {
        if (!is_home && is_secret(line))
            continue;
        has_own = has_own || wsi_header_is(line, WSI_STR("Authorization"));
        r = wsi_buf_append(out, line.ptr, line.len, SIZE_MAX / 2);
        if (r == 0)
            r = wsi_buf_append(out, "\r\n", 2, SIZE_MAX / 2);
    }
    if (r == 0 && is_home && basic != NULL && !has_own)
        r = wsi_buf_append_text(out, basic, SIZE_MAX / 2);
    return r;
}
