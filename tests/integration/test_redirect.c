/* SPDX-License-Identifier: MIT */
/* Clients that are led elsewhere. */
#include "harness.h"

#include <unistd.h>

/* What the endpoints of a world see of a request, and where they lead it. */
struct guide {
    int asked;
    const char *status_location; /* "302 /test" */
    char authorization[64], cookie[64], plain[64], host[64];
};

static void note(char *out, size_t size, const char *value)
{
    snprintf(out, size, "%s", value != NULL ? value : "none");
}

static void on_request(wsock_request *request, void *user)
{
    struct guide *guide = user;
    int status = 0, at = 0;

    note(guide->authorization, sizeof guide->authorization,
         wsock_request_header(request, "Authorization"));
    note(guide->cookie, sizeof guide->cookie, wsock_request_header(request, "Cookie"));
    note(guide->plain, sizeof guide->plain, wsock_request_header(request, "X-Plain"));
    note(guide->host, sizeof guide->host, wsock_request_header(request, "Host"));
    if (guide->status_location == NULL) {
        CHECK(wsock_request_accept(request, NULL) == 0);
    } else {
        CHECK(sscanf(guide->status_location, "%d %n", &status, &at) == 1);
        CHECK(wsock_request_add_header(request, "Location",
                                       guide->status_location + at) == 0);
        CHECK(wsock_request_reject(request, status, "over there") == 0);
    }
    tell(&guide->asked);
}

/* A server whose "/old" leads away and whose "/test" lets in. */
struct town {
    struct world world;
    wsock_endpoint *old;
    struct guide from, to;
    char client_url[300];
};

static void town_begin(struct town *town)
{
    memset(town, 0, sizeof *town);
    world_begin(&town->world, 1);
    assert_int_equal(wsock_server_endpoint(town->world.server, &town->old, "/old"), 0);
    assert_int_equal(wsock_endpoint_on_request(town->old, on_request, &town->from, NULL),
                     0);
    assert_int_equal(
        wsock_endpoint_on_request(town->world.endpoint, on_request, &town->to, NULL), 0);
    world_listen(&town->world, NULL);
    snprintf(town->client_url, sizeof town->client_url, "%s/old", town->world.url);
}

static void town_end(struct town *town)
{
    wsock_endpoint_unref(town->old);
    world_end(&town->world);
}

static wsock_client *visitor(struct town *town, struct side *side, const char *redirects)
{
    wsock_client *client;

    assert_int_equal(wsock_runtime_client(town->world.runtime, &client, town->client_url),
                     0);
    side_client(side, client);
    assert_int_equal(wsock_client_set(client, "max_redirects", redirects), 0);
    assert_int_equal(wsock_client_add_header(client, "Authorization", "Bearer secret"),
                     0);
    assert_int_equal(wsock_client_add_header(client, "cookie", "a=b"), 0);
    assert_int_equal(wsock_client_add_header(client, "X-Plain", "yes"), 0);
    return client;
}

static void assert_url(const wsock_conn *conn, const char *server, const char *path)
{
    char url[400];

    snprintf(url, sizeof url, "%s%s", server, path);
    assert_string_equal(wsock_conn_url(conn), url);
}

/* ---- cases ---- */

static void redirect_is_followed_with_credentials_within_the_origin(void **state)
{
    static const char *const ways[] = {"301 /test", "302 test", "303 ./test?x",
                                       "307 //%s/test", "308 http://%s/test"};

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct side side = {0};
        struct town town;
        wsock_client *client;
        char way[300];

        town_begin(&town);
        snprintf(way, sizeof way, ways[i], town.world.url + 5);
        town.from.status_location = way;
        client = visitor(&town, &side, "1");
        world_connect(&town.world, client, &side);
        assert_int_equal(told(&town.from.asked), 1);
        assert_string_equal(town.to.authorization, "Bearer secret");
        assert_string_equal(town.to.cookie, "a=b");
        assert_string_equal(town.to.plain, "yes");
        assert_url(side.conn, town.world.url,
                   strchr(ways[i], '?') != NULL ? "/test?x" : "/test");
        assert_string_equal(wsock_conn_url(town.world.side.conn), "");
        side_fini(&side);
        wsock_client_unref(client);
        town_end(&town);
    }
}

static void another_origin_gets_no_secrets(void **state)
{
    struct side side = {0};
    struct town town, other;
    wsock_client *client;
    char way[300];

    (void)state;
    town_begin(&town);
    town_begin(&other);
    snprintf(way, sizeof way, "302 %s/test", other.world.url);
    town.from.status_location = way;
    client = visitor(&town, &side, "5");
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&other.world.side.opened, 1);
    await(&side.opened, 1);
    assert_string_equal(town.from.authorization, "Bearer secret");
    assert_string_equal(other.to.authorization, "none");
    assert_string_equal(other.to.cookie, "none");
    assert_string_equal(other.to.plain, "yes");
    assert_string_equal(other.to.host, other.world.url + 5);
    side_fini(&side);
    wsock_client_unref(client);
    town_end(&town);
    town_end(&other);
}

/* The limits of a head begin anew where it leads to. */
static void redirect_behind_interim_answers_is_followed(void **state)
{
    struct side side = {0};
    struct town town;
    wsock_client *client;
    char at[64], url[80], way[400], head[2048], hint[16250];
    const int listening = raw_listen(at, sizeof at, 8);
    int fd;

    (void)state;
    town_begin(&town);
    snprintf(url, sizeof url, "%s/old", at);
    assert_int_equal(wsock_runtime_client(town.world.runtime, &client, url), 0);
    side_client(&side, client);
    assert_int_equal(wsock_client_set(client, "max_redirects", "1"), 0);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    fd = raw_accept(listening);
    raw_read_head(fd, head, sizeof head);
    memset(hint, 'x', sizeof hint);
    snprintf(way, sizeof way, "\r\n\r\nHTTP/1.1 302 Found\r\nLocation: %s/test\r\n\r\n",
             town.world.url);
    raw_text(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: ");
    raw_send(fd, hint, sizeof hint); /* all of it has some 16370 bytes */
    raw_text(fd, way);
    await(&side.opened, 1);
    assert_int_equal(told(&town.to.asked), 1);
    close(fd);
    close(listening);
    wsock_client_unref(client);
    town_end(&town);
    side_fini(&side);
}

static void url_is_told_of_a_connection_that_failed_where_it_was_led(void **state)
{
    struct side side = {0};
    struct town town;
    wsock_client *client;
    wsock_conn *conn;

    (void)state;
    town_begin(&town);
    town.from.status_location = "302 /nowhere";
    client = visitor(&town, &side, "1");
    assert_int_equal(wsock_client_connect(client, &conn), 0);
    await(&side.closed, 1);
    assert_int_equal(side.http_status, 404);
    assert_url(conn, town.world.url, "/nowhere");
    wsock_conn_unref(conn);
    assert_int_equal(wsock_client_set(client, "max_redirects", "0"), 0);
    assert_int_equal(wsock_client_connect(client, &conn), 0);
    await(&side.closed, 2);
    assert_url(conn, town.world.url, "/old");
    wsock_conn_unref(conn);
    assert_string_equal(wsock_conn_url(NULL), "");
    wsock_client_unref(client);
    town_end(&town);
}

static void refused_with(const char *way, const char *redirects, int asked, int status,
                         const char *detail)
{
    struct side side = {0};
    struct town town;
    wsock_client *client;

    town_begin(&town);
    town.from.status_location = way;
    client = visitor(&town, &side, redirects);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    await(&side.closed, 1);
    assert_int_equal(side.cause, WSOCK_CAUSE_REFUSED);
    assert_int_equal(side.http_status, status);
    assert_string_equal(side.detail, detail);
    assert_int_equal(told(&town.from.asked), asked);
    assert_int_equal(told(&town.to.asked), 0);
    side_fini(&side);
    wsock_client_unref(client);
    town_end(&town);
}

static void redirects_end_where_they_must(void **state)
{
    (void)state;
    refused_with("302 /test", "0", 1, 302, "the server answered 302 Found: over there");
    refused_with("302 /old", "7", 8, 302,
                 "a redirect is not followed: max_redirects is reached");
    refused_with(
        "302 ftp://x/", "7", 1, 302,
        "a redirect is not followed: it leads to another scheme than http, https, "
        "ws or wss");
    refused_with("302 ws://user@x/", "7", 1, 302,
                 "a redirect is not followed: it brings a user and a password");
    refused_with("304 /test", "7", 1, 304, "the server answered 304 Not Modified");
}

static void user_of_the_url_is_basic_authentication(void **state)
{
    static const struct {
        const char *user, *added, *seen;
    } cases[] = {
        {"joe:pass%20word", NULL, "Basic am9lOnBhc3Mgd29yZA=="},
        {"joe", NULL, "Basic am9lOg=="},
        {"joe:secret", "Bearer mine", "Bearer mine"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct side side = {0};
        struct town town;
        wsock_client *client;
        char url[2048];

        town_begin(&town);
        snprintf(url, sizeof url, "ws://%s@%s/test", cases[i].user, town.world.url + 5);
        assert_int_equal(wsock_runtime_client(town.world.runtime, &client, url), 0);
        side_client(&side, client);
        if (cases[i].added != NULL)
            assert_int_equal(
                wsock_client_add_header(client, "Authorization", cases[i].added), 0);
        world_connect(&town.world, client, &side);
        assert_string_equal(town.to.authorization, cases[i].seen);
        assert_string_equal(town.to.host, town.world.url + 5);
        side_fini(&side);
        wsock_client_unref(client);
        town_end(&town);
    }
}

static void user_that_cannot_be_said_is_no_url(void **state)
{
    static const char *const users[] = {"a%3Ab:c", "a:b%00", "a:b%0d%0aX:y"};
    struct world world;
    wsock_client *client;
    char url[64];

    (void)state;
    world_begin(&world, 1);
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        snprintf(url, sizeof url, "ws://%s@localhost/", users[i]);
        assert_int_equal(wsock_runtime_client(world.runtime, &client, url), WSOCK_EURL);
    }
    world_end(&world);
}

static void close_while_it_moves_is_heard(void **state)
{
    struct side side = {0};
    struct town town;
    wsock_client *client;
    wsock_conn *conn;

    (void)state;
    town_begin(&town);
    town.from.status_location = "302 /old";
    client = visitor(&town, &side, "100");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(wsock_client_connect(client, &conn), 0);
        await(&town.from.asked, i + 1);
        wsock_conn_reset(conn);
        await(&side.closed, i + 1);
        wsock_conn_unref(conn);
    }
    wsock_client_unref(client);
    town_end(&town);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(redirect_is_followed_with_credentials_within_the_origin),
        TEST(another_origin_gets_no_secrets),
        TEST(redirect_behind_interim_answers_is_followed),
        TEST(url_is_told_of_a_connection_that_failed_where_it_was_led),
        TEST(redirects_end_where_they_must),
        TEST(user_of_the_url_is_basic_authentication),
        TEST(user_that_cannot_be_said_is_no_url),
        TEST(close_while_it_moves_is_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
