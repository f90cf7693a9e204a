/* SPDX-License-Identifier: MIT */
/*
 * What a URL says of a broker:
 *
 *     redis://[user[:password]@]host[:port][,host[:port]...][/database]
 *     rediss://...                                              the same over TLS
 *     redis+unix://[user[:password]@]/path[?db=database]        also redis+unix:/path
 *
 * User and password are percent-decoded. Several hosts are those of one broker, or nodes
 * of one Redis Cluster: they are tried in turn.
 */
#ifndef WSI_REDIS_TARGET_H
#define WSI_REDIS_TARGET_H

#include <stdbool.h>
#include <stdint.h>

enum { WSI_TARGET_HOSTS = 16, WSI_TARGET_HOST_SIZE = 256, WSI_TARGET_SECRET_SIZE = 512 };

struct wsi_target_host {
    char name[WSI_TARGET_HOST_SIZE]; /* or the path of a Unix socket */
    uint16_t port;                   /* 0: a Unix socket */
};

struct wsi_target {
    struct wsi_target_host hosts[WSI_TARGET_HOSTS];
    unsigned host_count;
    unsigned database;
    bool tls;
    char user[WSI_TARGET_SECRET_SIZE]; /* "": the default one */
    char password[WSI_TARGET_SECRET_SIZE];
};

/** @return NULL, or what is wrong: static text, so that it shows no secret. */
const char *wsi_target_parse(struct wsi_target *target, const char *url);

/** One "host:port" or "[v6]:port", without a port the default one. */
const char *wsi_target_parse_host(struct wsi_target_host *host, const char *text,
                                  unsigned len);

#endif
