/* SPDX-License-Identifier: MIT */
/* TLS between a client and a server that are two filters in memory. */
#include "test.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "cuts.h"
#include "tls/openssl.h"

#define FILE_OF(name) CERTIFICATES "/" name

/* What is not said is empty, and what is said last holds. */
#pragma GCC diagnostic ignored "-Woverride-init"
#define CONFIG(...)                                                                     \
    &(struct wsi_tls_config)                                                            \
    {                                                                                   \
        .certificates = "", .keys = "", .ca = "", .crl = "", .ocsp = "", .ciphers = "", \
        .ciphersuites = "", .pins = "", .alpn = "", __VA_ARGS__                         \
    }
#define IDENTITY(name) .certificates = FILE_OF(name ".pem"), .keys = FILE_OF(name ".key")
#define SERVER(...)    CONFIG(IDENTITY("good"), __VA_ARGS__)
#define CLIENT(...) \
    CONFIG(.verify = WSI_TLS_VERIFY_REQUIRED, .ca = FILE_OF("root.pem"), __VA_ARGS__)

/* ---- time, as keys of tickets and stapled answers see it ---- */

static time_t later;
static struct timespec stopped; /* the clock of the tickets; runs while it is zero */

int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    const int r = __real_clock_gettime(clock, out);

    if (clock == CLOCK_BOOTTIME && stopped.tv_sec != 0)
        *out = stopped;
    if (clock == CLOCK_BOOTTIME || clock == CLOCK_REALTIME)
        out->tv_sec += later;
    return r;
}

/* ---- memory of OpenSSL's own, counted and refused ---- */

union block {
    size_t size;
    max_align_t align;
};

static size_t openssl_bytes, openssl_blocks, heap_countdown;
static bool heap_for_ever;

static bool heap_refuses(void)
{
    if (heap_countdown == 0 || (heap_countdown > 1 && --heap_countdown > 0))
        return false;
    if (!heap_for_ever)
        heap_countdown = 0;
    return true;
}

static void heap_free(void *data, const char *file, int line)
{
    union block *block = data;

    (void)file, (void)line;
    if (block == NULL)
        return;
    openssl_bytes -= block[-1].size;
    openssl_blocks--;
    free(block - 1);
}

static void *heap_realloc(void *data, size_t size, const char *file, int line)
{
    const size_t before = data != NULL ? ((union block *)data)[-1].size : 0;
    union block *block = NULL;

    (void)file, (void)line;
    if (!heap_refuses())
        block = realloc(data != NULL ? (union block *)data - 1 : NULL,
                        sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    openssl_bytes += size - before;
    openssl_blocks += data == NULL;
    return block + 1;
}

static void *heap_alloc(size_t size, const char *file, int line)
{
    return heap_realloc(NULL, size, file, line);
}

/* Refuse OpenSSL the nth allocation from now on, and all later ones if `for_ever`. */
static void heap_fail(size_t nth, bool for_ever)
{
    heap_countdown = nth + 1;
    heap_for_ever = for_ever;
}

static void heap_stop_failing(void)
{
    heap_countdown = 0;
}

/* ---- two ends ---- */

struct end {
    struct wsi_filter *filter;
    struct wsi_buf out; /* encoded, on its way to the other */
    char got[64 * 1024];
    size_t got_len;
    size_t sent; /* bytes taken from it */
};

struct pair {
    struct end client, server;
    size_t step;                   /* bytes at a time; 0: all */
    size_t client_cut, server_cut; /* the first piece of each ends here; 0: no cut */
};

static struct pair pair;

static struct wsi_tls_context *server_new(const struct wsi_tls_config *config,
                                          const struct wsi_tls_context *before)
{
    struct wsi_tls_context *context = NULL;
    char why[WSI_TLS_WHY_SIZE];

    if (wsi_tls_server_new(&context, config, before, why) < 0)
        fail_msg("%s", why);
    return context;
}

static struct wsi_tls_context *client_new(const struct wsi_tls_config *config)
{
    struct wsi_tls_context *context = NULL;
    char why[WSI_TLS_WHY_SIZE];

    if (wsi_tls_client_new(&context, config, why) < 0)
        fail_msg("%s", why);
    return context;
}

/* Give it what came. The block has exactly the size that the loop's would need. */
static void receive(struct end *end, const uint8_t *data, size_t len)
{
    struct wsi_filter *filter = end->filter;
    uint8_t *out = malloc(WSI_FILTER_HELD_MAX + len);
    size_t n;

    assert_non_null(out);
    if (len > 0)
        memcpy(out + WSI_FILTER_HELD_MAX, data, len);
    filter->output = &end->out;
    n = filter->failed || filter->finished
            ? 0
            : filter->ops->decode(filter, out + WSI_FILTER_HELD_MAX, len, out);
    assert_true(end->got_len + n <= sizeof end->got);
    memcpy(end->got + end->got_len, out, n);
    end->got_len += n;
    free(out);
}

static void say(struct end *end, const void *data, size_t len)
{
    end->filter->output = &end->out;
    end->filter->ops->encode(end->filter, data, len);
}

static size_t next_piece(const struct end *from, size_t cut)
{
    size_t len = from->out.len;

    if (pair.step > 0 && len > pair.step)
        len = pair.step;
    if (from->sent < cut && from->sent + len > cut)
        len = cut - from->sent;
    return len;
}

static bool carry(struct end *from, struct end *to, size_t cut)
{
    const size_t len = next_piece(from, cut);

    if (len == 0)
        return false;
    receive(to, from->out.data, len);
    wsi_buf_consume(&from->out, len);
    from->sent += len;
    return true;
}

/* Until neither has anything to say. */
static void talk(void)
{
    while (carry(&pair.client, &pair.server, pair.client_cut) |
           carry(&pair.server, &pair.client, pair.server_cut))
        ;
}

static SSL *ssl_of(const struct end *end)
{
    return wsi_tls_of(end->filter)->ssl;
}

static void connect_as(struct wsi_tls_context *server, struct wsi_tls_context *client,
                       const char *host, bool is_home)
{
    pair = (struct pair){0};
    assert_int_equal(wsi_tls_accept(&pair.server.filter, server), 0);
    assert_int_equal(wsi_tls_connect(&pair.client.filter, client, host, is_home), 0);
}

static void connect_to(struct wsi_tls_context *server, struct wsi_tls_context *client,
                       const char *host)
{
    connect_as(server, client, host, true);
}

static void begin_handshake(void)
{
    receive(&pair.server, NULL, 0);
    receive(&pair.client, NULL, 0);
}

static void handshake(void)
{
    begin_handshake();
    talk();
}

static void disconnect(void)
{
    pair.server.filter->ops->free(pair.server.filter);
    pair.client.filter->ops->free(pair.client.filter);
    wsi_buf_fini(&pair.server.out);
    wsi_buf_fini(&pair.client.out);
    assert_int_equal(ERR_peek_error(), 0); /* nothing is left for who comes next */
}

static void assert_secured(void)
{
    if (pair.client.filter->failed)
        fail_msg("client: %s", wsi_tls_failure(pair.client.filter).why);
    if (pair.server.filter->failed)
        fail_msg("server: %s", wsi_tls_failure(pair.server.filter).why);
    assert_true(pair.client.filter->ready && pair.server.filter->ready);
}

static void assert_failed(const struct end *end, int error)
{
    assert_true(end->filter->failed);
    assert_string_equal(wsock_tls_error_text(wsi_tls_failure(end->filter).error),
                        wsock_tls_error_text(error));
}

static void assert_says(const struct end *end, const char *text)
{
    assert_true(end->filter->failed);
    if (strstr(wsi_tls_failure(end->filter).why, text) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", wsi_tls_failure(end->filter).why, text);
}

static void assert_fact(const struct end *end, int fact, const char *text)
{
    struct wsi_tls_facts *facts = wsi_tls_facts_new(end->filter);

    assert_non_null(facts);
    if (text == NULL || facts->text[fact] == NULL)
        assert_ptr_equal(facts->text[fact], text);
    else
        assert_string_equal(facts->text[fact], text);
    wsi_free(facts);
}

static void assert_resumed(bool resumed)
{
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_RESUMED, resumed ? "yes" : "no");
    assert_fact(&pair.server, WSOCK_TLS_FACT_RESUMED, resumed ? "yes" : "no");
}

static void assert_got(const struct end *end, const char *text)
{
    assert_int_equal(end->got_len, strlen(text));
    assert_memory_equal(end->got, text, end->got_len);
}

static void only_tls12(void)
{
    SSL_set_max_proto_version(ssl_of(&pair.client), TLS1_2_VERSION);
}

/* One connection of two contexts. */
static void meet(struct wsi_tls_context *server, struct wsi_tls_context *client,
                 const char *host, bool tls12)
{
    connect_to(server, client, host);
    if (tls12)
        only_tls12();
    handshake();
}

static void meet_once(const struct wsi_tls_config *server_config,
                      const struct wsi_tls_config *client_config, const char *host)
{
    struct wsi_tls_context *server = server_new(server_config, NULL);
    struct wsi_tls_context *client = client_new(client_config);

    meet(server, client, host, false);
    wsi_tls_context_unref(server); /* the filters keep them */
    wsi_tls_context_unref(client);
}

/* ---- handshakes ---- */

static void data_goes_both_ways_in_every_version(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    (void)state;
    for (int tls12 = 0; tls12 < 2; tls12++) {
        meet(server, client, "localhost", tls12);
        assert_secured();
        say(&pair.client, "from the client", 15);
        say(&pair.server, "from the ", 9);
        say(&pair.server, "server", 6);
        talk();
        assert_got(&pair.server, "from the client");
        assert_got(&pair.client, "from the server");
        assert_fact(&pair.server, WSOCK_TLS_FACT_VERSION, tls12 ? "TLSv1.2" : "TLSv1.3");
        disconnect();
    }
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

/* Of nearly 17 KiB each way and end, which a record may take. */
static void an_idle_connection_keeps_no_buffers(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());
    static char data[16384];
    size_t before = 0;

    (void)state;
    for (int turn = 0; turn < 2; turn++) { /* the first time more is made, which stays */
        before = openssl_bytes;
        meet(server, client, "localhost", false);
        assert_secured();
        say(&pair.client, data, sizeof data);
        say(&pair.server, data, sizeof data);
        talk();
        assert_int_equal(pair.server.got_len, sizeof data);
        assert_int_equal(pair.client.got_len, sizeof data);
        if (turn == 1)
            assert_in_range(openssl_bytes - before, 1, 40 * 1024); /* of both ends */
        disconnect();
    }
    assert_true(openssl_bytes <= before + 4096); /* a session may be kept */
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

/* A handshake and a message each way, with both streams cut. @return the length of one of
 * them. */
static size_t converse(struct wsi_tls_context *server, struct wsi_tls_context *client,
                       bool tls12, size_t step, size_t client_cut, size_t server_cut)
{
    size_t longer;

    connect_to(server, client, "localhost");
    if (tls12)
        only_tls12();
    pair.step = step;
    pair.client_cut = client_cut;
    pair.server_cut = server_cut;
    handshake();
    assert_secured();
    say(&pair.client, "ping", 4);
    say(&pair.server, "pong", 4);
    pair.server.filter->ops->end(pair.server.filter);
    talk();
    assert_got(&pair.server, "ping");
    assert_got(&pair.client, "pong");
    assert_true(pair.client.filter->finished);
    longer = pair.client.sent > pair.server.sent ? pair.client.sent : pair.server.sent;
    disconnect();
    return longer;
}

static void the_streams_may_be_cut_anywhere(void **state)
{
    (void)state;
    for (int tls12 = 0; tls12 < 2; tls12++) {
        for (unsigned resumed = 0; resumed < 2; resumed++) {
            struct wsi_tls_context *server = server_new(
                SERVER(.session_seconds = resumed * 3600), NULL);
            struct wsi_tls_context *client = client_new(CLIENT());
            const size_t len = converse(server, client, tls12, 1, 0, 0);

            assert_true(len > 400);
            for (size_t cut = 1; cut < len; cut++)
                converse(server, client, tls12, 0, cut, cut);
            wsi_tls_context_unref(server);
            wsi_tls_context_unref(client);
        }
    }
}

static void a_record_of_any_size_arrives(void **state)
{
    static char data[WSI_FILTER_RECORD_MAX];

    (void)state;
    meet_once(SERVER(), CLIENT(), "localhost");
    for (size_t len = 1; len <= sizeof data; len = len < 40 ? len + 1 : len * 3) {
        memset(data, (int)len, sizeof data);
        pair.server.got_len = 0;
        say(&pair.client, data, len);
        talk();
        assert_int_equal(pair.server.got_len, len);
        assert_memory_equal(pair.server.got, data, len);
    }
    say(&pair.client, data, sizeof data);
    pair.server.got_len = 0;
    pair.step = 5000;
    talk();
    assert_int_equal(pair.server.got_len, sizeof data);
    disconnect();
}

static void an_end_is_told_from_a_cut(void **state)
{
    (void)state;
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct wsi_tls_context *server = server_new(SERVER(), NULL);
        struct wsi_tls_context *client = client_new(CLIENT());

        meet(server, client, "localhost", tls12);
        assert_false(pair.server.filter->finished);
        say(&pair.client, "last", 4);
        pair.client.filter->output = &pair.client.out;
        pair.client.filter->ops->end(pair.client.filter);
        talk();
        assert_got(&pair.server, "last");
        assert_true(pair.server.filter->finished);
        assert_false(pair.server.filter->failed);
        say(&pair.server, "not yet", 7); /* the other direction goes on */
        talk();
        assert_got(&pair.client, "not yet");
        disconnect();
        wsi_tls_context_unref(server);
        wsi_tls_context_unref(client);
    }
}

/* ---- bad peers ---- */

static void what_is_not_tls_is_told(void **state)
{
    const char *const says[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH-2.0-x\r\n\r\n",
                                "PUT / HTTP/1.1\r\n\r\n"};
    const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    (void)state;
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        connect_to(server, client, "localhost");
        begin_handshake();
        receive(&pair.server, (const uint8_t *)says[i], strlen(says[i]));
        assert_failed(&pair.server, WSOCK_TLS_NOT_TLS);
        receive(&pair.client, (const uint8_t *)http, sizeof http - 1);
        assert_failed(&pair.client, WSOCK_TLS_NOT_TLS);
        disconnect();
    }
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

/* The server has refused what it got, before it made room for it. */
static void assert_hello_refused(void)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 47};

    assert_failed(&pair.server, WSOCK_TLS_PROTOCOL);
    assert_non_null(strstr(wsi_tls_failure(pair.server.filter).why,
                           "ClientHello is longer than 16384"));
    assert_int_equal(pair.server.out.len, sizeof alert);
    assert_memory_equal(pair.server.out.data, alert, sizeof alert);
}

static void a_greeting_that_is_too_long_is_refused(void **state)
{
    static const uint8_t longest[] = {22, 3, 1, 0, 4, 1, 0, 0x40, 0};
    static const uint8_t longer[] = {22, 3, 1, 0, 4, 1, 0, 0x40, 1};
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    (void)state;
    connect_to(server, client, "localhost");
    receive(&pair.server, longest, sizeof longest);
    assert_false(pair.server.filter->failed);
    assert_int_equal(pair.server.out.len, 0);
    disconnect();
    connect_to(server, client, "localhost");
    receive(&pair.server, longer, sizeof longer);
    assert_hello_refused();
    disconnect();
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

/* One that is asked to begin again, in another group (RFC 8446 section 4.1.4). */
static void the_second_greeting_is_measured_too(void **state)
{
    static const uint8_t longer[] = {20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 4, 1, 0, 0x40, 1};
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        connect_to(server, client, "localhost");
        assert_int_equal(SSL_set1_groups_list(ssl_of(&pair.server), "P-256"), 1);
        assert_int_equal(SSL_set1_groups_list(ssl_of(&pair.client), "X25519:P-256"), 1);
        begin_handshake();
        carry(&pair.client, &pair.server, 0);
        carry(&pair.server, &pair.client, 0); /* the request to begin again */
        assert_false(pair.client.filter->ready);
        if (bad) {
            receive(&pair.server, longer, sizeof longer);
            assert_hello_refused();
        } else {
            talk();
            assert_secured();
        }
        disconnect();
    }
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void rubbish_never_becomes_data(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());
    uint32_t seed = 7;

    (void)state;
    for (int round = 0; round < 300; round++) {
        uint8_t bytes[600];

        connect_to(server, client, "localhost");
        begin_handshake();
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)test_random(&seed);
        if (round % 2 == 0)
            memcpy(bytes, "\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", 11);
        receive(&pair.server, bytes, sizeof bytes);
        receive(&pair.client, bytes, sizeof bytes);
        assert_int_equal(pair.server.got_len + pair.client.got_len, 0);
        assert_false(pair.server.filter->ready || pair.client.filter->ready);
        disconnect();
    }
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void a_changed_byte_of_a_record_is_noticed(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    (void)state;
    for (int tls12 = 0; tls12 < 2; tls12++) {
        for (size_t i = 0, len = 1; i < len; i++) {
            meet(server, client, "localhost", tls12);
            say(&pair.client, "secret", 6);
            len = pair.client.out.len;
            pair.client.out.data[i] ^= 0x80;
            talk();
            assert_int_equal(pair.server.got_len, 0);
            /* A longer record than was sent is waited for. */
            if (i != 3 && i != 4)
                assert_true(pair.server.filter->failed);
            disconnect();
        }
    }
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void ask_for_new_keys(int times)
{
    for (int i = 0; i < times; i++) {
        pair.client.filter->output = &pair.client.out;
        assert_int_equal(SSL_key_update(ssl_of(&pair.client), SSL_KEY_UPDATE_REQUESTED),
                         1);
        assert_int_equal(SSL_do_handshake(ssl_of(&pair.client)), 1);
    }
}

static void updates_of_keys_are_answered_one_by_one(void **state)
{
    (void)state;
    meet_once(SERVER(), CLIENT(), "localhost");
    ask_for_new_keys(60);
    assert_true(carry(&pair.client, &pair.server, 0));
    assert_false(pair.server.filter->failed);
    /* Each asks for one of ours; a stream ends when its peer does not take them. */
    assert_true(pair.server.out.len <= pair.client.sent);
    say(&pair.client, "and on", 6);
    say(&pair.server, "and on", 6);
    talk();
    assert_got(&pair.server, "and on");
    assert_got(&pair.client, "and on");
    disconnect();
}

static void flood_of_updates_is_not_taken(void **state)
{
    (void)state;
    meet_once(SERVER(), CLIENT(), "localhost");
    ask_for_new_keys(1000);
    assert_true(carry(&pair.client, &pair.server, 0));
    assert_true(pair.server.filter->failed);
    assert_int_equal(wsi_tls_failure(pair.server.filter).error, WSOCK_TLS_PROTOCOL);
    assert_non_null(
        strstr(wsi_tls_failure(pair.server.filter).why, "too many records without data"));
    disconnect();
}

static void renegotiation_is_refused(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());
    size_t before;

    (void)state;
    connect_to(server, client, "localhost");
    only_tls12();
    SSL_clear_options(ssl_of(&pair.client), SSL_OP_NO_RENEGOTIATION);
    handshake();
    assert_secured();
    before = pair.server.sent;
    pair.client.filter->output = &pair.client.out;
    assert_int_equal(SSL_renegotiate(ssl_of(&pair.client)), 1);
    SSL_do_handshake(ssl_of(&pair.client));
    talk();
    assert_int_equal(SSL_total_renegotiations(ssl_of(&pair.server)), 0);
    assert_true(pair.server.sent - before < 64); /* a warning, no handshake */
    assert_failed(&pair.client, WSOCK_TLS_PROTOCOL);
    ERR_clear_error();
    disconnect();
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void old_versions_are_refused(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(.min_version = 13), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    (void)state;
    meet(server, client, "localhost", true);
    assert_failed(&pair.server, WSOCK_TLS_VERSION);
    assert_failed(&pair.client, WSOCK_TLS_VERSION);
    assert_int_equal(wsi_tls_failure(pair.client.filter).alert, 70);
    disconnect();
    connect_to(server, client, "localhost");
    SSL_set_security_level(ssl_of(&pair.client), 0);
    SSL_set_min_proto_version(ssl_of(&pair.client), TLS1_VERSION);
    SSL_set_max_proto_version(ssl_of(&pair.client), TLS1_1_VERSION);
    handshake();
    assert_failed(&pair.server, WSOCK_TLS_VERSION);
    disconnect();
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void without_a_common_cipher_both_say_so(void **state)
{
    (void)state;
    meet_once(SERVER(.ciphersuites = "TLS_AES_256_GCM_SHA384"),
              CLIENT(.ciphersuites = "TLS_AES_128_GCM_SHA256", .min_version = 13),
              "localhost");
    assert_failed(&pair.server, WSOCK_TLS_CIPHER);
    assert_failed(&pair.client, WSOCK_TLS_ALERT);
    assert_non_null(strstr(wsi_tls_failure(pair.client.filter).why, "handshake failure"));
    disconnect();
    meet_once(SERVER(.ciphersuites = "TLS_AES_128_GCM_SHA256"), CLIENT(), "localhost");
    assert_fact(&pair.client, WSOCK_TLS_FACT_CIPHER, "TLS_AES_128_GCM_SHA256");
    disconnect();
}

static void meet_with_alpn(const char *protocols, unsigned len)
{
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    connect_to(server, client, "localhost");
    SSL_set_alpn_protos(ssl_of(&pair.client), (const unsigned char *)protocols, len);
    handshake();
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void who_offers_other_protocols_only_is_refused(void **state)
{
    (void)state;
    meet_with_alpn("\x02h2", 3);
    assert_failed(&pair.server, WSOCK_TLS_APPLICATION_PROTOCOL);
    assert_int_equal(wsi_tls_failure(pair.client.filter).alert, 120);
    assert_says(&pair.client, "\"no application protocol\"");
    disconnect();
    meet_with_alpn("\x02h2\x08http/1.1", 12);
    assert_secured();
    assert_fact(&pair.server, WSOCK_TLS_FACT_PROTOCOL, "http/1.1");
    disconnect();
    meet_with_alpn(NULL, 0);
    assert_secured();
    assert_fact(&pair.server, WSOCK_TLS_FACT_PROTOCOL, NULL);
    disconnect();
}

static void agree_on(const struct wsi_tls_config *server,
                     const struct wsi_tls_config *client, const char *name)
{
    meet_once(server, client, "localhost");
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_PROTOCOL, name);
    assert_fact(&pair.server, WSOCK_TLS_FACT_PROTOCOL, name);
    disconnect();
}

static void other_names_may_stand_for_it(void **state)
{
    char name[300] = "", why[WSI_TLS_WHY_SIZE];
    struct wsi_tls_context *context;

    (void)state;
    agree_on(SERVER(), CLIENT(.alpn = "ws,http/1.1"), "http/1.1");
    agree_on(SERVER(.alpn = "ws"), CLIENT(.alpn = "http/1.1, ws"), "ws");
    agree_on(SERVER(.alpn = "a,b"), CLIENT(.alpn = "b,a"), "a");
    agree_on(SERVER(.alpn = "none"), CLIENT(.alpn = "ws"), NULL);
    agree_on(SERVER(.alpn = "ws"), CLIENT(.alpn = "none"), NULL);
    meet_once(SERVER(.alpn = "ws"), CLIENT(), "localhost");
    assert_failed(&pair.server, WSOCK_TLS_APPLICATION_PROTOCOL);
    disconnect();
    memset(name, 'x', 255);
    agree_on(SERVER(.alpn = name), CLIENT(.alpn = name), name);
    name[255] = 'x';
    assert_int_equal(wsi_tls_client_new(&context, CLIENT(.alpn = name), why), WSOCK_ETLS);
    assert_non_null(strstr(why, "tls_alpn"));
}

static void each_alert_has_words(void **state)
{
    static const int alerts[] = {0,  10, 20,  22,  40,  42,  43,  44,  45,
                                 46, 47, 48,  49,  50,  51,  70,  71,  80,
                                 86, 90, 109, 110, 112, 113, 115, 116, 120};

    (void)state;
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++)
        if (strcmp(wsi_openssl_alert_text(alerts[i]), "unknown") == 0)
            fail_msg("alert %d has none", alerts[i]);
}

static void an_error_of_others_is_not_ours(void **state)
{
    (void)state;
    meet_once(SERVER(), CLIENT(), "localhost");
    assert_secured();
    pair.server.filter->output = &pair.server.out;
    pair.server.filter->ops->end(pair.server.filter);
    ERR_raise(ERR_LIB_SSL, SSL_R_HTTP_REQUEST);
    say(&pair.server, "late", 4);
    assert_failed(&pair.server, WSOCK_TLS_PROTOCOL);
    assert_says(&pair.server, "shutdown");
    disconnect();
}

/* ---- whose certificate ---- */

static void each_fault_of_a_certificate_has_its_name(void **state)
{
    static const struct {
        const char *certificate, *host, *ca;
        int error;
    } cases[] = {
        {"good", "localhost", "root", WSOCK_TLS_NONE},
        {"good", "127.0.0.1", "root", WSOCK_TLS_NONE},
        {"good", "::1", "root", WSOCK_TLS_NONE},
        {"good", "LOCALHOST", "root", WSOCK_TLS_NONE},
        {"good", "localhost.", "root", WSOCK_TLS_NONE},
        {"rsa", "localhost", "root", WSOCK_TLS_NONE},
        {"wild", "x.test.example", "root", WSOCK_TLS_NONE},
        {"wild", "x.y.test.example", "root", WSOCK_TLS_WRONG_NAME},
        {"wild", "test.example", "root", WSOCK_TLS_WRONG_NAME},
        {"other", "localhost", "root", WSOCK_TLS_WRONG_NAME},
        {"other", "127.0.0.1", "root", WSOCK_TLS_WRONG_NAME},
        {"other", "192.0.2.1", "root", WSOCK_TLS_NONE},
        {"expired", "localhost", "root", WSOCK_TLS_EXPIRED},
        {"future", "localhost", "root", WSOCK_TLS_NOT_YET_VALID},
        {"selfsigned", "localhost", "root", WSOCK_TLS_SELF_SIGNED},
        {"selfsigned", "localhost", "selfsigned", WSOCK_TLS_NONE},
        {"foreign_leaf", "localhost", "root", WSOCK_TLS_UNKNOWN_ISSUER},
        {"foreign_leaf", "localhost", "foreign", WSOCK_TLS_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char certificate[300], key[300], ca[300];

        snprintf(certificate, sizeof certificate, "%s/%s.pem", CERTIFICATES,
                 cases[i].certificate);
        snprintf(key, sizeof key, "%s/%s.key", CERTIFICATES, cases[i].certificate);
        snprintf(ca, sizeof ca, "%s/%s.pem", CERTIFICATES, cases[i].ca);
        meet_once(CONFIG(.certificates = certificate, .keys = key), CLIENT(.ca = ca),
                  cases[i].host);
        if (cases[i].error == WSOCK_TLS_NONE) {
            assert_secured();
            assert_fact(&pair.client, WSOCK_TLS_FACT_VERIFIED, "yes");
        } else {
            assert_failed(&pair.client, cases[i].error);
            assert_true(wsi_tls_is_certificate_error(cases[i].error));
            assert_true(wsi_tls_failure(pair.server.filter).alert > 0);
        }
        disconnect();
    }
}

/* Each as what it is: an address is no name, and has many spellings. */
static void addresses_of_both_families_are_checked(void **state)
{
    static const char *const ours[] = {"127.0.0.1", "::1", "0:0:0:0:0:0:0:1"};
    static const char *const others[] = {"127.0.0.2", "::2", "::127.0.0.1"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        meet_once(SERVER(), CLIENT(), ours[i]);
        assert_secured();
        disconnect();
        meet_once(SERVER(), CLIENT(), others[i]);
        assert_failed(&pair.client, WSOCK_TLS_WRONG_NAME);
        disconnect();
    }
}

static void a_failure_names_the_certificate(void **state)
{
    (void)state;
    meet_once(CONFIG(IDENTITY("expired")), CLIENT(), "localhost");
    assert_says(&pair.client, "the certificate has expired (on 20");
    assert_says(&pair.client, " UTC): CN=expired");
    disconnect();
    meet_once(CONFIG(IDENTITY("future")), CLIENT(), "localhost");
    assert_says(&pair.client, "the certificate is not valid yet (before 20");
    disconnect();
    meet_once(CONFIG(IDENTITY("other")), CLIENT(), "localhost");
    assert_says(&pair.client, "another name (asked for localhost; it has DNS:");
    assert_says(&pair.client, "): CN=other");
    disconnect();
    meet_once(CONFIG(IDENTITY("other")), CLIENT(), "127.0.0.1");
    assert_says(&pair.client, "another name (asked for 127.0.0.1; it has DNS:");
    disconnect();
    meet_once(CONFIG(IDENTITY("selfsigned")), CLIENT(), "localhost");
    assert_says(&pair.client, "self-signed and not known: CN=");
    disconnect();
}

static void who_does_not_verify_is_told_all_the_same(void **state)
{
    (void)state;
    meet_once(CONFIG(IDENTITY("expired")), CONFIG(.ca = FILE_OF("root.pem")),
              "localhost");
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_VERIFIED, "certificate has expired");
    disconnect();
    meet_once(SERVER(), CONFIG(.ca = FILE_OF("root.pem")), "localhost");
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_VERIFIED, "yes");
    disconnect();
    meet_once(CONFIG(IDENTITY("selfsigned")), CONFIG(), "localhost");
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_VERIFIED, "self-signed certificate");
    disconnect();
}

static void revoked_certificates_are_refused(void **state)
{
    (void)state;
    meet_once(CONFIG(IDENTITY("revoked")), CLIENT(.crl = FILE_OF("both.crl")),
              "localhost");
    assert_failed(&pair.client, WSOCK_TLS_REVOKED);
    disconnect();
    meet_once(SERVER(), CLIENT(.crl = FILE_OF("both.crl")), "localhost");
    assert_secured();
    disconnect();
    /* Only the list of who issued it is needed. */
    meet_once(SERVER(), CLIENT(.crl = FILE_OF("inter.crl")), "localhost");
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_VERIFIED, "yes");
    disconnect();
    meet_once(SERVER(), CLIENT(.crl = FILE_OF("root.crl")), "localhost");
    assert_failed(&pair.client, WSOCK_TLS_BAD_CERTIFICATE);
    disconnect();
}

static void pins_hold_the_key(void **state)
{
    struct wsi_tls_facts *facts;
    char pins[200];

    (void)state;
    meet_once(SERVER(), CLIENT(), "localhost");
    facts = wsi_tls_facts_new(pair.client.filter);
    snprintf(pins, sizeof pins, "sha256//%043d=;%s", 0, facts->text[WSOCK_TLS_FACT_PIN]);
    wsi_free(facts);
    disconnect();
    meet_once(SERVER(), CLIENT(.pins = pins), "localhost");
    assert_secured();
    disconnect();
    meet_once(CONFIG(IDENTITY("rsa")), CLIENT(.pins = pins), "localhost");
    assert_failed(&pair.client, WSOCK_TLS_PIN);
    disconnect();
    /* A pin holds where nothing is verified. */
    meet_once(CONFIG(IDENTITY("rsa")), CONFIG(.pins = pins), "localhost");
    assert_failed(&pair.client, WSOCK_TLS_PIN);
    assert_false(pair.client.filter->ready);
    disconnect();
}

static void the_name_chooses_the_certificate(void **state)
{
    static const struct {
        const char *host, *subject;
    } cases[] = {
        {"a.test.example", "CN=a"},     {"A.Test.Example", "CN=a"},
        {"b.test.example", "CN=wild"},  {"other.example", "CN=other"},
        {"x.y.test.example", "CN=rsa"}, {"test.example", "CN=rsa"},
        {"127.0.0.1", "CN=rsa"},        {"localhost", "CN=rsa"},
    };
    struct wsi_tls_context *server = server_new(
        CONFIG(.certificates = FILE_OF("rsa.pem") "," FILE_OF("wild.pem") ", " FILE_OF(
                   "a.pem") " ," FILE_OF("other.pem"),
               .keys = FILE_OF("rsa.key") "," FILE_OF("wild.key") "," FILE_OF(
                   "a.key") "," FILE_OF("other.key")),
        NULL);
    struct wsi_tls_context *client = client_new(CONFIG());

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        meet(server, client, cases[i].host, i % 2 == 0);
        assert_secured();
        assert_fact(&pair.client, WSOCK_TLS_FACT_SUBJECT, cases[i].subject);
        disconnect();
    }
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

/* Of those that fit the name, or the first one's name when none does. */
static void the_client_chooses_the_kind_of_key(void **state)
{
    static const char *const hosts[] = {"a.test.example", "unknown.example"};
    struct wsi_tls_context *server = server_new(
        CONFIG(.certificates = FILE_OF("a_rsa.pem") "," FILE_OF("good.pem") "," FILE_OF(
                   "a.pem"),
               .keys = FILE_OF("a_rsa.key") "," FILE_OF("good.key") "," FILE_OF("a.key")),
        NULL);
    struct wsi_tls_context *client = client_new(CONFIG());

    (void)state;
    for (int i = 0; i < 4; i++) {
        connect_to(server, client, hosts[i / 2]);
        assert_int_equal(SSL_set1_sigalgs_list(ssl_of(&pair.client),
                                               i % 2 ? "RSA-PSS+SHA256:ECDSA+SHA256"
                                                     : "ECDSA+SHA256:RSA-PSS+SHA256"),
                         1);
        handshake();
        assert_secured();
        assert_fact(&pair.client, WSOCK_TLS_FACT_SUBJECT, i % 2 ? "CN=a_rsa" : "CN=a");
        disconnect();
    }
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

/* ---- certificates of clients ---- */

/* Where a redirect led: neither who we are, one or several, nor a session. */
static void strangers_learn_nothing_of_us(void **state)
{
    const struct wsi_tls_config *const ours[] = {
        CLIENT(IDENTITY("alice")),
        CLIENT(.certificates = FILE_OF("alice.pem") "," FILE_OF("bob.pem"),
               .keys = FILE_OF("alice.key") "," FILE_OF("bob.key")),
    };

    (void)state;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        struct wsi_tls_context *server = server_new(
            SERVER(.verify = WSI_TLS_VERIFY_OPTIONAL, .ca = FILE_OF("clients.pem"),
                   .session_seconds = 100),
            NULL);
        struct wsi_tls_context *client = client_new(ours[i]);

        for (int is_home = 0; is_home < 2; is_home++) {
            connect_as(server, client, "localhost", is_home);
            handshake();
            assert_resumed(false);
            assert_fact(&pair.server, WSOCK_TLS_FACT_SUBJECT,
                        is_home ? "CN=alice,O=wsock" : NULL);
            disconnect();
        }
        connect_as(server, client, "localhost", false);
        handshake();
        assert_resumed(false);
        disconnect();
        wsi_tls_context_unref(server);
        wsi_tls_context_unref(client);
    }
}

static void clients_show_certificates_if_asked(void **state)
{
    (void)state;
    meet_once(SERVER(), CLIENT(IDENTITY("alice")), "localhost");
    assert_secured();
    assert_fact(&pair.server, WSOCK_TLS_FACT_SUBJECT, NULL);
    disconnect();
    for (int required = 0; required < 2; required++) {
        const enum wsi_tls_verify verify = required ? WSI_TLS_VERIFY_REQUIRED
                                                    : WSI_TLS_VERIFY_OPTIONAL;

        meet_once(SERVER(.verify = verify, .ca = FILE_OF("clients.pem")),
                  CLIENT(IDENTITY("alice")), "localhost");
        assert_secured();
        assert_fact(&pair.server, WSOCK_TLS_FACT_SUBJECT, "CN=alice,O=wsock");
        assert_fact(&pair.server, WSOCK_TLS_FACT_ISSUER, "CN=clients,O=wsock");
        assert_fact(&pair.server, WSOCK_TLS_FACT_NAMES, "DNS:alice.example");
        assert_fact(&pair.server, WSOCK_TLS_FACT_VERIFIED, "yes");
        assert_fact(&pair.server, WSOCK_TLS_FACT_CHAIN, "CN=alice,O=wsock");
        disconnect();
        meet_once(SERVER(.verify = verify, .ca = FILE_OF("clients.pem")), CLIENT(),
                  "localhost");
        if (required) {
            assert_failed(&pair.server, WSOCK_TLS_NO_CERTIFICATE);
            assert_int_equal(wsi_tls_failure(pair.client.filter).alert, 116);
            assert_says(&pair.client, "\"certificate required\": the server wants a "
                                      "client certificate");
        } else {
            assert_secured();
            assert_fact(&pair.server, WSOCK_TLS_FACT_VERIFIED, NULL);
        }
        disconnect();
        meet_once(SERVER(.verify = verify, .ca = FILE_OF("clients.pem")),
                  CLIENT(IDENTITY("mallory")), "localhost");
        assert_failed(&pair.server, WSOCK_TLS_UNKNOWN_ISSUER);
        assert_says(&pair.server, "): CN=mallory");
        disconnect();
        meet_once(SERVER(.verify = verify, .ca = FILE_OF("clients.pem")),
                  CLIENT(IDENTITY("old")), "localhost");
        assert_failed(&pair.server, WSOCK_TLS_EXPIRED);
        assert_says(&pair.server, " UTC): CN=old");
        disconnect();
    }
    meet_once(SERVER(.verify = WSI_TLS_VERIFY_REQUIRED, .ca = FILE_OF("clients.pem"),
                     .crl = FILE_OF("clients_bob.crl")),
              CLIENT(IDENTITY("bob")), "localhost");
    assert_failed(&pair.server, WSOCK_TLS_REVOKED);
    assert_says(&pair.server, "was revoked: CN=bob");
    disconnect();
}

/* ---- sessions ---- */

static void sessions_are_resumed_once_or_often(void **state)
{
    (void)state;
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct wsi_tls_context *server = server_new(SERVER(.session_seconds = 3600),
                                                    NULL);
        struct wsi_tls_context *client = client_new(CLIENT());

        for (int i = 0; i < 4; i++) {
            meet(server, client, "localhost", tls12);
            assert_resumed(i > 0);
            assert_fact(&pair.client, WSOCK_TLS_FACT_VERIFIED, "yes");
            assert_fact(&pair.client, WSOCK_TLS_FACT_SUBJECT, "CN=good");
            disconnect();
        }
        wsi_tls_context_unref(server);
        wsi_tls_context_unref(client);
    }
}

/* RFC 8446 appendix C.4: else who watches can tell that it is the same client. */
static void a_session_is_resumed_by_one_connection(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(.session_seconds = 3600), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());
    struct wsi_filter *other;

    (void)state;
    meet(server, client, "localhost", false);
    disconnect();
    assert_int_equal(wsi_tls_connect(&other, client, "localhost", true), 0);
    meet(server, client, "localhost", false);
    assert_resumed(false);
    disconnect();
    other->ops->free(other);
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void without_a_lifetime_there_are_no_sessions(void **state)
{
    (void)state;
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct wsi_tls_context *server = server_new(SERVER(.session_seconds = 0), NULL);
        struct wsi_tls_context *client = client_new(CLIENT());

        for (int i = 0; i < 2; i++) {
            meet(server, client, "localhost", tls12);
            assert_resumed(false);
            disconnect();
        }
        wsi_tls_context_unref(server);
        wsi_tls_context_unref(client);
    }
}

/* The time from the ticket to its use, in lifetimes, and from the making of its key to
 * the ticket. */
static void keys_of_tickets_are_made_anew(void **state)
{
    static const struct {
        time_t sealed, opened;
        bool resumed;
    } cases[] = {
        {0, 3599, true},    {0, 3600, true},     {0, 7199, true},
        {0, 7201, false},   {3599, 7198, true},  {3599, 7201, false},
        {3601, 7300, true}, {3601, 10799, true}, {3601, 10803, false},
    };

    (void)state;
    __real_clock_gettime(CLOCK_BOOTTIME, &stopped); /* a second may pass in between */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wsi_tls_context *server = server_new(SERVER(.session_seconds = 3600),
                                                    NULL);
        struct wsi_tls_context *client = client_new(CLIENT());
        struct wsi_tls_context *other = client_new(CLIENT());

        later = 0;
        meet(server, other, "localhost", false); /* makes the key */
        disconnect();
        later = cases[i].sealed;
        meet(server, client, "localhost", false);
        assert_resumed(false);
        disconnect();
        later = cases[i].opened;
        meet(server, other, "localhost", true); /* who comes in between changes nothing */
        disconnect();
        meet(server, client, "localhost", false);
        assert_resumed(cases[i].resumed);
        disconnect();
        later = 0;
        wsi_tls_context_unref(server);
        wsi_tls_context_unref(client);
        wsi_tls_context_unref(other);
    }
    stopped.tv_sec = 0;
}

static void a_changed_ticket_only_costs_a_handshake(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(.session_seconds = 3600), NULL);
    struct wsi_tls_context *stranger = server_new(SERVER(.session_seconds = 3600), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    (void)state;
    for (int tls12 = 0; tls12 < 2; tls12++) {
        meet(server, client, "localhost", tls12);
        disconnect();
        meet(stranger, client, "localhost", tls12);
        assert_resumed(false);
        disconnect();
    }
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(stranger);
    wsi_tls_context_unref(client);
}

/* A server that asks alice for a certificate, then another one, reloaded from it.
 * @return whether her session was resumed. */
static bool resumes_across(const struct wsi_tls_config *first,
                           const struct wsi_tls_config *second)
{
    struct wsi_tls_context *before = server_new(first, NULL);
    struct wsi_tls_context *after = server_new(second, before);
    struct wsi_tls_context *client = client_new(CLIENT(IDENTITY("alice")));
    bool resumed;

    meet(before, client, "localhost", false);
    assert_secured();
    disconnect();
    meet(after, client, "localhost", false);
    resumed = SSL_session_reused(ssl_of(&pair.server)) == 1;
    disconnect();
    wsi_tls_context_unref(before);
    wsi_tls_context_unref(after);
    wsi_tls_context_unref(client);
    return resumed;
}

#define ASKS(...)                                                      \
    SERVER(.session_seconds = 3600, .verify = WSI_TLS_VERIFY_REQUIRED, \
           .ca = FILE_OF("clients.pem"), __VA_ARGS__)

static void tickets_hold_where_the_same_clients_are_accepted(void **state)
{
    (void)state;
    assert_true(resumes_across(ASKS(), ASKS()));
    assert_true(resumes_across(ASKS(), ASKS(IDENTITY("rsa"))));
    assert_false(resumes_across(ASKS(), ASKS(.ca = FILE_OF("root.pem"))));
    assert_false(resumes_across(ASKS(), ASKS(.ca = FILE_OF("twin.pem"))));
    assert_false(resumes_across(ASKS(), ASKS(.crl = FILE_OF("clients.crl"))));
    assert_false(resumes_across(ASKS(), ASKS(.verify = WSI_TLS_VERIFY_OPTIONAL)));
    assert_false(resumes_across(ASKS(.verify = WSI_TLS_VERIFY_NONE, .ca = ""), ASKS()));
    assert_false(resumes_across(ASKS(), ASKS(.session_seconds = 7200)));
}

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char data[4096];

    assert_non_null(in);
    assert_non_null(out);
    for (size_t n; (n = fread(data, 1, sizeof data, in)) > 0;)
        assert_int_equal(fwrite(data, 1, n, out), n);
    fclose(in);
    fclose(out);
}

/* The file of revocations keeps its name when its contents change. */
static void a_revoked_client_does_not_resume(void **state)
{
    char crl[] = "/tmp/wsock-test-crl-XXXXXX";
    struct wsi_tls_context *before, *after;
    struct wsi_tls_context *client = client_new(CLIENT(IDENTITY("bob")));
    const int fd = mkstemp(crl);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    copy_file(FILE_OF("clients.crl"), crl);
    before = server_new(ASKS(.crl = crl), NULL);
    copy_file(FILE_OF("clients_bob.crl"), crl);
    after = server_new(ASKS(.crl = crl), before);
    assert_int_equal(unlink(crl), 0); /* it was read */
    meet(before, client, "localhost", false);
    assert_secured();
    disconnect();
    meet(after, client, "localhost", false);
    assert_failed(&pair.server, WSOCK_TLS_REVOKED);
    disconnect();
    wsi_tls_context_unref(before);
    wsi_tls_context_unref(after);
    wsi_tls_context_unref(client);
}

/* ---- stapled answers ---- */

static int stapled;

static int on_stapled(SSL *ssl, void *arg)
{
    const unsigned char *response;

    (void)arg;
    stapled = (int)SSL_get_tlsext_status_ocsp_resp(ssl, &response);
    return 1;
}

static int staple_of(const struct wsi_tls_config *config, const char *host, bool tls12)
{
    struct wsi_tls_context *server = server_new(config, NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    stapled = -1;
    SSL_CTX_set_tlsext_status_cb(client->ssl_ctx, on_stapled);
    connect_to(server, client, host);
    if (tls12)
        only_tls12();
    SSL_set_tlsext_status_type(ssl_of(&pair.client), TLSEXT_STATUSTYPE_ocsp);
    handshake();
    assert_secured();
    disconnect();
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
    return stapled;
}

static void each_certificate_has_its_stapled_answer(void **state)
{
    const struct wsi_tls_config *both = CONFIG(
            .certificates = FILE_OF("good.pem") "," FILE_OF("a.pem"),
            .keys = FILE_OF("good.key") "," FILE_OF("a.key"),
            .ocsp = FILE_OF("good.ocsp") "," FILE_OF("a.ocsp"));

    (void)state;
    for (int tls12 = 0; tls12 < 2; tls12++) {
        assert_int_equal(staple_of(SERVER(), "localhost", tls12), -1);
        assert_true(staple_of(SERVER(.ocsp = FILE_OF("good.ocsp")), "localhost", tls12) >
                    0);
        assert_true(staple_of(both, "localhost", tls12) > 0);
        assert_true(staple_of(both, "a.test.example", tls12) > 0);
    }
}

static void on_warning(int level, const char *subject, const char *text, void *user)
{
    char *lines = user;
    const size_t len = strlen(lines);

    assert_int_equal(level, WSOCK_LOG_WARN);
    assert_string_equal(subject, "server");
    snprintf(lines + len, WSI_TLS_WHY_SIZE - len, "%s\n", text);
}

/* What a server warns of when it reads its files, a line for each. */
static void warnings_of(char lines[WSI_TLS_WHY_SIZE], struct wsi_tls_config config)
{
    struct wsi_log log;

    lines[0] = '\0';
    wsi_log_init(&log, WSOCK_LOG_DEBUG);
    assert_int_equal(wsi_log_set_hook(&log, on_warning, lines, NULL), 0);
    config.log = &log;
    wsi_tls_context_unref(server_new(&config, NULL));
    wsi_log_fini(&log);
}

static void assert_warned(const char *ocsp, const char *says)
{
    char lines[WSI_TLS_WHY_SIZE];

    warnings_of(lines, *SERVER(.ocsp = ocsp));
    if (says == NULL)
        assert_string_equal(lines, "");
    else if (strstr(lines, says) == NULL || strstr(lines, ocsp) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", lines, says);
}

static void each_file_has_its_own_warning(void **state)
{
    const time_t days = 24 * 3600;
    char lines[WSI_TLS_WHY_SIZE];
    const char *second;

    (void)state;
    later = 9001 * days;
    warnings_of(lines, *CONFIG(.certificates = FILE_OF("good.pem") "," FILE_OF(
                                   "expired.pem") "," FILE_OF("a.pem"),
                               .keys = FILE_OF("good.key") "," FILE_OF(
                                   "expired.key") "," FILE_OF("a.key"),
                               .ocsp = FILE_OF("good.ocsp") ",," FILE_OF("a.ocsp")));
    later = 0;
    assert_non_null(strstr(lines, "/good.ocsp is out of date"));
    second = strstr(lines, "/expired.pem has expired on 20");
    assert_non_null(second);
    assert_non_null(strstr(second, "\ntls_ocsp: " FILE_OF("a.ocsp") " is out of date"));
}

static void a_server_is_warned_of_its_own_dates(void **state)
{
    const struct {
        const struct wsi_tls_config *config;
        const char *says;
    } cases[] = {
        {CONFIG(IDENTITY("expired")), "/expired.pem has expired on 20"},
        {CONFIG(IDENTITY("future")), "/future.pem is not valid before 20"},
        {CONFIG(.certificates = FILE_OF("good.pem") "," FILE_OF("expired.pem"),
                .keys = FILE_OF("good.key") "," FILE_OF("expired.key")),
         "/expired.pem has expired on 20"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char lines[WSI_TLS_WHY_SIZE];

        warnings_of(lines, *cases[i].config);
        if (strstr(lines, cases[i].says) == NULL || strstr(lines, "good.pem") != NULL)
            fail_msg("\"%s\" lacks \"%s\"", lines, cases[i].says);
    }
}

static void an_answer_is_stapled_in_its_time(void **state)
{
    const time_t days = 24 * 3600;
    const struct wsi_tls_config *good = SERVER(.ocsp = FILE_OF("good.ocsp"));

    (void)state;
    assert_warned(FILE_OF("good.ocsp"), NULL);
    later = -2 * 365 * days; /* when it was not made yet */
    assert_warned(FILE_OF("good.ocsp"), "of the future, and is not stapled");
    assert_int_equal(staple_of(good, "localhost", false), -1);
    later = 9001 * days;
    assert_warned(FILE_OF("good.ocsp"), "out of date, and is not stapled");
    assert_int_equal(staple_of(good, "localhost", false), -1);
    assert_warned(FILE_OF("retired.ocsp"), "out of date, and is not stapled");
    assert_warned(FILE_OF("endless.ocsp"), NULL);
    assert_true(staple_of(SERVER(.ocsp = FILE_OF("endless.ocsp")), "localhost", false) >
                0);
    later = 0;
}

static void an_answer_that_grows_old_is_not_stapled_any_more(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(.ocsp = FILE_OF("good.ocsp")),
                                                NULL);
    struct wsi_tls_context *client = client_new(CLIENT());

    (void)state;
    SSL_CTX_set_tlsext_status_cb(client->ssl_ctx, on_stapled);
    for (int old = 0; old < 2; old++) {
        later = old * 9001 * 24 * 3600;
        connect_to(server, client, "localhost");
        SSL_set_tlsext_status_type(ssl_of(&pair.client), TLSEXT_STATUSTYPE_ocsp);
        handshake();
        assert_secured();
        assert_true(old ? stapled == -1 : stapled > 0);
        disconnect();
    }
    later = 0;
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void an_answer_with_a_malformed_time_is_an_error(void **state)
{
    struct wsi_tls_context *context = NULL;
    char path[] = "/tmp/wsock-ocsp-XXXXXX", why[WSI_TLS_WHY_SIZE];
    unsigned char der[4096];
    FILE *file = fopen(FILE_OF("good.ocsp"), "rb");
    const size_t len = file != NULL ? fread(der, 1, sizeof der, file) : 0;
    size_t at = 0;
    const int fd = mkstemp(path);

    (void)state;
    assert_true(len > 0 && fd >= 0);
    fclose(file);
    for (int times = 0; times < 3; times++) { /* producedAt, thisUpdate, nextUpdate */
        while (at + 2 < len && memcmp(der + at, "\x18\x0f", 2) != 0)
            at++;
        at += 2;
    }
    assert_true(at + 15 < len && der[at + 14] == 'Z');
    der[at] = 'X';
    assert_int_equal(write(fd, der, len), len);
    close(fd);
    assert_int_equal(wsi_tls_server_new(&context, SERVER(.ocsp = path), NULL, why),
                     WSOCK_ETLS);
    unlink(path);
    assert_non_null(strstr(why, "has a malformed time"));
}

static void an_answer_may_name_who_signs_and_how(void **state)
{
    (void)state;
    assert_true(staple_of(SERVER(.ocsp = FILE_OF("delegated.ocsp")), "localhost", false) >
                0);
    assert_true(staple_of(SERVER(.ocsp = FILE_OF("sha256.ocsp")), "localhost", false) >
                0);
}

/* ---- what is told ---- */

static void facts_tell_of_the_server(void **state)
{
    (void)state;
    meet_once(SERVER(), CLIENT(), "localhost");
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_SUBJECT, "CN=good");
    assert_fact(&pair.client, WSOCK_TLS_FACT_ISSUER, "CN=wsock test intermediate");
    assert_fact(&pair.client, WSOCK_TLS_FACT_NAMES,
                "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
    assert_fact(&pair.client, WSOCK_TLS_FACT_CHAIN,
                "CN=good\nCN=wsock test intermediate");
    assert_fact(&pair.client, WSOCK_TLS_FACT_SERVER_NAME, "localhost");
    assert_fact(&pair.server, WSOCK_TLS_FACT_SERVER_NAME, "localhost");
    assert_fact(&pair.client, WSOCK_TLS_FACT_PROTOCOL, "http/1.1");
    disconnect();
    meet_once(SERVER(), CLIENT(), "127.0.0.1");
    assert_fact(&pair.server, WSOCK_TLS_FACT_SERVER_NAME, NULL);
    disconnect();
}

/* The URI is "http://x/?a\b, DNS:evil". */
static void a_name_with_a_comma_stays_one(void **state)
{
    (void)state;
    meet_once(CONFIG(IDENTITY("odd")), CLIENT(), "localhost");
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_NAMES,
                "DNS:localhost, URI:http://x/?a\\5Cb\\2C DNS:evil");
    disconnect();
}

/* ---- what is wrong with files and settings ---- */

static void a_bad_setting_is_named_with_its_file(void **state)
{
    const struct {
        const struct wsi_tls_config *config;
        const char *option, *says;
    } cases[] = {
        {CONFIG(), "tls_certificate", "wss needs TLS"},
        {CONFIG(.certificates = "/nowhere.pem"), "tls_certificate",
         "/nowhere.pem: No such file or directory"},
        {CONFIG(.certificates = "/"), "tls_certificate", "/ has no certificate in PEM"},
        {CONFIG(.certificates = FILE_OF("garbage.pem")), "tls_certificate",
         "garbage.pem has no certificate in PEM"},
        {CONFIG(.certificates = FILE_OF("good.key")), "tls_certificate",
         "good.key has no certificate in PEM"},
        {CONFIG(.certificates = "/dev/null"), "tls_certificate",
         "/dev/null has no certificate in PEM"},
        {CONFIG(.certificates = FILE_OF("broken.pem"), .keys = FILE_OF("good.key")),
         "tls_certificate", "broken.pem: bad end line"},
        {CONFIG(.certificates = FILE_OF("good.pem")), "tls_key",
         "good.pem has no private key"},
        {SERVER(.keys = "/nowhere.key"), "tls_key",
         "/nowhere.key: No such file or directory"},
        {SERVER(.keys = "/dev/null/key"), "tls_key", "key: Not a directory"},
        {SERVER(.keys = FILE_OF("garbage.pem")), "tls_key",
         "garbage.pem has no private key"},
        {SERVER(.keys = FILE_OF("good.pem")), "tls_key", "good.pem has no private key"},
        {SERVER(.keys = "/dev/null"), "tls_key", "/dev/null has no private key"},
        {SERVER(.keys = "/"), "tls_key", "/ has no private key"},
        {SERVER(.keys = FILE_OF("rsa.key")), "tls_key", "rsa.key is not the key"},
        {SERVER(.keys = FILE_OF("encrypted.key")), "tls_key",
         "encrypted.key is protected by a password, which is not supported"},
        {SERVER(.keys = FILE_OF("good.key") "," FILE_OF("rsa.key")), "tls_key",
         "more files"},
        {SERVER(.ocsp = "/nowhere.ocsp"), "tls_ocsp",
         "/nowhere.ocsp: No such file or directory"},
        {SERVER(.ocsp = FILE_OF("garbage.pem")), "tls_ocsp",
         "garbage.pem is no OCSP response (DER)"},
        {SERVER(.ocsp = "/dev/null"), "tls_ocsp", "is no OCSP response (DER)"},
        {SERVER(.ocsp = "/"), "tls_ocsp", "cannot read /: Is a directory"},
        {SERVER(.ocsp = FILE_OF("a.ocsp")), "tls_ocsp", "a.ocsp is not about"},
        {SERVER(.ocsp = FILE_OF("usurped.ocsp")), "tls_ocsp", "ocsp is not signed by"},
        {SERVER(.ocsp = FILE_OF("foreign.ocsp")), "tls_ocsp", "ocsp is not signed by"},
        {SERVER(.ocsp = FILE_OF("retired.ocsp")), "tls_ocsp", "ocsp is not signed by"},
        {CONFIG(IDENTITY("revoked"), .ocsp = FILE_OF("revoked.ocsp")), "tls_ocsp",
         "revoked.ocsp does not say that it is good"},
        {SERVER(.ocsp = FILE_OF("good.ocsp") "," FILE_OF("a.ocsp")), "tls_ocsp",
         "more files"},
        {SERVER(.verify = WSI_TLS_VERIFY_REQUIRED), "tls_verify_client", "tls_ca"},
        {ASKS(.ca = "/nowhere.pem"), "tls_ca", "/nowhere.pem: No such file or directory"},
        {ASKS(.ca = FILE_OF("garbage.pem")), "tls_ca",
         "garbage.pem has no certificate in PEM"},
        {ASKS(.ca = "/dev/null"), "tls_ca", "/dev/null has no certificate in PEM"},
        {ASKS(.crl = "/nowhere.crl"), "tls_crl",
         "/nowhere.crl: No such file or directory"},
        {ASKS(.crl = FILE_OF("garbage.pem")), "tls_crl", "garbage.pem has no list"},
        {ASKS(.crl = FILE_OF("good.pem")), "tls_crl", "good.pem has no list"},
        {SERVER(.ciphers = "NO-SUCH"), "tls_ciphers", "NO-SUCH"},
        {SERVER(.ciphersuites = "NO-SUCH"), "tls_ciphersuites", "NO-SUCH"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wsi_tls_context *context = NULL;
        char why[WSI_TLS_WHY_SIZE];

        if (wsi_tls_server_new(&context, cases[i].config, NULL, why) != WSOCK_ETLS)
            fail_msg("case %zu (%s) was accepted", i, cases[i].says);
        assert_null(context);
        if (strstr(why, cases[i].option) == NULL || strstr(why, cases[i].says) == NULL)
            fail_msg("case %zu: \"%s\" lacks \"%s\" or \"%s\"", i, why, cases[i].option,
                     cases[i].says);
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void a_bad_pin_is_named(void **state)
{
    const char *const pins[] = {
        "x",
        "sha256//",
        "sha1//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
        "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA*=",
        "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ",
        ";",
        "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,sha256//",
    };

    (void)state;
    for (size_t i = 0; i < sizeof pins / sizeof pins[0]; i++) {
        struct wsi_tls_context *context = NULL;
        char why[WSI_TLS_WHY_SIZE];

        assert_int_equal(wsi_tls_client_new(&context, CLIENT(.pins = pins[i]), why),
                         WSOCK_ETLS);
        assert_non_null(strstr(why, "tls_pin"));
    }
}

static void files_may_be_in_any_order(void **state)
{
    (void)state;
    meet_once(CONFIG(.certificates = FILE_OF("together.pem")), CLIENT(), "localhost");
    assert_secured();
    disconnect();
    meet_once(SERVER(.certificates = FILE_OF("disordered.pem")), CLIENT(), "localhost");
    assert_secured();
    assert_fact(&pair.client, WSOCK_TLS_FACT_CHAIN,
                "CN=good\nCN=wsock test intermediate\nCN=wsock test root");
    disconnect();
    meet_once(SERVER(.certificates = FILE_OF("unchained.pem")), CLIENT(), "localhost");
    assert_failed(&pair.client, WSOCK_TLS_UNKNOWN_ISSUER);
    disconnect();
}

/* ---- memory ---- */

static void assert_arrives(const char *text)
{
    say(&pair.client, text, strlen(text));
    talk();
    assert_got(&pair.server, text);
    pair.server.got_len = 0;
}

static void buffers_may_be_kept_and_given_back(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());
    const struct wsi_filter_ops *ops;
    size_t without;

    (void)state;
    connect_to(server, client, "localhost");
    handshake();
    ops = pair.server.filter->ops;
    without = openssl_bytes;
    for (int i = 0; i < 3; i++) {
        ops->keep(pair.server.filter, true);
        assert_arrives("kept");
        assert_in_range(openssl_bytes, without + 16 * 1024, without + 20 * 1024);
        assert_arrives("once more");
        say(&pair.server, "ours", 4);
        assert_in_range(openssl_bytes, without + 32 * 1024, without + 40 * 1024);
        say(&pair.client, "in two pieces", 13);
        while (pair.client.out.len > 1) {
            receive(&pair.server, pair.client.out.data, 1);
            wsi_buf_consume(&pair.client.out, 1);
            ops->keep(pair.server.filter, false);
            assert_in_range(openssl_bytes, without + 32 * 1024, without + 40 * 1024);
        }
        say(&pair.server, " too", 4);
        assert_in_range(openssl_bytes, without + 16 * 1024, without + 20 * 1024);
        talk();
        assert_in_range(openssl_bytes, 1, without + 1024);
        assert_got(&pair.server, "in two pieces");
        pair.server.got_len = 0;
        ops->keep(pair.server.filter, true);
        assert_arrives("and between");
        say(&pair.server, "!", 1);
        ops->keep(pair.server.filter, false);
        assert_in_range(openssl_bytes, 1, without + 1024);
        talk();
        assert_got(&pair.client, "ours too!");
        pair.client.got_len = 0;
        assert_arrives("given back");
        assert_in_range(openssl_bytes, 1, without + 1024);
    }
    disconnect();
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

static void a_want_of_memory_is_no_memory(void **state)
{
    struct wsi_tls_context *context = NULL;
    char why[WSI_TLS_WHY_SIZE];
    int result;

    (void)state;
    FOR_EACH_OOM(
        result,
        result = wsi_tls_server_new(&context, SERVER(.session_seconds = 60), NULL, why),
        wsi_tls_context_unref(context));
    FOR_EACH_OOM(result, result = wsi_tls_client_new(&context, CLIENT(), why),
                 wsi_tls_context_unref(context));
}

static void a_connection_without_memory_says_so(void **state)
{
    struct wsi_tls_context *server = server_new(SERVER(.session_seconds = 60), NULL);
    struct wsi_tls_context *client = client_new(CLIENT());
    struct wsi_filter *filter;
    int result;

    (void)state;
    FOR_EACH_OOM(result, result = wsi_tls_accept(&filter, server),
                 filter->ops->free(filter));
    FOR_EACH_OOM(result, result = wsi_tls_connect(&filter, client, "localhost", true),
                 filter->ops->free(filter));
    connect_to(server, client, "localhost");
    begin_handshake();
    test_fail_allocation(1, false);
    carry(&pair.client, &pair.server, 0);
    test_stop_failing();
    assert_failed(&pair.server, WSOCK_TLS_NO_MEMORY);
    disconnect();
    wsi_tls_context_unref(server);
    wsi_tls_context_unref(client);
}

/* ---- without memory for OpenSSL ---- */

/* Contexts of all options that read files. */
static int make_server(void)
{
    struct wsi_tls_context *context = NULL;
    char why[WSI_TLS_WHY_SIZE];
    const int r = wsi_tls_server_new(&context,
                                     ASKS(.ocsp = FILE_OF("good.ocsp"),
                                          .crl = FILE_OF("clients.crl"),
                                          .certificates = FILE_OF("disordered.pem")),
                                     NULL, why);

    assert_int_equal(context != NULL, r == 0);
    wsi_tls_context_unref(context);
    return r;
}

static int make_client(void)
{
    struct wsi_tls_context *context = NULL;
    char why[WSI_TLS_WHY_SIZE];
    const int r = wsi_tls_client_new(
        &context, CLIENT(IDENTITY("alice"), .crl = FILE_OF("both.crl")), why);

    assert_int_equal(context != NULL, r == 0);
    wsi_tls_context_unref(context);
    return r;
}

/* @return how many allocations OpenSSL makes for it. */
static size_t heap_count(int (*act)(void))
{
    size_t left;

    heap_fail(SIZE_MAX / 2, false);
    assert_int_equal(act(), 0);
    left = heap_countdown;
    heap_stop_failing();
    return SIZE_MAX / 2 + 1 - left;
}

/*
 * Refuse each of the first and the last, and some of those between, which are a lot. When
 * one is refused OpenSSL may do without; when all are it cannot. What it keeps for the
 * next time is little; what we lose is seen by the sanitizer of leaks as well.
 */
static void refuse_each(int (*act)(void), size_t begin, size_t stride)
{
    const size_t count = (act(), heap_count(act));
    const size_t live = openssl_blocks;

    for (int ever = 0; ever < 2; ever++) {
        for (size_t n = 1; n <= count; n += n < begin || n + 300 > count ? 1 : stride) {
            int r;

            heap_fail(n, ever);
            r = act();
            heap_stop_failing();
            if (r != 0 && r != WSOCK_ENOMEM && r != WSOCK_ETLS)
                fail_msg("allocation %zu of %zu: %d", n, count, r);
            assert_int_equal(ERR_peek_error(), 0);
        }
    }
    assert_int_equal(act(), 0);
    assert_in_range(openssl_blocks, 0, live + 150);
}

static void contexts_survive_a_want_of_memory(void **state)
{
    (void)state;
    refuse_each(make_server, 500, 199);
    refuse_each(make_client, 500, 199);
}

static struct wsi_tls_context *poor_server, *poor_client;

/* @return 0 for a handshake, and a message; WSOCK_ENOMEM where an end cannot be made;
 * WSOCK_ETLS for ends that say that they failed. */
static int make_connection(void)
{
    int r;

    pair = (struct pair){0};
    r = wsi_tls_accept(&pair.server.filter, poor_server);
    if (r < 0)
        return r;
    r = wsi_tls_connect(&pair.client.filter, poor_client, "localhost", true);
    if (r < 0) {
        pair.server.filter->ops->free(pair.server.filter);
        return r;
    }
    handshake();
    if (pair.client.filter->ready && !pair.client.filter->failed) {
        say(&pair.client, "hello", 5);
        talk();
    }
    if (pair.server.filter->failed || pair.client.filter->failed) {
        const struct end *failed = pair.server.filter->failed ? &pair.server
                                                              : &pair.client;

        assert_int_not_equal(wsi_tls_failure(failed->filter).error, 0);
        assert_int_not_equal(strlen(wsi_tls_failure(failed->filter).why), 0);
        r = WSOCK_ETLS;
    } else {
        assert_got(&pair.server, "hello");
    }
    disconnect();
    return r;
}

static void connections_survive_a_want_of_memory(void **state)
{
    (void)state;
    poor_server = server_new(ASKS(), NULL);
    poor_client = client_new(CLIENT(IDENTITY("alice")));
    refuse_each(make_connection, 300, 11);
    wsi_tls_context_unref(poor_server);
    wsi_tls_context_unref(poor_client);
}

static void want_of_openssls_memory_is_named(void **state)
{
    (void)state;
    poor_server = server_new(SERVER(), NULL);
    poor_client = client_new(CLIENT());
    connect_to(poor_server, poor_client, "localhost");
    begin_handshake();
    heap_fail(1, true);
    carry(&pair.client, &pair.server, 0);
    heap_stop_failing();
    assert_failed(&pair.server, WSOCK_TLS_NO_MEMORY);
    disconnect();
    wsi_tls_context_unref(poor_server);
    wsi_tls_context_unref(poor_client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_goes_both_ways_in_every_version),
        TEST(an_idle_connection_keeps_no_buffers),
        TEST(the_streams_may_be_cut_anywhere),
        TEST(a_record_of_any_size_arrives),
        TEST(an_end_is_told_from_a_cut),
        TEST(what_is_not_tls_is_told),
        TEST(a_greeting_that_is_too_long_is_refused),
        TEST(the_second_greeting_is_measured_too),
        TEST(rubbish_never_becomes_data),
        TEST(a_changed_byte_of_a_record_is_noticed),
        TEST(updates_of_keys_are_answered_one_by_one),
        TEST(flood_of_updates_is_not_taken),
        TEST(renegotiation_is_refused),
        TEST(old_versions_are_refused),
        TEST(without_a_common_cipher_both_say_so),
        TEST(who_offers_other_protocols_only_is_refused),
        TEST(other_names_may_stand_for_it),
        TEST(each_alert_has_words),
        TEST(an_error_of_others_is_not_ours),
        TEST(each_fault_of_a_certificate_has_its_name),
        TEST(addresses_of_both_families_are_checked),
        TEST(a_failure_names_the_certificate),
        TEST(who_does_not_verify_is_told_all_the_same),
        TEST(revoked_certificates_are_refused),
        TEST(pins_hold_the_key),
        TEST(the_name_chooses_the_certificate),
        TEST(the_client_chooses_the_kind_of_key),
        TEST(strangers_learn_nothing_of_us),
        TEST(clients_show_certificates_if_asked),
        TEST(sessions_are_resumed_once_or_often),
        TEST(a_session_is_resumed_by_one_connection),
        TEST(without_a_lifetime_there_are_no_sessions),
        TEST(keys_of_tickets_are_made_anew),
        TEST(a_changed_ticket_only_costs_a_handshake),
        TEST(tickets_hold_where_the_same_clients_are_accepted),
        TEST(a_revoked_client_does_not_resume),
        TEST(each_certificate_has_its_stapled_answer),
        TEST(a_server_is_warned_of_its_own_dates),
        TEST(each_file_has_its_own_warning),
        TEST(an_answer_is_stapled_in_its_time),
        TEST(an_answer_that_grows_old_is_not_stapled_any_more),
        TEST(an_answer_with_a_malformed_time_is_an_error),
        TEST(an_answer_may_name_who_signs_and_how),
        TEST(facts_tell_of_the_server),
        TEST(a_name_with_a_comma_stays_one),
        TEST(a_bad_setting_is_named_with_its_file),
        TEST(a_bad_pin_is_named),
        TEST(files_may_be_in_any_order),
        TEST(buffers_may_be_kept_and_given_back),
        TEST(a_want_of_memory_is_no_memory),
        TEST(a_connection_without_memory_says_so),
        TEST(contexts_survive_a_want_of_memory),
        TEST(connections_survive_a_want_of_memory),
        TEST(want_of_openssls_memory_is_named),
    };

    if (CRYPTO_set_mem_functions(heap_alloc, heap_realloc, heap_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
