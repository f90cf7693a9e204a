/* SPDX-License-Identifier: MIT */
/*
 * What is special to Redis: who may use it and how it is reached, and all that can be
 * wrong with it, from a restart to answers that are none. The servers are real ones;
 * what they would not do, a proxy does for them.
 */
#include "nodes.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hiredis.h>

#include "brokers.h"
#include "proxy.h"

static struct redis shared; /* for tests that leave it as it was */
static char shared_url[64];
static const char *self; /* this program */

static const char *url_of(uint16_t port)
{
    static char url[64];

    snprintf(url, sizeof url, "redis://127.0.0.1:%u", port);
    return url;
}

static const char *last_why(struct node *node)
{
    return node_event(node, AWAY, NULL, node_count(node, AWAY, NULL) - 1)->name;
}

/* It works: a message comes back, one is kept. */
static void it_works(struct node *node, const char *room)
{
    const size_t before = node_count(node, PLAIN, room);

    if (node_count(node, SUBSCRIBED, room) == 0)
        node_subscribe(node, room);
    say(node, room, "hello");
    node_await(node, PLAIN, room, before + 1);
    keep(node, room, "kept", 0);
}

/* ---- how it is reached ---- */

static void who_may_use_it_is_asked(void **state)
{
    struct redis redis;
    struct node node;
    char url[128];

    (void)state;
    redis_start(&redis, (const char *const[]){"--port", "PORT", "--requirepass",
                                              "top%secret", "--user", "app", "on",
                                              ">p@ss:w/d", "~*", "&*", "+@all", NULL});
    nodes_begin();
    snprintf(url, sizeof url, "redis://:top%%25secret@127.0.0.1:%u", redis.port);
    node_join(&node, url);
    it_works(&node, "a");
    node_close(&node);
    snprintf(url, sizeof url, "redis://app:p%%40ss%%3Aw%%2Fd@127.0.0.1:%u", redis.port);
    node_join(&node, url);
    it_works(&node, "a");
    node_close(&node);
    snprintf(url, sizeof url, "redis://app:geheim@127.0.0.1:%u", redis.port);
    node_init(&node, url);
    node_open(&node);
    node_await(&node, AWAY, NULL, 1);
    assert_non_null(strstr(last_why(&node), "WRONGPASS"));
    assert_null(strstr(last_why(&node), "geheim"));
    node_close(&node);
    node_init(&node, url_of(redis.port));
    node_open(&node);
    node_await(&node, AWAY, NULL, 1);
    assert_non_null(strstr(last_why(&node), "NOAUTH"));
    node_close(&node);
    nodes_end();
    redis_end(&redis);
}

/* Some repeat what they were told. */
static void a_password_is_told_to_nobody(void **state)
{
    static const char echo[] = "-ERR unknown command 'AUTH', with args beginning with: "
                               "'app' 'geheim'\r\n";
    struct proxy proxy;
    struct node node;
    char url[128], why[WSI_BUS_WHY_SIZE];

    (void)state;
    nodes_begin();
    proxy_start(&proxy, 0);
    proxy_set(&proxy, PROXY_FAKE, echo, sizeof echo - 1);
    snprintf(url, sizeof url, "redis://app:geheim@127.0.0.1:%u", proxy.port);
    node_init(&node, url);
    node_open(&node);
    node_await(&node, AWAY, NULL, 1);
    assert_null(strstr(last_why(&node), "geheim"));
    node_close(&node);
    proxy_stop(&proxy);
    node_init(&node, "redis://app:geheim@host:99999");
    assert_int_equal(node_try_open(&node, why), WSOCK_EURL);
    assert_null(strstr(why, "geheim"));
    assert_non_null(strstr(why, "port"));
    nodes_end();
}

static void a_database_is_chosen(void **state)
{
    struct node node;
    char url[80];

    (void)state;
    nodes_begin();
    snprintf(url, sizeof url, "%s/3", shared_url);
    node_join(&node, url);
    it_works(&node, "chosen");
    assert_non_null(strstr(redis_ask(shared.port, NULL, "INFO keyspace"), "db3:"));
    node_close(&node);
    nodes_end();
    redis_ask(shared.port, NULL, "FLUSHALL");
}

static void a_unix_socket_is_enough(void **state)
{
    char path[64], url[128];
    struct redis redis;
    struct node node;

    (void)state;
    snprintf(path, sizeof path, "/tmp/wsock-redis-%d.sock", (int)getpid());
    redis_start(&redis, (const char *const[]){"--port", "0", "--unixsocket", path, NULL});
    nodes_begin();
    snprintf(url, sizeof url, "redis+unix:%s?db=2", path);
    node_join(&node, url);
    it_works(&node, "a");
    node_close(&node);
    nodes_end();
    redis_end(&redis);
    unlink(path); /* who is killed leaves it */
}

#if WSI_HAVE_TLS
static void tls_is_verified_in_both_directions(void **state)
{
    struct redis redis;
    struct node node;
    char url[64];

    (void)state;
    redis_start(&redis, (const char *const[]){"--port", "0", "--tls-port", "PORT",
                                              "--tls-cert-file", CERTIFICATES "/good.pem",
                                              "--tls-key-file", CERTIFICATES "/good.key",
                                              "--tls-ca-cert-file",
                                              CERTIFICATES "/clients.pem", NULL});
    nodes_begin();
    snprintf(url, sizeof url, "rediss://localhost:%u", redis.port);
    node_init(&node, url);
    node.config.ca = CERTIFICATES "/root.pem";
    node.config.cert = CERTIFICATES "/alice.pem";
    node.config.key = CERTIFICATES "/alice.key";
    node_up(&node);
    it_works(&node, "a");
    node_close(&node);

    node_init(&node, url);
    node.config.ca = CERTIFICATES "/foreign.pem";
    node_open(&node);
    node_await(&node, AWAY, NULL, 1);
    assert_non_null(strstr(last_why(&node), "TLS with "));
    assert_int_equal(node_count(&node, UP, NULL), 0);
    node_close(&node);

    node_init(&node, url); /* it wants to see a certificate of ours */
    node.config.ca = CERTIFICATES "/root.pem";
    node_open(&node);
    node_await(&node, AWAY, NULL, 1);
    assert_int_equal(node_count(&node, UP, NULL), 0);
    node_close(&node);
    nodes_end();
    redis_end(&redis);
}
#endif

static void hosts_are_tried_until_one_is_a_master(void **state)
{
    struct redis replica;
    struct node node;
    char url[128];

    (void)state;
    redis_start(&replica, NULL);
    redis_ask(replica.port, NULL, "REPLICAOF 127.0.0.1 %u", shared.port);
    nodes_begin();
    node_init(&node, url_of(replica.port));
    node_open(&node);
    node_await(&node, AWAY, NULL, 1);
    assert_non_null(strstr(last_why(&node), "it is a replica"));
    assert_int_equal(node_count(&node, UP, NULL), 0);
    node_close(&node);
    snprintf(url, sizeof url, "redis://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
             free_port(), replica.port, shared.port);
    for (int i = 0; i < 3; i++) {
        node_join(&node, url);
        it_works(&node, "a");
        node_close(&node);
    }
    nodes_end();
    redis_end(&replica);
}

/* ---- when it goes away ---- */

static void a_restart_is_survived(void **state)
{
    struct wsi_bus_position seen, after;
    struct answer answer;
    struct redis redis;
    struct node node;

    (void)state;
    redis_start(&redis, NULL);
    nodes_begin();
    node_join(&node, url_of(redis.port));
    node_subscribe(&node, "a");
    assert_int_equal(node.type->present(node.bus, "a", "ann", text_bytes("1")), 0);
    for (int i = 0; i < 10; i++)
        seen = keep(&node, "a", "before", 0);
    redis_kill(&redis);
    node_await(&node, AWAY, NULL, 1);
    redis_again(&redis);
    node_await(&node, UP, NULL, 2);
    node_await(&node, SUBSCRIBED, "a", 2);
    it_works(&node, "a");
    /* It came back empty; who has seen more than is there says so. */
    load(&node, "a", NULL, &seen, &answer);
    after = answer.position;
    answer_fini(&answer);
    assert_true(after.epoch > seen.epoch);
    people_await(&node, "a", "ann=1"); /* was said again */
    node_close(&node);
    nodes_end();
    redis_end(&redis);
}

static void what_waits_for_a_broker_that_is_away_fails(void **state)
{
    struct answer answer;
    struct node node;

    (void)state;
    nodes_begin();
    node_init(&node, url_of(free_port()));
    node.config.timeout_ms = 150;
    node_open(&node);
    assert_int_equal(keep_later(&node, "a", "x", 0, NULL, NULL, &answer), 0);
    answer_ends(&answer, WSI_BUS_FAILED, "the broker is away");
    node_await(&node, AWAY, NULL, 1);
    assert_non_null(strstr(last_why(&node), "cannot connect"));
    node_close(&node);
    nodes_end();
}

static void a_stalled_broker_is_given_up(void **state)
{
    struct answer answer;
    struct redis redis;
    struct node node;

    (void)state;
    redis_start(&redis, NULL);
    nodes_begin();
    node_init(&node, url_of(redis.port));
    node.config.timeout_ms = 200;
    node.config.beat_ms = 100;
    node_up(&node);
    it_works(&node, "a");
    broker_stall(redis.pid);
    assert_int_equal(keep_later(&node, "a", "x", 0, NULL, NULL, &answer), 0);
    answer_ends(&answer, WSI_BUS_UNKNOWN, "did not answer within 200 ms");
    node_await(&node, AWAY, NULL, 1);
    kill(redis.pid, SIGCONT);
    node_await(&node, UP, NULL, 2);
    it_works(&node, "a");
    /* With nothing to say it is noticed as well. */
    broker_stall(redis.pid);
    node_await(&node, AWAY, NULL, 2);
    kill(redis.pid, SIGCONT);
    node_await(&node, UP, NULL, 3);
    node_close(&node);
    nodes_end();
    redis_end(&redis);
}

/* ---- what it refuses ---- */

static void scripts_that_it_forgot_are_given_again(void **state)
{
    enum { COUNT = 60 };
    static struct answer answers[COUNT];
    struct node node;
    char text[16];

    (void)state;
    nodes_begin();
    node_join(&node, shared_url);
    keep(&node, "forgot", "x", 0);
    node_subscribe(&node, "forgot");
    for (int i = 0; i < COUNT; i++) {
        if (i % 20 == 10)
            redis_ask(shared.port, NULL, "SCRIPT FLUSH");
        snprintf(text, sizeof text, "%d", i);
        assert_int_equal(keep_later(&node, "forgot", text, 0, NULL, NULL, &answers[i]),
                         0);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(answer_await(&answers[i]), WSI_BUS_DONE);
        if (i > 0)
            assert_int_equal(answers[i].position.offset,
                             answers[i - 1].position.offset + 1);
    }
    node_await(&node, KEPT, "forgot", COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(atoi(node_event(&node, KEPT, "forgot", i)->bytes), (int)i);
    assert_int_equal(node_count(&node, AWAY, NULL), 0);
    node_close(&node);
    nodes_end();
}

static void without_memory_it_takes_nothing(void **state)
{
    struct answer answer;
    struct redis redis;
    struct node node;

    (void)state;
    redis_start(&redis, NULL);
    nodes_begin();
    node_join(&node, url_of(redis.port));
    it_works(&node, "a");
    redis_ask(redis.port, NULL, "CONFIG SET maxmemory 1");
    assert_int_equal(keep_later(&node, "a", "x", 0, NULL, NULL, &answer), 0);
    answer_ends(&answer, WSI_BUS_FAILED, "OOM");
    redis_ask(redis.port, NULL, "CONFIG SET maxmemory 0");
    it_works(&node, "a");
    assert_int_equal(node_count(&node, AWAY, NULL), 0);
    node_close(&node);
    nodes_end();
    redis_end(&redis);
}

static void a_master_that_became_a_replica_is_left(void **state)
{
    struct answer answer;
    struct redis redis;
    struct node node;

    (void)state;
    redis_start(&redis, NULL);
    nodes_begin();
    node_join(&node, url_of(redis.port));
    it_works(&node, "a");
    redis_ask(redis.port, NULL, "REPLICAOF 127.0.0.1 %u", shared.port);
    assert_int_equal(keep_later(&node, "a", "x", 0, NULL, NULL, &answer), 0);
    answer_ends(&answer, WSI_BUS_FAILED, "READONLY");
    node_await(&node, AWAY, NULL, 1);
    redis_ask(redis.port, NULL, "REPLICAOF NO ONE");
    node_await(&node, UP, NULL, 2);
    it_works(&node, "a");
    node_close(&node);
    nodes_end();
    redis_end(&redis);
}

/* It refuses for a while, as while a script takes its time; then it does not. */
static void a_subscription_that_was_refused_is_asked_for_again(void **state)
{
    static const char busy[] = "-BUSY Redis is busy running a script.\r\n";
    struct proxy proxy;
    struct node node;

    (void)state;
    nodes_begin();
    proxy_start(&proxy, shared.port);
    node_init(&node, url_of(proxy.port));
    node.config.beat_ms = 300;
    node_up(&node);
    proxy_set(&proxy, PROXY_ONCE, busy, sizeof busy - 1);
    node_subscribe(&node, PROXY_WORD);
    assert_int_equal(atomic_load(&proxy.mode), PROXY_PASS);
    it_works(&node, PROXY_WORD);
    node_close(&node);
    proxy_stop(&proxy);
    nodes_end();
}

/* ---- presence ---- */

/* The other program: a node that says who is there until it is killed. */
static int be_a_node(const char *url)
{
    struct node node;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    nodes_begin();
    node_init(&node, url);
    node.config.node[15] = 0x55;
    node.config.beat_ms = 100;
    node_up(&node);
    node.type->present(node.bus, "hall", "zoe", text_bytes("doomed"));
    while (pause() < 0) {
    }
    return 0;
}

static void who_was_on_a_node_that_died_is_gone(void **state)
{
    struct node node;
    pid_t pid;

    (void)state;
    nodes_begin();
    node_init(&node, shared_url);
    node.config.beat_ms = 100;
    node_up(&node);
    node.type->present(node.bus, "hall", "ann", text_bytes("1"));
    pid = fork();
    if (pid == 0) {
        execl(self, self, "node", shared_url, (char *)NULL);
        _exit(127);
    }
    people_await(&node, "hall", "ann=1 zoe=doomed");
    people_await(&node, NULL, "= =");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    people_await(&node, "hall", "ann=1");
    people_await(&node, NULL, "=");
    node_close(&node);
    nodes_end();
}

static void what_the_broker_forgot_of_presence_is_said_again(void **state)
{
    struct node node;

    (void)state;
    nodes_begin();
    node_init(&node, shared_url);
    node.config.beat_ms = 50;
    node_up(&node);
    node.type->present(node.bus, "hall", "ann", text_bytes("1"));
    node.type->present(node.bus, "hall", "bob", text_bytes("2"));
    people_await(&node, "hall", "ann=1 bob=2");
    redis_ask(shared.port, NULL, "FLUSHALL");
    people_await(&node, "hall", "ann=1 bob=2");
    assert_int_equal(node_count(&node, AWAY, NULL), 0);
    node_close(&node);
    nodes_end();
}

/* ---- answers that are none ---- */

#define BLOB(text)            \
    {                         \
        text, sizeof text - 1 \
    }
static const struct {
    const char *bytes;
    size_t len;
} blobs[] = {
    BLOB("HTTP/1.1 400 Bad Request\r\n\r\n"),
    BLOB("\0\0\0\0"),
    BLOB("$99999999999999999999\r\n"),
    BLOB("$-7\r\n"),
    BLOB("$536870912\r\nabc"),
    BLOB("*2147483647\r\n"),
    BLOB("*4294967297\r\n"),
    BLOB("*576460752303423488\r\n"),
    BLOB("*-2\r\n"),
    BLOB("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"),
    BLOB(":12a\r\n"),
    BLOB(">3\r\n+message\r\n+a\r\n+b\r\n"),
    BLOB("%1\r\n+a\r\n+b\r\n"),
    BLOB("$3\r\nabcdef\r\n"),
    BLOB("*3\r\n$3\r\nabc\r\n"),
    BLOB("+"),
};
enum { BLOBS = sizeof blobs / sizeof blobs[0] };

static void a_broker_that_talks_nonsense_stays_away(void **state)
{
    (void)state;
    nodes_begin();
    for (size_t i = 0; i < BLOBS; i++) {
        struct proxy proxy;
        struct node node;

        proxy_start(&proxy, 0);
        proxy_set(&proxy, PROXY_FAKE, blobs[i].bytes, blobs[i].len);
        node_init(&node, url_of(proxy.port));
        node.config.timeout_ms = 60;
        node_open(&node);
        node_await(&node, AWAY, NULL, 1);
        assert_int_equal(node_count(&node, UP, NULL), 0);
        node_close(&node);
        proxy_stop(&proxy);
    }
    nodes_end();
}

static long peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void nonsense_instead_of_an_answer_is_survived(void **state)
{
    const long before = peak_kib();
    struct proxy proxy;
    struct node node;

    (void)state;
    nodes_begin();
    proxy_start(&proxy, shared.port);
    node_init(&node, url_of(proxy.port));
    node.config.timeout_ms = 60;
    node.config.answer_bytes = 4 << 20;
    node_up(&node);
    for (size_t i = 0; i < BLOBS; i++) {
        struct answer answer;

        proxy_set(&proxy, PROXY_ANSWER, blobs[i].bytes, blobs[i].len);
        assert_int_equal(keep_later(&node, "bad", "poison", 0, NULL, NULL, &answer), 0);
        answer_ends(&answer, WSI_BUS_UNKNOWN, NULL);
        proxy_set(&proxy, PROXY_PASS, NULL, 0);
        node_await(&node, UP, NULL, i + 2);
    }
    it_works(&node, "good");
    node_close(&node);
    proxy_stop(&proxy);
    nodes_end();
    /* Sanitizers hold back what is freed. */
    assert_true(peak_kib() - before < 200 * 1024);
}

/* Answers of the right grammar that make no sense. */
static void answers_of_another_kind_are_unknown_results(void **state)
{
    static const char *const answers[] = {
        "+OK\r\n",    ":7\r\n",        "*0\r\n",
        "*-1\r\n",    "$-1\r\n",       "$5\r\n1 2 x\r\n",
        "$0\r\n\r\n", "$3\r\n1 2\r\n", "*1\r\n$5\r\n1 2 3\r\n"};
    struct proxy proxy;
    struct node node;

    (void)state;
    nodes_begin();
    proxy_start(&proxy, shared.port);
    node_init(&node, url_of(proxy.port));
    node.config.timeout_ms = 100;
    node.config.beat_ms = 100000;
    node_up(&node);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct answer answer;

        people_await(&node, NULL, "="); /* nothing else is awaited any more */
        proxy_set(&proxy, PROXY_ANSWER, answers[i], strlen(answers[i]));
        assert_int_equal(keep_later(&node, "odd", "poison", 0, NULL, NULL, &answer), 0);
        answer_ends(&answer, WSI_BUS_UNKNOWN, "the broker's answer makes no sense");
        /* The connection is of no more use, and times out. */
        assert_int_equal(keep_later(&node, "odd", "x", 0, NULL, NULL, &answer), 0);
        answer_ends(&answer, WSI_BUS_UNKNOWN, NULL);
        proxy_set(&proxy, PROXY_PASS, NULL, 0);
        node_await(&node, UP, NULL, i + 2);
    }
    node_close(&node);
    proxy_stop(&proxy);
    nodes_end();
}

/* Whatever has a word in it is answered by the same for ever. */
static void join_repeating(struct node *node, struct proxy *proxy, const char *word,
                           const char *blob)
{
    nodes_begin();
    proxy_start(proxy, shared.port);
    proxy->word = word;
    node_init(node, url_of(proxy->port));
    node->config.beat_ms = 100000;
    node->config.answer_bytes = 10000;
    node_up(node);
    people_await(node, NULL, "="); /* nothing else is awaited any more */
    proxy_set(proxy, PROXY_REPEAT, blob, strlen(blob));
}

static void pages_without_end_are_given_up(void **state)
{
    static const struct wsi_bus_window wide;
    static const struct wsi_bus_position nothing;
    struct answer answer;
    struct proxy proxy;
    struct node node;

    (void)state;
    join_repeating(&node, &proxy, "poison",
                   "*3\r\n$5\r\n7 9 1\r\n$3\r\n1-5\r\n$1\r\nx\r\n");
    answer_init(&answer);
    assert_int_equal(
        node.type->load(node.bus, "poison", &wide, &nothing, &answer.receipt), 0);
    answer_ends(&answer, WSI_BUS_FAILED, "the broker's answer makes no sense");
    node_close(&node);
    proxy_stop(&proxy);
    nodes_end();
}

static void a_list_without_end_is_given_up(void **state)
{
    struct answer answer;
    struct proxy proxy;
    struct node node;

    (void)state;
    join_repeating(&node, &proxy, "HSCAN", "*2\r\n$1\r\n1\r\n*0\r\n");
    answer_init(&answer);
    assert_int_equal(node.type->nodes(node.bus, &answer.receipt), 0);
    answer_ends(&answer, WSI_BUS_FAILED, "the list is larger than cluster_answer_bytes");
    node_close(&node);
    proxy_stop(&proxy);
    nodes_end();
}

static void a_slot_is_in_one_range_only(void **state)
{
    static const char answers[] = "*1\r\n$6\r\nmaster\r\n*2\r\n"
                                  "*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7\r\n"
                                  "*3\r\n:9\r\n:9\r\n*2\r\n$9\r\n127.0.0.1\r\n:7\r\n";
    struct proxy proxy;
    struct node node;

    (void)state;
    nodes_begin();
    proxy_start(&proxy, 0);
    proxy_set(&proxy, PROXY_FAKE, answers, sizeof answers - 1);
    node_init(&node, url_of(proxy.port));
    node_open(&node);
    node_await(&node, AWAY, NULL, 1);
    assert_non_null(strstr(last_why(&node), "CLUSTER SLOTS"));
    node_close(&node);
    proxy_stop(&proxy);
    nodes_end();
}

static void a_message_above_the_limit_ends_the_connection(void **state)
{
    char *much = calloc(200001, 1);
    struct node small, large;

    (void)state;
    memset(much, 'x', 200000);
    nodes_begin();
    node_join(&large, shared_url);
    node_init(&small, shared_url);
    small.config.answer_bytes = 100000;
    node_up(&small);
    it_works(&small, "flood");
    say(&large, "flood", much);
    node_await(&small, AWAY, NULL, 1);
    assert_non_null(strstr(last_why(&small), "cluster_answer_bytes"));
    node_await(&small, UP, NULL, 2);
    node_await(&small, SUBSCRIBED, "flood", 2);
    it_works(&small, "flood");
    node_close(&small);
    node_close(&large);
    nodes_end();
    free(much);
}

/* ---- without memory ---- */

/* @return whether an allocation was refused. */
static bool live_with_one_refusal(size_t nth)
{
    char why[WSI_BUS_WHY_SIZE];
    struct answer answer;
    struct node node;
    int r;

    node_init(&node, shared_url);
    test_fail_allocation(nth, false);
    r = node_try_open(&node, why);
    if (r != 0) {
        assert_int_equal(r, WSOCK_ENOMEM);
        return test_stop_failing() > 0;
    }
    node_await(&node, UP, NULL, 1);
    while (node.type->subscribe(node.bus, "scarce") != 0) {
    }
    node_await(&node, SUBSCRIBED, "scarce", 1);
    while (node.type->present(node.bus, "scarce", "ann", text_bytes("1")) != 0) {
    }
    do {
        do
            r = keep_later(&node, "scarce", "x", 0, NULL, NULL, &answer);
        while (r != 0);
        answer_await(&answer);
        if (answer.outcome != WSI_BUS_DONE)
            assert_true(answer.why[0] != '\0');
        r = answer.outcome == WSI_BUS_DONE;
        answer_fini(&answer);
    } while (!r);
    r = test_stop_failing() > 0;
    node_close(&node);
    return r;
}

static void one_refused_allocation_is_survived(void **state)
{
    size_t nth = 1;

    (void)state;
    nodes_begin();
    while (live_with_one_refusal(nth)) {
        nth++;
        assert_true(nth < 500);
    }
    assert_true(nth > 30);
    nodes_end();
}

/* ---- cut at every byte ---- */

static long spend_one_life(struct proxy *proxy, long budget)
{
    struct answer answer;
    struct node node;
    long left;

    atomic_store(&proxy->budget, budget);
    proxy_set(proxy, PROXY_CUT, NULL, 0);
    node_init(&node, url_of(proxy->port));
    node_up(&node);
    node_subscribe(&node, "cut");
    assert_int_equal(keep_later(&node, "cut", "x", 0, NULL, NULL, &answer), 0);
    assert_int_not_equal(answer_await(&answer), WSI_BUS_FAILED);
    answer_fini(&answer);
    left = atomic_load(&proxy->budget);
    proxy_set(proxy, PROXY_PASS, NULL, 0);
    node_close(&node);
    return left;
}

static void a_connection_may_break_at_every_byte(void **state)
{
    const long plenty = 1 << 20;
    struct proxy proxy;
    long all, n = 0;

    (void)state;
    nodes_begin();
    proxy_start(&proxy, shared.port);
    all = plenty - spend_one_life(&proxy, plenty);
    assert_in_range(all, 300, 3000);
    /* The first connection byte by byte, the rest in steps that meet all kinds. */
    for (; n < all; n += n < 120 ? 1 : 7)
        spend_one_life(&proxy, n);
    assert_true(atomic_load(&proxy.cuts) > 150);
    proxy_stop(&proxy);
    nodes_end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(who_may_use_it_is_asked),
        TEST(a_password_is_told_to_nobody),
        TEST(a_database_is_chosen),
        TEST(a_unix_socket_is_enough),
#if WSI_HAVE_TLS
        TEST(tls_is_verified_in_both_directions),
#endif
        TEST(hosts_are_tried_until_one_is_a_master),
        TEST(a_restart_is_survived),
        TEST(what_waits_for_a_broker_that_is_away_fails),
        TEST(a_stalled_broker_is_given_up),
        TEST(scripts_that_it_forgot_are_given_again),
        TEST(without_memory_it_takes_nothing),
        TEST(a_master_that_became_a_replica_is_left),
        TEST(a_subscription_that_was_refused_is_asked_for_again),
        TEST(who_was_on_a_node_that_died_is_gone),
        TEST(what_the_broker_forgot_of_presence_is_said_again),
        TEST(a_broker_that_talks_nonsense_stays_away),
        TEST(nonsense_instead_of_an_answer_is_survived),
        TEST(answers_of_another_kind_are_unknown_results),
        TEST(pages_without_end_are_given_up),
        TEST(a_list_without_end_is_given_up),
        TEST(a_slot_is_in_one_range_only),
        TEST(a_message_above_the_limit_ends_the_connection),
        TEST(one_refused_allocation_is_survived),
        TEST(a_connection_may_break_at_every_byte),
    };
    int failed;

    self = argv[0];
    if (argc == 3 && strcmp(argv[1], "node") == 0)
        return be_a_node(argv[2]);
    redis_start(&shared, NULL);
    snprintf(shared_url, sizeof shared_url, "redis://127.0.0.1:%u", shared.port);
    failed = cmocka_run_group_tests_name("redis", tests, NULL, NULL);
    redis_end(&shared);
    return failed;
}
