/* SPDX-License-Identifier: MIT */
/*
 * JSON, or any text. It is one value exactly if a plain reading by the grammar of RFC
 * 8259 says so, surrogates and depth included; and as a string it is one, which says the
 * text.
 */
#include "fuzz.h"

#include "proto/json.h"
#include "proto/utf8.h"

/* ---- a plain reading: each returns where it ends, NULL for what is none ---- */

static const uint8_t *blanks(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

static const uint8_t *digits(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *start = at;

    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > start ? at : NULL;
}

static const uint8_t *number(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *rest;

    if (at < end && *at == '-')
        at++;
    rest = digits(at, end);
    if (rest == NULL || (*at == '0' && rest > at + 1))
        return NULL;
    if (rest < end && *rest == '.')
        rest = digits(rest + 1, end);
    if (rest == NULL || rest == end || (*rest | 0x20) != 'e')
        return rest;
    rest++;
    if (rest < end && (*rest == '+' || *rest == '-'))
        rest++;
    return digits(rest, end);
}

/* The unit of "\uXXXX" there; -1 for anything else. */
static long unit_at(const uint8_t *at, const uint8_t *end)
{
    char text[5] = "";

    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    memcpy(text, at + 2, 4);
    return strspn(text, "0123456789abcdefABCDEF") == 4 ? strtol(text, NULL, 16) : -1;
}

static const uint8_t *escape(const uint8_t *at, const uint8_t *end)
{
    long unit;

    if (end - at < 2)
        return NULL;
    if (at[1] != 'u')
        return at[1] != 0 && strchr("\"\\/bfnrt", at[1]) != NULL ? at + 2 : NULL;
    unit = unit_at(at, end);
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return NULL;
    if (unit < 0xd800 || unit > 0xdfff)
        return at + 6;
    unit = unit_at(at + 6, end);
    return unit >= 0xdc00 && unit <= 0xdfff ? at + 12 : NULL;
}

static const uint8_t *string(const uint8_t *at, const uint8_t *end)
{
    if (at == end || *at++ != '"')
        return NULL;
    while (at != NULL && at < end) {
        if (*at == '"')
            return at + 1;
        if (*at < 0x20)
            return NULL;
        at = *at == '\\' ? escape(at, end) : at + 1;
    }
    return NULL;
}

static const uint8_t *value(const uint8_t *at, const uint8_t *end, int depth);

/* Of an array or object, behind what opens it. */
static const uint8_t *elements(const uint8_t *at, const uint8_t *end, int depth,
                               bool keys)
{
    const uint8_t last = keys ? '}' : ']';

    at = blanks(at, end);
    if (at < end && *at == last)
        return at + 1;
    for (;;) {
        if (keys) {
            at = string(blanks(at, end), end);
            at = at != NULL ? blanks(at, end) : end;
            if (at == end || *at++ != ':')
                return NULL;
        }
        at = value(at, end, depth);
        if (at == NULL || at == end)
            return NULL;
        if (*at == last)
            return at + 1;
        if (*at++ != ',')
            return NULL;
    }
}

static const uint8_t *word(const uint8_t *at, const uint8_t *end, const char *text)
{
    const size_t len = strlen(text);

    return (size_t)(end - at) >= len && memcmp(at, text, len) == 0 ? at + len : NULL;
}

/* With the blanks around it. */
static const uint8_t *value(const uint8_t *at, const uint8_t *end, int depth)
{
    at = blanks(at, end);
    if (at == end)
        return NULL;
    if (*at == '[' || *at == '{')
        at = depth > 0 ? elements(at + 1, end, depth - 1, *at == '{') : NULL;
    else if (*at == '"')
        at = string(at, end);
    else if (*at == 't' || *at == 'f' || *at == 'n')
        at = word(at, end, *at == 't' ? "true" : *at == 'f' ? "false" : "null");
    else
        at = number(at, end);
    return at != NULL ? blanks(at, end) : NULL;
}

/* ---- strings ---- */

static uint8_t unescaped(const uint8_t *at)
{
    static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    const char *letter = strchr(letters, at[1]);

    if (at[1] == 'u')
        return (uint8_t)unit_at(at, at + 6);
    return letter != NULL ? (uint8_t)bytes[letter - letters] : at[1];
}

static void check_string(const uint8_t *text, size_t len)
{
    const size_t escaped_len = wsi_json_escaped_len(text, len);
    uint8_t *out = malloc(escaped_len + 2);
    const uint8_t *at = out + 1;

    CHECK(out != NULL);
    out[0] = '"';
    CHECK(wsi_json_escape(out + 1, text, len) == out + 1 + escaped_len);
    out[escaped_len + 1] = '"';
    CHECK(wsi_json_is_value(out, escaped_len + 2));
    CHECK(string(out, out + escaped_len + 2) == out + escaped_len + 2);
    for (size_t i = 0; i < len; i++) {
        CHECK(text[i] == (*at == '\\' ? unescaped(at) : *at));
        at += *at != '\\' ? 1 : at[1] == 'u' ? 6 : 2;
    }
    CHECK(at == out + 1 + escaped_len);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *text = fuzz_copy(data, len);
    const bool is = wsi_json_is_value(text, len);

    if (wsi_utf8_is_valid(text, len)) {
        CHECK(is == (value(text, text + len, WSI_JSON_DEPTH_MAX) == text + len));
        check_string(text, len);
    }
    free(text);
    return 0;
}
