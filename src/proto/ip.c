/* SPDX-License-Identifier: MIT */
/* Addresses and networks; stricter than inet_aton(), as authority.h says and why. */
#include "proto/ip.h"

#include <assert.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "proto/chars.h"
#include "proto/http.h"

enum { V4_START = 12, GROUPS = 8, V4_BITS = 96, BITS = 128 };

static const uint8_t mapped[V4_START] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ---- addresses ---- */

struct wsi_ip wsi_ip_v4(const uint8_t bytes[4])
{
    struct wsi_ip ip;

    memcpy(ip.bytes, mapped, V4_START);
    memcpy(ip.bytes + V4_START, bytes, 4);
    return ip;
}

bool wsi_ip_is_v4(const struct wsi_ip *ip)
{
    return memcmp(ip->bytes, mapped, V4_START) == 0;
}

/* dec-octet "." dec-octet "." dec-octet "." dec-octet, without leading zeros */
static bool parse_octets(uint8_t out[4], struct wsi_str text)
{
    size_t i = 0;

    for (unsigned octet = 0; octet < 4; octet++) {
        unsigned value = 0;
        const size_t start = octet == 0 ? 0 : ++i;

        while (i < text.len && i - start < 3 && wsi_char_is(text.ptr[i], WSI_CHAR_DIGIT))
            value = value * 10 + (unsigned)(text.ptr[i++] - '0');
        if (i == start || value > 255 || (i - start > 1 && text.ptr[start] == '0'))
            return false;
        if (octet < 3 && (i >= text.len || text.ptr[i] != '.'))
            return false;
        out[octet] = (uint8_t)value;
    }
    return i == text.len;
}

bool wsi_ip_parse_v4(struct wsi_ip *out, struct wsi_str text)
{
    uint8_t octets[4];

    if (!parse_octets(octets, text))
        return false;
    *out = wsi_ip_v4(octets);
    return true;
}

/* Take up to four hexadecimal digits. @return how many. */
static size_t take_group(struct wsi_str *text, unsigned *value)
{
    size_t n = 0;

    *value = 0;
    while (n < text->len && n < 4 && wsi_char_is(text->ptr[n], WSI_CHAR_HEX))
        *value = *value << 4 | (unsigned)wsi_char_hex(text->ptr[n++]);
    text->ptr += n;
    text->len -= n;
    return n;
}

static bool has(struct wsi_str text, char c)
{
    return text.len != 0 && memchr(text.ptr, c, text.len) != NULL;
}

static bool take(struct wsi_str *text, char c)
{
    if (text->len == 0 || *text->ptr != c)
        return false;
    text->ptr++;
    text->len--;
    return true;
}

/* The groups that were read; `gap` is how many of them stand before "::". */
struct groups {
    uint8_t bytes[16];
    size_t count, gap;
    bool has_gap;
};

/* Groups between colons up to the end, an IPv4 address in place of the last two. */
static bool parse_groups(struct groups *groups, struct wsi_str text)
{
    while (text.len > 0) {
        unsigned value;

        if (!has(text, ':') && has(text, '.')) {
            if (groups->count > GROUPS - 2 ||
                !parse_octets(groups->bytes + 2 * groups->count, text))
                return false;
            groups->count += 2;
            return true;
        }
        if (groups->count == GROUPS || take_group(&text, &value) == 0)
            return false;
        groups->bytes[2 * groups->count] = (uint8_t)(value >> 8);
        groups->bytes[2 * groups->count + 1] = (uint8_t)value;
        groups->count++;
        if (text.len == 0)
            return true;
        if (!take(&text, ':') || text.len == 0)
            return false;
        if (!take(&text, ':'))
            continue;
        if (groups->has_gap)
            return false;
        groups->has_gap = true;
        groups->gap = groups->count;
    }
    return groups->has_gap;
}

bool wsi_ip_parse_v6(struct wsi_ip *out, struct wsi_str text)
{
    struct groups groups = {.count = 0};
    size_t head, tail;

    if (text.len >= 2 && text.ptr[0] == ':' && text.ptr[1] == ':') {
        groups.has_gap = true;
        text.ptr += 2;
        text.len -= 2;
    }
    /* "::" stands for one group of zeros or more. */
    if (!parse_groups(&groups, text) ||
        (groups.has_gap ? groups.count >= GROUPS : groups.count != GROUPS))
        return false;
    head = groups.has_gap ? 2 * groups.gap : 16;
    tail = 2 * groups.count - head;
    memset(out->bytes, 0, sizeof out->bytes);
    memcpy(out->bytes, groups.bytes, head);
    memcpy(out->bytes + 16 - tail, groups.bytes + head, tail);
    return true;
}

bool wsi_ip_parse(struct wsi_ip *out, struct wsi_str text)
{
    return has(text, ':') ? wsi_ip_parse_v6(out, text) : wsi_ip_parse_v4(out, text);
}

/* ---- networks ---- */

/* The bits of a byte of a mask with so many bits in all. */
static uint8_t mask_at(unsigned bits, unsigned index)
{
    const unsigned before = 8 * index;

    if (bits >= before + 8)
        return 0xff;
    return (uint8_t)(bits <= before ? 0 : 0xff00u >> (bits - before));
}

static bool is_inside(const struct wsi_network *network, const struct wsi_ip *ip)
{
    for (unsigned i = 0; i < sizeof ip->bytes; i++)
        if (((network->ip.bytes[i] ^ ip->bytes[i]) & mask_at(network->bits, i)) != 0)
            return false;
    return true;
}

static bool parse_prefix(unsigned *out, struct wsi_str digits, unsigned max)
{
    unsigned value = 0;

    if (digits.len == 0 || digits.len > 3 || !wsi_chars_all(digits, WSI_CHAR_DIGIT) ||
        (digits.len > 1 && digits.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < digits.len; i++)
        value = value * 10 + (unsigned)(digits.ptr[i] - '0');
    *out = value;
    return value <= max;
}

const char *wsi_network_parse(struct wsi_network *out, struct wsi_str text)
{
    const char *slash = memchr(text.ptr, '/', text.len);
    struct wsi_str address = text, prefix = {NULL, 0};
    unsigned extra;

    if (slash != NULL) {
        address.len = (size_t)(slash - text.ptr);
        prefix = (struct wsi_str){slash + 1, text.len - address.len - 1};
    }
    if (!wsi_ip_parse(&out->ip, address))
        return "no address, no network, and not \"unix:\"";
    /* By how it is written: "::ffff:0:0/96" counts the bits of IPv6. */
    extra = has(address, ':') ? 0 : V4_BITS;
    out->bits = BITS;
    if (slash != NULL) {
        if (!parse_prefix(&out->bits, prefix, BITS - extra))
            return "the prefix is no number of bits that such an address has";
        out->bits += extra;
    }
    for (unsigned i = 0; i < sizeof out->ip.bytes; i++)
        if ((out->ip.bytes[i] & ~mask_at(out->bits, i) & 0xff) != 0)
            return "the address has bits set behind the prefix";
    return NULL;
}

bool wsi_network_has(const struct wsi_network *network, const struct wsi_ip *ip)
{
    const bool of_v4 = network->bits >= V4_BITS && wsi_ip_is_v4(&network->ip);

    return of_v4 == wsi_ip_is_v4(ip) && is_inside(network, ip);
}

int wsi_networks_parse(struct wsi_networks *out, struct wsi_str list,
                       struct wsi_list_error *error)
{
    struct wsi_networks networks = {0};
    struct wsi_str rest = list, element;
    unsigned count = 0;

    while (wsi_http_list_next(&rest, &element))
        count++;
    if (count > 0) {
        networks.items = wsi_alloc_array(count, sizeof *networks.items);
        if (networks.items == NULL)
            return WSOCK_ENOMEM;
    }
    while (wsi_http_list_next(&list, &element)) {
        const char *why = NULL;

        assert(networks.items != NULL && networks.count < count);
        if (wsi_str_equal_nocase(element, WSI_STR("unix:")))
            networks.has_unix = true;
        else
            why = wsi_network_parse(&networks.items[networks.count], element);
        if (why != NULL) {
            *error = (struct wsi_list_error){element, why};
            wsi_networks_fini(&networks);
            return WSOCK_EINVAL;
        }
        networks.count += !wsi_str_equal_nocase(element, WSI_STR("unix:"));
    }
    *out = networks;
    return 0;
}

void wsi_networks_fini(struct wsi_networks *networks)
{
    wsi_free(networks->items);
    *networks = (struct wsi_networks){0};
}

bool wsi_networks_have(const struct wsi_networks *networks, const struct wsi_ip *ip)
{
    for (unsigned i = 0; i < networks->count; i++)
        if (wsi_network_has(&networks->items[i], ip))
            return true;
    return false;
}
