/* SPDX-License-Identifier: MIT */
/*
 * Credentials in the two schemes that need no state. A value that is not exactly what its
 * RFC says is none at all: what two readers understand differently lets in strangers.
 */
#include "proto/credentials.h"

#include <assert.h>
#include <stdint.h>

#include "proto/base64.h"
#include "proto/chars.h"
#include "proto/url.h"

/* Base64 that is decoded at once, and what comes of it. */
enum { PIECE = 256, PIECE_BYTES = PIECE / 4 * 3 };

/* The one word behind a scheme and blanks. */
static bool word_behind(struct wsi_str value, struct wsi_str scheme, struct wsi_str *word)
{
    size_t at = scheme.len;

    if (value.len <= at ||
        !wsi_str_equal_nocase((struct wsi_str){value.ptr, at}, scheme) ||
        value.ptr[at] != ' ')
        return false;
    while (at < value.len && value.ptr[at] == ' ')
        at++;
    *word = (struct wsi_str){value.ptr + at, value.len - at};
    return word->len > 0;
}

/* ---- Basic ---- */

/* Take a piece of base64 and decode it. Padding ends it: that of a piece before the last
 * would be taken for the end by nobody else. @return bytes, 0 at the end, -1. */
static ptrdiff_t take_piece(uint8_t out[PIECE_BYTES], struct wsi_str *rest)
{
    struct wsi_str piece = *rest;

    if (piece.len > PIECE)
        piece.len = PIECE;
    rest->ptr += piece.len;
    rest->len -= piece.len;
    if (rest->len > 0 && piece.ptr[piece.len - 1] == '=')
        return -1;
    return wsi_base64_decode(out, piece);
}

size_t wsi_basic_size(struct wsi_str authorization)
{
    uint8_t bytes[PIECE_BYTES];
    struct wsi_str rest;
    size_t size = 0;
    bool colon = false;
    ptrdiff_t n;

    if (!word_behind(authorization, WSI_STR("Basic"), &rest))
        return 0;
    while ((n = take_piece(bytes, &rest)) > 0) {
        for (ptrdiff_t i = 0; i < n; i++) {
            if (bytes[i] < ' ' || bytes[i] == 0x7f)
                return 0;
            colon = colon || bytes[i] == ':';
        }
        size += (size_t)n;
    }
    /* The first colon's place is that of a NUL. */
    return n == 0 && colon ? size + 1 : 0;
}

void wsi_basic_write(char *out, struct wsi_str authorization)
{
    uint8_t bytes[PIECE_BYTES];
    struct wsi_str rest = authorization;
    char *start = out;
    ptrdiff_t n;

    word_behind(authorization, WSI_STR("Basic"), &rest);
    while ((n = take_piece(bytes, &rest)) > 0) {
        memcpy(out, bytes, (size_t)n);
        out += n;
    }
    *out = '\0';
    out = strchr(start, ':');
    assert(out != NULL);
    *out = '\0';
}

/* ---- of a URL ---- */

static const char *decode(char *out, size_t *out_len, struct wsi_str in)
{
    char decoded[3 * WSI_CREDENTIAL_MAX];
    size_t len = sizeof decoded;

    if (in.len <= sizeof decoded && !wsi_percent_decode(in, false, decoded, &len))
        return "two hexadecimal digits must follow each '%'";
    if (len > WSI_CREDENTIAL_MAX)
        return "a user or password is longer than 512 bytes";
    memcpy(out, decoded, len);
    *out_len = len;
    return NULL;
}

const char *wsi_credentials_decode(struct wsi_credentials *out, struct wsi_str user,
                                   struct wsi_str password)
{
    const char *why = decode(out->user, &out->user_len, user);

    return why != NULL ? why : decode(out->password, &out->password_len, password);
}

static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return true;
    return false;
}

const char *wsi_basic_refuses(const struct wsi_credentials *credentials)
{
    if (has_control(credentials->user, credentials->user_len) ||
        has_control(credentials->password, credentials->password_len))
        return "a user or password has a control character";
    return memchr(credentials->user, ':', credentials->user_len) != NULL
               ? "a user of HTTP has a colon"
               : NULL;
}

struct wsi_str wsi_basic_make(char *out, const struct wsi_credentials *credentials)
{
    static const char scheme[] = "Basic ";
    char both[2 * WSI_CREDENTIAL_MAX + 1];
    size_t len = credentials->user_len;

    memcpy(both, credentials->user, len);
    both[len++] = ':';
    memcpy(both + len, credentials->password, credentials->password_len);
    len += credentials->password_len;
    memcpy(out, scheme, sizeof scheme - 1);
    wsi_base64_encode(out + sizeof scheme - 1, both, len);
    return wsi_str_of(out);
}

/* ---- Bearer ---- */

/* b64token: some characters, then any number of "=" */
bool wsi_bearer_token(struct wsi_str authorization, struct wsi_str *token)
{
    struct wsi_str word;
    size_t len;

    if (!word_behind(authorization, WSI_STR("Bearer"), &word))
        return false;
    len = word.len;
    while (len > 0 && word.ptr[len - 1] == '=')
        len--;
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char c = word.ptr[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && !wsi_char_is(c, WSI_CHAR_DIGIT) &&
            (c == '\0' || strchr("-._~+/", c) == NULL))
            return false;
    }
    *token = word;
    return true;
}
