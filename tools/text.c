/* SPDX-License-Identifier: MIT */
/*
 * The texts that are built into the command: its manuals, with the library's own options
 * listed from its table, so that the list can never be out of date.
 */
#include <stdio.h>
#include <string.h>

#include "tool.h"

const struct embedded_file *embedded_find(const char *name)
{
    for (size_t i = 0; i < embedded_count; i++) {
        if (strcmp(embedded_files[i].name, name) == 0)
            return &embedded_files[i];
    }
    return NULL;
}

/* A value in the unit that reads best, as the options themselves take it. */
static void format_value(char *out, size_t size, const wsock_option_info *info,
                         int64_t value)
{
    static const char *const byte_units[] = {"", "KiB", "MiB", "GiB"};
    size_t unit = 0;

    if (info->words[0] != '\0' && value == 0) {
        snprintf(out, size, "%.*s", (int)strcspn(info->words, "|"), info->words);
    } else if (info->type == WSOCK_OPTION_BYTES) {
        for (; unit < 3 && value != 0 && value % 1024 == 0; unit++)
            value /= 1024;
        snprintf(out, size, "%lld%s", (long long)value, byte_units[unit]);
    } else if (info->type == WSOCK_OPTION_MS) {
        if (value % 1000 == 0)
            snprintf(out, size, "%llds", (long long)(value / 1000));
        else
            snprintf(out, size, "%lldms", (long long)value);
    } else if (info->type == WSOCK_OPTION_BOOL) {
        snprintf(out, size, "%s", value != 0 ? "on" : "off");
    } else {
        snprintf(out, size, "%lld", (long long)value);
    }
}

/* Break text into lines of at most 80 columns behind an indentation of ten. */
static void print_wrapped(const char *text)
{
    const size_t width = 70;

    while (*text != '\0') {
        size_t len = strlen(text);

        if (len > width) {
            len = width;
            while (len > 0 && text[len] != ' ')
                len--;
            if (len == 0)
                len = width;
        }
        printf("          %.*s\n", (int)len, text);
        text += len;
        while (*text == ' ')
            text++;
    }
}

const struct option_rule *option_rule_of(const struct option_rule *rules,
                                         const char *name)
{
    for (; rules != NULL && rules->name != NULL; rules++) {
        if (strcmp(rules->name, name) == 0)
            return rules;
    }
    return NULL;
}

static void print_options(int scopes, const struct option_rule *rules)
{
    wsock_option_info info = {.size = sizeof info};

    for (size_t i = 0; wsock_option_at(&info, i) == 0; i++) {
        const struct option_rule *rule = option_rule_of(rules, info.name);
        char value[48];

        if ((info.scope & scopes) == 0 || (rule != NULL && rule->value == NULL))
            continue;
        if (rule != NULL) {
            printf("      %s=%s\n", info.name, rule->value);
        } else if (info.type == WSOCK_OPTION_STRING) {
            printf("      %s=TEXT\n", info.name);
        } else {
            format_value(value, sizeof value, &info,
                         (scopes & WSOCK_SCOPE_CLIENT) != 0 ? info.value_default_client
                                                            : info.value_default);
            printf("      %s=%s\n", info.name, value);
        }
        print_wrapped(info.text);
    }
}

int help_print(const char *command, int scopes, const struct option_rule *rules)
{
    static const char mark[] = "@OPTIONS@\n";
    const struct embedded_file *file = NULL;
    const char *options = NULL;
    char name[32];

    snprintf(name, sizeof name, "%s.txt", command);
    file = embedded_find(name);
    if (file == NULL)
        return EXIT_FAILED;
    options = strstr(file->data, mark);
    if (options == NULL) {
        fputs(file->data, stdout);
    } else {
        printf("%.*s", (int)(options - file->data), file->data);
        print_options(scopes, rules);
        fputs(options + sizeof mark - 1, stdout);
    }
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
