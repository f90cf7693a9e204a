/* SPDX-License-Identifier: MIT */
/*
 * A generator of new connections: each does the handshake of TLS and the upgrade to
 * WebSocket, and closes when the whole response has come. With --resume each resumes the
 * session of the one before it in its slot, else nobody knows of any session. That every
 * handshake was of the kind that is asked for is checked. The CPU clocks are read as in
 * load.c.
 *
 * A full handshake costs a client more than its server, which would wake up for each
 * single step. A busy server finds several connections waiting, so what slots have to
 * say is held back until half of them have something to say.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"
#include "tls_client.h"

#define RECEIVE_BYTES (64 * 1024)

struct options {
    struct target target;
    struct tls_client client;
    size_t in_flight;
    size_t count; /* 0: run by time */
    struct run_options run;
    bool resume;
};

struct slot {
    int fd; /* -1: to be connected */
    bool resumes;
    bool asked;   /* TLS is ready and the request is written */
    bool over;    /* the response has come and goodbye is written */
    bool holding; /* something to send, or to connect for */
    SSL *ssl;
    BIO *in, *out;        /* its runs of memory */
    SSL_SESSION *session; /* of the last connection; NULL: none yet */
    size_t have;
    char head[RESPONSE_MAX];
};

struct shaker {
    struct generator generator; /* first */
    const struct options *options;
    SSL_CTX *context;
    struct slot *slots;
    char request[RESPONSE_MAX];
    size_t request_len;
    size_t left;    /* connections that may still begin */
    size_t holding; /* of the active ones */
    int epoll_fd;
};

/* What was done is connections that opened; extra are those among them with a key
 * exchange of their own (forward secrecy). A round is a connection of any slot. */
static struct shaker *shaker_of(struct generator *g)
{
    return (struct shaker *)(void *)g;
}

/* One connection */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct slot *slot = SSL_get_app_data(ssl);

    SSL_SESSION_free(slot->session);
    slot->session = session;
    return 1;
}

/* OpenSSL lets a session of TLS 1.3 be resumed once, but some servers give no other one
 * to who resumes: a copy is used up. */
static void resume(const struct slot *slot)
{
    SSL_SESSION *copy = SSL_SESSION_dup(slot->session);

    if (copy == NULL || SSL_set_session(slot->ssl, copy) != 1)
        die_tls("a session cannot be resumed");
    SSL_SESSION_free(copy);
}

static void hold(struct shaker *shaker, struct slot *slot)
{
    if (!slot->holding) {
        slot->holding = true;
        shaker->holding++;
    }
}

/* @return false when r says that it has to wait. */
static bool went_on(const struct slot *slot, int r)
{
    if (r == 1)
        return true;
    if (SSL_get_error(slot->ssl, r) != SSL_ERROR_WANT_READ)
        die_tls("a handshake failed");
    return false;
}

static void begin(struct shaker *shaker, struct slot *slot)
{
    slot->fd = -1;
    slot->resumes = slot->session != NULL;
    slot->asked = false;
    slot->over = false;
    slot->have = 0;
    slot->in = BIO_new(BIO_s_mem());
    slot->out = BIO_new(BIO_s_mem());
    if (slot->in == NULL || slot->out == NULL)
        die("out of memory");
    slot->ssl = client_new(shaker->context);
    SSL_set_bio(slot->ssl, slot->in, slot->out);
    SSL_set_app_data(slot->ssl, slot);
    if (slot->resumes)
        resume(slot);
    went_on(slot, SSL_do_handshake(slot->ssl));
    shaker->generator.active++;
    hold(shaker, slot);
}

static void begin_next(struct shaker *shaker, struct slot *slot)
{
    if (shaker->left > 0) {
        shaker->left--;
        begin(shaker, slot);
    }
}

static void note_kind(struct shaker *shaker, const struct slot *slot)
{
    EVP_PKEY *key = NULL;

    if ((SSL_session_reused(slot->ssl) == 1) != slot->resumes)
        die(slot->resumes ? "the server did not resume a session"
                          : "a session was resumed");
    if (SSL_get_peer_tmp_key(slot->ssl, &key) == 1)
        shaker->generator.extra++;
    EVP_PKEY_free(key);
}

/* SSL_shutdown() says goodbye; without it OpenSSL would not let the session be resumed.
 */
static void finish(struct shaker *shaker, struct slot *slot)
{
    note_kind(shaker, slot);
    if (shaker->options->resume && slot->session == NULL)
        die("the server gave no session to resume");
    SSL_shutdown(slot->ssl);
    slot->over = true;
    shaker->generator.done++;
}

/* As far as it goes with what has been received. */
static void advance(struct shaker *shaker, struct slot *slot)
{
    size_t n;

    if (!slot->asked) {
        if (!went_on(slot, SSL_do_handshake(slot->ssl)))
            return;
        if (SSL_write_ex(slot->ssl, shaker->request, shaker->request_len, &n) != 1)
            die_tls("the request was not taken");
        slot->asked = true;
    }
    do {
        if (!went_on(slot, SSL_read_ex(slot->ssl, slot->head + slot->have,
                                       RESPONSE_MAX - 1 - slot->have, &n)))
            return;
        slot->have += n;
    } while (!response_is_whole(&shaker->options->target, slot->head, slot->have));
    finish(shaker, slot);
}

static void receive(struct shaker *shaker, struct slot *slot)
{
    static unsigned char buffer[RECEIVE_BYTES];
    const ssize_t n = recv(slot->fd, buffer, sizeof buffer, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0)
        die_errno("recv");
    if (n == 0)
        die("the server closed a connection");
    if (BIO_write(slot->in, buffer, (int)n) != n)
        die("out of memory");
    advance(shaker, slot);
    if (BIO_ctrl_pending(slot->out) > 0)
        hold(shaker, slot);
}

/* The kernel of a server that listens completes a connection at once. */
static void connect_slot(struct shaker *shaker, struct slot *slot)
{
    const struct target *target = &shaker->options->target;
    int on = 1;

    slot->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (slot->fd < 0 ||
        setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die_errno("socket");
    if (connect(slot->fd, (const struct sockaddr *)&target->addr, sizeof target->addr) <
        0)
        die_errno("connect");
    must_watch(shaker->epoll_fd, slot->fd, EPOLLIN, slot);
}

static void release(struct shaker *shaker, struct slot *slot)
{
    char *data;
    long len;

    if (!slot->holding)
        return;
    slot->holding = false;
    if (slot->fd < 0)
        connect_slot(shaker, slot);
    len = BIO_get_mem_data(slot->out, &data);
    if (send(slot->fd, data, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        die_errno("send");
    (void)BIO_reset(slot->out);
    if (slot->over)
        close(slot->fd);
}

/* All connections */

/* What costs CPU comes after all have sent. */
static void release_all(struct shaker *shaker)
{
    const size_t count = shaker->options->in_flight;

    shaker->holding = 0;
    for (size_t i = 0; i < count; i++)
        release(shaker, &shaker->slots[i]);
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &shaker->slots[i];

        if (slot->ssl == NULL || !slot->over)
            continue;
        SSL_free(slot->ssl);
        slot->ssl = NULL;
        shaker->generator.active--;
        begin_next(shaker, slot);
    }
}

static void turn(struct generator *g)
{
    struct shaker *shaker = shaker_of(g);
    struct epoll_event events[EVENTS_MAX];
    int count;

    if (2 * shaker->holding >= shaker->options->in_flight ||
        shaker->holding == shaker->generator.active) {
        release_all(shaker);
        return;
    }
    count = must_wait(shaker->epoll_fd, events, STALL_MS, "no answer came for 10 s");
    for (int i = 0; i < count; i++)
        receive(shaker, events[i].data.ptr);
}

static void begin_all(struct generator *g, size_t count)
{
    struct shaker *shaker = shaker_of(g);

    shaker->left = count;
    for (size_t i = 0; i < shaker->options->in_flight; i++)
        begin_next(shaker, &shaker->slots[i]);
}

static void report(const struct options *o, const struct sample *from,
                   const struct sample *to)
{
    const struct sample_rates r = between(from, to);

    if (o->run.json) {
        printf("{\"seconds\": %.6f, \"handshakes\": %.0f, \"key_exchanges\": %ju, ",
               r.seconds, r.done, (uintmax_t)r.extra);
        print_cpu_json(&r, o->run.pid);
        return;
    }
    printf("%.0f handshakes in %.3f s: %.0f/s, %.0f %% with a key exchange; ", r.done,
           r.seconds, r.done / r.seconds, 100 * r.extra / r.done);
    print_cpu(&r, o->run.pid, "handshake");
}

/* Command line */

static const char usage[] =
    "usage: handshakes [options] wss://ADDRESS:PORT/PATH\n"
    "  --in-flight N    connections that are opening at one time (32)\n"
    "  --seconds S      length of the measured window (3)\n"
    "  --warmup S       handshakes before it (1)\n"
    "  --count N        exactly N in all, and one in each slot before, instead of a "
    "window\n"
    "  --pid PID        read the CPU clock of this server, too\n" TLS_USAGE
    "  --json           print the result as one JSON object\n";

enum { IN_FLIGHT = TLS_VALUES, COUNT, HELP };

static const struct option option_table[] = {
    {"in-flight", required_argument, NULL, IN_FLIGHT},
    {"count", required_argument, NULL, COUNT},
    RUN_OPTION_TABLE,
    {"pid", required_argument, NULL, RUN_PID},
    TLS_OPTION_TABLE,
    {"help", no_argument, NULL, HELP},
    {0},
};

static void parse(struct options *o, int argc, char **argv)
{
    const char *values[HELP + 1] = {NULL};
    const char *url = parse_options(values, option_table, usage, argc, argv);

    *o = (struct options){
        .client = client_of(values, on_session),
        .target = {.extensions = ""},
        .in_flight = (size_t)number_or(values[IN_FLIGHT], 32),
        .run = run_options_of(values, 3, 1),
        .count = (size_t)number_or(values[COUNT], 0),
        .resume = values[TLS_RESUME] != NULL,
    };
    parse_url(&o->target, url);
    if (!o->target.tls || o->in_flight == 0 || o->in_flight > 1000)
        die("the URL must be one of wss, --in-flight 1 to 1000");
}

int main(int argc, char **argv)
{
    struct options options;
    struct shaker shaker = {.options = &options};
    struct sample from, to;

    parse(&options, argc, argv);
    generator_init(&shaker.generator, begin_all, turn, &options.run);
    shaker.epoll_fd = must_epoll();
    shaker.context = client_context(&options.client);
    shaker.slots = must_alloc(options.in_flight, sizeof *shaker.slots);
    shaker.request_len = put_request(shaker.request, &options.target);
    begin_all(&shaker.generator, options.in_flight); /* each slot gets a session */
    finish_all(&shaker.generator);
    if (options.count > 0)
        run_by_count(&shaker.generator, options.count, &from, &to);
    else
        run_by_time(&shaker.generator, &from, &to);
    report(&options, &from, &to);
    for (size_t i = 0; i < options.in_flight; i++)
        SSL_SESSION_free(shaker.slots[i].session);
    free(shaker.slots);
    SSL_CTX_free(shaker.context);
    close(shaker.epoll_fd);
    return 0;
}
