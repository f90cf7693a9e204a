/* SPDX-License-Identifier: MIT */
/*
 * Extension lists (RFC 6455 section 9.1), the four parameters of permessage-deflate
 * (RFC 7692 section 7.1), and the decision of each role.
 *
 * Names compare with case, as tokens do that nothing declares otherwise.
 */
#include "proto/pmd.h"

#include <assert.h>
#include <string.h>

#include "proto/chars.h"
#include "proto/http_line.h"

enum {
    SERVER_NO_TAKEOVER = 0x01,
    CLIENT_NO_TAKEOVER = 0x02,
    SERVER_BITS = 0x04,
    CLIENT_BITS = 0x08,
};

static const struct {
    struct wsi_str name;
    uint8_t flag;
} known[] = {
    {{"server_no_context_takeover", 26}, SERVER_NO_TAKEOVER},
    {{"client_no_context_takeover", 26}, CLIENT_NO_TAKEOVER},
    {{"server_max_window_bits", 22}, SERVER_BITS},
    {{"client_max_window_bits", 22}, CLIENT_BITS},
};

#define EXTENSION_NAME "permessage-deflate"

static const char bad_list[] = "Sec-WebSocket-Extensions is malformed";

/* ---- extension lists ---- */

struct param {
    struct wsi_str name;
    bool has_value;
    char value[2]; /* its first characters, unescaped: no valid value has more */
    size_t value_len;
};

static void skip_blanks(struct wsi_str *in)
{
    while (in->len != 0 && wsi_http_is_blank(in->ptr[0])) {
        in->ptr++;
        in->len--;
    }
}

/* The character at the front, '\0' at the end: a head holds no NUL. */
static char front(const struct wsi_str *in)
{
    return (char)(in->len != 0 ? in->ptr[0] : '\0');
}

static char take(struct wsi_str *in)
{
    const char c = front(in);

    if (in->len != 0) {
        in->ptr++;
        in->len--;
    }
    return c;
}

/* False when no token stands here. Blanks behind it go too. */
static bool take_token(struct wsi_str *in, struct wsi_str *token)
{
    *token = (struct wsi_str){in->ptr, 0};
    while (in->len != 0 && wsi_char_is(front(in), WSI_CHAR_TOKEN)) {
        take(in);
        token->len++;
    }
    skip_blanks(in);
    return token->len != 0;
}

static void add_to_value(struct param *param, char c)
{
    if (param->value_len < sizeof param->value)
        param->value[param->value_len] = c;
    param->value_len++;
}

/* What is quoted must be a token once the escapes are undone (9.1). */
static bool take_quoted(struct wsi_str *in, struct param *param)
{
    take(in);
    for (char c = take(in); c != '"'; c = take(in)) {
        if (c == '\\')
            c = take(in);
        if (!wsi_char_is(c, WSI_CHAR_TOKEN))
            return false;
        add_to_value(param, c);
    }
    skip_blanks(in);
    return param->value_len != 0;
}

static bool take_value(struct wsi_str *in, struct param *param)
{
    struct wsi_str token;

    take(in);
    skip_blanks(in);
    param->has_value = true;
    if (front(in) == '"')
        return take_quoted(in, param);
    if (!take_token(in, &token))
        return false;
    for (size_t i = 0; i < token.len; i++)
        add_to_value(param, token.ptr[i]);
    return true;
}

/* @return 1; 0 at the end of the extension; -1 when malformed. */
static int next_param(struct wsi_str *in, struct param *param)
{
    if (front(in) == ',' || in->len == 0)
        return 0;
    if (take(in) != ';')
        return -1;
    skip_blanks(in);
    *param = (struct param){0};
    if (!take_token(in, &param->name))
        return -1;
    return front(in) != '=' || take_value(in, param) ? 1 : -1;
}

/* @return 1; 0 at the end of the field; -1 when malformed. Elements may be empty
 * (RFC 9110 section 5.6.1.2). */
static int next_extension(struct wsi_str *in, struct wsi_str *name)
{
    for (skip_blanks(in); front(in) == ','; skip_blanks(in))
        take(in);
    if (in->len == 0)
        return 0;
    return take_token(in, name) ? 1 : -1;
}

/* ---- the parameters of one offer or answer ---- */

struct element {
    uint8_t named;       /* flags of the parameters that are there */
    uint8_t server_bits; /* 15 unless given */
    uint8_t client_bits; /* 15 unless given with a value */
    bool client_bits_have_value;
    const char *fault; /* (nullable) the first that was found */
};

static uint8_t flag_of(struct wsi_str name)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (wsi_str_equal(known[i].name, name))
            return known[i].flag;
    return 0;
}

/* 8 to 15 in decimal, without a leading zero (7.1.2); 0 for anything else. */
static uint8_t bits_of(const struct param *param)
{
    const char *value = param->value;

    if (param->value_len == 1 && (value[0] == '8' || value[0] == '9'))
        return (uint8_t)(value[0] - '0');
    if (param->value_len == 2 && value[0] == '1' && value[1] >= '0' && value[1] <= '5')
        return (uint8_t)(10 + value[1] - '0');
    return 0;
}

/* @return (nullable) what is wrong with the parameter. */
static const char *add_param(struct element *element, const struct param *param)
{
    const uint8_t flag = flag_of(param->name), bits = bits_of(param);

    if (flag == 0)
        return EXTENSION_NAME " has an unknown parameter";
    if ((element->named & flag) != 0)
        return EXTENSION_NAME " has a parameter twice";
    element->named |= flag;
    if (flag == SERVER_NO_TAKEOVER || flag == CLIENT_NO_TAKEOVER)
        return param->has_value ? EXTENSION_NAME " has a value where none belongs" : NULL;
    if (!param->has_value && flag == CLIENT_BITS)
        return NULL;
    if (bits == 0)
        return EXTENSION_NAME " has window bits that are not 8 to 15";
    if (flag == SERVER_BITS) {
        element->server_bits = bits;
    } else {
        element->client_bits = bits;
        element->client_bits_have_value = true;
    }
    return NULL;
}

/* Read the parameters behind an extension's name. False when malformed. */
static bool read_element(struct wsi_str *in, struct element *element)
{
    struct param param;
    int r;

    *element = (struct element){
        .server_bits = WSI_PMD_BITS_MAX,
        .client_bits = WSI_PMD_BITS_MAX,
    };
    while ((r = next_param(in, &param)) > 0) {
        const char *fault = add_param(element, &param);

        if (element->fault == NULL)
            element->fault = fault;
    }
    return r == 0;
}

/*
 * Calls fn for each extension in all fields, in order, known or not.
 *
 * @return 0; -1 when malformed or when fn answered a sentence, which is then in *why.
 */
static int each_element(const struct wsi_http_head *head,
                        const char *(*fn)(struct wsi_str name,
                                          const struct element *element, void *user),
                        void *user, const char **why)
{
    const struct wsi_http_field *field;

    for (unsigned nth = 0;
         (field = wsi_http_find(head, WSI_STR("Sec-WebSocket-Extensions"), nth)) != NULL;
         nth++) {
        struct wsi_str in = field->value, name;
        int r;

        while ((r = next_extension(&in, &name)) > 0) {
            struct element element;
            const char *complaint = bad_list;

            if (read_element(&in, &element))
                complaint = fn(name, &element, user);
            if (complaint != NULL) {
                *why = complaint;
                return -1;
            }
        }
        if (r < 0) {
            *why = bad_list;
            return -1;
        }
    }
    return 0;
}

/* ---- deciding ---- */

static bool own_takeover(const struct wsi_pmd_config *config)
{
    return config->mode == WSI_PMD_DEDICATED && config->own_takeover;
}

static bool peer_takeover(const struct wsi_pmd_config *config)
{
    return config->mode == WSI_PMD_DEDICATED && config->peer_takeover;
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static void check_config(const struct wsi_pmd_config *config)
{
    assert(config->own_window_bits >= WSI_PMD_BITS_MIN &&
           config->own_window_bits <= WSI_PMD_BITS_MAX);
    assert(config->peer_window_bits >= WSI_PMD_BITS_MIN &&
           config->peer_window_bits <= WSI_PMD_BITS_MAX);
    (void)config;
}

struct decision {
    const struct wsi_pmd_config *config;
    struct wsi_pmd_params params;
    bool made;
};

/* What a server makes of a valid offer. */
static struct wsi_pmd_params meet(const struct wsi_pmd_config *config,
                                  const struct element *offer)
{
    const bool limits_client = (offer->named & CLIENT_BITS) != 0;
    struct wsi_pmd_params params = {
        .own_window_bits = smaller(config->own_window_bits, offer->server_bits),
        .peer_window_bits = limits_client
                                ? smaller(config->peer_window_bits, offer->client_bits)
                                : WSI_PMD_BITS_MAX,
        .own_takeover = own_takeover(config) && (offer->named & SERVER_NO_TAKEOVER) == 0,
    };

    params.peer_takeover = peer_takeover(config) &&
                           (offer->named & CLIENT_NO_TAKEOVER) == 0 &&
                           params.peer_window_bits <= config->peer_window_bits;
    if (!params.own_takeover)
        params.named |= SERVER_NO_TAKEOVER;
    if (!params.peer_takeover)
        params.named |= CLIENT_NO_TAKEOVER;
    if ((offer->named & SERVER_BITS) != 0 || params.own_window_bits < WSI_PMD_BITS_MAX)
        params.named |= SERVER_BITS;
    if (params.peer_window_bits < WSI_PMD_BITS_MAX)
        params.named |= CLIENT_BITS;
    return params;
}

static const char *consider_offer(struct wsi_str name, const struct element *offer,
                                  void *user)
{
    struct decision *decision = user;

    if (!decision->made && offer->fault == NULL &&
        wsi_str_equal(name, WSI_STR(EXTENSION_NAME))) {
        decision->params = meet(decision->config, offer);
        decision->made = true;
    }
    return NULL;
}

static const char *consider_answer(struct wsi_str name, const struct element *answer,
                                   void *user)
{
    struct decision *decision = user;
    const struct wsi_pmd_config *config = decision->config;

    if (config->mode == WSI_PMD_OFF || !wsi_str_equal(name, WSI_STR(EXTENSION_NAME)))
        return "the server chose an extension that was not offered";
    if (decision->made)
        return "the server chose " EXTENSION_NAME " twice";
    if (answer->fault != NULL)
        return answer->fault;
    if ((answer->named & CLIENT_BITS) != 0 && !answer->client_bits_have_value)
        return EXTENSION_NAME " has window bits that are not 8 to 15";
    if (!peer_takeover(config) && (answer->named & SERVER_NO_TAKEOVER) == 0)
        return "the server did not accept server_no_context_takeover";
    /* Not naming it means 15. Some servers answer so whatever was offered; one that keeps
     * no context either is welcome, since nothing is kept for it between messages. */
    if (answer->server_bits > config->peer_window_bits &&
        (answer->named & (SERVER_BITS | SERVER_NO_TAKEOVER)) != SERVER_NO_TAKEOVER)
        return "the server did not accept server_max_window_bits";
    /* The bits that we offer for ourselves are a hint, which a server may ignore
     * (7.1.2.2): one that answers more than that leaves us free to keep to ours. */
    decision->params = (struct wsi_pmd_params){
        .own_window_bits = smaller(config->own_window_bits, answer->client_bits),
        .peer_window_bits = answer->server_bits,
        .own_takeover = own_takeover(config) && (answer->named & CLIENT_NO_TAKEOVER) == 0,
        .peer_takeover = (answer->named & SERVER_NO_TAKEOVER) == 0,
        .named = answer->named,
    };
    decision->made = true;
    return NULL;
}

int wsi_pmd_accept(const struct wsi_http_head *head, const struct wsi_pmd_config *config,
                   struct wsi_pmd_params *params, const char **why)
{
    struct decision decision = {.config = config};

    if (config->mode == WSI_PMD_OFF)
        return 0;
    check_config(config);
    if (each_element(head, consider_offer, &decision, why) < 0)
        return -1;
    if (decision.made)
        *params = decision.params;
    return decision.made;
}

int wsi_pmd_check_answer(const struct wsi_http_head *head,
                         const struct wsi_pmd_config *config,
                         struct wsi_pmd_params *params, const char **why)
{
    struct decision decision = {.config = config};

    if (each_element(head, consider_answer, &decision, why) < 0)
        return -1;
    if (decision.made)
        *params = decision.params;
    return decision.made;
}

/* ---- writing ---- */

static char *put(char *at, const char *text)
{
    const size_t len = strlen(text);

    memcpy(at, text, len); /* NOLINT(bugprone-not-null-terminated-result): more follows */
    return at + len;
}

static char *put_bits(char *at, unsigned bits)
{
    *at++ = '=';
    if (bits >= 10)
        *at++ = '1';
    *at++ = (char)('0' + bits % 10);
    return at;
}

/* Bits of 0 stand for a parameter without a value. */
static size_t write_element(char out[WSI_PMD_TEXT_MAX], unsigned named,
                            unsigned server_bits, unsigned client_bits)
{
    char *at = put(out, EXTENSION_NAME);

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const unsigned flag = known[i].flag;
        const unsigned bits = flag == SERVER_BITS   ? server_bits
                              : flag == CLIENT_BITS ? client_bits
                                                    : 0;

        if ((named & flag) == 0)
            continue;
        at = put(put(at, "; "), known[i].name.ptr);
        if (bits != 0)
            at = put_bits(at, bits);
    }
    assert(at <= out + WSI_PMD_TEXT_MAX);
    return (size_t)(at - out);
}

size_t wsi_pmd_write_answer(char out[WSI_PMD_TEXT_MAX],
                            const struct wsi_pmd_params *params)
{
    return write_element(out, params->named, params->own_window_bits,
                         params->peer_window_bits);
}

size_t wsi_pmd_write_offer(char out[WSI_PMD_TEXT_MAX],
                           const struct wsi_pmd_config *config)
{
    unsigned named = CLIENT_BITS; /* any limit is fine with us */

    if (config->mode == WSI_PMD_OFF)
        return 0;
    check_config(config);
    if (!own_takeover(config))
        named |= CLIENT_NO_TAKEOVER;
    if (!peer_takeover(config))
        named |= SERVER_NO_TAKEOVER;
    if (config->peer_window_bits < WSI_PMD_BITS_MAX)
        named |= SERVER_BITS;
    return write_element(
        out, named, config->peer_window_bits,
        config->own_window_bits < WSI_PMD_BITS_MAX ? config->own_window_bits : 0);
}
