/* SPDX-License-Identifier: MIT */
/* Encoding a message once. */
#include "conn/encode.h"

#include <string.h>

#include <wsock/error.h>
#include <wsock/types.h>

#include "proto/frame.h"
#include "proto/utf8.h"

int wsi_encode_check(int type, const void *data, size_t len)
{
    if ((data == NULL && len > 0) || !wsi_is_message_type(type))
        return WSOCK_EINVAL;
    if (len > WSI_MESSAGE_MAX)
        return WSOCK_ETOOBIG;
    if (wsi_opcode_of(type) == WSI_OP_TEXT && !wsi_utf8_is_valid(data, len))
        return WSOCK_EUTF8;
    return 0;
}

size_t wsi_encode_frame(uint8_t *out, int type, const void *data, size_t len)
{
    const size_t header = wsi_frame_write_header(out, WSI_FRAME_FIN | wsi_opcode_of(type),
                                                 len, NULL);

    if (len > 0)
        memcpy(out + header, data, len);
    return header + len;
}

int wsi_encode_message(struct wsi_blob **out, int type, const void *data, size_t len)
{
    struct wsi_blob *frame;
    const int r = wsi_encode_check(type, data, len);

    if (r < 0)
        return r;
    frame = wsi_blob_new(len + WSI_FRAME_HEADER_MAX);
    if (frame == NULL)
        return WSOCK_ENOMEM;
    frame->len = wsi_encode_frame(frame->data, type, data, len);
    *out = frame;
    return 0;
}

struct wsi_payload wsi_encoded_payload(const struct wsi_blob *frame)
{
    const unsigned short_len = frame->data[1];
    const size_t header = short_len < 126 ? 2 : short_len == 126 ? 4 : 10;

    return (struct wsi_payload){frame->data + header, frame->len - header};
}
