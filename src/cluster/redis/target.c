/* SPDX-License-Identifier: MIT */
/* Reading the URL of a broker. */
#include "cluster/redis/target.h"

#include <string.h>

#include "cluster/broker_url.h"

enum { DEFAULT_PORT = 6379, DATABASE_MAX = 99999 };

static bool take_prefix(const char **text, const char *prefix)
{
    const size_t len = strlen(prefix);

    if (strncmp(*text, prefix, len) != 0)
        return false;
    *text += len;
    return true;
}

const char *wsi_target_parse_host(struct wsi_target_host *host, const char *text,
                                  unsigned len)
{
    const char *const end = text + len;
    const bool bracketed = len > 0 && text[0] == '[';
    const char *name = text + bracketed;
    const char *name_end = memchr(name, bracketed ? ']' : ':', (size_t)(end - name));
    const char *rest;
    unsigned port = DEFAULT_PORT;

    if (bracketed && name_end == NULL)
        return "an address has no ']'";
    if (name_end == NULL)
        name_end = end;
    rest = name_end + bracketed;
    if (name_end == name || name_end - name >= WSI_TARGET_HOST_SIZE)
        return "a host is empty or too long";
    if (rest < end &&
        (*rest != ':' ||
         !wsi_broker_url_number(&port, rest + 1, (size_t)(end - rest - 1), 65535) ||
         port == 0))
        return "a port is not one of 1 to 65535";
    memset(host, 0, sizeof *host);
    memcpy(host->name, name, (size_t)(name_end - name));
    host->port = (uint16_t)port;
    return NULL;
}

static const char *parse_secrets(struct wsi_target *target, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    const size_t user = colon != NULL ? (size_t)(colon - text) : len;

    if (!wsi_broker_url_decode(target->user, sizeof target->user, text, user))
        return "the user is too long or not percent-encoded";
    if (colon != NULL && !wsi_broker_url_decode(target->password, sizeof target->password,
                                                colon + 1, len - user - 1))
        return "the password is too long or not percent-encoded";
    if (colon == NULL && len > 0)
        return "a user needs a password, as in user:password@";
    return NULL;
}

static const char *parse_hosts(struct wsi_target *target, const char *text,
                               const char *end)
{
    const char *wrong = NULL;

    while (wrong == NULL) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma != NULL ? comma : end;

        if (target->host_count == WSI_TARGET_HOSTS)
            return "there are more than 16 hosts";
        wrong = wsi_target_parse_host(&target->hosts[target->host_count++], text,
                                      (unsigned)(stop - text));
        if (comma == NULL)
            break;
        text = comma + 1;
    }
    return wrong;
}

static const char *parse_path(struct wsi_target *target, const char *text)
{
    const size_t len = strcspn(text, "?#");

    if (text[0] != '/' || len < 2 || len >= WSI_TARGET_HOST_SIZE)
        return "the path of the socket has to be absolute, and not too long";
    memcpy(target->hosts[0].name, text, len);
    target->host_count = 1;
    text += len;
    if (*text == '\0')
        return NULL;
    if (!take_prefix(&text, "?db=") ||
        !wsi_broker_url_number(&target->database, text, strlen(text), DATABASE_MAX))
        return "behind the path may stand ?db=NUMBER only";
    return NULL;
}

static const char *parse_network(struct wsi_target *target, const char *text)
{
    const char *end = text + strcspn(text, "/?#");
    const char *wrong = parse_hosts(target, text, end);

    if (wrong != NULL || *end == '\0' || strcmp(end, "/") == 0)
        return wrong;
    if (*end != '/' ||
        !wsi_broker_url_number(&target->database, end + 1, strlen(end + 1), DATABASE_MAX))
        return "behind the hosts may stand /DATABASE, a number, only";
    return NULL;
}

const char *wsi_target_parse(struct wsi_target *target, const char *url)
{
    const char *wrong = NULL, *at;
    bool is_unix;

    memset(target, 0, sizeof *target);
    target->tls = take_prefix(&url, "rediss://");
    is_unix = !target->tls && take_prefix(&url, "redis+unix:");
    if (is_unix)
        take_prefix(&url, "//");
    else if (!target->tls && !take_prefix(&url, "redis://"))
        return "it begins with none of redis://, rediss://, redis+unix:";
    /* A password is percent-encoded, so the last @ before a path ends it. */
    at = memchr(url, '@', strcspn(url, "/?#"));
    while (at != NULL) {
        const char *next = memchr(at + 1, '@', strcspn(at + 1, "/?#"));

        if (next == NULL)
            break;
        at = next;
    }
    if (at != NULL) {
        wrong = parse_secrets(target, url, (size_t)(at - url));
        url = at + 1;
    }
    if (wrong != NULL)
        return wrong;
    return is_unix ? parse_path(target, url) : parse_network(target, url);
}
