/* SPDX-License-Identifier: MIT */
/* Links to brokers, over loopback: each way to get there, to fail, and to end. */
#include "test.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if WSI_HAVE_TLS
#include <openssl/ssl.h>
#endif

#include <wsock/error.h>

#include "cluster/link.h"
#include "conn/worker.h"
#include "core/alloc.h"
#include "io/address.h"
#include "io/resolve.h"

static struct wsi_pool pool;

static void released(struct wsi_pool *p)
{
    (void)p;
}

static void begin(void)
{
    assert_int_equal(wsi_pool_init(&pool, released), 0);
    assert_int_equal(wsi_options_set_number(&pool.options, "workers", 2, false, NULL, 0),
                     0);
    assert_int_equal(wsi_pool_start(&pool), 0);
}

/* A link counts until after `closed`. */
static void end(void)
{
    pthread_mutex_lock(&pool.lock);
    while (pool.live > 0)
        pthread_cond_wait(&pool.changed, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    wsi_pool_end(&pool);
    wsi_pool_fini(&pool);
}

/* ---- a handler that writes down what happens, and may answer to it ---- */

struct probe {
    struct wsi_link_handler handler;
    struct wsi_link *link;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int opened, posted, timed, closed;
    size_t received, refused, sent;
    char data[256], why[512];
    void (*act)(struct probe *probe); /* on the worker, when it opened or was posted to */
    const char *say;
};

static struct probe *probe_of(struct wsi_link_handler *handler)
{
    return (struct probe *)(void *)handler;
}

static void count(struct probe *probe, int *what)
{
    pthread_mutex_lock(&probe->lock);
    ++*what;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
}

static void on_opened(struct wsi_link_handler *handler)
{
    struct probe *probe = probe_of(handler);

    if (probe->say != NULL)
        wsi_link_send(probe->link, probe->say, strlen(probe->say));
    if (probe->act != NULL)
        probe->act(probe);
    count(probe, &probe->opened);
}

static void on_received(struct wsi_link_handler *handler, const void *data, size_t len)
{
    struct probe *probe = probe_of(handler);

    pthread_mutex_lock(&probe->lock);
    for (size_t i = 0; i < len && probe->received + i < sizeof probe->data - 1; i++)
        probe->data[probe->received + i] = ((const char *)data)[i];
    probe->received += len;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
}

static void on_posted(struct wsi_link_handler *handler)
{
    struct probe *probe = probe_of(handler);

    if (probe->act != NULL)
        probe->act(probe);
    count(probe, &probe->posted);
}

static void on_timed(struct wsi_link_handler *handler)
{
    count(probe_of(handler), &probe_of(handler)->timed);
}

static void on_closed(struct wsi_link_handler *handler, const char *why)
{
    struct probe *probe = probe_of(handler);

    snprintf(probe->why, sizeof probe->why, "%s", why);
    count(probe, &probe->closed);
}

static void probe_init(struct probe *probe)
{
    memset(probe, 0, sizeof *probe);
    probe->handler = (struct wsi_link_handler){on_opened, on_received, on_posted,
                                               on_timed, on_closed};
    pthread_mutex_init(&probe->lock, NULL);
    pthread_cond_init(&probe->changed, NULL);
}

static void probe_open(struct probe *probe, const struct wsi_link_config *given)
{
    struct wsi_link_config config = *given;

    if (config.connect_timeout_ms == 0)
        config.connect_timeout_ms = 10000;
    if (config.output_bytes == 0)
        config.output_bytes = 1 << 20;
    /* The worker may be faster than the assignment of what open() gives. */
    pthread_mutex_lock(&probe->lock);
    assert_int_equal(wsi_link_open(&pool, &probe->link, &config, &probe->handler), 0);
    pthread_mutex_unlock(&probe->lock);
}

static void await(struct probe *probe, const int *what, int least)
{
    pthread_mutex_lock(&probe->lock);
    while (*what < least)
        pthread_cond_wait(&probe->changed, &probe->lock);
    pthread_mutex_unlock(&probe->lock);
}

static void await_bytes(struct probe *probe, size_t least)
{
    pthread_mutex_lock(&probe->lock);
    while (probe->received < least)
        pthread_cond_wait(&probe->changed, &probe->lock);
    pthread_mutex_unlock(&probe->lock);
}

static void close_it(struct probe *probe)
{
    wsi_link_close(probe->link);
}

static void is_ended(int fd)
{
    char byte;

    assert_true(recv(fd, &byte, 1, 0) <= 0);
}

/* From another thread than the worker's: by a post. @param fd (consumed) the other end,
 * or -1. */
static void probe_close(struct probe *probe, int fd)
{
    probe->act = close_it;
    wsi_link_post(probe->link);
    if (fd >= 0) {
        is_ended(fd);
        close(fd);
    }
    await(probe, &probe->closed, 1);
}

/* ---- the other end ---- */

static int listen_on(const char *host, uint16_t *port)
{
    struct wsi_address address;
    int fd;

    assert_true(wsi_address_numeric(&address, host, 0));
    assert_int_equal(wsi_listen(&address, 8, false, &fd), 0);
    assert_int_equal(wsi_address_local(&address, fd), 0);
    *port = wsi_address_port(&address);
    return fd;
}

static int accept_one(int listener)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};

    assert_int_equal(poll(&ready, 1, 10000), 1);
    return accept(listener, NULL, NULL);
}

static void expect(int fd, const char *text)
{
    char data[256];
    const size_t len = strlen(text);

    assert_int_equal(recv(fd, data, len, MSG_WAITALL), (ssize_t)len);
    assert_memory_equal(data, text, len);
}

static int lookup_here(const char *host, uint16_t port, struct wsi_address *out,
                       size_t max, size_t *found)
{
    (void)max;
    if (strcmp(host, "broker.test") != 0)
        return EAI_NONAME;
    wsi_address_numeric(out, "127.0.0.1", port);
    *found = 1;
    return 0;
}

/* ---- cases ---- */

static void a_link_carries_bytes_both_ways(void **state)
{
    struct probe probe;
    uint16_t port;
    int listener, fd;

    (void)state;
    begin();
    listener = listen_on("127.0.0.1", &port);
    probe_init(&probe);
    probe.say = "hello";
    probe_open(&probe, &(struct wsi_link_config){.host = "127.0.0.1", .port = port});
    fd = accept_one(listener);
    expect(fd, "hello");
    assert_int_equal(send(fd, "welcome", 7, 0), 7);
    await_bytes(&probe, 7);
    assert_string_equal(probe.data, "welcome");
    probe_close(&probe, fd);
    assert_string_equal(probe.why, "closed");
    close(listener);
    end();
}

static void a_name_is_looked_up(void **state)
{
    struct probe probe;
    uint16_t port;
    int listener, fd;

    (void)state;
    begin();
    listener = listen_on("127.0.0.1", &port);
    wsi_resolve_set_lookup(lookup_here);
    probe_init(&probe);
    probe.say = "hello";
    probe_open(&probe, &(struct wsi_link_config){.host = "broker.test", .port = port});
    fd = accept_one(listener);
    expect(fd, "hello");
    await(&probe, &probe.opened, 1);
    probe_close(&probe, fd);

    probe_init(&probe);
    probe_open(&probe, &(struct wsi_link_config){.host = "nobody.test", .port = port});
    await(&probe, &probe.closed, 1);
    assert_non_null(strstr(probe.why, "cannot resolve nobody.test: "));
    assert_int_equal(probe.opened, 0);
    wsi_resolve_quiesce();
    wsi_resolve_set_lookup(NULL);
    close(listener);
    end();
}

static void a_unix_socket_is_connected_to(void **state)
{
    struct wsi_address address;
    struct probe probe;
    char path[64];
    int listener, fd;

    (void)state;
    begin();
    snprintf(path, sizeof path, "/tmp/wsock-link-%d", (int)getpid());
    assert_int_equal(wsi_address_unix(&address, path), 0);
    assert_int_equal(wsi_listen(&address, 1, false, &listener), 0);
    probe_init(&probe);
    probe.say = "hello";
    probe_open(&probe, &(struct wsi_link_config){.host = path});
    fd = accept_one(listener);
    expect(fd, "hello");
    await(&probe, &probe.opened, 1);
    probe_close(&probe, fd);
    close(listener);
    unlink(path);
    end();
}

static void who_refuses_is_named(void **state)
{
    struct probe probe;
    char expected[64];
    uint16_t port;

    (void)state;
    begin();
    close(listen_on("127.0.0.1", &port));
    probe_init(&probe);
    probe_open(&probe, &(struct wsi_link_config){.host = "127.0.0.1", .port = port});
    await(&probe, &probe.closed, 1);
    snprintf(expected, sizeof expected, "cannot connect to 127.0.0.1:%u: ", port);
    assert_non_null(strstr(probe.why, expected));
    end();
}

static void an_end_by_the_broker_is_told(void **state)
{
    struct probe probe;
    uint16_t port;
    int listener, fd;

    (void)state;
    begin();
    listener = listen_on("127.0.0.1", &port);
    probe_init(&probe);
    probe_open(&probe, &(struct wsi_link_config){.host = "127.0.0.1", .port = port});
    fd = accept_one(listener);
    await(&probe, &probe.opened, 1);
    close(fd);
    await(&probe, &probe.closed, 1);
    assert_string_equal(probe.why, "the broker ended the connection");
    close(listener);
    end();
}

/* TLS never begins at the other end, which only listens. */
static void opening_has_a_time_limit(void **state)
{
    struct wsi_link_tls_config files = {.verify = false};
    struct wsi_tls_context *tls = NULL;
    struct probe probe;
    char why[256];
    uint16_t port;
    int listener;

    (void)state;
    begin();
    if (wsi_link_tls_new(&tls, &files, why, sizeof why) == 0) {
        listener = listen_on("127.0.0.1", &port);
        probe_init(&probe);
        probe_open(&probe, &(struct wsi_link_config){.host = "127.0.0.1",
                                                     .port = port,
                                                     .tls = tls,
                                                     .connect_timeout_ms = 30});
        await(&probe, &probe.closed, 1);
        assert_string_equal(probe.why, "127.0.0.1 was not reached in time");
        assert_int_equal(probe.opened, 0);
        close(listener);
    }
    wsi_link_tls_free(tls);
    end();
}

static void send_much(struct probe *probe)
{
    char piece[8192] = {0};
    int r;

    while ((r = wsi_link_send(probe->link, piece, sizeof piece)) == 0)
        probe->sent += sizeof piece;
    probe->refused += r == WSOCK_EAGAIN;
}

static void output_is_bounded(void **state)
{
    struct probe probe;
    uint16_t port;
    int listener, fd;
    size_t got = 0;
    char data[65536];
    ssize_t n;

    (void)state;
    begin();
    listener = listen_on("127.0.0.1", &port);
    probe_init(&probe);
    probe.act = send_much;
    probe_open(&probe, &(struct wsi_link_config){
                           .host = "127.0.0.1", .port = port, .output_bytes = 100000});
    fd = accept_one(listener);
    await(&probe, &probe.opened, 1);
    assert_int_equal(probe.refused, 1);
    /* A close lets leave what was queued. */
    probe.act = close_it;
    wsi_link_post(probe.link);
    while ((n = recv(fd, data, sizeof data, 0)) > 0)
        got += (size_t)n;
    assert_int_equal(got, probe.sent);
    close(fd);
    await(&probe, &probe.closed, 1);
    close(listener);
    end();
}

/* Nobody reads, and closing takes a second all the same. */
static void a_close_does_not_wait_for_ever(void **state)
{
    struct probe probe;
    uint16_t port;
    int listener, fd;

    (void)state;
    begin();
    listener = listen_on("127.0.0.1", &port);
    probe_init(&probe);
    probe.act = send_much;
    probe_open(&probe, &(struct wsi_link_config){
                           .host = "127.0.0.1", .port = port, .output_bytes = 32 << 20});
    fd = accept_one(listener);
    await(&probe, &probe.opened, 1);
    probe_close(&probe, -1);
    close(fd);
    close(listener);
    end();
}

static void a_link_to_nowhere_has_posts_and_a_timer(void **state)
{
    struct probe probe;

    (void)state;
    begin();
    probe_init(&probe);
    probe_open(&probe, &(struct wsi_link_config){.host = NULL, .worker = 1});
    wsi_link_post(probe.link);
    await(&probe, &probe.posted, 1);
    assert_int_equal(probe.opened, 0);
    probe_close(&probe, -1);
    assert_int_equal(probe.timed, 0);
    end();
}

static void set_timers(struct probe *probe)
{
    probe->act = NULL;
    wsi_link_timer(probe->link, 100000);
    wsi_link_timer(probe->link, 1); /* instead */
}

static void stop_timer(struct probe *probe)
{
    probe->act = NULL;
    wsi_link_timer(probe->link, 0);
    wsi_link_timer(probe->link, UINT64_MAX);
}

static void a_timer_runs_once_unless_it_is_stopped(void **state)
{
    struct probe probe;

    (void)state;
    begin();
    probe_init(&probe);
    probe.act = set_timers;
    probe_open(&probe, &(struct wsi_link_config){.host = NULL});
    wsi_link_post(probe.link);
    await(&probe, &probe.timed, 1);
    probe.act = stop_timer;
    wsi_link_post(probe.link);
    await(&probe, &probe.posted, 2);
    probe_close(&probe, -1);
    assert_int_equal(probe.timed, 1);
    end();
}

enum { POSTERS = 4, POSTS = 2000 };
static atomic_int given;

static void *post_often(void *user)
{
    struct probe *probe = user;

    for (int i = 0; i < POSTS; i++) {
        atomic_fetch_add(&given, 1);
        wsi_link_post(probe->link);
    }
    return NULL;
}

static atomic_int seen;

static void look(struct probe *probe)
{
    (void)probe;
    atomic_store(&seen, atomic_load(&given));
}

static void posts_of_many_threads_are_all_heeded(void **state)
{
    pthread_t threads[POSTERS];
    struct probe probe;

    (void)state;
    begin();
    probe_init(&probe);
    probe.act = look;
    probe_open(&probe, &(struct wsi_link_config){.host = NULL});
    atomic_store(&given, 0);
    for (int i = 0; i < POSTERS; i++)
        pthread_create(&threads[i], NULL, post_often, &probe);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    /* What was given before the last post is seen by its `posted`. */
    while (atomic_load(&seen) < POSTERS * POSTS)
        sched_yield();
    probe_close(&probe, -1);
    end();
}

static void a_link_may_be_closed_as_it_opens(void **state)
{
    struct probe probe;
    uint16_t port;
    int listener, fd;

    (void)state;
    begin();
    listener = listen_on("127.0.0.1", &port);
    probe_init(&probe);
    probe.say = "bye";
    probe.act = close_it;
    probe_open(&probe, &(struct wsi_link_config){.host = "127.0.0.1", .port = port});
    fd = accept_one(listener);
    expect(fd, "bye");
    is_ended(fd);
    close(fd);
    await(&probe, &probe.closed, 1);
    assert_int_equal(probe.received, 0);
    close(listener);
    end();
}

static struct probe *victim;

/* On the same worker: it may have ended by itself. */
static void close_victim(struct probe *probe)
{
    (void)probe;
    if (victim->closed == 0)
        wsi_link_close(victim->link);
}

/* It is looked up, or connected, or has failed when it is closed: nothing of it is left.
 */
static void a_link_may_be_closed_while_it_opens(void **state)
{
    struct probe probe, closer;
    uint16_t port;

    (void)state;
    begin();
    close(listen_on("127.0.0.1", &port));
    wsi_resolve_set_lookup(lookup_here);
    probe_init(&closer);
    closer.act = close_victim;
    victim = &probe;
    probe_open(&closer, &(struct wsi_link_config){.host = NULL});
    for (int i = 0; i < 40; i++) {
        const char *host = i % 2 == 0 ? "broker.test" : "127.0.0.1";

        probe_init(&probe);
        probe_open(&probe, &(struct wsi_link_config){.host = host, .port = port});
        wsi_link_post(closer.link);
        await(&probe, &probe.closed, 1);
    }
    probe_close(&closer, -1);
    wsi_resolve_quiesce();
    wsi_resolve_set_lookup(NULL);
    end();
}

static void a_pool_that_ends_opens_no_links(void **state)
{
    const struct wsi_link_config config = {.host = NULL};
    struct wsi_link *link = NULL;
    struct probe probe;

    (void)state;
    begin();
    probe_init(&probe);
    wsi_pool_end(&pool);
    assert_int_equal(wsi_link_open(&pool, &link, &config, &probe.handler), WSOCK_ECLOSED);
    assert_null(link);
    wsi_pool_fini(&pool);
}

/* Whatever is refused, the call fails or `closed` comes. */
static void without_memory_a_link_still_ends(void **state)
{
    bool done = false;
    uint16_t port;
    int listener, fd;

    (void)state;
    begin();
    listener = listen_on("127.0.0.1", &port);
    for (size_t nth = 1; !done; nth++) {
        const struct wsi_link_config config = {.host = "127.0.0.1",
                                               .port = port,
                                               .connect_timeout_ms = 10000,
                                               .output_bytes = 1000};
        struct probe probe;
        int r;

        probe_init(&probe);
        probe.say = "x";
        test_fail_allocation(nth, true);
        pthread_mutex_lock(&probe.lock);
        r = wsi_link_open(&pool, &probe.link, &config, &probe.handler);
        pthread_mutex_unlock(&probe.lock);
        if (r == 0) {
            pthread_mutex_lock(&probe.lock);
            while (probe.opened == 0 && probe.closed == 0)
                pthread_cond_wait(&probe.changed, &probe.lock);
            pthread_mutex_unlock(&probe.lock);
        } else {
            assert_int_equal(r, WSOCK_ENOMEM);
        }
        done = test_stop_failing() == 0;
        if (r == 0 && probe.closed == 0) {
            probe.act = close_it;
            wsi_link_post(probe.link);
            while ((fd = accept(listener, NULL, NULL)) >= 0)
                close(fd); /* earlier ones, too */
            await(&probe, &probe.closed, 1);
        }
        assert_true(nth < 100);
    }
    close(listener);
    end();
}

/* ---- TLS ---- */

#if WSI_HAVE_TLS

struct tls_server {
    int listener;
    const char *identity;
    pthread_t thread;
};

/* One connection: what it says comes back. */
static void *serve_tls(void *user)
{
    const struct tls_server *server = user;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    char file[512], data[64];
    SSL *ssl = SSL_new(context);
    int fd, n;

    snprintf(file, sizeof file, "%s/%s.pem", CERTIFICATES, server->identity);
    SSL_use_certificate_file(ssl, file, SSL_FILETYPE_PEM);
    SSL_CTX_use_certificate_chain_file(context, file);
    snprintf(file, sizeof file, "%s/%s.key", CERTIFICATES, server->identity);
    SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM);
    SSL_free(ssl);
    ssl = SSL_new(context);
    fd = accept(server->listener, NULL, NULL);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1)
        while ((n = SSL_read(ssl, data, sizeof data)) > 0)
            SSL_write(ssl, data, n);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return NULL;
}

/* @param name (nullable) @return whether it opened; then the echo was heard. */
static bool talk_tls(struct probe *probe, const char *identity, const char *ca,
                     const char *name, bool verify)
{
    struct wsi_link_tls_config files = {.ca = ca, .verify = verify};
    struct tls_server server = {.identity = identity};
    struct wsi_tls_context *tls;
    char why[256];
    uint16_t port;

    server.listener = listen_on("127.0.0.1", &port);
    /* It was made nonblocking for a loop. */
    assert_int_equal(wsi_link_tls_new(&tls, &files, why, sizeof why), 0);
    probe_init(probe);
    probe->say = "hello";
    fcntl(server.listener, F_SETFL, 0);
    pthread_create(&server.thread, NULL, serve_tls, &server);
    probe_open(probe,
               &(struct wsi_link_config){
                   .host = "127.0.0.1", .port = port, .tls = tls, .server_name = name});
    wsi_link_tls_free(tls); /* the link has its own */
    pthread_mutex_lock(&probe->lock);
    while (probe->received < 5 && probe->closed == 0)
        pthread_cond_wait(&probe->changed, &probe->lock);
    pthread_mutex_unlock(&probe->lock);
    if (probe->closed == 0)
        probe_close(probe, -1);
    pthread_join(server.thread, NULL);
    close(server.listener);
    return probe->opened > 0;
}

static void the_certificate_is_verified(void **state)
{
    const char *root = CERTIFICATES "/root.pem", *foreign = CERTIFICATES "/foreign.pem";
    struct probe probe;

    (void)state;
    begin();
    assert_true(talk_tls(&probe, "good", root, NULL, true));
    assert_string_equal(probe.data, "hello");
    assert_true(talk_tls(&probe, "good", root, "localhost", true));
    assert_false(talk_tls(&probe, "good", root, "elsewhere.test", true));
    assert_non_null(strstr(probe.why, "TLS with 127.0.0.1:"));
    assert_false(talk_tls(&probe, "good", foreign, NULL, true));
    assert_false(talk_tls(&probe, "expired", root, NULL, true));
    assert_true(talk_tls(&probe, "expired", NULL, "elsewhere.test", false));
    assert_string_equal(probe.data, "hello");
    end();
}

static void files_that_are_not_there_are_named(void **state)
{
    struct wsi_link_tls_config files = {.ca = "/nonexistent/ca.pem", .verify = true};
    struct wsi_tls_context *tls = NULL;
    char why[256] = "";

    (void)state;
    assert_int_equal(wsi_link_tls_new(&tls, &files, why, sizeof why), WSOCK_ETLS);
    assert_non_null(strstr(why, "/nonexistent/ca.pem"));
    assert_null(tls);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_link_carries_bytes_both_ways),
        TEST(a_name_is_looked_up),
        TEST(a_unix_socket_is_connected_to),
        TEST(who_refuses_is_named),
        TEST(an_end_by_the_broker_is_told),
        TEST(opening_has_a_time_limit),
        TEST(output_is_bounded),
        TEST(a_close_does_not_wait_for_ever),
        TEST(a_link_to_nowhere_has_posts_and_a_timer),
        TEST(a_timer_runs_once_unless_it_is_stopped),
        TEST(posts_of_many_threads_are_all_heeded),
        TEST(a_link_may_be_closed_as_it_opens),
        TEST(a_link_may_be_closed_while_it_opens),
        TEST(a_pool_that_ends_opens_no_links),
        TEST(without_memory_a_link_still_ends),
#if WSI_HAVE_TLS
        TEST(the_certificate_is_verified),
        TEST(files_that_are_not_there_are_named),
#endif
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
