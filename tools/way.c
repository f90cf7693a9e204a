/* SPDX-License-Identifier: MIT */
/* How a client's command gets to its server: URLs, --proxy and --resolve; and what may
 * help when it does not. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

/* ---- URLs ---- */

/* What a URL that has another scheme, or none, may have meant. @return 0 for nothing, or
 * what is to stand before *rest. */
static const char *scheme_for(const char *url, const char **rest)
{
    static const struct {
        const char *has, *wants;
    } schemes[] = {{"http://", "ws://"}, {"https://", "wss://"}};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const size_t len = strlen(schemes[i].has);

        *rest = url + len;
        if (strncasecmp(url, schemes[i].has, len) == 0)
            return schemes[i].wants;
    }
    *rest = url;
    if (url[0] == '\0' || strstr(url, "//") != NULL || strchr(url, '+') != NULL)
        return NULL;
    return url[0] == '/' ? "ws+unix:" : "ws://";
}

int refuse_url(const char *command, const char *sentence, const char *url)
{
    const char *rest = NULL;
    const char *scheme = strstr(sentence, "the scheme is not") != NULL
                             ? scheme_for(url, &rest)
                             : NULL;

    if (scheme == NULL)
        return usage_error(command, "%s", sentence);
    /* A password is not for logs. */
    if (strchr(url, '@') != NULL)
        return usage_error(command, "%s; try one that begins with %s", sentence, scheme);
    return usage_error(command, "%s; try %s%s", sentence, scheme, rest);
}

int client_refuse_url(const char *command, wsock_runtime *runtime, int code,
                      const char *url)
{
    if (code == WSOCK_ENOMEM)
        return fail(command, "%s", wsock_strerror(code));
    return refuse_url(command, wsock_runtime_error(runtime), url);
}

const char *way_hint(const wsock_conn *conn, const wsock_close_info *info)
{
    const int is_secure = strncasecmp(wsock_conn_url(conn), "wss", 3) == 0;

    if (info->opened)
        return NULL;
    if (!is_secure && info->cause == WSOCK_CAUSE_HANDSHAKE && info->http_status == 0)
        return "if it speaks TLS, it wants wss instead of ws";
    if (is_secure && info->tls_error == WSOCK_TLS_NOT_TLS)
        return "try ws instead of wss";
    if (is_secure && info->tls_error == WSOCK_TLS_TRUNCATED &&
        wsock_conn_tls(conn, WSOCK_TLS_FACT_VERSION) == NULL)
        return "if it speaks no TLS, it wants ws instead of wss";
    return NULL;
}
