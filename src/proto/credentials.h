/* SPDX-License-Identifier: MIT */
/* What an Authorization header says, RFC 9110 section 11.6.2: Basic and Bearer; and what
 * a URL says of user and password, which becomes one. */
#ifndef WSI_PROTO_CREDENTIALS_H
#define WSI_PROTO_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"
#include "proto/base64.h"

enum { WSI_CREDENTIAL_MAX = 512 };

struct wsi_credentials {
    char user[WSI_CREDENTIAL_MAX], password[WSI_CREDENTIAL_MAX];
    size_t user_len, password_len;
};

/** Two parts of a URL, percent-encoded. @return NULL, or what is wrong with them. */
const char *wsi_credentials_decode(struct wsi_credentials *out, struct wsi_str user,
                                   struct wsi_str password);

/* "Basic ", base64 and a NUL. */
#define WSI_BASIC_SIZE (6 + WSI_BASE64_LEN(2 * (size_t)WSI_CREDENTIAL_MAX + 1) + 1)

/** @return NULL, or why Basic cannot say these. */
const char *wsi_basic_refuses(const struct wsi_credentials *credentials);
/** The value of a header, RFC 7617 section 2. @param out WSI_BASIC_SIZE bytes.
 *  @return it */
struct wsi_str wsi_basic_make(char *out, const struct wsi_credentials *credentials);

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
