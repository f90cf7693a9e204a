/* SPDX-License-Identifier: MIT */
/* Hosts and ports; authority.h says what is refused beyond the grammar, and why. */
#include "proto/authority.h"

#include <stddef.h>

#include "proto/chars.h"
#include "proto/ip.h"

static struct wsi_str from(struct wsi_str text, size_t start)
{
    return (struct wsi_str){text.ptr + start, text.len - start};
}

static bool has(struct wsi_str text, char c)
{
    return text.len != 0 && memchr(text.ptr, c, text.len) != NULL;
}

static bool ends_in_digits(struct wsi_str host)
{
    size_t end = host.len, start;

    if (end != 0 && host.ptr[end - 1] == '.')
        end--;
    start = end;
    while (start > 0 && wsi_char_is(host.ptr[start - 1], WSI_CHAR_DIGIT))
        start--;
    return start < end && (start == 0 || host.ptr[start - 1] == '.');
}

static bool has_empty_label(struct wsi_str host)
{
    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] == '.' && (i == 0 || host.ptr[i - 1] == '.'))
            return true;
    return false;
}

static const char *check_name(struct wsi_str host)
{
    struct wsi_ip ip;

    if (host.len == 0)
        return "the host is empty";
    if (host.len > WSI_HOST_MAX)
        return "the host is longer than 255 characters";
    if (!wsi_chars_all(host, WSI_CHAR_HOST))
        return "the host has a character that no host name may have";
    if (has_empty_label(host))
        return "the host has a dot with nothing before it";
    if (ends_in_digits(host) && !wsi_ip_parse_v4(&ip, host))
        return "the host is a malformed IPv4 address";
    return NULL;
}

/* Takes "[...]" off the front of text. */
static const char *take_ipv6(struct wsi_str *text, struct wsi_str *host)
{
    const char *close = memchr(text->ptr, ']', text->len);
    struct wsi_ip ip;

    if (close == NULL)
        return "the bracket of an IPv6 address is not closed";
    *host = (struct wsi_str){text->ptr + 1, (size_t)(close - text->ptr) - 1};
    *text = from(*text, host->len + 2);
    if (has(*host, '%'))
        return "IPv6 zone ids are not supported here";
    return wsi_ip_parse_v6(&ip, *host) ? NULL : "the host is a malformed IPv6 address";
}

static const char *parse_port(struct wsi_str digits, uint16_t *port)
{
    unsigned long value = 0;

    if (digits.len == 0 || digits.len > 5 || !wsi_chars_all(digits, WSI_CHAR_DIGIT))
        return "the port is not a number from 0 to 65535";
    for (size_t i = 0; i < digits.len; i++)
        value = value * 10 + (unsigned long)(digits.ptr[i] - '0');
    if (value > 65535)
        return "the port is not a number from 0 to 65535";
    *port = (uint16_t)value;
    return NULL;
}

static const char *parse(struct wsi_str text, struct wsi_authority *out)
{
    const char *why, *colon;

    if (text.len != 0 && text.ptr[0] == '[') {
        out->is_ipv6 = true;
        why = take_ipv6(&text, &out->host);
    } else {
        colon = text.len != 0 ? memchr(text.ptr, ':', text.len) : NULL;
        out->host = text;
        if (colon != NULL)
            out->host.len = (size_t)(colon - text.ptr);
        text = from(text, out->host.len);
        why = check_name(out->host);
    }
    if (why != NULL || text.len == 0)
        return why;
    if (text.ptr[0] != ':')
        return "only ':' and a port may follow the bracket of an IPv6 address";
    out->port_given = true;
    return parse_port(from(text, 1), &out->port);
}

bool wsi_authority_parse(struct wsi_str text, struct wsi_authority *out, const char **why)
{
    struct wsi_authority authority = {0};
    const char *wrong = parse(text, &authority);

    if (wrong != NULL) {
        *why = wrong;
        return false;
    }
    *out = authority;
    return true;
}

bool wsi_host_is_below(struct wsi_str host, struct wsi_str top)
{
    const size_t more = host.len > top.len ? host.len - top.len : 0;

    return more > 1 && host.ptr[more - 1] == '.' &&
           wsi_str_equal_nocase((struct wsi_str){host.ptr + more, top.len}, top);
}
