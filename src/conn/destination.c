/* SPDX-License-Identifier: MIT */
/* URLs that clients connect to. */
#include "conn/destination.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "proto/credentials.h"

enum { TARGET_MAX = 8192 };

static int set_authorization(struct wsi_destination *destination, const char **why)
{
    const struct wsi_str info = destination->url.userinfo;
    const char *colon = memchr(info.ptr, ':', info.len);
    struct wsi_str user = info, password = {info.ptr, 0};
    struct wsi_credentials credentials;
    char basic[WSI_BASIC_SIZE], field[WSI_BASIC_SIZE + 20];

    if (colon != NULL) {
        user.len = (size_t)(colon - info.ptr);
        password = (struct wsi_str){colon + 1, info.len - user.len - 1};
    }
    *why = wsi_credentials_decode(&credentials, user, password);
    if (*why == NULL)
        *why = wsi_basic_refuses(&credentials);
    if (*why != NULL)
        return WSOCK_EURL;
    *why = "out of memory";
    wsi_basic_make(basic, &credentials);
    snprintf(field, sizeof field, "Authorization: %s\r\n", basic);
    destination->authorization = wsi_strdup(field);
    return destination->authorization != NULL ? 0 : WSOCK_ENOMEM;
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
