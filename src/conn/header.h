/* SPDX-License-Identifier: MIT */
/* Header fields that the application adds to a request or an answer. */
#ifndef WSI_CONN_HEADER_H
#define WSI_CONN_HEADER_H

#include "core/buf.h"

/**
 * Append "name: value" CRLF.
 *
 * @return 0; WSOCK_EINVAL for what is no valid field (a CR or LF in it, say), or a field
 * that the library writes itself; WSOCK_ETOOBIG; WSOCK_ENOMEM.
 */
int wsi_header_append(struct wsi_buf *lines, const char *name, const char *value,
                      size_t limit_bytes);

#endif
