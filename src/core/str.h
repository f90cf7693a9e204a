/* SPDX-License-Identifier: MIT */
/* A run of characters that somebody else owns; not NUL-terminated. */
#ifndef WSI_CORE_STR_H
#define WSI_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct wsi_str {
    const char *ptr;
    size_t len;
};

/* Of a string literal. */
#define WSI_STR(literal) ((struct wsi_str){(literal), sizeof(literal) - 1})

static inline struct wsi_str wsi_str_of(const char *text)
{
    return (struct wsi_str){text, text != NULL ? strlen(text) : 0};
}

static inline bool wsi_str_equal(struct wsi_str a, struct wsi_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/** Make a sentence for people one line, whatever a peer put into it. Bytes above 0x7F
 *  pass: text is UTF-8, and what is not was a peer's. */
static inline void wsi_str_flatten(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F)
            *text = '?';
}

/** The same for what a machine said: what is not ASCII goes too, as JSON and terminals
 * want UTF-8 and need not have got it. */
static inline void wsi_str_flatten_ascii(char *text)
{
    wsi_str_flatten(text);
    for (; *text != '\0'; text++)
        if ((unsigned char)*text > 0x7F)
            *text = '?';
}

/** The first element of a list that is malformed, and a clause that says why. */
struct wsi_list_error {
    struct wsi_str element;
    const char *why;
};

/** ASCII letters compare without case, whatever the locale. */
static inline bool wsi_str_equal_nocase(struct wsi_str a, struct wsi_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        const char x = a.ptr[i], y = b.ptr[i];
        const char lx = (char)(x >= 'A' && x <= 'Z' ? x + 32 : x);
        const char ly = (char)(y >= 'A' && y <= 'Z' ? y + 32 : y);

        if (lx != ly)
            return false;
    }
    return true;
}

#endif
