/* SPDX-License-Identifier: MIT */
/*
 * What the text of an option's value means, how a value reads, and the sentences that
 * tell people what they got wrong. No locale has a say in any of it.
 */
#include "core/option_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/str.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* The first spelling of a factor is the one that is written. */
static const struct unit byte_units[] = {
    {"GiB", 1024 * WSI_MIB}, {"MiB", WSI_MIB}, {"KiB", WSI_KIB}, {"B", 1},
    {"G", 1024 * WSI_MIB},   {"M", WSI_MIB},   {"K", WSI_KIB},   {NULL, 0},
};
static const struct unit time_units[] = {
    {"h", 3600 * WSI_SECOND},
    {"min", 60 * WSI_SECOND},
    {"s", WSI_SECOND},
    {"ms", 1},
    {NULL, 0},
};
static const struct unit no_units[] = {{NULL, 0}};

static const struct unit *units_of(const struct wsi_option_row *row)
{
    if (row->type == WSOCK_OPTION_BYTES)
        return byte_units;
    if (row->type == WSOCK_OPTION_MS)
        return time_units;
    return no_units;
}

/* ---- words ---- */

enum wsi_option_zero wsi_option_zero(const struct wsi_option_row *row)
{
    if (row->type == WSOCK_OPTION_CHOICE || row->words[0] == '\0')
        return WSI_ZERO_IS_ZERO;
    return row->words[0] == 'o' ? WSI_ZERO_IS_OFF : WSI_ZERO_IS_AUTO;
}

/* The word that stands for a number, of length 0 when none does. */
static struct wsi_str word_at(const struct wsi_option_row *row, int64_t number)
{
    const char *word = row->words;

    for (; number > 0 && *word != '\0'; number--) {
        word += strcspn(word, "|");
        word += *word == '|';
    }
    return (struct wsi_str){word, number == 0 ? strcspn(word, "|") : 0};
}

/* @return the number that a word stands for; -1 when it is none of the row's. */
static int64_t number_of_word(const struct wsi_option_row *row, const char *text)
{
    for (int64_t number = 0; word_at(row, number).len > 0; number++)
        if (wsi_str_equal_nocase(word_at(row, number), wsi_str_of(text)))
            return number;
    return -1;
}

/* ---- text to value ---- */

static bool same(const char *text, const char *word)
{
    return wsi_str_equal_nocase(wsi_str_of(text), wsi_str_of(word));
}

static int parse_bool(int64_t *out, const char *text)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int value = 0; value < 2; value++) {
            if (same(text, words[i][value])) {
                *out = value;
                return 0;
            }
        }
    }
    return WSOCK_EINVAL;
}

static int parse_unit(int64_t *factor, const struct unit *units, const char *text)
{
    *factor = 1;
    if (text[0] == '\0')
        return 0;
    if (text[0] == ' ')
        text++;
    for (; units->name != NULL; units++) {
        if (same(text, units->name)) {
            *factor = units->factor;
            return 0;
        }
    }
    return WSOCK_EINVAL;
}

int wsi_option_parse(int64_t *out, const struct wsi_option_row *row, const char *text)
{
    const bool negative = text[0] == '-';
    int64_t number = 0, factor, word;
    bool overflow = false;
    int r;

    if (row->type == WSOCK_OPTION_BOOL)
        return parse_bool(out, text);
    word = number_of_word(row, text);
    if (word >= 0) {
        *out = word;
        return 0;
    }
    if (row->type == WSOCK_OPTION_CHOICE)
        return WSOCK_EINVAL;
    text += negative;
    if (*text < '0' || *text > '9')
        return WSOCK_EINVAL;
    for (; *text >= '0' && *text <= '9'; text++) {
        const int digit = *text - '0';

        overflow = overflow || number > (INT64_MAX - digit) / 10;
        if (!overflow)
            number = number * 10 + digit;
    }
    r = parse_unit(&factor, units_of(row), text);
    if (r < 0)
        return r;
    if (overflow || number > INT64_MAX / factor)
        return WSOCK_ERANGE;
    *out = (negative ? -number : number) * factor;
    return 0;
}

/* ---- value to text ---- */

static int format_row(char *out, size_t size, const struct wsi_option_row *row,
                      int64_t number)
{
    const struct unit *unit = units_of(row);

    const struct wsi_str word = word_at(row, wsi_option_is_off(number) ? 0 : number);

    if (word.len > 0)
        return snprintf(out, size, "%.*s", (int)word.len, word.ptr);
    if (row->type == WSOCK_OPTION_BOOL)
        return snprintf(out, size, "%s", number != 0 ? "true" : "false");
    for (; unit->name != NULL; unit++) {
        /* "60 s", not "1 min": that is how people say it. */
        const bool long_time = row->type == WSOCK_OPTION_MS && unit->factor > WSI_SECOND;
        const int64_t least = long_time ? 2 * unit->factor : unit->factor;

        if (number >= least && number % unit->factor == 0)
            return snprintf(out, size, "%" PRId64 " %s", number / unit->factor,
                            unit->name);
    }
    return snprintf(out, size, "%" PRId64, number);
}

int wsi_option_format(char *out, size_t size, enum wsi_option_id id, int64_t number)
{
    return format_row(out, size, &wsi_option_rows[id], number);
}

/* ---- sentences ---- */

/* What the caller passed, short enough for a sentence and on one line. */
struct quoted {
    char text[72];
};

static struct quoted quote_part(struct wsi_str part)
{
    enum { LONGEST = 60 };
    struct quoted q;
    size_t len = part.len;
    const char *text = part.ptr;
    const bool cut = len > LONGEST;

    if (cut)
        for (len = LONGEST; len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80;)
            len--; /* not within a character */
    for (size_t i = 0; i < len; i++)
        q.text[i] = (char)((unsigned char)text[i] < ' ' || text[i] == 0x7F ? '?'
                                                                           : text[i]);
    snprintf(q.text + len, sizeof q.text - len, "%s", cut ? "..." : "");
    return q;
}

static struct quoted quote(const char *text)
{
    return quote_part(wsi_str_of(text));
}

/* Two rows of the table of Levenshtein suffice. Names longer than any option's are far.
 */
static unsigned distance(const char *a, const char *b)
{
    enum { LONGEST = 47 };
    unsigned row[LONGEST + 1];
    const size_t a_len = strnlen(a, LONGEST + 1), b_len = strnlen(b, LONGEST + 1);

    if (a_len > LONGEST || b_len > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned corner = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            const unsigned above = row[j];
            unsigned best = corner + (a[i - 1] != b[j - 1]);

            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            corner = above;
            row[j] = best;
        }
    }
    return row[b_len];
}

int wsi_option_why_unknown(unsigned scope, const char *name, char *why, size_t why_size)
{
    const char *nearest = NULL;
    unsigned least = UINT32_MAX;
    /* A third of it may be wrong; beyond that it is a guess that helps nobody. */
    const unsigned limit = (unsigned)strnlen(name, 64) / 3 + 1;

    if (why == NULL)
        return WSOCK_EOPTION;
    for (int i = 0; i < WSI_OPT_COUNT; i++) {
        const unsigned d = distance(name, wsi_option_rows[i].name);
        /* Of two that are as near, the one that this object takes. */
        const unsigned cost = 2 * d + ((wsi_option_rows[i].scope & scope) == 0);

        if (d <= limit && cost < least) {
            least = cost;
            nearest = wsi_option_rows[i].name;
        }
    }
    if (nearest != NULL)
        snprintf(why, why_size, "unknown option \"%s\"; did you mean \"%s\"?",
                 quote(name).text, nearest);
    else
        snprintf(why, why_size, "unknown option \"%s\"", quote(name).text);
    return WSOCK_EOPTION;
}

static const struct {
    unsigned bit;
    const char *name, *with_article;
} scopes[] = {
    {WSOCK_SCOPE_RUNTIME, "runtimes", "a runtime"},
    {WSOCK_SCOPE_SERVER, "servers", "a server"},
    {WSOCK_SCOPE_ENDPOINT, "endpoints", "an endpoint"},
    {WSOCK_SCOPE_CLIENT, "clients", "a client"},
    {WSOCK_SCOPE_ROOM, "rooms", "a room"},
};
enum { SCOPES = sizeof scopes / sizeof scopes[0] };

int wsi_option_why_scope(const struct wsi_option_row *row, unsigned scope, char *why,
                         size_t why_size)
{
    char takers[64] = "";
    const char *here = "this object";

    if (why == NULL)
        return WSOCK_EOPTION;
    for (int i = 0; i < SCOPES; i++) {
        if ((scopes[i].bit & scope) != 0)
            here = scopes[i].with_article;
        if ((scopes[i].bit & row->scope) != 0) {
            const size_t len = strlen(takers);

            snprintf(takers + len, sizeof takers - len, "%s%s", len != 0 ? " and " : "",
                     scopes[i].name);
        }
    }
    snprintf(why, why_size, "option \"%s\" is one of %s, not of %s", row->name, takers,
             here);
    return WSOCK_EOPTION;
}

/* "off, shared or dedicated". */
static void describe_choice(char *out, size_t size, const struct wsi_option_row *row)
{
    size_t len = 0;

    for (int64_t i = 0; i <= row->value_max && len < size; i++) {
        const struct wsi_str word = word_at(row, i);
        const char *before = i == 0 ? "" : i == row->value_max ? " or " : ", ";

        len += (size_t)snprintf(out + len, size - len, "%s%.*s", before, (int)word.len,
                                word.ptr);
    }
}

/* "1 KiB to 1 MiB", "1 ms to 24 h, or off", "true or false". */
static void describe_range(char *out, size_t size, const struct wsi_option_row *row)
{
    char min[32], max[32];

    if (row->type == WSOCK_OPTION_BOOL) {
        snprintf(out, size, "true or false");
    } else if (row->type == WSOCK_OPTION_CHOICE) {
        describe_choice(out, size, row);
    } else if (row->type == WSOCK_OPTION_STRING) {
        snprintf(out, size, "text of at most %" PRId64 " bytes", row->value_max);
    } else {
        format_row(min, sizeof min, row, row->value_min);
        format_row(max, sizeof max, row, row->value_max);
        snprintf(out, size, "%s to %s%s%s", min, max,
                 row->words[0] != '\0' ? ", or " : "", row->words);
    }
}

int wsi_option_why_value(int code, const struct wsi_option_row *row, const char *value,
                         char *why, size_t why_size)
{
    char range[80];

    if (why == NULL)
        return code;
    describe_range(range, sizeof range, row);
    if (code == WSOCK_ENOMEM)
        snprintf(why, why_size, "option \"%s\": out of memory", row->name);
    else if (value == NULL)
        snprintf(why, why_size, "option \"%s\" takes %s, not NULL", row->name, range);
    else
        snprintf(why, why_size, "option \"%s\" takes %s, not \"%s\"", row->name, range,
                 quote(value).text);
    return code;
}

int wsi_option_why_element(int code, const struct wsi_option_row *row,
                           const struct wsi_list_error *error, char *why, size_t why_size)
{
    if (why != NULL)
        snprintf(why, why_size, "option \"%s\": \"%s\": %s", row->name,
                 quote_part(error->element).text, error->why);
    return code;
}

int wsi_option_why_busy(const struct wsi_option_row *row, char *why, size_t why_size)
{
    if (why != NULL)
        snprintf(why, why_size, "option \"%s\" can only be set before it starts",
                 row->name);
    return WSOCK_EBUSY;
}

int wsi_option_why_kind(int code, const struct wsi_option_row *row, char *why,
                        size_t why_size)
{
    if (why != NULL)
        snprintf(why, why_size, "option \"%s\" is text, not a number", row->name);
    return code;
}
