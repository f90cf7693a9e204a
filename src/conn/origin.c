/* SPDX-License-Identifier: MIT */
/*
 * The origin rule. Default ports are normalised by the origin's scheme, on both sides:
 * behind a proxy that ends TLS, "https://a.example" and "Host: a.example" are the same
 * place.
 */
#include "conn/origin.h"

#include <string.h>

struct place {
    struct wsi_str host; /* with brackets, when IPv6 */
    unsigned port;
};

/* Split "host[:port]". @return false for what is none. */
static bool split(struct wsi_str text, unsigned default_port, struct place *out)
{
    size_t host_len = text.len;
    unsigned port = 0;

    for (size_t i = text.len; i > 0; i--) {
        const char c = text.ptr[i - 1];

        if (c == ':') {
            host_len = i - 1;
            break;
        }
        if (c < '0' || c > '9')
            break;
    }
    out->host = (struct wsi_str){text.ptr, host_len};
    out->port = default_port;
    if (host_len == text.len)
        return host_len > 0;
    for (size_t i = host_len + 1; i < text.len; i++) {
        port = port * 10 + (unsigned)(text.ptr[i] - '0');
        if (port > 65535)
            return false;
    }
    if (host_len + 1 < text.len)
        out->port = port;
    return host_len > 0;
}

static bool take_prefix(struct wsi_str *text, struct wsi_str prefix)
{
    if (text->len < prefix.len ||
        !wsi_str_equal_nocase((struct wsi_str){text->ptr, prefix.len}, prefix))
        return false;
    text->ptr += prefix.len;
    text->len -= prefix.len;
    return true;
}

static bool is_same_place(struct wsi_str origin, struct wsi_str host)
{
    struct place ours, theirs;
    unsigned default_port;

    if (take_prefix(&origin, WSI_STR("http://")))
        default_port = 80;
    else if (take_prefix(&origin, WSI_STR("https://")))
        default_port = 443;
    else
        return false;
    return split(origin, default_port, &theirs) && split(host, default_port, &ours) &&
           theirs.port == ours.port && wsi_str_equal_nocase(theirs.host, ours.host);
}

/* Origins compare as serialised, after the default port is left out of both. */
static struct wsi_str normal_form(struct wsi_str origin)
{
    struct wsi_str rest = origin;
    const bool secure = take_prefix(&rest, WSI_STR("https://"));
    const struct wsi_str port = secure ? WSI_STR(":443") : WSI_STR(":80");

    if (origin.len > port.len &&
        memcmp(origin.ptr + origin.len - port.len, port.ptr, port.len) == 0)
        origin.len -= port.len;
    return origin;
}

bool wsi_origin_is_allowed(const struct wsi_http_head *head, const char *allowed)
{
    const struct wsi_http_field *origin = wsi_http_find(head, WSI_STR("Origin"), 0);
    const struct wsi_http_field *host = wsi_http_find(head, WSI_STR("Host"), 0);
    struct wsi_str list = wsi_str_of(allowed), element;

    if (origin == NULL)
        return true;
    if (wsi_http_find(head, WSI_STR("Origin"), 1) != NULL)
        return false;
    if (*allowed == '\0')
        return host != NULL && is_same_place(origin->value, host->value);
    while (wsi_http_list_next(&list, &element)) {
        if (wsi_str_equal(element, WSI_STR("*")) ||
            wsi_str_equal_nocase(normal_form(element), normal_form(origin->value)))
            return true;
    }
    return false;
}
