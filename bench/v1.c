/* SPDX-License-Identifier: MIT */
#include "v1.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 8192 };

/* ---- what comes ---- */

static void keep(struct v1_reader *reader, const void *data, size_t len)
{
    if (reader->size - reader->len < len + 1) {
        reader->size = 2 * (reader->len + len + 1);
        reader->part = realloc(reader->part, reader->size);
        if (reader->part == NULL)
            die("out of memory");
    }
    memcpy(reader->part + reader->len, data, len);
    reader->len += len;
    reader->part[reader->len] = '\0';
}

static void drop(struct v1_reader *reader, size_t len)
{
    reader->len -= len;
    memmove(reader->part, reader->part + len, reader->len + 1);
}

/* @param out (out) where the payload begins, and its length.
 * @return bytes of the whole frame; 0 when it is not there yet. */
static size_t find_frame(const unsigned char *data, size_t have, size_t *at, size_t *len)
{
    const size_t more = have < 2 ? 0 : data[1] == 126 ? 2 : data[1] == 127 ? 8 : 0;

    if (have < 2 + more)
        return 0;
    *at = 2 + more;
    *len = more == 0 ? data[1] : 0;
    for (size_t i = 0; i < more; i++)
        *len = *len << 8 | data[2 + i];
    return have - *at >= *len ? *at + *len : 0;
}

void v1_read(struct v1_reader *reader, const void *data, size_t len, v1_text_fn heard,
             void *user)
{
    size_t done = 0, size, at, text_len;

    keep(reader, data, len);
    while ((size = find_frame((unsigned char *)reader->part + done, reader->len - done,
                              &at, &text_len)) > 0) {
        char *text = reader->part + done + at;
        const char behind = text[text_len];

        if ((unsigned char)reader->part[done] == BYTE0_TEXT) {
            text[text_len] = '\0';
            heard(user, text);
            text[text_len] = behind;
        }
        done += size;
    }
    drop(reader, done);
}

bool v1_read_head(struct v1_reader *reader, const struct target *target, const void *data,
                  size_t len)
{
    const char *end;
    char head[RESPONSE_MAX];
    size_t head_len;

    keep(reader, data, len);
    end = strstr(reader->part, "\r\n\r\n");
    if (end == NULL && reader->len < sizeof head)
        return false;
    head_len = end != NULL ? (size_t)(end - reader->part) + 4 : reader->len;
    if (head_len >= sizeof head)
        die("the response's head is too long");
    memcpy(head, reader->part, head_len);
    if (!response_is_whole(target, head, head_len))
        return false;
    drop(reader, head_len);
    return true;
}

void v1_reader_fini(struct v1_reader *reader)
{
    free(reader->part);
    *reader = (struct v1_reader){0};
}

/* ---- what goes ---- */

void v1_send(struct wire *wire, const char *text)
{
    unsigned char frame[HEADER_MAX + TEXT_MAX];
    size_t len = strlen(text);

    if (len > TEXT_MAX)
        die("a text is too long");
    len = put_frame(frame, BYTE0_TEXT, text, len);
    if (wire_send(wire, frame, len) != (ssize_t)len)
        die_errno("send");
}

/* ---- fields ---- */

bool v1_is(const char *text, const char *type)
{
    static const char begin[] = "{\"type\":\"";
    const size_t len = strlen(type);

    return strncmp(text, begin, sizeof begin - 1) == 0 &&
           strncmp(text + sizeof begin - 1, type, len) == 0 &&
           text[sizeof begin - 1 + len] == '"';
}

const char *v1_field(const char *text, const char *name)
{
    char wanted[32];
    const char *at;

    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    at = strstr(text, wanted);
    return at != NULL ? at + strlen(wanted) : NULL;
}

uint64_t v1_number(const char *text, const char *name)
{
    const char *at = v1_field(text, name);

    return at != NULL ? strtoull(at, NULL, 10) : 0;
}
