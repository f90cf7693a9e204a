/* SPDX-License-Identifier: MIT */
/* The arguments of `wsock bench`, and what it does not leave to --set. */
#include "bench.h"
#include "tool.h"

static const char command[] = "bench";

#define PAYLOAD_MAX     (64 << 20)
#define DEPTH_MAX       65536
#define CONNECTIONS_MAX 1000000

const struct option_rule bench_rules[] = {
    {"workers", NULL, "--workers"},
    {"log_level", NULL, NULL}, /* there is no log */
    {NULL, NULL, NULL},
};

enum {
    OPT_CONNECTIONS = 1,
    OPT_PAYLOAD,
    OPT_DEPTH,
    OPT_SECONDS,
    OPT_WORKERS,
    OPT_FANOUT,
    OPT_TEXT,
    OPT_JSON,
    OPT_HEADER,
    OPT_SUBPROTOCOL,
    OPT_COMPRESSED,
    OPT_PROXY,
    OPT_RESOLVE,
    OPT_SET,
    OPT_HELP
};

static const struct arg_option options[] = {
    {"connections", 'c', 1, OPT_CONNECTIONS},
    {"payload", 'p', 1, OPT_PAYLOAD},
    {"depth", 'd', 1, OPT_DEPTH},
    {"seconds", 't', 1, OPT_SECONDS},
    {"workers", 0, 1, OPT_WORKERS},
    {"fanout", 0, 0, OPT_FANOUT},
    {"text", 0, 0, OPT_TEXT},
    {"json", 0, 0, OPT_JSON},
    {"header", 'H', 1, OPT_HEADER},
    {"subprotocol", 's', 1, OPT_SUBPROTOCOL},
    {"compressed", 0, 0, OPT_COMPRESSED},
    {"proxy", 0, 1, OPT_PROXY},
    {"resolve", 0, 1, OPT_RESOLVE},
    {"set", 0, 1, OPT_SET},
    {"help", 'h', 0, OPT_HELP},
};

static int add(const char **list, size_t *count, const char *value, const char *what)
{
    if (*count == LIST_MAX)
        return usage_error(command, "more than %d times %s", LIST_MAX, what);
    list[(*count)++] = value;
    return 0;
}

static int take_option(struct plan *p, int option, const char *value)
{
    switch (option) {
    case ARG_PLAIN:
        if (p->url != NULL)
            return usage_error(command, "one URL, not also \"%s\"", value);
        p->url = value;
        return 0;
    case OPT_CONNECTIONS:
        return parse_count(command, "--connections", value, 1, CONNECTIONS_MAX,
                           &p->connections);
    case OPT_PAYLOAD:
        return parse_bytes(command, "--payload", value, 0, PAYLOAD_MAX,
                           &p->payload_bytes);
    case OPT_DEPTH:
        return parse_count(command, "--depth", value, 1, DEPTH_MAX, &p->depth);
    case OPT_SECONDS:
        return parse_seconds(command, "--seconds", value, &p->duration_ms);
    case OPT_WORKERS:
        return parse_count(command, "--workers", value, 1, 256, &p->workers);
    case OPT_HEADER:
        return add(p->headers, &p->header_count, value, "--header");
    case OPT_SUBPROTOCOL:
        return add(p->subprotocols, &p->subprotocol_count, value, "--subprotocol");
    case OPT_COMPRESSED:
        return add(p->sets, &p->set_count, "compression=shared", "--compressed");
    case OPT_SET:
        return add(p->sets, &p->set_count, value, "--set");
    case OPT_PROXY:
        p->way.proxy = value;
        return 0;
    case OPT_RESOLVE:
        return way_add_resolve(command, &p->way, value);
    case OPT_FANOUT:
        p->is_fanout = 1;
        return 0;
    case OPT_TEXT:
        p->type = WSOCK_TEXT;
        return 0;
    case OPT_JSON:
        p->is_json = 1;
        return 0;
    default:
        return EXIT_USAGE;
    }
}

int bench_arguments(struct plan *p, int argc, char **argv)
{
    struct args args;
    const char *value = NULL;
    int option = 0;

    args_init(&args, command, options, sizeof options / sizeof options[0], argc, argv);
    while ((option = args_next(&args, &value)) != ARG_END) {
        if (option == OPT_HELP)
            return help_print(command, WSOCK_SCOPE_RUNTIME | WSOCK_SCOPE_CLIENT,
                              bench_rules);
        const int r = take_option(p, option, value);

        if (r != 0)
            return r;
    }
    if (p->url == NULL)
        return usage_error(command, "the URL is missing; see wsock bench --help");
    if (p->is_fanout && p->payload_bytes < STAMP_LETTERS + SENDER_LETTERS)
        return usage_error(command, "--fanout needs a --payload of at least %d bytes",
                           STAMP_LETTERS + SENDER_LETTERS);
    return -1;
}
