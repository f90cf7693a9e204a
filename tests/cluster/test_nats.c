/* SPDX-License-Identifier: MIT */
/* What is special to NATS: lost, stalled, emptied and older brokers, logins, TLS, and
 * what the library that speaks to it may not do to the process. */
#include "nodes.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "brokers.h"
#include "nats_server.h"

static struct nats_server server;
static char url[128];
static struct node node;

static void begin(void)
{
    nodes_begin();
    node_init(&node, url);
    node.config.timeout_ms = 8000;
    node_up(&node);
}

static void end(void)
{
    node_close(&node);
    nodes_end();
}

/* The broker ends, and comes back with other files. @param times that it was up then */
static void restart_with(const char *files, size_t times)
{
    nats_quit(&server);
    nats_files(&server, files);
    nats_again(&server);
    node_await(&node, UP, NULL, times);
}

/* ---- the process ---- */

static void on_pipe(int number)
{
    (void)number;
}

/* @return whether all threads but the program's own block SIGPIPE. */
static bool others_block(void)
{
    DIR *tasks = opendir("/proc/self/task");
    char path[300], line[256], name[64] = "";
    bool good = true;
    int others = 0;

    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        unsigned long long blocked = 0;
        FILE *status;

        if (task->d_name[0] == '.' || atoi(task->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        status = fopen(path, "r");
        if (status == NULL)
            continue;
        while (fgets(line, sizeof line, status) != NULL) {
            sscanf(line, "Name: %63s", name);
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(status);
        /* A sanitizer's has no mask, and the workers are the library's. */
        if (strncmp(name, "wsock-", 6) == 0 || blocked == 0)
            continue;
        others++;
        good = good && (blocked >> (SIGPIPE - 1) & 1) != 0 &&
               (blocked >> (SIGTERM - 1) & 1) != 0;
    }
    closedir(tasks);
    return good && others >= 5; /* the driver, and what libnats has */
}

static void the_process_keeps_its_signals(void **state)
{
    struct sigaction action = {.sa_handler = on_pipe}, found;

    (void)state;
    sigaction(SIGPIPE, &action, NULL);
    begin();
    sigaction(SIGPIPE, NULL, &found);
    assert_true(found.sa_handler == on_pipe);
    assert_true(others_block());
    end();
    signal(SIGPIPE, SIG_DFL);
}

static void urls_are_read(void **state)
{
    static const char *const good[] = {
        "nats://a",          "nats://a:1",          "tls://u:p@a,b:2,[::1]:3",
        "nats://tok%40en@a", "nats://a?replicas=3", "nats://[::1]/",
    };
    static const char *const bad[] = {
        "nats:a",         "tls:x://a",        "nats://",          "nats://a:0",
        "nats://a:65536", "nats://a,,b",      "nats://[::1",      "nats://u:secret%4@a",
        "nats://a/x",     "nats://a b",       "nats://:secret@a", "nats://a?replicas=6",
        "nats://a:1x",    "nats://secret:@a", "nats://a?x=1",     "http://a",
    };
    char why[WSI_BUS_WHY_SIZE];

    (void)state;
    begin();
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(node.type->parse(good[i], why), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why[0] = '\0';
        assert_int_equal(node.type->parse(bad[i], why), WSOCK_EURL);
        assert_true(why[0] != '\0');
        assert_null(strstr(why, "secret"));
    }
    end();
}

/* ---- brokers that go away ---- */

static void a_killed_broker_is_come_back_to(void **state)
{
    const char *room = room_of_its_own();
    struct wsi_bus_position first;
    struct answer answer;

    (void)state;
    begin();
    node_subscribe(&node, room);
    first = keep(&node, room, "one", 0);
    nats_kill(&server);
    node_await(&node, AWAY, NULL, 1);
    assert_int_equal(node.type->publish(node.bus,
                                        &(struct wsi_bus_channel){WSI_BUS_ROOM, room},
                                        text_bytes("lost"), NULL),
                     WSOCK_EAGAIN);
    assert_int_equal(keep_later(&node, room, "two", 0, NULL, &first, &answer), 0);
    nats_again(&server);
    node_await(&node, SUBSCRIBED, room, 2);
    assert_int_equal(answer_await(&answer), WSI_BUS_DONE);
    assert_int_equal(answer.position.epoch, first.epoch);
    assert_true(answer.position.offset > first.offset);
    answer_fini(&answer);
    node_await(&node, KEPT, room, 2);
    end();
}

static void an_emptied_broker_is_told_again(void **state)
{
    const char *room = room_of_its_own();
    struct wsi_bus_position first, second;
    struct answer answer;

    (void)state;
    begin();
    assert_int_equal(node.type->present(node.bus, room, "ann", text_bytes("1")), 0);
    people_await(&node, room, "ann=1");
    first = keep(&node, room, "one", 0);
    restart_with("remove", 2);
    people_await(&node, room, "ann=1");
    second = keep(&node, room, "two", 0);
    assert_int_not_equal(second.epoch, first.epoch);
    load(&node, room, NULL, &first, &answer);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.position.epoch, second.epoch);
    answer_fini(&answer);
    end();
}

static void an_older_broker_begins_an_epoch(void **state)
{
    const char *room = room_of_its_own();
    struct wsi_bus_position seen, next;
    struct answer answer;

    (void)state;
    begin();
    keep(&node, room, "one", 0);
    restart_with("copy", 2);
    keep(&node, room, "two", 0);
    seen = keep(&node, room, "three", 0);
    restart_with("put back", 3);
    load(&node, room, NULL, &seen, &answer);
    next = answer.position;
    assert_int_not_equal(next.epoch, seen.epoch);
    assert_int_equal(answer.count, 0);
    answer_fini(&answer);
    assert_int_equal(keep(&node, room, "four", 0).epoch, next.epoch);
    end();
}

static void a_stalled_broker_counts_as_gone(void **state)
{
    const char *room = room_of_its_own();
    struct answer answer;
    struct node other;

    (void)state;
    begin();
    node_init(&other, url);
    other.config.timeout_ms = 300;
    node_up(&other);
    node_subscribe(&other, room);
    broker_stall(server.pid);
    assert_int_equal(keep_later(&other, room, "one", 0, NULL, NULL, &answer), 0);
    assert_int_equal(answer_await(&answer), WSI_BUS_UNKNOWN);
    assert_true(answer.why[0] != '\0');
    answer_fini(&answer);
    node_await(&other, AWAY, NULL, 1);
    kill(server.pid, SIGCONT);
    node_await(&other, UP, NULL, 2);
    node_await(&other, SUBSCRIBED, room, 2);
    keep(&other, room, "two", 0);
    broker_stall(server.pid); /* what is asked from here on gets no answer */
    assert_int_equal(keep_later(&other, room, "three", 0, NULL, NULL, &answer), 0);
    node_close(&other);
    assert_int_equal(answer.done, 1);
    assert_int_equal(answer.outcome, WSI_BUS_UNKNOWN);
    kill(server.pid, SIGCONT);
    end();
}

/* ---- who is there ---- */

static const char *self; /* this program */

/* The other program: a node that says who is there. */
static int be_a_node(const char *at, const char *prefix)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    nodes_begin();
    node_init(&node, at);
    node.config.prefix = prefix;
    node.config.node[15] = 0x55;
    node.config.beat_ms = 100;
    node_open(&node);
    node_await(&node, UP, NULL, 1);
    node.type->present(node.bus, "hall", "zoe", text_bytes("back"));
    while (pause() < 0) {
    }
    return 0;
}

/* Whoever looks meanwhile takes it for gone, and has its entries removed. */
static void a_node_that_was_silent_is_there_again(void **state)
{
    static const char prefix[] = "silent";
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0) {
        execl(self, self, url, prefix, (char *)NULL);
        _exit(127);
    }
    nodes_begin();
    node_init(&node, url);
    node.config.prefix = prefix;
    node.config.beat_ms = 100;
    node_open(&node);
    node_await(&node, UP, NULL, 1);
    for (int i = 0; i < 2; i++) {
        people_await(&node, "hall", "zoe=back");
        broker_stall(pid);
        people_await(&node, "hall", "");
        kill(pid, SIGCONT);
    }
    people_await(&node, "hall", "zoe=back");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    people_await(&node, "hall", "");
    end();
}

/* ---- what is kept ---- */

static void what_expired_leaves_no_gap(void **state)
{
    const struct wsi_bus_window short_time = {.time_ms = 300};
    const char *room = room_of_its_own();
    struct wsi_bus_position first;
    struct answer answer;

    (void)state;
    begin();
    node_subscribe(&node, room);
    assert_int_equal(keep_later(&node, room, "one", 0, &short_time, NULL, &answer), 0);
    assert_int_equal(answer_await(&answer), WSI_BUS_DONE);
    first = answer.position;
    for (size_t count = 1; count > 0;) {
        load(&node, room, &short_time, &first, &answer);
        count = answer.count;
        assert_int_equal(answer.position.epoch, first.epoch);
        assert_int_equal(answer.position.offset, first.offset);
        answer_fini(&answer);
    }
    /* The broker keeps a little more, and tells nobody when it forgets. */
    poll(NULL, 0, 500);
    assert_int_equal(keep_later(&node, room, "more", 0, &short_time, &first, &answer), 0);
    answer_ends(&answer, WSI_BUS_DONE, NULL);
    node_await(&node, KEPT, room, 2);
    assert_int_equal(node_event(&node, KEPT, room, 1)->prev, first.offset);
    end();
}

static void what_is_too_much_is_told_as_lost(void **state)
{
    enum { LEN = 60000, ROUNDS = 500 };
    const char *room = room_of_its_own();
    const struct wsi_bus_channel channel = {WSI_BUS_ROOM, room};
    char *data = calloc(LEN, 1);
    struct answer answer;
    struct node slow;
    int round = 0;

    (void)state;
    begin();
    node_init(&slow, url);
    slow.config.queue_bytes = 1000;
    slow.config.answer_bytes = 1000;
    node_up(&slow);
    node_subscribe(&slow, room);
    while (node_count(&slow, SUBSCRIBED, room) < 2 && round++ < ROUNDS) {
        for (int i = 0; i < 20; i++)
            assert_int_equal(node.type->publish(node.bus, &channel,
                                                (struct wsi_bytes){data, LEN}, NULL),
                             0);
        answer_init(&answer);
        assert_int_equal(
            node.type->publish(node.bus, &channel, text_bytes("end"), &answer.receipt),
            0);
        answer_ends(&answer, WSI_BUS_DONE, NULL);
    }
    node_await(&slow, SUBSCRIBED, room, 2);
    node_close(&slow);
    end();
    free(data);
}

/* Nobody hears that it could not be: it would stay as it was for good. */
static void what_gives_back_is_done_however_much_waits(void **state)
{
    enum { MAX = 100 };
    char room[64], other[64], text[1001] = "";
    struct answer answers[MAX];
    struct node full;
    int count = 0;

    (void)state;
    snprintf(room, sizeof room, "%s", room_of_its_own());
    snprintf(other, sizeof other, "%s", room_of_its_own());
    memset(text, 'x', 1000);
    begin();
    node_init(&full, url);
    full.config.timeout_ms = 8000;
    full.config.queue_bytes = 20000;
    node_up(&full);
    node_subscribe(&full, room);
    node_subscribe(&full, other);
    assert_int_equal(full.type->present(full.bus, room, "ann", text_bytes("1")), 0);
    people_await(&node, room, "ann=1");
    nats_kill(&server);
    node_await(&full, AWAY, NULL, 1);
    for (int len = 1000; len >= 0; len -= 1000) { /* then nothing fits any more */
        text[len] = '\0';
        while (keep_later(&full, room, text, 0, NULL, NULL, &answers[count]) == 0)
            assert_true(++count < MAX);
    }
    full.type->unsubscribe(full.bus, room);
    full.type->absent(full.bus, room, "ann");
    nats_again(&server);
    for (int i = 0; i < count; i++) {
        (void)answer_await(&answers[i]);
        answer_fini(&answers[i]);
    }
    node_await(&node, UP, NULL, 2);
    assert_int_equal(full.type->present(full.bus, room, "bob", text_bytes("2")), 0);
    people_await(&node, room, "bob=2");
    node_await(&full, SUBSCRIBED, other, 2);
    assert_int_equal(node_count(&full, SUBSCRIBED, room), 1);
    say(&node, room, "x");
    say(&node, other, "y");
    node_await(&full, PLAIN, other, 1);
    assert_int_equal(node_count(&full, PLAIN, room), 0);
    node_close(&full);
    end();
}

static void what_is_larger_than_an_answer_fails(void **state)
{
    const char *room = room_of_its_own();
    struct wsi_bus_window window = {0};
    struct wsi_bus_position seen = {0};
    struct answer answer;
    struct node small;
    char text[1001] = "";

    (void)state;
    memset(text, 'x', 1000);
    begin();
    for (int i = 0; i < 20; i++)
        keep(&node, room, text, 0);
    node_init(&small, url);
    small.config.answer_bytes = 10000;
    node_up(&small);
    answer_init(&answer);
    assert_int_equal(small.type->load(small.bus, room, &window, &seen, &answer.receipt),
                     0);
    answer_ends(&answer, WSI_BUS_FAILED, "cluster_answer_bytes");
    node_close(&small);
    end();
}

/* ---- what changes while it is read ---- */

enum { BEATING = 4, LISTS = 10 };

/* What is said again takes the place of what was not sent yet: the broker does not notice
 * that nothing is left then, and there is always more. */
static void lists_end_though_nodes_go_on_beating(void **state)
{
    struct node beating[BEATING];
    struct answer answer;

    (void)state;
    nodes_begin();
    for (int i = 0; i < BEATING; i++) {
        node_init(&beating[i], url);
        beating[i].config.prefix = "beating";
        beating[i].config.beat_ms = 5;
        node_up(&beating[i]);
    }
    for (int lists = 0; lists < LISTS;) {
        answer_init(&answer);
        assert_int_equal(beating[0].type->nodes(beating[0].bus, &answer.receipt), 0);
        assert_int_equal(answer_await(&answer), WSI_BUS_DONE);
        assert_in_range(answer.count, 0, BEATING); /* each once */
        lists += answer.count == BEATING;          /* all have said that they are there */
        answer_fini(&answer);
    }
    for (int i = 0; i < BEATING; i++)
        node_close(&beating[i]);
    nodes_end();
}

static const struct wsi_bus_window few = {.messages = 5};
static const char *busy;
static atomic_bool is_over;

static void *keep_on(void *user)
{
    struct answer answer;

    while (!atomic_load(&is_over)) {
        assert_int_equal(keep_later(user, busy, "x", 0, &few, NULL, &answer), 0);
        (void)answer_await(&answer);
        answer_fini(&answer);
    }
    return NULL;
}

static void a_room_is_loaded_though_somebody_goes_on_speaking(void **state)
{
    struct wsi_bus_position last = {0};
    struct answer answer;
    pthread_t thread;
    struct node other;

    (void)state;
    busy = room_of_its_own();
    atomic_store(&is_over, false);
    begin();
    node_join(&other, url);
    pthread_create(&thread, NULL, keep_on, &other);
    for (int loads = 0; loads < 100;) {
        load(&node, busy, &few, NULL, &answer);
        assert_in_range(answer.count, 0, few.messages);
        for (size_t i = 1; i < answer.count; i++)
            assert_int_equal(answer.kept[i].prev, answer.kept[i - 1].offset);
        assert_true(answer.position.offset >= last.offset);
        last = answer.position;
        loads += answer.count == few.messages;
        answer_fini(&answer);
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
    node_close(&other);
    end();
}

/* ---- other servers ---- */

static void without_jetstream_plain_rooms_work(void **state)
{
    const char *room = room_of_its_own();
    struct nats_server plain;
    struct answer answer;
    struct node one;
    char at[64];

    (void)state;
    nats_start(&plain, false, NULL);
    snprintf(at, sizeof at, "nats://127.0.0.1:%u", plain.port);
    nodes_begin();
    node_join(&one, at);
    node_subscribe(&one, room);
    say(&one, room, "plain");
    node_await(&one, PLAIN, room, 1);
    assert_int_equal(keep_later(&one, room, "kept", 0, NULL, NULL, &answer), 0);
    assert_int_equal(answer_await(&answer), WSI_BUS_FAILED);
    assert_non_null(strstr(answer.why, "JetStream"));
    answer_init(&answer);
    assert_int_equal(one.type->nodes(one.bus, &answer.receipt), 0);
    assert_int_equal(answer_await(&answer), WSI_BUS_FAILED);
    assert_non_null(strstr(answer.why, "JetStream"));
    node_close(&one);
    nodes_end();
    nats_end(&plain);
}

static void logins_and_hosts_are_taken_from_the_url(void **state)
{
    const char *const login[] = {"--user", "me", "--pass", "p@ss", NULL};
    const char *const token[] = {"--auth", "to:ken", NULL};
    struct nats_server guarded;
    struct node one;
    char at[128];

    (void)state;
    nodes_begin();
    nats_start(&guarded, false, login);
    snprintf(at, sizeof at, "nats://me:p%%40ss@127.0.0.1:%u,127.0.0.1:%u", free_port(),
             guarded.port);
    node_join(&one, at);
    node_close(&one);
    snprintf(at, sizeof at, "nats://me:wrong@127.0.0.1:%u", guarded.port);
    node_init(&one, at);
    node_open(&one);
    node_await(&one, AWAY, NULL, 1);
    assert_null(strstr(node_event(&one, AWAY, NULL, 0)->name, "wrong"));
    node_close(&one);
    nats_end(&guarded);
    nats_start(&guarded, false, token);
    snprintf(at, sizeof at, "nats://to%%3aken@127.0.0.1:%u", guarded.port);
    node_join(&one, at);
    node_close(&one);
    nats_end(&guarded);
    nodes_end();
}

/* The rights that docs/cluster.md names are enough. */
static void a_user_needs_few_rights(void **state)
{
    static const char rights[] =
        "authorization { users = [ { user: me, password: secret, permissions: {\n"
        "  publish: [\"test.>\", \"_INBOX.>\", \"$JS.API.>\"]\n"
        "  subscribe: [\"test.>\", \"_INBOX.>\", \"$JS.API.>\"] } } ] }\n";
    char path[] = "/tmp/wsock-rights-XXXXXX", at[64];
    const char *const more[] = {"-c", path, NULL};
    const char *room = room_of_its_own();
    struct nats_server guarded;
    struct answer answer;
    struct node one;
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(write(fd, rights, sizeof rights - 1), sizeof rights - 1);
    close(fd);
    nats_start(&guarded, true, more);
    snprintf(at, sizeof at, "nats://me:secret@127.0.0.1:%u", guarded.port);
    nodes_begin();
    node_join(&one, at);
    node_subscribe(&one, room);
    say(&one, room, "plain");
    node_await(&one, PLAIN, room, 1);
    for (int i = 0; i < 40; i++)
        keep(&one, room, "kept", 0);
    node_await(&one, KEPT, room, 40);
    load(&one, room, NULL, NULL, &answer);
    assert_int_equal(answer.count, 40);
    answer_fini(&answer);
    assert_int_equal(one.type->present(one.bus, room, "ann", text_bytes("1")), 0);
    people_await(&one, room, "ann=1");
    assert_int_equal(one.type->describe(one.bus, text_bytes("node")), 0);
    people_await(&one, NULL, "=node");
    one.type->absent(one.bus, room, "ann");
    people_await(&one, room, "");
    node_close(&one);
    nodes_end();
    nats_end(&guarded);
    unlink(path);
}

#ifdef CERTIFICATES
static void tls_is_spoken_and_verified(void **state)
{
    const char *const tls[] = {"--tls",
                               "--tlscert",
                               CERTIFICATES "/good.pem",
                               "--tlskey",
                               CERTIFICATES "/good.key",
                               NULL};
    struct nats_server secure;
    struct node one;
    char at[64];

    (void)state;
    nats_start(&secure, false, tls);
    snprintf(at, sizeof at, "tls://localhost:%u", secure.port);
    nodes_begin();
    for (int i = 0; i < 3; i++) {
        node_init(&one, at);
        one.config.ca = i == 0 ? CERTIFICATES "/root.pem" : CERTIFICATES "/foreign.pem";
        one.config.verify = i < 2;
        node_open(&one);
        node_await(&one, i == 1 ? AWAY : UP, NULL, 1);
        assert_int_equal(node_count(&one, UP, NULL), i != 1);
        node_close(&one);
    }
    nodes_end();
    nats_end(&secure);
}
#endif

/* Takes a connection, begins as NATS does, and never shakes hands. */
static void who_waits_for_tls_can_close(void **state)
{
    static const char info[] =
        "INFO {\"server_id\":\"x\",\"version\":\"2.9.10\",\"proto\":1,"
        "\"headers\":true,\"max_payload\":1048576,"
        "\"tls_required\":true}\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    struct node one;
    char at[64];
    const size_t before = test_live_blocks();
    int listener, fd;

    (void)state;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    snprintf(at, sizeof at, "tls://127.0.0.1:%u", ntohs(address.sin_port));
    nodes_begin();
    node_init(&one, at);
    one.config.timeout_ms = 100000;
    node_open(&one);
    fd = accept(listener, NULL, NULL);
    assert_int_equal(write(fd, info, sizeof info - 1), sizeof info - 1);
    assert_int_equal(read(fd, at, 1), 1); /* of its first flight */
    node_close(&one);
    close(fd);
    close(listener);
    nodes_end();
    /* The thread that was given up ends by itself, and tells nobody. */
    for (int tries = 0; test_live_blocks() != before && tries < 2000; tries++)
        poll(NULL, 0, 10);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(the_process_keeps_its_signals),
        TEST(urls_are_read),
        TEST(a_killed_broker_is_come_back_to),
        TEST(an_emptied_broker_is_told_again),
        TEST(an_older_broker_begins_an_epoch),
        TEST(a_stalled_broker_counts_as_gone),
        TEST(a_node_that_was_silent_is_there_again),
        TEST(what_expired_leaves_no_gap),
        TEST(what_is_too_much_is_told_as_lost),
        TEST(what_gives_back_is_done_however_much_waits),
        TEST(what_is_larger_than_an_answer_fails),
        TEST(lists_end_though_nodes_go_on_beating),
        TEST(a_room_is_loaded_though_somebody_goes_on_speaking),
        TEST(without_jetstream_plain_rooms_work),
        TEST(logins_and_hosts_are_taken_from_the_url),
        TEST(a_user_needs_few_rights),
#ifdef CERTIFICATES
        TEST(tls_is_spoken_and_verified),
#endif
        TEST(who_waits_for_tls_can_close),
    };
    int failed;

    self = argv[0];
    if (argc == 3)
        return be_a_node(argv[1], argv[2]);
    nats_start(&server, true, NULL);
    snprintf(url, sizeof url, "nats://127.0.0.1:%u", server.port);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    nats_end(&server);
    return failed;
}
