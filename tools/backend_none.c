/* SPDX-License-Identifier: MIT */
/* A build without libcurl: there is no backend. */
#include "backend.h"
#include "tool.h"

const wsock_rooms_hooks backend_hooks = {.size = sizeof backend_hooks};

int backend_new(struct backend **out, const struct backend_config *config)
{
    (void)out, (void)config;
    return usage_error("serve", "--auth-url: this build has no libcurl");
}

void backend_stop(struct backend *backend)
{
    (void)backend;
}

void backend_free(struct backend *backend)
{
    (void)backend;
}
