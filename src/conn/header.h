/* SPDX-License-Identifier: MIT */
/* Header fields that the application adds to a request or an answer. */
#ifndef WSI_CONN_HEADER_H
#define WSI_CONN_HEADER_H

#include <stdbool.h>

#include "core/buf.h"
#include "core/str.h"

/**
 * Append "name: value" CRLF.
 *
 * @return 0; WSOCK_EINVAL for what is no valid field (a CR or LF in it, say), or a field
 * that the library writes itself; WSOCK_ETOOBIG; WSOCK_ENOMEM.
 */
int wsi_header_append(struct wsi_buf *lines, const char *name, const char *value,
                      size_t limit_bytes);

/** Have one field of that name, at the end, in place of all there are; or none, if value
 *  is NULL. @return the same; on failure nothing has changed. */
int wsi_header_set(struct wsi_buf *lines, const char *name, const char *value,
                   size_t limit_bytes);

/** Whether a line is a field of that name. */
bool wsi_header_is(struct wsi_str line, struct wsi_str name);

#endif
