/* SPDX-License-Identifier: MIT */
/** @file A message that is encoded once and may be sent to any number of connections. */
#ifndef WSOCK_MESSAGE_H
#define WSOCK_MESSAGE_H

#include <wsock/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Build a message. wsock_conn_send_message() and wsock_room_broadcast_message() send it.
 *
 * @param out  (out, owned)
 * @param type WSOCK_TEXT or WSOCK_BINARY, with or without WSOCK_UNCOMPRESSED.
 * @param data (borrowed until return) copied once.
 * @return 0; WSOCK_EUTF8 for text that is not; WSOCK_ETOOBIG from 2 GiB on; WSOCK_EINVAL
 * for the type; WSOCK_ENOMEM. Thread: any. Since: 1.0
 */
WSOCK_API int wsock_runtime_message(wsock_runtime *runtime, wsock_message **out, int type,
                                    const void *data, size_t len);

/** @return its argument. Thread: any. Since: 1.0 */
WSOCK_API wsock_message *wsock_message_ref(wsock_message *message);

/** @param message (nullable) Thread: any. Since: 1.0 */
WSOCK_API void wsock_message_unref(wsock_message *message);

/** WSOCK_TEXT or WSOCK_BINARY. Thread: any. Since: 1.0 */
WSOCK_API int wsock_message_type(const wsock_message *message);

/** The bytes, not NUL-terminated. @return (borrowed from message) Thread: any. Since: 1.0
 */
WSOCK_API const void *wsock_message_data(const wsock_message *message);

/** How many bytes. Thread: any. Since: 1.0 */
WSOCK_API size_t wsock_message_len(const wsock_message *message);

#ifdef __cplusplus
}
#endif

#endif
