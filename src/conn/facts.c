/* SPDX-License-Identifier: MIT */
/*
 * How a handshake is packed. Behind the offsets stand, each ended by NUL: the peer's
 * address, method, target, path (unless it is the end of the target), then pairs of name
 * and value: header fields, captures, query, cookies; then what few handshakes have, each
 * behind a byte that says what it is; and last the room for the subprotocol, as long as
 * the longest one offered. A header name that every handshake has is one byte above 0x7F,
 * which no token contains: an idle connection costs mostly this block.
 *
 * The same function measures and writes, so the block is allocated once, at its size.
 */
#include "conn/facts.h"

#include <assert.h>
#include <stdint.h>

#include <wsock/error.h>
#include <wsock/request.h>

#include "conn/percent.h"
#include "core/alloc.h"
#include "proto/credentials.h"
#include "proto/url.h"

/* A head beyond BYTES_MAX could overflow an offset; max_head_bytes stops at a MiB. */
enum { PAIRS_MAX = 256, BYTES_MAX = 1 << 27 };

/* What few have. User and password come last, since they are two strings. */
enum {
    EXTRA_LOCAL = 'l',
    EXTRA_PEER = 'p',
    EXTRA_HOST = 'h',
    EXTRA_SECURE = 's',
    EXTRA_BASIC = 'b',
};

struct offsets {
    uint32_t method, path, headers, params, query, cookies, extras, protocol, end;
};

struct wsi_facts {
    struct offsets at;
    char text[];
};

/* As clients spell them; any other spelling is stored in full. At most 128. */
static const char *const common_names[] = {
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Accept",
    "Origin",
    "User-Agent",
    "Cookie",
    "Pragma",
    "Cache-Control",
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Date",
    "Server",
};
enum { COMMON = sizeof common_names / sizeof common_names[0] };

/* ---- packing ---- */

struct writer {
    char *out; /* NULL: only count */
    size_t len;
};

static void put(struct writer *w, const char *bytes, size_t len)
{
    if (w->out != NULL && len != 0)
        memcpy(w->out + w->len, bytes, len);
    w->len += len;
}

static void put_byte(struct writer *w, int byte)
{
    const char c = (char)byte;

    put(w, &c, 1);
}

static void put_string(struct writer *w, struct wsi_str text)
{
    put(w, text.ptr, text.len);
    put_byte(w, '\0');
}

/* What has a malformed escape, or one for NUL, cannot be told as a string. */
static bool is_decodable(struct wsi_str text)
{
    while (text.len > 0)
        if (wsi_percent_take(&text) <= 0)
            return false;
    return true;
}

/* Text that is decodable: what is measured and then not written would not fit. */
static void put_decoded(struct writer *w, struct wsi_str text, bool form)
{
    while (text.len > 0) {
        const bool blank = form && *text.ptr == '+';
        const int byte = wsi_percent_take(&text);

        put_byte(w, blank ? ' ' : byte);
    }
    put_byte(w, '\0');
}

static void put_target(struct writer *w, struct offsets *at, struct wsi_str target)
{
    const uint32_t start = (uint32_t)w->len;
    struct wsi_target split = {0};
    struct wsi_str path = {"", 0};

    put_string(w, target);
    if (wsi_target_split(target, &split))
        path = split.path;
    at->path = (uint32_t)w->len;
    if (memchr(path.ptr, '%', path.len) != NULL && is_decodable(path))
        put_decoded(w, path, false);
    else if (target.len != 0 && path.ptr + path.len == target.ptr + target.len)
        at->path = start + (uint32_t)(target.len - path.len);
    else
        put_string(w, path);
}

static void put_headers(struct writer *w, const struct wsi_http_head *head)
{
    for (unsigned i = 0; i < head->count; i++) {
        const struct wsi_str name = head->fields[i].name;
        int common = 0;

        while (common < COMMON && !wsi_str_equal(name, wsi_str_of(common_names[common])))
            common++;
        if (common < COMMON)
            put_byte(w, 0x80 + common);
        else
            put_string(w, name);
        put_string(w, head->fields[i].value);
    }
}

static void put_captures(struct writer *w, const struct wsi_capture *captures,
                         unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!is_decodable(captures[i].value))
            continue;
        put_string(w, wsi_str_of(captures[i].name));
        put_decoded(w, captures[i].value, false);
    }
}

static void put_query(struct writer *w, struct wsi_str target)
{
    struct wsi_target split;
    struct wsi_str name, value;
    unsigned count = 0;

    if (!wsi_target_split(target, &split))
        return;
    while (count < PAIRS_MAX && wsi_query_next(&split.query, &name, &value)) {
        if (!is_decodable(name) || !is_decodable(value))
            continue;
        put_decoded(w, name, true);
        put_decoded(w, value, true);
        count++;
    }
}

static void put_cookies(struct writer *w, const struct wsi_http_head *head)
{
    const struct wsi_http_field *field;
    struct wsi_str name, value;
    unsigned count = 0;

    for (unsigned i = 0; (field = wsi_http_find(head, WSI_STR("Cookie"), i)) != NULL;
         i++) {
        struct wsi_str rest = field->value;

        while (count < PAIRS_MAX && wsi_cookie_next(&rest, &name, &value)) {
            put_string(w, name);
            put_string(w, value);
            count++;
        }
    }
}

/* The value of the only field of that name. */
static struct wsi_str only(const struct wsi_http_head *head, struct wsi_str name)
{
    const struct wsi_http_field *field = wsi_http_find(head, name, 0);

    return field != NULL && wsi_http_find(head, name, 1) == NULL ? field->value
                                                                 : WSI_STR("");
}

static void put_extra(struct writer *w, int which, struct wsi_str text)
{
    put_byte(w, which);
    put_string(w, text);
}

static void put_whence(struct writer *w, const struct wsi_whence *whence)
{
    if (*whence->local != '\0')
        put_extra(w, EXTRA_LOCAL, wsi_str_of(whence->local));
    if (strcmp(whence->peer, whence->remote) != 0)
        put_extra(w, EXTRA_PEER, wsi_str_of(whence->peer));
    if (whence->host.len > 0)
        put_extra(w, EXTRA_HOST, whence->host);
    if (whence->is_secure)
        put_extra(w, EXTRA_SECURE, WSI_STR(""));
}

static void put_basic(struct writer *w, const struct wsi_http_head *head)
{
    const struct wsi_str value = only(head, WSI_STR("Authorization"));
    const size_t size = wsi_basic_size(value);

    if (size == 0)
        return;
    put_byte(w, EXTRA_BASIC);
    if (w->out != NULL)
        wsi_basic_write(w->out + w->len, value);
    w->len += size;
}

static void put_room(struct writer *w, const struct wsi_http_head *head)
{
    static const struct wsi_str name = {"Sec-WebSocket-Protocol", 22};
    const struct wsi_http_field *field;
    struct wsi_str protocol;
    size_t longest = 0;

    for (unsigned i = 0; (field = wsi_http_find(head, name, i)) != NULL; i++) {
        struct wsi_str rest = field->value;

        while (wsi_http_list_next(&rest, &protocol))
            longest = protocol.len > longest ? protocol.len : longest;
    }
    for (size_t i = 0; longest > 0 && i <= longest; i++)
        put_byte(w, '\0');
}

static void pack(struct writer *w, struct offsets *at, const struct wsi_whence *whence,
                 const struct wsi_http_head *head, const struct wsi_capture *captures,
                 unsigned count)
{
    const bool is_request = head->method.len != 0;

    put_string(w, wsi_str_of(whence->remote));
    at->method = (uint32_t)w->len;
    put_string(w, head->method);
    put_target(w, at, head->target);
    at->headers = (uint32_t)w->len;
    put_headers(w, head);
    at->params = (uint32_t)w->len;
    put_captures(w, captures, count);
    at->query = (uint32_t)w->len;
    put_query(w, head->target);
    at->cookies = (uint32_t)w->len;
    if (is_request)
        put_cookies(w, head);
    at->extras = (uint32_t)w->len;
    put_whence(w, whence);
    if (is_request)
        put_basic(w, head);
    at->protocol = (uint32_t)w->len;
    if (is_request)
        put_room(w, head);
    at->end = (uint32_t)w->len;
}

int wsi_facts_from_request(struct wsi_facts **out, const struct wsi_whence *whence,
                           const struct wsi_http_head *head,
                           const struct wsi_capture *captures, unsigned capture_count)
{
    struct wsi_facts *facts;
    struct writer measured = {0}, written = {0};
    struct offsets at;
    size_t bytes = head->method.len + head->target.len;

    for (unsigned i = 0; i < head->count; i++)
        bytes += head->fields[i].name.len + head->fields[i].value.len;
    if (bytes > BYTES_MAX)
        return WSOCK_ETOOBIG;
    pack(&measured, &at, whence, head, captures, capture_count);
    facts = wsi_alloc(sizeof *facts + measured.len);
    if (facts == NULL)
        return WSOCK_ENOMEM;
    written.out = facts->text;
    pack(&written, &facts->at, whence, head, captures, capture_count);
    assert(written.len == measured.len);
    *out = facts;
    return 0;
}

int wsi_facts_from_response(struct wsi_facts **out, const char *remote, const char *local,
                            const struct wsi_http_head *head)
{
    const struct wsi_whence whence = {.remote = remote, .peer = remote, .local = local};

    assert(head->method.len == 0 && head->target.len == 0);
    return wsi_facts_from_request(out, &whence, head, NULL, 0);
}

void wsi_facts_free(struct wsi_facts *facts)
{
    wsi_free(facts);
}

size_t wsi_facts_size(const struct wsi_facts *facts)
{
    return sizeof *facts + facts->at.end;
}

/* ---- reading ---- */

/* One kind of pairs, while it is walked. */
struct section {
    const char *p, *end;
    bool is_header;
};

static struct section section_of(const struct wsi_facts *facts, int kind)
{
    const struct offsets *at = &facts->at;
    const uint32_t bounds[] = {at->headers, at->params, at->query, at->cookies,
                               at->extras};

    return (struct section){
        .p = facts->text + bounds[kind],
        .end = facts->text + bounds[kind + 1],
        .is_header = kind == WSOCK_FIELDS_HEADER,
    };
}

static bool next_pair(struct section *section, const char **name, const char **value)
{
    const char *p = section->p;

    if (p == section->end)
        return false;
    if (section->is_header && (unsigned char)*p >= 0x80) {
        *name = common_names[(unsigned char)*p - 0x80];
        p++;
    } else {
        *name = p;
        p += strlen(p) + 1;
    }
    *value = p;
    section->p = p + strlen(p) + 1;
    return true;
}

static const char *find(const struct wsi_facts *facts, int kind, const char *wanted)
{
    struct section section = section_of(facts, kind);
    const char *name, *value;

    while (next_pair(&section, &name, &value)) {
        if (section.is_header ? wsi_str_equal_nocase(wsi_str_of(name), wsi_str_of(wanted))
                              : strcmp(name, wanted) == 0)
            return value;
    }
    return NULL;
}

static const char *extra(const struct wsi_facts *facts, char which)
{
    const char *p = facts->text + facts->at.extras;
    const char *end = facts->text + facts->at.protocol;

    while (p < end && *p != which && *p != EXTRA_BASIC)
        p += strlen(p) + 1;
    return p < end && *p == which ? p + 1 : NULL;
}

const char *wsi_facts_remote(const struct wsi_facts *facts)
{
    return facts->text;
}

const char *wsi_facts_peer(const struct wsi_facts *facts)
{
    const char *peer = extra(facts, EXTRA_PEER);

    return peer != NULL ? peer : wsi_facts_remote(facts);
}

const char *wsi_facts_local(const struct wsi_facts *facts)
{
    return extra(facts, EXTRA_LOCAL);
}

const char *wsi_facts_host(const struct wsi_facts *facts)
{
    const char *host = extra(facts, EXTRA_HOST);

    if (host == NULL)
        host = wsi_facts_header(facts, "Host");
    return host != NULL ? host : "";
}

bool wsi_facts_is_secure(const struct wsi_facts *facts)
{
    return extra(facts, EXTRA_SECURE) != NULL;
}

const char *wsi_facts_method(const struct wsi_facts *facts)
{
    return facts->text + facts->at.method;
}

const char *wsi_facts_target(const struct wsi_facts *facts)
{
    const char *method = wsi_facts_method(facts);

    return method + strlen(method) + 1;
}

int wsi_facts_shown(const struct wsi_facts *facts)
{
    return (int)strcspn(wsi_facts_target(facts), "?");
}

const char *wsi_facts_path(const struct wsi_facts *facts)
{
    return facts->text + facts->at.path;
}

const char *wsi_facts_header(const struct wsi_facts *facts, const char *name)
{
    return find(facts, WSOCK_FIELDS_HEADER, name);
}

const char *wsi_facts_param(const struct wsi_facts *facts, const char *name)
{
    return find(facts, WSOCK_FIELDS_PARAM, name);
}

const char *wsi_facts_query(const struct wsi_facts *facts, const char *name)
{
    return find(facts, WSOCK_FIELDS_QUERY, name);
}

const char *wsi_facts_cookie(const struct wsi_facts *facts, const char *name)
{
    return find(facts, WSOCK_FIELDS_COOKIE, name);
}

int wsi_facts_field_at(const struct wsi_facts *facts, const char **name,
                       const char **value, int kind, size_t index)
{
    struct section section;
    const char *n, *v;

    if (kind < WSOCK_FIELDS_HEADER || kind > WSOCK_FIELDS_COOKIE)
        return WSOCK_EINVAL;
    section = section_of(facts, kind);
    do {
        if (!next_pair(&section, &n, &v))
            return WSOCK_ENOENT;
    } while (index-- > 0);
    *name = n;
    *value = v;
    return 0;
}

/* ---- credentials ---- */

const char *wsi_facts_basic_user(const struct wsi_facts *facts)
{
    return extra(facts, EXTRA_BASIC);
}

const char *wsi_facts_basic_password(const struct wsi_facts *facts)
{
    const char *user = wsi_facts_basic_user(facts);

    return user != NULL ? user + strlen(user) + 1 : NULL;
}

const char *wsi_facts_bearer_token(const struct wsi_facts *facts)
{
    struct section section = section_of(facts, WSOCK_FIELDS_HEADER);
    const char *name, *value, *found = NULL;
    struct wsi_str token;

    while (next_pair(&section, &name, &value)) {
        if (!wsi_str_equal_nocase(wsi_str_of(name), WSI_STR("Authorization")))
            continue;
        if (found != NULL)
            return NULL;
        found = value;
    }
    /* The token is the end of the value, so that it has the NUL of that. */
    return found != NULL && wsi_bearer_token(wsi_str_of(found), &token) ? token.ptr
                                                                        : NULL;
}

/* ---- the subprotocol ---- */

static bool offers(const struct wsi_facts *facts, struct wsi_str protocol)
{
    static const struct wsi_str wanted = {"Sec-WebSocket-Protocol", 22};
    struct section section = section_of(facts, WSOCK_FIELDS_HEADER);
    const char *name, *value;

    while (next_pair(&section, &name, &value)) {
        struct wsi_str rest = wsi_str_of(value), offered;

        if (!wsi_str_equal_nocase(wsi_str_of(name), wanted))
            continue;
        while (wsi_http_list_next(&rest, &offered))
            if (wsi_str_equal(offered, protocol))
                return true;
    }
    return false;
}

bool wsi_facts_offers(const struct wsi_facts *facts, const char *protocol)
{
    return offers(facts, wsi_str_of(protocol));
}

/* Of a request that offers it: there is room. */
static void note_subprotocol(struct wsi_facts *facts, struct wsi_str protocol)
{
    char *room = facts->text + facts->at.protocol;

    assert(protocol.ptr != NULL && protocol.len < facts->at.end - facts->at.protocol);
    memcpy(room, protocol.ptr, protocol.len);
    room[protocol.len] = '\0';
}

int wsi_facts_set_subprotocol(struct wsi_facts *facts, const char *protocol)
{
    if (!wsi_facts_offers(facts, protocol))
        return WSOCK_EINVAL;
    if (*wsi_facts_method(facts) == '\0') /* a response: its header says it */
        return 0;
    note_subprotocol(facts, wsi_str_of(protocol));
    return 0;
}

void wsi_facts_choose_subprotocol(struct wsi_facts *facts, const char *list)
{
    struct wsi_str rest = wsi_str_of(list), spoken;

    while (wsi_http_list_next(&rest, &spoken)) {
        if (offers(facts, spoken)) {
            note_subprotocol(facts, spoken);
            return;
        }
    }
}

const char *wsi_facts_subprotocol(const struct wsi_facts *facts)
{
    const char *header;

    if (facts->at.protocol != facts->at.end)
        return facts->text + facts->at.protocol;
    header = *wsi_facts_method(facts) == '\0'
                 ? wsi_facts_header(facts, "Sec-WebSocket-Protocol")
                 : NULL;
    return header != NULL ? header : "";
}
