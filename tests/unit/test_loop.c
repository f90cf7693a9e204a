/* SPDX-License-Identifier: MIT */
/* The turn, the mailbox with many posting threads, and real sockets of every family. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wsock/error.h>

#include "io/loop.h"
#include "io/stream.h"
#include "script_backend.h"

enum { TURNS_MAX = 100000 };

static struct wsi_loop *new_loop(void)
{
    const struct wsi_loop_config config = {0};
    struct wsi_loop *loop = NULL;

    assert_int_equal(wsi_loop_new(&loop, &config), 0);
    return loop;
}

static void turn_until(struct wsi_loop *loop, const int *done)
{
    for (int i = 0; i < TURNS_MAX && !*done; i++)
        wsi_loop_turn(loop, 10000);
    assert_true(*done);
}

/* ---- a server that echoes and a client that sends one message ---- */

struct end {
    struct wsi_stream stream;
    int connected, connect_error, eof, closed, close_error, writable;
    size_t received;
    uint8_t last[64];
    bool echo;
};

static struct end *end_of(struct wsi_stream *stream)
{
    return WSI_CONTAINER_OF(stream, struct end, stream);
}

static void end_connected(struct wsi_stream *stream, int error)
{
    end_of(stream)->connected = 1;
    end_of(stream)->connect_error = error;
}

static void end_data(struct wsi_stream *stream, uint8_t *data, size_t len)
{
    struct end *end = end_of(stream);

    memcpy(end->last, data, len < sizeof end->last ? len : sizeof end->last);
    end->received += len;
    if (end->echo) {
        uint8_t *room = wsi_stream_reserve(stream, len);

        assert_non_null(room);
        memcpy(room, data, len);
        wsi_stream_commit(stream, len);
    }
}

static void end_eof(struct wsi_stream *stream)
{
    end_of(stream)->eof++;
    wsi_stream_close(stream, WSI_CLOSE_LINGER);
}

static void end_writable(struct wsi_stream *stream)
{
    end_of(stream)->writable++;
}

static void end_closed(struct wsi_stream *stream, int error)
{
    end_of(stream)->closed++;
    end_of(stream)->close_error = error;
}

static const struct wsi_stream_events end_events = {
    .on_connected = end_connected,
    .on_data = end_data,
    .on_eof = end_eof,
    .on_writable = end_writable,
    .on_closed = end_closed,
};

struct server {
    struct wsi_listener listener;
    struct end end[128];
    int accepted, starved, stop_after;
    char peer[WSI_ADDRESS_TEXT_MAX];
};

static void server_accept(struct wsi_listener *listener, int fd,
                          const struct wsi_address *peer)
{
    struct server *server = WSI_CONTAINER_OF(listener, struct server, listener);
    struct end *end = &server->end[server->accepted++];

    wsi_address_text(peer, server->peer);
    wsi_stream_init(&end->stream, &end_events);
    end->echo = true;
    assert_int_equal(wsi_stream_adopt(&end->stream, listener->loop, fd), 0);
    if (server->stop_after == server->accepted)
        wsi_listener_stop(listener);
}

static void server_starved(struct wsi_listener *listener, int error)
{
    assert_int_equal(error, EMFILE);
    WSI_CONTAINER_OF(listener, struct server, listener)->starved++;
}

static void server_init(struct server *server)
{
    *server = (struct server){
        .listener = {.on_accept = server_accept, .on_starved = server_starved},
    };
}

static void echo_over(const struct wsi_address *address, const char *peer)
{
    static struct server server;
    struct end client = {0};
    struct wsi_loop *loop = new_loop();
    struct wsi_address bound;
    int fd;

    server_init(&server);
    assert_int_equal(wsi_listen(address, 16, false, &fd), 0);
    assert_int_equal(wsi_listener_start(&server.listener, loop, fd), 0);
    assert_int_equal(wsi_address_local(&bound, fd), 0);
    wsi_stream_init(&client.stream, &end_events);
    assert_int_equal(wsi_stream_connect(&client.stream, loop, &bound, NULL), 0);
    assert_int_equal(client.connected, 0);
    turn_until(loop, &client.connected);
    assert_int_equal(client.connect_error, 0);
    memcpy(wsi_stream_reserve(&client.stream, 5), "hello", 5);
    wsi_stream_commit(&client.stream, 5);
    for (int i = 0; i < TURNS_MAX && client.received < 5; i++)
        wsi_loop_turn(loop, 10000);
    assert_memory_equal(client.last, "hello", 5);
    assert_non_null(strstr(server.peer, peer));
    wsi_stream_close(&client.stream, WSI_CLOSE_LINGER);
    assert_int_equal(client.closed, 0);
    turn_until(loop, &client.closed);
    turn_until(loop, &server.end[0].closed);
    assert_int_equal(client.close_error, 0);
    assert_int_equal(server.end[0].close_error, 0);
    assert_int_equal(server.end[0].eof, 1);
    assert_int_equal(client.eof, 0);
    wsi_listener_stop(&server.listener);
    close(fd);
    wsi_loop_free(loop);
}

static void echo_passes_over_tcp_v4(void **state)
{
    struct wsi_address address;

    (void)state;
    assert_true(wsi_address_numeric(&address, "127.0.0.1", 0));
    echo_over(&address, "127.0.0.1:");
}

static void echo_passes_over_tcp_v6(void **state)
{
    struct wsi_address address;

    (void)state;
    assert_true(wsi_address_numeric(&address, "::1", 0));
    echo_over(&address, "[::1]:");
}

static void echo_passes_over_a_unix_socket(void **state)
{
    char dir[] = "/tmp/wsi-test-XXXXXX";
    char path[64];
    struct wsi_address address;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    assert_int_equal(wsi_address_unix(&address, path), 0);
    echo_over(&address, "unix:");
    unlink(path);
    rmdir(dir);
}

static void refused_connect_is_told_once(void **state)
{
    struct wsi_loop *loop = new_loop();
    struct end client = {0};
    struct wsi_address address;
    int fd;

    (void)state;
    assert_true(wsi_address_numeric(&address, "127.0.0.1", 0));
    assert_int_equal(wsi_listen(&address, 1, false, &fd), 0);
    assert_int_equal(wsi_address_local(&address, fd), 0);
    close(fd);
    wsi_stream_init(&client.stream, &end_events);
    assert_int_equal(wsi_stream_connect(&client.stream, loop, &address, NULL), 0);
    turn_until(loop, &client.closed);
    assert_int_equal(client.connected, 1);
    assert_int_equal(client.connect_error, ECONNREFUSED);
    assert_int_equal(client.close_error, ECONNREFUSED);
    assert_int_equal(client.closed, 1);
    wsi_loop_free(loop);
}

static void missing_unix_socket_is_refused_at_once(void **state)
{
    struct wsi_loop *loop = new_loop();
    struct end client = {0};
    struct wsi_address address;

    (void)state;
    assert_int_equal(wsi_address_unix(&address, "/nonexistent/socket"), 0);
    wsi_stream_init(&client.stream, &end_events);
    assert_int_equal(wsi_stream_connect(&client.stream, loop, &address, NULL),
                     WSOCK_ECONNREFUSED);
    assert_false(wsi_stream_is_attached(&client.stream));
    wsi_loop_turn(loop, 0);
    assert_int_equal(client.closed, 0);
    wsi_loop_free(loop);
}

/* ---- mail ---- */

enum { POSTERS = 4, MAILS = 2000 };

struct letter {
    struct wsi_mail mail;
    struct post *post;
    int poster, number;
};

struct post {
    struct wsi_loop *loop;
    struct letter letter[POSTERS][MAILS];
    int last[POSTERS];
    int total, done;
};

static void letter_run(struct wsi_mail *mail)
{
    struct letter *letter = WSI_CONTAINER_OF(mail, struct letter, mail);
    struct post *post = letter->post;

    assert_int_equal(letter->number, post->last[letter->poster]);
    post->last[letter->poster]++;
    post->done = ++post->total == POSTERS * MAILS;
}

static void *poster(void *user)
{
    struct letter *letters = user;

    for (int i = 0; i < MAILS; i++)
        wsi_loop_post(letters[i].post->loop, &letters[i].mail);
    return NULL;
}

static void mail_of_many_threads_runs_in_order(void **state)
{
    static struct post post;
    pthread_t thread[POSTERS];

    (void)state;
    memset(&post, 0, sizeof post);
    post.loop = new_loop();
    for (int p = 0; p < POSTERS; p++)
        for (int i = 0; i < MAILS; i++)
            post.letter[p][i] = (struct letter){
                {.run = letter_run}, .post = &post, .poster = p, .number = i};
    for (int p = 0; p < POSTERS; p++)
        assert_int_equal(pthread_create(&thread[p], NULL, poster, post.letter[p]), 0);
    /* A lost wake-up would make this sleep for ever. */
    while (!post.done)
        wsi_loop_turn(post.loop, -1);
    for (int p = 0; p < POSTERS; p++)
        pthread_join(thread[p], NULL);
    wsi_loop_free(post.loop);
}

struct again {
    struct wsi_mail mail;
    struct wsi_loop *loop;
    int runs;
};

static void again_run(struct wsi_mail *mail)
{
    struct again *again = WSI_CONTAINER_OF(mail, struct again, mail);

    if (++again->runs < 3)
        wsi_loop_post(again->loop, mail);
}

static void mail_posted_by_mail_runs_in_the_next_turn(void **state)
{
    struct again again = {.mail.run = again_run};

    (void)state;
    again.loop = new_loop();
    wsi_loop_post(again.loop, &again.mail);
    for (int i = 1; i <= 3; i++) {
        wsi_loop_turn(again.loop, -1);
        assert_int_equal(again.runs, i);
    }
    wsi_loop_free(again.loop);
}

static void mail_that_waits_runs_before_the_loop_is_freed(void **state)
{
    struct again again = {.mail.run = again_run};

    (void)state;
    again.loop = new_loop();
    wsi_loop_post(again.loop, &again.mail);
    wsi_loop_free(again.loop);
    assert_int_equal(again.runs, 3);
}

static struct again late;

static uint64_t clock_that_posts(void *user)
{
    if (late.runs == 0) {
        late.runs = 1;
        wsi_loop_post(late.loop, &late.mail);
    }
    return ((struct script *)user)->now_us;
}

static void never(struct wsi_timer *timer)
{
    (void)timer;
    fail();
}

static void mail_posted_just_before_the_sleep_prevents_it(void **state)
{
    static struct script script;
    struct wsi_timer timer;

    (void)state;
    late = (struct again){.mail.run = again_run};
    late.loop = script_loop_new(&script);
    wsi_timer_init(&timer, never);
    wsi_loop_timer(late.loop, &timer, 1000);
    /* The loop has seen an empty mailbox when it looks at the clock, and has not yet said
     * that it sleeps, so nobody wakes it. */
    script.clock.now_us = clock_that_posts;
    wsi_loop_turn(late.loop, -1);
    assert_int_equal(script.now_us, 1000000);
    assert_int_equal(late.runs, 2);
    wsi_timer_stop(&timer);
    wsi_loop_free(late.loop);
}

static void woken_loop_sleeps_again(void **state)
{
    static struct post post;
    pthread_t thread;
    int turns = 0;
    uint64_t end_us;

    (void)state;
    memset(&post, 0, sizeof post);
    post.loop = new_loop();
    for (int i = 0; i < MAILS; i++)
        post.letter[0][i] = (struct letter){
            {.run = letter_run}, .post = &post, .poster = 0, .number = i};
    assert_int_equal(pthread_create(&thread, NULL, poster, post.letter[0]), 0);
    while (post.total < MAILS)
        wsi_loop_turn(post.loop, -1);
    pthread_join(thread, NULL);
    end_us = wsi_loop_clock_us(post.loop) + 20000;
    while (wsi_loop_clock_us(post.loop) < end_us) {
        wsi_loop_turn(post.loop, 20);
        turns++;
    }
    assert_true(turns <= 4);
    wsi_loop_free(post.loop);
}

/* ---- timers in a loop ---- */

struct alarm {
    struct wsi_timer timer;
    int rang;
};

static void alarm_ring(struct wsi_timer *timer)
{
    WSI_CONTAINER_OF(timer, struct alarm, timer)->rang++;
}

static void timer_ends_the_sleep_and_is_not_early(void **state)
{
    struct wsi_loop *loop = new_loop();
    struct alarm alarm = {0};
    uint64_t before;

    (void)state;
    wsi_timer_init(&alarm.timer, alarm_ring);
    wsi_loop_turn(loop, 0);
    before = wsi_loop_clock_us(loop);
    wsi_loop_timer(loop, &alarm.timer, 5);
    turn_until(loop, &alarm.rang);
    assert_true(wsi_loop_clock_us(loop) - before >= 4900);
    assert_true(wsi_loop_clock_us(loop) - before < 5000000);
    wsi_loop_free(loop);
}

/* ---- listeners ---- */

static void connect_clients(struct end *client, int count, struct wsi_loop *loop,
                            const struct wsi_address *to)
{
    for (int i = 0; i < count; i++) {
        memset(&client[i], 0, sizeof client[i]);
        wsi_stream_init(&client[i].stream, &end_events);
        assert_int_equal(wsi_stream_connect(&client[i].stream, loop, to, NULL), 0);
    }
}

static void close_ends(struct wsi_loop *loop, struct end *end, int count)
{
    for (int i = 0; i < count; i++)
        wsi_stream_close(&end[i].stream, WSI_CLOSE_NOW);
    for (int i = 0; i < count; i++)
        turn_until(loop, &end[i].closed);
}

static void listener_rests_without_descriptors_and_recovers(void **state)
{
    static struct server server;
    static struct end client[3];
    struct wsi_loop *loop = new_loop();
    struct wsi_address address;
    struct rlimit before, tight;
    int fd, turns = 0;

    (void)state;
    server_init(&server);
    assert_true(wsi_address_numeric(&address, "127.0.0.1", 0));
    assert_int_equal(wsi_listen(&address, 16, false, &fd), 0);
    assert_int_equal(wsi_address_local(&address, fd), 0);
    connect_clients(client, 3, loop, &address);
    for (int i = 0; i < 3; i++)
        turn_until(loop, &client[i].connected);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)client[2].stream.fd + 2; /* room for one */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(wsi_listener_start(&server.listener, loop, fd), 0);
    wsi_loop_turn(loop, 1000);
    assert_int_equal(server.accepted, 1);
    assert_int_equal(server.starved, 1);
    /* Two connections wait, and the loop sleeps through the rest all the same. */
    while (server.starved == 1) {
        wsi_loop_turn(loop, 1000);
        turns++;
    }
    assert_true(turns <= 3);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (server.accepted < 3)
        wsi_loop_turn(loop, 1000);
    wsi_listener_stop(&server.listener);
    close_ends(loop, client, 3);
    close_ends(loop, server.end, 3);
    close(fd);
    wsi_loop_free(loop);
}

static void listener_may_be_stopped_by_its_own_callback(void **state)
{
    static struct server server;
    static struct end client[3];
    struct wsi_loop *loop = new_loop();
    struct wsi_address address;
    int fd;

    (void)state;
    server_init(&server);
    server.stop_after = 1;
    assert_true(wsi_address_numeric(&address, "127.0.0.1", 0));
    assert_int_equal(wsi_listen(&address, 16, false, &fd), 0);
    assert_int_equal(wsi_address_local(&address, fd), 0);
    connect_clients(client, 3, loop, &address);
    for (int i = 0; i < 3; i++)
        turn_until(loop, &client[i].connected);
    assert_int_equal(wsi_listener_start(&server.listener, loop, fd), 0);
    wsi_loop_turn(loop, 1000);
    wsi_loop_turn(loop, 0);
    assert_int_equal(server.accepted, 1);
    close_ends(loop, client, 3);
    close_ends(loop, server.end, 1);
    close(fd);
    wsi_loop_free(loop);
}

static struct server *pair[2];

static void accept_and_stop_both(struct wsi_listener *listener, int fd,
                                 const struct wsi_address *peer)
{
    struct wsi_loop *at = listener->loop;

    (void)peer;
    close(fd);
    for (int i = 0; i < 2; i++) {
        wsi_listener_stop(&pair[i]->listener);
        /* The memory is the caller's again, while the batch still holds an event. */
        memset(pair[i], 0, sizeof *pair[i]);
    }
    assert_non_null(at);
}

static void listener_may_be_stopped_while_its_event_waits(void **state)
{
    static struct server server[2];
    struct wsi_loop *loop = new_loop();
    struct end client[2];
    struct wsi_address address;
    int fd[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        pair[i] = &server[i];
        server_init(&server[i]);
        server[i].listener.on_accept = accept_and_stop_both;
        assert_true(wsi_address_numeric(&address, "127.0.0.1", 0));
        assert_int_equal(wsi_listen(&address, 16, false, &fd[i]), 0);
        assert_int_equal(wsi_address_local(&address, fd[i]), 0);
        connect_clients(&client[i], 1, loop, &address);
        turn_until(loop, &client[i].connected);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(wsi_listener_start(&server[i].listener, loop, fd[i]), 0);
    wsi_loop_turn(loop, 1000);
    close_ends(loop, client, 2);
    close(fd[0]);
    close(fd[1]);
    wsi_loop_free(loop);
}

static void paused_listener_leaves_connections_in_the_backlog(void **state)
{
    static struct server server;
    static struct end client[1];
    struct wsi_loop *loop = new_loop();
    struct wsi_address address;
    int fd;

    (void)state;
    server_init(&server);
    assert_true(wsi_address_numeric(&address, "127.0.0.1", 0));
    assert_int_equal(wsi_listen(&address, 16, false, &fd), 0);
    assert_int_equal(wsi_address_local(&address, fd), 0);
    assert_int_equal(wsi_listener_start(&server.listener, loop, fd), 0);
    wsi_listener_pause(&server.listener);
    wsi_listener_pause(&server.listener);
    connect_clients(client, 1, loop, &address);
    turn_until(loop, &client[0].connected);
    wsi_loop_turn(loop, 10);
    assert_int_equal(server.accepted, 0);
    wsi_listener_resume(&server.listener);
    turn_until(loop, &server.accepted);
    wsi_listener_stop(&server.listener);
    wsi_listener_stop(&server.listener);
    close_ends(loop, client, 1);
    close_ends(loop, server.end, 1);
    close(fd);
    wsi_loop_free(loop);
}

/* ---- failing ---- */

static void loop_reports_a_failed_allocation(void **state)
{
    const struct wsi_loop_config config = {0};
    struct wsi_loop *loop = NULL;
    int r = 0;

    (void)state;
    FOR_EACH_OOM(r, r = wsi_loop_new(&loop, &config), wsi_loop_free(loop));
    wsi_loop_free(NULL);
}

static void loop_reports_that_descriptors_ran_out(void **state)
{
    const struct wsi_loop_config config = {0};
    struct wsi_loop *loop = NULL;
    struct rlimit before, tight;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)dup(0) + 1;
    close((int)tight.rlim_cur - 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(wsi_loop_new(&loop, &config), WSOCK_EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(echo_passes_over_tcp_v4),
        TEST(echo_passes_over_tcp_v6),
        TEST(echo_passes_over_a_unix_socket),
        TEST(refused_connect_is_told_once),
        TEST(missing_unix_socket_is_refused_at_once),
        TEST(mail_of_many_threads_runs_in_order),
        TEST(mail_posted_by_mail_runs_in_the_next_turn),
        TEST(mail_that_waits_runs_before_the_loop_is_freed),
        TEST(mail_posted_just_before_the_sleep_prevents_it),
        TEST(woken_loop_sleeps_again),
        TEST(timer_ends_the_sleep_and_is_not_early),
        TEST(listener_rests_without_descriptors_and_recovers),
        TEST(listener_may_be_stopped_by_its_own_callback),
        TEST(listener_may_be_stopped_while_its_event_waits),
        TEST(paused_listener_leaves_connections_in_the_backlog),
        TEST(loop_reports_a_failed_allocation),
        TEST(loop_reports_that_descriptors_ran_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
