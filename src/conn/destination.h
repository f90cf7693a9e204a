/* SPDX-License-Identifier: MIT */
/* Where a client's connection goes: the URL that it was made with, or one that a redirect
 * led to. */
#ifndef WSI_CONN_DESTINATION_H
#define WSI_CONN_DESTINATION_H

#include "proto/url.h"

enum { WSI_HOST_FIELD_MAX = 300 };

struct wsi_destination {
    char *text; /* (owned) of the URL; the strings of url point into it */
    struct wsi_url url;
    char *target;        /* (owned) of the request */
    char *authorization; /* (owned, nullable) a header line, of user and password */
    char host[WSI_HOST_FIELD_MAX]; /* the Host header */
};

/** @param why (out) on failure what is wrong with the URL, a static sentence. @return 0;
 * WSOCK_EURL, also for a user or password that Basic cannot say; WSOCK_ENOTSUP for what
 * only a listener can have; WSOCK_ENOMEM. On failure wsi_destination_fini() is due as
 * well. */
int wsi_destination_init(struct wsi_destination *destination, const char *url,
                         const char **why);
void wsi_destination_fini(struct wsi_destination *destination);

#endif
