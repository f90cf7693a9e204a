/* SPDX-License-Identifier: MIT */
/*
 * Agreeing on permessage-deflate. Two bytes say what the server is willing to do, two
 * what the client is; the rest is what hostile Sec-WebSocket-Extensions fields hold, a
 * newline between two of them: once as offers, on their way through the server, and once
 * as the answer to the client's offer. extension_oracle.h says what has to come of it.
 */
#include "fuzz.h"

#include "extension_oracle.h"
#include "proto/pmd.h"

enum { FIELDS = 8 }; /* what is left is in the last one */

static const char name[] = "sec-websocket-Extensions";
static const struct wsi_pmd_params untouched = {1, 2, true, false, 0xa5};

static bool same_params(const struct wsi_pmd_params *a, const struct wsi_pmd_params *b)
{
    return a->own_window_bits == b->own_window_bits &&
           a->peer_window_bits == b->peer_window_bits &&
           a->own_takeover == b->own_takeover && a->peer_takeover == b->peer_takeover &&
           a->named == b->named;
}

static struct wsi_pmd_config take_config(struct fuzz_source *in)
{
    const unsigned mode = fuzz_byte(in), bits = fuzz_byte(in);

    return (struct wsi_pmd_config){
        .mode = (uint8_t)((mode & 3) < 3 ? mode & 3 : WSI_PMD_DEDICATED),
        .own_takeover = (mode & 4) == 0,
        .peer_takeover = (mode & 8) == 0,
        .own_window_bits = (uint8_t)(15 - (bits & 7)),
        .peer_window_bits = (uint8_t)(15 - (bits >> 4 & 7)),
    };
}

/* ---- heads ---- */

/* What no field value may hold becomes a blank, as http.h promises none of it; the blanks
 * at its ends go. Each value is a block of its own. */
static struct wsi_str value_of(const char *text, size_t len)
{
    struct wsi_str value = {text, 0};
    char *copy;

    for (; len != 0 && ((uint8_t)text[0] <= ' ' || text[0] == 0x7f); len--)
        text++;
    for (; len != 0 && ((uint8_t)text[len - 1] <= ' ' || text[len - 1] == 0x7f);)
        len--;
    copy = fuzz_copy(text, len);
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)copy[i] < ' ' || copy[i] == 0x7f)
            copy[i] = text[i] == '\r' ? '\t' : ' ';
    value = (struct wsi_str){copy, len};
    CHECK(wsi_http_is_field_value(value));
    return value;
}

static void add_field(struct wsi_http_head *head, const char *text, size_t len)
{
    head->fields[head->count++] = (struct wsi_http_field){
        .name = WSI_STR(name),
        .value = value_of(text, len),
    };
}

/* Other fields stand around. */
static void make_head(struct wsi_http_head *head, const char *text, size_t len)
{
    head->count = 0;
    for (unsigned i = 0; i < FIELDS; i++) {
        const char *end = i + 1 < FIELDS && len != 0 ? memchr(text, '\n', len) : NULL;
        const size_t size = end != NULL ? (size_t)(end - text) : len;

        add_field(head, text, size);
        if (end == NULL)
            break;
        text = end + 1;
        len -= size + 1;
        head->fields[head->count++] = (struct wsi_http_field){
            .name = WSI_STR("Sec-WebSocket-Extension"),
            .value = value_of("permessage-deflate", 18),
        };
    }
}

static void free_head(struct wsi_http_head *head)
{
    for (unsigned i = 0; i < head->count; i++)
        free((void *)(uintptr_t)head->fields[i].value.ptr);
    head->count = 0;
}

/* All fields together, as the oracle reads them. */
struct reading {
    bool malformed;
    size_t count;
    struct element elements[ELEMENTS_MAX];
};

static void read_head(struct reading *reading, const struct wsi_http_head *head)
{
    reading->malformed = false;
    reading->count = 0;
    for (unsigned i = 0; i < head->count; i++) {
        const struct wsi_str value = head->fields[i].value;
        char *text;

        if (!wsi_str_equal(head->fields[i].name, WSI_STR(name)))
            continue;
        text = fuzz_text(value.ptr, value.len);
        if (!oracle_read_list(text, reading->elements, &reading->count))
            reading->malformed = true;
        free(text);
    }
}

/* What was written, which has to be one element. */
static struct element read_written(const char *text, size_t len)
{
    static struct reading reading;
    static struct wsi_http_head head;

    CHECK(len <= WSI_PMD_TEXT_MAX);
    add_field(&head, text, len);
    CHECK(head.fields[0].value.len == len);
    read_head(&reading, &head);
    free_head(&head);
    CHECK(!reading.malformed && reading.count == 1);
    CHECK(reading.elements[0].is_pmd && reading.elements[0].is_valid);
    return reading.elements[0];
}

/* ---- the client ---- */

static struct element write_offer(const struct wsi_pmd_config *config, char **text,
                                  size_t *len)
{
    *text = fuzz_copy((char[WSI_PMD_TEXT_MAX]){0}, WSI_PMD_TEXT_MAX);
    *len = wsi_pmd_write_offer(*text, config);
    return *len != 0 ? read_written(*text, *len) : (struct element){0};
}

static unsigned or_15(unsigned bits)
{
    return bits != 0 ? bits : 15;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* What the client does after it accepted an answer that the oracle has read. */
static void check_client_keeps_to(const struct wsi_pmd_params *params,
                                  const struct wsi_pmd_config *config,
                                  const struct element *answer)
{
    const bool dedicated = config->mode == WSI_PMD_DEDICATED;

    CHECK(params->own_window_bits ==
          least(config->own_window_bits, or_15(answer->client_bits)));
    CHECK(params->peer_window_bits == or_15(answer->server_bits));
    CHECK(params->peer_window_bits <= config->peer_window_bits ||
          (answer->server_bits == 0 && !params->peer_takeover));
    CHECK(params->own_takeover ==
          (dedicated && config->own_takeover && !answer->client_no_takeover));
    CHECK(params->peer_takeover == !answer->server_no_takeover);
    CHECK(!params->peer_takeover || (dedicated && config->peer_takeover));
}

/* The hostile fields are the answer to the client's own offer. */
static void check_answer(const struct wsi_http_head *head, const struct reading *reading,
                         const struct wsi_pmd_config *config)
{
    struct wsi_pmd_params params = untouched;
    const char *why = NULL;
    char *text;
    size_t len;
    const struct element offer = write_offer(config, &text, &len);
    const int r = wsi_pmd_check_answer(head, config, &params, &why);
    int right = -1;

    free(text);
    CHECK((len == 0) == (config->mode == WSI_PMD_OFF));
    if (!reading->malformed && reading->count == 0)
        right = 0;
    else if (!reading->malformed && reading->count == 1 && len != 0 &&
             oracle_answer_fits(&offer, &reading->elements[0]))
        right = 1;
    CHECK(r == right);
    CHECK(r < 0 ? why != NULL && why[0] != '\0' : why == NULL);
    if (r == 1)
        check_client_keeps_to(&params, config, &reading->elements[0]);
    else
        CHECK(same_params(&params, &untouched));
}

/* The client that made an offer takes the server's answer, and both mean the same. */
static void check_both_agree(const struct wsi_pmd_params *server,
                             const struct wsi_pmd_config *client, const char *answer,
                             size_t len)
{
    static struct wsi_http_head head;
    struct wsi_pmd_params params = untouched;
    const char *why = NULL;

    add_field(&head, answer, len);
    CHECK(wsi_pmd_check_answer(&head, client, &params, &why) == 1 && why == NULL);
    free_head(&head);
    CHECK(params.own_window_bits ==
          least(client->own_window_bits, server->peer_window_bits));
    CHECK(params.peer_window_bits == server->own_window_bits);
    CHECK(params.own_takeover == (server->peer_takeover && client->own_takeover));
    CHECK(params.peer_takeover == server->own_takeover);
}

/* ---- the server ---- */

/* A client whose offer it is, or is as good as it. */
static struct wsi_pmd_config client_of(const struct element *offer)
{
    return (struct wsi_pmd_config){
        .mode = WSI_PMD_DEDICATED,
        .own_window_bits = (uint8_t)or_15(offer->client_bits),
        .peer_window_bits = (uint8_t)or_15(offer->server_bits),
        .own_takeover = true, /* client_no_context_takeover is a promise and no demand */
        .peer_takeover = !offer->server_no_takeover,
    };
}

static void check_server_keeps_to(const struct wsi_pmd_params *params,
                                  const struct wsi_pmd_config *config,
                                  const struct element *offer,
                                  const struct element *answer)
{
    const bool dedicated = config->mode == WSI_PMD_DEDICATED;

    CHECK(oracle_answer_fits(offer, answer));
    CHECK(params->own_window_bits == or_15(answer->server_bits));
    CHECK(params->own_window_bits ==
          least(config->own_window_bits, or_15(offer->server_bits)));
    CHECK(params->peer_window_bits == or_15(answer->client_bits));
    CHECK(params->peer_window_bits <= or_15(offer->client_bits));
    CHECK(params->own_window_bits >= 8 && params->peer_window_bits >= 8);
    CHECK(params->own_takeover == !answer->server_no_takeover);
    CHECK(params->own_takeover ==
          (dedicated && config->own_takeover && !offer->server_no_takeover));
    CHECK(params->peer_takeover == !answer->client_no_takeover);
    CHECK(!params->peer_takeover ||
          (dedicated && config->peer_takeover && !offer->client_no_takeover));
    /* No window larger than ours is kept between messages, and none is asked for that
     * could be smaller. */
    if (params->peer_takeover || offer->limits_client)
        CHECK(params->peer_window_bits <= config->peer_window_bits);
}

/* @return the answer's length; 0 when the server agreed on nothing. */
static size_t check_offers(const struct wsi_http_head *head,
                           const struct reading *reading,
                           const struct wsi_pmd_config *config,
                           struct wsi_pmd_params *params, char answer[WSI_PMD_TEXT_MAX])
{
    const struct element *offer = NULL;
    struct element written;
    struct wsi_pmd_config client;
    const char *why = NULL;
    size_t len;
    int r;

    *params = untouched;
    r = wsi_pmd_accept(head, config, params, &why);
    for (size_t i = 0; i < reading->count && offer == NULL; i++)
        if (reading->elements[i].is_pmd && reading->elements[i].is_valid)
            offer = &reading->elements[i];
    if (config->mode == WSI_PMD_OFF)
        CHECK(r == 0);
    else
        CHECK(r == (reading->malformed ? -1 : offer != NULL));
    CHECK(r < 0 ? why != NULL && why[0] != '\0' : why == NULL);
    if (r != 1) {
        CHECK(same_params(params, &untouched));
        return 0;
    }
    len = wsi_pmd_write_answer(answer, params);
    written = read_written(answer, len);
    check_server_keeps_to(params, config, offer, &written);
    client = client_of(offer);
    check_both_agree(params, &client, answer, len);
    return len;
}

/* The client's own offer, behind an element that hostile fields cannot spoil. */
static void check_own_offer(const struct wsi_pmd_config *server,
                            const struct wsi_pmd_config *client)
{
    static struct wsi_http_head head;
    static struct reading reading;
    struct wsi_pmd_params params;
    char *offer, *answer = fuzz_copy((char[WSI_PMD_TEXT_MAX]){0}, WSI_PMD_TEXT_MAX);
    size_t len, answer_len;

    write_offer(client, &offer, &len);
    add_field(&head, "permessage-deflate; x, other", 28);
    add_field(&head, offer, len);
    read_head(&reading, &head);
    answer_len = check_offers(&head, &reading, server, &params, answer);
    CHECK((answer_len != 0) == (len != 0 && server->mode != WSI_PMD_OFF));
    if (answer_len != 0)
        check_both_agree(&params, client, answer, answer_len);
    free_head(&head);
    free(offer);
    free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct wsi_http_head head;
    static struct reading reading;
    struct fuzz_source in = {data, len};
    const struct wsi_pmd_config server = take_config(&in), client = take_config(&in);
    struct wsi_pmd_params params;
    char *answer = fuzz_copy((char[WSI_PMD_TEXT_MAX]){0}, WSI_PMD_TEXT_MAX);

    make_head(&head, (const char *)in.at, in.left);
    read_head(&reading, &head);
    check_offers(&head, &reading, &server, &params, answer);
    check_answer(&head, &reading, &client);
    free_head(&head);
    free(answer);
    check_own_offer(&server, &client);
    return 0;
}
