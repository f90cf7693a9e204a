/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259) as far as messages need it that others wrote or will read: is a text
 * one value, and how does a text stand in a string. Nothing is parsed into anything.
 */
#ifndef WSI_PROTO_JSON_H
#define WSI_PROTO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WSI_JSON_DEPTH_MAX = 64 };

/**
 * True when a text is one value, with white space around it or not, whose arrays and
 * objects nest at most WSI_JSON_DEPTH_MAX deep. Escaped surrogates must come in pairs:
 * the grammar lets single ones pass, but parsers refuse what they stand for.
 *
 * @param data valid UTF-8.
 */
bool wsi_json_is_value(const void *data, size_t len);

/** How long a text is as a string, without the quotes. @param data valid UTF-8. */
size_t wsi_json_escaped_len(const void *data, size_t len);

/** Write it so. @param out so many bytes. @return where they end. */
uint8_t *wsi_json_escape(uint8_t *out, const void *data, size_t len);

#endif
