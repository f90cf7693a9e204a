/* SPDX-License-Identifier: MIT */
/*
 * The header that a proxy sends in front of a connection, to say whose it is: the PROXY
 * protocol, versions 1 (a line of text) and 2 (binary), as HAProxy's document
 * proxy-protocol.txt defines them.
 */
#ifndef WSI_PROTO_PROXY_H
#define WSI_PROTO_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "proto/ip.h"

enum {
    WSI_PROXY_LINE_MAX = 107,   /* of version 1, with CR LF */
    WSI_PROXY_BLOCK_MAX = 4096, /* of version 2, behind its 16 bytes; our limit */
};

enum wsi_proxy_kind {
    WSI_PROXY_ITSELF, /* the proxy's own connection, or one that it does not know */
    WSI_PROXY_IP,
    WSI_PROXY_UNIX,
};

struct wsi_proxy {
    enum wsi_proxy_kind kind;
    struct wsi_ip ip;
    uint16_t port;
    bool is_secure;      /* version 2: the client came over TLS */
    struct wsi_str path; /* of a Unix socket, into the data; of length 0 when unnamed */
};

/**
 * Read the header from the first bytes of a connection. What cannot become one is refused
 * at the first byte that shows it, however the bytes were cut.
 *
 * @param out (out) who the client is.
 * @param why (out) when refused: a static sentence.
 * @return how many bytes it takes; 0 when it is not whole yet; -1 when refused.
 */
ptrdiff_t wsi_proxy_parse(struct wsi_proxy *out, const uint8_t *data, size_t len,
                          const char **why);

#endif
