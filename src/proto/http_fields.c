/* SPDX-License-Identifier: MIT */
/*
 * Looking things up in a head that was accepted: fields by name, lists of tokens (RFC
 * 9110 section 5.6.1), and the standard reason phrases.
 */
#include "proto/http.h"

#include "proto/chars.h"
#include "proto/http_line.h"
#include "proto/http_reason.h"

const struct wsi_http_field *wsi_http_find(const struct wsi_http_head *head,
                                           struct wsi_str name, unsigned nth)
{
    for (unsigned i = 0; i < head->count; i++)
        if (wsi_str_equal_nocase(head->fields[i].name, name) && nth-- == 0)
            return &head->fields[i];
    return NULL;
}

uint32_t wsi_http_retry_after(const struct wsi_http_head *head)
{
    const struct wsi_http_field *field = wsi_http_find(head, WSI_STR("Retry-After"), 0);
    uint64_t seconds = 0;

    if (field == NULL || !wsi_chars_all(field->value, WSI_CHAR_DIGIT))
        return 0;
    for (size_t i = 0; i < field->value.len && seconds <= UINT32_MAX; i++)
        seconds = seconds * 10 + (uint64_t)(field->value.ptr[i] - '0');
    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

bool wsi_http_list_next(struct wsi_str *list, struct wsi_str *element)
{
    while (list->len != 0) {
        const char *comma = memchr(list->ptr, ',', list->len);
        struct wsi_str piece = *list;

        if (comma != NULL)
            piece.len = (size_t)(comma - list->ptr);
        list->ptr += piece.len + (comma != NULL);
        list->len -= piece.len + (comma != NULL);
        piece = wsi_http_trim(piece);
        if (piece.len == 0)
            continue;
        *element = piece;
        return true;
    }
    return false;
}

bool wsi_http_list_has(const struct wsi_http_head *head, struct wsi_str name,
                       struct wsi_str token)
{
    for (unsigned i = 0; i < head->count; i++) {
        struct wsi_str list = head->fields[i].value, element;

        if (!wsi_str_equal_nocase(head->fields[i].name, name))
            continue;
        while (wsi_http_list_next(&list, &element))
            if (wsi_str_equal_nocase(element, token))
                return true;
    }
    return false;
}

bool wsi_http_is_token(struct wsi_str text)
{
    return text.len != 0 && wsi_chars_all(text, WSI_CHAR_TOKEN);
}

bool wsi_http_is_field_value(struct wsi_str text)
{
    if (text.len != 0 &&
        (wsi_http_is_blank(text.ptr[0]) || wsi_http_is_blank(text.ptr[text.len - 1])))
        return false;
    return wsi_chars_all(text, WSI_CHAR_VALUE);
}

const char *wsi_http_reason(unsigned status)
{
    switch (status) {
#define CASE(code, text) \
    case code:           \
        return text;
        WSI_HTTP_REASON_MAP(CASE)
#undef CASE
    default:
        return "";
    }
}
