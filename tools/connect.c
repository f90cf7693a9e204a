/* SPDX-License-Identifier: MIT */
/*
 * `wsock connect`: a terminal or a script at one end of a WebSocket. This file decides,
 * in one loop over standard input, the connection's worker and signals, what is sent,
 * when to close, and with which status to end.
 *
 *     CONNECTING --open--> OPEN --input ended, count reached, signal--> CLOSING
 *          |                 |                                            |
 *          `--------------- on_close (exactly one for each connection) ---'--> done, or
 * on a terminal: back to the prompt (NONE)
 *
 * With --reconnect an end leads from OPEN to CONNECTING, until there is one for good.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "connect.h"
#include "tool.h"

static const char command[] = "connect";

#define INTERRUPT_WAIT_MS 2000 /* for the peer's close frame after a signal */

enum state { NONE, CONNECTING, OPEN, CLOSING };

struct client {
    struct connect_plan plan;

    wsock_runtime *runtime;
    struct link *link; /* the present one */
    struct link *links;
    struct input input;
    struct output output;
    char *url; /* of the connections to come, when typed */
    enum state state;
    int is_interactive;
    int is_finishing;    /* this connection is the last one */
    int is_waiting;      /* a send answered EAGAIN */
    int is_down;         /* with --reconnect: it was told that it waits, or tries again */
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
    link_ignore(c->link);
    c->link = NULL;
    c->state = NONE;
}

/* The present connection goes once there is another. @return 0, or an exit status after a
 * complaint. */
static int begin_connect(struct client *c, const char *url)
{
    struct link *link = NULL;
    const int status = link_open(&link, c->runtime, &c->plan, url, c->wake_fd);

    if (status != 0)
        return status;
    if (c->state != NONE)
        abandon(c);
    link->next = c->links;
    c->links = link;
    c->link = link;
    c->state = CONNECTING;
    c->is_waiting = 0;
    c->is_down = 0;
    return 0;
}

static void tell_tls(const wsock_conn *conn)
{
    const char *version = wsock_conn_tls(conn, WSOCK_TLS_FACT_VERSION);
    const char *chain = wsock_conn_tls(conn, WSOCK_TLS_FACT_CHAIN);
    const char *verified = wsock_conn_tls(conn, WSOCK_TLS_FACT_VERIFIED);
    const char *resumed = wsock_conn_tls(conn, WSOCK_TLS_FACT_RESUMED);
    const char *alpn = wsock_conn_tls(conn, WSOCK_TLS_FACT_PROTOCOL);

    if (version == NULL)
        return;
    tell("tls: %s, %s, %s session", version, wsock_conn_tls(conn, WSOCK_TLS_FACT_CIPHER),
         strcmp(resumed, "yes") == 0 ? "resumed" : "new");
    tell("alpn: %s", alpn != NULL ? alpn : "none");
    while (chain != NULL && *chain != '\0') {
        const size_t len = strcspn(chain, "\n");

        tell("certificate: %.*s", (int)len, chain);
        chain += len + (chain[len] == '\n');
    }
    tell("verified: %s%s", verified != NULL && strcmp(verified, "yes") != 0 ? "no, " : "",
         verified != NULL ? verified : "no certificate");
}

/* Of one that opened it was told then. */
static void tell_unopened(const struct client *c, const struct outcome *outcome,
                          const wsock_conn *conn)
{
    if (c->plan.is_verbose && !outcome->opened)
        tell_tls(conn);
}

static void tell_open(const struct client *c)
{
    const wsock_conn *conn = c->link->conn;
    const char *subprotocol = wsock_conn_subprotocol(conn);
    const char *server = wsock_conn_response_header(conn, "Server");
    char extensions[256] = "";

    clear_prompt(c);
    if (c->plan.is_verbose) {
        tell("connected to %s", wsock_conn_url(conn));
        tell("address: %s", wsock_conn_remote_address(conn));
        tell_tls(conn);
        tell("subprotocol: %s", subprotocol[0] != '\0' ? subprotocol : "none");
        wsock_conn_extensions(conn, extensions, sizeof extensions);
        tell("extensions: %s", extensions[0] != '\0' ? extensions : "none");
        if (server != NULL)
            tell("server: %s", server);
    } else if (c->is_down) {
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
    tell("round trip: %.3f ms", (double)us / 1000);
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
            c->is_down = 1;
            if (c->is_interactive) /* what is typed is refused, and waits for nothing */
                c->is_waiting = 0;
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

static void type_connect(struct client *c, const char *text, size_t len)
{
    char *url = len > 0 ? strndup(text, len) : NULL;

    if (len > 0 && url == NULL) {
        fail(command, "out of memory");
        return;
    }
    if (len == 0) {
        begin_connect(c, c->url != NULL ? c->url : c->plan.url);
    } else if (begin_connect(c, url) == 0) {
        free(c->url);
        c->url = url;
    } else {
        free(url);
    }
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

/* Who types sees that it is down. The library may have room to keep the line, or be there
 * again already. */
static void send_while_down(const struct client *c, const char *line, size_t len)
{
    const int r = link_send(c->link, WSOCK_TEXT, line, len);

    if (r == WSOCK_EAGAIN)
        fail(command, "not sent: there is no connection; type it again when there is");
    else if (r < 0)
        fail(command, "not sent: %s", wsock_strerror(r));
}

/* One line from a terminal. @return 0: it is done with, 1: later. */
static int typed_line(struct client *c, const char *line, size_t len)
{
    if (typed_command(c, line, len))
        return 0;
    if (c->state == CONNECTING && !c->is_down)
        return 1;
    if (c->state != OPEN && c->state != CONNECTING) {
        fputs("not connected; type \"connect\" to connect again\n", stderr);
        return 0;
    }
    if (len > 0 && line[0] == '\\') {
        line++;
        len--;
    }
    if (c->state == OPEN)
        return send_message(c, WSOCK_TEXT, line, len);
    send_while_down(c, line, len);
    return 0;
}

/* Send what waits, as far as the connection takes it. */
static void pump_input(struct client *c)
{
    const char *data = NULL;
    size_t len = 0;

    while (c->state == OPEN && !c->is_waiting && c->plan.texts[c->next_text] != NULL) {
        const char *text = c->plan.texts[c->next_text];

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

    return c->input.has_ended && !c->is_waiting && c->plan.texts[c->next_text] == NULL &&
           !input_peek(&c->input, &data, &len);
}

/* ---- what comes ---- */

/* Print and free messages, no more than --count. @return -1 when that cannot go on. */
static int print_messages(struct client *c, struct message *messages)
{
    int r = 0;

    if (messages == NULL)
        return 0;
    clear_prompt(c);
    while (messages != NULL) {
        struct message *message = messages;

        if (r == 0 && (c->plan.count == 0 || c->printed < c->plan.count)) {
            r = output_add(&c->output, message);
            if (r < 0)
                c->status = fail(command, "out of memory");
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
        status = link_status(c->link, c->plan.is_verbose || c->is_interactive,
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
        c->is_down = 0;
        prompt(c);
        if (c->plan.is_verbose)
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
    if (c->plan.count > 0 && c->printed >= c->plan.count) {
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
    if (c->plan.count > 0) {
        fail(command, "timed out: %lld of %lld messages came", (long long)c->printed,
             (long long)c->plan.count);
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
        if (c->plan.wait_ms > 0)
            c->deadline_ms = now_ms() + c->plan.wait_ms;
        else if (c->plan.count == 0)
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
        if (poll(fds, 2, poll_timeout(c)) < 0 && errno != EINTR) {
            c->status = fail(command, "cannot wait: %s", strerror(errno));
            break;
        }
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

/* ---- from begin to end ---- */

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
    r = begin_connect(c, c->plan.url);
    if (r != 0)
        return r;
    run_loop(c);
    if (c->status == EXIT_OK && c->bad_input)
        return EXIT_FAILED;
    return c->status;
}

/* What it means for standard input and output. */
static void take_plan(struct client *c)
{
    c->input.has_ended = c->plan.texts[0] != NULL;
    c->input.is_whole = c->plan.is_whole;
    c->is_interactive = !c->input.has_ended && !c->input.is_whole && isatty(STDIN_FILENO);
    c->output.is_json = c->plan.is_json;
    c->output.is_terminal = isatty(STDOUT_FILENO);
}

int connect_main(int argc, char **argv)
{
    struct client c = {.wake_fd = -1};
    int status = connect_read_arguments(&c.plan, argc, argv);

    if (status >= 0) {
        connect_plan_fini(&c.plan);
        return status;
    }
    take_plan(&c);
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
    connect_plan_fini(&c.plan);
    return status;
}
