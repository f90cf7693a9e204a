/* SPDX-License-Identifier: MIT */
/* What the parser of heads and the walker of accepted heads share: lines and blanks. */
#ifndef WSI_PROTO_HTTP_LINE_H
#define WSI_PROTO_HTTP_LINE_H

#include <stdbool.h>

#include "core/str.h"

/**
 * Take the next line off the front of text.
 *
 * @param line (out) without its CRLF.
 * @return false when text has no CR any more, or one that no LF follows; nothing is
 *         taken then.
 */
static inline bool wsi_http_line_next(struct wsi_str *text, struct wsi_str *line)
{
    const char *cr = text->len != 0 ? memchr(text->ptr, '\r', text->len) : NULL;
    size_t len;

    if (cr == NULL)
        return false;
    len = (size_t)(cr - text->ptr);
    if (text->len - len < 2 || cr[1] != '\n')
        return false;
    *line = (struct wsi_str){text->ptr, len};
    *text = (struct wsi_str){cr + 2, text->len - len - 2};
    return true;
}

static inline bool wsi_http_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/** Without the blanks (OWS, RFC 9110 section 5.6.3) around it. */
static inline struct wsi_str wsi_http_trim(struct wsi_str text)
{
    while (text.len != 0 && wsi_http_is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len != 0 && wsi_http_is_blank(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

#endif
