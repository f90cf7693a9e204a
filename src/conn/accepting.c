/* SPDX-License-Identifier: MIT */
/*
 * The server's side of opening: a request comes in, is checked against RFC 6455 section
 * 4.2.1 (proto/handshake.h), the routes and the origin rule, and is answered by the
 * application, by a file, or by a status.
 */
#include <string.h>

#include <wsock/error.h>

#include "conn/body.h"
#include "conn/compress.h"
#include "conn/conn.h"
#include "conn/opening.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "core/blob.h"
#include "io/sockets.h"
#include "proto/origin.h"
#include "proto/url.h"

enum { OVERLOAD_MAX = 64 }; /* how many beyond max_connections get a 503 */

static struct wsi_service *service_of(const struct wsock_conn *conn)
{
    return wsi_service_of(conn->owner);
}

static enum wsi_opening_phase first_phase(const struct wsi_service *service,
                                          const struct wsi_address *peer, bool secure)
{
    if (wsi_trust_wants_header(&service->trust, peer))
        return WSI_OPENING_PROXY;
    return secure ? WSI_OPENING_TLS : WSI_OPENING_HEAD;
}

static void note_arrival(struct wsock_conn *conn, const struct wsi_arrival *arrival)
{
    struct wsi_opening *opening = conn->opening;

    opening->phase = (uint8_t)first_phase(service_of(conn), &arrival->peer,
                                          arrival->secure);
    opening->speaks_tls = opening->is_secure = arrival->secure;
    opening->peer = arrival->peer;
    if (arrival->local != NULL)
        conn->local = wsi_blob_ref(arrival->local);
    else
        wsi_socket_local(conn->worker->loop, &opening->local, arrival->fd);
}

void wsi_service_adopt(struct wsi_service *service, struct wsi_worker *worker,
                       const struct wsi_arrival *arrival)
{
    const size_t alive = atomic_fetch_add(&service->alive, 1) + 1;
    const size_t limit = wsi_service_limit(service);
    char text[WSI_ADDRESS_TEXT_MAX];
    struct wsock_conn *conn;

    wsi_service_task(service);
    /* Nobody is told over TLS: that would cost a handshake. */
    if (alive > limit + (arrival->secure ? 0 : OVERLOAD_MAX) ||
        wsi_conn_new(&conn, worker, &service->owner, NULL, WSI_SERVER) < 0) {
        atomic_fetch_sub(&service->alive, 1);
        wsi_socket_close(worker->loop, arrival->fd);
        wsi_service_task_done(service);
        return;
    }
    wsi_list_append(&worker->conns, &conn->node);
    note_arrival(conn, arrival);
    if (wsi_stream_adopt(&conn->stream, worker->loop, arrival->fd) < 0) {
        wsi_socket_close(worker->loop, arrival->fd);
        wsi_conn_closed(conn);
        return;
    }
    if (alive > limit) {
        wsi_log(&worker->pool->log, WSOCK_LOG_WARN, wsi_conn_subject(conn).text,
                "%s is refused with 503: max_connections (%zu) is reached",
                wsi_address_text(&arrival->peer, text), limit);
        wsi_reply_later(conn, "full\n");
        return;
    }
    if (atomic_load(&service->stopping)) {
        wsi_opening_go_away(conn);
        return;
    }
    wsi_opening_set_deadline(
        conn, (uint64_t)wsi_option(&service->profile.options, WSI_OPT_HANDSHAKE_TIMEOUT));
    if (conn->opening->phase != WSI_OPENING_PROXY)
        wsi_opening_begin(conn);
    else if (arrival->secure)
        wsi_stream_expect_filter(&conn->stream);
}

void wsi_accepting_refuse(struct wsock_conn *conn, const struct wsi_http_refusal *refusal)
{
    wsi_reply_text(conn, refusal->status, refusal->why);
}

/* ---- the application's answer ---- */

static void accept_now(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;
    const struct wsi_str headers = {(const char *)opening->headers.data,
                                    opening->headers.len};
    char extensions[WSI_PMD_TEXT_MAX];
    size_t extensions_len = 0;
    struct wsi_buf out = {0};
    struct wsi_buf rest;
    int r;

    if (conn->pmd.own_window_bits != 0)
        extensions_len = wsi_pmd_write_answer(extensions, &conn->pmd);
    r = wsi_handshake_write_accept(&out, (struct wsi_str){opening->key, WSI_KEY_SIZE},
                                   wsi_str_of(wsi_facts_subprotocol(conn->facts)),
                                   (struct wsi_str){extensions, extensions_len}, headers,
                                   WSI_ANSWER_HEADERS_MAX + 1024);
    if (r == 0)
        r = wsi_opening_write(conn, out.data, out.len);
    wsi_buf_fini(&out);
    if (r < 0) {
        wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
        return;
    }
    rest = opening->in;
    wsi_buf_init(&opening->in);
    wsi_opening_finish(conn);
    wsi_conn_open(conn, rest.data, rest.len);
    wsi_buf_fini(&rest);
}

void wsi_accepting_answered(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;
    bool answered;

    if (opening->phase != WSI_OPENING_ANSWER || opening->in_handler)
        return;
    pthread_mutex_lock(&conn->worker->lock);
    answered = opening->answered;
    pthread_mutex_unlock(&conn->worker->lock);
    if (!answered)
        return;
    if (opening->status == 101)
        accept_now(conn);
    else
        wsi_reply(
            conn, opening->status, opening->content_type,
            (struct wsi_str){(const char *)opening->headers.data, opening->headers.len},
            opening->body.data, opening->body.len);
}

/* Ask a handler. */
static void ask(struct wsock_conn *conn, const struct wsi_handler *handler)
{
    struct wsi_opening *opening = conn->opening;
    const struct wsi_options *options = &service_of(conn)->profile.options;

    opening->phase = WSI_OPENING_ANSWER;
    opening->handed_out = true;
    opening->in_handler = true;
    wsi_opening_set_deadline(conn,
                             (uint64_t)wsi_option(options, WSI_OPT_REQUEST_TIMEOUT));
    handler->fn.request(wsi_request_of(conn), handler->user);
    opening->in_handler = false;
    if (wsi_conn_queued(conn) == NULL) /* else it has only been told to */
        wsi_accepting_asked(conn);
}

void wsi_accepting_asked(struct wsock_conn *conn)
{
    if (wsi_conn_state(conn) != WSI_CONN_OPENING)
        return;
    wsi_accepting_answered(conn);
    if (wsi_conn_state(conn) != WSI_CONN_OPENING || conn->opening == NULL ||
        conn->opening->phase != WSI_OPENING_ANSWER)
        return;
    if (atomic_load(&conn->ref.count) == 1 && !atomic_load(&conn->drain_posted)) {
        wsi_log(&conn->worker->pool->log, WSOCK_LOG_ERROR, wsi_conn_subject(conn).text,
                "the handler of %.*s neither answered nor kept the request",
                wsi_facts_shown(conn->facts), wsi_facts_target(conn->facts));
        conn->opening->answered = true;
        wsi_reply_text(conn, 500, "the application gave no answer");
    }
}

/* ---- requests ---- */

/* To the same path with a slash behind it. */
static void redirect(struct wsock_conn *conn)
{
    struct wsi_buf line = {0};
    struct wsi_target target = {.path = WSI_STR("/")};
    struct wsi_str parts[5];
    int r = 0;

    wsi_target_split(wsi_str_of(wsi_facts_target(conn->facts)), &target);
    parts[0] = WSI_STR("Location: ");
    parts[1] = target.path;
    parts[2] = target.query.len > 0 ? WSI_STR("/?") : WSI_STR("/");
    parts[3] = target.query;
    parts[4] = WSI_STR("\r\n");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && r == 0; i++)
        r = wsi_buf_append(&line, parts[i].ptr, parts[i].len, WSI_ANSWER_HEADERS_MAX);
    if (r == 0)
        wsi_reply(conn, 301, NULL, (struct wsi_str){(const char *)line.data, line.len},
                  NULL, 0);
    else
        wsi_reply_text(conn, 404, wsi_http_reason(404));
    wsi_buf_fini(&line);
}

/* A browser that asks for a page has no such key. */
static void log_lost_upgrade(struct wsock_conn *conn)
{
    if (wsi_facts_header(conn->facts, "Sec-WebSocket-Key") != NULL)
        wsi_log(
            &conn->worker->pool->log, WSOCK_LOG_INFO, wsi_conn_subject(conn).text,
            "%s asks for a WebSocket at %.200s without \"Upgrade: websocket\": a proxy "
            "may have removed that header",
            wsi_facts_remote(conn->facts), wsi_facts_target(conn->facts));
}

static void plain_request(struct wsock_conn *conn)
{
    const bool has_route = conn->opening->has_route;
    struct wsi_service *service = service_of(conn);
    struct wsi_handler *handler;
    const char *path = wsi_facts_path(conn->facts);
    struct wsi_file file;
    int status = 404;

    if (service->files.root >= 0 && !has_route && !conn->opening->is_post)
        status = wsi_files_find(&service->files, &file, wsi_str_of(path));
    if (status == 200) {
        wsi_reply_file(conn, &file);
        return;
    }
    if (status == 301) {
        redirect(conn);
        return;
    }
    if (has_route)
        log_lost_upgrade(conn);
    handler = wsi_profile_handler(&service->profile, WSI_ON_HTTP);
    if (handler != NULL && status == 404)
        ask(conn, handler);
    else if (has_route)
        wsi_reply_text(conn, 426,
                       "this path takes WebSocket connections, and no header \"Upgrade: "
                       "websocket\" came: a proxy may have removed it");
    else
        wsi_reply_text(conn, (unsigned)status, wsi_http_reason((unsigned)status));
}

/* @return 0, or -1 when the request has been refused. */
static int agree_on_compression(struct wsock_conn *conn, const struct wsi_http_head *head)
{
    const struct wsi_pmd_config config = wsi_compress_config(&conn->profile->options);
    struct wsi_pmd_params params;
    const char *why;
    const int r = wsi_pmd_accept(head, &config, &params, &why);

    if (r < 0)
        wsi_reply_text(conn, 400, why);
    else if (r > 0)
        wsi_conn_agree_compression(conn, &params);
    return r < 0 ? -1 : 0;
}

/* At info: any page can have any browser come again and again. The client is told nothing
 * of the host, which may be that of a server behind a proxy. */
static void refuse_origin(struct wsock_conn *conn)
{
    wsi_log(&conn->worker->pool->log, WSOCK_LOG_INFO, wsi_conn_subject(conn).text,
            "the origin \"%.200s\" may not connect: the host is \"%.200s\" (%s), and the "
            "option origins does not list it",
            wsi_facts_header(conn->facts, "Origin"), wsi_facts_host(conn->facts),
            wsi_facts_is_secure(conn->facts) ? "https" : "http");
    wsi_reply_text(conn, 403, "this origin may not connect");
}

static void upgrade_request(struct wsock_conn *conn, const struct wsi_http_head *head,
                            size_t head_len)
{
    struct wsi_handler *handler;
    const struct wsi_http_field *key = wsi_http_find(head, WSI_STR("Sec-WebSocket-Key"),
                                                     0);

    if (conn->profile == NULL) {
        wsi_reply_text(conn, 404, "no such endpoint");
        return;
    }
    if (!wsi_origin_is_allowed(
            head, wsi_str_of(wsi_facts_host(conn->facts)),
            wsi_facts_is_secure(conn->facts),
            wsi_option_text(wsi_service_options(conn->owner), WSI_OPT_ORIGINS))) {
        refuse_origin(conn);
        return;
    }
    if (agree_on_compression(conn, head) < 0)
        return;
    memcpy(conn->opening->key, key->value.ptr, WSI_KEY_SIZE);
    wsi_buf_consume(&conn->opening->in, head_len); /* from here on, head is void */
    handler = wsi_profile_handler(conn->profile, WSI_ON_REQUEST);
    if (handler != NULL) {
        ask(conn, handler);
        return;
    }
    wsi_facts_choose_subprotocol(
        conn->facts, wsi_option_text(&conn->profile->options, WSI_OPT_SUBPROTOCOLS));
    accept_now(conn);
}

static bool is_method(const struct wsi_http_head *head, const char *name)
{
    return wsi_str_equal(head->method, wsi_str_of(name));
}

void wsi_accepting_body(struct wsock_conn *conn)
{
    plain_request(conn);
}

/* A method that plain requests may have; notes what it means. */
static bool takes_method(struct wsock_conn *conn, const struct wsi_http_head *head)
{
    struct wsi_opening *opening = conn->opening;

    opening->head_only = is_method(head, "HEAD");
    opening->is_post = is_method(head, "POST") && wsi_body_is_welcome(conn);
    return opening->head_only || opening->is_post || is_method(head, "GET");
}

static void refuse_method(struct wsock_conn *conn)
{
    const bool has_post = wsi_body_is_welcome(conn);
    const char *text = has_post ? "only GET, HEAD and POST are answered here\n"
                                : "only GET and HEAD are answered here\n";

    wsi_reply(conn, 405, "text/plain",
              has_post ? WSI_STR("Allow: GET, HEAD, POST\r\n")
                       : WSI_STR("Allow: GET, HEAD\r\n"),
              text, strlen(text));
}

/* Find the endpoint and note what the request says. @return 0; WSOCK_ENOMEM;
 * WSOCK_ETOOBIG; 1 when it was refused. */
static int note_facts(struct wsock_conn *conn, const struct wsi_http_head *head)
{
    struct wsi_capture captures[WSI_CAPTURES_MAX];
    struct wsi_profile *profile = NULL;
    struct wsi_target target;
    struct wsi_told told;
    unsigned count = 0;

    if (wsi_target_split(head->target, &target))
        profile = wsi_routes_match(&service_of(conn)->routes, captures, &count,
                                   target.path);
    conn->opening->has_route = profile != NULL;
    if (profile == NULL)
        count = 0;
    if (conn->opening->is_upgrade)
        conn->profile = profile;
    wsi_trust_tell(&told, conn, head);
    if (told.by_fields && !wsi_guests_admit(conn, &told.ip))
        return 1;
    return wsi_facts_from_request(&conn->facts, &told.whence, head, captures, count);
}

void wsi_accepting_head(struct wsock_conn *conn, uint8_t *data, size_t head_len)
{
    struct wsi_opening *opening = conn->opening;
    struct wsi_http_head *head = &conn->worker->head;
    const unsigned max_fields = (unsigned)wsi_option(wsi_service_options(conn->owner),
                                                     WSI_OPT_MAX_HEADERS);
    struct wsi_http_refusal refusal;
    int r;

    if (wsi_http_parse_request(data, head_len, max_fields, head, &refusal) < 0 ||
        wsi_handshake_check_request(head, &opening->is_upgrade, &refusal) < 0) {
        wsi_accepting_refuse(conn, &refusal);
        return;
    }
    if (!opening->is_upgrade && !takes_method(conn, head)) {
        refuse_method(conn);
        return;
    }
    r = note_facts(conn, head);
    if (r > 0)
        return;
    if (r < 0) {
        wsi_reply_text(conn, r == WSOCK_ETOOBIG ? 431 : 503, wsock_strerror(r));
        return;
    }
    if (opening->is_upgrade) {
        upgrade_request(conn, head, head_len);
        return;
    }
    if (!opening->is_post || wsi_body_begin(conn, head, head_len))
        plain_request(conn);
}
