/* SPDX-License-Identifier: MIT */
/*
 * Heads of requests and responses, RFC 9112 sections 2 to 6: lines, tokens, and the
 * fields on which the meaning of a message hangs (Host, Content-Length,
 * Transfer-Encoding). Where the RFC lets a recipient be lenient, this is not. It checks
 * every byte itself and does not rely on wsi_http_scan() having seen them.
 */
#include "proto/http.h"

#include "proto/authority.h"
#include "proto/chars.h"
#include "proto/http_line.h"
#include "proto/url.h"

/* 19 digits always fit 64 bits */
enum { LENGTH_DIGITS_MAX = 19 };

static int refuse(struct wsi_http_refusal *refusal, unsigned status, const char *why)
{
    *refusal = (struct wsi_http_refusal){status, why};
    return -1;
}

/* ---- start lines ---- */

/* Take what stands before the next blank; the rest of the line when there is none. */
static struct wsi_str take_word(struct wsi_str *line)
{
    const char *blank = line->len != 0 ? memchr(line->ptr, ' ', line->len) : NULL;
    struct wsi_str word = *line;

    if (blank != NULL)
        word.len = (size_t)(blank - line->ptr);
    line->ptr += word.len + (blank != NULL);
    line->len -= word.len + (blank != NULL);
    return word;
}

/* "HTTP/" DIGIT "." DIGIT, in capitals (RFC 9112 section 2.3) */
static int parse_version(struct wsi_str text, struct wsi_http_head *head,
                         struct wsi_http_refusal *refusal)
{
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 ||
        !wsi_char_is(text.ptr[5], WSI_CHAR_DIGIT) || text.ptr[6] != '.' ||
        !wsi_char_is(text.ptr[7], WSI_CHAR_DIGIT))
        return refuse(refusal, 400, "the start line names no HTTP version");
    if (text.ptr[5] != '1' || text.ptr[7] > '1')
        return refuse(refusal, 505, "only HTTP/1.1 is spoken here");
    head->minor = (unsigned)(text.ptr[7] - '0');
    return 0;
}

/* The four forms of RFC 9112 section 3.2. */
static int check_target(const struct wsi_http_head *head,
                        struct wsi_http_refusal *refusal)
{
    struct wsi_authority authority;
    struct wsi_target parts;
    const char *why;

    if (!wsi_chars_all(head->target, WSI_CHAR_TARGET))
        return refuse(refusal, 400,
                      "the request target has a character that must be percent-encoded");
    if (wsi_target_split(head->target, &parts))
        return 0;
    if (wsi_str_equal(head->method, WSI_STR("OPTIONS")) &&
        wsi_str_equal(head->target, WSI_STR("*")))
        return 0;
    if (wsi_str_equal(head->method, WSI_STR("CONNECT")) &&
        wsi_authority_parse(head->target, &authority, &why) && authority.port_given)
        return 0;
    return refuse(refusal, 400, "the request target is neither a path nor an http URL");
}

static int parse_request_line(struct wsi_str line, struct wsi_http_head *head,
                              struct wsi_http_refusal *refusal)
{
    head->method = take_word(&line);
    head->target = take_word(&line);
    if (!wsi_http_is_token(head->method))
        return refuse(refusal, 400, "the request does not begin with a method");
    if (head->target.len == 0 || line.len == 0 || memchr(line.ptr, ' ', line.len) != NULL)
        return refuse(refusal, 400,
                      "the request line is not three words with one blank between");
    if (parse_version(line, head, refusal) < 0)
        return -1;
    return check_target(head, refusal);
}

/* The blank behind the status is demanded even without a reason (RFC 9112 section 4). */
static int parse_status_line(struct wsi_str line, struct wsi_http_head *head,
                             struct wsi_http_refusal *refusal)
{
    const struct wsi_str version = take_word(&line);

    if (parse_version(version, head, refusal) < 0)
        return -1;
    if (line.len < 4 || !wsi_chars_all((struct wsi_str){line.ptr, 3}, WSI_CHAR_DIGIT) ||
        line.ptr[0] == '0' || line.ptr[3] != ' ')
        return refuse(refusal, 400, "the status line has no status of three digits");
    for (size_t i = 0; i < 3; i++)
        head->status = head->status * 10 + (unsigned)(line.ptr[i] - '0');
    head->reason = (struct wsi_str){line.ptr + 4, line.len - 4};
    if (!wsi_chars_all(head->reason, WSI_CHAR_VALUE))
        return refuse(refusal, 400, "a control character in the reason phrase");
    return 0;
}

/* ---- fields ---- */

static int parse_field(struct wsi_str line, struct wsi_http_field *field,
                       struct wsi_http_refusal *refusal)
{
    const char *colon = memchr(line.ptr, ':', line.len);

    if (wsi_http_is_blank(line.ptr[0]))
        return refuse(refusal, 400,
                      "a header line begins with a blank (folded lines are refused)");
    if (colon == NULL)
        return refuse(refusal, 400, "a header line without a colon");
    field->name = (struct wsi_str){line.ptr, (size_t)(colon - line.ptr)};
    field->value = wsi_http_trim(
        (struct wsi_str){colon + 1, line.len - field->name.len - 1});
    if (field->name.len != 0 && wsi_http_is_blank(colon[-1]))
        return refuse(refusal, 400, "a blank between the name of a header and its colon");
    if (!wsi_http_is_token(field->name))
        return refuse(refusal, 400,
                      "the name of a header is empty or has a forbidden character");
    if (!wsi_chars_all(field->value, WSI_CHAR_VALUE))
        return refuse(refusal, 400, "a control character in the value of a header");
    return 0;
}

static int parse_fields(struct wsi_str rest, unsigned max_fields,
                        struct wsi_http_head *head, struct wsi_http_refusal *refusal)
{
    struct wsi_str line;

    if (max_fields > WSI_HTTP_FIELDS_MAX)
        max_fields = WSI_HTTP_FIELDS_MAX;
    while (wsi_http_line_next(&rest, &line)) {
        if (line.len == 0 && rest.len == 0)
            return 0;
        if (line.len == 0)
            return refuse(refusal, 400, "bytes behind the end of the head");
        if (head->count == max_fields)
            return refuse(refusal, 431, "more headers than the limit allows");
        if (parse_field(line, &head->fields[head->count], refusal) < 0)
            return -1;
        head->count++;
    }
    return refuse(refusal, 400, "a line of the head does not end in CR LF");
}

/* ---- what fields say about the message ---- */

static int check_host(const struct wsi_http_head *head, struct wsi_http_refusal *refusal)
{
    const struct wsi_http_field *host = wsi_http_find(head, WSI_STR("Host"), 0);
    struct wsi_authority authority;
    const char *why;

    if (host == NULL && head->minor == 0)
        return 0;
    if (host == NULL)
        return refuse(refusal, 400, "no Host header");
    if (wsi_http_find(head, WSI_STR("Host"), 1) != NULL)
        return refuse(refusal, 400, "two Host headers");
    if (host->value.len == 0)
        return refuse(refusal, 400, "an empty Host header");
    if (!wsi_authority_parse(host->value, &authority, &why))
        return refuse(refusal, 400, "the Host header is no host with an optional port");
    return 0;
}

static int check_content_length(const struct wsi_http_head *head,
                                struct wsi_http_refusal *refusal)
{
    const struct wsi_str name = WSI_STR("Content-Length");
    const struct wsi_http_field *first = wsi_http_find(head, name, 0), *field = first;

    for (unsigned n = 1; field != NULL; field = wsi_http_find(head, name, n++)) {
        if (field->value.len == 0 || field->value.len > LENGTH_DIGITS_MAX ||
            !wsi_chars_all(field->value, WSI_CHAR_DIGIT))
            return refuse(refusal, 400, "the Content-Length header is not a number");
        if (!wsi_str_equal(field->value, first->value))
            return refuse(refusal, 400, "two Content-Length headers that differ");
    }
    return 0;
}

/* RFC 9112 section 6.1: a list of codings, "chunked" at most once and at the end; for a
 * request it must be there, as nothing else would tell where the body ends. */
static int check_transfer_encoding(const struct wsi_http_head *head, bool is_request,
                                   struct wsi_http_refusal *refusal)
{
    const struct wsi_str name = WSI_STR("Transfer-Encoding");
    const struct wsi_http_field *field = wsi_http_find(head, name, 0);
    bool chunked = false, any = false;

    if (field == NULL)
        return 0;
    if (wsi_http_find(head, WSI_STR("Content-Length"), 0) != NULL)
        return refuse(refusal, 400, "Transfer-Encoding together with Content-Length");
    if (head->minor == 0)
        return refuse(refusal, 400, "a Transfer-Encoding header in HTTP/1.0");
    for (unsigned n = 1; field != NULL; field = wsi_http_find(head, name, n++)) {
        struct wsi_str list = field->value, coding;

        while (wsi_http_list_next(&list, &coding)) {
            if (chunked || !wsi_http_is_token(coding))
                return refuse(refusal, 400, "a malformed Transfer-Encoding header");
            chunked = wsi_str_equal_nocase(coding, WSI_STR("chunked"));
            any = true;
        }
    }
    if (!any || (is_request && !chunked))
        return refuse(refusal, 400,
                      "the Transfer-Encoding header does not end in chunked");
    return 0;
}

/* ---- whole heads ---- */

enum kind { REQUEST, RESPONSE, CONNECT_RESPONSE };

static int parse(const uint8_t *data, size_t len, unsigned max_fields, enum kind kind,
                 struct wsi_http_head *head, struct wsi_http_refusal *refusal)
{
    struct wsi_str rest = {(const char *)data, len}, line;
    int r;

    head->method = head->target = head->reason = (struct wsi_str){"", 0};
    head->status = head->minor = head->count = 0;
    if (!wsi_http_line_next(&rest, &line))
        return refuse(refusal, 400, "the first line does not end in CR LF");
    r = kind == REQUEST ? parse_request_line(line, head, refusal)
                        : parse_status_line(line, head, refusal);
    if (r < 0 || parse_fields(rest, max_fields, head, refusal) < 0)
        return -1;
    if (kind == REQUEST && check_host(head, refusal) < 0)
        return -1;
    if (kind == CONNECT_RESPONSE && head->status / 100 == 2)
        return 0;
    if (check_content_length(head, refusal) < 0)
        return -1;
    return check_transfer_encoding(head, kind == REQUEST, refusal);
}

int wsi_http_parse_request(const uint8_t *data, size_t len, unsigned max_fields,
                           struct wsi_http_head *head, struct wsi_http_refusal *refusal)
{
    return parse(data, len, max_fields, REQUEST, head, refusal);
}

static int parse_response(const uint8_t *data, size_t len, unsigned max_fields,
                          enum kind kind, struct wsi_http_head *head,
                          struct wsi_http_refusal *refusal)
{
    const int r = parse(data, len, max_fields, kind, head, refusal);

    if (r < 0)
        refusal->status = 0;
    return r;
}

int wsi_http_parse_response(const uint8_t *data, size_t len, unsigned max_fields,
                            struct wsi_http_head *head, struct wsi_http_refusal *refusal)
{
    return parse_response(data, len, max_fields, RESPONSE, head, refusal);
}

int wsi_http_parse_connect_response(const uint8_t *data, size_t len, unsigned max_fields,
                                    struct wsi_http_head *head,
                                    struct wsi_http_refusal *refusal)
{
    return parse_response(data, len, max_fields, CONNECT_RESPONSE, head, refusal);
}
