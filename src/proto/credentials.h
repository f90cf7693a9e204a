/* SPDX-License-Identifier: MIT */
/* What an Authorization header says, RFC 9110 section 11.6.2: Basic and Bearer. */
#ifndef WSI_PROTO_CREDENTIALS_H
#define WSI_PROTO_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"

/**
 * Basic (RFC 7617): base64 of user-id, colon and password, none of which has a control
 * character. Bytes above 0x7f are left as they are, in whatever encoding.
 *
 * @param authorization the value of the header.
 * @return how many bytes wsi_basic_write() writes; 0 when it is anything else.
 */
size_t wsi_basic_size(struct wsi_str authorization);

/** User and password, each with a NUL behind it, of a value with a size. */
void wsi_basic_write(char *out, struct wsi_str authorization);

/** Bearer (RFC 6750 section 2.1). @param token (out) the end of the value. @return false
 *  when it is anything else. */
bool wsi_bearer_token(struct wsi_str authorization, struct wsi_str *token);

#endif
