/* SPDX-License-Identifier: MIT */
/*
 * Agreeing on permessage-deflate, RFC 7692 section 7.1: what we are willing to do and
 * what the peer says become the parameters of one connection, or none. The compression
 * itself is in deflate.h.
 */
#ifndef WSI_PROTO_PMD_H
#define WSI_PROTO_PMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/http.h"

enum wsi_pmd_mode {
    WSI_PMD_OFF,
    WSI_PMD_SHARED,    /* no context is kept, in neither direction */
    WSI_PMD_DEDICATED, /* each connection has contexts of its own, as far as agreed */
};

enum {
    WSI_PMD_BITS_MIN = 8,
    WSI_PMD_BITS_MAX = 15,
    WSI_PMD_TEXT_MAX = 160, /* more than any offer or answer takes */
};

/** What we are willing to do. "Own" is what we send, "peer" what we receive. */
struct wsi_pmd_config {
    uint8_t mode;             /* enum wsi_pmd_mode */
    uint8_t own_window_bits;  /* 8 to 15 */
    uint8_t peer_window_bits; /* 8 to 15: the largest window that we keep for the peer */
    bool own_takeover;        /* with WSI_PMD_DEDICATED only */
    bool peer_takeover;       /* with WSI_PMD_DEDICATED only */
};

/** What was agreed. */
struct wsi_pmd_params {
    uint8_t
        own_window_bits; /* no distance that we send may exceed 2 to the power of it */
    uint8_t peer_window_bits; /* the same for what we receive */
    bool own_takeover;        /* we may refer to earlier messages */
    bool peer_takeover;       /* the peer may: keep its window between messages */
    uint8_t named;            /* which parameters the answer names; private to pmd.c */
};

/* ---- server ---- */

/**
 * Go through the client's offers (all Sec-WebSocket-Extensions fields) and take the first
 * that can be met. Other extensions are skipped; an offer with an unknown, repeated or
 * invalid parameter is declined (7.1), and the next one is tried.
 *
 * A client that offers no client_max_window_bits cannot be held to a smaller window;
 * where peer_window_bits is below 15 it is then asked not to keep its context, so that we
 * never have to keep a larger window than that between messages.
 *
 * @param params (out) untouched unless 1.
 * @param why    (out) a static sentence, untouched unless -1.
 * @return 1 agreed; 0 nothing to agree on; -1 when a field breaks the grammar of RFC 6455
 *         section 9.1, for which the handshake must fail (400). Off never looks: 0.
 */
int wsi_pmd_accept(const struct wsi_http_head *head, const struct wsi_pmd_config *config,
                   struct wsi_pmd_params *params, const char **why);

/** The answer's element of Sec-WebSocket-Extensions. @return its length, without a NUL.
 */
size_t wsi_pmd_write_answer(char out[WSI_PMD_TEXT_MAX],
                            const struct wsi_pmd_params *params);

/* ---- client ---- */

/** The offer. @return its length, without a NUL; 0 when the mode is off. */
size_t wsi_pmd_write_offer(char out[WSI_PMD_TEXT_MAX],
                           const struct wsi_pmd_config *config);

/**
 * Judge the server's answer to wsi_pmd_write_offer() of the same config. A server that
 * does not mention our peer_window_bits has 15; that is accepted if it keeps no context,
 * so that here too no larger window has to be kept between messages.
 *
 * @param params (out) untouched unless 1.
 * @param why    (out) a static sentence, untouched unless -1.
 * @return 1 agreed; 0 the server declined; -1 when the connection must fail: bad grammar,
 *         an extension or a value that was not offered, an unmet demand of ours.
 */
int wsi_pmd_check_answer(const struct wsi_http_head *head,
                         const struct wsi_pmd_config *config,
                         struct wsi_pmd_params *params, const char **why);

#endif
