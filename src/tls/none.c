/* SPDX-License-Identifier: MIT */
/* A build without TLS: nothing can be made, so nothing else is ever called. */
#include <stdio.h>

#include <wsock/error.h>

#include "tls/tls.h"

static int refuse(char *why)
{
    snprintf(why, WSI_TLS_WHY_SIZE, "this build has no TLS");
    return WSOCK_ENOTSUP;
}

int wsi_tls_server_new(struct wsi_tls_context **out, const struct wsi_tls_config *config,
                       const struct wsi_tls_context *before, char *why)
{
    (void)out, (void)config, (void)before;
    return refuse(why);
}

int wsi_tls_client_new(struct wsi_tls_context **out, const struct wsi_tls_config *config,
                       char *why)
{
    (void)out, (void)config;
    return refuse(why);
}

struct wsi_tls_context *wsi_tls_context_ref(struct wsi_tls_context *context)
{
    return context;
}

void wsi_tls_context_unref(struct wsi_tls_context *context)
{
    (void)context;
}

int wsi_tls_accept(struct wsi_filter **out, struct wsi_tls_context *context)
{
    (void)out, (void)context;
    return WSOCK_ENOTSUP;
}

int wsi_tls_connect(struct wsi_filter **out, struct wsi_tls_context *context,
                    const char *host, bool is_home)
{
    (void)out, (void)context, (void)host, (void)is_home;
    return WSOCK_ENOTSUP;
}

struct wsi_tls_failure wsi_tls_failure(const struct wsi_filter *filter)
{
    (void)filter;
    return (struct wsi_tls_failure){.why = ""};
}

struct wsi_tls_facts *wsi_tls_facts_new(const struct wsi_filter *filter)
{
    (void)filter;
    return NULL;
}
