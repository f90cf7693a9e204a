/* SPDX-License-Identifier: MIT */
/* What the targets of both heads do alike: look for the end, and compare readings. */
#ifndef WSI_TEST_FUZZ_HEAD_H
#define WSI_TEST_FUZZ_HEAD_H

#include "fuzz.h"

#include "core/buf.h"
#include "proto/http.h"

enum {
    FUZZ_HEAD_MAX = 2048, /* low enough for the input to exceed them */
    FUZZ_FIELDS_MAX = 24,
    FUZZ_WRITE_MAX = 1 << 20,
};

/**
 * Look for the end of the head at once and byte by byte, which must agree.
 *
 * @return as wsi_http_scan(); a refusal is counted as 0.
 */
static inline size_t fuzz_head_end(const uint8_t *data, size_t len)
{
    struct wsi_http_scan scan = {0}, steps = {0};
    struct wsi_http_refusal refusal = {0}, other = {0};
    const ptrdiff_t end = wsi_http_scan(&scan, data, len, FUZZ_HEAD_MAX, &refusal);
    ptrdiff_t found = 0;
    size_t have = 0;

    while (found == 0 && have < len) {
        uint8_t *part = fuzz_copy(data, ++have);

        found = wsi_http_scan(&steps, part, have, FUZZ_HEAD_MAX, &other);
        free(part);
    }
    CHECK(len == 0 || (found == end && refusal.status == other.status));
    CHECK(refusal.why == other.why);
    CHECK(end >= 0 || refusal.status == 400 || refusal.status == 431);
    CHECK(end <= FUZZ_HEAD_MAX);
    return end > 0 ? (size_t)end : 0;
}

/** Every field is well-formed, lies in the head, and is found by its name. */
static inline void fuzz_check_fields(const struct wsi_http_head *head, struct wsi_str raw)
{
    CHECK(head->count <= FUZZ_FIELDS_MAX && head->minor <= 1);
    for (unsigned i = 0; i < head->count; i++) {
        const struct wsi_http_field *field = &head->fields[i];
        const struct wsi_http_field *found;
        unsigned nth = 0;

        CHECK(fuzz_lies_inside(field->name, raw.ptr, raw.len));
        CHECK(fuzz_lies_inside(field->value, raw.ptr, raw.len));
        CHECK(wsi_http_is_token(field->name) && wsi_http_is_field_value(field->value));
        while ((found = wsi_http_find(head, field->name, nth)) != field) {
            CHECK(found != NULL);
            nth++;
        }
    }
}

/** What a writer wrote is the head of a response that the parser takes whole. */
static inline void fuzz_parse_written(const struct wsi_buf *out,
                                      struct wsi_http_head *head)
{
    struct wsi_http_scan scan = {0};
    struct wsi_http_refusal refusal;
    const ptrdiff_t end = wsi_http_scan(&scan, out->data, out->len, FUZZ_WRITE_MAX,
                                        &refusal);

    CHECK(end > 0);
    CHECK(wsi_http_parse_response(out->data, (size_t)end, FUZZ_FIELDS_MAX, head,
                                  &refusal) == 0);
}

#endif
