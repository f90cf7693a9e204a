/* SPDX-License-Identifier: MIT */
/*
 * What proxies say of a client: a line with the list of those who are believed, then what
 * a connection brings: a PROXY header and the head of a request. The header is the same
 * however it is cut, and says what its bytes say; the client that the X-Forwarded fields
 * give is the one that a plain reading by inet_pton() gives.
 */
#include "head.h"

#include <arpa/inet.h>

#include <wsock/error.h>

#include "proto/authority.h"
#include "proto/forwarded.h"
#include "proto/proxy.h"

/* ---- addresses and lists, by the C library ---- */

/* Both families in 16 bytes. */
static bool read_ip(uint8_t out[16], struct wsi_str text)
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    char copy[64];

    if (text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET6, copy, out) == 1)
        return true;
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, copy, out + 12) == 1;
}

static bool is_v4(const uint8_t ip[16])
{
    uint8_t bytes[16] = {0};

    memcpy(bytes, ip, 12);
    return memcmp(bytes, (uint8_t[12]){[10] = 0xff, 0xff}, 12) == 0;
}

static bool bit(const uint8_t *bytes, unsigned n)
{
    return (bytes[n / 8] >> (7 - n % 8) & 1) != 0;
}

/* Whether an element of an accepted list has the address. */
static bool element_has(struct wsi_str element, const uint8_t ip[16])
{
    const char *slash = memchr(element.ptr, '/', element.len);
    struct wsi_str address = element;
    unsigned bits = 128;
    uint8_t network[16];

    if (slash != NULL)
        address.len = (size_t)(slash - element.ptr);
    if (!read_ip(network, address)) {
        CHECK(wsi_str_equal_nocase(element, WSI_STR("unix:")));
        return false;
    }
    if (slash != NULL) {
        bits = 0;
        for (const char *p = slash + 1; p < element.ptr + element.len; p++)
            bits = bits * 10 + (unsigned)(*p - '0');
        bits += memchr(address.ptr, ':', address.len) == NULL ? 96 : 0;
    }
    if ((is_v4(network) && bits >= 96) != is_v4(ip))
        return false;
    for (unsigned i = 0; i < bits; i++)
        if (bit(network, i) != bit(ip, i))
            return false;
    return true;
}

static bool list_has(struct wsi_str list, const uint8_t ip[16])
{
    struct wsi_str element;

    while (wsi_http_list_next(&list, &element))
        if (element_has(element, ip))
            return true;
    return false;
}

/* ---- the header ---- */

/* At once and in every beginning. @return bytes; 0 when it was refused or is not whole.
 */
static size_t parse_header(struct wsi_proxy *out, const uint8_t *data, size_t len)
{
    const char *why = NULL, *other = NULL;
    struct wsi_proxy part = {0};
    const ptrdiff_t whole = wsi_proxy_parse(out, data, len, &why);
    ptrdiff_t r = 0;

    CHECK(whole >= -1 && (whole <= 0 || (size_t)whole <= len));
    CHECK(whole <= 16 + WSI_PROXY_BLOCK_MAX && (whole == -1) == (why != NULL));
    for (size_t have = 1; have <= len && r == 0; have++) {
        uint8_t *copy = fuzz_copy(data, have);

        r = wsi_proxy_parse(&part, copy, have, &other);
        CHECK(r <= 0 || (size_t)r == have);
        free(copy);
    }
    CHECK(r == whole && why == other);
    CHECK(whole <= 0 || (part.kind == out->kind && part.port == out->port &&
                         part.is_secure == out->is_secure &&
                         memcmp(&part.ip, &out->ip, sizeof part.ip) == 0));
    return whole > 0 ? (size_t)whole : 0;
}

/* The words of a line that was taken. */
static void check_line(const struct wsi_proxy *proxy, const uint8_t *data, size_t len)
{
    char line[WSI_PROXY_LINE_MAX + 1], family[16], source[64], destination[64];
    unsigned port, to;
    uint8_t ip[16], other[16];

    CHECK(len <= WSI_PROXY_LINE_MAX && memcmp(data + len - 2, "\r\n", 2) == 0);
    memcpy(line, data, len);
    line[len - 2] = '\0';
    if (proxy->kind == WSI_PROXY_ITSELF) {
        CHECK(strncmp(line, "PROXY UNKNOWN", 13) == 0);
        return;
    }
    CHECK(proxy->kind == WSI_PROXY_IP && !proxy->is_secure);
    CHECK(sscanf(line, "PROXY %15s %63s %63s %u %u", family, source, destination, &port,
                 &to) == 5);
    CHECK(read_ip(ip, wsi_str_of(source)) && read_ip(other, wsi_str_of(destination)));
    CHECK(memcmp(ip, proxy->ip.bytes, sizeof ip) == 0);
    CHECK(port == proxy->port && port <= 65535 && to <= 65535);
    CHECK((strchr(source, ':') != NULL) == (strcmp(family, "TCP6") == 0));
}

static void check_block(const struct wsi_proxy *proxy, const uint8_t *data, size_t len)
{
    const unsigned family = data[13] >> 4;
    const uint8_t *port = data + 16 + (family == 1 ? 8 : 32);

    CHECK(len == 16 + ((size_t)data[14] << 8 | data[15]));
    if ((data[12] & 15) == 0 || family == 0) {
        CHECK(proxy->kind == WSI_PROXY_ITSELF);
    } else if (family == 3) {
        CHECK(proxy->kind == WSI_PROXY_UNIX && proxy->path.len <= 108);
        CHECK(fuzz_lies_inside(proxy->path, data + 16, 108));
    } else {
        CHECK(proxy->kind == WSI_PROXY_IP);
        CHECK(memcmp(proxy->ip.bytes + (family == 1 ? 12 : 0), data + 16,
                     family == 1 ? 4 : 16) == 0);
        CHECK(proxy->port == (port[0] << 8 | port[1]));
        CHECK(wsi_ip_is_v4(&proxy->ip) || family == 2);
    }
}

/* ---- the fields ---- */

enum { ELEMENTS_MAX = FUZZ_HEAD_MAX };

/* All elements of all fields of a name. @return how many. */
static unsigned gather(struct wsi_str *out, const struct wsi_http_head *head,
                       const char *name)
{
    const struct wsi_http_field *field;
    unsigned count = 0;

    for (unsigned i = 0; (field = wsi_http_find(head, wsi_str_of(name), i)) != NULL;
         i++) {
        struct wsi_str list = field->value;

        while (wsi_http_list_next(&list, &out[count]))
            count++;
    }
    return count;
}

/* With or without a port. */
static bool read_node(uint8_t ip[16], struct wsi_str text)
{
    struct wsi_authority authority;
    const char *why;

    if (read_ip(ip, text))
        return true;
    return wsi_authority_parse(text, &authority, &why) && read_ip(ip, authority.host);
}

/* @return which of the proxies that are believed has said it: how far from the end. */
static unsigned check_client(const struct wsi_forwarded *said,
                             const struct wsi_http_head *head, struct wsi_str list)
{
    static struct wsi_str elements[ELEMENTS_MAX];
    const unsigned count = gather(elements, head, "X-Forwarded-For");
    uint8_t ip[16], last[16];
    unsigned believed = 0;

    while (believed < count && read_node(ip, elements[count - 1 - believed])) {
        memcpy(last, ip, sizeof last);
        believed++;
        if (believed == WSI_FORWARDED_HOPS_MAX || !list_has(list, ip)) {
            CHECK(said->has_ip && memcmp(said->ip.bytes, ip, sizeof ip) == 0);
            return believed;
        }
    }
    CHECK(said->has_ip == (believed > 0));
    CHECK(believed == 0 || memcmp(said->ip.bytes, last, sizeof last) == 0);
    return believed + 1;
}

static void check_fields(const struct wsi_http_head *head, struct wsi_str list,
                         const struct wsi_networks *trusted)
{
    static struct wsi_str elements[ELEMENTS_MAX];
    struct wsi_forwarded said;
    struct wsi_str last = {NULL, 0};
    unsigned hops, count;

    wsi_forwarded_read(&said, head, trusted);
    hops = check_client(&said, head, list);
    count = gather(elements, head, "X-Forwarded-Host");
    if (count > 0)
        last = elements[count > hops ? count - hops : 0];
    CHECK(said.host.len == 0 || wsi_str_equal(said.host, last));
    count = gather(elements, head, "X-Forwarded-Proto");
    last = count > 0 ? elements[count > hops ? count - hops : 0] : WSI_STR("");
    CHECK(said.is_secure == (wsi_str_equal_nocase(last, WSI_STR("https")) ||
                             wsi_str_equal_nocase(last, WSI_STR("wss"))));
    CHECK(said.has_scheme || !said.is_secure);
}

static void check_head(const uint8_t *data, size_t len, struct wsi_str list,
                       const struct wsi_networks *trusted)
{
    static struct wsi_http_head head;
    const size_t end = fuzz_head_end(data, len);
    struct wsi_http_refusal refusal;
    uint8_t *copy;

    if (end == 0)
        return;
    copy = fuzz_copy(data, end);
    if (wsi_http_parse_request(copy, end, FUZZ_FIELDS_MAX, &head, &refusal) == 0)
        check_fields(&head, list, trusted);
    free(copy);
}

static void check_connection(const uint8_t *data, size_t len, struct wsi_str list,
                             const struct wsi_networks *trusted)
{
    struct wsi_proxy proxy = {0};
    const size_t header = parse_header(&proxy, data, len);

    if (header > 0 && data[0] == 'P')
        check_line(&proxy, data, header);
    else if (header > 0)
        check_block(&proxy, data, header);
    if (header > 0 && proxy.kind == WSI_PROXY_IP)
        CHECK(wsi_networks_have(trusted, &proxy.ip) == list_has(list, proxy.ip.bytes));
    check_head(data + header, len - header, list, trusted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *line_end = len > 0 ? memchr(data, '\n', len) : NULL;
    struct wsi_networks trusted = {0};
    struct wsi_list_error error = {0};
    struct wsi_str list;
    char *copy;
    int r;

    if (line_end == NULL)
        return 0;
    list.len = (size_t)(line_end - data);
    list.ptr = copy = fuzz_copy(data, list.len);
    r = wsi_networks_parse(&trusted, list, &error);
    CHECK(r == 0 || (r == WSOCK_EINVAL && error.why != NULL && error.element.len > 0 &&
                     fuzz_lies_inside(error.element, list.ptr, list.len)));
    if (r == 0) {
        uint8_t *rest = fuzz_copy(line_end + 1, len - list.len - 1);

        check_connection(rest, len - list.len - 1, list, &trusted);
        free(rest);
    }
    wsi_networks_fini(&trusted);
    free(copy);
    return 0;
}
