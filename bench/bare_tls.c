/* SPDX-License-Identifier: MIT */
/*
 * The limit that TLS is compared with: nothing but the calls of OpenSSL that a server
 * cannot do without, between runs of memory. Client and server are in this process and
 * take turns, each for many connections at once; only the server's turns are measured.
 *
 * A handshake: the server's side of TLS with the certificate and the ticket that
 * libwsock would use, the request read, a response of the same length written, the
 * client's goodbye read, all freed. An echo (--payload): a batch of frames read, and as
 * many bytes as its answer written, without a look at them.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "tls_client.h"

#define BURST 32 /* handshakes in one turn of the server */

/* What libwsock answers, in its length. */
static const char response[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct options {
    struct tls_client client;
    const char *certificate; /* with its chain and its key */
    size_t connections;
    size_t payload; /* 0: handshakes */
    size_t depth;
    struct run_options run;
};

struct pair {
    SSL *client, *server;
    BIO *up, *down;       /* the server reads the one and writes the other */
    SSL_SESSION *session; /* of the last handshake; NULL: none */
    bool resumes, over;
};

struct bare {
    const struct options *options;
    SSL_CTX *clients, *servers;
    struct pair *pairs;
    size_t pair_count;
    unsigned char *data; /* what both read and write */
    size_t data_size, batch_len, answer_len;
    char request[RESPONSE_MAX];
    size_t request_len;
    int64_t server_ns; /* of the thread's CPU clock */
    uint64_t done;     /* handshakes, or messages */
};

/* Making */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct pair *pair = SSL_get_app_data(ssl);

    SSL_SESSION_free(pair->session);
    pair->session = session;
    return 1;
}

/* One ticket a handshake and no cache, as in libwsock. */
static SSL_CTX *server_context(const struct options *o)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (context == NULL ||
        SSL_CTX_use_certificate_chain_file(context, o->certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, o->certificate, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_num_tickets(context, 1) != 1)
        die_tls("the certificate cannot be used");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

static void bare_init(struct bare *bare, const struct options *o)
{
    const size_t key = 4, header = o->payload < 126 ? 2 : o->payload < 65536 ? 4 : 10;
    struct target target = {.extensions = ""};

    bare->options = o;
    bare->clients = client_context(&o->client);
    bare->servers = server_context(o);
    bare->pair_count = o->payload > 0 ? o->connections : BURST;
    bare->pairs = must_alloc(bare->pair_count, sizeof *bare->pairs);
    bare->batch_len = o->depth * (header + key + o->payload);
    bare->answer_len = o->depth * (header + o->payload);
    bare->data_size = bare->batch_len + RESPONSE_MAX;
    bare->data = must_alloc(bare->data_size, 1);
    parse_url(&target, "wss://127.0.0.1:10000/echo");
    bare->request_len = put_request(bare->request, &target);
}

static void bare_fini(struct bare *bare)
{
    for (size_t i = 0; i < bare->pair_count; i++) {
        SSL_SESSION_free(bare->pairs[i].session);
        SSL_free(bare->pairs[i].client);
        SSL_free(bare->pairs[i].server);
    }
    SSL_CTX_free(bare->clients);
    SSL_CTX_free(bare->servers);
    free(bare->pairs);
    free(bare->data);
}

/* Turns */

typedef void step(struct bare *bare, struct pair *pair);

static void every(struct bare *bare, step *take)
{
    for (size_t i = 0; i < bare->pair_count; i++)
        take(bare, &bare->pairs[i]);
}

static void every_server(struct bare *bare, step *take)
{
    const int64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    every(bare, take);
    bare->server_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
}

/* @return whether the handshake is over. */
static bool shake(SSL *ssl)
{
    const int r = SSL_do_handshake(ssl);

    if (r != 1 && SSL_get_error(ssl, r) != SSL_ERROR_WANT_READ)
        die_tls("a handshake failed");
    return r == 1;
}

static void write_all(SSL *ssl, const void *data, size_t len)
{
    size_t n;

    if (SSL_write_ex(ssl, data, len, &n) != 1)
        die_tls("a write failed");
}

/* A call gives one record at most. */
static void read_all(SSL *ssl, unsigned char *data, size_t len)
{
    size_t n;

    for (size_t have = 0; have < len; have += n)
        if (SSL_read_ex(ssl, data + have, len - have, &n) != 1)
            die_tls("a read failed");
}

/* The client's SSL owns the runs of memory, which the server's shares. */
static void client_begins(struct bare *bare, struct pair *pair)
{
    pair->up = BIO_new(BIO_s_mem());
    pair->down = BIO_new(BIO_s_mem());
    if (pair->up == NULL || pair->down == NULL)
        die("out of memory");
    pair->client = client_new(bare->clients);
    SSL_set_app_data(pair->client, pair);
    SSL_set_bio(pair->client, pair->down, pair->up);
    if (pair->session != NULL && SSL_set_session(pair->client, pair->session) != 1)
        die_tls("a session cannot be resumed");
}

static void server_begins(struct bare *bare, struct pair *pair)
{
    pair->server = SSL_new(bare->servers);
    if (pair->server == NULL || BIO_up_ref(pair->up) != 1 || BIO_up_ref(pair->down) != 1)
        die("out of memory");
    SSL_set_bio(pair->server, pair->up, pair->down);
    SSL_set_accept_state(pair->server);
}

/* Handshakes */

static void client_turn(struct bare *bare, struct pair *pair)
{
    if (pair->client == NULL)
        client_begins(bare, pair);
    if (!SSL_is_init_finished(pair->client)) {
        if (shake(pair->client))
            write_all(pair->client, bare->request, bare->request_len);
        return;
    }
    read_all(pair->client, bare->data, sizeof response - 1);
    SSL_shutdown(pair->client);
}

static void server_ends(struct bare *bare, struct pair *pair)
{
    if ((SSL_session_reused(pair->server) == 1) != (pair->resumes))
        die("a session was resumed against the will, or not");
    SSL_shutdown(pair->server);
    SSL_free(pair->server);
    pair->server = NULL;
    pair->over = true;
    bare->done++;
}

static void server_turn(struct bare *bare, struct pair *pair)
{
    size_t n;

    if (pair->over)
        return;
    if (pair->server == NULL)
        server_begins(bare, pair);
    if (!SSL_is_init_finished(pair->server) && !shake(pair->server))
        return;
    if (SSL_read_ex(pair->server, bare->data, bare->data_size, &n) == 1)
        write_all(pair->server, response, sizeof response - 1);
    else if (SSL_get_shutdown(pair->server) & SSL_RECEIVED_SHUTDOWN)
        server_ends(bare, pair);
}

static void shake_all(struct bare *bare)
{
    for (size_t i = 0; i < bare->pair_count; i++) {
        bare->pairs[i].over = false;
        bare->pairs[i].resumes = bare->pairs[i].session != NULL;
    }
    do {
        every(bare, client_turn);
        every_server(bare, server_turn);
    } while (!bare->pairs[bare->pair_count - 1].over);
    for (size_t i = 0; i < bare->pair_count; i++) {
        SSL_free(bare->pairs[i].client);
        bare->pairs[i].client = NULL;
    }
}

/* Echo */

static void open_pair(struct bare *bare, struct pair *pair)
{
    bool client_ready, server_ready;

    client_begins(bare, pair);
    server_begins(bare, pair);
    do {
        client_ready = shake(pair->client);
        server_ready = shake(pair->server);
    } while (!client_ready || !server_ready);
}

static void client_sends(struct bare *bare, struct pair *pair)
{
    write_all(pair->client, bare->data, bare->batch_len);
}

static void server_echoes(struct bare *bare, struct pair *pair)
{
    read_all(pair->server, bare->data, bare->batch_len);
    write_all(pair->server, bare->data, bare->answer_len);
    bare->done += bare->options->depth;
}

static void client_receives(struct bare *bare, struct pair *pair)
{
    read_all(pair->client, bare->data, bare->answer_len);
}

static void echo_all(struct bare *bare)
{
    every(bare, client_sends);
    every_server(bare, server_echoes);
    every(bare, client_receives);
}

/* Measuring */

static void run_for(struct bare *bare, double seconds)
{
    const int64_t deadline = clock_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * NS_PER_S);

    bare->done = 0;
    bare->server_ns = 0;
    do {
        if (bare->options->payload > 0)
            echo_all(bare);
        else
            shake_all(bare);
    } while (clock_ns(CLOCK_MONOTONIC) < deadline);
}

static void report(const struct bare *bare)
{
    const double cpu = (double)bare->server_ns / NS_PER_S;
    const char *what = bare->options->payload > 0 ? "messages" : "handshakes";

    if (bare->options->run.json)
        printf("{\"%s\": %ju, \"server_cpu_seconds\": %.6f}\n", what,
               (uintmax_t)bare->done, cpu);
    else
        printf("%ju %s: %.3f us each\n", (uintmax_t)bare->done, what,
               cpu * 1e6 / (double)bare->done);
}

/* Command line */

static const char usage[] =
    "usage: bare_tls [options] CERTIFICATE\n"
    "Handshakes, or with --payload echo. The file has the chain and the key.\n"
    "  --payload BYTES  payload of each message\n"
    "  --depth D        messages sent at once (1)\n"
    "  --connections N  of the echo (200)\n"
    "  --seconds S      length of the measured window (1)\n"
    "  --warmup S       the same before it (0.2)\n" TLS_USAGE
    "  --json           print the result as one JSON object\n";

enum { PAYLOAD = TLS_VALUES, DEPTH, CONNECTIONS, HELP };

static const struct option option_table[] = {
    {"payload", required_argument, NULL, PAYLOAD},
    {"depth", required_argument, NULL, DEPTH},
    {"connections", required_argument, NULL, CONNECTIONS},
    RUN_OPTION_TABLE,
    TLS_OPTION_TABLE,
    {"help", no_argument, NULL, HELP},
    {0},
};

static void parse(struct options *o, int argc, char **argv)
{
    const char *values[HELP + 1] = {NULL};
    const char *certificate = parse_options(values, option_table, usage, argc, argv);

    *o = (struct options){
        .client = client_of(values, on_session),
        .certificate = certificate,
        .connections = (size_t)number_or(values[CONNECTIONS], 200),
        .payload = (size_t)number_or(values[PAYLOAD], 0),
        .depth = (size_t)number_or(values[DEPTH], 1),
        .run = run_options_of(values, 1, 0.2),
    };
    if (certificate == NULL)
        die("the certificate is missing (--help lists the options)");
    if (o->depth == 0 || o->depth > 65536 || o->payload > 64 << 20 || o->connections == 0)
        die("--depth must be 1 to 65536, --payload at most 64 MiB");
}

int main(int argc, char **argv)
{
    struct options options;
    struct bare bare = {0};

    parse(&options, argc, argv);
    bare_init(&bare, &options);
    if (options.payload > 0)
        every(&bare, open_pair);
    else
        shake_all(&bare); /* each slot gets a session, if it is to have one */
    run_for(&bare, options.run.warmup);
    run_for(&bare, options.run.seconds);
    report(&bare);
    bare_fini(&bare);
    return 0;
}
