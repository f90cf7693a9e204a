/* SPDX-License-Identifier: MIT */
/* URLs that clients connect to. */
#include "conn/destination.h"

#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "proto/base64.h"

enum { TARGET_MAX = 8192, USERINFO_MAX = 512 };

/* A user or a password, for RFC 7617. @return false for what has a control character, or,
 * of a user, a colon. @param out in.len bytes. */
static bool decode(char *out, size_t *len, struct wsi_str in, bool is_user)
{
    if (!wsi_percent_decode(in, false, out, len))
        return false;
    for (size_t i = 0; i < *len; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f || (is_user && out[i] == ':'))
            return false;
    return true;
}

static int set_authorization(struct wsi_destination *destination, const char **why)
{
    static const char name[] = "Authorization: Basic ";
    const struct wsi_str info = destination->url.userinfo;
    const char *colon = memchr(info.ptr, ':', info.len);
    const size_t user_len = colon != NULL ? (size_t)(colon - info.ptr) : info.len;
    const size_t behind = colon != NULL ? user_len + 1 : info.len;
    char both[USERINFO_MAX + 1];
    size_t len, more;

    *why = "its user or password are too long, or have control characters or a colon";
    if (info.len > USERINFO_MAX ||
        !decode(both, &len, (struct wsi_str){info.ptr, user_len}, true))
        return WSOCK_EURL;
    both[len++] = ':';
    if (!decode(both + len, &more, (struct wsi_str){info.ptr + behind, info.len - behind},
                false))
        return WSOCK_EURL;
    len += more;
    *why = "out of memory";
    destination->authorization = wsi_zalloc(sizeof name + WSI_BASE64_LEN(len) + 2);
    if (destination->authorization == NULL)
        return WSOCK_ENOMEM;
    memcpy(destination->authorization, name, sizeof name - 1);
    wsi_base64_encode(destination->authorization + sizeof name - 1, both, len);
    memcpy(destination->authorization + sizeof name - 1 + WSI_BASE64_LEN(len), "\r\n", 3);
    return 0;
}

int wsi_destination_init(struct wsi_destination *destination, const char *url,
                         const char **why)
{
    char target[TARGET_MAX];
    int r;

    *destination = (struct wsi_destination){0};
    *why = "out of memory";
    destination->text = wsi_strdup(url);
    if (destination->text == NULL)
        return WSOCK_ENOMEM;
    r = wsi_url_parse(destination->text, &destination->url, why);
    if (r < 0)
        return r;
    *why = NULL;
    if (wsi_str_equal(destination->url.host, WSI_STR("*")))
        *why = "only a listener can have the host \"*\"";
    else if (!destination->url.is_unix && destination->url.port == 0)
        *why = "port 0 cannot be connected to";
    if (*why != NULL)
        return WSOCK_ENOTSUP;
    *why = "it is too long";
    if (wsi_url_write_host(&destination->url, destination->host,
                           sizeof destination->host) < 0 ||
        wsi_url_write_target(&destination->url, target, sizeof target) < 0)
        return WSOCK_EURL;
    *why = "out of memory";
    destination->target = wsi_strdup(target);
    if (destination->target == NULL)
        return WSOCK_ENOMEM;
    return destination->url.userinfo.len > 0 ? set_authorization(destination, why) : 0;
}

void wsi_destination_fini(struct wsi_destination *destination)
{
    wsi_free(destination->text);
    wsi_free(destination->target);
    wsi_free(destination->authorization);
}
