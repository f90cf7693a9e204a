/* SPDX-License-Identifier: MIT */
/* Following a Location. */
#include "proto/redirect.h"

#include <string.h>

#include <wsock/error.h>

#include "proto/decimal.h"

bool wsi_redirect_is(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 ||
           status == 308;
}

bool wsi_redirect_same_origin(const struct wsi_url *a, const struct wsi_url *b)
{
    return a->secure == b->secure && a->is_unix == b->is_unix && a->port == b->port &&
           wsi_str_equal_nocase(a->host, b->host);
}

/* ---- pieces ---- */

static struct wsi_str from(struct wsi_str text, size_t start)
{
    return (struct wsi_str){text.ptr + start, text.len - start};
}

static struct wsi_str until_any(struct wsi_str text, const char *set)
{
    size_t len = 0;

    while (len < text.len && strchr(set, text.ptr[len]) == NULL)
        len++;
    return (struct wsi_str){text.ptr, len};
}

static int append(struct wsi_buf *out, struct wsi_str text)
{
    return wsi_buf_append(out, text.ptr, text.len, SIZE_MAX / 2);
}

/* The scheme before a ':', if there is one: it ends before any of "/?#". */
static bool take_scheme(struct wsi_str *location, struct wsi_str *scheme)
{
    const struct wsi_str head = until_any(*location, ":/?#");

    if (head.len == 0 || head.len == location->len || location->ptr[head.len] != ':')
        return false;
    *scheme = head;
    *location = from(*location, head.len + 1);
    return true;
}

static bool is_scheme(struct wsi_str scheme, const char *a, const char *b)
{
    return wsi_str_equal_nocase(scheme, wsi_str_of(a)) ||
           wsi_str_equal_nocase(scheme, wsi_str_of(b));
}

/* ---- paths (RFC 3986 section 5.2.4) ---- */

static bool starts_with(struct wsi_str text, const char *prefix)
{
    const size_t len = strlen(prefix);

    return text.len >= len && memcmp(text.ptr, prefix, len) == 0;
}

/* Take the last segment of what is behind `start` back. */
static void drop_segment(struct wsi_buf *out, size_t start)
{
    while (out->len > start && out->data[--out->len] != '/')
        ;
}

/* Append an absolute path without its "." and ".." segments. */
static int append_path(struct wsi_buf *out, struct wsi_str path)
{
    const size_t start = out->len;
    int r = 0;

    while (path.len > 0 && r == 0) {
        const size_t len = 1 + until_any(from(path, 1), "/").len;
        const struct wsi_str segment = {path.ptr, len};
        const bool is_last = len == path.len;

        if (wsi_str_equal(segment, WSI_STR("/.."))) {
            drop_segment(out, start);
            r = is_last ? append(out, WSI_STR("/")) : 0;
        } else if (wsi_str_equal(segment, WSI_STR("/."))) {
            r = is_last ? append(out, WSI_STR("/")) : 0;
        } else {
            r = append(out, segment);
        }
        path = from(path, len);
    }
    return r;
}

/* "/directory/" of "/directory/file?query". */
static struct wsi_str directory_of(struct wsi_str target)
{
    struct wsi_str path = until_any(target, "?");

    while (path.len > 0 && path.ptr[path.len - 1] != '/')
        path.len--;
    return path.len > 0 ? path : WSI_STR("/");
}

/* Append the path and query that a reference without authority means. */
static int append_target(struct wsi_buf *out, struct wsi_str base,
                         struct wsi_str reference)
{
    const struct wsi_str path = until_any(reference, "?");
    struct wsi_buf merged = {0};
    int r = 0;

    if (path.len == 0) {
        r = append(out, until_any(base, "?"));
        return r == 0
                   ? append(out, reference.len > 0 ? reference
                                                   : from(base, until_any(base, "?").len))
                   : r;
    }
    if (!starts_with(path, "/"))
        r = append(&merged, directory_of(base));
    if (r == 0)
        r = append(&merged, path);
    if (r == 0)
        r = append_path(out, (struct wsi_str){(const char *)merged.data, merged.len});
    wsi_buf_fini(&merged);
    return r == 0 ? append(out, from(reference, path.len)) : r;
}

/* ---- the whole ---- */

static int append_authority(struct wsi_buf *out, const struct wsi_url *url)
{
    char digits[WSI_DECIMAL_MAX];
    int r = append(out, url->host_is_ipv6 ? WSI_STR("[") : WSI_STR(""));

    if (r == 0)
        r = append(out, url->host);
    if (r == 0)
        r = append(out, url->host_is_ipv6 ? WSI_STR("]:") : WSI_STR(":"));
    return r == 0 ? append(out, wsi_decimal(digits, url->port)) : r;
}

static int append_reference(struct wsi_buf *out, const struct wsi_url *url,
                            struct wsi_str reference)
{
    int r;

    if (starts_with(reference, "//"))
        return append(out, from(reference, 2));
    r = append_authority(out, url);
    return r == 0 ? append_target(out, url->target, reference) : r;
}

int wsi_redirect_write(struct wsi_buf *out, const struct wsi_url *url,
                       struct wsi_str location, const char **why)
{
    struct wsi_str reference = until_any(location, "#"), scheme;
    bool secure = url->secure;
    int r;

    *why = NULL;
    if (url->is_unix)
        *why = "a Unix socket leads nowhere else";
    if (take_scheme(&reference, &scheme)) {
        secure = is_scheme(scheme, "wss", "https");
        if (!secure && !is_scheme(scheme, "ws", "http"))
            *why = "it leads to another scheme than http, https, ws or wss";
        else if (!starts_with(reference, "//"))
            *why = "it has no host";
    }
    if (*why == NULL && url->secure && !secure)
        *why = "it leads from wss to ws";
    if (*why != NULL)
        return WSOCK_EURL;
    r = append(out, secure ? WSI_STR("wss://") : WSI_STR("ws://"));
    if (r == 0)
        r = append_reference(out, url, reference);
    return r == 0 ? wsi_buf_append(out, "", 1, SIZE_MAX / 2) : r;
}
