/* SPDX-License-Identifier: MIT */
/*
 * The option table and its storage. It decides which object takes which option, when, and
 * what a child has from its parent; what text means is in option_text.c.
 */
#include "core/option.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "core/option_text.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): initialisers need none. */
#define ROW(id, name_, scope_, type_, def, min, max, live, words_, text_) \
    [WSI_OPT_##id] = {                                                    \
        .name = name_,                                                    \
        .text = text_,                                                    \
        .value_default = def,                                             \
        .value_min = min,                                                 \
        .value_max = max,                                                 \
        .scope = scope_,                                                  \
        .type = WSOCK_OPTION_##type_,                                     \
        .is_live = live,                                                  \
        .words = words_,                                                  \
    },
const struct wsi_option_row wsi_option_rows[WSI_OPT_COUNT] = {WSI_OPTION_MAP(ROW)};
#undef ROW
/* NOLINTEND(bugprone-macro-parentheses) */

/* Sizes of wsock_option_info by version; no tail padding, or size could not tell them
 * apart. */
enum { INFO_SIZE_1_0 = offsetof(wsock_option_info, reserved) + sizeof(int32_t) };
_Static_assert(sizeof(wsock_option_info) == INFO_SIZE_1_0, "no tail padding");

static const struct wsi_option_row *row_of(enum wsi_option_id id)
{
    return &wsi_option_rows[id];
}

/* Which of the strings an option is. */
static unsigned text_index(enum wsi_option_id id)
{
    unsigned index = 0;

    assert(row_of(id)->type == WSOCK_OPTION_STRING);
    for (unsigned i = 0; i < (unsigned)id; i++)
        index += wsi_option_rows[i].type == WSOCK_OPTION_STRING;
    assert(index < WSI_OPTION_TEXTS);
    return index;
}

/* Off is 0 outside and INT64_MAX inside. */
static int64_t to_stored(const struct wsi_option_row *row, int64_t value)
{
    return value == 0 && wsi_option_zero(row) == WSI_ZERO_IS_OFF ? INT64_MAX : value;
}

static int64_t to_public(const struct wsi_option_row *row, int64_t stored)
{
    return wsi_option_is_off(stored) && wsi_option_zero(row) == WSI_ZERO_IS_OFF ? 0
                                                                                : stored;
}

static void store(struct wsi_options *options, enum wsi_option_id id, int64_t stored)
{
    atomic_store_explicit(&options->number[id], stored, memory_order_relaxed);
}

static int64_t default_of(enum wsi_option_id id, unsigned scope)
{
#define CLIENT_DEFAULT(ID, value)                          \
    if (id == WSI_OPT_##ID && scope == WSOCK_SCOPE_CLIENT) \
        return value;
    WSI_OPTION_CLIENT_DEFAULT_MAP(CLIENT_DEFAULT)
#undef CLIENT_DEFAULT
    return row_of(id)->value_default;
}

void wsi_options_init(struct wsi_options *options, unsigned scope)
{
    options->scope = scope;
    options->check = NULL;
    memset(options->is_explicit, 0, sizeof options->is_explicit);
    for (int i = 0; i < WSI_OPT_COUNT; i++)
        atomic_init(
            &options->number[i],
            to_stored(&wsi_option_rows[i], default_of((enum wsi_option_id)i, scope)));
    memset(options->text, 0, sizeof options->text);
}

void wsi_options_fini(struct wsi_options *options)
{
    for (int i = 0; i < WSI_OPTION_TEXTS; i++) {
        wsi_free(options->text[i]);
        options->text[i] = NULL;
    }
}

const char *wsi_option_text(const struct wsi_options *options, enum wsi_option_id id)
{
    const char *text = options->text[text_index(id)];

    return text != NULL ? text : "";
}

/* @return the id of the option of that name, if this object takes it; WSOCK_EOPTION and a
 * sentence if not. */
static int find(const struct wsi_options *options, const char *name, char *why,
                size_t why_size)
{
    for (int i = 0; name != NULL && i < WSI_OPT_COUNT; i++) {
        const struct wsi_option_row *row = &wsi_option_rows[i];

        if (strcmp(row->name, name) != 0)
            continue;
        if ((row->scope & options->scope) == 0)
            return wsi_option_why_scope(row, options->scope, why, why_size);
        return i;
    }
    return wsi_option_why_unknown(options->scope, name != NULL ? name : "", why,
                                  why_size);
}

static int set_text(struct wsi_options *options, enum wsi_option_id id, const char *value)
{
    char **text = &options->text[text_index(id)];
    char *copy = NULL;

    if (strlen(value) > (size_t)row_of(id)->value_max)
        return WSOCK_ERANGE;
    if (value[0] != '\0') {
        copy = wsi_strdup(value);
        if (copy == NULL)
            return WSOCK_ENOMEM;
    }
    wsi_free(*text);
    *text = copy;
    return 0;
}

/* Length first: what is checked is bounded. */
static int set_checked_text(struct wsi_options *options, enum wsi_option_id id,
                            const char *value, char *why, size_t why_size)
{
    struct wsi_list_error error = {0};
    int r = 0;

    if (options->check != NULL && strlen(value) <= (size_t)row_of(id)->value_max)
        r = options->check(id, value, &error);
    if (r < 0 && error.why != NULL)
        return wsi_option_why_element(r, row_of(id), &error, why, why_size);
    if (r == 0)
        r = set_text(options, id, value);
    return r < 0 ? wsi_option_why_value(r, row_of(id), value, why, why_size) : 0;
}

static int set_number(struct wsi_options *options, enum wsi_option_id id, int64_t value)
{
    const struct wsi_option_row *row = row_of(id);
    const bool is_word = value == 0 && wsi_option_zero(row) != WSI_ZERO_IS_ZERO;

    if (!is_word && (value < row->value_min || value > row->value_max))
        return WSOCK_ERANGE;
    store(options, id, to_stored(row, value));
    return 0;
}

int wsi_options_set(struct wsi_options *options, const char *name, const char *value,
                    bool started, char *why, size_t why_size)
{
    const int found = find(options, name, why, why_size);
    const enum wsi_option_id id = (enum wsi_option_id)found;
    int64_t number;
    int r = WSOCK_EINVAL;

    if (found < 0)
        return found;
    if (started && !row_of(id)->is_live)
        return wsi_option_why_busy(row_of(id), why, why_size);
    if (value != NULL && row_of(id)->type == WSOCK_OPTION_STRING) {
        r = set_checked_text(options, id, value, why, why_size);
        if (r < 0)
            return r;
    } else {
        if (value != NULL && (r = wsi_option_parse(&number, row_of(id), value)) == 0)
            r = set_number(options, id, number);
        if (r < 0)
            return wsi_option_why_value(r, row_of(id), value, why, why_size);
    }
    options->is_explicit[id] = true;
    return 0;
}

int wsi_options_set_number(struct wsi_options *options, const char *name, int64_t value,
                           bool started, char *why, size_t why_size)
{
    const int found = find(options, name, why, why_size);
    const enum wsi_option_id id = (enum wsi_option_id)found;
    char text[24];
    int r;

    if (found < 0)
        return found;
    if (started && !row_of(id)->is_live)
        return wsi_option_why_busy(row_of(id), why, why_size);
    if (row_of(id)->type == WSOCK_OPTION_STRING)
        return wsi_option_why_kind(WSOCK_EINVAL, row_of(id), why, why_size);
    r = set_number(options, id, value);
    if (r < 0) {
        snprintf(text, sizeof text, "%" PRId64, value);
        return wsi_option_why_value(r, row_of(id), text, why, why_size);
    }
    options->is_explicit[id] = true;
    return 0;
}

int wsi_options_get_number(const struct wsi_options *options, int64_t *out,
                           const char *name, char *why, size_t why_size)
{
    const int found = find(options, name, why, why_size);
    const enum wsi_option_id id = (enum wsi_option_id)found;

    if (found < 0)
        return found;
    if (row_of(id)->type == WSOCK_OPTION_STRING)
        return wsi_option_why_kind(WSOCK_EOPTION, row_of(id), why, why_size);
    *out = to_public(row_of(id), wsi_option(options, id));
    return 0;
}

int wsi_options_get_text(const struct wsi_options *options, char *out, size_t size,
                         const char *name, char *why, size_t why_size)
{
    const int found = find(options, name, why, why_size);
    const enum wsi_option_id id = (enum wsi_option_id)found;
    char number[32];
    const char *text = number;
    size_t len;

    if (found < 0)
        return found;
    if (row_of(id)->type == WSOCK_OPTION_STRING)
        text = wsi_option_text(options, id);
    else
        wsi_option_format(number, sizeof number, id, wsi_option(options, id));
    len = strlen(text);
    if (len >= size) {
        if (why != NULL)
            snprintf(why, why_size, "option \"%s\" needs room for %zu bytes, not %zu",
                     row_of(id)->name, len + 1, size);
        return WSOCK_ETOOBIG;
    }
    memcpy(out, text, len + 1);
    return (int)len;
}

void wsi_options_inherit(struct wsi_options *child, const struct wsi_options *parent)
{
    for (int i = 0; i < WSI_OPT_COUNT; i++) {
        const enum wsi_option_id id = (enum wsi_option_id)i;

        if ((row_of(id)->scope & child->scope) == 0 ||
            (row_of(id)->scope & parent->scope) == 0)
            continue;
        /* A string would need memory, and no parent and child have one in common. */
        assert(row_of(id)->type != WSOCK_OPTION_STRING);
        if (!child->is_explicit[id])
            store(child, id, wsi_option(parent, id));
    }
}

int wsock_option_at(wsock_option_info *info, size_t index)
{
    wsock_option_info full = {.size = sizeof full};
    const struct wsi_option_row *row;

    if (info == NULL || info->size < INFO_SIZE_1_0)
        return WSOCK_EINVAL;
    if (index >= WSI_OPT_COUNT)
        return WSOCK_ENOENT;
    if (info->size < full.size)
        full.size = info->size;
    row = &wsi_option_rows[index];
    full.name = row->name;
    full.text = row->text;
    full.value_default = row->value_default;
    full.value_default_client = default_of((enum wsi_option_id)index, WSOCK_SCOPE_CLIENT);
    full.value_min = row->value_min;
    full.value_max = row->value_max;
    full.scope = (int32_t)row->scope;
    full.type = row->type;
    full.is_live = row->is_live;
    full.words = row->words;
    memcpy(info, &full, full.size);
    return 0;
}
