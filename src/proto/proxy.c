/* SPDX-License-Identifier: MIT */
/*
 * Reading a PROXY header. It is trusted, so it is read to the letter: another spelling of
 * an address or a port, a block that its parts do not fill, or a checksum that is wrong
 * means that something else speaks.
 */
#include "proto/proxy.h"

#include "proto/chars.h"

static const char line_start[] = "PROXY ";
static const uint8_t signature[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                    0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
enum { LINE_START = sizeof line_start - 1, SIGNATURE = sizeof signature, HEAD = 16 };

static ptrdiff_t refuse(const char **why, const char *reason)
{
    *why = reason;
    return -1;
}

/* ---- version 1 ---- */

/* Take what stands before the next blank, or the rest. */
static struct wsi_str take_word(struct wsi_str *line)
{
    const char *blank = line->len > 0 ? memchr(line->ptr, ' ', line->len) : NULL;
    struct wsi_str word = *line;

    if (blank != NULL)
        word.len = (size_t)(blank - line->ptr);
    line->ptr += word.len + (blank != NULL);
    line->len -= word.len + (blank != NULL);
    return word;
}

static bool parse_port(struct wsi_str digits, uint16_t *port)
{
    unsigned value = 0;

    if (digits.len == 0 || digits.len > 5 || !wsi_chars_all(digits, WSI_CHAR_DIGIT) ||
        (digits.len > 1 && digits.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < digits.len; i++)
        value = value * 10 + (unsigned)(digits.ptr[i] - '0');
    *port = (uint16_t)value;
    return value <= 65535;
}

/* Both addresses, then both ports, and nothing behind them. */
static bool parse_ends(struct wsi_proxy *out, struct wsi_str rest,
                       bool (*parse)(struct wsi_ip *, struct wsi_str))
{
    const char *end = rest.ptr + rest.len;
    struct wsi_ip destination;
    struct wsi_str words[4];
    uint16_t port;

    for (int i = 0; i < 4; i++)
        words[i] = take_word(&rest);
    out->kind = WSI_PROXY_IP;
    return words[3].ptr + words[3].len == end && parse(&out->ip, words[0]) &&
           parse(&destination, words[1]) && parse_port(words[2], &out->port) &&
           parse_port(words[3], &port);
}

static bool parse_line(struct wsi_proxy *out, struct wsi_str line)
{
    const struct wsi_str family = take_word(&line);

    /* Whatever stands behind it is to be ignored. */
    if (wsi_str_equal(family, WSI_STR("UNKNOWN")))
        return true;
    if (wsi_str_equal(family, WSI_STR("TCP4")))
        return parse_ends(out, line, wsi_ip_parse_v4);
    return wsi_str_equal(family, WSI_STR("TCP6")) &&
           parse_ends(out, line, wsi_ip_parse_v6);
}

static ptrdiff_t parse_v1(struct wsi_proxy *out, const uint8_t *data, size_t len,
                          const char **why)
{
    size_t end = LINE_START;

    while (end < len && end < WSI_PROXY_LINE_MAX && data[end] >= ' ' && data[end] < 0x7f)
        end++;
    if (end + 2 > WSI_PROXY_LINE_MAX)
        return refuse(why, "the PROXY line is longer than 107 bytes");
    if (end < len && data[end] != '\r')
        return refuse(why, "the PROXY line has a byte that is no text");
    if (end + 1 < len && data[end + 1] != '\n')
        return refuse(why, "the PROXY line does not end in CR LF");
    if (end + 2 > len)
        return 0;
    if (!parse_line(out,
                    (struct wsi_str){(const char *)data + LINE_START, end - LINE_START}))
        return refuse(why, "the PROXY line is malformed");
    return (ptrdiff_t)end + 2;
}

/* ---- version 2 ---- */

enum { LOCAL = 0, FORWARDED = 1 }; /* commands */
enum { UNSPECIFIED = 0, INET = 1, INET6 = 2, UNIX = 3 };
enum { V4_BLOCK = 12, V6_BLOCK = 36, UNIX_PATH = 108, UNIX_BLOCK = 2 * UNIX_PATH };
enum { TLV_HEAD = 3, TLV_CRC32C = 0x03, TLV_SSL = 0x20 };
enum { CRC_SIZE = 4, SSL_SIZE = 5, SSL_CLIENT = 1 };

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* One byte more into a CRC-32C (RFC 3720 appendix B.4). */
static uint32_t crc32c_byte(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    return crc;
}

/* Of the whole header, with zeros where the checksum stands. */
static bool checksum_is_right(const uint8_t *data, size_t len, size_t at)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++)
        crc = crc32c_byte(crc, i - at < CRC_SIZE ? 0 : data[i]);
    return ~crc == ((uint32_t)be16(data + at) << 16 | be16(data + at + 2));
}

/* @return NULL, or what is wrong with what follows the addresses. */
static const char *read_tlvs(struct wsi_proxy *out, const uint8_t *data, size_t len,
                             size_t at)
{
    bool has_checksum = false;

    while (at < len) {
        size_t size;

        if (len - at < TLV_HEAD)
            return "the PROXY header ends inside a TLV";
        size = be16(data + at + 1);
        if (size > len - at - TLV_HEAD)
            return "the PROXY header ends inside a TLV";
        /* One at most: each costs a walk over all. */
        if (data[at] == TLV_CRC32C && (has_checksum || size != CRC_SIZE ||
                                       !checksum_is_right(data, len, at + TLV_HEAD)))
            return "the checksum of the PROXY header is wrong";
        if (data[at] == TLV_SSL && size >= SSL_SIZE)
            out->is_secure = (data[at + TLV_HEAD] & SSL_CLIENT) != 0;
        has_checksum = has_checksum || data[at] == TLV_CRC32C;
        at += TLV_HEAD + size;
    }
    return NULL;
}

/* The source. @return bytes of the addresses, -1 when the block is too short for them. */
static ptrdiff_t take_addresses(struct wsi_proxy *out, unsigned family,
                                const uint8_t *block, size_t len)
{
    static const size_t sizes[] = {0, V4_BLOCK, V6_BLOCK, UNIX_BLOCK};

    if (len < sizes[family])
        return -1;
    switch (family) {
    case INET:
        out->kind = WSI_PROXY_IP;
        out->ip = wsi_ip_v4(block);
        out->port = (uint16_t)be16(block + 8);
        break;
    case INET6:
        out->kind = WSI_PROXY_IP;
        memcpy(out->ip.bytes, block, sizeof out->ip.bytes);
        out->port = (uint16_t)be16(block + 32);
        break;
    case UNIX:
        out->kind = WSI_PROXY_UNIX;
        out->path = (struct wsi_str){(const char *)block,
                                     strnlen((const char *)block, UNIX_PATH)};
        break;
    default:
        break;
    }
    return (ptrdiff_t)sizes[family];
}

static ptrdiff_t parse_v2(struct wsi_proxy *out, const uint8_t *data, size_t len,
                          const char **why)
{
    unsigned family, transport;
    const char *wrong;
    ptrdiff_t addresses;
    size_t size;

    if (len > SIGNATURE && data[12] >> 4 != 2)
        return refuse(why, "the PROXY header is of a version that is not known");
    if (len > SIGNATURE && (data[12] & 15) > FORWARDED)
        return refuse(why, "the PROXY header has a command that is not known");
    if (len < HEAD)
        return 0;
    size = be16(data + 14);
    if (size > WSI_PROXY_BLOCK_MAX)
        return refuse(why, "the PROXY header is longer than 4096 bytes");
    if (len < HEAD + size)
        return 0;
    if ((data[12] & 15) == LOCAL)
        return (ptrdiff_t)(HEAD + size);
    family = data[13] >> 4;
    transport = data[13] & 15;
    if (family > UNIX || transport > 2 || (family == UNSPECIFIED) != (transport == 0))
        return refuse(why, "the PROXY header has a family that is not known");
    addresses = take_addresses(out, family, data + HEAD, size);
    if (addresses < 0)
        return refuse(why, "the PROXY header ends inside its addresses");
    wrong = read_tlvs(out, data, HEAD + size, HEAD + (size_t)addresses);
    return wrong != NULL ? refuse(why, wrong) : (ptrdiff_t)(HEAD + size);
}

/* ---- both ---- */

static bool begins_like(const void *start, size_t start_len, const uint8_t *data,
                        size_t len)
{
    return memcmp(start, data, len < start_len ? len : start_len) == 0;
}

ptrdiff_t wsi_proxy_parse(struct wsi_proxy *out, const uint8_t *data, size_t len,
                          const char **why)
{
    struct wsi_proxy found = {.kind = WSI_PROXY_ITSELF};
    ptrdiff_t r = 0;

    if (len == 0)
        return 0;
    if (begins_like(signature, SIGNATURE, data, len))
        r = parse_v2(&found, data, len, why);
    else if (!begins_like(line_start, LINE_START, data, len))
        return refuse(why, "no PROXY header");
    else if (len > LINE_START)
        r = parse_v1(&found, data, len, why);
    if (r > 0)
        *out = found;
    return r;
}
