/* SPDX-License-Identifier: MIT */
/*
 * Speaking with proxies.
 *
 *   http    CONNECT --> 2xx
 *   socks5  METHODS --> [USER --> accepted] --> CONNECT --> succeeded
 */
#include "proto/tunnel.h"

#include <string.h>

#include <wsock/error.h>

#include "proto/authority.h"
#include "proto/credentials.h"
#include "proto/decimal.h"
#include "proto/ip.h"
#include "proto/url.h"

enum { SOCKS_CREDENTIAL_MAX = 255, FIELDS_MAX = 100 };

/* Of struct wsi_tunnel.step: what is waited for. */
enum { STEP_HEAD, STEP_METHOD, STEP_ACCEPTED, STEP_REPLY };

/* ---- which proxy ---- */

static bool take_scheme(struct wsi_str *text, struct wsi_via *via, const char **why)
{
    static const struct {
        struct wsi_str name;
        uint8_t kind;
    } schemes[] = {
        {{"http://", 7}, WSI_VIA_HTTP},
        {{"socks5://", 9}, WSI_VIA_SOCKS5},
        {{"socks5h://", 10}, WSI_VIA_SOCKS5},
    };

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const struct wsi_str name = schemes[i].name;

        if (text->len < name.len ||
            !wsi_str_equal_nocase((struct wsi_str){text->ptr, name.len}, name))
            continue;
        via->kind = schemes[i].kind;
        text->ptr += name.len;
        text->len -= name.len;
        return true;
    }
    *why = "the scheme of a proxy is http, socks5 or socks5h";
    return memmem(text->ptr, text->len, "://", 3) == NULL;
}

/* ---- who asks ---- */

static bool has_credentials(const struct wsi_via *via)
{
    return via->user.len > 0 || via->password.len > 0;
}

/* @return NULL, or why these cannot be said to such a proxy. */
static const char *read_credentials(const struct wsi_via *via,
                                    struct wsi_credentials *out)
{
    const char *why = wsi_credentials_decode(out, via->user, via->password);

    if (why != NULL)
        return why;
    if (via->kind != WSI_VIA_SOCKS5)
        return wsi_basic_refuses(out);
    if (out->user_len > SOCKS_CREDENTIAL_MAX || out->password_len > SOCKS_CREDENTIAL_MAX)
        return "a user or password of SOCKS is longer than 255 bytes";
    return out->user_len == 0 && out->password_len > 0
               ? "a password of SOCKS needs a user"
               : NULL;
}

/* ---- by its URL ---- */

/* "user[:password]@", if it is there. */
static void take_user(struct wsi_str *text, struct wsi_via *via)
{
    const char *at = memrchr(text->ptr, '@', text->len);
    const char *colon;

    if (at == NULL)
        return;
    via->user = (struct wsi_str){text->ptr, (size_t)(at - text->ptr)};
    text->len -= via->user.len + 1;
    text->ptr = at + 1;
    colon = memchr(via->user.ptr, ':', via->user.len);
    if (colon == NULL)
        return;
    via->password = (struct wsi_str){colon + 1, (size_t)(at - colon - 1)};
    via->user.len = (size_t)(colon - via->user.ptr);
}

bool wsi_via_parse(struct wsi_via *out, struct wsi_str text, const char **why)
{
    struct wsi_authority authority;
    struct wsi_credentials credentials;
    struct wsi_via via = {0};

    if (!take_scheme(&text, &via, why))
        return false;
    if (text.len > 0 && text.ptr[text.len - 1] == '/')
        text.len--;
    take_user(&text, &via);
    if (!wsi_authority_parse(text, &authority, why))
        return false;
    via.host = authority.host;
    via.host_is_ipv6 = authority.is_ipv6;
    via.port = via.kind == WSI_VIA_HTTP ? 80 : 1080;
    if (authority.port_given)
        via.port = authority.port;
    if (via.port == 0) {
        *why = "port 0 cannot be connected to";
        return false;
    }
    *why = read_credentials(&via, &credentials);
    if (*why != NULL)
        return false;
    *out = via;
    return true;
}

/* ---- or none ---- */

/* "example.com." is the same name as "example.com". */
static struct wsi_str without_root(struct wsi_str name)
{
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    return name;
}

/* An entry stands for a host and all below it, with a dot before it or without. */
static bool has_name(struct wsi_str entry, struct wsi_str host)
{
    host = without_root(host);
    entry = without_root(entry);
    if (entry.len > 0 && entry.ptr[0] == '.') {
        entry.ptr++;
        entry.len--;
    }
    return entry.len > 0 &&
           (wsi_str_equal_nocase(host, entry) || wsi_host_is_below(host, entry));
}

static bool has_address(struct wsi_str entry, const struct wsi_ip *ip)
{
    struct wsi_network network;

    if (entry.len > 2 && entry.ptr[0] == '[' && entry.ptr[entry.len - 1] == ']')
        entry = (struct wsi_str){entry.ptr + 1, entry.len - 2};
    return wsi_network_parse(&network, entry) == NULL && wsi_network_has(&network, ip);
}

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

static bool next_entry(struct wsi_str *list, struct wsi_str *entry)
{
    while (list->len > 0 && is_separator(list->ptr[0])) {
        list->ptr++;
        list->len--;
    }
    *entry = (struct wsi_str){list->ptr, 0};
    while (list->len > 0 && !is_separator(list->ptr[0])) {
        list->ptr++;
        list->len--;
        entry->len++;
    }
    return entry->len > 0;
}

bool wsi_via_is_bypassed(struct wsi_str list, struct wsi_str host)
{
    struct wsi_str entry;
    struct wsi_ip ip;
    const bool is_ip = wsi_ip_parse(&ip, host);

    while (next_entry(&list, &entry)) {
        if (wsi_str_equal(entry, WSI_STR("*")) ||
            (is_ip ? has_address(entry, &ip) : has_name(entry, host)))
            return true;
    }
    return false;
}

/* ---- saying it ---- */

/* What does not fit is cut off. */
static void explain(struct wsi_tunnel_failure *failure, struct wsi_str text)
{
    const size_t len = strlen(failure->why);
    const size_t room = sizeof failure->why - 1 - len;
    const size_t n = text.len < room ? text.len : room;

    memcpy(failure->why + len, text.ptr, n);
    failure->why[len + n] = '\0';
}

static int fail(struct wsi_tunnel_failure *failure, int code, const char *why)
{
    failure->status = 0;
    failure->why[0] = '\0';
    explain(failure, wsi_str_of(why));
    return code;
}

static int append(struct wsi_buf *out, const void *data, size_t len)
{
    return wsi_buf_append(out, data, len, SIZE_MAX / 2);
}

static int append_all(struct wsi_buf *out, const struct wsi_str *parts, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++)
        r = append(out, parts[i].ptr, parts[i].len);
    return r;
}

static int begin_http(const struct wsi_tunnel *tunnel, const struct wsi_credentials *c,
                      struct wsi_buf *out)
{
    const struct wsi_str open = tunnel->host_is_ipv6 ? WSI_STR("[") : WSI_STR("");
    const struct wsi_str close = tunnel->host_is_ipv6 ? WSI_STR("]:") : WSI_STR(":");
    char basic[WSI_BASIC_SIZE], digits[WSI_DECIMAL_MAX];
    const struct wsi_str port = wsi_decimal(digits, tunnel->port);
    const bool has_user = has_credentials(&tunnel->via);
    const struct wsi_str parts[] = {
        WSI_STR("CONNECT "),
        open,
        tunnel->host,
        close,
        port,
        WSI_STR(" HTTP/1.1\r\nHost: "),
        open,
        tunnel->host,
        close,
        port,
        has_user ? WSI_STR("\r\nProxy-Authorization: ") : WSI_STR(""),
        has_user ? wsi_basic_make(basic, c) : WSI_STR(""),
        WSI_STR("\r\n\r\n"),
    };

    return append_all(out, parts, sizeof parts / sizeof parts[0]);
}

int wsi_tunnel_begin(struct wsi_tunnel *tunnel, struct wsi_buf *out,
                     struct wsi_tunnel_failure *failure)
{
    static const uint8_t methods[] = {5, 2, 0, 2}, no_user[] = {5, 1, 0};
    struct wsi_credentials c;
    const char *why = read_credentials(&tunnel->via, &c);

    if (why == NULL && tunnel->host.len > WSI_HOST_MAX)
        why = "the server's name is too long";
    if (why != NULL)
        return fail(failure, WSOCK_EINVAL, why);
    if (tunnel->via.kind == WSI_VIA_HTTP) {
        tunnel->step = STEP_HEAD;
        return begin_http(tunnel, &c, out);
    }
    tunnel->step = STEP_METHOD;
    return has_credentials(&tunnel->via) ? append(out, methods, sizeof methods)
                                         : append(out, no_user, sizeof no_user);
}

/* ---- http ---- */

static int refused(const struct wsi_http_head *head, struct wsi_tunnel_failure *failure)
{
    char digits[WSI_DECIMAL_MAX];

    fail(failure, WSOCK_EHANDSHAKE, "it answered ");
    explain(failure, wsi_decimal(digits, head->status));
    explain(failure, WSI_STR(" "));
    explain(failure, head->reason);
    failure->status = head->status;
    return WSOCK_EHANDSHAKE;
}

/* Any number of interim answers may come first (RFC 9110 section 15.2), as far as all
 * heads together keep to the limit. 101 is none of them: no upgrade was asked for. */
static int receive_head(struct wsi_tunnel *tunnel, struct wsi_buf *in,
                        struct wsi_http_head *head, struct wsi_tunnel_failure *failure)
{
    struct wsi_http_refusal refusal;
    ptrdiff_t len;

    while ((len = wsi_http_scan(&tunnel->scan, in->data, in->len,
                                WSI_TUNNEL_HEAD_MAX - tunnel->spent, &refusal)) > 0) {
        if (wsi_http_parse_connect_response(in->data, (size_t)len, FIELDS_MAX, head,
                                            &refusal) < 0)
            return fail(failure, WSOCK_EHANDSHAKE, refusal.why);
        if (head->status == 101 || head->status > 299)
            return refused(head, failure);
        wsi_buf_consume(in, (size_t)len);
        if (head->status >= 200)
            return 1;
        tunnel->spent += (size_t)len;
        tunnel->scan = (struct wsi_http_scan){0};
    }
    return len < 0 ? fail(failure, WSOCK_EHANDSHAKE, refusal.why) : 0;
}

/* ---- socks5 ---- */

static int ask_socks(struct wsi_tunnel *tunnel, struct wsi_buf *out)
{
    uint8_t request[4 + 1 + WSI_HOST_MAX + 2] = {5, 1, 0};
    size_t len = 4;
    struct wsi_ip ip;

    if (wsi_ip_parse(&ip, tunnel->host)) {
        const size_t size = wsi_ip_is_v4(&ip) ? 4 : 16;

        request[3] = size == 4 ? 1 : 4;
        memcpy(request + len, ip.bytes + 16 - size, size);
        len += size;
    } else {
        request[3] = 3;
        request[len++] = (uint8_t)tunnel->host.len;
        memcpy(request + len, tunnel->host.ptr, tunnel->host.len);
        len += tunnel->host.len;
    }
    request[len++] = (uint8_t)(tunnel->port >> 8);
    request[len++] = (uint8_t)tunnel->port;
    tunnel->step = STEP_REPLY;
    return append(out, request, len);
}

static int tell_user(struct wsi_tunnel *tunnel, struct wsi_buf *out,
                     struct wsi_tunnel_failure *failure)
{
    uint8_t message[3 + 2 * SOCKS_CREDENTIAL_MAX];
    struct wsi_credentials c;
    size_t len = 0;
    const char *why = read_credentials(&tunnel->via, &c);

    if (why != NULL)
        return fail(failure, WSOCK_EHANDSHAKE, why);
    message[len++] = 1;
    message[len++] = (uint8_t)c.user_len;
    memcpy(message + len, c.user, c.user_len);
    len += c.user_len;
    message[len++] = (uint8_t)c.password_len;
    memcpy(message + len, c.password, c.password_len);
    len += c.password_len;
    tunnel->step = STEP_ACCEPTED;
    return append(out, message, len);
}

static int receive_method(struct wsi_tunnel *tunnel, struct wsi_buf *in,
                          struct wsi_buf *out, struct wsi_tunnel_failure *failure)
{
    uint8_t version, method;

    if (in->len < 2)
        return 0;
    version = in->data[0];
    method = in->data[1];
    wsi_buf_consume(in, 2);
    if (version != 5)
        return fail(failure, WSOCK_EHANDSHAKE, "it does not speak SOCKS 5");
    if (method == 0)
        return ask_socks(tunnel, out);
    if (method == 2 && has_credentials(&tunnel->via))
        return tell_user(tunnel, out, failure);
    return fail(failure, WSOCK_EHANDSHAKE,
                has_credentials(&tunnel->via) ? "it takes no user and password"
                                              : "it wants a user and a password");
}

static int receive_accepted(struct wsi_tunnel *tunnel, struct wsi_buf *in,
                            struct wsi_buf *out, struct wsi_tunnel_failure *failure)
{
    bool accepted;

    if (in->len < 2)
        return 0;
    accepted = in->data[0] == 1 && in->data[1] == 0;
    wsi_buf_consume(in, 2);
    return accepted ? ask_socks(tunnel, out)
                    : fail(failure, WSOCK_EHANDSHAKE,
                           "it does not accept the user or the password");
}

static const char *reply_text(unsigned reply)
{
    static const char *const texts[] = {
        "it failed",
        "its rules do not allow the connection",
        "the network cannot be reached from there",
        "the server cannot be reached from there",
        "the server refused the connection",
        "the connection took too long there",
        "it cannot connect",
        "it does not know this kind of address",
    };

    return reply >= 1 && reply <= sizeof texts / sizeof texts[0]
               ? texts[reply - 1]
               : "it failed for a reason that it did not name";
}

/* VER REP RSV ATYP BND.ADDR BND.PORT */
static int receive_reply(struct wsi_buf *in, struct wsi_tunnel_failure *failure)
{
    size_t len;

    if (in->len >= 2 && in->data[0] != 5)
        return fail(failure, WSOCK_EHANDSHAKE, "it does not speak SOCKS 5");
    if (in->len >= 2 && in->data[1] != 0)
        return fail(failure, WSOCK_EHANDSHAKE, reply_text(in->data[1]));
    if (in->len < 5)
        return 0;
    switch (in->data[3]) {
    case 1:
        len = 4 + 4 + 2;
        break;
    case 3:
        len = 4 + 1 + (size_t)in->data[4] + 2;
        break;
    case 4:
        len = 4 + 16 + 2;
        break;
    default:
        return fail(failure, WSOCK_EHANDSHAKE, "its answer has an unknown address");
    }
    if (in->len < len)
        return 0;
    wsi_buf_consume(in, len);
    return 1;
}

int wsi_tunnel_receive(struct wsi_tunnel *tunnel, struct wsi_buf *in, struct wsi_buf *out,
                       struct wsi_http_head *head, struct wsi_tunnel_failure *failure)
{
    int r = 0;

    /* What a proxy says ahead of being asked is taken when its time has come. */
    for (uint8_t step = UINT8_MAX; r == 0 && step != tunnel->step;) {
        step = tunnel->step;
        switch (step) {
        case STEP_HEAD:
            r = receive_head(tunnel, in, head, failure);
            break;
        case STEP_METHOD:
            r = receive_method(tunnel, in, out, failure);
            break;
        case STEP_ACCEPTED:
            r = receive_accepted(tunnel, in, out, failure);
            break;
        default:
            r = receive_reply(in, failure);
            break;
        }
    }
    return r;
}
