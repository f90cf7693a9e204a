/* SPDX-License-Identifier: MIT */
/*
 * The protocol of NATS as brokers speak it: lines that end in CR LF, of which MSG and
 * HMSG end with the length of what follows, and CR LF behind that.
 *
 *     LINE --CR--> LINE_END --LF--> LINE, or: BODY --all of it--> BODY_CR --> BODY_LF -->
 * LINE
 */
#include "cluster/nats/guard.h"

#include <string.h>

enum state { LINE, LINE_END, BODY, BODY_CR, BODY_LF, REFUSED };

static const char *const no_nats = "it sent what is not of NATS";
static const char *const too_long = "it began a message or line that is too long";

static bool begins(const struct wsi_nats_guard *guard, const char *with)
{
    const size_t len = strlen(with);

    return guard->len >= len && memcmp(guard->head, with, len) == 0;
}

static bool is(const struct wsi_nats_guard *guard, const char *line)
{
    return guard->len == strlen(line) && begins(guard, line);
}

static void end_word(struct wsi_nats_guard *guard)
{
    if (guard->is_word && !guard->is_number)
        guard->number = UINT64_MAX;
    guard->is_word = false;
}

static void take_of_word(struct wsi_nats_guard *guard, char c)
{
    if (!guard->is_word) {
        guard->is_word = guard->is_number = true;
        guard->words++;
        guard->before = guard->number;
        guard->number = 0;
    }
    if (c < '0' || c > '9')
        guard->is_number = false;
    else if (guard->number <= WSI_NATS_MESSAGE_MAX)
        guard->number = guard->number * 10 + (uint64_t)(c - '0');
}

static const char *take_of_line(struct wsi_nats_guard *guard, char c)
{
    const bool is_message = guard->len > 0 &&
                            (guard->head[0] == 'M' || guard->head[0] == 'H');

    if (c == '\r') {
        end_word(guard);
        guard->state = LINE_END;
        return NULL;
    }
    if (c == '\n' || c == '\0')
        return no_nats;
    if (guard->len >= (is_message ? WSI_NATS_LINE_MAX : WSI_NATS_INFO_MAX))
        return too_long;
    if (guard->len < sizeof guard->head)
        guard->head[guard->len] = c;
    guard->len++;
    if (c == ' ' || c == '\t')
        end_word(guard);
    else
        take_of_word(guard, c);
    return NULL;
}

/* @param with_headers whose length comes before that of all */
static const char *open_message(struct wsi_nats_guard *guard, bool with_headers)
{
    const unsigned least = with_headers ? 5 : 4; /* the verb; the reply may be missing */
    const bool fits = !with_headers || guard->before <= guard->number;

    if ((guard->words != least && guard->words != least + 1) ||
        guard->number == UINT64_MAX || !fits)
        return no_nats;
    if (guard->number > WSI_NATS_MESSAGE_MAX)
        return too_long;
    guard->missing = (size_t)guard->number;
    guard->state = guard->missing > 0 ? BODY : BODY_CR;
    return NULL;
}

static bool is_known(const struct wsi_nats_guard *guard)
{
    return is(guard, "PING") || is(guard, "PONG") || is(guard, "+OK") ||
           begins(guard, "-ERR ") || begins(guard, "INFO ");
}

static const char *end_line(struct wsi_nats_guard *guard, char c)
{
    const char *wrong = NULL;

    guard->state = LINE;
    if (c == '\n' && (begins(guard, "MSG ") || begins(guard, "HMSG ")))
        wrong = open_message(guard, guard->head[0] == 'H');
    else if (c != '\n' || !is_known(guard))
        wrong = no_nats;
    guard->len = 0;
    guard->words = 0;
    guard->number = 0;
    return wrong;
}

static const char *take(struct wsi_nats_guard *guard, char c)
{
    switch ((enum state)guard->state) {
    case LINE:
        return take_of_line(guard, c);
    case LINE_END:
        return end_line(guard, c);
    case BODY_CR:
        guard->state = BODY_LF;
        return c == '\r' ? NULL : no_nats;
    case BODY_LF:
        guard->state = LINE;
        return c == '\n' ? NULL : no_nats;
    default:
        return no_nats;
    }
}

const char *wsi_nats_guard_pass(struct wsi_nats_guard *guard, const char *data,
                                size_t len)
{
    const char *wrong = NULL;
    size_t at = 0;

    while (at < len && wrong == NULL) {
        if (guard->state == BODY) {
            const size_t part = guard->missing < len - at ? guard->missing : len - at;

            at += part;
            guard->missing -= part;
            guard->state = guard->missing > 0 ? BODY : BODY_CR;
        } else {
            wrong = take(guard, data[at++]);
        }
    }
    if (wrong != NULL)
        guard->state = REFUSED;
    return wrong;
}
