/* SPDX-License-Identifier: MIT */
/* The far end of a connection as a plain blocking socket, with frames written by hand. */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { DEADLINE_S = 30 };

static void set_deadline(int fd)
{
    const struct timeval limit = {.tv_sec = DEADLINE_S};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static socklen_t parse(const char *url, struct sockaddr_storage *to)
{
    struct sockaddr_in *v4 = (void *)to;
    struct sockaddr_in6 *v6 = (void *)to;
    struct sockaddr_un *un = (void *)to;
    const char *at = strchr(url, ':') + 1;
    unsigned port = 0;
    char host[64];

    memset(to, 0, sizeof *to);
    if (at[0] == '/' && at[1] != '/') {
        un->sun_family = AF_UNIX;
        snprintf(un->sun_path, sizeof un->sun_path, "%s", at);
        return sizeof *un;
    }
    if (sscanf(at, "//[%63[^]]]:%u", host, &port) == 2) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(AF_INET6, host, &v6->sin6_addr), 1);
        return sizeof *v6;
    }
    assert_int_equal(sscanf(at, "//%63[^:]:%u", host, &port), 2);
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    assert_int_equal(inet_pton(AF_INET, host, &v4->sin_addr), 1);
    return sizeof *v4;
}

int raw_connect(const char *url)
{
    struct sockaddr_storage to;
    const socklen_t len = parse(url, &to);
    const int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    set_deadline(fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
    return fd;
}

void raw_send(int fd, const void *data, size_t len)
{
    const char *bytes = data;

    while (len > 0) {
        const ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the other end is gone: the test sees that when it reads */
        bytes += n;
        len -= (size_t)n;
    }
}

void raw_text(int fd, const char *text)
{
    raw_send(fd, text, strlen(text));
}

size_t raw_read(int fd, void *out, size_t len)
{
    size_t have = 0;

    while (have < len) {
        const ssize_t n = recv(fd, (char *)out + have, len - have, 0);

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            fail_msg("nothing came before the deadline");
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    return have;
}

size_t raw_read_all(int fd, char *out, size_t size)
{
    const size_t len = raw_read(fd, out, size - 1);

    out[len] = '\0';
    return len;
}

size_t raw_read_head(int fd, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    while (len + 1 < size && strstr(out, "\r\n\r\n") == NULL) {
        if (raw_read(fd, out + len, 1) == 0)
            break;
        out[++len] = '\0';
    }
    return len;
}

static int status_of(const char *head)
{
    int status = 0;

    return sscanf(head, "HTTP/1.1 %d ", &status) == 1 ? status : 0;
}

int raw_http(const char *url, const char *request, char *out, size_t size)
{
    const int fd = raw_connect(url);

    raw_text(fd, request);
    raw_read_all(fd, out, size);
    close(fd);
    return status_of(out);
}

int raw_upgrade(int fd, const char *path, const char *headers)
{
    char head[8192];

    snprintf(head, sizeof head,
             "GET %s HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
             path, headers);
    raw_text(fd, head);
    raw_read_head(fd, head, sizeof head);
    return status_of(head);
}

int raw_open(const char *url)
{
    const int fd = raw_connect(url);

    assert_int_equal(raw_upgrade(fd, "/test", ""), 101);
    return fd;
}

/* ---- frames ---- */

static size_t write_header(uint8_t *out, unsigned byte0, uint64_t len, unsigned mask)
{
    size_t size = 2;

    out[0] = (uint8_t)byte0;
    out[1] = (uint8_t)(mask | (len < 126 ? len : len <= 0xffff ? 126 : 127));
    if (len > 0xffff)
        for (int i = 7; i >= 0; i--)
            out[size++] = (uint8_t)(len >> (8 * i));
    else if (len >= 126)
        for (int i = 1; i >= 0; i--)
            out[size++] = (uint8_t)(len >> (8 * i));
    if (mask != 0) {
        memset(out + size, 0, 4); /* a key of zeros changes nothing */
        size += 4;
    }
    return size;
}

void raw_frame_header(int fd, unsigned byte0, uint64_t len)
{
    uint8_t header[16];

    raw_send(fd, header, write_header(header, byte0, len, 0x80));
}

void raw_frame(int fd, unsigned byte0, const void *data, size_t len)
{
    uint8_t *frame = malloc(len + 16);
    size_t size;

    assert_non_null(frame);
    size = write_header(frame, byte0, len, 0x80);
    if (len > 0)
        memcpy(frame + size, data, len);
    raw_send(fd, frame, size + len);
    free(frame);
}

void raw_close_frame(int fd, unsigned code)
{
    const uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};

    raw_frame(fd, 0x88, payload, code != 1005 ? 2 : 0);
}

static bool discard(int fd, uint64_t len)
{
    char waste[4096];

    while (len > 0) {
        const size_t want = len < sizeof waste ? (size_t)len : sizeof waste;

        if (raw_read(fd, waste, want) < want)
            return false;
        len -= want;
    }
    return true;
}

int raw_receive(int fd, void *out, size_t size, size_t *len)
{
    uint8_t header[10], key[4] = {0};
    uint64_t left;
    size_t more = 0, kept;

    errno = 0;
    if (raw_read(fd, header, 2) < 2)
        return errno == ECONNRESET ? -1 : 0;
    left = header[1] & 0x7f;
    if (left >= 126)
        more = left == 126 ? 2 : 8;
    if (raw_read(fd, header + 2, more) < more)
        return -1;
    if (more > 0)
        left = 0;
    for (size_t i = 0; i < more; i++)
        left = left << 8 | header[2 + i];
    if (header[1] & 0x80 && raw_read(fd, key, sizeof key) < sizeof key)
        return -1;
    *len = (size_t)left;
    kept = left < size ? (size_t)left : size;
    if (raw_read(fd, out, kept) < kept || !discard(fd, left - kept))
        return -1;
    for (size_t i = 0; i < kept; i++)
        ((uint8_t *)out)[i] ^= key[i % 4];
    return header[0];
}

int raw_receive_close(int fd)
{
    uint8_t payload[125];
    size_t len;
    int byte0;

    while ((byte0 = raw_receive(fd, payload, sizeof payload, &len)) > 0)
        if ((byte0 & 0x0f) == 8)
            return len >= 2 ? payload[0] << 8 | payload[1] : 1005;
    return 1006;
}

bool raw_is_ended(int fd)
{
    char byte;

    return raw_read(fd, &byte, 1) == 0;
}

/* ---- a server by hand ---- */

int raw_listen(char *url, size_t size, int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    set_deadline(fd);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    snprintf(url, size, "ws://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    return fd;
}

int raw_accept(int fd)
{
    const int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    assert_true(accepted >= 0);
    set_deadline(accepted);
    return accepted;
}

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static void sha1_block(uint32_t state[5], const uint8_t *block)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    uint32_t w[80];

    for (int i = 0; i < 80; i++)
        w[i] = i < 16 ? (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                            (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3]
                      : rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        const uint32_t f = i < 20   ? (b & c) | (~b & d)
                           : i < 40 ? b ^ c ^ d
                           : i < 60 ? (b & c) | (b & d) | (c & d)
                                    : b ^ c ^ d;
        const uint32_t k = i < 20   ? 0x5a827999u
                           : i < 40 ? 0x6ed9eba1u
                           : i < 60 ? 0x8f1bbcdcu
                                    : 0xca62c1d6u;
        const uint32_t next = rotate(a, 5) + f + e + k + w[i];

        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* Of a key and the GUID, which are 60 bytes: two blocks. */
void raw_accept_key(const char *request, char out[32])
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    uint8_t block[128] = {0}, hash[21] = {0};
    const char *key = strstr(request, "Sec-WebSocket-Key: ");

    assert_non_null(key);
    memcpy(block, key + 19, 24);
    memcpy(block + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    block[60] = 0x80;
    block[126] = 60 * 8 >> 8;
    block[127] = 60 * 8 & 0xff;
    sha1_block(state, block);
    sha1_block(state, block + 64);
    for (int i = 0; i < 20; i++)
        hash[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < 7; i++) {
        const uint32_t three = (uint32_t)hash[3 * i] << 16 |
                               (uint32_t)hash[3 * i + 1] << 8 | hash[3 * i + 2];

        for (int j = 0; j < 4; j++)
            out[4 * i + j] = digits[three >> (18 - 6 * j) & 63];
    }
    out[27] = '=';
    out[28] = '\0';
}

void raw_answer_open(int fd, const char *headers)
{
    char text[4096], key[32];

    raw_read_head(fd, text, sizeof text);
    raw_accept_key(text, key);
    snprintf(text, sizeof text,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
             key, headers);
    raw_text(fd, text);
}

int raw_accept_open(int listening, const char *headers)
{
    const int fd = raw_accept(listening);

    raw_answer_open(fd, headers);
    return fd;
}
