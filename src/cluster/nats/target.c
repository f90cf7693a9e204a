/* SPDX-License-Identifier: MIT */
/* URLs of NATS servers. */
#include "cluster/nats/target.h"

#include <string.h>

#include "cluster/broker_url.h"

enum { DEFAULT_PORT = 4222 };

/* None is empty. */
static bool take_secret(char out[WSI_NATS_SECRET_SIZE], const char *text, size_t len)
{
    return len > 0 && wsi_broker_url_decode(out, WSI_NATS_SECRET_SIZE, text, len);
}

static const char *take_login(struct wsi_nats_target *target, const char *text,
                              size_t len)
{
    const char *colon = memchr(text, ':', len);
    const size_t user = colon != NULL ? (size_t)(colon - text) : len;

    if (!take_secret(target->user, text, user) ||
        (colon != NULL && !take_secret(target->password, colon + 1, len - user - 1)))
        return "user, password or token is empty, too long or badly encoded";
    return NULL;
}

static bool is_host(const char *text, size_t len, bool is_v6)
{
    if (len == 0 || len >= WSI_NATS_HOST_SIZE)
        return false;
    for (size_t i = 0; i < len; i++)
        if (strchr(" /\\@\"<>[]%", text[i]) != NULL || (text[i] == ':' && !is_v6) ||
            (unsigned char)text[i] < 0x20)
            return false;
    return true;
}

static const char *take_host(struct wsi_nats_target *target, const char *text, size_t len)
{
    const bool is_v6 = len > 0 && text[0] == '[';
    const char *end = is_v6 ? memchr(text, ']', len) : memchr(text, ':', len);
    size_t host = end != NULL ? (size_t)(end - text) : len;
    unsigned port = DEFAULT_PORT;
    const char *rest;

    if (is_v6 && end == NULL)
        return "an address in brackets has no end";
    rest = text + host + (is_v6 ? 1 : 0);
    if (is_v6) {
        text++;
        len--;
        host--;
    }
    if (target->host_count == WSI_NATS_HOSTS)
        return "there are more than 16 hosts";
    if (!is_host(text, host, is_v6))
        return "a host is empty or no name";
    if (rest < text + len &&
        (*rest != ':' ||
         !wsi_broker_url_number(&port, rest + 1, (size_t)(text + len - rest) - 1,
                                65535) ||
         port == 0))
        return "a port is no number from 1 to 65535";
    memcpy(target->hosts[target->host_count].name, text, host);
    target->hosts[target->host_count].name[host] = '\0';
    target->hosts[target->host_count++].port = (uint16_t)port;
    return NULL;
}

static const char *take_query(struct wsi_nats_target *target, const char *text)
{
    static const char key[] = "replicas=";

    if (strncmp(text, key, sizeof key - 1) != 0)
        return "of parameters it takes replicas only";
    text += sizeof key - 1;
    if (text[0] < '1' || text[0] > '0' + WSI_NATS_REPLICAS_MAX || text[1] != '\0')
        return "replicas is a number from 1 to 5";
    target->replicas = (unsigned)(text[0] - '0');
    return NULL;
}

const char *wsi_nats_target_parse(struct wsi_nats_target *target, const char *url)
{
    static const char plain[] = "nats://", secure[] = "tls://";
    const char *wrong = NULL, *at;
    size_t len;

    memset(target, 0, sizeof *target);
    target->replicas = 1;
    target->tls = strncmp(url, secure, sizeof secure - 1) == 0;
    if (!target->tls && strncmp(url, plain, sizeof plain - 1) != 0)
        return "it begins with neither nats:// nor tls://";
    url += target->tls ? sizeof secure - 1 : sizeof plain - 1;
    len = strcspn(url, "/?#");
    at = memrchr(url, '@', len);
    if (at != NULL) {
        wrong = take_login(target, url, (size_t)(at - url));
        len -= (size_t)(at + 1 - url);
        url = at + 1;
    }
    while (wrong == NULL) {
        const char *comma = memchr(url, ',', len);
        const size_t part = comma != NULL ? (size_t)(comma - url) : len;

        wrong = take_host(target, url, part);
        url += part;
        len -= part;
        if (comma == NULL)
            break;
        url++;
        len--;
    }
    if (wrong == NULL && *url == '/')
        url++;
    if (wrong == NULL && *url == '?')
        wrong = take_query(target, url + 1);
    else if (wrong == NULL && *url != '\0')
        wrong = "something follows its hosts";
    return wrong;
}
