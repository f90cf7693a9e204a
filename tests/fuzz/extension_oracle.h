/* SPDX-License-Identifier: MIT */
/*
 * A second opinion on Sec-WebSocket-Extensions: the grammar of RFC 6455 section 9.1 as
 * one regular expression, and what RFC 7692 section 7.1 lets an answer to an offer say.
 * Slow, and short enough to be read beside the RFCs.
 */
#ifndef WSI_TEST_EXTENSION_ORACLE_H
#define WSI_TEST_EXTENSION_ORACLE_H

#include "fuzz.h"

#include <regex.h>
#include <stdbool.h>

enum { ELEMENTS_MAX = 4096 };

/* An element of the list, as far as it is permessage-deflate. Bits of 0 are not there. */
struct element {
    bool is_pmd;
    bool is_valid; /* each parameter known, once, with a value where one belongs */
    bool server_no_takeover, client_no_takeover;
    bool limits_client; /* client_max_window_bits is there, with or without a value */
    unsigned server_bits, client_bits;
};

#define TOKEN  "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#define QUOTED "\"(\\\\?[!#$%&'*+.^_`|~0-9A-Za-z-])+\""
#define OWS    "[ \t]*"
#define PARAM  TOKEN "(" OWS "=" OWS "(" TOKEN "|" QUOTED "))?"
#define EXT    TOKEN "(" OWS ";" OWS PARAM ")*"

static inline bool list_is_well_formed(const char *text)
{
    static const char grammar[] = "^[ \t,]*(" EXT OWS "(,[ \t,]*" EXT OWS
                                  ")*(,[ \t,]*)?)?$";
    static regex_t list;
    static bool compiled;

    if (!compiled)
        CHECK(regcomp(&list, grammar, REG_EXTENDED | REG_NOSUB) == 0);
    compiled = true;
    return regexec(&list, text, 0, NULL, 0) == 0;
}

/* Blanks and escapes mean nothing in a list that is well-formed, nor do quotes but that
 * none of its separators can stand inside them. */
static inline void strip(char *text)
{
    char *out = text;

    for (; *text != '\0'; text++)
        if (strchr(" \t\"\\", *text) == NULL)
            *out++ = *text;
    *out = '\0';
}

static inline unsigned bits_in(const char *value)
{
    static const char *const known[] = {"8", "9", "10", "11", "12", "13", "14", "15"};

    for (unsigned i = 0; i < 8; i++)
        if (strcmp(value, known[i]) == 0)
            return 8 + i;
    return 0;
}

static inline bool read_flag(bool *flag, const char *value)
{
    const bool is_first = !*flag;

    *flag = true;
    return is_first && value == NULL;
}

static inline bool read_param(struct element *element, const char *name,
                              const char *value)
{
    if (strcmp(name, "server_no_context_takeover") == 0)
        return read_flag(&element->server_no_takeover, value);
    if (strcmp(name, "client_no_context_takeover") == 0)
        return read_flag(&element->client_no_takeover, value);
    if (strcmp(name, "server_max_window_bits") == 0) {
        if (element->server_bits != 0 || value == NULL)
            return false;
        element->server_bits = bits_in(value);
        return element->server_bits != 0;
    }
    if (strcmp(name, "client_max_window_bits") != 0 ||
        !read_flag(&element->limits_client, NULL))
        return false;
    if (value != NULL)
        element->client_bits = bits_in(value);
    return value == NULL || element->client_bits != 0;
}

static inline struct element read_element(char *text)
{
    struct element element = {.is_valid = true};
    char *name = strsep(&text, ";");

    element.is_pmd = strcmp(name, "permessage-deflate") == 0;
    while ((name = strsep(&text, ";")) != NULL) {
        char *value = strchr(name, '=');

        if (value != NULL)
            *value++ = '\0';
        element.is_valid = read_param(&element, name, value) && element.is_valid;
    }
    return element;
}

/**
 * Append the elements of one field.
 *
 * @param text NUL-terminated; changed.
 * @return false when it is malformed.
 */
static inline bool oracle_read_list(char *text, struct element *out, size_t *count)
{
    char *part;

    if (!list_is_well_formed(text))
        return false;
    strip(text);
    while ((part = strsep(&text, ",")) != NULL) {
        if (part[0] == '\0')
            continue;
        CHECK(*count < ELEMENTS_MAX);
        out[(*count)++] = read_element(part);
    }
    return true;
}

/** May a server give this answer to that offer? (7.1.1.1 to 7.1.2.2) It may not leave out
 * the window that it was asked to keep to; the client bears that where no context is
 * kept. */
static inline bool oracle_answer_fits(const struct element *offer,
                                      const struct element *answer)
{
    if (!answer->is_pmd || !answer->is_valid)
        return false;
    if (offer->server_no_takeover && !answer->server_no_takeover)
        return false;
    if (offer->server_bits != 0 && answer->server_bits > offer->server_bits)
        return false;
    if (offer->server_bits != 0 && answer->server_bits == 0 &&
        !answer->server_no_takeover)
        return false;
    /* The offer's client_bits are a hint, which the server may ignore. */
    return !answer->limits_client || (offer->limits_client && answer->client_bits != 0);
}

#endif
