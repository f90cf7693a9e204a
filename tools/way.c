/* SPDX-License-Identifier: MIT */
/* How a client's command gets to its server: --proxy and --resolve. */
#include <stdio.h>
#include <string.h>

#include "tool.h"

int way_add_resolve(const char *command, struct way *way, const char *value)
{
    const size_t before = strlen(way->resolve);
    const size_t room = sizeof way->resolve - before;
    const int len = snprintf(way->resolve + before, room, "%s%s", before > 0 ? "," : "",
                             value);

    if (len < 0 || (size_t)len >= room)
        return usage_error(command, "--resolve: all of them together are too long");
    return 0;
}

int way_set(const char *command, const struct way *way, wsock_client *client)
{
    if (way->proxy != NULL && wsock_client_set(client, "proxy", way->proxy) < 0)
        return usage_error(command, "--proxy: %s", wsock_client_error(client));
    if (wsock_client_set(client, "resolve", way->resolve) < 0)
        return usage_error(command, "--resolve: %s", wsock_client_error(client));
    return 0;
}
