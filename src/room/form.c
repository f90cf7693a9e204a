/* SPDX-License-Identifier: MIT */
/* Frames of rooms.v1: joining what is JSON already, and escaping what is not. */
#include "room/form.h"

#include <string.h>

#include <wsock/error.h>
#include <wsock/types.h>

#include "conn/encode.h"
#include "core/alloc.h"
#include "proto/frame.h"
#include "room/writer.h"

/* ---- JSON ---- */

static void put_data(struct wsi_writer *out, const struct wsi_telling *telling)
{
    wsi_write_text(out, ",\"data\":");
    if ((telling->type & WSOCK_JSON) != 0)
        wsi_write(out, telling->data, telling->len);
    else if (wsi_opcode_of(telling->type) == WSOCK_TEXT)
        wsi_write_string(out, telling->data, telling->len);
    else
        wsi_write_bytes(out, telling->data, telling->len);
}

static void put_place(struct wsi_writer *out, const struct wsi_telling *telling)
{
    if (telling->offset == 0)
        return;
    wsi_write_epoch(out, ",\"epoch\":", telling->epoch);
    wsi_write_number(out, ",\"offset\":", telling->offset);
    wsi_write_number(out, ",\"prev\":", telling->prev);
}

static void put_what(struct wsi_writer *out, const struct wsi_telling *telling)
{
    put_data(out, telling);
    if (*telling->from != '\0')
        wsi_write_field(out, ",\"from\":", telling->from);
    wsi_write_number(out,
                     ",\"time\":", telling->time_ms > 0 ? (uint64_t)telling->time_ms : 0);
}

void wsi_form_msg(struct wsi_writer *out, const void *what)
{
    const struct wsi_telling *telling = what;

    wsi_write_field(out, "{\"type\":\"msg\",\"room\":", telling->room);
    wsi_write_field(out, ",\"event\":", telling->event);
    put_what(out, telling);
    put_place(out, telling);
    wsi_write_text(out, "}");
}

void wsi_form_skip(struct wsi_writer *out, const void *what)
{
    const struct wsi_telling *telling = what;

    wsi_write_field(out, "{\"type\":\"skip\",\"room\":", telling->room);
    put_place(out, telling);
    wsi_write_text(out, "}");
}

void wsi_form_direct(struct wsi_writer *out, const void *what)
{
    const struct wsi_telling *telling = what;

    wsi_write_field(out, "{\"type\":\"direct\",\"event\":", telling->event);
    put_what(out, telling);
    wsi_write_text(out, "}");
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

static struct wsi_blob *write_frame(struct wsi_v1 *v1, void *at, size_t len,
                                    wsi_frame_fn *fn, const void *what,
                                    void (*release)(struct wsi_blob *blob))
{
    struct wsi_blob *frame = wsi_blob_init_inner(at, len + WSI_FRAME_HEADER_MAX, v1,
                                                 release);

    frame->len = wsi_frame_describe(frame->data, fn, what, len);
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
    const size_t msg_len = wsi_frame_measure(wsi_form_msg, telling);
    const size_t skip_len = skip ? wsi_frame_measure(wsi_form_skip, telling) : 0;
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
    v1->frames.plain = write_frame(v1, inner, msg_len, wsi_form_msg, telling,
                                   release_msg);
    if (skip) {
        wsi_blob_ref(v1->frames.plain);
        v1->skip = write_frame(v1, inner + msg_size, skip_len, wsi_form_skip, telling,
                               release_skip);
    }
    *out = v1;
    return 0;
}

int wsi_v1_new_notice(struct wsi_v1 **out, wsi_frame_fn *fn, const void *what)
{
    const size_t len = wsi_frame_measure(fn, what);
    struct wsi_v1 *v1 = wsi_alloc(base_size() +
                                  wsi_blob_inner_size(len + WSI_FRAME_HEADER_MAX));

    if (v1 == NULL)
        return WSOCK_ENOMEM;
    memset(v1, 0, sizeof *v1);
    wsi_ref_init(&v1->ref);
    v1->frames.plain = write_frame(v1, (char *)v1 + base_size(), len, fn, what,
                                   release_msg);
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
