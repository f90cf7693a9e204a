/* SPDX-License-Identifier: MIT */
/* Frames of rooms.v1: joining what is JSON already, and escaping what is not. */
#include "room/form.h"

#include <string.h>

#include <wsock/error.h>
#include <wsock/types.h>

#include "conn/encode.h"
#include "core/alloc.h"
#include "proto/base64.h"
#include "proto/decimal.h"
#include "proto/frame.h"
#include "proto/json.h"

/* ---- JSON ---- */

/* Where a frame is written, or, at NULL, only measured: so it is described once. */
struct out {
    uint8_t *at;
    size_t len;
};

static void put(struct out *out, const void *data, size_t len)
{
    if (out->at != NULL && len > 0)
        memcpy(out->at + out->len, data, len);
    out->len += len;
}

static void put_text(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_string(struct out *out, const void *data, size_t len)
{
    put(out, "\"", 1);
    if (out->at != NULL)
        out->len = (size_t)(wsi_json_escape(out->at + out->len, data, len) - out->at);
    else
        out->len += wsi_json_escaped_len(data, len);
    put(out, "\"", 1);
}

/* @param name a field with all that is around it, such as ",\"room\":". */
static void put_field(struct out *out, const char *name, const char *value)
{
    put_text(out, name);
    put_string(out, value, strlen(value));
}

static void put_number(struct out *out, const char *name, uint64_t value)
{
    char digits[WSI_DECIMAL_MAX];
    const struct wsi_str text = wsi_decimal(digits, value);

    put_text(out, name);
    put(out, text.ptr, text.len);
}

static void put_bytes(struct out *out, const void *data, size_t len)
{
    put_text(out, "{\"b64\":\"");
    if (out->at != NULL) /* its NUL is where the quote goes */
        wsi_base64_encode((char *)out->at + out->len, data, len);
    out->len += WSI_BASE64_LEN(len);
    put_text(out, "\"}");
}

static void put_data(struct out *out, const struct wsi_telling *telling)
{
    put_text(out, ",\"data\":");
    if ((telling->type & WSOCK_JSON) != 0)
        put(out, telling->data, telling->len);
    else if (wsi_opcode_of(telling->type) == WSOCK_TEXT)
        put_string(out, telling->data, telling->len);
    else
        put_bytes(out, telling->data, telling->len);
}

static void put_epoch(struct out *out, uint64_t epoch)
{
    static const char digits[] = "0123456789abcdef";
    char text[16];

    for (int i = 0; i < 16; i++)
        text[i] = digits[epoch >> (60 - 4 * i) & 0x0f];
    put_text(out, ",\"epoch\":\"");
    put(out, text, sizeof text);
    put_text(out, "\"");
}

static void put_place(struct out *out, const struct wsi_telling *telling)
{
    if (telling->offset == 0)
        return;
    put_epoch(out, telling->epoch);
    put_number(out, ",\"offset\":", telling->offset);
    put_number(out, ",\"prev\":", telling->prev);
}

size_t wsi_form_write_msg(uint8_t *at, const struct wsi_telling *telling)
{
    struct out out = {.at = at};

    put_field(&out, "{\"type\":\"msg\",\"room\":", telling->room);
    put_field(&out, ",\"event\":", telling->event);
    put_data(&out, telling);
    if (*telling->from != '\0')
        put_field(&out, ",\"from\":", telling->from);
    put_number(&out, ",\"time\":", telling->time_ms > 0 ? (uint64_t)telling->time_ms : 0);
    put_place(&out, telling);
    put_text(&out, "}");
    return out.len;
}

size_t wsi_form_write_skip(uint8_t *at, const struct wsi_telling *telling)
{
    struct out out = {.at = at};

    put_field(&out, "{\"type\":\"skip\",\"room\":", telling->room);
    put_place(&out, telling);
    put_text(&out, "}");
    return out.len;
}

/* ---- frames ---- */

/* The message inside is not referred to any more, by what is around neither. */
static void release_msg(struct wsi_blob *msg)
{
    wsi_free(wsi_blob_around(msg));
}

/* It keeps the message, and so the memory that both lie in. */
static void release_skip(struct wsi_blob *skip)
{
    wsi_blob_unref(((struct wsi_v1 *)wsi_blob_around(skip))->frames.plain);
}

static struct wsi_blob *
write_frame(struct wsi_v1 *v1, void *at, size_t len, const struct wsi_telling *telling,
            size_t (*write)(uint8_t *out, const struct wsi_telling *telling),
            void (*release)(struct wsi_blob *blob))
{
    struct wsi_blob *frame = wsi_blob_init_inner(at, len + WSI_FRAME_HEADER_MAX, v1,
                                                 release);

    frame->len = wsi_frame_write_header(frame->data, WSI_FRAME_FIN | WSI_OP_TEXT, len,
                                        NULL);
    frame->len += write(frame->data + frame->len, telling);
    return frame;
}

static size_t base_size(void)
{
    return (sizeof(struct wsi_v1) + _Alignof(max_align_t) - 1) &
           ~(_Alignof(max_align_t) - 1);
}

/* One block: [wsi_v1][blob, msg][-> v1][blob, skip][-> v1]. */
int wsi_v1_new(struct wsi_v1 **out, const struct wsi_telling *telling, bool skip)
{
    const size_t msg_len = wsi_form_write_msg(NULL, telling);
    const size_t skip_len = skip ? wsi_form_write_skip(NULL, telling) : 0;
    const size_t msg_size = wsi_blob_inner_size(msg_len + WSI_FRAME_HEADER_MAX);
    const size_t skip_size = wsi_blob_inner_size(skip_len + WSI_FRAME_HEADER_MAX);
    struct wsi_v1 *v1;
    char *inner;

    if (msg_len > WSI_MESSAGE_MAX) /* escapes make a text up to six times as long */
        return WSOCK_ETOOBIG;
    v1 = wsi_alloc(base_size() + msg_size + (skip ? skip_size : 0));
    if (v1 == NULL)
        return WSOCK_ENOMEM;
    memset(v1, 0, sizeof *v1);
    wsi_ref_init(&v1->ref);
    inner = (char *)v1 + base_size();
    v1->frames.plain = write_frame(v1, inner, msg_len, telling, wsi_form_write_msg,
                                   release_msg);
    if (skip) {
        wsi_blob_ref(v1->frames.plain);
        v1->skip = write_frame(v1, inner + msg_size, skip_len, telling,
                               wsi_form_write_skip, release_skip);
    }
    *out = v1;
    return 0;
}

struct wsi_v1 *wsi_v1_ref(struct wsi_v1 *v1)
{
    wsi_ref_take(&v1->ref);
    return v1;
}

void wsi_v1_unref(struct wsi_v1 *v1)
{
    if (v1 == NULL || !wsi_ref_drop(&v1->ref))
        return;
    wsi_frames_drop_packed(&v1->frames);
    wsi_blob_unref(v1->skip);
    wsi_blob_unref(v1->frames.plain);
}

size_t wsi_v1_bytes(const struct wsi_v1 *v1)
{
    return sizeof *v1 + wsi_frames_bytes(&v1->frames) +
           (v1->skip != NULL ? v1->skip->len : 0);
}
