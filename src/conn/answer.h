/* SPDX-License-Identifier: MIT */
/* Answering a request, from any thread. The results are those of wsock/request.h. */
#ifndef WSI_CONN_ANSWER_H
#define WSI_CONN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

struct wsock_conn;

int wsi_answer_add_header(struct wsock_conn *conn, const char *name, const char *value);
/** It was asked, and has not been answered. */
bool wsi_answer_is_due(struct wsock_conn *conn);
int wsi_answer_accept(struct wsock_conn *conn, const char *subprotocol);
int wsi_answer_respond(struct wsock_conn *conn, unsigned status, const char *content_type,
                       const void *data, size_t len);

#endif
