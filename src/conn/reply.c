/* SPDX-License-Identifier: MIT */
/*
 * HTTP answers: refusals of a handshake, and what plain requests get. The connection ends
 * behind every one of them, so nothing that a client sent ahead is ever taken for a
 * second request.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/files.h"
#include "conn/opening.h"

enum {
    PIECE = 64 * 1024,
    TIMEOUT_MS = 30 * 1000, /* without progress */
};

/* From here on nothing that the client sent is looked at. It may be much, and an end that
 * lingers takes seconds. */
static void begin_reply(struct wsock_conn *conn, unsigned status)
{
    struct wsi_opening *opening = conn->opening;

    conn->http_status = (uint16_t)status;
    opening->phase = WSI_OPENING_REPLY;
    wsi_buf_fini(&opening->in);
}

static void ends(struct wsock_conn *conn, int r)
{
    if (r < 0)
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
    else
        wsi_conn_end(conn, WSI_CLOSE_LINGER, WSOCK_CAUSE_CLOSED, WSOCK_BY_US,
                     "answered with %u", (unsigned)conn->http_status);
}

/* The connection lingers only behind the last of it, since that has a short limit. */
static void wait_for_room(struct wsock_conn *conn)
{
    wsi_opening_set_deadline(conn, TIMEOUT_MS);
    wsi_stream_want_writable(&conn->stream);
}

void wsi_reply(struct wsock_conn *conn, unsigned status, const char *content_type,
               struct wsi_str headers, const void *body, size_t len)
{
    struct wsi_buf out = {0};
    int r;

    begin_reply(conn, status);
    r = wsi_http_write_response(&out, status, wsi_str_of(content_type), headers, body,
                                len, conn->opening->head_only,
                                len + WSI_ANSWER_HEADERS_MAX + 1024);
    if (r == 0)
        r = wsi_opening_write(conn, out.data, out.len);
    wsi_buf_fini(&out);
    if (r == 0 && wsi_stream_queued(&conn->stream) >= PIECE)
        wait_for_room(conn);
    else
        ends(conn, r);
}

void wsi_reply_text(struct wsock_conn *conn, unsigned status, const char *text)
{
    char line[256];
    const int len = snprintf(line, sizeof line, "%s\n", text);
    char remote[WSI_ADDRESS_TEXT_MAX];

    wsi_address_text(wsi_opening_remote(conn->opening), remote);
    wsi_log(&conn->worker->pool->log, WSOCK_LOG_DEBUG, wsi_conn_subject(conn).text,
            "%s is refused with %u: %s",
            conn->facts != NULL ? wsi_facts_remote(conn->facts) : remote, status, text);
    wsi_reply(conn, status, "text/plain; charset=utf-8", WSI_STR(""), line,
              len < (int)sizeof line ? (size_t)len : sizeof line - 1);
}

void wsi_reply_later(struct wsock_conn *conn, const char *text)
{
    wsi_reply(conn, 503, "text/plain", WSI_STR("Retry-After: 1\r\n"), text, strlen(text));
}

/* Queue the next piece; end the connection behind the last one. */
static void send_piece(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;
    const size_t want = opening->file_left < PIECE ? (size_t)opening->file_left
                                                   : (size_t)PIECE;
    struct wsi_blob *piece;
    ssize_t got = 0;
    int r;

    if (want == 0) {
        ends(conn, 0);
        return;
    }
    piece = wsi_blob_new(want);
    r = piece != NULL ? 0 : WSOCK_ENOMEM;
    if (r == 0) {
        do
            got = read(opening->file, piece->data, want);
        while (got < 0 && errno == EINTR);
        /* A file that became shorter cannot be answered any more as announced. */
        if (got <= 0)
            r = WSOCK_ESYSTEM;
    }
    if (r == 0) {
        piece->len = (size_t)got;
        opening->file_left -= (size_t)got;
        r = wsi_stream_send_blob(&conn->stream, piece, 0, piece->len);
    }
    wsi_blob_unref(piece);
    if (r < 0) {
        ends(conn, r);
        return;
    }
    wait_for_room(conn);
}

void wsi_reply_file(struct wsock_conn *conn, const struct wsi_file *file)
{
    struct wsi_opening *opening = conn->opening;
    struct wsi_buf out = {0};
    int r;

    begin_reply(conn, 200);
    opening->file = file->fd;
    opening->file_left = opening->head_only ? 0 : file->size;
    r = wsi_http_write_response_head(
        &out, 200, wsi_str_of(file->type),
        WSI_STR("X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\n"),
        file->size, WSI_ANSWER_HEADERS_MAX);
    if (r == 0)
        r = wsi_opening_write(conn, out.data, out.len);
    wsi_buf_fini(&out);
    if (r < 0)
        ends(conn, r);
    else
        send_piece(conn);
}

void wsi_reply_writable(struct wsock_conn *conn)
{
    if (wsi_conn_state(conn) != WSI_CONN_OPENING)
        return;
    if (wsi_stream_queued(&conn->stream) >= PIECE)
        wait_for_room(conn);
    else if (conn->opening->file >= 0)
        send_piece(conn);
    else
        ends(conn, 0);
}
