/* SPDX-License-Identifier: MIT */
/*
 * The life of a session and what it sends of its own: control frames (RFC 6455
 * section 5.5) and its half of the closing handshake (section 7.1). What it receives is
 * decoded, and what it holds of that released, in session_receive.c.
 */
#include "proto/session.h"

#include <assert.h>
#include <string.h>

#include "proto/mask.h"

enum {
    NO_CODE = 1005, /* stands for a close frame without a code, never travels (7.4.1) */
    NORMAL = 1000,
};

/* It lies in every connection, of which an idle one may take half a kibibyte. */
_Static_assert(sizeof(struct wsi_session) <= 24, "a session outgrew its share");

void wsi_session_init(struct wsi_session *session, enum wsi_role role)
{
    const bool masked = role == WSI_SERVER; /* what arrives (5.1) */

    *session = (struct wsi_session){
        .role = (uint8_t)role,
        .mask_bit = masked ? 0x80 : 0,
        .header_min = (uint8_t)wsi_frame_header_size(0, masked),
    };
}

void wsi_session_allow_compressed(struct wsi_session *session)
{
    session->rsv_bits = WSI_FRAME_RSV1;
}

size_t wsi_session_control(const struct wsi_session *session, uint8_t *out,
                           enum wsi_opcode opcode, const uint8_t key[4], const void *data,
                           size_t len)
{
    const uint8_t *mask = session->role == WSI_CLIENT ? key : NULL;
    size_t size;

    assert(opcode >= WSI_OP_CLOSE && len <= WSI_CONTROL_PAYLOAD_MAX);
    size = wsi_frame_write_header(out, WSI_FRAME_FIN | (unsigned)opcode, len, mask);
    if (len == 0)
        return size;
    if (mask != NULL)
        wsi_mask(out + size, data, len, mask, 0);
    else
        memcpy(out + size, data, len);
    return size + len;
}

size_t wsi_session_close(struct wsi_session *session, uint8_t *out, unsigned code,
                         const uint8_t key[4], const void *reason, size_t len)
{
    uint8_t payload[WSI_CONTROL_PAYLOAD_MAX];
    size_t size = 0;

    assert(code == NO_CODE ? len == 0 : wsi_close_code_is_sendable(code));
    assert(len <= WSI_CLOSE_REASON_MAX);
    if (session->close_sent)
        return 0;
    if (code != NO_CODE) {
        payload[0] = (uint8_t)(code >> 8);
        payload[1] = (uint8_t)code;
        if (len != 0)
            memcpy(payload + 2, reason, len);
        size = 2 + len;
    }
    session->close_sent = true;
    session->sent_code = (uint16_t)code;
    return wsi_session_control(session, out, WSI_OP_CLOSE, key, payload, size);
}

unsigned wsi_session_reply_code(const struct wsi_session *session)
{
    const unsigned code = session->received_code;

    return code == NO_CODE || wsi_close_code_is_sendable(code) ? code : NORMAL;
}
