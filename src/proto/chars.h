/* SPDX-License-Identifier: MIT */
/*
 * Which byte may stand where in HTTP and in URLs, whatever the locale: one table look-up
 * instead of <ctype.h>.
 */
#ifndef WSI_PROTO_CHARS_H
#define WSI_PROTO_CHARS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

enum {
    WSI_CHAR_TOKEN = 0x01, /* tchar, RFC 9110 section 5.6.2 */
    WSI_CHAR_VALUE = 0x02, /* field-vchar, blank and tab, RFC 9110 section 5.5 */
    WSI_CHAR_TARGET =
        0x04,             /* what a request target may hold: visible ASCII but '#'.
                             Wider than RFC 3986, as browsers leave | and { as they are */
    WSI_CHAR_HOST = 0x08, /* reg-name without percent-encoding, RFC 3986 section 3.2.2 */
    WSI_CHAR_URL = 0x10,  /* pchar, '%', '/' and '?', RFC 3986 section 3.3 */
    WSI_CHAR_DIGIT = 0x20,
    WSI_CHAR_HEX = 0x40,
};

extern const uint8_t wsi_char_class[256];

static inline bool wsi_char_is(char c, unsigned char_class)
{
    return (wsi_char_class[(unsigned char)c] & char_class) != 0;
}

/** True when every byte is of (one of) the classes; also of an empty text. */
bool wsi_chars_all(struct wsi_str text, unsigned char_class);

/** The value of a hexadecimal digit, -1 for another character. */
int wsi_char_hex(char c);

/** True when each '%' begins a whole escape (RFC 3986 section 2.1). */
bool wsi_chars_escapes_are_whole(struct wsi_str text);

#endif
