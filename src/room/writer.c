/* SPDX-License-Identifier: MIT */
/* Writing JSON. */
#include "room/writer.h"

#include <string.h>

#include "conn/encode.h"
#include "proto/base64.h"
#include "proto/decimal.h"
#include "proto/frame.h"
#include "proto/json.h"

void wsi_write(struct wsi_writer *writer, const void *data, size_t len)
{
    if (writer->at != NULL && len > 0)
        memcpy(writer->at + writer->len, data, len);
    writer->len += len;
}

void wsi_write_text(struct wsi_writer *writer, const char *text)
{
    wsi_write(writer, text, strlen(text));
}

void wsi_write_string(struct wsi_writer *writer, const void *data, size_t len)
{
    wsi_write(writer, "\"", 1);
    if (writer->at != NULL)
        writer->len = (size_t)(wsi_json_escape(writer->at + writer->len, data, len) -
                               writer->at);
    else
        writer->len += wsi_json_escaped_len(data, len);
    wsi_write(writer, "\"", 1);
}

void wsi_write_field(struct wsi_writer *writer, const char *name, const char *value)
{
    wsi_write_text(writer, name);
    wsi_write_string(writer, value, strlen(value));
}

void wsi_write_number(struct wsi_writer *writer, const char *name, uint64_t value)
{
    char digits[WSI_DECIMAL_MAX];
    const struct wsi_str text = wsi_decimal(digits, value);

    wsi_write_text(writer, name);
    wsi_write(writer, text.ptr, text.len);
}

void wsi_write_bytes(struct wsi_writer *writer, const void *data, size_t len)
{
    wsi_write_text(writer, "{\"b64\":\"");
    if (writer->at != NULL) /* its NUL is where the quote goes */
        wsi_base64_encode((char *)writer->at + writer->len, data, len);
    writer->len += WSI_BASE64_LEN(len);
    wsi_write_text(writer, "\"}");
}

void wsi_write_epoch(struct wsi_writer *writer, const char *name, uint64_t epoch)
{
    static const char digits[] = "0123456789abcdef";
    char text[16];

    for (int i = 0; i < 16; i++)
        text[i] = digits[epoch >> (60 - 4 * i) & 0x0f];
    wsi_write_text(writer, name);
    wsi_write_string(writer, text, sizeof text);
}

size_t wsi_frame_measure(wsi_frame_fn *fn, const void *what)
{
    struct wsi_writer writer = {0};

    fn(&writer, what);
    return writer.len;
}

size_t wsi_frame_describe(uint8_t *out, wsi_frame_fn *fn, const void *what, size_t len)
{
    const size_t header = wsi_frame_write_header(out, WSI_FRAME_FIN | WSI_OP_TEXT, len,
                                                 NULL);
    struct wsi_writer writer = {.at = out + header};

    fn(&writer, what);
    return header + len;
}

struct wsi_blob *wsi_frame_new(wsi_frame_fn *fn, const void *what)
{
    const size_t len = wsi_frame_measure(fn, what);
    struct wsi_blob *frame = len <= WSI_MESSAGE_MAX
                                 ? wsi_blob_new(len + WSI_FRAME_HEADER_MAX)
                                 : NULL;

    if (frame != NULL)
        frame->len = wsi_frame_describe(frame->data, fn, what, len);
    return frame;
}
