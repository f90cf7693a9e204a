/* SPDX-License-Identifier: MIT */
/* What a room's options are. */
#include "room/options.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "room/name.h"

/* What was said for names of a pattern, of one option. */
struct rule {
    struct wsi_list node;
    enum wsi_option_id id;
    int64_t value;
    char pattern[];
};

static struct rule *rule_of(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct rule, node);
}

static enum wsi_option_id id_at(int index)
{
    return (enum wsi_option_id)(WSI_ROOM_OPTION_FIRST + index);
}

int wsi_room_options_read(struct wsi_options *options, const char *const *pairs,
                          char *why, size_t why_size)
{
    int r = 0;

    wsi_options_init(options, WSOCK_SCOPE_ROOM);
    for (; r == 0 && pairs != NULL && *pairs != NULL; pairs += 2)
        r = wsi_options_set(options, pairs[0], pairs[1], false, why, why_size);
    return r;
}

/* ---- by pattern ---- */

/* The new one, or, where that was said of the same option and pattern before, the old
 * one, so that there are never more rules than different ones. */
static struct rule *rule_for(struct wsi_list *rules, const char *pattern,
                             enum wsi_option_id id)
{
    const size_t size = strlen(pattern) + 1;
    struct rule *rule;

    WSI_LIST_EACH(node, rules)
    {
        rule = rule_of(node);
        if (rule->id == id && strcmp(rule->pattern, pattern) == 0) {
            wsi_list_remove(node);
            return rule;
        }
    }
    rule = wsi_alloc(sizeof *rule + size);
    if (rule == NULL)
        return NULL;
    wsi_list_init(&rule->node);
    rule->id = id;
    memcpy(rule->pattern, pattern, size);
    return rule;
}

int wsi_room_rules_add(struct wsi_list *rules, const char *pattern, const char *option,
                       const char *value, char *why, size_t why_size)
{
    const char *const pairs[] = {option, value, NULL};
    struct wsi_options options;
    struct rule *rule;
    int index = 0, r;

    if (!wsi_room_pattern_is_valid(pattern)) {
        snprintf(why, why_size, "\"%.255s\" is not a valid pattern of rooms", pattern);
        return WSOCK_EINVAL;
    }
    r = wsi_room_options_read(&options, pairs, why, why_size);
    if (r < 0)
        return r;
    while (!options.is_explicit[id_at(index)])
        index++;
    rule = rule_for(rules, pattern, id_at(index));
    if (rule == NULL) {
        snprintf(why, why_size, "option \"%s\": out of memory", option);
        return WSOCK_ENOMEM;
    }
    rule->value = wsi_option(&options, rule->id);
    wsi_list_append(rules, &rule->node);
    return 0;
}

void wsi_room_rules_fini(struct wsi_list *rules)
{
    struct wsi_list *node;

    while ((node = wsi_list_pop(rules)) != NULL)
        wsi_free(rule_of(node));
}

/* ---- deciding ---- */

void wsi_room_options_decide(struct wsi_room_options *out,
                             const struct wsi_options *server,
                             const struct wsi_list *rules,
                             const struct wsi_options *asked, const char *name)
{
    for (int i = 0; i < WSI_ROOM_OPTION_COUNT; i++)
        out->value[i] = wsi_option(server, id_at(i));
    WSI_LIST_EACH(node, rules)
    {
        const struct rule *rule = rule_of(node);

        if (wsi_room_pattern_matches(rule->pattern, name))
            out->value[rule->id - WSI_ROOM_OPTION_FIRST] = rule->value;
    }
    for (int i = 0; asked != NULL && i < WSI_ROOM_OPTION_COUNT; i++)
        if (asked->is_explicit[id_at(i)])
            out->value[i] = wsi_option(asked, id_at(i));
}

int wsi_room_options_compare(const struct wsi_room_options *options,
                             const struct wsi_options *asked, const char *name, char *why,
                             size_t why_size)
{
    for (int i = 0; i < WSI_ROOM_OPTION_COUNT; i++) {
        const int64_t has = options->value[i], wants = wsi_option(asked, id_at(i));
        wsock_option_info info = {.size = sizeof info};
        char has_text[32], wants_text[32];

        if (!asked->is_explicit[id_at(i)] || has == wants)
            continue;
        wsock_option_at(&info, (size_t)id_at(i));
        wsi_option_format(has_text, sizeof has_text, id_at(i), has);
        wsi_option_format(wants_text, sizeof wants_text, id_at(i), wants);
        snprintf(why, why_size,
                 "room \"%.255s\" is there with option \"%s\" as %s, not %s", name,
                 info.name, has_text, wants_text);
        return WSOCK_EEXIST;
    }
    return 0;
}

void wsi_room_options_show(const struct wsi_room_options *options,
                           struct wsi_options *out)
{
    wsi_options_init(out, WSOCK_SCOPE_ROOM);
    for (int i = 0; i < WSI_ROOM_OPTION_COUNT; i++)
        atomic_store_explicit(&out->number[id_at(i)], options->value[i],
                              memory_order_relaxed);
}
