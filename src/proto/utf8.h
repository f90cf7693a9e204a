/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 as RFC 3629 has it (no overlong forms, no surrogates, nothing above
 * U+10FFFF), checked as a stream: cut anywhere, and failing at the first byte that
 * no continuation can make good (RFC 6455 section 8.1).
 */
#ifndef WSI_PROTO_UTF8_H
#define WSI_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Zero at the start of a text and wherever the text may end. */
typedef uint32_t wsi_utf8_state;

/**
 * Check the next piece of a text.
 *
 * @return len when all of it is good so far, otherwise the index of the first bad byte.
 */
size_t wsi_utf8_check(wsi_utf8_state *state, const uint8_t *data, size_t len);

/** True when a whole text is valid. */
bool wsi_utf8_is_valid(const void *data, size_t len);

#endif
