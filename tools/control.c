/* SPDX-License-Identifier: MIT */
/*
 * `wsock publish`, `wsock rooms`, `wsock kick` and `wsock cluster`: what a script asks of
 * a server through its admin listener. Each makes one call.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_client.h"
#include "base64.h"
#include "tool.h"

enum { INPUT_MAX = 700 * 1024, PLAIN_MAX = 2 };

enum {
    OPT_ADMIN = 1,
    OPT_ADMIN_KEY,
    OPT_EVENT,
    OPT_KEY,
    OPT_FROM,
    OPT_JSON,
    OPT_BINARY,
    OPT_ROOM,
    OPT_REASON,
    OPT_CODE,
    OPT_LIMIT,
    OPT_HELP,
    OPT_COUNT
};

/* What the arguments say; all borrowed from argv. */
struct said {
    const char *command;
    struct admin_target target;
    const char *plain[PLAIN_MAX];
    size_t plain_count;
    const char *value[OPT_COUNT]; /* "" for an option without a value */
};

#define PLACE_OPTIONS                                               \
    {"admin", 0, 1, OPT_ADMIN}, {"admin-key", 0, 1, OPT_ADMIN_KEY}, \
    {                                                               \
        "help", 'h', 0, OPT_HELP                                    \
    }

static const struct arg_option publish_options[] = {
    PLACE_OPTIONS,
    {"event", 0, 1, OPT_EVENT},
    {"key", 0, 1, OPT_KEY},
    {"from", 0, 1, OPT_FROM},
    {"json", 0, 0, OPT_JSON},
    {"binary", 0, 0, OPT_BINARY},
};

static const struct arg_option rooms_options[] = {
    PLACE_OPTIONS,
    {"json", 0, 0, OPT_JSON},
    {"limit", 0, 1, OPT_LIMIT},
};

static const struct arg_option kick_options[] = {
    PLACE_OPTIONS,
    {"room", 0, 1, OPT_ROOM},
    {"reason", 0, 1, OPT_REASON},
    {"code", 0, 1, OPT_CODE},
};

static const struct arg_option cluster_options[] = {
    PLACE_OPTIONS,
    {"json", 0, 0, OPT_JSON},
};

/* @return -1 to go on, else the exit status. */
static int read_arguments(struct said *said, const struct arg_option *options,
                          size_t count, size_t plain_max, int argc, char **argv)
{
    struct args args;
    const char *value = NULL;
    int option = 0;

    args_init(&args, said->command, options, count, argc, argv);
    while ((option = args_next(&args, &value)) != ARG_END) {
        if (option == ARG_BAD)
            return EXIT_USAGE;
        if (option == OPT_HELP)
            return help_print(said->command, 0, NULL);
        if (option != ARG_PLAIN)
            said->value[option] = value != NULL ? value : "";
        else if (said->plain_count < plain_max)
            said->plain[said->plain_count++] = value;
        else
            return usage_error(said->command, "one argument too many: %s", value);
    }
    said->target = (struct admin_target){said->value[OPT_ADMIN],
                                         said->value[OPT_ADMIN_KEY]};
    return -1;
}

#define READ(said, options, plain_max, argc, argv)                                       \
    read_arguments(said, options, sizeof(options) / sizeof(options)[0], plain_max, argc, \
                   argv)

/* A text that may be left out; what is no UTF-8 is refused by the server. */
static void add_text(json_t *args, const char *name, const char *value)
{
    if (value != NULL)
        json_object_set_new(args, name, json_string(value));
}

static int print(json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);

    if (text != NULL)
        puts(text);
    free(text);
    return text != NULL && fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- publish ---- */

/* @return (owned) standard input whole, NULL after a complaint. */
static char *read_input(size_t *len)
{
    char *text = malloc(INPUT_MAX + 1);

    *len = text != NULL ? fread(text, 1, INPUT_MAX + 1, stdin) : 0;
    if (text != NULL && !ferror(stdin) && *len <= INPUT_MAX)
        return text;
    fail("publish", "standard input: %s",
         text == NULL    ? strerror(ENOMEM)
         : ferror(stdin) ? strerror(errno)
                         : "more than 700 KiB");
    free(text);
    return NULL;
}

/* @return NULL after a complaint. */
static json_t *encode(const struct said *said, const char *text, size_t len)
{
    json_error_t error = {.text = "out of memory"};
    json_t *data = NULL;
    char *b64 = NULL;

    if (said->value[OPT_JSON] != NULL) {
        data = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        if (data == NULL)
            usage_error(said->command, "--json: %s", error.text);
    } else if (said->value[OPT_BINARY] != NULL) {
        b64 = base64_encode(text, len);
        data = json_pack("{s:s}", "b64", b64);
        free(b64);
    } else {
        data = json_stringn(text, len);
        if (data == NULL)
            usage_error(said->command, "the data is no UTF-8; --binary publishes bytes");
    }
    return data;
}

static json_t *data_of(const struct said *said)
{
    const char *given = said->plain_count > 1 ? said->plain[1] : "-";
    json_t *data = NULL;
    char *input = NULL;
    size_t len = 0;

    if (strcmp(given, "-") != 0)
        return encode(said, given, strlen(given));
    input = read_input(&len);
    if (input != NULL)
        data = encode(said, input, len);
    free(input);
    return data;
}

int publish_main(int argc, char **argv)
{
    struct said said = {.command = "publish"};
    int status = READ(&said, publish_options, 2, argc, argv);
    json_t *args = NULL, *answer = NULL, *data = NULL;

    if (status >= 0)
        return status;
    if (said.plain_count == 0)
        return usage_error(said.command, "which room? See wsock publish --help");
    data = data_of(&said);
    if (data == NULL)
        return EXIT_USAGE;
    args = json_pack("{s:o}", "data", data);
    add_text(args, "room", said.plain[0]);
    add_text(args, "event", said.value[OPT_EVENT]);
    add_text(args, "key", said.value[OPT_KEY]);
    add_text(args, "from", said.value[OPT_FROM]);
    status = admin_ask(said.command, &said.target, "/publish", args, &answer);
    if (status == 0)
        status = print(answer);
    json_decref(answer);
    return status;
}

/* ---- rooms ---- */

/* Names of rooms have no control characters. */
static int print_table(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "rooms");
    const json_int_t total = json_integer_value(json_object_get(answer, "total"));

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *room = json_array_get(list, i);

        printf("%7lld %s\n",
               (long long)json_integer_value(json_object_get(room, "count")),
               json_string_value(json_object_get(room, "room")));
    }
    if (total > (json_int_t)json_array_size(list))
        tell("wsock rooms: and %lld more",
             (long long)(total - (json_int_t)json_array_size(list)));
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int rooms_main(int argc, char **argv)
{
    struct said said = {.command = "rooms"};
    int status = READ(&said, rooms_options, 1, argc, argv);
    json_t *args = NULL, *answer = NULL;
    int64_t limit = 1000;

    if (status >= 0)
        return status;
    if (said.value[OPT_LIMIT] != NULL)
        status = parse_count(said.command, "--limit", said.value[OPT_LIMIT], 1, 1000,
                             &limit);
    if (status > 0)
        return status;
    args = json_pack("{s:I}", "limit", (json_int_t)limit);
    add_text(args, "pattern", said.plain[0]);
    status = admin_ask(said.command, &said.target, "/rooms", args, &answer);
    if (status == 0)
        status = said.value[OPT_JSON] != NULL ? print(answer) : print_table(answer);
    json_decref(answer);
    return status;
}

/* ---- kick ---- */

/* How many connections there are is known of the server that was asked alone.
 * @param others (nullable) whether the other servers of its cluster are told, too. */
static int tell_nobody(const struct said *said, const json_t *others)
{
    const char *whom = said->plain[0];

    if (others == NULL)
        return fail(said->command, "%s is not there", whom);
    if (json_is_false(others))
        return fail(said->command,
                    "%s is not on this server, and the others cannot be told: the "
                    "broker is away",
                    whom);
    tell("wsock kick: %s is not on this server; the others of its cluster are told", whom);
    return EXIT_OK;
}

int kick_main(int argc, char **argv)
{
    struct said said = {.command = "kick"};
    int status = READ(&said, kick_options, 1, argc, argv);
    json_t *args = NULL, *answer = NULL;
    json_int_t count = 0;
    int64_t code = 4410;

    if (status >= 0)
        return status;
    if (said.plain_count == 0)
        return usage_error(said.command, "whom? See wsock kick --help");
    if (said.value[OPT_CODE] != NULL)
        status = parse_count(said.command, "--code", said.value[OPT_CODE], 1000, 4999,
                             &code);
    if (status > 0)
        return status;
    args = json_pack("{s:I}", "code", (json_int_t)code);
    add_text(args, "identity", said.plain[0]);
    add_text(args, "room", said.value[OPT_ROOM]);
    add_text(args, "reason", said.value[OPT_REASON]);
    status = admin_ask(said.command, &said.target, "/disconnect", args, &answer);
    if (status != 0)
        return status;
    count = json_integer_value(json_object_get(answer, "count"));
    printf("%lld\n", (long long)count);
    status = fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
    if (count == 0)
        status = tell_nobody(&said, json_object_get(answer, "others"));
    json_decref(answer);
    return status;
}

/* ---- cluster ---- */

/* What other servers call themselves has no control characters up to U+007F, as the
 * library lets none through. Those from U+0080 on, which UTF-8 begins with C2, steer some
 * terminals: they are shown as '?'. */
static void print_name(const char *name)
{
    for (const unsigned char *p = (const unsigned char *)(name != NULL ? name : "");
         *p != '\0'; p++) {
        const int steers = p[0] == 0xC2 && p[1] < 0xA0;

        putchar(steers ? '?' : *p);
        p += steers;
    }
}

static int print_nodes(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "nodes");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *node = json_array_get(list, i);

        printf("%7lld %s%s ",
               (long long)json_integer_value(json_object_get(node, "connections")),
               json_string_value(json_object_get(node, "id")),
               json_is_true(json_object_get(node, "self")) ? " *" : "  ");
        print_name(json_string_value(json_object_get(node, "name")));
        putchar('\n');
    }
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int cluster_main(int argc, char **argv)
{
    struct said said = {.command = "cluster"};
    int status = READ(&said, cluster_options, 1, argc, argv);
    json_t *answer = NULL;

    if (status >= 0)
        return status;
    if (said.plain_count == 0 || strcmp(said.plain[0], "nodes") != 0)
        return usage_error(said.command,
                           said.plain_count == 0
                               ? "what of it? wsock cluster nodes lists its servers"
                               : "there is nothing but wsock cluster nodes");
    status = admin_ask(said.command, &said.target, "/nodes", json_object(), &answer);
    if (status == 0)
        status = said.value[OPT_JSON] != NULL ? print(answer) : print_nodes(answer);
    json_decref(answer);
    return status;
}
