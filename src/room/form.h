/* SPDX-License-Identifier: MIT */
/*
 * What members that speak rooms.v1 get of a message (docs/rooms-v1.md): a frame `msg`,
 * and a frame `skip` for those of a room with history who are left out, so that they see
 * no gap. Made once for all of them, in one allocation, and only if there are some.
 */
#ifndef WSI_ROOM_FORM_H
#define WSI_ROOM_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conn/frames.h"
#include "core/blob.h"
#include "core/ref.h"
#include "room/writer.h"

/* What is told. Texts are valid UTF-8. */
struct wsi_telling {
    const char *room, *event;
    const char *from; /* "" when it does not say */
    const void *data;
    size_t len;
    int64_t time_ms;
    uint64_t epoch, offset, prev; /* offset 0: it has no place in a history */
    int type; /* WSOCK_TEXT, for a string; with WSOCK_JSON, as it is; WSOCK_BINARY */
};

/* Frames, of a struct wsi_telling. */
wsi_frame_fn wsi_form_msg, wsi_form_skip, wsi_form_direct;

/* Both frames, as they leave. */
struct wsi_v1 {
    struct wsi_ref ref;
    struct wsi_frames frames; /* `plain` lies inside this very allocation, */
    struct wsi_blob *skip;    /* and so does this; a reference (nullable) */
};

/** @param out (out, owned) @param skip whether somebody is left out. @return 0;
 *  WSOCK_ETOOBIG when a frame of it cannot be sent; WSOCK_ENOMEM. */
int wsi_v1_new(struct wsi_v1 **out, const struct wsi_telling *telling, bool skip);
/** A frame that is no message. @return 0; WSOCK_ENOMEM. */
int wsi_v1_new_notice(struct wsi_v1 **out, wsi_frame_fn *fn, const void *what);
struct wsi_v1 *wsi_v1_ref(struct wsi_v1 *v1);
/** Takes NULL. */
void wsi_v1_unref(struct wsi_v1 *v1);

/** The bytes of all that it has. */
size_t wsi_v1_bytes(const struct wsi_v1 *v1);

#endif
