/* SPDX-License-Identifier: MIT */
/*
 * The origin rule. Origins are read, not compared as text: scheme, host and port (RFC
 * 6454 section 4), where a default port is the same as none. For the place that the
 * request itself names, the origin's scheme decides on both sides: behind a proxy that
 * ends TLS, "https://a.example" and "Host: a.example" are the same place.
 */
#include "proto/origin.h"

#include "proto/authority.h"
#include "proto/chars.h"

struct origin {
    struct wsi_str scheme;
    struct wsi_authority place; /* its port is the real one */
    bool below;                 /* an entry: any host below that of the place */
};

static bool is(struct wsi_str text, const char *word)
{
    return wsi_str_equal_nocase(text, wsi_str_of(word));
}

static uint16_t default_port(struct wsi_str scheme)
{
    if (is(scheme, "http") || is(scheme, "ws"))
        return 80;
    return is(scheme, "https") || is(scheme, "wss") ? 443 : 0;
}

/* The schemes of pages of the place that a request names. Where that speaks TLS, who
 * answers without it is somebody between us, on whatever port. What came without TLS may
 * have been behind a proxy that speaks it and says nothing. */
static bool may_be_from(struct wsi_str scheme, bool is_secure)
{
    return is(scheme, "https") || (!is_secure && is(scheme, "http"));
}

/* RFC 3986 section 3.1 */
static bool is_scheme(struct wsi_str text)
{
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const bool more = wsi_char_is(c, WSI_CHAR_DIGIT) || c == '+' || c == '-' ||
                          c == '.';

        if (!letter && (i == 0 || !more))
            return false;
    }
    return true;
}

/* @return NULL, or why it is none. */
static const char *parse(struct origin *out, struct wsi_str text, bool is_entry)
{
    const char *colon = text.len > 0 ? memchr(text.ptr, ':', text.len) : NULL;
    const char *why = NULL;
    struct wsi_str rest;

    out->scheme = text;
    if (colon != NULL)
        out->scheme.len = (size_t)(colon - text.ptr);
    rest = (struct wsi_str){text.ptr + out->scheme.len, text.len - out->scheme.len};
    if (!is_scheme(out->scheme) || rest.len < 3 || memcmp(rest.ptr, "://", 3) != 0)
        return "an origin is scheme://host or scheme://host:port";
    rest = (struct wsi_str){rest.ptr + 3, rest.len - 3};
    out->below = is_entry && rest.len > 2 && memcmp(rest.ptr, "*.", 2) == 0;
    if (out->below)
        rest = (struct wsi_str){rest.ptr + 2, rest.len - 2};
    if (is_entry && rest.len > 0 && memchr(rest.ptr, '*', rest.len) != NULL)
        return "\"*.\" may only begin the host";
    if (is_entry && rest.len > 0 && memchr(rest.ptr, '/', rest.len) != NULL)
        return "an origin ends behind the host or port, without a slash";
    if (!wsi_authority_parse(rest, &out->place, &why))
        return why;
    if (out->below && out->place.is_ipv6)
        return "nothing is below an address";
    if (!out->place.port_given)
        out->place.port = default_port(out->scheme);
    return NULL;
}

static bool is_same_place(struct wsi_str text, struct wsi_str host, bool is_secure)
{
    struct wsi_authority ours;
    struct origin origin;
    const char *why;

    if (parse(&origin, text, false) != NULL || !may_be_from(origin.scheme, is_secure) ||
        !wsi_authority_parse(host, &ours, &why))
        return false;
    if (!ours.port_given)
        ours.port = default_port(origin.scheme);
    return origin.place.port == ours.port && origin.place.is_ipv6 == ours.is_ipv6 &&
           wsi_str_equal_nocase(origin.place.host, ours.host);
}

static bool is_named(struct wsi_str text, struct wsi_str entry)
{
    struct origin origin, named;

    if (parse(&origin, text, false) != NULL || parse(&named, entry, true) != NULL)
        return false;
    if (!wsi_str_equal_nocase(origin.scheme, named.scheme) ||
        origin.place.port != named.place.port ||
        origin.place.is_ipv6 != named.place.is_ipv6)
        return false;
    return named.below ? wsi_host_is_below(origin.place.host, named.place.host)
                       : wsi_str_equal_nocase(origin.place.host, named.place.host);
}

/* What is no scheme://host and may be listed nevertheless. */
static bool is_word(struct wsi_str entry)
{
    return is(entry, "null") || is(entry, "file://");
}

static bool lets_in(struct wsi_str entry, struct wsi_str text, struct wsi_str host,
                    bool is_secure)
{
    if (is(entry, "*"))
        return true;
    if (is(entry, "same"))
        return is_same_place(text, host, is_secure);
    if (is_word(entry))
        return wsi_str_equal_nocase(entry, text);
    return is_named(text, entry);
}

bool wsi_origin_is_allowed(const struct wsi_http_head *head, struct wsi_str host,
                           bool is_secure, const char *allowed)
{
    const struct wsi_http_field *origin = wsi_http_find(head, WSI_STR("Origin"), 0);
    struct wsi_str list = wsi_str_of(allowed), entry;

    if (origin == NULL)
        return true;
    if (wsi_http_find(head, WSI_STR("Origin"), 1) != NULL)
        return false;
    if (*allowed == '\0')
        return is_same_place(origin->value, host, is_secure);
    while (wsi_http_list_next(&list, &entry))
        if (lets_in(entry, origin->value, host, is_secure))
            return true;
    return false;
}

const char *wsi_origin_check_entry(struct wsi_str entry)
{
    struct origin origin;

    if (is(entry, "*") || is(entry, "same") || is_word(entry))
        return NULL;
    return parse(&origin, entry, true);
}
