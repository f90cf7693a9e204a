/* SPDX-License-Identifier: MIT */
/*
 * `wsock connect`: a terminal or a script at one end of a WebSocket. This file reads the
 * arguments and decides, in one loop over standard input, the connection's worker and
 * signals, what is sent, when to close, and with which status to end.
 *
 *     CONNECTING --open--> OPEN --input ended, count reached, signal--> CLOSING
 *          |                 |                                            |
 *          `--------------- on_close (exactly one for each connection) ---'--> done, or
 * on a terminal: back to the prompt (NONE)
 *
 * With --reconnect an end leads from OPEN to CONNECTING, until there is one for good.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base64.h"
#include "connect.h"
#include "tool.h"

static const char command[] = "connect";

#define LIST_MAX          64
#define DAY_MS            (INT64_C(24) * 60 * 60 * 1000) /* the most that connect_timeout takes */
#define INTERRUPT_WAIT_MS 2000 /* for the peer's close frame after a signal */

enum state { NONE, CONNECTING, OPEN, CLOSING };

/* What is made of an argument, for one of the lists. */
struct made {
    struct made *next;
    char text[];
};

struct client {
    struct made *made;
    const char *urls[LIST_MAX]; /* one is wanted */
    const char *headers[LIST_MAX + 1];
    const char *subprotocols[LIST_MAX + 1];
    const char *sets[LIST_MAX + 1];
    const char *texts[LIST_MAX + 1]; /* -x */
    int64_t wait_ms;                 /* -w, 0: none */
    int64_t count;                   /* --count, 0: none */
    const char *ca, *cert, *key;     /* --ca and so on, nullable */
    int is_insecure;
    struct way way;
    int is_verbose;
    int is_kept; /* --reconnect */
    int has_waited;

    wsock_runtime *runtime;
    struct link *link; /* the present one */
    struct link *links;
    struct input input;
    struct output output;
    char *url; /* of the present connection, when typed */
    enum state state;
    int is_interactive;
    int is_finishing;    /* this connection is the last one */
    int is_waiting;      /* a send answered EAGAIN */
    int bad_input;       /* something could not be sent */
    size_t next_text;    /* of -x */
    int64_t printed;     /* messages */
    int64_t deadline_ms; /* 0: none */
    int status;
    int wake_fd;
};

/* ---- on the terminal ---- */

static void prompt(const struct client *c)
{
    if (c->is_interactive && !c->is_finishing) {
        fputs("> ", stderr);
        fflush(stderr);
    }
}

/* Messages that come while a line is typed take the prompt's place. */
static void clear_prompt(const struct client *c)
{
    if (c->is_interactive && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* ---- the connection ---- */

static void begin_close(struct client *c, int code)
{
    if (c->state == OPEN || c->state == CONNECTING) {
        c->state = CLOSING;
        c->deadline_ms = 0;
        link_close(c->link, code);
    }
}

/* Leave the present connection to close by itself; nothing more is heard of it. */
static void abandon(struct client *c)
{
    begin_close(c, 1000);
    c->link = NULL;
    c->state = NONE;
}

static int begin_connect(struct client *c)
{
    const struct connect_target target = {
        .url = c->url != NULL ? c->url : c->urls[0],
        .headers = c->headers,
        .subprotocols = c->subprotocols,
        .sets = c->sets,
        .ca = c->ca,
        .cert = c->cert,
        .key = c->key,
        .is_insecure = c->is_insecure,
        .is_kept = c->is_kept,
        .way = &c->way,
    };
    struct link *link = NULL;
    const int status = link_open(&link, c->runtime, &target, c->wake_fd);

    if (status != 0)
        return status;
    link->next = c->links;
    c->links = link;
    c->link = link;
    c->state = CONNECTING;
    c->is_waiting = 0;
    return 0;
}

/* Names in a certificate come from the peer, who shall not steer the terminal: they have
 * their control characters escaped. */
static void tell_tls(const wsock_conn *conn)
{
    const char *version = wsock_conn_tls(conn, WSOCK_TLS_FACT_VERSION);
    const char *chain = wsock_conn_tls(conn, WSOCK_TLS_FACT_CHAIN);
    const char *verified = wsock_conn_tls(conn, WSOCK_TLS_FACT_VERIFIED);
    const char *resumed = wsock_conn_tls(conn, WSOCK_TLS_FACT_RESUMED);
    const char *alpn = wsock_conn_tls(conn, WSOCK_TLS_FACT_PROTOCOL);

    if (version == NULL)
        return;
    fprintf(stderr, "tls: %s, %s, %s session\n", version,
            wsock_conn_tls(conn, WSOCK_TLS_FACT_CIPHER),
            strcmp(resumed, "yes") == 0 ? "resumed" : "new");
    fprintf(stderr, "alpn: %s\n", alpn != NULL ? alpn : "none");
    while (chain != NULL && *chain != '\0') {
        const size_t len = strcspn(chain, "\n");

        fprintf(stderr, "certificate: %.*s\n", (int)len, chain);
        chain += len + (chain[len] == '\n');
    }
    fprintf(stderr, "verified: %s%s\n",
            verified != NULL && strcmp(verified, "yes") != 0 ? "no, " : "",
            verified != NULL ? verified : "no certificate");
}

/* Of one that opened it was told then. */
static void tell_unopened(const struct client *c, const struct outcome *outcome,
                          const wsock_conn *conn)
{
    if (c->is_verbose && !outcome->opened)
        tell_tls(conn);
}

static void tell_open(const struct client *c)
{
    const wsock_conn *conn = c->link->conn;
    const char *subprotocol = wsock_conn_subprotocol(conn);
    const char *server = wsock_conn_response_header(conn, "Server");
    char extensions[256] = "";

    clear_prompt(c);
    if (c->is_verbose) {
        fprintf(stderr, "connected to %s\n", wsock_conn_url(conn));
        fprintf(stderr, "address: %s\n", wsock_conn_remote_address(conn));
        tell_tls(conn);
        fprintf(stderr, "subprotocol: %s\n",
                subprotocol[0] != '\0' ? subprotocol : "none");
        wsock_conn_extensions(conn, extensions, sizeof extensions);
        fprintf(stderr, "extensions: %s\n", extensions[0] != '\0' ? extensions : "none");
        if (server != NULL)
            fprintf(stderr, "server: %s\n", server);
    } else if (c->is_kept && c->has_waited) {
        fail(command, "connected again");
    } else if (c->is_interactive) {
        fputs("connected; \"help\" lists what can be typed besides messages\n", stderr);
    }
}

static void tell_round_trip(const struct client *c)
{
    const int64_t us = link_take_round_trip(c->link);

    if (us == 0)
        return;
    clear_prompt(c);
    fprintf(stderr, "round trip: %.3f ms\n", (double)us / 1000);
    prompt(c);
}

/* One that is kept is gone, and comes back. */
static void take_waits(struct client *c)
{
    struct wait wait;

    while (link_take_wait(c->link, &wait)) {
        if (c->state == OPEN)
            c->state = CONNECTING;
        if (c->state == CONNECTING) {
            c->has_waited = 1;
            clear_prompt(c);
            tell_unopened(c, &wait.before, wait.ended);
            fail(command, "%s; connecting again in %lld.%03lld s", wait.before.detail,
                 (long long)(wait.ms / 1000), (long long)(wait.ms % 1000));
            prompt(c);
        }
        wait_fini(&wait);
    }
}

/* ---- what is sent ---- */

/* Send one message. @return 0: it is done with, 1: later. */
static int send_message(struct client *c, int type, const char *data, size_t len)
{
    const int r = link_send(c->link, type, data, len);

    if (r == WSOCK_EAGAIN) {
        c->is_waiting = 1;
        return 1;
    }
    if (r < 0 && r != WSOCK_ECLOSED) {
        fail(command, "not sent: %s", wsock_strerror(r));
        c->bad_input = 1;
    }
    return 0;
}

static void print_commands(void)
{
    fputs("  connect [URL]   connect again, or to another URL\n"
          "  disconnect      close the connection and stay here\n"
          "  exit            close the connection and end\n"
          "  help            this list\n"
          "Other lines are sent. To send one of these words put a \\ before it.\n",
          stderr);
}

static void type_connect(struct client *c, const char *url, size_t len)
{
    if (c->state != NONE)
        abandon(c);
    if (len > 0) {
        free(c->url);
        c->url = strndup(url, len);
    }
    begin_connect(c);
}

static int is_word(const char *line, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(line, word, len) == 0;
}

/* Whole lines that are commands. @return 1 when it was one. */
static int typed_command(struct client *c, const char *line, size_t len)
{
    static const char connect[] = "connect ";
    const size_t start = sizeof connect - 1;

    if (is_word(line, len, "help")) {
        print_commands();
    } else if (is_word(line, len, "exit")) {
        c->is_finishing = 1;
        c->input.has_ended = 1;
        begin_close(c, 1000);
    } else if (is_word(line, len, "disconnect")) {
        begin_close(c, 1000);
    } else if (is_word(line, len, "connect")) {
        type_connect(c, NULL, 0);
    } else if (len > start && memcmp(line, connect, start) == 0 &&
               memchr(line + start, ' ', len - start) == NULL) {
        type_connect(c, line + start, len - start);
    } else {
        return 0;
    }
    return 1;
}

/* One line from a terminal. @return 0: it is done with, 1: later. */
static int typed_line(struct client *c, const char *line, size_t len)
{
    if (typed_command(c, line, len))
        return 0;
    if (c->state == CONNECTING)
        return 1;
    if (c->state != OPEN) {
        fputs("not connected; type \"connect\" to connect again\n", stderr);
        return 0;
    }
    if (len > 0 && line[0] == '\\') {
        line++;
        len--;
    }
    return send_message(c, WSOCK_TEXT, line, len);
}

/* Send what waits, as far as the connection takes it. */
static void pump_input(struct client *c)
{
    const char *data = NULL;
    size_t len = 0;

    while (c->state == OPEN && !c->is_waiting && c->texts[c->next_text] != NULL) {
        const char *text = c->texts[c->next_text];

        if (send_message(c, WSOCK_TEXT, text, strlen(text)) == 0)
            c->next_text++;
    }
    while (!c->is_waiting && !c->is_finishing && input_peek(&c->input, &data, &len)) {
        int later = 1;

        if (c->is_interactive)
            later = typed_line(c, data, len);
        else if (c->state == OPEN)
            later = send_message(c, c->input.is_whole ? WSOCK_BINARY : WSOCK_TEXT, data,
                                 len);
        if (later)
            break;
        input_next(&c->input);
        prompt(c);
    }
}

static int all_sent(const struct client *c)
{
    const char *data = NULL;
    size_t len = 0;

    return c->input.has_ended && !c->is_waiting && c->texts[c->next_text] == NULL &&
           !input_peek(&c->input, &data, &len);
}

/* ---- what comes ---- */

/* Print and free messages, no more than --count. @return -1 when output is gone. */
static int print_messages(struct client *c, struct message *messages)
{
    int r = 0;

    if (messages == NULL)
        return 0;
    clear_prompt(c);
    while (messages != NULL) {
        struct message *message = messages;

        if (r == 0 && (c->count == 0 || c->printed < c->count)) {
            r = output_add(&c->output, message);
            c->printed++;
        }
        if (r == 0 && c->output.len >= 65536)
            r = output_flush(&c->output);
        messages = message->next;
        free(message);
    }
    if (r == 0)
        r = output_flush(&c->output);
    prompt(c);
    return r;
}

static void take_close(struct client *c)
{
    const int was_first = c->links->next == NULL;
    const struct outcome *outcome = &c->link->outcome;
    int status = EXIT_OK;

    clear_prompt(c);
    tell_unopened(c, outcome, c->link->ended);
    if (c->status != EXIT_INTERRUPTED)
        status = link_status(c->link, c->is_verbose || c->is_interactive,
                             c->state == CLOSING);
    if (c->status == EXIT_OK || c->is_interactive)
        c->status = status;
    c->state = NONE;
    c->link = NULL;
    c->is_waiting = 0;
    if (!c->is_interactive || (was_first && !outcome->opened) || c->input.has_ended)
        c->is_finishing = 1;
    prompt(c);
}

static void take_events(struct client *c)
{
    int is_open = 0;
    int has_drained = 0;
    int has_closed = 0;
    struct message *messages = NULL;

    if (c->link == NULL)
        return;
    messages = link_take(c->link, &is_open, &has_drained, &has_closed);
    take_waits(c);
    if (is_open && c->state == CONNECTING) {
        c->state = OPEN;
        tell_open(c);
        prompt(c);
        if (c->is_verbose)
            link_ping(c->link);
    }
    tell_round_trip(c);
    if (has_drained)
        c->is_waiting = 0;
    if (print_messages(c, messages) < 0) {
        /* Who reads the output is gone: so is the reason to stay. */
        c->is_finishing = 1;
        begin_close(c, 1000);
    }
    if (c->count > 0 && c->printed >= c->count) {
        c->is_finishing = 1;
        begin_close(c, 1000);
    }
    if (has_closed)
        take_close(c);
}

/* ---- when to end ---- */

static void take_deadline(struct client *c)
{
    if (c->deadline_ms == 0 || now_ms() < c->deadline_ms)
        return;
    c->deadline_ms = 0;
    if (c->state == CLOSING) {
        link_reset(c->link);
        return;
    }
    if (c->count > 0) {
        fail(command, "timed out: %lld of %lld messages came", (long long)c->printed,
             (long long)c->count);
        c->status = EXIT_TIMEOUT;
    }
    c->is_finishing = 1;
    begin_close(c, 1000);
}

static void take_interrupt(struct client *c)
{
    if (interrupts == 0 || c->status == EXIT_INTERRUPTED)
        return;
    c->status = EXIT_INTERRUPTED;
    if (c->is_interactive) /* the shell's prompt gets a line of its own */
        fputc('\n', stderr);
    c->is_interactive = 0;
    c->is_finishing = 1;
    begin_close(c, 1001);
    c->deadline_ms = now_ms() + INTERRUPT_WAIT_MS;
}

/* Everything was sent: close, or wait for what --count and -w still want. */
static void take_input_end(struct client *c)
{
    if (c->state == NONE && c->input.has_ended) {
        c->is_finishing = 1;
    } else if (c->state == OPEN && all_sent(c) && c->deadline_ms == 0) {
        if (c->wait_ms > 0)
            c->deadline_ms = now_ms() + c->wait_ms;
        else if (c->count == 0)
            begin_close(c, 1000);
    }
}

static int poll_timeout(const struct client *c)
{
    const int64_t left = c->deadline_ms - now_ms();

    if (c->deadline_ms == 0)
        return -1;
    return left > 0 ? (int)(left < 1000000 ? left : 1000000) : 0;
}

/* Whether standard input is wanted now: not before what was read last is sent. */
static int wants_input(const struct client *c)
{
    const char *data = NULL;
    size_t len = 0;

    return !c->input.has_ended && !c->is_finishing && !c->is_waiting &&
           (c->state == OPEN || c->is_interactive || c->input.is_whole) &&
           (c->input.is_whole || !input_peek(&c->input, &data, &len));
}

static void run_loop(struct client *c)
{
    struct pollfd fds[2] = {{.fd = c->wake_fd, .events = POLLIN}, {.events = POLLIN}};
    uint64_t wakes = 0;

    while (c->state != NONE || !c->is_finishing) {
        fds[1].fd = wants_input(c) ? STDIN_FILENO : -1;
        fds[1].revents = 0;
        if (poll(fds, 2, poll_timeout(c)) < 0 && errno != EINTR)
            break;
        if ((fds[0].revents & POLLIN) != 0 && read(c->wake_fd, &wakes, sizeof wakes) < 0)
            wakes = 0;
        take_interrupt(c);
        if (fds[1].revents != 0 && input_read(&c->input) < 0)
            c->bad_input = 1;
        take_events(c);
        pump_input(c);
        take_input_end(c);
        take_deadline(c);
    }
}

/* ---- arguments ---- */

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

/* Add to a list that has room for LIST_MAX and a NULL. */
static int add(const char **list, const char *value, const char *what)
{
    size_t n = 0;

    while (list[n] != NULL)
        n++;
    if (n == LIST_MAX)
        return usage_error(command, "more than %d times %s", LIST_MAX, what);
    list[n] = value;
    return 0;
}

static int add_made(struct client *c, const char **list, const char *what,
                    const char *form, const char *value)
{
    const size_t size = strlen(form) + strlen(value) + 1;
    struct made *made = malloc(sizeof *made + size);

    if (made == NULL)
        return fail(command, "out of memory");
    made->next = c->made;
    c->made = made;
    snprintf(made->text, size, form, value);
    return add(list, made->text, what);
}

static void free_made(struct client *c)
{
    while (c->made != NULL) {
        struct made *made = c->made;

        c->made = made->next;
        free(made);
    }
}

/* Basic authentication, RFC 7617. */
static int add_user(struct client *c, const char *value)
{
    char *encoded = NULL;
    int status = 0;

    if (strchr(value, ':') == NULL)
        return usage_error(command, "--user takes USER:PASSWORD, not \"%s\"", value);
    encoded = base64_encode(value, strlen(value));
    if (encoded == NULL)
        return fail(command, "out of memory");
    status = add_made(c, c->headers, "--user", "Authorization: Basic %s", encoded);
    free(encoded);
    return status;
}

static int add_connect_timeout(struct client *c, const char *value)
{
    char ms[32];
    int64_t limit = 0;
    const int status = parse_seconds(command, "--connect-timeout", value, &limit);

    if (status != 0)
        return status;
    if (limit < 1 || limit > DAY_MS)
        return usage_error(command, "--connect-timeout takes 0.001 to 86400 seconds");
    snprintf(ms, sizeof ms, "%" PRId64, limit);
    return add_made(c, c->sets, "--connect-timeout", "connect_timeout=%sms", ms);
}

/* What says how the server is reached, and whether it is the right one. */
static int take_way_option(struct client *c, int option, const char *value)
{
    switch (option) {
    case OPT_CA:
        c->ca = value;
        return 0;
    case OPT_CERT:
        c->cert = value;
        return 0;
    case OPT_KEY:
        c->key = value;
        return 0;
    case OPT_INSECURE:
        c->is_insecure = 1;
        return 0;
    case OPT_PROXY:
        c->way.proxy = value;
        return 0;
    case OPT_RESOLVE:
        return way_add_resolve(command, &c->way, value);
    case OPT_LOCATION:
        return add(c->sets, "max_redirects=10", "--location");
    case OPT_CONNECT_TIMEOUT:
        return add_connect_timeout(c, value);
    case OPT_RECONNECT:
        c->is_kept = 1;
        return 0;
    default:
        return EXIT_USAGE;
    }
}

static int take_option(struct client *c, int option, const char *value)
{
    switch (option) {
    case ARG_PLAIN:
        if (c->urls[0] != NULL)
            return usage_error(command, "one URL, not also \"%s\"", value);
        c->urls[0] = value;
        return 0;
    case OPT_WAIT:
        return parse_seconds(command, "-w", value, &c->wait_ms);
    case OPT_COUNT:
        return parse_count(command, "--count", value, 1, INT64_C(1000000000000),
                           &c->count);
    case OPT_EXECUTE:
        c->input.has_ended = 1;
        return add(c->texts, value, "-x");
    case OPT_BINARY:
        c->input.is_whole = 1;
        return 0;
    case OPT_JSON:
        c->output.is_json = 1;
        return 0;
    case OPT_HEADER:
        return add(c->headers, value, "--header");
    case OPT_SUBPROTOCOL:
        return add(c->subprotocols, value, "--subprotocol");
    case OPT_COMPRESSED:
        return add(c->sets, "compression=shared", "--compressed");
    case OPT_SET:
        return add(c->sets, value, "--set");
    case OPT_ORIGIN:
        return add_made(c, c->headers, "--origin", "Origin: %s", value);
    case OPT_USER:
        return add_user(c, value);
    case OPT_VERBOSE:
        c->is_verbose = 1;
        return 0;
    default:
        return take_way_option(c, option, value);
    }
}

/* @return -1 to go on, else the exit status. */
static int read_arguments(struct client *c, int argc, char **argv)
{
    struct args args;
    const char *value = NULL;
    int option = 0;

    args_init(&args, command, options, sizeof options / sizeof options[0], argc, argv);
    while ((option = args_next(&args, &value)) != ARG_END) {
        if (option == OPT_HELP)
            return help_print(command, WSOCK_SCOPE_CLIENT, NULL);
        const int r = take_option(c, option, value);

        if (r != 0)
            return r;
    }
    if (c->urls[0] == NULL)
        return usage_error(command, "the URL is missing; see wsock connect --help");
    if (c->input.is_whole && c->texts[0] != NULL)
        return usage_error(command, "-x and -b: one of them");
    for (const char *const *set = c->sets; !c->is_kept && *set != NULL; set++)
        if (strncmp(*set, "reconnect_", 10) == 0)
            return usage_error(command, "--set %s has an effect with --reconnect only",
                               *set);
    c->is_interactive = !c->input.has_ended && !c->input.is_whole && isatty(STDIN_FILENO);
    c->output.is_terminal = isatty(STDOUT_FILENO);
    return -1;
}

static int run(struct client *c)
{
    int r = wsock_runtime_new(&c->runtime);

    if (r == 0)
        r = wsock_runtime_set_int64(c->runtime, "workers", 1);
    if (r < 0)
        return fail(command, "cannot start: %s", wsock_strerror(r));
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0)
        return fail(command, "cannot start: %s", strerror(errno));
    catch_signals(c->wake_fd);
    r = begin_connect(c);
    if (r != 0)
        return r;
    run_loop(c);
    if (c->status == EXIT_OK && c->bad_input)
        return EXIT_FAILED;
    return c->status;
}

int connect_main(int argc, char **argv)
{
    struct client c = {.wake_fd = -1};
    int status = read_arguments(&c, argc, argv);

    if (status >= 0) {
        free_made(&c);
        return status;
    }
    status = run(&c);
    wsock_runtime_free(c.runtime);
    while (c.links != NULL) {
        struct link *link = c.links;

        c.links = link->next;
        link_free(link);
    }
    if (c.wake_fd >= 0)
        close(c.wake_fd);
    free(c.input.data);
    free(c.output.data);
    free(c.url);
    free_made(&c);
    return status;
}
