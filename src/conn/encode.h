/* SPDX-License-Identifier: MIT */
/* Whole messages as frames that any number of connections may share. */
#ifndef WSI_CONN_ENCODE_H
#define WSI_CONN_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsock/types.h>

#include "core/blob.h"

/** Larger messages are refused with WSOCK_ETOOBIG: lengths fit everywhere. */
#define WSI_MESSAGE_MAX ((size_t)INT32_MAX)

/** A type as the calls that send take it, WSOCK_UNCOMPRESSED included. */
static inline bool wsi_is_message_type(int type)
{
    const int opcode = type & ~WSOCK_UNCOMPRESSED;

    return opcode == WSOCK_TEXT || opcode == WSOCK_BINARY;
}

static inline unsigned wsi_opcode_of(int type)
{
    return (unsigned)type & 0x0f;
}

/**
 * Check a message and encode it as a server sends it: one frame, unmasked.
 *
 * @param out  (out, owned)
 * @param type WSOCK_TEXT or WSOCK_BINARY.
 * @return 0; WSOCK_EINVAL; WSOCK_EUTF8; WSOCK_ETOOBIG; WSOCK_ENOMEM.
 */
int wsi_encode_message(struct wsi_blob **out, int type, const void *data, size_t len);

/** The two halves of it, for who has the memory: @return 0 or an error as above. */
int wsi_encode_check(int type, const void *data, size_t len);
/** @param out len + WSI_FRAME_HEADER_MAX bytes. @return the frame's size. */
size_t wsi_encode_frame(uint8_t *out, int type, const void *data, size_t len);

struct wsi_payload {
    const uint8_t *data;
    size_t len;
};

/** The payload of such a frame. */
struct wsi_payload wsi_encoded_payload(const struct wsi_blob *frame);

#endif
