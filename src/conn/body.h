/* SPDX-License-Identifier: MIT */
/* The body of a plain request to a server: the phase BODY of an opening. */
#ifndef WSI_CONN_BODY_H
#define WSI_CONN_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsi_http_head;
struct wsock_conn;

/** Whether the server takes any. */
bool wsi_body_is_welcome(const struct wsock_conn *conn);

/** A request came that may have one; the head is void behind this. @return true when the
 *  body is whole; false when it is still coming, or the request has been refused. */
bool wsi_body_begin(struct wsock_conn *conn, const struct wsi_http_head *head,
                    size_t head_len);
/** In the phase BODY. @return as above. */
bool wsi_body_receive(struct wsock_conn *conn, const uint8_t *data, size_t len);

#endif
