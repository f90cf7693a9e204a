/* SPDX-License-Identifier: MIT */
/* The arguments of `wsock connect`: what they say becomes a plan. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "connect.h"
#include "tool.h"

static const char command[] = "connect";

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000) /* the most that connect_timeout takes */

/* What is made of an argument, for one of the lists. */
struct made {
    struct made *next;
    char text[];
};

enum {
    OPT_WAIT = 1,
    OPT_COUNT,
    OPT_EXECUTE,
    OPT_BINARY,
    OPT_JSON,
    OPT_HEADER,
    OPT_SUBPROTOCOL,
    OPT_COMPRESSED,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_INSECURE,
    OPT_PROXY,
    OPT_RESOLVE,
    OPT_ORIGIN,
    OPT_USER,
    OPT_LOCATION,
    OPT_CONNECT_TIMEOUT,
    OPT_RECONNECT,
    OPT_SET,
    OPT_VERBOSE,
    OPT_HELP
};

static const struct arg_option options[] = {
    {"wait", 'w', 1, OPT_WAIT},
    {"count", 0, 1, OPT_COUNT},
    {"execute", 'x', 1, OPT_EXECUTE},
    {"binary", 'b', 0, OPT_BINARY},
    {"json", 0, 0, OPT_JSON},
    {"header", 'H', 1, OPT_HEADER},
    {"subprotocol", 's', 1, OPT_SUBPROTOCOL},
    {"compressed", 0, 0, OPT_COMPRESSED},
    {"set", 0, 1, OPT_SET},
    {"ca", 0, 1, OPT_CA},
    {"cert", 0, 1, OPT_CERT},
    {"key", 0, 1, OPT_KEY},
    {"insecure", 'k', 0, OPT_INSECURE},
    {"proxy", 0, 1, OPT_PROXY},
    {"resolve", 0, 1, OPT_RESOLVE},
    {"origin", 'o', 1, OPT_ORIGIN},
    {"user", 'u', 1, OPT_USER},
    {"location", 'L', 0, OPT_LOCATION},
    {"connect-timeout", 0, 1, OPT_CONNECT_TIMEOUT},
    {"reconnect", 0, 0, OPT_RECONNECT},
    {"verbose", 'v', 0, OPT_VERBOSE},
    {"help", 'h', 0, OPT_HELP},
};

/* Add to a list that has room for CONNECT_LIST_MAX and a NULL. */
static int add(const char **list, const char *value, const char *what)
{
    size_t n = 0;

    while (list[n] != NULL)
        n++;
    if (n == CONNECT_LIST_MAX)
        return usage_error(command, "more than %d times %s", CONNECT_LIST_MAX, what);
    list[n] = value;
    return 0;
}

static int add_made(struct connect_plan *plan, const char **list, const char *what,
                    const char *form, const char *value)
{
    const size_t size = strlen(form) + strlen(value) + 1;
    struct made *made = malloc(sizeof *made + size);

    if (made == NULL)
        return fail(command, "out of memory");
    made->next = plan->made;
    plan->made = made;
    snprintf(made->text, size, form, value);
    return add(list, made->text, what);
}

/* Basic authentication, RFC 7617. */
static int add_user(struct connect_plan *plan, const char *value)
{
    char *encoded = NULL;
    int status = 0;

    if (strchr(value, ':') == NULL)
        return usage_error(command, "--user takes USER:PASSWORD");
    encoded = base64_encode(value, strlen(value));
    if (encoded == NULL)
        return fail(command, "out of memory");
    status = add_made(plan, plan->headers, "--user", "Authorization: Basic %s", encoded);
    free(encoded);
    return status;
}

static int add_connect_timeout(struct connect_plan *plan, const char *value)
{
    char ms[32];
    int64_t limit = 0;
    const int status = parse_seconds(command, "--connect-timeout", value, &limit);

    if (status != 0)
        return status;
    if (limit < 1 || limit > DAY_MS)
        return usage_error(command, "--connect-timeout takes 0.001 to 86400 seconds");
    snprintf(ms, sizeof ms, "%" PRId64, limit);
    return add_made(plan, plan->sets, "--connect-timeout", "connect_timeout=%sms", ms);
}

/* What says how the server is reached, and whether it is the right one. */
static int take_way_option(struct connect_plan *plan, int option, const char *value)
{
    switch (option) {
    case OPT_CA:
        plan->ca = value;
        return 0;
    case OPT_CERT:
        plan->cert = value;
        return 0;
    case OPT_KEY:
        plan->key = value;
        return 0;
    case OPT_INSECURE:
        plan->is_insecure = 1;
        return 0;
    case OPT_PROXY:
        plan->way.proxy = value;
        return 0;
    case OPT_RESOLVE:
        return way_add_resolve(command, &plan->way, value);
    case OPT_LOCATION:
        return add(plan->sets, "max_redirects=10", "--location");
    case OPT_CONNECT_TIMEOUT:
        return add_connect_timeout(plan, value);
    case OPT_RECONNECT:
        plan->is_kept = 1;
        return 0;
    default:
        return EXIT_USAGE;
    }
}

static int take_option(struct connect_plan *plan, int option, const char *value)
{
    switch (option) {
    case ARG_PLAIN:
        if (plan->url != NULL)
            return usage_error(command, "one URL, not also \"%s\"", value);
        plan->url = value;
        return 0;
    case OPT_WAIT:
        return parse_seconds(command, "-w", value, &plan->wait_ms);
    case OPT_COUNT:
        return parse_count(command, "--count", value, 1, INT64_C(1000000000000),
                           &plan->count);
    case OPT_EXECUTE:
        return add(plan->texts, value, "-x");
    case OPT_BINARY:
        plan->is_whole = 1;
        return 0;
    case OPT_JSON:
        plan->is_json = 1;
        return 0;
    case OPT_HEADER:
        return add(plan->headers, value, "--header");
    case OPT_SUBPROTOCOL:
        return add(plan->subprotocols, value, "--subprotocol");
    case OPT_COMPRESSED:
        return add(plan->sets, "compression=shared", "--compressed");
    case OPT_SET:
        return add(plan->sets, value, "--set");
    case OPT_ORIGIN:
        return add_made(plan, plan->headers, "--origin", "Origin: %s", value);
    case OPT_USER:
        return add_user(plan, value);
    case OPT_VERBOSE:
        plan->is_verbose = 1;
        return 0;
    default:
        return take_way_option(plan, option, value);
    }
}

int connect_read_arguments(struct connect_plan *plan, int argc, char **argv)
{
    struct args args;
    const char *value = NULL;
    int option = 0;

    args_init(&args, command, options, sizeof options / sizeof options[0], argc, argv);
    while ((option = args_next(&args, &value)) != ARG_END) {
        if (option == OPT_HELP)
            return help_print(command, WSOCK_SCOPE_CLIENT, NULL);
        const int r = take_option(plan, option, value);

        if (r != 0)
            return r;
    }
    if (plan->url == NULL)
        return usage_error(command, "the URL is missing; see wsock connect --help");
    if (plan->is_whole && plan->texts[0] != NULL)
        return usage_error(command, "-x and -b: one of them");
    for (const char *const *set = plan->sets; !plan->is_kept && *set != NULL; set++)
        if (strncmp(*set, "reconnect_", 10) == 0)
            return usage_error(command, "--set %s has an effect with --reconnect only",
                               *set);
    return -1;
}

void connect_plan_fini(struct connect_plan *plan)
{
    while (plan->made != NULL) {
        struct made *made = plan->made;

        plan->made = made->next;
        free(made);
    }
}
