/* SPDX-License-Identifier: MIT */
/* Reading JSON over, and writing strings of it. */
#include "proto/json.h"

#include <string.h>

#include "proto/chars.h"

/* ---- bytes that stand for themselves in a string ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static bool is_special(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static uint64_t zeros(uint64_t x)
{
    return (x - EACH(1)) & ~x & EACH(0x80);
}

/* Whether any of eight bytes is special; it does not say which. */
static bool has_special(uint64_t x)
{
    const uint64_t controls = (x - EACH(0x20)) & ~x & EACH(0x80);

    return (controls | zeros(x ^ EACH('"')) | zeros(x ^ EACH('\\'))) != 0;
}

/* @return the first special byte, or the end. */
static const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        uint64_t eight;

        memcpy(&eight, at, sizeof eight);
        if (has_special(eight))
            break;
        at += 8;
    }
    while (at < end && !is_special(*at))
        at++;
    return at;
}

/* ---- writing ---- */

/* The letter of a short escape, or 0. RFC 8259 section 7. */
static uint8_t short_escape(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

size_t wsi_json_escaped_len(const void *data, size_t len)
{
    const uint8_t *at = data;
    const uint8_t *end = len > 0 ? at + len : at;

    for (; (at = skip_plain(at, end)) < end; at++)
        len += short_escape(*at) != 0 ? 1 : 5;
    return len;
}

static uint8_t *write_escape(uint8_t *out, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t letter = short_escape(c);

    *out++ = '\\';
    if (letter != 0) {
        *out++ = letter;
        return out;
    }
    out[0] = 'u';
    out[1] = out[2] = '0';
    out[3] = (uint8_t)digits[c >> 4];
    out[4] = (uint8_t)digits[c & 0x0f];
    return out + 5;
}

uint8_t *wsi_json_escape(uint8_t *out, const void *data, size_t len)
{
    const uint8_t *at = data;
    const uint8_t *end = len > 0 ? at + len : at;

    while (at < end) {
        const uint8_t *special = skip_plain(at, end);

        memcpy(out, at, (size_t)(special - at));
        out += special - at;
        if (special < end)
            out = write_escape(out, *special++);
        at = special;
    }
    return out;
}

/* ---- reading over ---- */

/* Each step takes what it knows and says whether it was that; if not, all is over. */
struct reader {
    const uint8_t *at, *end;
    unsigned depth;
    uint64_t arrays; /* what is open, the innermost in the lowest bit: 1 is an array */
};
_Static_assert(WSI_JSON_DEPTH_MAX <= 64, "a bit for each");

static bool take(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != (uint8_t)c)
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, const char *word)
{
    const size_t len = strlen(word);

    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, word, len) != 0)
        return false;
    reader->at += len;
    return true;
}

static void skip_blanks(struct reader *reader)
{
    while (take(reader, ' ') || take(reader, '\n') || take(reader, '\r') ||
           take(reader, '\t'))
        ;
}

static bool take_digits(struct reader *reader)
{
    const uint8_t *start = reader->at;

    while (reader->at < reader->end && wsi_char_is((char)*reader->at, WSI_CHAR_DIGIT))
        reader->at++;
    return reader->at > start;
}

static bool take_number(struct reader *reader)
{
    take(reader, '-');
    if (!take(reader, '0') && !take_digits(reader))
        return false;
    if (take(reader, '.') && !take_digits(reader))
        return false;
    if (!take(reader, 'e') && !take(reader, 'E'))
        return true;
    if (!take(reader, '+'))
        take(reader, '-');
    return take_digits(reader);
}

/* Four digits. @return -1 for anything else. */
static int take_unit(struct reader *reader)
{
    int unit = 0;

    if (reader->end - reader->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const int digit = wsi_char_hex((char)*reader->at++);

        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* Behind "\u". */
static bool take_escaped_units(struct reader *reader)
{
    const int unit = take_unit(reader);

    if (unit < 0xd800 || unit > 0xdfff)
        return unit >= 0;
    return unit < 0xdc00 && take_word(reader, "\\u") &&
           (take_unit(reader) & 0xfc00) == 0xdc00;
}

/* Behind a backslash. */
static bool take_escape(struct reader *reader)
{
    if (take(reader, 'u'))
        return take_escaped_units(reader);
    if (reader->at == reader->end || *reader->at == '\0' ||
        strchr("\"\\/bfnrt", *reader->at) == NULL)
        return false;
    reader->at++;
    return true;
}

static bool take_string(struct reader *reader)
{
    if (!take(reader, '"'))
        return false;
    for (;;) {
        reader->at = skip_plain(reader->at, reader->end);
        if (take(reader, '"'))
            return true;
        if (!take(reader, '\\') || !take_escape(reader))
            return false;
    }
}

static bool take_scalar(struct reader *reader)
{
    switch (reader->at < reader->end ? *reader->at : 0) {
    case '"':
        return take_string(reader);
    case 't':
        return take_word(reader, "true");
    case 'f':
        return take_word(reader, "false");
    case 'n':
        return take_word(reader, "null");
    default:
        return take_number(reader);
    }
}

static bool take_key(struct reader *reader)
{
    skip_blanks(reader);
    if (!take_string(reader))
        return false;
    skip_blanks(reader);
    return take(reader, ':');
}

static bool is_in_array(const struct reader *reader)
{
    return (reader->arrays & 1) != 0;
}

static bool open_one(struct reader *reader, bool array)
{
    if (reader->depth == WSI_JSON_DEPTH_MAX)
        return false;
    reader->depth++;
    reader->arrays = reader->arrays << 1 | array;
    return true;
}

static void close_one(struct reader *reader)
{
    reader->depth--;
    reader->arrays >>= 1;
}

/* A value has ended: what ends with it, and what leads to the next one. @return false
 * when that is nothing that may come. */
static bool take_ends(struct reader *reader)
{
    while (reader->depth > 0) {
        skip_blanks(reader);
        if (take(reader, ','))
            return is_in_array(reader) || take_key(reader);
        if (!take(reader, is_in_array(reader) ? ']' : '}'))
            return false;
        close_one(reader);
    }
    return true;
}

/* Where a value has to be: a scalar, one that is empty, or the way to the first in it.
 * @return false for anything else. @param ended (out) whether it was whole. */
static bool take_begin(struct reader *reader, bool *ended)
{
    *ended = true;
    skip_blanks(reader);
    if (!take(reader, '[') && !take(reader, '{'))
        return take_scalar(reader);
    if (!open_one(reader, reader->at[-1] == '['))
        return false;
    skip_blanks(reader);
    if (take(reader, is_in_array(reader) ? ']' : '}')) {
        close_one(reader);
        return true;
    }
    *ended = false;
    return is_in_array(reader) || take_key(reader);
}

bool wsi_json_is_value(const void *data, size_t len)
{
    struct reader reader = {.at = data, .end = data};

    if (len == 0)
        return false;
    reader.end += len;
    do {
        bool ended;

        if (!take_begin(&reader, &ended) || (ended && !take_ends(&reader)))
            return false;
    } while (reader.depth > 0);
    skip_blanks(&reader);
    return reader.at == reader.end;
}
