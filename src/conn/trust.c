/* SPDX-License-Identifier: MIT */
/*
 * Whom to believe. The socket says who connected. If that is a proxy that is listed for
 * the PROXY protocol, its header says who the client is; if that again is a proxy that is
 * listed for forwarded fields, those of the request do. What is said by anybody else is
 * a header field like others.
 */
#include "conn/trust.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/opening.h"
#include "conn/service.h"
#include "core/alloc.h"
#include "proto/forwarded.h"
#include "proto/proxy.h"

/* ---- the lists ---- */

int wsi_trust_load(struct wsi_trust *trust, const struct wsi_options *options)
{
    struct wsi_trust found = {0};
    struct wsi_list_error error;
    int r = wsi_networks_parse(
        &found.proxy_protocol,
        wsi_str_of(wsi_option_text(options, WSI_OPT_PROXY_PROTOCOL_FROM)), &error);

    if (r == 0)
        r = wsi_networks_parse(
            &found.forwarded,
            wsi_str_of(wsi_option_text(options, WSI_OPT_TRUST_FORWARDED_FROM)), &error);
    if (r < 0) {
        wsi_trust_fini(&found);
        return r;
    }
    wsi_trust_fini(trust);
    *trust = found;
    return 0;
}

void wsi_trust_fini(struct wsi_trust *trust)
{
    wsi_networks_fini(&trust->proxy_protocol);
    wsi_networks_fini(&trust->forwarded);
}

/* ---- addresses ---- */

static bool ip_of(const struct wsi_address *address, struct wsi_ip *out)
{
    const struct sockaddr_in *in4 = (const void *)&address->u;
    const struct sockaddr_in6 *in6 = (const void *)&address->u;

    switch (address->u.any.sa_family) {
    case AF_INET:
        *out = wsi_ip_v4((const void *)&in4->sin_addr);
        return true;
    case AF_INET6:
        memcpy(out->bytes, &in6->sin6_addr, sizeof out->bytes);
        return true;
    default:
        return false;
    }
}

/* Both families in one socket address: its text is that of the family it is of. */
static void set_ip(struct wsi_address *out, const struct wsi_ip *ip, uint16_t port)
{
    struct sockaddr_in6 *in6 = (void *)&out->u;

    memset(out, 0, sizeof *out);
    out->len = sizeof *in6;
    in6->sin6_family = AF_INET6;
    memcpy(&in6->sin6_addr, ip->bytes, sizeof ip->bytes);
    in6->sin6_port = htons(port);
}

static void set_unix(struct wsi_address *out, struct wsi_str path)
{
    char text[WSI_ADDRESS_TEXT_MAX];

    snprintf(text, sizeof text, "%.*s", (int)path.len, path.ptr);
    if (wsi_address_unix(out, text) == 0)
        return;
    memset(out, 0, sizeof *out);
    out->len = sizeof out->u.any.sa_family;
    out->u.any.sa_family = AF_UNIX;
}

static bool lists(const struct wsi_networks *networks, const struct wsi_address *address)
{
    struct wsi_ip ip;

    if (ip_of(address, &ip))
        return wsi_networks_have(networks, &ip);
    return networks->has_unix && address->u.any.sa_family == AF_UNIX;
}

bool wsi_trust_wants_header(const struct wsi_trust *trust, const struct wsi_address *peer)
{
    return lists(&trust->proxy_protocol, peer);
}

/* ---- the PROXY header ---- */

static void fail(struct wsock_conn *conn, int cause, const char *why)
{
    char peer[WSI_ADDRESS_TEXT_MAX];

    wsi_log(&conn->worker->pool->log, WSOCK_LOG_WARN, wsi_conn_subject(conn).text,
            "%s is listed in proxy_protocol_from and cut off: %s",
            wsi_address_text(&conn->opening->peer, peer), why);
    wsi_conn_end(conn, WSI_CLOSE_RESET, cause, WSOCK_BY_US, NULL);
}

void wsi_trust_timeout(struct wsock_conn *conn)
{
    fail(conn, WSOCK_CAUSE_HANDSHAKE_TIMEOUT, "no PROXY header came in time");
}

static int take(struct wsi_opening *opening, const struct wsi_proxy *proxy)
{
    opening->is_proxy = proxy->kind == WSI_PROXY_ITSELF;
    opening->is_secure = opening->is_secure || proxy->is_secure;
    if (proxy->kind == WSI_PROXY_ITSELF)
        return 0;
    opening->remote = wsi_alloc(sizeof *opening->remote);
    if (opening->remote == NULL)
        return WSOCK_ENOMEM;
    if (proxy->kind == WSI_PROXY_IP)
        set_ip(opening->remote, &proxy->ip, proxy->port);
    else
        set_unix(opening->remote, proxy->path);
    return 0;
}

static void no_memory(struct wsock_conn *conn)
{
    wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US, NULL);
}

void wsi_trust_receive(struct wsock_conn *conn, const uint8_t *data, size_t len)
{
    struct wsi_opening *opening = conn->opening;
    const char *why = NULL;
    struct wsi_proxy proxy;
    ptrdiff_t header_len;

    if (wsi_buf_append(&opening->in, data, len, SIZE_MAX / 2) < 0) {
        no_memory(conn);
        return;
    }
    header_len = wsi_proxy_parse(&proxy, opening->in.data, opening->in.len, &why);
    if (header_len < 0) {
        fail(conn, WSOCK_CAUSE_HANDSHAKE, why);
        return;
    }
    if (header_len == 0)
        return;
    if (take(opening, &proxy) < 0) {
        no_memory(conn);
        return;
    }
    wsi_buf_consume(&opening->in, (size_t)header_len);
    wsi_opening_begin(conn);
}

/* ---- requests ---- */

bool wsi_trust_knows_client(const struct wsock_conn *conn, struct wsi_ip *ip)
{
    const struct wsi_trust *trust = &wsi_service_of(conn->owner)->trust;
    const struct wsi_address *remote = wsi_opening_remote(conn->opening);

    return !conn->opening->is_proxy && !lists(&trust->forwarded, remote) &&
           ip_of(remote, ip);
}

/* What a proxy forwards has often no port. */
static void forwarded_text(const struct wsi_forwarded *said, char *out)
{
    struct wsi_address address;

    set_ip(&address, &said->ip, said->port);
    wsi_address_text(&address, out);
    if (said->port == 0)
        *strrchr(out, ':') = '\0';
}

void wsi_trust_tell(struct wsi_told *out, const struct wsock_conn *conn,
                    const struct wsi_http_head *head)
{
    const struct wsi_trust *trust = &wsi_service_of(conn->owner)->trust;
    const struct wsi_opening *opening = conn->opening;
    const struct wsi_address *remote = wsi_opening_remote(opening);
    struct wsi_forwarded said;

    wsi_address_text(&opening->peer, out->peer);
    wsi_address_text(remote, out->remote);
    out->whence = (struct wsi_whence){
        .remote = out->remote,
        .peer = out->peer,
        .local = wsi_address_text(&opening->local, out->local),
        .is_secure = opening->is_secure,
    };
    out->by_fields = false;
    /* For a client that the proxy in front does not know, nobody speaks. */
    if (opening->is_proxy || !lists(&trust->forwarded, remote))
        return;
    wsi_forwarded_read(&said, head, &trust->forwarded);
    out->by_fields = said.has_ip;
    out->ip = said.ip;
    if (said.has_ip)
        forwarded_text(&said, out->remote);
    out->whence.host = said.host;
    if (said.has_scheme)
        out->whence.is_secure = said.is_secure;
}
