/* SPDX-License-Identifier: MIT */
/* Names of rooms. */
#include "room/name.h"

#include <stddef.h>
#include <string.h>

#include "proto/utf8.h"

enum { NAME_MAX_BYTES = 255 };

static bool is_text(const char *name)
{
    const size_t len = strlen(name);

    return len > 0 && len <= NAME_MAX_BYTES && wsi_utf8_is_valid(name, len);
}

/* @param wild whether it may be one that stands for others. */
static bool token_is_valid(const char *token, size_t len, bool wild, bool is_last)
{
    if (wild && len == 1 && (*token == '*' || (*token == '>' && is_last)))
        return true;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)token[i];

        if (c < 0x20 || c == 0x7f || c == '*' || c == '>')
            return false;
    }
    return len > 0;
}

static bool is_valid(const char *name, bool wild)
{
    if (!is_text(name))
        return false;
    for (;;) {
        const size_t len = strcspn(name, ".");
        const bool is_last = name[len] == '\0';

        if (!token_is_valid(name, len, wild, is_last))
            return false;
        if (is_last)
            return true;
        name += len + 1;
    }
}

bool wsi_room_name_is_valid(const char *name)
{
    return is_valid(name, false);
}

bool wsi_room_pattern_is_valid(const char *pattern)
{
    return is_valid(pattern, true);
}

bool wsi_room_pattern_matches(const char *pattern, const char *name)
{
    for (;;) {
        const size_t want = strcspn(pattern, "."), have = strcspn(name, ".");

        if (*pattern == '>')
            return true;
        if (*pattern != '*' && (want != have || memcmp(pattern, name, want) != 0))
            return false;
        if (pattern[want] == '\0' || name[have] == '\0')
            return pattern[want] == name[have];
        pattern += want + 1;
        name += have + 1;
    }
}
