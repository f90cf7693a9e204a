/* SPDX-License-Identifier: MIT */
/* How a client gets to its server. */
#include "conn/reaching.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/moving.h"
#include "conn/opening.h"
#include "conn/remote.h"
#include "conn/secure.h"
#include "conn/tunneling.h"
#include "core/errno_text.h"
#include "io/sockets.h"
#include "proto/http.h"
#include "proto/override.h"

void wsi_reaching_stop(struct wsock_conn *conn)
{
    struct wsi_opening *opening = conn->opening;

    if (opening->resolve != NULL)
        wsi_resolve_cancel(opening->resolve);
    opening->resolve = NULL;
    if (opening->dial != NULL)
        wsi_dial_cancel(opening->dial);
    opening->dial = NULL;
}

/* @return (nullable) the proxy in between. */
static const struct wsi_via *via_of(const struct wsock_conn *conn)
{
    return conn->opening->way != NULL ? &conn->opening->way->tunnel.via : NULL;
}

static void connect_failed(struct wsock_conn *conn, int error)
{
    char address[WSI_ADDRESS_TEXT_MAX];

    conn->opening->error = error;
    wsi_connecting_fail(conn, WSOCK_CAUSE_CONNECT, "cannot connect to %s%s: %s",
                        via_of(conn) != NULL ? "the proxy " : "",
                        wsi_address_text(&conn->opening->peer, address),
                        wsi_errno_text(error));
}

/* @param fd (consumed) connected to opening->peer. */
static void use_socket(struct wsock_conn *conn, int fd)
{
    if (wsi_stream_adopt(&conn->stream, conn->worker->loop, fd) < 0) {
        const int error = errno;

        wsi_socket_close(conn->worker->loop, fd);
        connect_failed(conn, error);
    } else {
        wsi_socket_local(conn->worker->loop, &conn->opening->local, fd);
        wsi_reaching_connected(conn);
    }
}

static void on_dialed(void *user, int fd, const struct wsi_address *address, int error)
{
    struct wsock_conn *conn = user;

    conn->opening->dial = NULL;
    conn->opening->peer = *address;
    if (fd < 0)
        connect_failed(conn, error);
    else
        use_socket(conn, fd);
}

static void start_with_given(struct wsock_conn *conn)
{
    const int fd = conn->opening->given;

    conn->opening->given = -1;
    use_socket(conn, fd);
}

/* What the option local_address says; of one family the first counts. @return false for
 * nothing. */
static bool given_sources(struct wsock_conn *conn, struct wsi_sources *out)
{
    struct wsi_remote *remote = wsi_remote_of(conn->owner);
    struct wsi_str list, element, text;
    struct wsi_address address, *at;
    char host[WSI_ADDRESS_TEXT_MAX];

    *out = (struct wsi_sources){0};
    pthread_mutex_lock(&remote->lock);
    list = wsi_str_of(wsi_option_text(&remote->profile.options, WSI_OPT_LOCAL_ADDRESS));
    while (wsi_http_list_next(&list, &element)) {
        uint16_t port = 0;

        if (wsi_override_address(element, &text, &port) != NULL)
            continue;
        snprintf(host, sizeof host, "%.*s", (int)text.len, text.ptr);
        if (!wsi_address_numeric(&address, host, port))
            continue;
        at = address.u.any.sa_family == AF_INET ? &out->v4 : &out->v6;
        if (at->len == 0)
            *at = address;
    }
    pthread_mutex_unlock(&remote->lock);
    return out->v4.len > 0 || out->v6.len > 0;
}

static void dial(struct wsock_conn *conn, const struct wsi_address *addresses,
                 size_t count)
{
    struct wsi_sources sources;
    const bool is_chosen = addresses[0].u.any.sa_family != AF_UNIX &&
                           given_sources(conn, &sources);

    if (wsi_dial_start(&conn->opening->dial, conn->worker->loop, addresses, count,
                       is_chosen ? &sources : NULL, on_dialed, conn) < 0)
        wsi_connecting_fail(conn, WSOCK_CAUSE_NO_MEMORY, NULL);
}

static void resolve_failed(struct wsock_conn *conn, const char *why)
{
    const struct wsi_via *via = via_of(conn);
    const struct wsi_str host = via != NULL ? via->host
                                            : wsi_destination_of(conn)->url.host;

    wsi_connecting_fail(conn, WSOCK_CAUSE_RESOLVE, "cannot resolve %s%.*s: %s",
                        via != NULL ? "the proxy " : "", (int)host.len, host.ptr, why);
}

void wsi_reaching_timeout(struct wsock_conn *conn)
{
    const struct wsi_via *via = via_of(conn);

    if (via == NULL)
        wsi_connecting_fail(conn, WSOCK_CAUSE_CONNECT_TIMEOUT, NULL);
    else
        wsi_connecting_fail(conn, WSOCK_CAUSE_CONNECT_TIMEOUT,
                            conn->opening->phase == WSI_OPENING_TUNNEL
                                ? "the proxy %s%.*s%s:%u let nothing through in time"
                                : "the proxy %s%.*s%s:%u was not reached in time",
                            via->host_is_ipv6 ? "[" : "", (int)via->host.len,
                            via->host.ptr, via->host_is_ipv6 ? "]" : "",
                            (unsigned)via->port);
}

static void on_resolved(void *user, const struct wsi_address *addresses, size_t count,
                        int error, const char *why)
{
    struct wsock_conn *conn = user;

    conn->opening->resolve = NULL;
    if (error != 0 || count == 0)
        resolve_failed(conn, error != 0 ? why : "no addresses");
    else
        dial(conn, addresses, count);
}

/* What the option resolve says. @param out WSI_RESOLVE_MAX of them. */
static size_t given_addresses(struct wsock_conn *conn, struct wsi_address *out,
                              struct wsi_str name, uint16_t port)
{
    struct wsi_remote *remote = wsi_remote_of(conn->owner);
    struct wsi_str list, address;
    char text[WSI_ADDRESS_TEXT_MAX];
    uint16_t to_port;
    size_t count = 0;

    pthread_mutex_lock(&remote->lock);
    list = wsi_str_of(wsi_option_text(&remote->profile.options, WSI_OPT_RESOLVE));
    while (count < WSI_RESOLVE_MAX &&
           wsi_override_next(&list, name, port, &address, &to_port)) {
        snprintf(text, sizeof text, "%.*s", (int)address.len, address.ptr);
        count += wsi_address_numeric(&out[count], text, to_port);
    }
    pthread_mutex_unlock(&remote->lock);
    return count;
}

static void start_with_host(struct wsock_conn *conn, struct wsi_str name, uint16_t port)
{
    struct wsi_address address, given[WSI_RESOLVE_MAX];
    const size_t count = given_addresses(conn, given, name, port);
    char host[WSI_HOST_FIELD_MAX];

    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    if (count > 0)
        dial(conn, given, count);
    else if (wsi_address_numeric(&address, host, port))
        dial(conn, &address, 1);
    else if (wsi_resolve_start(&conn->opening->resolve, conn->worker->loop, host, port,
                               on_resolved, conn) < 0)
        wsi_connecting_fail(conn, WSOCK_CAUSE_NO_MEMORY, NULL);
}

static void start_with_path(struct wsock_conn *conn, const struct wsi_url *url)
{
    struct wsi_address address;
    char path[WSI_HOST_FIELD_MAX];

    memcpy(path, url->path.ptr, url->path.len);
    path[url->path.len] = '\0';
    if (wsi_address_unix(&address, path) < 0)
        wsi_connecting_fail(conn, WSOCK_CAUSE_CONNECT,
                            "the path of the socket is too long");
    else
        dial(conn, &address, 1);
}

void wsi_reaching_start(struct wsock_conn *conn)
{
    wsi_list_append(&conn->worker->conns, &conn->node);
    wsi_reaching_begin(conn);
}

void wsi_reaching_begin(struct wsock_conn *conn)
{
    const struct wsi_url *url = &wsi_destination_of(conn)->url;

    conn->opening->phase = WSI_OPENING_CONNECT;
    if (atomic_load(&conn->close_begun)) {
        wsi_opening_give_up(conn);
        return;
    }
    if (atomic_load(&conn->worker->pool->stopping)) {
        wsi_opening_go_away(conn);
        return;
    }
    wsi_opening_set_deadline(
        conn, (uint64_t)wsi_option(&conn->profile->options, WSI_OPT_CONNECT_TIMEOUT));
    if (conn->opening->is_given) {
        start_with_given(conn);
        return;
    }
    if (url->is_unix) {
        start_with_path(conn, url);
        return;
    }
    if (wsi_tunneling_choose(conn) < 0)
        return;
    if (via_of(conn) != NULL)
        start_with_host(conn, via_of(conn)->host, via_of(conn)->port);
    else
        start_with_host(conn, url->host, url->port);
}

void wsi_reaching_connected(struct wsock_conn *conn)
{
    if (via_of(conn) != NULL)
        wsi_tunneling_start(conn);
    else
        wsi_reaching_through(conn);
}

void wsi_reaching_through(struct wsock_conn *conn)
{
    if (!wsi_destination_of(conn)->url.secure) {
        wsi_connecting_ask(conn);
        return;
    }
    wsi_opening_set_deadline(
        conn, (uint64_t)wsi_option(&conn->profile->options, WSI_OPT_TLS_TIMEOUT));
    wsi_conn_start_tls(conn);
}
