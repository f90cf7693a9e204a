/* SPDX-License-Identifier: MIT */
/*
 * Which proxies a server believes, and who a client is by what they say: the PROXY header
 * in front of a connection, then the X-Forwarded fields of its request.
 */
#ifndef WSI_CONN_TRUST_H
#define WSI_CONN_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conn/facts.h"
#include "core/option.h"
#include "io/address.h"
#include "proto/ip.h"

struct wsock_conn;

/** The lists of the options of the same names; fixed while listening. */
struct wsi_trust {
    struct wsi_networks proxy_protocol;
    struct wsi_networks forwarded;
};

/** Read the options again. @return 0; WSOCK_ENOMEM: what was there stays. */
int wsi_trust_load(struct wsi_trust *trust, const struct wsi_options *options);
void wsi_trust_fini(struct wsi_trust *trust);

/** True for a peer that begins with a PROXY header. */
bool wsi_trust_wants_header(const struct wsi_trust *trust,
                            const struct wsi_address *peer);

/** Bytes came while the PROXY header is due. */
void wsi_trust_receive(struct wsock_conn *conn, const uint8_t *data, size_t len);
/** It did not come in time. */
void wsi_trust_timeout(struct wsock_conn *conn);

/** Before its request. @param ip (out) who the client is. @return false when the fields
 *  of the request may tell, and for what has no address. */
bool wsi_trust_knows_client(const struct wsock_conn *conn, struct wsi_ip *ip);

/** Where a request comes from, with the texts that it points to. */
struct wsi_told {
    struct wsi_whence whence;
    char remote[WSI_ADDRESS_TEXT_MAX], peer[WSI_ADDRESS_TEXT_MAX];
    char local[WSI_ADDRESS_TEXT_MAX];
    bool by_fields; /* the client's address was forwarded: */
    struct wsi_ip ip;
};
void wsi_trust_tell(struct wsi_told *out, const struct wsock_conn *conn,
                    const struct wsi_http_head *head);

#endif
