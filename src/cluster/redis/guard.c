/* SPDX-License-Identifier: MIT */
/* Looking at answers before anything is allocated for them. */
#include "cluster/redis/guard.h"

#include <assert.h>
#include <string.h>

enum { DIGITS_MAX = 18 }; /* fits into 64 bits, whatever they are */

enum state { TYPE, TEXT, NUMBER, NUMBER_END, BULK, BULK_CR, BULK_LF, REFUSED };

void wsi_guard_init(struct wsi_guard *guard, size_t limit)
{
    *guard = (struct wsi_guard){.limit = limit, .state = TYPE};
}

static const char *const no_answer = "it sent what is no answer of Redis";
static const char *const too_large = "an answer is larger than cluster_answer_bytes";
static const char *const too_deep = "an answer is nested too deep";

/* @return NULL, or why not. */
static const char *spend(struct wsi_guard *guard, uint64_t count, size_t each)
{
    if (count > (guard->limit - guard->cost) / each)
        return too_large;
    guard->cost += (size_t)count * each;
    return NULL;
}

/* An element has ended, and so may have the arrays that it was the last of. */
static void close_element(struct wsi_guard *guard, bool *whole)
{
    guard->state = TYPE;
    while (guard->depth > 0 && --guard->missing[guard->depth - 1] == 0)
        guard->depth--;
    if (guard->depth == 0) {
        guard->cost = 0;
        *whole = true;
    }
}

static const char *begin(struct wsi_guard *guard, char c)
{
    guard->type = (uint8_t)c;
    guard->number = 0;
    guard->digits = 0;
    guard->negative = guard->after_cr = false;
    if (c == '+' || c == '-')
        guard->state = TEXT;
    else if (c == ':' || c == '$' || c == '*')
        guard->state = NUMBER;
    else
        return no_answer;
    /* Elements of an array were paid for with it. */
    return guard->depth == 0 ? spend(guard, 1, WSI_GUARD_ELEMENT_COST) : NULL;
}

static const char *take_digit(struct wsi_guard *guard, char c)
{
    if (c == '-' && guard->digits == 0 && !guard->negative) {
        guard->negative = true;
    } else if (c == '\r' && guard->digits > 0) {
        guard->state = NUMBER_END;
    } else if (c >= '0' && c <= '9' && guard->digits < DIGITS_MAX &&
               !(guard->digits > 0 && guard->number == 0)) {
        guard->number = guard->number * 10 + (uint64_t)(c - '0');
        guard->digits++;
    } else {
        return no_answer;
    }
    return NULL;
}

static const char *open_array(struct wsi_guard *guard, bool *whole)
{
    const char *why;

    if (guard->number == 0) {
        close_element(guard, whole);
        return NULL;
    }
    if (guard->depth == WSI_GUARD_DEPTH)
        return too_deep;
    why = spend(guard, guard->number, WSI_GUARD_ELEMENT_COST);
    guard->missing[guard->depth++] = guard->number;
    guard->state = TYPE;
    return why;
}

static const char *end_number(struct wsi_guard *guard, char c, bool *whole)
{
    const bool is_length = guard->type != ':';

    if (c != '\n' || (is_length && guard->negative && guard->number != 1))
        return no_answer;
    if (!is_length || guard->negative) { /* a number, or nothing */
        close_element(guard, whole);
        return NULL;
    }
    if (guard->type == '*')
        return open_array(guard, whole);
    guard->bulk = guard->number;
    guard->state = guard->bulk > 0 ? BULK : BULK_CR;
    return spend(guard, guard->number, 1);
}

static const char *take_text(struct wsi_guard *guard, char c, bool *whole)
{
    if (guard->after_cr && c == '\n') {
        close_element(guard, whole);
        return NULL;
    }
    guard->after_cr = c == '\r';
    return spend(guard, 1, 1);
}

static const char *take(struct wsi_guard *guard, char c, bool *whole)
{
    switch ((enum state)guard->state) {
    case TYPE:
        return begin(guard, c);
    case TEXT:
        return take_text(guard, c, whole);
    case NUMBER:
        return take_digit(guard, c);
    case NUMBER_END:
        return end_number(guard, c, whole);
    case BULK_CR:
        guard->state = BULK_LF;
        return c == '\r' ? NULL : no_answer;
    case BULK_LF:
        if (c != '\n')
            return no_answer;
        close_element(guard, whole);
        return NULL;
    default:
        return no_answer;
    }
}

size_t wsi_guard_pass(struct wsi_guard *guard, const char *data, size_t len, bool *whole,
                      const char **why)
{
    const char *wrong = NULL;
    size_t at = 0;

    *whole = false;
    while (at < len && !*whole && wrong == NULL) {
        if (guard->state == BULK) {
            const size_t part = guard->bulk < len - at ? (size_t)guard->bulk : len - at;

            at += part;
            guard->bulk -= part;
            guard->state = guard->bulk > 0 ? BULK : BULK_CR;
        } else {
            wrong = take(guard, data[at++], whole);
        }
    }
    if (wrong == NULL)
        return at;
    guard->state = REFUSED;
    *whole = false;
    *why = wrong;
    return 0;
}
