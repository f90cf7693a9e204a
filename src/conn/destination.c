/* SPDX-License-Identifier: MIT */
/* URLs that clients connect to. */
#include "conn/destination.h"

#include <wsock/error.h>

#include "core/alloc.h"

enum { TARGET_MAX = 8192 };

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
    if (destination->url.userinfo.len > 0)
        *why = "user and password in a URL are not supported";
    else if (wsi_str_equal(destination->url.host, WSI_STR("*")))
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
    return destination->target != NULL ? 0 : WSOCK_ENOMEM;
}

void wsi_destination_fini(struct wsi_destination *destination)
{
    wsi_free(destination->text);
    wsi_free(destination->target);
}
