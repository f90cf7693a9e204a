/* SPDX-License-Identifier: MIT */
/* The public message: encoded once, and compressed once for each kind of peer. */
#ifndef WSI_API_MESSAGE_H
#define WSI_API_MESSAGE_H

#include <wsock/types.h>

#include "conn/frames.h"
#include "core/ref.h"

struct wsi_pool;

struct wsock_message {
    struct wsi_ref ref;
    struct wsi_pool *pool; /* a reference */
    bool compressible;
    struct wsi_frames frames;
};

/** The form that a connection takes. @return (borrowed from message) Any thread. */
struct wsi_blob *wsi_message_frame_for(struct wsock_message *message,
                                       const struct wsock_conn *conn);

#endif
