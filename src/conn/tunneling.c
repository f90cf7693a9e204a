/* SPDX-License-Identifier: MIT */
/* Through a proxy. */
#include "conn/tunneling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/moving.h"
#include "conn/opening.h"
#include "conn/reaching.h"
#include "conn/remote.h"
#include "core/alloc.h"
#include "core/errno_text.h"

/* ---- the environment ---- */

/* The first of these that is set and not empty. HTTP_PROXY in capitals is not among them:
 * in a CGI program it is what a header field of the request says. */
static const char *const plain[] = {"ws_proxy",  "WS_PROXY",  "http_proxy",
                                    "all_proxy", "ALL_PROXY", NULL};
static const char *const secure[] = {"wss_proxy",   "WSS_PROXY", "https_proxy",
                                     "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                     NULL};
static const char *const bypass[] = {"no_proxy", "NO_PROXY", NULL};

static const char *first_set(const char *const *names, const char **value)
{
    for (; *names != NULL; names++) {
        *value = getenv(*names);
        if (*value != NULL && **value != '\0')
            return *names;
    }
    return NULL;
}

/* @param variable (out) the name of what was read; NULL when nothing is set. */
static int read_first(char **out, const char **variable, const char *const *names)
{
    const char *value;

    *variable = first_set(names, &value);
    if (*variable == NULL)
        return 0;
    *out = wsi_strdup(value);
    return *out != NULL ? 0 : WSOCK_ENOMEM;
}

int wsi_environment_read(struct wsi_environment *environment)
{
    struct wsi_environment_proxy *ws = &environment->plain, *wss = &environment->secure;
    const char *variable;
    int r = read_first(&ws->url, &ws->variable, plain);

    if (r == 0)
        r = read_first(&wss->url, &wss->variable, secure);
    return r == 0 ? read_first(&environment->no_proxy, &variable, bypass) : r;
}

void wsi_environment_fini(struct wsi_environment *environment)
{
    wsi_free(environment->plain.url);
    wsi_free(environment->secure.url);
    wsi_free(environment->no_proxy);
}

/* ---- which one ---- */

/* What was chosen, on paper. */
struct choice {
    const char *proxy;  /* NULL: none */
    const char *origin; /* the option or variable that says so */
};

/* With the lock of the remote held. */
static struct choice choose(const struct wsi_remote *remote, const struct wsi_url *url)
{
    const struct wsi_options *options = &remote->profile.options;
    const char *proxy = wsi_option_text(options, WSI_OPT_PROXY);
    const char *no_proxy = wsi_option_text(options, WSI_OPT_NO_PROXY);
    struct choice choice = {proxy, "the option proxy"};

    if (*proxy == '\0') {
        const struct wsi_environment_proxy *said = url->secure
                                                       ? &remote->environment.secure
                                                       : &remote->environment.plain;

        choice.proxy = said->url;
        choice.origin = said->variable;
        if (*no_proxy == '\0' && remote->environment.no_proxy != NULL)
            no_proxy = remote->environment.no_proxy;
    }
    if (choice.proxy == NULL || strcmp(choice.proxy, "none") == 0 || url->is_unix ||
        wsi_via_is_bypassed(wsi_str_of(no_proxy), url->host))
        choice.proxy = NULL;
    return choice;
}

static struct wsi_way *way_new(const char *proxy, const struct wsi_url *url)
{
    const size_t size = strlen(proxy) + 1;
    struct wsi_way *way = wsi_zalloc(sizeof *way + size);

    if (way == NULL)
        return NULL;
    memcpy(way->proxy, proxy, size);
    way->tunnel.host = url->host;
    way->tunnel.host_is_ipv6 = url->host_is_ipv6;
    way->tunnel.port = url->port;
    return way;
}

int wsi_tunneling_choose(struct wsock_conn *conn)
{
    struct wsi_remote *remote = wsi_remote_of(conn->owner);
    const struct wsi_url *url = &wsi_destination_of(conn)->url;
    struct wsi_opening *opening = conn->opening;
    struct choice choice;
    const char *why;

    pthread_mutex_lock(&remote->lock);
    choice = choose(remote, url);
    if (choice.proxy != NULL)
        opening->way = way_new(choice.proxy, url);
    pthread_mutex_unlock(&remote->lock);
    if (choice.proxy == NULL)
        return 0;
    if (opening->way == NULL) {
        wsi_connecting_fail(conn, WSOCK_CAUSE_NO_MEMORY, NULL);
        return -1;
    }
    if (!wsi_via_parse(&opening->way->tunnel.via, wsi_str_of(opening->way->proxy),
                       &why)) {
        /* No proxy has done this. */
        wsi_conn_note_end(conn, WSOCK_CAUSE_PROXY, WSOCK_BY_US, 0, "the proxy of %s: %s",
                          choice.origin, why);
        wsi_connecting_fail(conn, WSOCK_CAUSE_PROXY, NULL);
        return -1;
    }
    return 0;
}

/* ---- through it ---- */

static void fail(struct wsock_conn *conn, int r, const struct wsi_tunnel_failure *failure)
{
    char proxy[WSI_ADDRESS_TEXT_MAX];

    if (r == WSOCK_ENOMEM) {
        wsi_connecting_fail(conn, WSOCK_CAUSE_NO_MEMORY, NULL);
        return;
    }
    conn->http_status = (uint16_t)failure->status;
    wsi_connecting_fail(conn, WSOCK_CAUSE_PROXY, "the proxy %s: %s",
                        wsi_address_text(&conn->opening->peer, proxy), failure->why);
}

void wsi_tunneling_start(struct wsock_conn *conn)
{
    struct wsi_tunnel_failure failure = {0};
    struct wsi_buf out = {0};
    int r = wsi_tunnel_begin(&conn->opening->way->tunnel, &out, &failure);

    conn->opening->phase = WSI_OPENING_TUNNEL;
    if (r == 0)
        r = wsi_opening_write(conn, out.data, out.len);
    wsi_buf_fini(&out);
    if (r < 0)
        fail(conn, r, &failure);
}

/* Nothing may wait to be sent when TLS begins: it would go in plain text. */
static int too_early(struct wsi_tunnel_failure *failure)
{
    snprintf(failure->why, sizeof failure->why, "it answers before it was asked");
    return WSOCK_EHANDSHAKE;
}

void wsi_tunneling_receive(struct wsock_conn *conn, const uint8_t *data, size_t len)
{
    struct wsi_opening *opening = conn->opening;
    struct wsi_tunnel_failure failure = {0};
    struct wsi_buf out = {0};
    int r = wsi_buf_append(&opening->in, data, len, SIZE_MAX / 2);
    int sent;

    if (r == 0)
        r = wsi_tunnel_receive(&opening->way->tunnel, &opening->in, &out,
                               &conn->worker->head, &failure);
    if (r > 0 && out.len > 0)
        r = too_early(&failure);
    sent = wsi_opening_write(conn, out.data, out.len);
    wsi_buf_fini(&out);
    if (r >= 0 && sent < 0)
        r = sent;
    if (r < 0)
        fail(conn, r, &failure);
    else if (r > 0 && opening->in.len > 0)
        wsi_connecting_fail(conn, WSOCK_CAUSE_HANDSHAKE,
                            "the server speaks before it was asked");
    else if (r > 0)
        wsi_reaching_through(conn);
}

void wsi_tunneling_lost(struct wsock_conn *conn, int error)
{
    char proxy[WSI_ADDRESS_TEXT_MAX];

    wsi_address_text(&conn->opening->peer, proxy);
    wsi_connecting_fail(conn, WSOCK_CAUSE_PROXY, "the proxy %s ended the connection%s%s",
                        proxy, error != 0 ? ": " : "",
                        error != 0 ? wsi_errno_text(error) : "");
}
