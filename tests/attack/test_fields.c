/* SPDX-License-Identifier: MIT */
/* What the application hands over for the opening handshake, perhaps from somebody
 * hostile: CR, LF and other bytes that would begin a line of their own are refused with
 * an error, and nothing of them is sent. (A NUL ends a string of C: it cannot be handed
 * over.) */
#include "harness.h"

#include <unistd.h>

/* Each holds the mark that must not be seen on the wire. */
static const char *const bad_values[] = {
    "evil\r\nEvil: 1", "evil\nEvil: 1", "evil\rEvil: 1", "\r\nevil",   "evil\r\n\r\n",
    "evil\r\n",        "evil\x01",      "evil\x7f",      "evil\x0b",   "evil\r\n folded",
    "evil\n\n",        "evil\r",        "evil\n",        "evil\x1b[0m"};

static const char *const bad_names[] = {
    "",      "evil\r\nEvil", "evil\n",   "evil:",   "evil: 1\r\nEvil", "evil name",
    "evil(", "evil\t",       "evil\x7f", "\xe4vil", "\"evil\"",        " evil"};

/* What the library itself writes, in any case of letters. */
static const char *const ours[] = {"Host",
                                   "upgrade",
                                   "CONNECTION",
                                   "Content-Length",
                                   "Transfer-Encoding",
                                   "Sec-WebSocket-Key",
                                   "Sec-WebSocket-Accept",
                                   "sec-websocket-version",
                                   "Sec-WebSocket-Protocol",
                                   "Sec-WebSocket-Extensions"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- answers of a server ---- */

typedef int add_fn(void *object, const char *name, const char *value);

static int add_to_answer(void *object, const char *name, const char *value)
{
    return wsock_request_add_header(object, name, value);
}

static int add_to_request(void *object, const char *name, const char *value)
{
    return wsock_client_add_header(object, name, value);
}

/* Not one of them is taken; the good one is. */
static void try_headers(add_fn *add, void *object)
{
    for (size_t i = 0; i < COUNT(bad_values); i++)
        CHECK(add(object, "Good", bad_values[i]) == WSOCK_EINVAL);
    for (size_t i = 0; i < COUNT(bad_names); i++)
        CHECK(add(object, bad_names[i], "evil") == WSOCK_EINVAL);
    for (size_t i = 0; i < COUNT(ours); i++)
        CHECK(add(object, ours[i], "evil") == WSOCK_EINVAL);
    CHECK(add(object, "Good", "yes") == 0);
}

static void assert_clean(const char *head)
{
    assert_null(strcasestr(head, "evil"));
    assert_non_null(strstr(head, "\r\nGood: yes\r\n"));
}

static void on_request_accept(wsock_request *request, void *user)
{
    (void)user;
    try_headers(add_to_answer, request);
    CHECK(wsock_request_accept(request, "evil\r\nEvil: 1") == WSOCK_EINVAL);
    CHECK(wsock_request_accept(request, "evil") == WSOCK_EINVAL);
    CHECK(wsock_request_accept(request, NULL) == 0);
}

static void on_request_reject(wsock_request *request, void *user)
{
    (void)user;
    try_headers(add_to_answer, request);
    for (size_t i = 0; i < COUNT(bad_values); i++)
        CHECK(wsock_request_respond(request, 403, bad_values[i], "no", 2) ==
              WSOCK_EINVAL);
    CHECK(wsock_request_reject(request, 99, "evil") == WSOCK_ERANGE);
    CHECK(wsock_request_reject(request, 1000, "evil") == WSOCK_ERANGE);
    CHECK(wsock_request_respond(request, 403, "text/plain", "no", 2) == 0);
}

static const char upgrade[] = "GET /test HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Protocol: good\r\n\r\n";

static void hostile_fields_of_an_accepted_upgrade_are_refused(void **state)
{
    struct world world;
    char head[4096];
    int fd;

    (void)state;
    world_begin(&world, 1);
    assert_int_equal(
        wsock_endpoint_on_request(world.endpoint, on_request_accept, NULL, NULL), 0);
    world_listen(&world, NULL);
    fd = raw_connect(world.url);
    raw_text(fd, upgrade);
    raw_read_head(fd, head, sizeof head);
    assert_non_null(strstr(head, "HTTP/1.1 101 "));
    assert_clean(head);
    close(fd);
    world_end(&world);
}

static void hostile_fields_of_a_refusal_are_refused(void **state)
{
    struct world world;
    char head[4096];

    (void)state;
    world_begin(&world, 1);
    assert_int_equal(
        wsock_endpoint_on_request(world.endpoint, on_request_reject, NULL, NULL), 0);
    world_listen(&world, NULL);
    assert_int_equal(raw_http(world.url, upgrade, head, sizeof head), 403);
    assert_clean(head);
    assert_non_null(strstr(head, "\r\nContent-Type: text/plain\r\n"));
    world_end(&world);
}

/* ---- requests of a client ---- */

static void hostile_fields_of_a_request_are_refused(void **state)
{
    static const char *const bad_protocols[] = {
        "",      "evil\r\nEvil: 1", "evil\n",   "evil\r", "evil, evil", "evil evil",
        "evil;", "\"evil\"",        "evil\x01", "e/evil", "\xe4vil",    "evil\t"};
    struct world world;
    struct side side = {0};
    wsock_client *client;
    char url[64], head[4096];
    int listening, fd;

    (void)state;
    world_begin(&world, 1);
    listening = raw_listen(url, sizeof url, 1);
    assert_int_equal(wsock_runtime_client(world.runtime, &client, url), 0);
    side_client(&side, client);
    try_headers(add_to_request, client);
    for (size_t i = 0; i < COUNT(bad_protocols); i++)
        assert_int_equal(wsock_client_add_subprotocol(client, bad_protocols[i]),
                         WSOCK_EINVAL);
    assert_int_equal(wsock_client_add_subprotocol(client, "good"), 0);
    assert_int_equal(wsock_client_connect(client, NULL), 0);
    fd = raw_accept(listening);
    raw_read_head(fd, head, sizeof head);
    assert_clean(head);
    assert_non_null(strstr(head, "\r\nSec-WebSocket-Protocol: good\r\n"));
    close(fd);
    close(listening);
    await(&side.closed, 1);
    wsock_client_unref(client);
    side_fini(&side);
    world_end(&world);
}

/* A target comes into the request line. */
static void hostile_urls_of_a_client_are_refused(void **state)
{
    static const char *const bad_urls[] = {
        "ws://127.0.0.1/evil\r\nEvil: 1", "ws://127.0.0.1/a b",  "ws://127.0.0.1/\n",
        "ws://127.0.0.1\r\nEvil: 1/",     "ws://evil\r\n/",      "ws://127.0.0.1/\x7f",
        "ws://127.0.0.1/?a=b HTTP/1.1",   "ws://127.0.0.1/\xe4", "ws://127.0.0.1:80 80/",
        "ws://127.0.0.1:99999/",          "ws://127.0.0.1/#evil"};
    struct world world;

    (void)state;
    world_begin(&world, 1);
    for (size_t i = 0; i < COUNT(bad_urls); i++) {
        wsock_client *client = NULL;

        assert_int_equal(wsock_runtime_client(world.runtime, &client, bad_urls[i]),
                         WSOCK_EURL);
        assert_null(client);
    }
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hostile_fields_of_an_accepted_upgrade_are_refused),
        TEST(hostile_fields_of_a_refusal_are_refused),
        TEST(hostile_fields_of_a_request_are_refused),
        TEST(hostile_urls_of_a_client_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
