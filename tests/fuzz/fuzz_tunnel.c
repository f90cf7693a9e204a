/* SPDX-License-Identifier: MIT */
/*
 * A proxy: a line with its URL, a line with a server's host and port, a line with a list
 * of who needs no proxy, then what the proxy answers. The list means what a plain reading
 * of it does; what is said to the proxy can be read again; its answer means the same
 * however it is cut, and ends where a plain reading of its bytes says.
 */
#include "head.h"

#include <wsock/error.h>

#include "proto/authority.h"
#include "proto/credentials.h"
#include "proto/ip.h"
#include "proto/tunnel.h"

/* Take a line, in a block of exactly its size. */
static struct wsi_str take_line(const uint8_t **data, size_t *len)
{
    const uint8_t *end = *len > 0 ? memchr(*data, '\n', *len) : NULL;
    const size_t size = end != NULL ? (size_t)(end - *data) : *len;
    const struct wsi_str line = {fuzz_copy(*data, size), size};

    *data += size + (end != NULL);
    *len -= size + (end != NULL);
    return line;
}

static void drop(struct wsi_str line)
{
    free((void *)(uintptr_t)line.ptr);
}

/* ---- who needs none ---- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* From behind, letter by letter. */
static bool names(struct wsi_str entry, struct wsi_str host)
{
    if (entry.len > 0 && entry.ptr[entry.len - 1] == '.')
        entry.len--;
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (entry.len > 0 && entry.ptr[0] == '.')
        entry = (struct wsi_str){entry.ptr + 1, entry.len - 1};
    if (entry.len == 0)
        return false;
    while (entry.len > 0 && host.len > 0 &&
           lower(entry.ptr[entry.len - 1]) == lower(host.ptr[host.len - 1])) {
        entry.len--;
        host.len--;
    }
    return entry.len == 0 && (host.len == 0 || host.ptr[host.len - 1] == '.');
}

/* As a list of networks with that one element. */
static bool has(struct wsi_str entry, const struct wsi_ip *ip)
{
    struct wsi_networks networks = {0};
    struct wsi_list_error error;
    bool found;

    if (entry.len > 2 && entry.ptr[0] == '[' && entry.ptr[entry.len - 1] == ']')
        entry = (struct wsi_str){entry.ptr + 1, entry.len - 2};
    if (entry.len == 0 || wsi_networks_parse(&networks, entry, &error) < 0)
        return false;
    found = wsi_networks_have(&networks, ip);
    wsi_networks_fini(&networks);
    return found;
}

static void check_list(struct wsi_str list, struct wsi_str host)
{
    struct wsi_ip ip;
    const bool is_ip = wsi_ip_parse(&ip, host);
    bool expected = false;
    size_t start = 0;

    for (size_t i = 0; i <= list.len; i++) {
        const struct wsi_str entry = {list.ptr + start, i - start};

        if (i < list.len && list.ptr[i] != ',' && list.ptr[i] != ' ' &&
            list.ptr[i] != '\t')
            continue;
        start = i + 1;
        expected = expected || (entry.len == 1 && entry.ptr[0] == '*') ||
                   (is_ip ? has(entry, &ip) : names(entry, host));
    }
    CHECK(wsi_via_is_bypassed(list, host) == expected);
}

/* ---- talking ---- */

struct talk {
    struct wsi_tunnel tunnel;
    struct wsi_buf in, out;
    struct wsi_tunnel_failure failure;
    int r;
};

static void begin(struct talk *talk, const struct wsi_tunnel *tunnel)
{
    *talk = (struct talk){.tunnel = *tunnel};
    CHECK(wsi_tunnel_begin(&talk->tunnel, &talk->out, &talk->failure) == 0);
}

static void end(struct talk *talk)
{
    wsi_buf_fini(&talk->in);
    wsi_buf_fini(&talk->out);
}

static void feed(struct talk *talk, const uint8_t *data, size_t len)
{
    static struct wsi_http_head head;

    CHECK(wsi_buf_append(&talk->in, data, len, SIZE_MAX / 2) == 0);
    if (talk->r == 0)
        talk->r = wsi_tunnel_receive(&talk->tunnel, &talk->in, &talk->out, &head,
                                     &talk->failure);
    CHECK(talk->r == 0 || talk->r == 1 || talk->r == WSOCK_EHANDSHAKE);
    CHECK((talk->r < 0) == (talk->failure.why[0] != '\0'));
    CHECK(strnlen(talk->failure.why, sizeof talk->failure.why) <
          sizeof talk->failure.why);
}

static void check_same(const struct talk *a, const struct talk *b)
{
    CHECK(a->r == b->r && a->failure.status == b->failure.status);
    CHECK(strcmp(a->failure.why, b->failure.why) == 0);
    CHECK(a->out.len == b->out.len);
    CHECK(a->out.len == 0 || memcmp(a->out.data, b->out.data, a->out.len) == 0);
    CHECK(a->r <= 0 || a->in.len == b->in.len);
}

/* ---- what is said ---- */

static void parse_connect(const struct wsi_buf *out, struct wsi_http_head *head)
{
    struct wsi_http_scan scan = {0};
    struct wsi_http_refusal refusal;

    CHECK(wsi_http_scan(&scan, out->data, out->len, FUZZ_WRITE_MAX, &refusal) ==
          (ptrdiff_t)out->len);
    CHECK(wsi_http_parse_request(out->data, out->len, FUZZ_FIELDS_MAX, head, &refusal) ==
          0);
}

static void check_connect(const struct talk *talk)
{
    static struct wsi_http_head head;
    const struct wsi_via *via = &talk->tunnel.via;
    const struct wsi_http_field *field;
    struct wsi_authority authority;
    const char *why;
    bool has_user;

    parse_connect(&talk->out, &head);
    CHECK(wsi_str_equal(head.method, WSI_STR("CONNECT")) && head.minor == 1);
    CHECK(wsi_authority_parse(head.target, &authority, &why));
    CHECK(wsi_str_equal(authority.host, talk->tunnel.host));
    CHECK(authority.port == talk->tunnel.port);
    CHECK(wsi_str_equal(wsi_http_find(&head, WSI_STR("Host"), 0)->value, head.target));
    field = wsi_http_find(&head, WSI_STR("Proxy-Authorization"), 0);
    has_user = via->user.len > 0 || via->password.len > 0;
    CHECK((field != NULL) == has_user && head.count == 1u + has_user);
    CHECK(field == NULL || wsi_basic_size(field->value) > 0);
}

/* Where the answer of SOCKS ends; 0 for one that is not whole or refuses. */
static size_t end_of_socks(const uint8_t *data, size_t len, bool has_user)
{
    size_t at = 2;

    if (len < 2 || data[0] != 5 || (data[1] != 0 && !(data[1] == 2 && has_user)))
        return 0;
    if (data[1] == 2) {
        if (len < 4 || data[2] != 1 || data[3] != 0)
            return 0;
        at = 4;
    }
    if (len - at < 5 || data[at] != 5 || data[at + 1] != 0)
        return 0;
    if (data[at + 3] == 1)
        at += 10;
    else if (data[at + 3] == 4)
        at += 22;
    else if (data[at + 3] == 3)
        at += 7u + data[at + 4];
    else
        return 0;
    return at <= len ? at : 0;
}

/* By the ends of heads alone: behind the first that is no interim answer, if it is whole.
 */
static size_t end_of_heads(const uint8_t *data, size_t len, bool *opens)
{
    const uint8_t *found;
    size_t at = 0;

    *opens = false;
    while ((found = memmem(data + at, len - at, "\r\n\r\n", 4)) != NULL) {
        const uint8_t *status = data + at + 9;
        const size_t size = (size_t)(found - data) - at;

        at += size + 4;
        if (size < 12 || status[0] != '1' || memcmp(status, "101", 3) == 0) {
            *opens = size >= 12 && status[0] == '2';
            return at;
        }
    }
    return 0;
}

static void check_end(const struct talk *talk, const uint8_t *data, size_t len)
{
    const struct wsi_via *via = &talk->tunnel.via;
    const size_t taken = len - talk->in.len;
    bool opens;
    size_t end;

    if (via->kind == WSI_VIA_SOCKS5) {
        end = end_of_socks(data, len, via->user.len > 0 || via->password.len > 0);
        CHECK((talk->r == 1 ? taken : 0) == end);
        return;
    }
    end = end_of_heads(data, len, &opens);
    CHECK(talk->r != 0 || end == 0);
    CHECK(talk->r != 1 || (opens && end == taken && end <= WSI_TUNNEL_HEAD_MAX));
}

static void check_talk(const struct wsi_tunnel *tunnel, const uint8_t *data, size_t len)
{
    struct talk whole, bytes, halves;

    begin(&whole, tunnel);
    begin(&bytes, tunnel);
    begin(&halves, tunnel);
    if (tunnel->via.kind == WSI_VIA_HTTP)
        check_connect(&whole);
    feed(&whole, data, len);
    for (size_t i = 0; i < len; i++)
        feed(&bytes, data + i, 1);
    feed(&halves, data, len / 2);
    feed(&halves, data + len / 2, len - len / 2);
    check_same(&whole, &bytes);
    check_same(&whole, &halves);
    check_end(&whole, data, len);
    end(&whole);
    end(&bytes);
    end(&halves);
}

/* What was read, written plainly, is read as the same. */
static void check_via(const struct wsi_via *via)
{
    char text[8192];
    const char *why = NULL;
    struct wsi_via again;

    CHECK(via->host.len > 0 && via->host.len <= WSI_HOST_MAX && via->port > 0);
    snprintf(text, sizeof text, "%s://%.*s:%.*s@%s%.*s%s:%u",
             via->kind == WSI_VIA_HTTP ? "http" : "socks5", (int)via->user.len,
             via->user.len > 0 ? via->user.ptr : "", (int)via->password.len,
             via->password.len > 0 ? via->password.ptr : "", via->host_is_ipv6 ? "[" : "",
             (int)via->host.len, via->host.ptr, via->host_is_ipv6 ? "]" : "", via->port);
    if (via->user.len > 0 && memchr(via->user.ptr, '\0', via->user.len) != NULL)
        return;
    if (via->password.len > 0 &&
        memchr(via->password.ptr, '\0', via->password.len) != NULL)
        return;
    CHECK(wsi_via_parse(&again, wsi_str_of(text), &why));
    CHECK(wsi_str_equal(again.host, via->host) && again.port == via->port &&
          again.kind == via->kind && again.host_is_ipv6 == via->host_is_ipv6);
    CHECK(wsi_str_equal(again.user, via->user) &&
          wsi_str_equal(again.password, via->password));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct wsi_str url = take_line(&data, &len), place = take_line(&data, &len),
                         list = take_line(&data, &len);
    struct wsi_tunnel tunnel = {.via = {.port = 0}};
    struct wsi_authority server;
    const char *why = NULL;

    if (!wsi_via_parse(&tunnel.via, url, &why)) {
        CHECK(why != NULL && tunnel.via.port == 0);
    } else if (wsi_authority_parse(place, &server, &why)) {
        uint8_t *answer = fuzz_copy(data, len);

        check_via(&tunnel.via);
        check_list(list, server.host);
        tunnel.host = server.host;
        tunnel.host_is_ipv6 = server.is_ipv6;
        tunnel.port = server.port;
        check_talk(&tunnel, answer, len);
        free(answer);
    }
    drop(url);
    drop(place);
    drop(list);
    return 0;
}
