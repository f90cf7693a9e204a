/* SPDX-License-Identifier: MIT */
/* wss:// between servers and clients of the library, and peers that are OpenSSL alone. */
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#define FILE_OF(name) CERTIFICATES "/" name

/* ---- a world that speaks TLS ---- */

static void set_server(struct world *world, const char *option, const char *value)
{
    if (wsock_server_set(world->server, option, value) < 0)
        fail_msg("%s", wsock_server_error(world->server));
}

static void set_client(wsock_client *client, const char *option, const char *value)
{
    if (wsock_client_set(client, option, value) < 0)
        fail_msg("%s", wsock_client_error(client));
}

static void use_certificate(struct world *world, const char *name)
{
    char path[400];

    snprintf(path, sizeof path, "%s/%s.pem", CERTIFICATES, name);
    set_server(world, "tls_certificate", path);
    snprintf(path, sizeof path, "%s/%s.key", CERTIFICATES, name);
    set_server(world, "tls_key", path);
}

static void begin(struct world *world, const char *certificate)
{
    world_begin(world, 0);
    use_certificate(world, certificate);
}

static void listen_tls(struct world *world)
{
    world_listen(world, "wss://127.0.0.1:0");
}

static wsock_client *trusting(struct world *world, struct side *side)
{
    wsock_client *client = world_client(world, side);

    set_client(client, "tls_ca", FILE_OF("root.pem"));
    return client;
}

static void end(struct world *world, wsock_client *client, struct side *side)
{
    wsock_client_unref(client);
    world_end(world);
    side_fini(side);
}

/* ---- a peer that is OpenSSL on a socket ---- */

struct peer {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};

static void peer_connect(struct peer *peer, const char *url)
{
    peer->fd = raw_connect(url);
    peer->context = SSL_CTX_new(TLS_client_method());
    assert_non_null(peer->context);
    peer->ssl = SSL_new(peer->context);
    assert_non_null(peer->ssl);
    SSL_set_fd(peer->ssl, peer->fd);
    assert_int_equal(SSL_connect(peer->ssl), 1);
}

static void peer_write(struct peer *peer, const void *data, size_t len)
{
    assert_int_equal(SSL_write(peer->ssl, data, (int)len), (int)len);
}

/* Connected and upgraded on "/test". */
static void peer_open(struct peer *peer, const char *url)
{
    const char request[] = "GET /test HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char head[2048];
    size_t len = 0;

    peer_connect(peer, url);
    peer_write(peer, request, sizeof request - 1);
    while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) {
        assert_true(len < sizeof head);
        assert_int_equal(SSL_read(peer->ssl, head + len, 1), 1);
        len++;
    }
    assert_memory_equal(head, "HTTP/1.1 101", 12);
}

static void peer_close(struct peer *peer)
{
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    close(peer->fd);
}

/* ---- messages ---- */

static void messages_of_all_sizes_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 4095, 4096, 16000, 16384, 16385, 65535,
                                   65536, 200000, 1024 * 1024};
    const char *const modes[] = {"off", "shared", "dedicated"};
    char *data = malloc(1024 * 1024);

    (void)state;
    for (size_t i = 0; i < 1024 * 1024; i++)
        data[i] = (char)(i * 31 + i / 1000);
    for (size_t mode = 0; mode < 3; mode++) {
        struct world world;
        struct side side = {0};
        wsock_client *client;

        begin(&world, "good");
        world.side.echo = true;
        set_server(&world, "compression", modes[mode]);
        listen_tls(&world);
        client = trusting(&world, &side);
        set_client(client, "compression", modes[mode]);
        world_connect(&world, client, &side);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            const size_t kept = sizes[i] < sizeof side.data - 1 ? sizes[i]
                                                                : sizeof side.data - 1;

            assert_int_equal(wsock_conn_send(side.conn, WSOCK_BINARY, data, sizes[i]), 0);
            await(&side.messages, (int)i + 1);
            assert_int_equal(side.len, sizes[i]);
            assert_memory_equal(side.data, data, kept);
        }
        end(&world, client, &side);
    }
    free(data);
}

static void join(wsock_conn *conn, void *user)
{
    CHECK(wsock_room_join(user, conn) == 0);
}

static void rooms_reach_all_with_and_without_tls(void **state)
{
    enum { EACH = 5, MESSAGES = 200 };
    struct world world;
    struct side side = {0}, plain_side = {0};
    wsock_client *client, *plain;
    wsock_room *room = NULL;
    char url[300], text[3000];

    (void)state;
    begin(&world, "good");
    assert_int_equal(wsock_server_room(world.server, &room, "all"), 0);
    assert_int_equal(wsock_endpoint_on_open(world.endpoint, join, room, NULL), 0);
    set_server(&world, "compression", "shared");
    listen_tls(&world);
    world_listen(&world, "ws://127.0.0.1:0");
    assert_true(wsock_server_url(world.server, url, sizeof url - 6, 1) > 0);
    strcat(url, "/test");
    client = trusting(&world, &side);
    assert_int_equal(wsock_runtime_client(world.runtime, &plain, url), 0);
    side_client(&plain_side, plain);
    set_client(client, "compression", "shared");
    for (int i = 0; i < EACH; i++) {
        assert_int_equal(wsock_client_connect(client, NULL), 0);
        assert_int_equal(wsock_client_connect(plain, NULL), 0);
    }
    await(&side.opened, EACH);
    await(&plain_side.opened, EACH);
    memset(text, 'x', sizeof text);
    for (int i = 0; i < MESSAGES; i++)
        assert_int_equal(wsock_room_broadcast(room, WSOCK_TEXT, text, (size_t)i * 15),
                         2 * EACH);
    await(&side.messages, EACH * MESSAGES);
    await(&plain_side.messages, EACH * MESSAGES);
    assert_int_equal(side.len, (MESSAGES - 1) * 15);
    wsock_room_unref(room);
    wsock_client_unref(plain);
    end(&world, client, &side);
    side_fini(&plain_side);
}

enum { BURST = 1000, BURST_SIZE = 100 };

static void burst(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    static const char text[BURST_SIZE];

    (void)user, (void)data, (void)len;
    for (int i = 0; i < BURST; i++)
        CHECK(wsock_conn_send(conn, type, text, sizeof text) == 0);
}

static void count_records(int write, int version, int type, const void *data, size_t len,
                          SSL *ssl, void *arg)
{
    (void)version, (void)ssl;
    if (write == 0 && type == SSL3_RT_HEADER && len == SSL3_RT_HEADER_LENGTH &&
        *(const unsigned char *)data == SSL3_RT_APPLICATION_DATA)
        ++*(int *)arg;
}

/* What one turn says leaves in as few records as hold it, but for the ends of batches. */
static void messages_of_one_turn_share_records(void **state)
{
    const size_t wire = (size_t)BURST * (BURST_SIZE + 2);
    static char data[(size_t)BURST * (BURST_SIZE + 2)];
    struct world world;
    struct peer peer;
    int records = 0;

    (void)state;
    begin(&world, "good");
    wsock_endpoint_on_message(world.endpoint, burst, NULL, NULL);
    listen_tls(&world);
    peer_open(&peer, world.url);
    SSL_set_msg_callback(peer.ssl, count_records);
    SSL_set_msg_callback_arg(peer.ssl, &records);
    peer_write(&peer, "\x82\x80\0\0\0\0", 6);
    for (size_t got = 0; got < wire;) {
        const int n = SSL_read(peer.ssl, data, (int)(wire - got));

        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_in_range(records, wire / 16384 + 1, wire / 16384 + 4);
    peer_close(&peer);
    await(&world.side.closed, 1);
    world_end(&world);
}

static void close_codes_pass(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    begin(&world, "good");
    listen_tls(&world);
    client = trusting(&world, &side);
    for (int i = 0; i < 2; i++) {
        struct side *closer = i == 0 ? &side : &world.side;
        struct side *other = i == 0 ? &world.side : &side;

        world_connect(&world, client, &side);
        assert_int_equal(wsock_conn_close(closer->conn, 4001, "enough"), 0);
        await(&side.closed, i + 1);
        await(&world.side.closed, i + 1);
        assert_int_equal(other->cause, WSOCK_CAUSE_CLOSED);
        assert_int_equal(other->code, 4001);
        assert_string_equal(other->reason, "enough");
        assert_int_equal(side.tls_error + world.side.tls_error, 0);
    }
    end(&world, client, &side);
}

/* ---- what is not accepted, and how it is told ---- */

static struct side fails(const char *certificate, const char *host, const char *option,
                         const char *value)
{
    struct world world;
    struct side side = {0};
    wsock_client *client = NULL;
    char url[300];

    begin(&world, certificate);
    listen_tls(&world);
    snprintf(url, sizeof url, "wss://%s%s/test", host, strrchr(world.url, ':'));
    assert_int_equal(wsock_runtime_client(world.runtime, &client, url), 0);
    side_client(&side, client);
    set_client(client, "tls_ca", FILE_OF("root.pem"));
    if (option != NULL)
        set_client(client, option, value);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&side.closed, 1);
    end(&world, client, &side);
    assert_int_equal(side.opened, 0);
    assert_int_equal(side.code, 1006);
    assert_int_equal(world.side.opened, 0);
    return side;
}

static void each_fault_of_a_certificate_is_named(void **state)
{
    static const struct {
        const char *certificate, *host, *option, *value;
        int error;
        const char *says;
    } cases[] = {
        {"expired", "127.0.0.1", NULL, NULL, WSOCK_TLS_EXPIRED, "expired"},
        {"future", "127.0.0.1", NULL, NULL, WSOCK_TLS_NOT_YET_VALID, "not valid yet"},
        {"other", "localhost", NULL, NULL, WSOCK_TLS_WRONG_NAME, "another name"},
        {"other", "127.0.0.1", NULL, NULL, WSOCK_TLS_WRONG_NAME, "another name"},
        {"selfsigned", "127.0.0.1", NULL, NULL, WSOCK_TLS_SELF_SIGNED, "self-signed"},
        {"foreign_leaf", "127.0.0.1", NULL, NULL, WSOCK_TLS_UNKNOWN_ISSUER, "issuer"},
        {"good", "127.0.0.1", "tls_server_name", "else.example", WSOCK_TLS_WRONG_NAME,
         "another name"},
        {"good", "127.0.0.1", "tls_ca", "", WSOCK_TLS_UNKNOWN_ISSUER, "issuer"},
        {"revoked", "127.0.0.1", "tls_crl", FILE_OF("both.crl"), WSOCK_TLS_REVOKED,
         "revoked"},
        {"good", "127.0.0.1", "tls_pin",
         "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", WSOCK_TLS_PIN, "pinned"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct side side = fails(cases[i].certificate, cases[i].host,
                                       cases[i].option, cases[i].value);

        assert_int_equal(side.cause, WSOCK_CAUSE_CERTIFICATE);
        assert_int_equal(side.began, WSOCK_BY_PEER);
        assert_string_equal(wsock_tls_error_text(side.tls_error),
                            wsock_tls_error_text(cases[i].error));
        if (strstr(side.detail, cases[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", side.detail, cases[i].says);
    }
}

/* The certificate is for neither name of the URL. */
static void a_server_may_be_asked_for_by_another_name(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    begin(&world, "other");
    listen_tls(&world);
    client = trusting(&world, &side);
    set_client(client, "tls_server_name", "other.example");
    world_connect(&world, client, &side);
    assert_string_equal(wsock_conn_tls(world.side.conn, WSOCK_TLS_FACT_SERVER_NAME),
                        "other.example");
    assert_string_equal(wsock_request_host(wsock_conn_request(world.side.conn)),
                        strstr(world.url, "127.0.0.1"));
    end(&world, client, &side);
}

static void a_bad_setting_of_a_client_is_told_by_connect(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    begin(&world, "good");
    listen_tls(&world);
    client = trusting(&world, &side);
    set_client(client, "tls_ca", "/nowhere.pem");
    assert_int_equal(wsock_client_connect(client, NULL), WSOCK_ETLS);
    assert_non_null(strstr(wsock_client_error(client), "tls_ca"));
    assert_non_null(strstr(wsock_client_error(client), "/nowhere.pem"));
    set_client(client, "tls_ca", FILE_OF("root.pem"));
    world_connect(&world, client, &side);
    end(&world, client, &side);
}

struct waits {
    int without_tls, closed;
};

static void count_waits(wsock_client *client, const wsock_state_info *info, void *user)
{
    struct waits *waits = user;

    (void)client;
    if (info->state == WSOCK_STATE_WAITING && info->why->cause == WSOCK_CAUSE_TLS)
        tell(&waits->without_tls);
    if (info->state == WSOCK_STATE_CLOSED)
        tell(&waits->closed);
}

/* It makes no connection, so there is no on_close. */
static void a_setting_that_breaks_later_is_told_by_on_state(void **state)
{
    struct world world;
    struct side side = {0};
    struct waits waits = {0};
    wsock_client *client;

    (void)state;
    begin(&world, "good");
    listen_tls(&world);
    client = trusting(&world, &side);
    set_client(client, "reconnect_delay", "1ms");
    assert_int_equal(wsock_client_on_state(client, count_waits, &waits, NULL), 0);
    assert_int_equal(wsock_client_start(client), 0);
    await(&side.opened, 1);
    set_client(client, "tls_ca", "/nowhere.pem");
    assert_int_equal(wsock_conn_close(side.conn, 1000, NULL), 0);
    await(&waits.without_tls, 3);
    assert_int_equal(told(&side.closed), 1); /* that of the first one */
    set_client(client, "tls_ca", FILE_OF("root.pem"));
    await(&side.opened, 2);
    assert_int_equal(wsock_client_stop(client, 1000, NULL), 0);
    await(&waits.closed, 1);
    assert_int_equal(told(&side.closed), 2);
    end(&world, client, &side);
}

static void servers_that_speak_no_tls_are_told(void **state)
{
    static const struct {
        const char *says;
        int cause, error;
    } cases[] = {
        {NULL, WSOCK_CAUSE_TLS_TIMEOUT, WSOCK_TLS_NONE},
        {"", WSOCK_CAUSE_TLS, WSOCK_TLS_TRUNCATED},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", WSOCK_CAUSE_TLS, WSOCK_TLS_NOT_TLS},
        {"\x15\x03\x03\x00\x02\x02\x28", WSOCK_CAUSE_TLS, WSOCK_TLS_ALERT},
        {"\x16\x03\x03\x00\x02\x02\x28", WSOCK_CAUSE_TLS, WSOCK_TLS_TRUNCATED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wsock_runtime *runtime = NULL;
        wsock_client *client = NULL;
        struct side side = {0};
        char at[64], url[80];
        const int listening = raw_listen(at, sizeof at, 8);
        int fd;

        snprintf(url, sizeof url, "wss%s", at + 2);
        assert_int_equal(wsock_runtime_new(&runtime), 0);
        assert_int_equal(wsock_runtime_client(runtime, &client, url), 0);
        side_client(&side, client);
        if (cases[i].says == NULL)
            set_client(client, "tls_timeout", "100ms");
        assert_int_equal(wsock_client_connect(client, NULL), 0);
        fd = raw_accept(listening);
        if (cases[i].says != NULL) {
            raw_send(fd, cases[i].says, i < 3 ? strlen(cases[i].says) : 7);
            shutdown(fd, SHUT_WR);
        }
        await(&side.closed, 1);
        assert_int_equal(side.cause, cases[i].cause);
        assert_string_equal(wsock_tls_error_text(side.tls_error),
                            wsock_tls_error_text(cases[i].error));
        assert_int_equal(side.tls_alert, i == 3 ? 40 : 0);
        close(fd);
        close(listening);
        wsock_client_unref(client);
        assert_int_equal(wsock_runtime_free(runtime), 0);
    }
}

static void a_cut_stream_is_told_from_an_ended_one(void **state)
{
    struct world world;

    (void)state;
    begin(&world, "good");
    listen_tls(&world);
    for (int i = 0; i < 2; i++) {
        struct peer peer;

        peer_open(&peer, world.url);
        await(&world.side.opened, i + 1);
        if (i == 1)
            SSL_shutdown(peer.ssl);
        peer_close(&peer);
        await(&world.side.closed, i + 1);
        assert_int_equal(world.side.cause, WSOCK_CAUSE_LOST);
        assert_int_equal(world.side.tls_error,
                         i == 0 ? WSOCK_TLS_TRUNCATED : WSOCK_TLS_NONE);
    }
    world_end(&world);
}

static void a_broken_record_ends_an_open_connection(void **state)
{
    struct world world;
    struct peer peer;

    (void)state;
    begin(&world, "good");
    listen_tls(&world);
    peer_open(&peer, world.url);
    await(&world.side.opened, 1);
    raw_send(peer.fd, "\x17\x03\x03\x00\x20" "01234567890123456789012345678901", 37);
    shutdown(peer.fd, SHUT_WR); /* a server that has ended the stream waits for that */
    await(&world.side.closed, 1);
    assert_int_equal(world.side.cause, WSOCK_CAUSE_TLS);
    assert_int_equal(world.side.tls_error, WSOCK_TLS_PROTOCOL);
    assert_int_equal(world.side.code, 1006);
    peer_close(&peer);
    world_end(&world);
}

static void clients_without_their_certificate_are_refused(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    begin(&world, "good");
    set_server(&world, "tls_verify_client", "required");
    set_server(&world, "tls_ca", FILE_OF("clients.pem"));
    listen_tls(&world);
    client = trusting(&world, &side);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&side.closed, 1);
    assert_int_equal(side.cause, WSOCK_CAUSE_TLS);
    assert_int_equal(side.tls_error, WSOCK_TLS_ALERT);
    assert_int_equal(side.tls_alert, 116); /* certificate_required */
    set_client(client, "tls_certificate", FILE_OF("alice.pem"));
    set_client(client, "tls_key", FILE_OF("alice.key"));
    world_connect(&world, client, &side);
    assert_string_equal(wsock_conn_tls(world.side.conn, WSOCK_TLS_FACT_SUBJECT),
                        "CN=alice,O=wsock");
    end(&world, client, &side);
}

/* ---- facts and sessions ---- */

struct visitor {
    int asked;
    char subject[64], verified[64], fingerprint[80], pin[80];
};

static void note_visitor(wsock_request *request, void *user)
{
    struct visitor *visitor = user;

    snprintf(visitor->subject, sizeof visitor->subject, "%s",
             wsock_request_tls(request, WSOCK_TLS_FACT_SUBJECT));
    snprintf(visitor->verified, sizeof visitor->verified, "%s",
             wsock_request_tls(request, WSOCK_TLS_FACT_VERIFIED));
    snprintf(visitor->fingerprint, sizeof visitor->fingerprint, "%s",
             wsock_request_tls(request, WSOCK_TLS_FACT_FINGERPRINT));
    snprintf(visitor->pin, sizeof visitor->pin, "%s",
             wsock_request_tls(request, WSOCK_TLS_FACT_PIN));
    CHECK(wsock_request_accept(request, NULL) == 0);
    tell(&visitor->asked);
}

/* As OpenSSL has it from the file: SHA-256 of the certificate, and the pin of its key. */
static void read_prints(const char *path, char fingerprint[65], char pin[80])
{
    unsigned char digest[32], *key = NULL;
    FILE *file = fopen(path, "r");
    X509 *certificate;
    int len;

    assert_non_null(file);
    certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(certificate);
    assert_int_equal(X509_digest(certificate, EVP_sha256(), digest, NULL), 1);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(fingerprint + 2 * i, 3, "%02x", digest[i]);
    len = i2d_PUBKEY(X509_get0_pubkey(certificate), &key);
    assert_true(len > 0);
    assert_int_equal(EVP_Digest(key, (size_t)len, digest, NULL, EVP_sha256(), NULL), 1);
    memcpy(pin, "sha256//", 8);
    EVP_EncodeBlock((unsigned char *)pin + 8, digest, sizeof digest);
    OPENSSL_free(key);
    X509_free(certificate);
}

static void a_request_tells_who_shows_which_certificate(void **state)
{
    struct visitor visitor = {0};
    char fingerprint[65], pin[80];
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    read_prints(FILE_OF("alice.pem"), fingerprint, pin);
    begin(&world, "good");
    set_server(&world, "tls_verify_client", "optional");
    set_server(&world, "tls_ca", FILE_OF("clients.pem"));
    wsock_endpoint_on_request(world.endpoint, note_visitor, &visitor, NULL);
    listen_tls(&world);
    client = trusting(&world, &side);
    set_client(client, "tls_certificate", FILE_OF("alice.pem"));
    set_client(client, "tls_key", FILE_OF("alice.key"));
    for (int i = 0; i < 2; i++) { /* the second time by a session */
        world_connect(&world, client, &side);
        assert_string_equal(visitor.subject, "CN=alice,O=wsock");
        assert_string_equal(visitor.verified, "yes");
        assert_string_equal(visitor.fingerprint, fingerprint);
        assert_string_equal(visitor.pin, pin);
        assert_string_equal(wsock_conn_tls(world.side.conn, WSOCK_TLS_FACT_RESUMED),
                            i == 0 ? "no" : "yes");
    }
    read_prints(FILE_OF("good.pem"), fingerprint, pin);
    assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_FINGERPRINT),
                        fingerprint);
    assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_PIN), pin);
    end(&world, client, &side);
}

static void judge(wsock_request *request, void *user)
{
    const char *version = wsock_request_tls(request, WSOCK_TLS_FACT_VERSION);

    CHECK(version != NULL && strcmp(version, "TLSv1.3") == 0);
    CHECK(wsock_request_tls(request, WSOCK_TLS_FACT_SUBJECT) == NULL);
    CHECK(wsock_request_tls(request, -1) == NULL);
    CHECK(wsock_request_tls(request, 1000) == NULL);
    CHECK(wsock_request_accept(request, NULL) == 0);
    tell(user);
}

static void facts_are_known_at_both_ends(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    int judged = 0;

    (void)state;
    begin(&world, "good");
    wsock_endpoint_on_request(world.endpoint, judge, &judged, NULL);
    listen_tls(&world);
    client = trusting(&world, &side);
    for (int i = 0; i < 4; i++) {
        world_connect(&world, client, &side);
        assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_SUBJECT), "CN=good");
        assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_VERIFIED), "yes");
        assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_PROTOCOL),
                            "http/1.1");
        assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_RESUMED),
                            i == 0 ? "no" : "yes");
        assert_string_equal(wsock_conn_tls(world.side.conn, WSOCK_TLS_FACT_RESUMED),
                            i == 0 ? "no" : "yes");
        assert_int_equal(i % 2 ? wsock_conn_close(side.conn, 1000, NULL)
                               : wsock_conn_reset(side.conn),
                         0);
        await(&side.closed, i + 1);
        await(&world.side.closed, i + 1);
        /* They outlive the connection, as long as somebody holds it. */
        assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_VERSION), "TLSv1.3");
    }
    assert_int_equal(told(&judged), 4);
    end(&world, client, &side);
}

static void a_unix_socket_speaks_tls_too(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    char url[128];

    (void)state;
    begin(&world, "good");
    snprintf(url, sizeof url, "wss+unix:%s", world_unix_path());
    world_listen(&world, url);
    assert_string_equal(world.url, url);
    client = trusting(&world, &side);
    world_connect(&world, client, &side);
    assert_string_equal(wsock_conn_tls(world.side.conn, WSOCK_TLS_FACT_SERVER_NAME),
                        "localhost");
    end(&world, client, &side);
}

/* ---- bounds ---- */

static void a_silent_client_is_cut_off_in_time(void **state)
{
    struct world world;
    int fd;

    (void)state;
    begin(&world, "good");
    set_server(&world, "handshake_timeout", "100ms");
    listen_tls(&world);
    fd = raw_connect(world.url);
    assert_true(raw_is_ended(fd));
    close(fd);
    fd = raw_connect(world.url);
    raw_send(fd, "\x16\x03\x01\x02\x00\x01", 6);
    assert_true(raw_is_ended(fd));
    close(fd);
    world_end(&world);
}

static bool is_ended_now(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static void the_oldest_of_too_many_handshakes_is_cut(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    int fd[4];

    (void)state;
    world_begin(&world, 1);
    use_certificate(&world, "good");
    set_server(&world, "max_tls_handshakes", "3");
    listen_tls(&world);
    for (int i = 0; i < 3; i++)
        fd[i] = raw_connect(world.url);
    client = trusting(&world, &side);
    world_connect(&world, client, &side); /* is one of three for a while */
    assert_true(raw_is_ended(fd[0]));
    assert_false(is_ended_now(fd[1]));
    fd[3] = raw_connect(world.url); /* none too many: the client is done */
    assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "x", 1), 0);
    await(&world.side.messages, 1);
    assert_false(is_ended_now(fd[1]));
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    end(&world, client, &side);
}

enum { HANGING = 1000, CHATTING = 100, ROUNDS = 10 };

/* Each echo is answered by the next message, which says how many it follows. */
static void chat_on(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    const char next = (char)(*(const char *)data + 1);

    if (next < ROUNDS)
        CHECK(wsock_conn_send(conn, type, &next, len) == 0);
    tell(&((struct side *)user)->messages);
}

static void hanging_handshakes_do_not_disturb_a_chat(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    static int fd[HANGING];
    wsock_conn *conns[CHATTING];
    int64_t begun;

    (void)state;
    begin(&world, "good");
    world.side.echo = true;
    listen_tls(&world);
    client = trusting(&world, &side);
    assert_int_equal(wsock_client_on_message(client, chat_on, &side, NULL), 0);
    for (int i = 0; i < CHATTING; i++) {
        world_connect(&world, client, &side);
        conns[i] = wsock_conn_ref(side.conn);
    }
    for (int i = 0; i < HANGING; i++) {
        fd[i] = raw_connect(world.url);
        /* The beginning of a ClientHello. */
        raw_send(fd[i], "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    }
    begun = now_ms();
    for (int i = 0; i < CHATTING; i++)
        assert_int_equal(wsock_conn_send(conns[i], WSOCK_BINARY, "", 1), 0);
    await(&side.messages, CHATTING * ROUNDS);
    assert_true(now_ms() - begun < 5000);
    assert_int_equal(told(&side.closed), 0);
    for (int i = 0; i < HANGING; i++) {
        assert_false(is_ended_now(fd[i]));
        close(fd[i]);
    }
    for (int i = 0; i < CHATTING; i++)
        wsock_conn_unref(conns[i]);
    end(&world, client, &side);
}

static void a_slow_reader_is_bounded_and_loses_nothing(void **state)
{
    enum { MARK = 64 * 1024, SIZE = 10000 };
    struct world world;
    struct peer peer;
    char *data = calloc(1, SIZE + 4);
    size_t sent = 0, got = 0;
    int r;

    (void)state;
    begin(&world, "good");
    wsock_server_set_int64(world.server, "max_backlog_bytes", MARK);
    listen_tls(&world);
    peer_open(&peer, world.url);
    await(&world.side.opened, 1);
    /* Until on_drain does not come any more. */
    for (bool full = false; !full;) {
        const int drained = told(&world.side.drained);

        r = wsock_conn_send(world.side.conn, WSOCK_BINARY, data, SIZE);
        assert_true(r == 0 || r == WSOCK_EAGAIN);
        /* The one that the worker is taking over may count twice. */
        assert_true(wsock_conn_buffered(world.side.conn) < MARK + 2 * (SIZE + 4));
        sent += r == 0 ? SIZE + 4 : 0;
        full = r != 0 && stays_below(&world.side.drained, drained + 1, 500);
    }
    assert_true(sent > MARK);
    while (got < sent) {
        const int n = SSL_read(peer.ssl, data, SIZE);

        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(got, sent);
    assert_int_equal(wsock_conn_send(world.side.conn, WSOCK_BINARY, data, SIZE), 0);
    assert_int_equal(SSL_read(peer.ssl, data, 4), 4);
    assert_int_equal(told(&world.side.closed), 0);
    peer_close(&peer);
    await(&world.side.closed, 1);
    world_end(&world);
    free(data);
}

static void a_server_stops_within_handshakes(void **state)
{
    struct world world;
    int64_t begun;
    int fd[20];

    (void)state;
    begin(&world, "good");
    listen_tls(&world);
    for (int i = 0; i < 20; i++) {
        fd[i] = raw_connect(world.url);
        if (i % 2)
            raw_send(fd[i], "\x16\x03\x01\x02\x00\x01", 6);
    }
    begun = now_ms();
    world_end(&world);
    assert_true(now_ms() - begun < 3000);
    for (int i = 0; i < 20; i++) {
        assert_true(raw_is_ended(fd[i]));
        close(fd[i]);
    }
}

enum { LAST = 40 * 1024 }; /* leaves at the end of a turn, with the close frame */

struct last_words {
    int spoken;
    size_t len;
};

static void speak_and_close(wsock_conn *conn, int type, const void *data, size_t len,
                            void *user)
{
    struct last_words *words = user;
    char *text = calloc(1, words->len);

    (void)type, (void)data, (void)len;
    CHECK(text != NULL && wsock_conn_send(conn, WSOCK_BINARY, text, words->len) == 0);
    CHECK(wsock_conn_send(conn, WSOCK_BINARY, text, LAST) == 0);
    CHECK(wsock_conn_close(conn, 1000, NULL) == 0);
    free(text);
    tell(&words->spoken);
}

/* Read everything. @return how many bytes. */
static size_t peer_drain(struct peer *peer)
{
    char data[8192];
    size_t total = 0;
    int n;

    while ((n = SSL_read(peer->ssl, data, sizeof data)) > 0)
        total += (size_t)n;
    return total;
}

/* All was said, and some of it lies encoded because the socket does not take it. For one
 * of the sizes nothing else is left. */
static void a_stop_waits_for_what_is_encoded(void **state)
{
    (void)state;
    for (size_t len = 70 * 1024; len < 400 * 1024; len += 30 * 1024) {
        struct last_words words = {.len = len};
        struct pollfd readable = {.events = POLLIN};
        struct world world;
        struct peer peer;
        char url[128];

        begin(&world, "good");
        wsock_endpoint_on_message(world.endpoint, speak_and_close, &words, NULL);
        snprintf(url, sizeof url, "wss+unix:%s", world_unix_path());
        world_listen(&world, url);
        peer_open(&peer, world.url);
        /* An empty message, and the close frame that answers the server's. */
        peer_write(&peer, "\x81\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8", 14);
        await(&words.spoken, 1);
        readable.fd = peer.fd;
        assert_int_equal(poll(&readable, 1, 30000), 1); /* that turn has flushed */
        wsock_server_free(world.server);
        world.server = NULL;
        assert_int_equal(peer_drain(&peer), len + 10 + LAST + 4 + 4);
        peer_close(&peer);
        world_end(&world);
    }
}

static void a_client_stops_within_its_handshake(void **state)
{
    wsock_runtime *runtime = NULL;
    wsock_client *client = NULL;
    struct side side = {0};
    char at[64], url[80];
    const int listening = raw_listen(at, sizeof at, 8);
    int fd;

    (void)state;
    snprintf(url, sizeof url, "wss%s", at + 2);
    assert_int_equal(wsock_runtime_new(&runtime), 0);
    assert_int_equal(wsock_runtime_client(runtime, &client, url), 0);
    side_client(&side, client);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    fd = raw_accept(listening);
    wsock_client_unref(client);
    assert_int_equal(wsock_runtime_free(runtime), 0);
    assert_int_equal(side.closed, 1);
    assert_int_equal(side.cause, WSOCK_CAUSE_STOPPED);
    close(fd);
    close(listening);
}

/* ---- reloading ---- */

/* Once more around, for as long as the test goes on. */
static void echo_for_ever(wsock_conn *conn, int type, const void *data, size_t len,
                          void *user)
{
    wsock_conn_send(conn, type, data, len);
    tell(&((struct side *)user)->messages);
}

static void reloads_lose_no_connection(void **state)
{
    enum { CLIENTS = 20, RELOADS = 40 };
    struct world world;
    struct side side = {0};
    wsock_client *client;
    int seen_rsa = 0, seen_good = 0;

    (void)state;
    begin(&world, "good");
    wsock_endpoint_on_message(world.endpoint, echo_for_ever, &world.side, NULL);
    listen_tls(&world);
    client = trusting(&world, &side);
    wsock_client_on_message(client, echo_for_ever, &side, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        world_connect(&world, client, &side);
        assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "round", 5), 0);
    }
    set_server(&world, "tls_session_lifetime", "off");
    for (int i = 0; i < RELOADS; i++) {
        const int before = told(&side.messages);
        const char *subject;

        use_certificate(&world, i % 2 ? "good" : "rsa");
        assert_int_equal(wsock_server_reload(world.server), 0);
        world_connect(&world, client, &side);
        subject = wsock_conn_tls(side.conn, WSOCK_TLS_FACT_SUBJECT);
        seen_rsa += strcmp(subject, "CN=rsa") == 0;
        seen_good += strcmp(subject, "CN=good") == 0;
        await(&side.messages, before + CLIENTS);
    }
    assert_int_equal(seen_rsa, RELOADS / 2);
    assert_int_equal(seen_good, RELOADS / 2);
    assert_int_equal(told(&side.closed), 0);
    end(&world, client, &side);
}

static void a_bad_reload_changes_nothing(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    begin(&world, "good");
    listen_tls(&world);
    client = trusting(&world, &side);
    set_server(&world, "tls_certificate", FILE_OF("garbage.pem"));
    assert_int_equal(wsock_server_reload(world.server), WSOCK_ETLS);
    assert_non_null(strstr(wsock_server_error(world.server), "tls_certificate"));
    assert_non_null(strstr(wsock_server_error(world.server), "garbage.pem"));
    world_connect(&world, client, &side);
    assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_SUBJECT), "CN=good");
    use_certificate(&world, "rsa");
    assert_int_equal(wsock_server_reload(world.server), 0);
    set_client(client, "tls_pin", ""); /* forgets its sessions */
    world_connect(&world, client, &side);
    assert_string_equal(wsock_conn_tls(side.conn, WSOCK_TLS_FACT_SUBJECT), "CN=rsa");
    end(&world, client, &side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_of_all_sizes_come_back),
        TEST(rooms_reach_all_with_and_without_tls),
        TEST(messages_of_one_turn_share_records),
        TEST(close_codes_pass),
        TEST(each_fault_of_a_certificate_is_named),
        TEST(a_server_may_be_asked_for_by_another_name),
        TEST(a_bad_setting_of_a_client_is_told_by_connect),
        TEST(a_setting_that_breaks_later_is_told_by_on_state),
        TEST(servers_that_speak_no_tls_are_told),
        TEST(a_cut_stream_is_told_from_an_ended_one),
        TEST(a_broken_record_ends_an_open_connection),
        TEST(clients_without_their_certificate_are_refused),
        TEST(a_request_tells_who_shows_which_certificate),
        TEST(facts_are_known_at_both_ends),
        TEST(a_unix_socket_speaks_tls_too),
        TEST(a_silent_client_is_cut_off_in_time),
        TEST(the_oldest_of_too_many_handshakes_is_cut),
        TEST(hanging_handshakes_do_not_disturb_a_chat),
        TEST(a_slow_reader_is_bounded_and_loses_nothing),
        TEST(a_server_stops_within_handshakes),
        TEST(a_stop_waits_for_what_is_encoded),
        TEST(a_client_stops_within_its_handshake),
        TEST(reloads_lose_no_connection),
        TEST(a_bad_reload_changes_nothing),
    };

    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to its peers' sockets */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
