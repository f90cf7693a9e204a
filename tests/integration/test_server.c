/* SPDX-License-Identifier: MIT */
/* A server's doors and what it says at them: listeners, requests, files, refusals. */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- listeners ---- */

static bool upgrades(const char *url)
{
    const int fd = raw_connect(url);
    const int status = raw_upgrade(fd, "/test", "");

    close(fd);
    return status == 101;
}

static void url_at(struct world *world, size_t index, char *url, size_t size)
{
    assert_true(wsock_server_url(world->server, url, size, index) > 0);
}

static void several_listeners_lead_to_one_server(void **state)
{
    struct world world;
    char v4[64], v6[64], un[128], url[128], path[64];
    struct stat info;

    (void)state;
    snprintf(path, sizeof path, "%s", world_unix_path());
    snprintf(un, sizeof un, "ws+unix:%s", path);
    world_begin(&world, 0);
    world_listen(&world, "ws://127.0.0.1:0");
    world_listen(&world, "ws://[::1]:0");
    world_listen(&world, un);
    url_at(&world, 0, v4, sizeof v4);
    url_at(&world, 1, v6, sizeof v6);
    url_at(&world, 2, url, sizeof url);
    assert_string_equal(url, un);
    assert_int_equal(wsock_server_url(world.server, url, sizeof url, 3), WSOCK_ENOENT);
    assert_int_equal(wsock_server_url(world.server, url, 5, 0), WSOCK_ETOOBIG);
    assert_null(strstr(v4, ":0")); /* the real port */
    assert_true(strncmp(v6, "ws://[::1]:", 11) == 0);
    assert_true(upgrades(v4));
    assert_true(upgrades(v6));
    assert_true(upgrades(un));
    assert_int_equal(stat(path, &info), 0);
    world_end(&world);
    assert_int_equal(world.side.opened, 3);
    assert_int_equal(stat(path, &info), -1); /* removed at the end */
}

static void star_listens_on_both_families(void **state)
{
    struct world world;
    char url[64], v6[64];

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, "ws://*:0");
    snprintf(url, sizeof url, "ws://127.0.0.1%s", strrchr(world.url, ':'));
    snprintf(v6, sizeof v6, "ws://[::1]%s", strrchr(world.url, ':'));
    assert_true(upgrades(url));
    assert_true(upgrades(v6));
    world_end(&world);
}

static void port_in_use_is_an_error_that_names_it(void **state)
{
    const char *const reuse[] = {"no", "yes"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world, other;

        world_begin(&world, 0);
        world_begin(&other, 0);
        wsock_server_set(world.server, "reuse_port", reuse[i]);
        wsock_server_set(other.server, "reuse_port", reuse[i]);
        world_listen(&world, NULL);
        assert_int_equal(wsock_server_listen(other.server, world.url), WSOCK_EADDRINUSE);
        assert_non_null(
            strstr(wsock_server_error(other.server), world.url + strlen("ws://")));
        assert_int_equal(wsock_server_listen(world.server, world.url), WSOCK_EADDRINUSE);
        assert_true(upgrades(world.url));
        world_end(&other);
        world_end(&world);
    }
}

static void listen_says_what_is_wrong(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_listen(world.server, "http://x"), WSOCK_EURL);
    assert_int_equal(wsock_server_listen(world.server, "wss://127.0.0.1:0"),
                     WSI_HAVE_TLS ? WSOCK_ETLS : WSOCK_ENOTSUP);
    assert_non_null(strstr(wsock_server_error(world.server), "TLS"));
    assert_int_equal(wsock_server_listen(world.server, "ws://127.0.0.1:0/path"),
                     WSOCK_ENOTSUP);
    assert_int_equal(wsock_server_listen(world.server, "ws://192.0.2.1:0"),
                     WSOCK_EADDRNOTAVAIL);
    assert_non_null(strstr(wsock_server_error(world.server), "192.0.2.1"));
    assert_int_equal(wsock_server_listen(world.server, "ws+unix:/no/such/dir/s"),
                     WSOCK_ESYSTEM);
    world_end(&world);
}

static void stale_unix_socket_is_replaced_a_live_one_is_not(void **state)
{
    struct world world, other;
    char path[100], kept[100], url[128];
    struct stat info;
    FILE *file;
    int fd;

    (void)state;
    snprintf(path, sizeof path, "%s", world_unix_path());
    snprintf(kept, sizeof kept, "%s", world_unix_path());
    snprintf(url, sizeof url, "ws+unix:%s", path);
    world_begin(&world, 0);
    world_begin(&other, 0);
    world_listen(&world, url);
    assert_int_equal(wsock_server_listen(other.server, url), WSOCK_EADDRINUSE);
    assert_true(upgrades(url));
    assert_int_equal(rename(path, kept), 0); /* keep it from the end */
    world_end(&world);
    assert_int_equal(rename(kept, path), 0);
    world_listen(&other, url); /* nobody listens on it any more */
    fd = raw_connect(url);
    close(fd);
    world_end(&other);
    assert_int_equal(stat(path, &info), -1);
    /* What is no socket is never removed. */
    file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
    world_begin(&world, 0);
    assert_int_equal(wsock_server_listen(world.server, url), WSOCK_EADDRINUSE);
    world_end(&world);
    assert_int_equal(unlink(path), 0);
}

static void unlisten_closes_one_and_keeps_its_connections(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;
    char other[64];
    int fd;

    (void)state;
    world_begin(&world, 0);
    world.side.echo = true;
    world_listen(&world, NULL);
    world_listen(&world, NULL);
    url_at(&world, 1, other, sizeof other);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_server_unlisten(world.server, world.url), 0);
    assert_int_equal(wsock_server_unlisten(world.server, world.url), WSOCK_ENOENT);
    assert_int_equal(wsock_conn_send(side.conn, WSOCK_TEXT, "still", 5), 0);
    await(&side.messages, 1);
    assert_true(upgrades(other));
    /* The socket closes soon after: then a connection is refused. */
    for (int i = 1;; i++) {
        assert_int_equal(wsock_client_connect(client, NULL), 0);
        await(&side.closed, i);
        if (side.cause == WSOCK_CAUSE_CONNECT)
            break;
    }
    side_fini(&side);
    wsock_client_unref(client);
    fd = raw_open(other);
    close(fd);
    world_end(&world);
}

static void paused_accept_leaves_connections_waiting(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, NULL);
    client = world_client(&world, &side);
    world_connect(&world, client, &side);
    assert_int_equal(wsock_server_pause_accept(world.server), 0);
    assert_int_equal(wsock_server_pause_accept(world.server), 0);
    /* Two round trips through the worker's mailbox and the pause is there. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wsock_conn_send_ping(side.conn, "p", 1), 0);
        await(&side.pongs, i + 1);
    }
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    assert_true(stays_below(&side.opened, 2, 100));
    assert_int_equal(wsock_server_resume_accept(world.server), 0);
    await(&side.opened, 2);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

/* For hosts that bind first and are set up then. */
static void patterns_are_open_until_accepting_begins(void **state)
{
    struct world world;
    struct side side = {0};
    wsock_client *client;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_pause_accept(world.server), 0);
    world_listen(&world, NULL);
    assert_int_equal(wsock_server_endpoint(world.server, NULL, "/late"), 0);
    client = world_client(&world, &side);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    assert_true(stays_below(&side.opened, 1, 100));
    assert_int_equal(wsock_server_resume_accept(world.server), 0);
    assert_int_equal(wsock_server_endpoint(world.server, NULL, "/later"), WSOCK_EBUSY);
    assert_int_equal(wsock_server_endpoint(world.server, NULL, "/late"), 0);
    await(&side.opened, 1);
    assert_int_equal(wsock_server_pause_accept(world.server), 0);
    assert_int_equal(wsock_server_endpoint(world.server, NULL, "/later"), WSOCK_EBUSY);
    side_fini(&side);
    wsock_client_unref(client);
    world_end(&world);
}

/* ---- requests ---- */

static void judge(wsock_request *request, void *user)
{
    const char *name, *value;

    CHECK(wsock_request_is_upgrade(request) == 1);
    CHECK(strcmp(wsock_request_method(request), "GET") == 0);
    CHECK(strcmp(wsock_request_path(request), "/chat/a b/x/y") == 0);
    CHECK(strcmp(wsock_request_target(request), "/chat/a%20b/x/y?n=1&m=%C3%A4&n=2") == 0);
    CHECK(strcmp(wsock_request_param(request, "room"), "a b") == 0);
    CHECK(strcmp(wsock_request_param(request, "rest"), "x/y") == 0);
    CHECK(wsock_request_param(request, "none") == NULL);
    CHECK(strcmp(wsock_request_query(request, "n"), "1") == 0);
    CHECK(strcmp(wsock_request_query(request, "m"), "\xc3\xa4") == 0);
    CHECK(strcmp(wsock_request_cookie(request, "id"), "7") == 0);
    CHECK(strcmp(wsock_request_header(request, "x-extra"), "yes") == 0);
    CHECK(wsock_request_offers(request, "two") == 1);
    CHECK(wsock_request_offers(request, "three") == 0);
    CHECK(wsock_request_field_at(request, &name, &value, WSOCK_FIELDS_QUERY, 2) == 0 &&
          strcmp(name, "n") == 0 && strcmp(value, "2") == 0);
    CHECK(wsock_request_field_at(request, &name, &value, WSOCK_FIELDS_QUERY, 3) ==
          WSOCK_ENOENT);
    CHECK(wsock_request_accept(request, "three") == WSOCK_EINVAL);
    CHECK(wsock_request_add_header(request, "Sec-WebSocket-Accept", "x") == WSOCK_EINVAL);
    CHECK(wsock_request_add_header(request, "X-Bad", "a\r\nb") == WSOCK_EINVAL);
    CHECK(wsock_request_add_header(request, "X-Answer", "forty-two") == 0);
    CHECK(wsock_request_accept(request, "two") == 0);
    CHECK(wsock_request_accept(request, "two") == WSOCK_ECLOSED);
    tell(user);
}

static bool answer_has(const wsock_conn *conn, const char *name, const char *value)
{
    const char *n = NULL, *v = NULL;
    size_t i = 0;

    while (wsock_conn_response_field_at(conn, &n, &v, i) == 0 &&
           (strcmp(n, name) != 0 || strcmp(v, value) != 0))
        i++;
    return wsock_conn_response_field_at(conn, &n, &v, i) == 0;
}

static void requests_tell_what_the_client_said_both_ways(void **state)
{
    struct world world;
    struct side side = {0}, there = {0};
    wsock_endpoint *chat = NULL;
    wsock_client *client = NULL;
    wsock_request *request;
    char url[320];
    int judged = 0;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_endpoint(world.server, &chat, "/chat/{room}/{rest...}"),
                     0);
    wsock_endpoint_on_request(chat, judge, &judged, NULL);
    side_endpoint(&there, chat);
    world_listen(&world, NULL);
    assert_int_equal(wsock_server_endpoint(world.server, NULL, "/new"), WSOCK_EBUSY);
    snprintf(url, sizeof url, "%s/chat/a%%20b/x/y?n=1&m=%%C3%%A4&n=2", world.url);
    assert_int_equal(wsock_runtime_client(world.runtime, &client, url), 0);
    side_client(&side, client);
    assert_int_equal(wsock_client_add_header(client, "X-Extra", "no"), 0);
    assert_int_equal(wsock_client_add_header(client, "X-Extra", "nor"), 0);
    assert_int_equal(wsock_client_set_header(client, "x-extra", "yes"), 0);
    assert_int_equal(wsock_client_add_header(client, "Cookie", "a=b; id=7"), 0);
    assert_int_equal(wsock_client_add_header(client, "Host", "x"), WSOCK_EINVAL);
    assert_int_equal(wsock_client_add_subprotocol(client, "one"), 0);
    assert_int_equal(wsock_client_add_subprotocol(client, "two"), 0);
    assert_int_equal(wsock_client_add_subprotocol(client, "two"), WSOCK_EEXIST);
    assert_int_equal(wsock_client_add_subprotocol(client, "t wo"), WSOCK_EINVAL);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&side.opened, 1);
    await(&there.opened, 1);
    assert_int_equal(judged, 1);
    assert_string_equal(wsock_conn_subprotocol(side.conn), "two");
    assert_string_equal(wsock_conn_subprotocol(there.conn), "two");
    assert_string_equal(wsock_conn_response_header(side.conn, "x-answer"), "forty-two");
    assert_true(answer_has(side.conn, "X-Answer", "forty-two"));
    assert_false(answer_has(there.conn, "X-Answer", "forty-two"));
    assert_null(wsock_conn_request(side.conn));
    request = wsock_conn_request(there.conn);
    assert_string_equal(wsock_request_param(request, "room"), "a b");
    assert_string_equal(wsock_request_cookie(request, "id"), "7");
    assert_int_equal(wsock_server_conn_count(world.server), 1);
    side_fini(&side);
    side_fini(&there);
    wsock_endpoint_unref(chat);
    wsock_client_unref(client);
    world_end(&world);
}

static void endpoints_have_handlers_and_limits_of_their_own(void **state)
{
    struct world world;
    struct side small = {0};
    wsock_endpoint *endpoint = NULL, *same = NULL;
    int64_t value = 0;
    int fd;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_endpoint(world.server, &endpoint, "/small/{id}"), 0);
    assert_int_equal(wsock_server_endpoint(world.server, &same, "/small/{id}"), 0);
    assert_ptr_equal(same, endpoint);
    assert_int_equal(wsock_server_endpoint(world.server, NULL, "/small/{x}"),
                     WSOCK_EEXIST);
    assert_int_equal(wsock_server_endpoint(world.server, NULL, "small"), WSOCK_EINVAL);
    side_endpoint(&small, endpoint);
    assert_int_equal(wsock_endpoint_set(endpoint, "max_message_bytes", "10"), 0);
    assert_int_equal(wsock_server_set(world.server, "max_message_bytes", "100"), 0);
    assert_int_equal(wsock_endpoint_get_int64(endpoint, "max_message_bytes", &value), 0);
    assert_int_equal(value, 10);
    world_listen(&world, NULL);
    fd = raw_connect(world.url);
    assert_int_equal(raw_upgrade(fd, "/small/1", ""), 101);
    raw_frame(fd, 0x81, "0123456789", 10);
    await(&small.messages, 1);
    raw_frame(fd, 0x81, "0123456789A", 11);
    assert_int_equal(raw_receive_close(fd), 1009);
    close(fd);
    fd = raw_open(world.url);
    raw_frame(fd, 0x81, "0123456789A", 11); /* the server's limit */
    await(&world.side.messages, 1);
    close(fd);
    side_fini(&small);
    wsock_endpoint_unref(endpoint);
    wsock_endpoint_unref(same);
    world_end(&world);
}

/* ---- plain HTTP ---- */

static void greet(wsock_request *request, void *user)
{
    char text[64];

    (void)user;
    CHECK(wsock_request_is_upgrade(request) == 0);
    CHECK(wsock_request_accept(request, NULL) == WSOCK_EINVAL);
    CHECK(wsock_request_add_header(request, "X-Who", "handler") == 0);
    snprintf(text, sizeof text, "hello %s", wsock_request_query(request, "who"));
    CHECK(wsock_request_respond(request, 201, "text/x-greeting", text, strlen(text)) ==
          0);
}

static void give_back(wsock_request *request, void *user)
{
    const void *data = NULL;
    size_t len = 0;

    (void)user;
    CHECK(strcmp(wsock_request_method(request), "POST") == 0);
    CHECK(wsock_request_body(request, &data, &len) == 0);
    CHECK(wsock_request_body(request, &data, NULL) == WSOCK_EINVAL);
    CHECK(wsock_request_respond(request, 200, NULL, data, len) == 0);
}

static void plain_requests_get_a_handlers_answer(void **state)
{
    struct world world;
    char answer[4096];

    (void)state;
    world_begin(&world, 0);
    wsock_server_on_http(world.server, greet, NULL, NULL);
    world_listen(&world, NULL);
    assert_int_equal(raw_http(world.url, "GET /x?who=you HTTP/1.1\r\nHost: a\r\n\r\n",
                              answer, sizeof answer),
                     201);
    assert_non_null(strstr(answer, "\r\nContent-Type: text/x-greeting\r\n"));
    assert_non_null(strstr(answer, "\r\nX-Who: handler\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\nhello you"));
    assert_int_equal(raw_http(world.url, "HEAD /x?who=you HTTP/1.1\r\nHost: a\r\n\r\n",
                              answer, sizeof answer),
                     201);
    assert_non_null(strstr(answer, "\r\nContent-Length: 9\r\n"));
    assert_null(strstr(answer, "hello"));
    wsock_server_on_http(world.server, NULL, NULL, NULL);
    assert_int_equal(
        raw_http(world.url, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", answer, sizeof answer),
        404);
    assert_int_equal(raw_http(world.url, "GET /test HTTP/1.1\r\nHost: a\r\n\r\n", answer,
                              sizeof answer),
                     426);
    assert_int_equal(
        raw_http(world.url, "POST / HTTP/1.1\r\nHost: a\r\n\r\n", answer, sizeof answer),
        405);
    assert_int_equal(wsock_server_set(world.server, "max_body_bytes", "5"), 0);
    wsock_server_on_http(world.server, give_back, NULL, NULL);
    assert_int_equal(raw_http(world.url,
                              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
                              "hello",
                              answer, sizeof answer),
                     200);
    assert_non_null(strstr(answer, "\r\n\r\nhello"));
    assert_int_equal(raw_http(world.url,
                              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n",
                              answer, sizeof answer),
                     413);
    world_end(&world);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int get(const char *url, const char *target, char *answer, size_t size)
{
    char request[256];

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    return raw_http(url, request, answer, size);
}

static void files_answer_plain_requests_and_stay_in_their_directory(void **state)
{
    static const char *const outside[] = {
        "/../secret",   "/%2e%2e/secret", "/sub/../../secret",
        "/..%2fsecret", "//../secret",
    };
    char root[] = "/tmp/wsock-test-XXXXXX", www[64], answer[4096];
    struct world world;

    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(www, sizeof www, "%s/www", root);
    assert_int_equal(mkdir(www, 0755), 0);
    write_file(root, "secret", "secret");
    write_file(www, "index.html", "<p>page");
    write_file(www, "a.js", "1;");
    world_begin(&world, 0);
    assert_int_equal(wsock_server_set(world.server, "www", www), 0);
    world_listen(&world, NULL);
    assert_int_equal(get(world.url, "/", answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "\r\nContent-Type: text/html"));
    assert_non_null(strstr(answer, "\r\n\r\n<p>page"));
    assert_int_equal(get(world.url, "/a.js?v=2", answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "\r\nContent-Type: text/javascript"));
    assert_int_equal(raw_http(world.url, "HEAD /a.js HTTP/1.1\r\nHost: a\r\n\r\n", answer,
                              sizeof answer),
                     200);
    assert_non_null(strstr(answer, "\r\nContent-Length: 2\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    assert_int_equal(get(world.url, "/none", answer, sizeof answer), 404);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        assert_true(get(world.url, outside[i], answer, sizeof answer) >= 400);
        assert_null(strstr(answer, "\r\n\r\nsecret"));
    }
    world_end(&world);
    snprintf(answer, sizeof answer, "rm -r '%s'", root);
    assert_int_equal(system(answer), 0);
}

static void slow_reader_of_a_file_does_not_hold_up_the_stop(void **state)
{
    char root[] = "/tmp/wsock-test-XXXXXX", path[64], command[64];
    struct world world;
    FILE *file;
    int64_t began;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/big", root);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), 64 << 20), 0);
    fclose(file);
    world_begin(&world, 0);
    assert_int_equal(wsock_server_set(world.server, "www", root), 0);
    assert_int_equal(wsock_server_set(world.server, "stop_timeout", "100ms"), 0);
    world_listen(&world, NULL);
    fd = raw_connect(world.url);
    raw_text(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(raw_read(fd, command, 12), 12);
    began = now_ms();
    world_end(&world);
    assert_true(now_ms() - began < 5000);
    close(fd);
    snprintf(command, sizeof command, "rm -r '%s'", root);
    assert_int_equal(system(command), 0);
}

/* ---- refusals ---- */

static int upgrade_with(const char *url, const char *headers)
{
    const int fd = raw_connect(url);
    const int status = raw_upgrade(fd, "/test", headers);

    close(fd);
    return status;
}

static void foreign_origins_are_refused(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world, 0);
    world_listen(&world, NULL);
    assert_int_equal(upgrade_with(world.url, "Origin: http://evil.example\r\n"), 403);
    assert_int_equal(upgrade_with(world.url, "Origin: null\r\n"), 403);
    assert_int_equal(upgrade_with(world.url, "Origin: http://test\r\n"), 101);
    assert_int_equal(upgrade_with(world.url, "Origin: http://test:81\r\n"), 403);
    world_end(&world);
    world_begin(&world, 0);
    assert_int_equal(wsock_server_set(world.server, "origins", "https://good.example"),
                     0);
    world_listen(&world, NULL);
    assert_int_equal(upgrade_with(world.url, "Origin: https://good.example\r\n"), 101);
    assert_int_equal(upgrade_with(world.url, "Origin: https://evil.example\r\n"), 403);
    world_end(&world);
}

static void malformed_origin_in_the_list_is_an_error_that_names_it(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(
        wsock_server_set(world.server, "origins", "https://a.example, b.example , same"),
        WSOCK_EINVAL);
    assert_string_equal(
        wsock_server_error(world.server),
        "option \"origins\": \"b.example\": an origin is scheme://host or "
        "scheme://host:port");
    world_listen(&world, NULL);
    assert_int_equal(upgrade_with(world.url, "Origin: https://a.example\r\n"), 403);
    world_end(&world);
}

static void handshakes_that_break_rules_get_their_status(void **state)
{
    struct world world;
    char request[40000], answer[2048];
    size_t len;
    int fd;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_set(world.server, "handshake_timeout", "100ms"), 0);
    world_listen(&world, NULL);
    fd = raw_connect(world.url);
    raw_text(fd, "GET / HT");
    raw_read_all(fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 408 "));
    close(fd);
    assert_int_equal(wsock_server_set(world.server, "handshake_timeout", "20s"), 0);
    len = (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(request + len, 'x', 20000);
    strcpy(request + len + 20000, "\r\n\r\n");
    assert_int_equal(raw_http(world.url, request, answer, sizeof answer), 431);
    len = (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 100; i++)
        len += (size_t)snprintf(request + len, sizeof request - len, "X: y\r\n");
    strcpy(request + len, "\r\n");
    assert_int_equal(raw_http(world.url, request, answer, sizeof answer), 431);
    assert_int_equal(
        raw_http(world.url,
                 "GET /test HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "
                 "Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: "
                 "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 answer, sizeof answer),
        426);
    assert_non_null(strstr(answer, "\r\nSec-WebSocket-Version: 13\r\n"));
    fd = raw_connect(world.url);
    assert_int_equal(raw_upgrade(fd, "/nowhere", ""), 404);
    close(fd);
    world_end(&world);
    assert_int_equal(world.side.opened, 0);
}

static void connections_beyond_the_limit_get_503(void **state)
{
    struct world world;
    int fds[3], status;

    (void)state;
    world_begin(&world, 0);
    assert_int_equal(wsock_server_set(world.server, "max_connections", "3"), 0);
    world_listen(&world, NULL);
    for (int i = 0; i < 3; i++)
        fds[i] = raw_open(world.url);
    assert_int_equal(upgrade_with(world.url, ""), 503);
    assert_int_equal(upgrade_with(world.url, ""), 503);
    assert_int_equal(wsock_server_set(world.server, "max_connections", "5"),
                     0); /* live */
    /* Those that were refused count until the server has seen them go. */
    while ((status = upgrade_with(world.url, "")) != 101)
        assert_int_equal(status, 503);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    await(&world.side.closed, 4);
    world_end(&world);
    assert_int_equal(world.side.opened, 4);
}

/* ---- no descriptors ---- */

/* In a process of its own, because the limit is the process's. */
static int starve(void)
{
    enum { PEERS = 20, LEFT = 60 };
    const struct rlimit limit = {.rlim_cur = LEFT, .rlim_max = LEFT};
    struct world world;
    int fds[PEERS], filled[LEFT], count = 0;
    int64_t cpu;

    world_begin(&world, 1);
    wsock_server_set(world.server, "max_connections", "1000");
    world_listen(&world, NULL);
    close(raw_open(world.url));
    await(&world.side.closed, 1);
    wsock_server_pause_accept(world.server);
    for (int i = 0; i < PEERS; i++)
        fds[i] = raw_connect(world.url);
    setrlimit(RLIMIT_NOFILE, &limit);
    while (count < LEFT && (filled[count] = dup(fds[0])) >= 0)
        count++;
    wsock_server_resume_accept(world.server);
    cpu = cpu_ms();
    if (!stays_below(&world.side.opened, 2, 500) || cpu_ms() - cpu > 100)
        return 1; /* it spins */
    while (count > 0)
        close(filled[--count]);
    if (raw_upgrade(fds[PEERS - 1], "/test", "") != 101)
        return 2; /* it has stopped */
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    world_end(&world);
    return 0;
}

static void want_of_descriptors_neither_spins_nor_stops_the_server(void **state)
{
    pid_t child;
    int status = 0;

    (void)state;
    child = fork();
    if (child == 0)
        _exit(starve());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(several_listeners_lead_to_one_server),
        TEST(star_listens_on_both_families),
        TEST(port_in_use_is_an_error_that_names_it),
        TEST(listen_says_what_is_wrong),
        TEST(stale_unix_socket_is_replaced_a_live_one_is_not),
        TEST(unlisten_closes_one_and_keeps_its_connections),
        TEST(paused_accept_leaves_connections_waiting),
        TEST(patterns_are_open_until_accepting_begins),
        TEST(requests_tell_what_the_client_said_both_ways),
        TEST(endpoints_have_handlers_and_limits_of_their_own),
        TEST(plain_requests_get_a_handlers_answer),
        TEST(files_answer_plain_requests_and_stay_in_their_directory),
        TEST(slow_reader_of_a_file_does_not_hold_up_the_stop),
        TEST(foreign_origins_are_refused),
        TEST(malformed_origin_in_the_list_is_an_error_that_names_it),
        TEST(handshakes_that_break_rules_get_their_status),
        TEST(connections_beyond_the_limit_get_503),
        TEST(want_of_descriptors_neither_spins_nor_stops_the_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
