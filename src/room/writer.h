/* SPDX-License-Identifier: MIT */
/*
 * Frames of rooms.v1 as bytes: joining what is JSON already, and escaping what is not. A
 * frame is described once, and run twice: to measure it, and to write it.
 */
#ifndef WSI_ROOM_WRITER_H
#define WSI_ROOM_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "core/blob.h"

struct wsi_writer {
    uint8_t *at; /* (nullable) NULL: only measured */
    size_t len;
};

/** Describes a frame. @param what it is about. */
typedef void wsi_frame_fn(struct wsi_writer *writer, const void *what);

void wsi_write(struct wsi_writer *writer, const void *data, size_t len);
void wsi_write_text(struct wsi_writer *writer, const char *text);
/** A string of JSON. @param data valid UTF-8. */
void wsi_write_string(struct wsi_writer *writer, const void *data, size_t len);
/** @param name a field with all that is around it, such as ",\"room\":". */
void wsi_write_field(struct wsi_writer *writer, const char *name, const char *value);
void wsi_write_number(struct wsi_writer *writer, const char *name, uint64_t value);
/** {"b64": ...} */
void wsi_write_bytes(struct wsi_writer *writer, const void *data, size_t len);
/** "16 hexadecimal digits" */
void wsi_write_epoch(struct wsi_writer *writer, const char *name, uint64_t epoch);

size_t wsi_frame_measure(wsi_frame_fn *fn, const void *what);
/** As a message, header included. @param out len + WSI_FRAME_HEADER_MAX bytes, of
 * wsi_frame_measure(). @return the frame's size. */
size_t wsi_frame_describe(uint8_t *out, wsi_frame_fn *fn, const void *what, size_t len);
/** @return (owned, nullable) the frame; NULL without memory. */
struct wsi_blob *wsi_frame_new(wsi_frame_fn *fn, const void *what);

#endif
