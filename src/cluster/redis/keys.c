/* SPDX-License-Identifier: MIT */
/* Names at the broker, and the slots they are in. */
#include "cluster/redis/keys.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char digits[] = "0123456789ABCDEF";

static size_t encode(char *out, const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c == '%' || c == '{' || c == '}') {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
    return n;
}

bool wsi_key_prefix(char out[3 * WSI_PREFIX_MAX + 1], const char *prefix)
{
    if (strlen(prefix) > WSI_PREFIX_MAX)
        return false;
    encode(out, prefix);
    return true;
}

void wsi_key_base(struct wsi_key *key, const char *prefix, char kind, const char *name)
{
    char *at = key->text;

    assert(name == NULL || strlen(name) <= WSI_NAME_MAX);
    at += snprintf(at, sizeof key->text, "%s:{%c", prefix, kind);
    if (name != NULL) {
        *at++ = ':';
        at += encode(at, name);
    }
    *at++ = '}';
    *at = '\0';
    key->len = (size_t)(at - key->text);
}

void wsi_key_add(struct wsi_key *key, const char *more)
{
    const size_t len = strlen(more);

    assert(key->len + len < sizeof key->text);
    memcpy(key->text + key->len, more, len + 1);
    key->len += len;
}

void wsi_key_channel(struct wsi_key *key, const char *prefix,
                     const struct wsi_bus_channel *channel)
{
    static const char kinds[] = {
        [WSI_BUS_ROOM] = 'r', [WSI_BUS_NODE] = 'n', [WSI_BUS_ALL] = 'a'};

    wsi_key_base(key, prefix, kinds[channel->kind],
                 channel->kind == WSI_BUS_ALL ? NULL : channel->name);
}

/* The prefix may hold what is special in patterns of Redis. */
void wsi_key_all_rooms(struct wsi_key *key, const char *prefix)
{
    size_t n = 0;

    for (; *prefix != '\0'; prefix++) {
        if (strchr("*?[]\\", *prefix) != NULL)
            key->text[n++] = '\\';
        key->text[n++] = *prefix;
    }
    key->len = n;
    key->text[n] = '\0';
    wsi_key_add(key, ":{r:*}");
}

static int value_of(char c)
{
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

bool wsi_key_room_of(char *name, const char *prefix, const char *channel, size_t len)
{
    const size_t before = strlen(prefix);
    size_t n = 0;

    if (len < before + 5 || memcmp(channel, prefix, before) != 0 ||
        memcmp(channel + before, ":{r:", 4) != 0 || channel[len - 1] != '}')
        return false;
    for (size_t i = before + 4; i < len - 1; i++) {
        char c = channel[i];

        if (n == WSI_NAME_MAX)
            return false;
        if (c == '%') {
            if (i + 2 >= len - 1 || value_of(channel[i + 1]) < 0 ||
                value_of(channel[i + 2]) < 0)
                return false;
            c = (char)(value_of(channel[i + 1]) * 16 + value_of(channel[i + 2]));
            i += 2;
        }
        if (c == '\0')
            return false;
        name[n++] = c;
    }
    name[n] = '\0';
    return n > 0;
}

/* CRC-16/XMODEM, which the specification of Redis Cluster names. */
static unsigned crc16(const char *data, size_t len)
{
    unsigned crc = 0;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned)(unsigned char)data[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? (crc << 1 ^ 0x1021) & 0xFFFF : crc << 1 & 0xFFFF;
    }
    return crc;
}

unsigned wsi_key_slot(const char *key, size_t len)
{
    const char *open = memchr(key, '{', len);
    const char *shut = open != NULL ? memchr(open, '}', len - (size_t)(open - key))
                                    : NULL;

    if (shut == NULL || shut == open + 1)
        return crc16(key, len) % WSI_SLOTS;
    return crc16(open + 1, (size_t)(shut - open - 1)) % WSI_SLOTS;
}
