/* SPDX-License-Identifier: MIT */
/*
 * IP addresses and networks as values: from text (RFC 3986 section 3.2.2, RFC 4632
 * section 3.1, RFC 4291 section 2.3), and which network has which address.
 */
#ifndef WSI_PROTO_IP_H
#define WSI_PROTO_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

/** In network order. An IPv4 address is the IPv6 address that it maps to (RFC 4291
 *  section 2.5.5.2), so that it is the same however a socket tells it. */
struct wsi_ip {
    uint8_t bytes[16];
};

struct wsi_ip wsi_ip_v4(const uint8_t bytes[4]);
bool wsi_ip_is_v4(const struct wsi_ip *ip);

/** Four decimal octets without leading zeros. */
bool wsi_ip_parse_v4(struct wsi_ip *out, struct wsi_str text);
/** Without brackets and zone. */
bool wsi_ip_parse_v6(struct wsi_ip *out, struct wsi_str text);
/** Either. */
bool wsi_ip_parse(struct wsi_ip *out, struct wsi_str text);

struct wsi_network {
    struct wsi_ip ip;
    unsigned bits; /* of the 128: 96 more than an IPv4 prefix says */
};

/** An address, or a network in CIDR notation. @return NULL, or why it is none. */
const char *wsi_network_parse(struct wsi_network *out, struct wsi_str text);

/** A network of IPv6 has no IPv4 address, however short its prefix is. */
bool wsi_network_has(const struct wsi_network *network, const struct wsi_ip *ip);

/** Who is listed; all zero is nobody. */
struct wsi_networks {
    struct wsi_network *items; /* (owned, nullable) */
    unsigned count;
    bool has_unix;
};

/**
 * From a comma-separated list of addresses, networks in CIDR notation, and "unix:" for
 * peers on Unix sockets.
 *
 * @param out (out, owned) end it with wsi_networks_fini().
 * @param error (out) which element is malformed, and why.
 * @return 0; WSOCK_EINVAL and *error; WSOCK_ENOMEM.
 */
int wsi_networks_parse(struct wsi_networks *out, struct wsi_str list,
                       struct wsi_list_error *error);
void wsi_networks_fini(struct wsi_networks *networks);

/** Whether one of them has it. */
bool wsi_networks_have(const struct wsi_networks *networks, const struct wsi_ip *ip);

#endif
