/* SPDX-License-Identifier: MIT */
/* Messages that are built once. */
#include "api/message.h"

#include <wsock/error.h>
#include <wsock/message.h>

#include "api/runtime.h"
#include "conn/encode.h"
#include "core/alloc.h"

int wsock_runtime_message(wsock_runtime *runtime, wsock_message **out, int type,
                          const void *data, size_t len)
{
    wsock_message *message;
    int r;

    if (runtime == NULL || out == NULL)
        return WSOCK_EINVAL;
    message = wsi_zalloc(sizeof *message);
    if (message == NULL)
        return WSOCK_ENOMEM;
    r = wsi_encode_message(&message->frames.plain, type, data, len);
    if (r < 0) {
        wsi_free(message);
        return r;
    }
    wsi_ref_init(&message->ref);
    message->compressible = (type & WSOCK_UNCOMPRESSED) == 0;
    message->pool = wsi_pool_ref(&runtime->pool);
    *out = message;
    return 0;
}

wsock_message *wsock_message_ref(wsock_message *message)
{
    wsi_ref_take(&message->ref);
    return message;
}

void wsock_message_unref(wsock_message *message)
{
    if (message == NULL || !wsi_ref_drop(&message->ref))
        return;
    wsi_frames_drop_packed(&message->frames);
    wsi_blob_unref(message->frames.plain);
    wsi_pool_unref(message->pool);
    wsi_free(message);
}

/* Make the forms for these windows that are missing. */
static void pack(struct wsock_message *message, const struct wsi_options *options,
                 unsigned windows)
{
    if (message->compressible)
        wsi_frames_pack(&message->frames, message->pool, options, windows);
}

struct wsi_blob *wsi_message_frame_for(struct wsock_message *message,
                                       const struct wsock_conn *conn)
{
    unsigned window;

    if (wsi_conn_state(conn) == WSI_CONN_OPENING) /* nothing is agreed yet */
        return message->frames.plain;
    window = wsi_window_of(conn);
    if (window != 0)
        pack(message, &conn->profile->options, window);
    return wsi_frames_for(&message->frames, conn);
}

int wsock_message_type(const wsock_message *message)
{
    return message != NULL ? message->frames.plain->data[0] & 0x0f : 0;
}

const void *wsock_message_data(const wsock_message *message)
{
    return message != NULL ? wsi_encoded_payload(message->frames.plain).data : NULL;
}

size_t wsock_message_len(const wsock_message *message)
{
    return message != NULL ? wsi_encoded_payload(message->frames.plain).len : 0;
}
