/* SPDX-License-Identifier: MIT */
/*
 * RFC 6455 section 5.2: the frame header, and the vocabulary of frames and close
 * codes. Writing a header is all there is to encoding: payloads are copied or
 * referenced by the caller, who also masks them (mask.h).
 */
#ifndef WSI_PROTO_FRAME_H
#define WSI_PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wsi_opcode {
    WSI_OP_CONTINUATION = 0x0,
    WSI_OP_TEXT = 0x1,
    WSI_OP_BINARY = 0x2,
    WSI_OP_CLOSE = 0x8,
    WSI_OP_PING = 0x9,
    WSI_OP_PONG = 0xA,
};

enum {
    WSI_FRAME_FIN = 0x80,
    WSI_FRAME_RSV1 = 0x40,
    WSI_FRAME_HEADER_MAX = 14,     /* with a 64-bit length and a masking key */
    WSI_CONTROL_PAYLOAD_MAX = 125, /* section 5.5 */
    WSI_CLOSE_REASON_MAX = 123,
};

/** Which end of the connection we are: clients mask, servers do not (5.1). */
enum wsi_role { WSI_SERVER = 0, WSI_CLIENT = 1 };

/** How many bytes the header of a payload of len takes, with or without a key. */
size_t wsi_frame_header_size(uint64_t len, bool masked);

/**
 * Write a header, with the length in its shortest form.
 *
 * @param out   WSI_FRAME_HEADER_MAX bytes.
 * @param byte0 flags and opcode, such as WSI_FRAME_FIN | WSI_OP_TEXT.
 * @param key   (nullable) four bytes of masking key; NULL writes an unmasked header.
 * @return the header's size.
 */
size_t wsi_frame_write_header(uint8_t *out, unsigned byte0, uint64_t len,
                              const uint8_t *key);

/** True of the codes that may stand in a close frame (7.4): 1000 to 1003, 1007 to
 *  1014, and 3000 to 4999. */
bool wsi_close_code_is_sendable(unsigned code);

#endif
