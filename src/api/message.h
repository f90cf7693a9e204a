/* SPDX-License-Identifier: MIT */
/* The public message: a frame that was encoded once, as servers send it. */
#ifndef WSI_API_MESSAGE_H
#define WSI_API_MESSAGE_H

#include <wsock/types.h>

#include "core/blob.h"
#include "core/ref.h"

struct wsi_pool;

struct wsock_message {
    struct wsi_ref ref;
    struct wsi_pool *pool; /* a reference */
    struct wsi_blob *frame;
};

#endif
