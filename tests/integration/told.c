/* SPDX-License-Identifier: MIT */
/* Reading frames, which are known well enough to be searched for their fields. */
#include "told.h"

#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "proto/base64.h"

static uint64_t number(const char *text, const char *field, int base)
{
    const char *at = strstr(text, field);

    return at != NULL ? strtoull(at + strlen(field), NULL, base) : 0;
}

static bool read_bytes(struct told *told, const char *text)
{
    static const char field[] = "\"data\":{\"b64\":\"";
    const char *at = strstr(text, field);
    ptrdiff_t len;
    size_t chars;

    if (at == NULL)
        return false;
    at += sizeof field - 1;
    chars = strcspn(at, "\"");
    if (chars > sizeof told->data)
        return false;
    len = wsi_base64_decode(told->data, (struct wsi_str){at, chars});
    told->len = len >= 0 ? (size_t)len : 0;
    return len >= 0;
}

bool told_of_members(const void *frame, size_t len)
{
    static const char *const kinds[] = {"{\"type\":\"joined\"", "{\"type\":\"left\"",
                                        "{\"type\":\"presence\""};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (len > strlen(kinds[i]) && memcmp(frame, kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

bool told_read(struct told *told, const void *frame, size_t len)
{
    static const char msg[] = "{\"type\":\"msg\",", skip[] = "{\"type\":\"skip\",";
    char text[2048] = "";

    if (len >= sizeof text)
        return false;
    memcpy(text, frame, len);
    told->skip = strncmp(text, skip, sizeof skip - 1) == 0;
    told->epoch = number(text, "\"epoch\":\"", 16);
    told->offset = number(text, "\"offset\":", 10);
    told->prev = number(text, "\"prev\":", 10);
    if (told->skip)
        return true;
    return strncmp(text, msg, sizeof msg - 1) == 0 && read_bytes(told, text);
}
