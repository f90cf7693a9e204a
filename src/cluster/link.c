/* SPDX-License-Identifier: MIT */
/*
 * The way to a broker. What is under way is exactly one of: a lookup, a race, a stream.
 * A link ends when none is left and its mail has come back; only then `closed` is
 * called.
 */
#include "cluster/link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/worker.h"
#include "core/alloc.h"
#include "core/errno_text.h"
#include "io/dial.h"
#include "io/resolve.h"
#include "io/sockets.h"
#include "io/stream.h"
#include "tls/tls.h"

enum { HOST_MAX = 256, WHY_SIZE = 512, LINGER_MS = 1000 };

struct wsi_link {
    struct wsi_worker *worker;
    struct wsi_link_handler *handler;
    struct wsi_tls_context *tls; /* a reference, nullable */
    struct wsi_resolve *resolve; /* nullable, as dial is */
    struct wsi_dial *dial;
    struct wsi_stream stream;
    struct wsi_timer timer;    /* the handler's */
    struct wsi_timer deadline; /* of opening; then of closing */
    struct wsi_mail start, post;
    atomic_bool posted; /* its mail is under way */
    bool started, open, ending;
    bool mailed; /* start is under way again, to finish */
    uint64_t connect_timeout_ms;
    size_t output_bytes;
    struct wsi_address peer;
    uint16_t port;
    bool nowhere;
    char host[HOST_MAX], name[HOST_MAX];
    char why[WHY_SIZE];
};

/* ---- the end ---- */

static void finish(struct wsi_link *link)
{
    struct wsi_link_handler *handler = link->handler;
    struct wsi_pool *pool = link->worker->pool;
    char why[WHY_SIZE];

    if (!link->ending || wsi_stream_is_attached(&link->stream) || link->mailed ||
        atomic_load(&link->posted))
        return;
    wsi_timer_stop(&link->timer);
    wsi_timer_stop(&link->deadline);
    wsi_tls_context_unref(link->tls);
    memcpy(why, link->why, sizeof why);
    wsi_free(link);
    handler->closed(handler, why);
    wsi_pool_release(pool);
    wsi_pool_unref(pool);
}

static void run_finish(struct wsi_mail *mail)
{
    struct wsi_link *link = WSI_CONTAINER_OF(mail, struct wsi_link, start);

    link->mailed = false;
    finish(link);
}

/* The first reason is the one that is told. */
static void give_up(struct wsi_link *link, enum wsi_close_mode mode)
{
    const bool was_ending = link->ending;

    link->ending = true;
    link->open = false;
    if (link->resolve != NULL)
        wsi_resolve_cancel(link->resolve);
    link->resolve = NULL;
    if (link->dial != NULL)
        wsi_dial_cancel(link->dial);
    link->dial = NULL;
    if (wsi_stream_is_attached(&link->stream)) {
        wsi_stream_close(&link->stream, mode);
        wsi_loop_timer(link->worker->loop, &link->deadline, LINGER_MS);
    } else if (!was_ending) {
        /* By mail: never inside a call of the link. */
        link->mailed = true;
        link->start.run = run_finish;
        wsi_worker_post(link->worker, &link->start);
    }
}

static void fail(struct wsi_link *link, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void fail(struct wsi_link *link, const char *format, ...)
{
    va_list args;

    if (!link->ending) {
        va_start(args, format);
        vsnprintf(link->why, sizeof link->why, format, args);
        va_end(args);
    }
    give_up(link, WSI_CLOSE_NOW);
}

/* ---- the stream ---- */

static struct wsi_link *link_of(struct wsi_stream *stream)
{
    return WSI_CONTAINER_OF(stream, struct wsi_link, stream);
}

static void opened(struct wsi_link *link)
{
    wsi_timer_stop(&link->deadline);
    link->open = true;
    link->handler->opened(link->handler);
}

static void on_data(struct wsi_stream *stream, uint8_t *data, size_t len)
{
    struct wsi_link *link = link_of(stream);

    if (link->open)
        link->handler->received(link->handler, data, len);
}

static void on_eof(struct wsi_stream *stream)
{
    struct wsi_link *link = link_of(stream);

    if (link->open || link->tls == NULL)
        fail(link, "the broker ended the connection");
    else
        fail(link, "the broker ended the connection within the handshake of TLS");
}

static void on_writable(struct wsi_stream *stream)
{
    (void)stream;
}

static void on_secured(struct wsi_stream *stream)
{
    if (!link_of(stream)->ending)
        opened(link_of(stream));
}

static void on_filter_failed(struct wsi_stream *stream)
{
    struct wsi_link *link = link_of(stream);
    char address[WSI_ADDRESS_TEXT_MAX];

    fail(link, "TLS with %s: %s", wsi_address_text(&link->peer, address),
         wsi_tls_failure(stream->filter).why);
}

static void on_closed(struct wsi_stream *stream, int error)
{
    struct wsi_link *link = link_of(stream);

    if (!link->ending)
        snprintf(link->why, sizeof link->why, "the connection broke: %s",
                 wsi_errno_text(error));
    link->ending = true;
    link->open = false;
    finish(link);
}

static const struct wsi_stream_events events = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_secured = on_secured,
    .on_filter_failed = on_filter_failed,
    .on_closed = on_closed,
};

static void connected(struct wsi_link *link)
{
    struct wsi_filter *filter;
    int r;

    if (link->tls == NULL) {
        opened(link);
        return;
    }
    /* Each node of a cluster is one that the context was made for. */
    r = wsi_tls_connect(&filter, link->tls, link->name, true);
    if (r == 0)
        r = wsi_stream_start_filter(&link->stream, filter, NULL, 0);
    if (r < 0)
        fail(link, "out of memory for TLS");
}

/* ---- getting there ---- */

static void on_dialed(void *user, int fd, const struct wsi_address *address, int error)
{
    struct wsi_link *link = user;
    char text[WSI_ADDRESS_TEXT_MAX];

    link->dial = NULL;
    link->peer = *address;
    if (fd >= 0 && wsi_stream_adopt(&link->stream, link->worker->loop, fd) < 0) {
        error = errno;
        wsi_socket_close(link->worker->loop, fd);
        fd = -1;
    }
    if (fd < 0)
        fail(link, "cannot connect to %s: %s", wsi_address_text(&link->peer, text),
             wsi_errno_text(error));
    else
        connected(link);
}

static void dial(struct wsi_link *link, const struct wsi_address *addresses, size_t count)
{
    if (wsi_dial_start(&link->dial, link->worker->loop, addresses, count, NULL,
                       on_dialed, link) < 0)
        fail(link, "out of memory for a connection to %s", link->host);
}

static void on_resolved(void *user, const struct wsi_address *addresses, size_t count,
                        int error, const char *why)
{
    struct wsi_link *link = user;

    link->resolve = NULL;
    if (error != 0 || count == 0)
        fail(link, "cannot resolve %s: %s", link->host,
             error != 0 ? why : "no addresses");
    else
        dial(link, addresses, count);
}

static void begin(struct wsi_link *link)
{
    struct wsi_address address;

    wsi_loop_timer(link->worker->loop, &link->deadline, link->connect_timeout_ms);
    if (link->port == 0 && wsi_address_unix(&address, link->host) < 0)
        fail(link, "the path of the socket is too long");
    else if (link->port == 0 || wsi_address_numeric(&address, link->host, link->port))
        dial(link, &address, 1);
    else if (wsi_resolve_start(&link->resolve, link->worker->loop, link->host, link->port,
                               on_resolved, link) < 0)
        fail(link, "out of memory to look up %s", link->host);
}

static void run_start(struct wsi_mail *mail)
{
    struct wsi_link *link = WSI_CONTAINER_OF(mail, struct wsi_link, start);

    link->started = true;
    if (link->ending)
        finish(link);
    else if (!link->nowhere)
        begin(link);
}

static void on_deadline(struct wsi_timer *timer)
{
    struct wsi_link *link = WSI_CONTAINER_OF(timer, struct wsi_link, deadline);

    fail(link, "%s was not reached in time", link->host);
}

/* ---- posts and the timer ---- */

static void run_post(struct wsi_mail *mail)
{
    struct wsi_link *link = WSI_CONTAINER_OF(mail, struct wsi_link, post);

    atomic_store(&link->posted, false);
    if (!link->ending)
        link->handler->posted(link->handler);
    else
        finish(link);
}

void wsi_link_post(struct wsi_link *link)
{
    if (!atomic_exchange(&link->posted, true))
        wsi_worker_post(link->worker, &link->post);
}

static void on_timer(struct wsi_timer *timer)
{
    struct wsi_link *link = WSI_CONTAINER_OF(timer, struct wsi_link, timer);

    if (!link->ending)
        link->handler->timed(link->handler);
}

void wsi_link_timer(struct wsi_link *link, uint64_t delay_ms)
{
    if (delay_ms == UINT64_MAX || link->ending)
        wsi_timer_stop(&link->timer);
    else
        wsi_loop_timer(link->worker->loop, &link->timer, delay_ms);
}

/* ---- sending ---- */

static int send_large(struct wsi_link *link, const void *data, size_t len)
{
    struct wsi_blob *blob = wsi_blob_new(len);
    int r;

    if (blob == NULL)
        return WSOCK_ENOMEM;
    memcpy(blob->data, data, len);
    blob->len = len;
    r = wsi_stream_send_blob(&link->stream, blob, 0, len);
    wsi_blob_unref(blob);
    return r;
}

int wsi_link_send(struct wsi_link *link, const void *data, size_t len)
{
    uint8_t *room;

    if (!link->open || wsi_stream_is_closing(&link->stream))
        return WSOCK_ECLOSED;
    if (len > link->output_bytes ||
        wsi_stream_unsent(&link->stream) > link->output_bytes - len)
        return WSOCK_EAGAIN;
    if (len > WSI_STREAM_COPY_MAX)
        return send_large(link, data, len);
    room = wsi_stream_reserve(&link->stream, len);
    if (room == NULL)
        return wsi_stream_is_closing(&link->stream) ? WSOCK_ECLOSED : WSOCK_ENOMEM;
    memcpy(room, data, len);
    wsi_stream_commit(&link->stream, len);
    return 0;
}

/* ---- opening and closing ---- */

void wsi_link_close(struct wsi_link *link)
{
    if (link->ending)
        return;
    snprintf(link->why, sizeof link->why, "closed");
    if (link->started)
        give_up(link, WSI_CLOSE_LINGER);
    else
        link->ending = true; /* run_start() sees it */
}

static struct wsi_link *link_new(const struct wsi_link_config *config,
                                 struct wsi_link_handler *handler)
{
    const char *host = config->host != NULL ? config->host : "nowhere";
    /* Who is behind a Unix socket is this machine. */
    const char *name = config->server_name != NULL ? config->server_name
                       : config->port == 0         ? "localhost"
                                                   : host;
    struct wsi_link *link = wsi_zalloc(sizeof *link);

    if (link == NULL)
        return NULL;
    link->handler = handler;
    link->nowhere = config->host == NULL;
    link->port = config->port;
    link->connect_timeout_ms = config->connect_timeout_ms;
    link->output_bytes = config->output_bytes;
    snprintf(link->host, sizeof link->host, "%s", host);
    snprintf(link->name, sizeof link->name, "%s", name);
    if (config->tls != NULL)
        link->tls = wsi_tls_context_ref(config->tls);
    wsi_stream_init(&link->stream, &events);
    wsi_timer_init(&link->timer, on_timer);
    wsi_timer_init(&link->deadline, on_deadline);
    atomic_init(&link->posted, false);
    link->start.run = run_start;
    link->post.run = run_post;
    return link;
}

int wsi_link_open(void *user, struct wsi_link **out, const struct wsi_link_config *config,
                  struct wsi_link_handler *handler)
{
    struct wsi_pool *pool = user;
    struct wsi_link *link;
    int r = wsi_pool_start(pool);

    if (r < 0)
        return r;
    link = link_new(config, handler);
    if (link == NULL)
        return WSOCK_ENOMEM;
    r = wsi_pool_hold(pool);
    if (r < 0) {
        wsi_tls_context_unref(link->tls);
        wsi_free(link);
        return r;
    }
    wsi_pool_ref(pool);
    link->worker = &pool->workers[config->worker % wsi_pool_count(pool)];
    *out = link;
    wsi_worker_post(link->worker, &link->start);
    return 0;
}

int wsi_link_tls_new(struct wsi_tls_context **out,
                     const struct wsi_link_tls_config *config, char *why, size_t size)
{
    const struct wsi_tls_config tls = {
        .certificates = config->cert != NULL ? config->cert : "",
        .keys = config->key != NULL ? config->key : "",
        .ca = config->ca != NULL ? config->ca : "",
        .crl = "",
        .ocsp = "",
        .ciphers = "",
        .ciphersuites = "",
        .alpn = "none", /* a broker speaks no HTTP */
        .pins = "",
        .verify = config->verify ? WSI_TLS_VERIFY_REQUIRED : WSI_TLS_VERIFY_NONE,
    };
    char text[WSI_TLS_WHY_SIZE];
    const int r = wsi_tls_client_new(out, &tls, text);

    if (r < 0)
        snprintf(why, size, "%s", r == WSOCK_ENOMEM ? wsock_strerror(r) : text);
    return r;
}

void wsi_link_tls_free(struct wsi_tls_context *tls)
{
    wsi_tls_context_unref(tls);
}
