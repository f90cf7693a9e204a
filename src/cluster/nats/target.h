/* SPDX-License-Identifier: MIT */
/*
 * What a URL says of a broker:
 *
 *     nats://[user:password@|token@]host[:port][,host[:port]...][?replicas=N]
 *     tls://...                                                 the same over TLS
 *
 * User, password and token are percent-decoded. The hosts are those of one NATS cluster,
 * and are tried in turn. Replicas (1 to 5) is on how many of them each stream lies.
 */
#ifndef WSI_NATS_TARGET_H
#define WSI_NATS_TARGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WSI_NATS_HOSTS = 16,
    WSI_NATS_HOST_SIZE = 256,
    WSI_NATS_SECRET_SIZE = 1024,
    WSI_NATS_REPLICAS_MAX = 5,
};

struct wsi_nats_target {
    struct {
        char name[WSI_NATS_HOST_SIZE]; /* an address of IPv6 without brackets */
        uint16_t port;
    } hosts[WSI_NATS_HOSTS];
    unsigned host_count, replicas;
    bool tls;
    char user[WSI_NATS_SECRET_SIZE];     /* or the token */
    char password[WSI_NATS_SECRET_SIZE]; /* "": `user` is a token, if anything */
};

/** @return NULL, or what is wrong: static text, so that it shows no secret. */
const char *wsi_nats_target_parse(struct wsi_nats_target *target, const char *url);

#endif
