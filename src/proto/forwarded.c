/* SPDX-License-Identifier: MIT */
/* Lists to which each proxy adds at the end, read from there. */
#include "proto/forwarded.h"

#include "proto/authority.h"
#include "proto/http_line.h"

/* All fields of a name as one list, from its end. */
struct backwards {
    const struct wsi_http_head *head;
    struct wsi_str name;
    unsigned next; /* fields before this one were not looked at */
    struct wsi_str rest;
};

static struct backwards list_of(const struct wsi_http_head *head, const char *name)
{
    return (struct backwards){
        .head = head, .name = wsi_str_of(name), .next = head->count};
}

static bool take_field(struct backwards *list)
{
    while (list->next > 0) {
        const struct wsi_http_field *field = &list->head->fields[--list->next];

        if (wsi_str_equal_nocase(field->name, list->name)) {
            list->rest = field->value;
            return true;
        }
    }
    return false;
}

/* The last element that was not taken yet; empty ones count for nothing. */
static bool take_last(struct backwards *list, struct wsi_str *element)
{
    for (;;) {
        struct wsi_str last = list->rest;
        size_t start = last.len;

        if (last.len == 0) {
            if (!take_field(list))
                return false;
            continue;
        }
        while (start > 0 && last.ptr[start - 1] != ',')
            start--;
        list->rest.len = start > 0 ? start - 1 : 0;
        *element = wsi_http_trim((struct wsi_str){last.ptr + start, last.len - start});
        if (element->len > 0)
            return true;
    }
}

/* An address with or without a port, IPv6 with or without brackets where it has none. */
static bool parse_node(struct wsi_ip *ip, uint16_t *port, struct wsi_str text)
{
    struct wsi_authority authority;
    const char *why;

    *port = 0;
    if (wsi_ip_parse(ip, text))
        return true;
    if (!wsi_authority_parse(text, &authority, &why))
        return false;
    *port = authority.port;
    return authority.is_ipv6 ? wsi_ip_parse_v6(ip, authority.host)
                             : wsi_ip_parse_v4(ip, authority.host);
}

/* @return how many trusted proxies stand between. */
static unsigned walk(struct wsi_forwarded *out, const struct wsi_http_head *head,
                     const struct wsi_networks *trusted)
{
    struct backwards list = list_of(head, "X-Forwarded-For");
    struct wsi_str element;
    unsigned hops = 1;

    while (take_last(&list, &element)) {
        struct wsi_ip ip;
        uint16_t port;

        if (!parse_node(&ip, &port, element))
            break;
        out->has_ip = true;
        out->ip = ip;
        out->port = port;
        if (hops == WSI_FORWARDED_HOPS_MAX || !wsi_networks_have(trusted, &ip))
            break;
        hops++;
    }
    return hops;
}

/* The element that stands so far from the end, or the first. */
static struct wsi_str from_end(const struct wsi_http_head *head, const char *name,
                               unsigned hops)
{
    struct backwards list = list_of(head, name);
    struct wsi_str element = {NULL, 0};

    while (hops-- > 0 && take_last(&list, &element))
        ;
    return element;
}

static bool is(struct wsi_str text, const char *word)
{
    return wsi_str_equal_nocase(text, wsi_str_of(word));
}

void wsi_forwarded_read(struct wsi_forwarded *out, const struct wsi_http_head *head,
                        const struct wsi_networks *trusted)
{
    struct wsi_authority authority;
    struct wsi_str host, scheme;
    const char *why;
    unsigned hops;

    *out = (struct wsi_forwarded){0};
    hops = walk(out, head, trusted);
    host = from_end(head, "X-Forwarded-Host", hops);
    if (host.len > 0 && wsi_authority_parse(host, &authority, &why))
        out->host = host;
    scheme = from_end(head, "X-Forwarded-Proto", hops);
    out->is_secure = is(scheme, "https") || is(scheme, "wss");
    out->has_scheme = out->is_secure || is(scheme, "http") || is(scheme, "ws");
}
