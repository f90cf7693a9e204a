/* SPDX-License-Identifier: MIT */
/*
 * The URLs that users write, RFC 6455 section 3 and RFC 3986. Nothing is decoded or
 * normalised here, as every piece points into the text.
 */
#include "proto/url.h"

#include <wsock/error.h>

#include "proto/authority.h"
#include "proto/chars.h"

enum { UNIX_PATH_MAX_BYTES = 107 }; /* sun_path less its NUL */

static const struct {
    struct wsi_str prefix;
    bool secure, is_unix;
} schemes[] = {
    {{"ws:", 3}, false, false},
    {{"wss:", 4}, true, false},
    {{"ws+unix:", 8}, false, true},
    {{"wss+unix:", 9}, true, true},
};

static struct wsi_str from(struct wsi_str text, size_t start)
{
    return (struct wsi_str){text.ptr + start, text.len - start};
}

static struct wsi_str until(struct wsi_str text, size_t end)
{
    return (struct wsi_str){text.ptr, end};
}

static const char *find(struct wsi_str text, char c)
{
    return text.len != 0 ? memchr(text.ptr, c, text.len) : NULL;
}

static bool starts_with(struct wsi_str text, const char *prefix)
{
    const size_t len = strlen(prefix);

    return text.len >= len && memcmp(text.ptr, prefix, len) == 0;
}

static const char *take_scheme(struct wsi_str *rest, struct wsi_url *url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        const struct wsi_str prefix = schemes[i].prefix;

        if (rest->len < prefix.len ||
            !wsi_str_equal_nocase(until(*rest, prefix.len), prefix))
            continue;
        url->secure = schemes[i].secure;
        url->is_unix = schemes[i].is_unix;
        *rest = from(*rest, prefix.len);
        return NULL;
    }
    return "the scheme is not ws, wss, ws+unix or wss+unix";
}

static const char *check_target(struct wsi_str text)
{
    if (find(text, '#') != NULL)
        return "a WebSocket URL has no fragment ('#' is written %23)";
    if (!wsi_chars_all(text, WSI_CHAR_URL))
        return "the path or query has a character that must be percent-encoded";
    if (!wsi_chars_escapes_are_whole(text))
        return "two hexadecimal digits must follow each '%'";
    return NULL;
}

static const char *take_userinfo(struct wsi_str *authority, struct wsi_url *url)
{
    const char *at = find(*authority, '@');

    if (at == NULL)
        return NULL;
    url->userinfo = until(*authority, (size_t)(at - authority->ptr));
    *authority = from(*authority, url->userinfo.len + 1);
    for (size_t i = 0; i < url->userinfo.len; i++) {
        const char c = url->userinfo.ptr[i];

        if (c != ':' && c != '%' && !wsi_char_is(c, WSI_CHAR_HOST))
            return "the user information has a character that must be percent-encoded";
    }
    if (!wsi_chars_escapes_are_whole(url->userinfo))
        return "two hexadecimal digits must follow each '%'";
    return NULL;
}

/* //[userinfo@]host[:port][/path][?query] */
static const char *parse_network(struct wsi_str rest, struct wsi_url *url)
{
    struct wsi_authority parsed;
    struct wsi_str authority;
    const char *why;
    size_t end = 2;

    if (!starts_with(rest, "//"))
        return "\"//\" and a host must follow the scheme";
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?' &&
           rest.ptr[end] != '#')
        end++;
    authority = from(until(rest, end), 2);
    url->target = from(rest, end);
    if (url->target.len == 0)
        url->target = WSI_STR("/");
    why = check_target(url->target);
    if (why == NULL)
        why = take_userinfo(&authority, url);
    if (why != NULL || !wsi_authority_parse(authority, &parsed, &why))
        return why;
    url->host = parsed.host;
    url->host_is_ipv6 = parsed.is_ipv6;
    url->port_given = parsed.port_given;
    if (parsed.port_given)
        url->port = parsed.port;
    return NULL;
}

/* Where ":/" or ":?" begins the request's part; a ':' alone belongs to the file's name.
 */
static size_t unix_path_end(struct wsi_str rest)
{
    for (size_t i = 0; i + 1 < rest.len; i++)
        if (rest.ptr[i] == ':' && (rest.ptr[i + 1] == '/' || rest.ptr[i + 1] == '?'))
            return i;
    return rest.len;
}

static const char *check_unix_path(struct wsi_str path)
{
    if (path.len < 2 || path.ptr[0] != '/')
        return "the path of a Unix socket must begin with '/'";
    if (path.len > UNIX_PATH_MAX_BYTES)
        return "the path of a Unix socket is longer than 107 bytes";
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.ptr[i] < 0x20 || path.ptr[i] == 0x7f)
            return "a control character in the path of a Unix socket";
        if (path.ptr[i] == '?' || path.ptr[i] == '#')
            return "':/' and the request's path go between a Unix socket and a query";
    }
    return NULL;
}

/* /path.sock[:/path[?query]], also behind an empty authority ("ws+unix:///path.sock") */
static const char *parse_unix(struct wsi_str rest, struct wsi_url *url)
{
    const char *why;
    size_t end;

    if (starts_with(rest, "//") && !starts_with(rest, "///"))
        return "a Unix socket's URL names no host or user: ws+unix:/path.sock";
    if (starts_with(rest, "///"))
        rest = from(rest, 2);
    end = unix_path_end(rest);
    url->path = until(rest, end);
    why = check_unix_path(url->path);
    if (why != NULL)
        return why;
    url->target = end < rest.len ? from(rest, end + 1) : WSI_STR("/");
    return check_target(url->target);
}

int wsi_url_parse(const char *text, struct wsi_url *url, const char **why)
{
    struct wsi_str rest = wsi_str_of(text);
    struct wsi_url parsed = {0};
    const char *wrong = take_scheme(&rest, &parsed);

    parsed.host = parsed.userinfo = parsed.path = WSI_STR("");
    parsed.port = parsed.secure ? 443 : 80;
    if (wrong == NULL)
        wrong = parsed.is_unix ? parse_unix(rest, &parsed) : parse_network(rest, &parsed);
    if (wrong != NULL) {
        *why = wrong;
        return WSOCK_EURL;
    }
    *url = parsed;
    return 0;
}

/* ---- written again ---- */

struct writer {
    char *out;
    size_t size, len; /* len counts on beyond size, to tell that it did not fit */
};

static void put(struct writer *writer, struct wsi_str text)
{
    if (writer->len < writer->size && text.len < writer->size - writer->len)
        memcpy(writer->out + writer->len, text.ptr, text.len);
    writer->len += text.len;
}

static int finish(struct writer *writer)
{
    if (writer->len >= writer->size)
        return WSOCK_ETOOBIG;
    writer->out[writer->len] = '\0';
    return (int)writer->len;
}

static void put_port(struct writer *writer, unsigned port)
{
    char digits[6];
    size_t start = sizeof digits;

    do
        digits[--start] = (char)('0' + port % 10);
    while ((port /= 10) != 0);
    digits[--start] = ':';
    put(writer, (struct wsi_str){digits + start, sizeof digits - start});
}

int wsi_url_write_host(const struct wsi_url *url, char *out, size_t size)
{
    struct writer writer = {out, size, 0};

    if (url->is_unix) {
        put(&writer, WSI_STR("localhost"));
        return finish(&writer);
    }
    if (url->host_is_ipv6)
        put(&writer, WSI_STR("["));
    put(&writer, url->host);
    if (url->host_is_ipv6)
        put(&writer, WSI_STR("]"));
    if (url->port != (url->secure ? 443 : 80))
        put_port(&writer, url->port);
    return finish(&writer);
}

int wsi_url_write_target(const struct wsi_url *url, char *out, size_t size)
{
    struct writer writer = {out, size, 0};

    if (url->target.len == 0 || url->target.ptr[0] != '/')
        put(&writer, WSI_STR("/"));
    put(&writer, url->target);
    return finish(&writer);
}
