/* SPDX-License-Identifier: MIT */
/*
 * The client's side of opening, once the server is reached (reaching.c): ask, and check
 * the answer (RFC 6455 section 4.1). Whatever fails ends in on_close with its cause.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/compress.h"
#include "conn/conn.h"
#include "conn/extra.h"
#include "conn/moving.h"
#include "conn/opening.h"
#include "conn/reaching.h"
#include "conn/remote.h"
#include "conn/secure.h"
#include "conn/tunneling.h"
#include "core/alloc.h"
#include "core/blob.h"
#include "core/errno_text.h"
#include "proto/utf8.h"

enum { REFUSAL_MAX = 160 }; /* bytes of a refusal's text that are told */

static struct wsi_remote *remote_of(const struct wsock_conn *conn)
{
    return wsi_remote_of(conn->owner);
}

/* Who began the end that has this cause. */
static int began_by(int cause)
{
    switch (cause) {
    case WSOCK_CAUSE_RESOLVE:
    case WSOCK_CAUSE_CONNECT:
        return WSOCK_BY_NETWORK;
    case WSOCK_CAUSE_HANDSHAKE:
    case WSOCK_CAUSE_REFUSED:
    case WSOCK_CAUSE_PROXY:
        return WSOCK_BY_PEER;
    default:
        return WSOCK_BY_US;
    }
}

void wsi_connecting_fail(struct wsock_conn *conn, int cause, const char *fmt, ...)
{
    const int error = conn->opening->error;
    char detail[256];
    va_list args;

    wsi_reaching_stop(conn);
    if (fmt != NULL) {
        va_start(args, fmt);
        vsnprintf(detail, sizeof detail, fmt, args);
        va_end(args);
        wsi_conn_note_end(conn, cause, began_by(cause), error, "%s", detail);
    }
    wsi_conn_note_end(conn, cause, began_by(cause), error, NULL);
    if (wsi_stream_is_attached(&conn->stream))
        wsi_conn_end(conn, WSI_CLOSE_NOW, cause, began_by(cause), NULL);
    else
        wsi_conn_closed(conn);
}

bool wsi_connecting_stream_closed(struct wsock_conn *conn, int error)
{
    struct wsi_opening *opening = conn->opening;

    if (opening->phase == WSI_OPENING_REFUSED) {
        wsi_connecting_refused(conn);
        return true;
    }
    opening->error = error;
    if (opening->phase == WSI_OPENING_MOVING) {
        wsi_moving_go_on(conn);
        return true;
    }
    if (opening->phase == WSI_OPENING_TUNNEL) {
        wsi_tunneling_lost(conn, error);
        return true;
    }
    if (opening->phase == WSI_OPENING_TLS)
        wsi_conn_note_end(conn, WSOCK_CAUSE_TLS, WSOCK_BY_NETWORK, error,
                          "the connection broke within the handshake of TLS: %s",
                          wsi_errno_text(error));
    wsi_conn_note_end(conn, WSOCK_CAUSE_HANDSHAKE, WSOCK_BY_NETWORK, error,
                      "the connection broke before the server answered: %s",
                      wsi_errno_text(error));
    return false;
}

/* ---- asking ---- */

static int write_request(struct wsock_conn *conn, struct wsi_buf *out)
{
    struct wsi_remote *remote = remote_of(conn);
    const struct wsi_destination *destination = wsi_destination_of(conn);
    struct wsi_buf headers = {0};
    struct wsi_handshake_request request = {
        .host = wsi_str_of(destination->host),
        .target = wsi_str_of(destination->target),
        .key = {conn->opening->key, WSI_KEY_SIZE},
    };
    char extensions[WSI_PMD_TEXT_MAX];
    uint8_t nonce[16];
    int r;

    conn->opening->offered = wsi_compress_config(&conn->profile->options);
    request.extensions = (struct wsi_str){
        extensions, wsi_pmd_write_offer(extensions, &conn->opening->offered)};
    wsi_random_bytes(&conn->worker->random, nonce, sizeof nonce);
    wsi_handshake_make_key(conn->opening->key, nonce);
    pthread_mutex_lock(&remote->lock);
    request.protocols = (struct wsi_str){(const char *)remote->protocols.data,
                                         remote->protocols.len};
    r = wsi_moving_headers(conn, &headers, &remote->headers);
    request.headers = (struct wsi_str){(const char *)headers.data, headers.len};
    if (r == 0)
        r = wsi_handshake_write_request(out, &request, SIZE_MAX / 2);
    pthread_mutex_unlock(&remote->lock);
    wsi_buf_fini(&headers);
    return r;
}

void wsi_connecting_ask(struct wsock_conn *conn)
{
    struct wsi_buf out = {0};
    int r;

    conn->opening->phase = WSI_OPENING_HEAD;
    wsi_opening_set_deadline(
        conn, (uint64_t)wsi_option(&conn->profile->options, WSI_OPT_HANDSHAKE_TIMEOUT));
    r = write_request(conn, &out);
    if (r == 0)
        r = wsi_opening_write(conn, out.data, out.len);
    wsi_buf_fini(&out);
    if (r < 0)
        wsi_connecting_fail(conn, WSOCK_CAUSE_NO_MEMORY, NULL);
}

/* ---- a refusal ---- */

/* Its first line may say what the status does not. */
static struct wsi_str refusal_line(const struct wsi_opening *opening)
{
    struct wsi_str line = {(const char *)opening->in.data, 0};

    while (line.len < opening->in.len && line.len < opening->refusal_text &&
           line.ptr[line.len] != '\r' && line.ptr[line.len] != '\n')
        line.len++;
    while (!wsi_utf8_is_valid(line.ptr, line.len)) /* a character that was cut */
        line.len--;
    return line;
}

/* Without memory it is not told. */
static void keep_body(struct wsock_conn *conn)
{
    const struct wsi_opening *opening = conn->opening;
    const size_t len = opening->in.len < opening->refusal_length
                           ? opening->in.len
                           : opening->refusal_length;
    struct wsi_extra *extra;
    struct wsi_blob *body;

    if (!opening->keeps_body || len == 0)
        return;
    extra = wsi_conn_extra(conn);
    body = extra != NULL ? wsi_blob_new(len) : NULL;
    if (body == NULL)
        return;
    memcpy(body->data, opening->in.data, len);
    body->len = len;
    extra->body = body;
}

void wsi_connecting_refused(struct wsock_conn *conn)
{
    const struct wsi_str line = refusal_line(conn->opening);

    keep_body(conn);

    wsi_connecting_fail(conn, WSOCK_CAUSE_REFUSED, "%s%s%.*s", conn->opening->refusal,
                        line.len > 0 ? ": " : "", (int)line.len, line.ptr);
}

void wsi_connecting_receive_refusal(struct wsock_conn *conn, const uint8_t *data,
                                    size_t len)
{
    struct wsi_opening *opening = conn->opening;
    const size_t missing = opening->in.len < opening->refusal_length
                               ? opening->refusal_length - opening->in.len
                               : 0;

    if (wsi_buf_append(&opening->in, data, len < missing ? len : missing, SIZE_MAX / 2) <
            0 ||
        opening->in.len >= opening->refusal_length ||
        (!opening->keeps_body &&
         memchr(opening->in.data, '\n', opening->in.len) != NULL))
        wsi_connecting_refused(conn);
}

/* RFC 9112 section 6.3. @return bytes of the body, at most max; 0 for one in chunks. */
static size_t body_length(const struct wsi_http_head *head, size_t max)
{
    const struct wsi_http_field *length = wsi_http_find(head, WSI_STR("Content-Length"),
                                                        0);
    size_t bytes = 0;

    if (head->status == 204 || head->status == 304 ||
        wsi_http_find(head, WSI_STR("Transfer-Encoding"), 0) != NULL)
        return 0;
    if (length == NULL)
        return max; /* until the end of the stream */
    for (size_t i = 0; i < length->value.len && bytes < max; i++)
        bytes = bytes * 10 + (size_t)(length->value.ptr[i] - '0'); /* digits: checked */
    return bytes < max ? bytes : max;
}

/* How much is waited for to tell its first line: of plain text whose length is known. */
static size_t text_length(const struct wsi_http_head *head)
{
    const struct wsi_str plain = WSI_STR("text/plain");
    const struct wsi_http_field *type = wsi_http_find(head, WSI_STR("Content-Type"), 0);

    if (type == NULL || type->value.len < plain.len ||
        !wsi_str_equal_nocase((struct wsi_str){type->value.ptr, plain.len}, plain) ||
        wsi_http_find(head, WSI_STR("Content-Length"), 0) == NULL)
        return 0;
    return body_length(head, REFUSAL_MAX);
}

static void begin_refusal(struct wsock_conn *conn, const struct wsi_http_head *head,
                          const struct wsi_http_refusal *refusal, size_t head_end)
{
    struct wsi_opening *opening = conn->opening;
    const size_t kept = (size_t)wsi_option(&conn->profile->options,
                                           WSI_OPT_MAX_REFUSAL_BYTES);

    conn->http_status = (uint16_t)refusal->status;
    opening->phase = WSI_OPENING_REFUSED;
    opening->refusal = refusal->why;
    opening->keeps_body = kept > 0;
    opening->refusal_text = text_length(head);
    opening->refusal_length = opening->keeps_body ? body_length(head, kept)
                                                  : opening->refusal_text;
    opening->retry_after_s = wsi_http_retry_after(head);
    wsi_buf_consume(&opening->in, head_end);
    wsi_connecting_receive_refusal(conn, NULL, 0);
}

/* ---- the answer ---- */

/* @return 0, or -1 and the refusal. */
static int check_compression(struct wsock_conn *conn, const struct wsi_http_head *head,
                             struct wsi_http_refusal *refusal)
{
    struct wsi_pmd_params params;
    int r = 0;

    if (conn->opening->offered.mode != WSI_PMD_OFF)
        r = wsi_pmd_check_answer(head, &conn->opening->offered, &params, &refusal->why);
    if (r > 0)
        wsi_conn_agree_compression(conn, &params);
    refusal->status = 0;
    return r < 0 ? -1 : 0;
}

/* @return 0, or -1 when the connection has failed. */
static int parse_answer(struct wsock_conn *conn, const uint8_t *data, size_t head_len)
{
    const unsigned max = (unsigned)wsi_option(&conn->profile->options,
                                              WSI_OPT_MAX_HEADERS);
    struct wsi_http_refusal refusal;

    if (wsi_http_parse_response(data, head_len, max, &conn->worker->head, &refusal) == 0)
        return 0;
    wsi_connecting_fail(conn, WSOCK_CAUSE_HANDSHAKE, "the server's answer: %s",
                        refusal.why);
    return -1;
}

/* @return 0, or -1 and the refusal. */
static int check_upgrade(struct wsock_conn *conn, const struct wsi_http_head *head,
                         struct wsi_http_refusal *refusal)
{
    struct wsi_remote *remote = remote_of(conn);
    struct wsi_str protocol, offered;
    int r;

    pthread_mutex_lock(&remote->lock);
    offered = (struct wsi_str){(const char *)remote->protocols.data,
                               remote->protocols.len};
    r = wsi_handshake_check_response(
        head, (struct wsi_str){conn->opening->key, WSI_KEY_SIZE}, offered,
        conn->opening->offered.mode != WSI_PMD_OFF, &protocol, refusal);
    pthread_mutex_unlock(&remote->lock);
    return r == 0 ? check_compression(conn, head, refusal) : r;
}

static int note_facts(struct wsock_conn *conn, const struct wsi_http_head *head)
{
    const struct wsi_opening *opening = conn->opening;
    char remote[WSI_ADDRESS_TEXT_MAX], local[WSI_ADDRESS_TEXT_MAX];

    return wsi_facts_from_response(&conn->facts, wsi_address_text(&opening->peer, remote),
                                   wsi_address_text(&opening->local, local), head);
}

/* What it says can be read when the connection has ended, if there is memory for that. */
static void note_bad_answer(struct wsock_conn *conn, const struct wsi_http_head *head)
{
    if (note_facts(conn, head) < 0)
        conn->facts = NULL;
}

static void refused(struct wsock_conn *conn, const struct wsi_http_head *head,
                    const struct wsi_http_refusal *refusal, size_t head_end)
{
    note_bad_answer(conn, head);
    if (conn->stream.filter != NULL)
        (void)wsi_conn_note_tls(conn);
    begin_refusal(conn, head, refusal, head_end);
}

/* Check the head and note what it says. @return 0, or -1 when the connection has failed.
 */
static int check_answer(struct wsock_conn *conn, size_t head_end)
{
    const struct wsi_http_head *head = &conn->worker->head;
    struct wsi_http_refusal refusal;

    if (check_upgrade(conn, head, &refusal) < 0) {
        if (refusal.status != 0 && !wsi_moving_follow(conn, head)) {
            refused(conn, head, &refusal, head_end);
        } else if (refusal.status == 0) {
            note_bad_answer(conn, head);
            wsi_connecting_fail(conn, WSOCK_CAUSE_HANDSHAKE, "the server's answer: %s",
                                refusal.why);
        }
        return -1;
    }
    if (note_facts(conn, head) < 0 ||
        (conn->stream.filter != NULL && wsi_conn_note_tls(conn) < 0)) {
        wsi_connecting_fail(conn, WSOCK_CAUSE_NO_MEMORY, NULL);
        return -1;
    }
    return 0;
}

/* RFC 9110 section 15.2: any number of interim answers may come first, asked for or not.
 * 101 is the final one of a request for an upgrade. */
static bool is_interim(const struct wsi_http_head *head)
{
    return head->status < 200 && head->status != 101;
}

bool wsi_connecting_head(struct wsock_conn *conn, uint8_t *data, size_t head_len)
{
    const size_t head_end = conn->opening->passed + head_len;
    struct wsi_buf rest;

    if (parse_answer(conn, data, head_len) < 0)
        return false;
    if (is_interim(&conn->worker->head))
        return true;
    if (check_answer(conn, head_end) < 0)
        return false;
    conn->http_status = 101;
    rest = conn->opening->in;
    wsi_buf_init(&conn->opening->in);
    wsi_opening_finish(conn);
    wsi_conn_open(conn, rest.data + head_end, rest.len - head_end);
    wsi_buf_fini(&rest);
    return false;
}
