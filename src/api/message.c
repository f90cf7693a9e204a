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
    message = wsi_alloc(sizeof *message);
    if (message == NULL)
        return WSOCK_ENOMEM;
    r = wsi_encode_message(&message->frame, type, data, len);
    if (r < 0) {
        wsi_free(message);
        return r;
    }
    wsi_ref_init(&message->ref);
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
    wsi_blob_unref(message->frame);
    wsi_pool_unref(message->pool);
    wsi_free(message);
}

int wsock_message_type(const wsock_message *message)
{
    return message != NULL ? message->frame->data[0] & 0x0f : 0;
}

const void *wsock_message_data(const wsock_message *message)
{
    return message != NULL ? wsi_encoded_payload(message->frame).data : NULL;
}

size_t wsock_message_len(const wsock_message *message)
{
    return message != NULL ? wsi_encoded_payload(message->frame).len : 0;
}
