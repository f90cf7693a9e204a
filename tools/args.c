/* SPDX-License-Identifier: MIT */
/*
 * Arguments of the command: exact names, values attached or apart, letters that may be
 * clustered; and complaints that name what was meant. Not getopt_long(), because that
 * takes abbreviations, which break scripts as soon as an option is added.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tool.h"

/* Longer names are no typing errors of ours; also the size of the distance table. */
#define NAME_MAX_LEN 40

/* C0, DEL, and C1 as UTF-8 has it. */
static void disarm(char *text)
{
    for (char *p = text; *p != '\0'; p++) {
        const unsigned char c = (unsigned char)p[0], next = (unsigned char)p[1];

        if (c == 0xC2 && next >= 0x80 && next < 0xA0)
            p[0] = p[1] = '?';
        else if (c < ' ' || c == 0x7F)
            *p = '?';
    }
}

static void tell_list(const char *before, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));

/* Without memory the line is cut. */
static void tell_list(const char *before, const char *format, va_list list)
{
    char some[512];
    char *all = NULL;
    va_list again;
    int len = 0;

    va_copy(again, list);
    len = vsnprintf(some, sizeof some, format, list);
    if (len >= (int)sizeof some)
        all = malloc((size_t)len + 1);
    if (all != NULL)
        vsnprintf(all, (size_t)len + 1, format, again);
    va_end(again);
    disarm(all != NULL ? all : some);
    fprintf(stderr, "%s%s\n", before, all != NULL ? all : some);
    free(all);
}

void tell(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    tell_list("", format, list);
    va_end(list);
}

static void complain(const char *command, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));

static void complain(const char *command, const char *format, va_list list)
{
    char before[32];

    snprintf(before, sizeof before, "wsock%s%s: ", command[0] != '\0' ? " " : "",
             command);
    tell_list(before, format, list);
}

int usage_error(const char *command, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    complain(command, format, list);
    va_end(list);
    return EXIT_USAGE;
}

int fail(const char *command, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    complain(command, format, list);
    va_end(list);
    return EXIT_FAILED;
}

int fail_by_flag(const char *command, const char *what, const char *sentence)
{
    static const struct {
        const char *name, *flag;
    } known[] = {
        {"tls_certificate", "--cert"},
        {"tls_key", "--key"},
        {"tls_ca", "--ca"},
    };
    char hint[128] = "";
    size_t len = 0;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strstr(sentence, known[i].name) != NULL)
            len += (size_t)snprintf(hint + len, sizeof hint - len, "%s%s sets %s",
                                    len > 0 ? ", " : " (", known[i].flag, known[i].name);
    }
    return fail(command, "%s%s%s%s", what, sentence, hint, len > 0 ? ")" : "");
}

/* Levenshtein's distance: how many letters to insert, drop or replace. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1];
    const size_t len_a = strlen(a);
    const size_t len_b = strlen(b);

    if (len_a > NAME_MAX_LEN || len_b > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= len_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= len_a; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= len_b; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[len_b];
}

struct nearest nearest_to(const char *wrong)
{
    return (struct nearest){.wrong = wrong, .distance = strlen(wrong) / 3 + 2};
}

void nearest_try(struct nearest *nearest, const char *name)
{
    const size_t d = distance(nearest->wrong, name);

    if (d < nearest->distance) {
        nearest->distance = d;
        nearest->name = name;
    }
}

void args_init(struct args *args, const char *command, const struct arg_option *options,
               size_t option_count, int argc, char **argv)
{
    *args = (struct args){
        .command = command,
        .options = options,
        .option_count = option_count,
        .argv = argv,
        .argc = argc,
    };
}

/* The argument behind an option, as its value. */
static int take_value(struct args *args, const struct arg_option *option,
                      const char *attached, const char **value)
{
    if (!option->takes) {
        if (attached == NULL)
            return option->id;
        usage_error(args->command, "--%s takes no value", option->name);
        return ARG_BAD;
    }
    if (attached == NULL && option->takes != ARG_MAY_TAKE) {
        if (args->index >= args->argc) {
            usage_error(args->command, "--%s needs a value", option->name);
            return ARG_BAD;
        }
        attached = args->argv[args->index++];
    }
    *value = attached;
    return option->id;
}

static int unknown_name(const struct args *args, const char *name, size_t len)
{
    char wrong[NAME_MAX_LEN + 1];
    struct nearest nearest;

    snprintf(wrong, sizeof wrong, "%.*s", (int)len, name);
    nearest = nearest_to(wrong);
    for (size_t i = 0; i < args->option_count; i++)
        nearest_try(&nearest, args->options[i].name);
    if (nearest.name != NULL)
        usage_error(args->command, "unknown option --%.*s; did you mean --%s?", (int)len,
                    name, nearest.name);
    else
        usage_error(args->command, "unknown option --%.*s; see wsock %s --help", (int)len,
                    name, args->command);
    return ARG_BAD;
}

static int long_option(struct args *args, const char *name, const char **value)
{
    const char *equals = strchr(name, '=');
    const size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);

    for (size_t i = 0; i < args->option_count; i++) {
        const struct arg_option *option = &args->options[i];

        if (strlen(option->name) == len && memcmp(option->name, name, len) == 0)
            return take_value(args, option, equals != NULL ? equals + 1 : NULL, value);
    }
    return unknown_name(args, name, len);
}

static int letter_option(struct args *args, const char *letters, const char **value)
{
    args->cluster = letters[1] != '\0' ? letters + 1 : NULL;
    for (size_t i = 0; i < args->option_count; i++) {
        const struct arg_option *option = &args->options[i];
        const char *rest = args->cluster;

        if (option->letter == 0 || option->letter != letters[0])
            continue;
        if (!option->takes && (rest == NULL || rest[0] != '='))
            return option->id;
        args->cluster = NULL; /* "-k=1": to be told that it takes none */
        return take_value(args, option, rest, value);
    }
    usage_error(args->command, "unknown option -%c; see wsock %s --help", letters[0],
                args->command);
    return ARG_BAD;
}

int args_next(struct args *args, const char **value)
{
    const char *argument = NULL;

    *value = NULL;
    if (args->cluster != NULL)
        return letter_option(args, args->cluster, value);
    if (args->index >= args->argc)
        return ARG_END;
    argument = args->argv[args->index++];
    if (args->only_plain || argument[0] != '-' || argument[1] == '\0') {
        *value = argument;
        return ARG_PLAIN;
    }
    if (strcmp(argument, "--") == 0) {
        args->only_plain = 1;
        return args_next(args, value);
    }
    if (argument[1] == '-')
        return long_option(args, argument + 2, value);
    return letter_option(args, argument + 1, value);
}

int parse_count(const char *command, const char *option, const char *text, int64_t min,
                int64_t max, int64_t *out)
{
    int64_t n = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9' && n <= max / 10; p++)
        n = n * 10 + (*p - '0');
    if (p == text || *p != '\0' || n < min || n > max)
        return usage_error(command,
                           "%s takes a whole number from %lld to %lld, not \"%s\"",
                           option, (long long)min, (long long)max, text);
    *out = n;
    return 0;
}

/* What a unit stands for, 0 when it is none. */
static int64_t unit_of(const char *text)
{
    static const char letters[] = "kmg";
    int64_t factor = 1;

    if (text[0] == '\0' || strcasecmp(text, "b") == 0)
        return 1;
    for (const char *p = letters; *p != '\0'; p++) {
        factor *= 1024;
        if (tolower((unsigned char)text[0]) == *p &&
            (text[1] == '\0' || strcasecmp(text + 1, "ib") == 0))
            return factor;
    }
    return 0;
}

int parse_bytes(const char *command, const char *option, const char *text, int64_t min,
                int64_t max, int64_t *out)
{
    int64_t n = 0;
    int64_t factor = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9' && n <= max; p++)
        n = n * 10 + (*p - '0');
    if (p != text)
        factor = unit_of(p + (*p == ' '));
    if (factor == 0 || n > max / factor || n * factor < min)
        return usage_error(command,
                           "%s takes bytes from %lld to %lld, such as 512 or 64KiB, not "
                           "\"%s\"",
                           option, (long long)min, (long long)max, text);
    *out = n * factor;
    return 0;
}

int parse_seconds(const char *command, const char *option, const char *text,
                  int64_t *out_ms)
{
    const int64_t limit = 1000000;
    int64_t whole = 0;
    int64_t milli = 0;
    int64_t unit = 100;
    const char *p = text;

    for (; *p >= '0' && *p <= '9' && whole < limit; p++)
        whole = whole * 10 + (*p - '0');
    if (p != text && *p == '.' && p[1] != '\0') {
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
            milli += unit * (*p - '0');
    }
    if (p == text || *p != '\0' || whole >= limit)
        return usage_error(command, "%s takes seconds, such as 5 or 0.25, not \"%s\"",
                           option, text);
    *out_ms = whole * 1000 + milli;
    return 0;
}

/* The scopes of an option of the library; 0 when it has none of that name. */
static int option_scopes(const char *name, size_t len)
{
    wsock_option_info info = {.size = sizeof info};

    for (size_t i = 0; wsock_option_at(&info, i) == 0; i++) {
        if (strlen(info.name) == len && memcmp(info.name, name, len) == 0)
            return info.scope;
    }
    return 0;
}

static int unknown_option(const char *command, const char *name, int mask)
{
    wsock_option_info info = {.size = sizeof info};
    struct nearest nearest = nearest_to(name);

    for (size_t i = 0; wsock_option_at(&info, i) == 0; i++)
        if ((info.scope & mask) != 0)
            nearest_try(&nearest, info.name);
    if (nearest.name != NULL)
        return usage_error(command, "--set: no option \"%s\"; did you mean %s?", name,
                           nearest.name);
    return usage_error(command, "--set: no option \"%s\"; wsock %s --help lists them",
                       name, command);
}

int set_option(const char *command, const struct option_rule *rules,
               wsock_runtime *runtime, wsock_server *server, wsock_client *client,
               const char *assignment)
{
    const struct option_rule *rule = NULL;
    const char *equals = strchr(assignment, '=');
    char name[NAME_MAX_LEN + 1];
    const size_t len = equals != NULL ? (size_t)(equals - assignment) : 0;
    int scopes = 0;

    if (len == 0)
        return usage_error(command, "--set takes NAME=VALUE, not \"%s\"", assignment);
    snprintf(name, sizeof name, "%.*s", (int)len, assignment);
    if (len < sizeof name)
        scopes = option_scopes(name, len);
    rule = option_rule_of(rules, name);
    if (rule != NULL && rule->value == NULL) {
        if (rule->instead != NULL)
            return usage_error(command, "--set: for %s there is %s", name, rule->instead);
        scopes = 0;
    }
    if (runtime != NULL && (scopes & WSOCK_SCOPE_RUNTIME) != 0) {
        if (wsock_runtime_set(runtime, name, equals + 1) < 0)
            return usage_error(command, "--set: %s", wsock_runtime_error(runtime));
    } else if (server != NULL && (scopes & WSOCK_SCOPE_SERVER) != 0) {
        if (wsock_server_set(server, name, equals + 1) < 0)
            return usage_error(command, "--set: %s", wsock_server_error(server));
    } else if (client != NULL && (scopes & WSOCK_SCOPE_CLIENT) != 0) {
        if (wsock_client_set(client, name, equals + 1) < 0)
            return usage_error(command, "--set: %s", wsock_client_error(client));
    } else {
        return unknown_option(
            command, name,
            (runtime != NULL ? WSOCK_SCOPE_RUNTIME : 0) |
                (server != NULL ? WSOCK_SCOPE_SERVER : WSOCK_SCOPE_CLIENT));
    }
    return 0;
}

int client_add_header(const char *command, wsock_client *client, const char *header)
{
    const char *colon = strchr(header, ':');
    char name[128];
    int r = 0;

    if (colon == NULL || colon == header || (size_t)(colon - header) >= sizeof name)
        return usage_error(command, "--header takes \"Name: value\", not \"%s\"", header);
    memcpy(name, header, (size_t)(colon - header));
    name[colon - header] = '\0';
    colon++;
    r = wsock_client_add_header(client, name, colon + strspn(colon, " \t"));
    if (r < 0)
        return usage_error(command, "--header \"%s\": %s", header, wsock_strerror(r));
    return 0;
}

int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
