/* SPDX-License-Identifier: MIT */
/* Requests on a queue: answered there, elsewhere, late, or never. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a server whose requests somebody answers ---- */

enum answer {
    ACCEPT_ELSEWHERE,
    REJECT_ELSEWHERE,
    KEEP,
    FORGET,
};

struct desk {
    struct world world;
    enum answer answer;
    wsock_request *request; /* a reference, for another thread */
    int asked, answered, http;
};

/* It stays NULL or becomes a reference; `asked` says when. */
static void on_request(wsock_request *request, void *user)
{
    struct desk *desk = user;

    if (desk->answer != FORGET)
        desk->request = wsock_request_ref(request);
    tell(&desk->asked);
}

static void on_http(wsock_request *request, void *user)
{
    CHECK(wsock_request_respond(request, 200, "text/plain", "plain", 5) == 0);
    tell(&((struct desk *)user)->http);
}

static void desk_begin(struct desk *desk, enum answer answer)
{
    memset(desk, 0, sizeof *desk);
    world_begin_queued(&desk->world, 2);
    desk->answer = answer;
    assert_int_equal(
        wsock_endpoint_on_request(desk->world.endpoint, on_request, desk, NULL), 0);
    assert_int_equal(wsock_server_on_http(desk->world.server, on_http, desk, NULL), 0);
    if (answer == KEEP)
        assert_int_equal(wsock_server_set(desk->world.server, "request_timeout", "100ms"),
                         0);
    world_listen(&desk->world, NULL);
}

static void desk_end(struct desk *desk)
{
    wsock_request_unref(desk->request);
    world_end(&desk->world);
}

/* ---- peers, on threads of their own ---- */

struct caller {
    pthread_t thread;
    const char *url;
    const char *text; /* NULL: an upgrade */
    int status, ended;
    char answer[2000];
};

static void *call_main(void *user)
{
    struct caller *caller = user;
    int fd;

    if (caller->text != NULL) {
        caller->status = raw_http(caller->url, caller->text, caller->answer,
                                  sizeof caller->answer);
    } else {
        fd = raw_connect(caller->url);
        caller->status = raw_upgrade(fd, "/test", "");
        close(fd);
    }
    tell(&caller->ended);
    return NULL;
}

static void call(struct caller *caller, struct desk *desk, const char *text)
{
    memset(caller, 0, sizeof *caller);
    caller->url = desk->world.url;
    caller->text = text;
    pthread_create(&caller->thread, NULL, call_main, caller);
}

static int status_of(struct caller *caller)
{
    await(&caller->ended, 1);
    pthread_join(caller->thread, NULL);
    return caller->status;
}

static void *answer_main(void *user)
{
    struct desk *desk = user;

    if (desk->answer == ACCEPT_ELSEWHERE)
        CHECK(wsock_request_accept(desk->request, NULL) == 0);
    else
        CHECK(wsock_request_reject(desk->request, 403, "no") == 0);
    wsock_request_unref(desk->request);
    desk->request = NULL;
    tell(&desk->answered);
    return NULL;
}

static void answered_elsewhere(enum answer answer, int status)
{
    for (int i = 0; i < 10; i++) {
        struct desk desk;
        struct caller caller;
        pthread_t thread;

        desk_begin(&desk, answer);
        call(&caller, &desk, NULL);
        dispatch_until(desk.world.queue, &desk.asked, 1);
        pthread_create(&thread, NULL, answer_main, &desk);
        assert_int_equal(status_of(&caller), status);
        pthread_join(thread, NULL);
        if (status == 101)
            dispatch_until(desk.world.queue, &desk.world.side.closed, 1);
        desk_end(&desk);
    }
}

static void another_thread_may_accept(void **state)
{
    (void)state;
    answered_elsewhere(ACCEPT_ELSEWHERE, 101);
}

static void another_thread_may_reject(void **state)
{
    (void)state;
    answered_elsewhere(REJECT_ELSEWHERE, 403);
}

static void neither_answered_nor_kept_gives_500(void **state)
{
    struct desk desk;
    struct caller caller;

    (void)state;
    desk_begin(&desk, FORGET);
    call(&caller, &desk, NULL);
    dispatch_until(desk.world.queue, &desk.asked, 1);
    assert_int_equal(status_of(&caller), 500);
    desk_end(&desk);
    assert_int_equal(desk.world.side.cancelled, 0);
}

static void kept_for_too_long_is_cancelled(void **state)
{
    struct desk desk;
    struct caller caller;

    (void)state;
    desk_begin(&desk, KEEP);
    call(&caller, &desk, NULL);
    dispatch_until(desk.world.queue, &desk.asked, 1);
    assert_int_equal(status_of(&caller), 503);
    assert_int_equal(wsock_request_accept(desk.request, NULL), WSOCK_ECLOSED);
    dispatch_until(desk.world.queue, &desk.world.side.cancelled, 1);
    desk_end(&desk);
}

/* The handler hears of the request, then that it was cancelled. */
static void a_host_that_sleeps_too_long_is_told_both(void **state)
{
    struct desk desk;
    struct caller caller;

    (void)state;
    desk_begin(&desk, KEEP);
    call(&caller, &desk, NULL);
    assert_int_equal(status_of(&caller), 503);
    assert_int_equal(desk.asked, 0);
    assert_int_equal(wsock_queue_dispatch(desk.world.queue, 1, 0), 1);
    assert_int_equal(desk.asked, 1);
    assert_int_equal(wsock_request_accept(desk.request, NULL), WSOCK_ECLOSED);
    assert_int_equal(wsock_queue_dispatch(desk.world.queue, 1, 0), 1);
    assert_int_equal(desk.world.side.cancelled, 1);
    desk_end(&desk);
}

static void plain_requests_run_on_the_queue(void **state)
{
    struct desk desk;
    struct caller caller;

    (void)state;
    desk_begin(&desk, FORGET);
    call(&caller, &desk, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(wsock_queue_wait(desk.world.queue, 20000), 1);
    assert_int_equal(desk.http, 0);
    dispatch_until(desk.world.queue, &desk.http, 1);
    assert_int_equal(status_of(&caller), 200);
    desk_end(&desk);
}

/* One request waits when the queue closes, others come behind it. */
static void requests_of_a_closed_queue_get_503(void **state)
{
    struct desk desk;
    struct caller before, upgrade, plain;

    (void)state;
    desk_begin(&desk, ACCEPT_ELSEWHERE);
    call(&before, &desk, NULL);
    assert_int_equal(wsock_queue_wait(desk.world.queue, 20000), 1);
    wsock_queue_close(desk.world.queue);
    assert_int_equal(status_of(&before), 503);
    call(&upgrade, &desk, NULL);
    assert_int_equal(status_of(&upgrade), 503);
    call(&plain, &desk, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(status_of(&plain), 503);
    assert_int_equal(desk.asked, 0);
    assert_int_equal(desk.http, 0);
    desk.world.stopped++; /* on_stopped is not heard any more */
    desk_end(&desk);
}

/* Connections are open, opening and closing when it closes. */
static void closing_a_queue_ends_nothing_else(void **state)
{
    struct world world;
    struct side peers[20] = {{0}};
    wsock_client *clients[20];

    (void)state;
    world_begin_queued(&world, 2);
    world.side.echo = true;
    world_listen(&world, NULL);
    for (int i = 0; i < 20; i++) {
        clients[i] = world_client(&world, &peers[i]);
        world_connect_queued(&world, clients[i], &peers[i]);
        assert_int_equal(wsock_conn_send(peers[i].conn, WSOCK_TEXT, "x", 1), 0);
    }
    for (int i = 0; i < 20; i += 2)
        assert_int_equal(wsock_conn_close(peers[i].conn, 1000, NULL), 0);
    wsock_queue_close(world.queue);
    for (int i = 0; i < 20; i += 2)
        await(&peers[i].closed, 1);
    for (int i = 1; i < 20; i += 2) {
        assert_int_equal(told(&peers[i].closed), 0);
        assert_int_equal(wsock_conn_send(peers[i].conn, WSOCK_TEXT, "y", 1), 0);
    }
    wsock_server_stop(world.server);
    assert_int_equal(wsock_server_wait(world.server, 20000), 0);
    for (int i = 0; i < 20; i++) {
        await(&peers[i].closed, 1);
        side_fini(&peers[i]);
        wsock_client_unref(clients[i]);
    }
    assert_int_equal(world.side.closed, 0);
    world.stopped++;
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_thread_may_accept),
        TEST(another_thread_may_reject),
        TEST(neither_answered_nor_kept_gives_500),
        TEST(kept_for_too_long_is_cancelled),
        TEST(a_host_that_sleeps_too_long_is_told_both),
        TEST(plain_requests_run_on_the_queue),
        TEST(requests_of_a_closed_queue_get_503),
        TEST(closing_a_queue_ends_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
