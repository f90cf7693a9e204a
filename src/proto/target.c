/* SPDX-License-Identifier: MIT */
/*
 * The pieces of what a client asks for: the request target (RFC 9112 section 3.2), its
 * percent-encoding, the pairs of a query, and the pairs of a Cookie header. What is
 * malformed but harmless is handed on as it is; nobody is refused here but by `false`.
 */
#include "proto/url.h"

#include "proto/authority.h"
#include "proto/chars.h"
#include "proto/http_line.h"

static struct wsi_str from(struct wsi_str text, size_t start)
{
    return (struct wsi_str){text.ptr + start, text.len - start};
}

/* Take what stands before the first c; all of it when there is none. */
static struct wsi_str take_until(struct wsi_str *text, char c)
{
    const char *at = text->len != 0 ? memchr(text->ptr, c, text->len) : NULL;
    struct wsi_str piece = *text;

    if (at != NULL)
        piece.len = (size_t)(at - text->ptr);
    *text = from(*text, piece.len + (at != NULL));
    return piece;
}

/* Length of "http://" and its kin, 0 for anything else. */
static size_t scheme_length(struct wsi_str target)
{
    static const struct wsi_str schemes[] = {
        {"http://", 7}, {"https://", 8}, {"ws://", 5}, {"wss://", 6}};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (target.len >= schemes[i].len &&
            wsi_str_equal_nocase((struct wsi_str){target.ptr, schemes[i].len},
                                 schemes[i]))
            return schemes[i].len;
    return 0;
}

/* Takes scheme and authority off an absolute-form target. */
static bool take_authority(struct wsi_str *target, struct wsi_str *authority)
{
    const size_t start = scheme_length(*target);
    struct wsi_authority parsed;
    const char *why;
    size_t end = start;

    if (start == 0)
        return false;
    while (end < target->len && target->ptr[end] != '/' && target->ptr[end] != '?')
        end++;
    *authority = (struct wsi_str){target->ptr + start, end - start};
    *target = from(*target, end);
    return wsi_authority_parse(*authority, &parsed, &why);
}

bool wsi_target_split(struct wsi_str target, struct wsi_target *out)
{
    struct wsi_target parts = {.authority = WSI_STR("")};

    if (target.len == 0 || !wsi_chars_all(target, WSI_CHAR_TARGET))
        return false;
    if (target.ptr[0] != '/' && !take_authority(&target, &parts.authority))
        return false;
    parts.path = take_until(&target, '?');
    parts.query = target;
    if (parts.path.len == 0)
        parts.path = WSI_STR("/");
    *out = parts;
    return true;
}

bool wsi_percent_decode(struct wsi_str in, bool form, char *out, size_t *size)
{
    size_t n = 0;

    if (!wsi_chars_escapes_are_whole(in))
        return false;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];

        if (c == '%') {
            c = (char)(wsi_char_hex(in.ptr[i + 1]) << 4 | wsi_char_hex(in.ptr[i + 2]));
            i += 2;
        } else if (form && c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    *size = n;
    return true;
}

bool wsi_query_next(struct wsi_str *query, struct wsi_str *name, struct wsi_str *value)
{
    while (query->len != 0) {
        struct wsi_str pair = take_until(query, '&');

        if (pair.len == 0)
            continue;
        *name = take_until(&pair, '=');
        *value = pair;
        return true;
    }
    return false;
}

bool wsi_cookie_next(struct wsi_str *cookies, struct wsi_str *name, struct wsi_str *value)
{
    while (cookies->len != 0) {
        struct wsi_str pair = wsi_http_trim(take_until(cookies, ';')), key;
        const size_t len = pair.len;

        key = take_until(&pair, '=');
        if (key.len == len || wsi_http_trim(key).len == 0)
            continue; /* no '=', or no name: no pair (RFC 6265 section 4.2.1) */
        *name = wsi_http_trim(key);
        *value = wsi_http_trim(pair);
        return true;
    }
    return false;
}
