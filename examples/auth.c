/* SPDX-License-Identifier: MIT */
/*
 * A server that asks who you are: /basic takes user "ann" with password "secret" (RFC
 * 7617), /token the bearer token "let-me-in" (RFC 6750). Others get 401, with the header
 * that says what is wanted. Every message comes back with the name of who sent it.
 *
 *     example_auth [URL]       ws://127.0.0.1:8080 without one
 *
 * Behind a proxy on this machine the log has the addresses of clients, not the proxy's.
 */
#include <stdio.h>

#include <wsock/wsock.h>

/* A real program keeps hashes of passwords, and compares those. */
static const char user_name[] = "ann";
static const char password[] = "secret";
static const char token[] = "let-me-in";

static void decide(wsock_request *request, int is_known, const char *challenge)
{
    printf("%s: %s\n", wsock_request_remote_address(request),
           is_known ? "comes in" : "has to say who it is");
    fflush(stdout);
    if (is_known) {
        wsock_request_accept(request, NULL);
        return;
    }
    wsock_request_add_header(request, "WWW-Authenticate", challenge);
    wsock_request_reject(request, 401, "say who you are\n");
}

static void on_basic_request(wsock_request *request, void *user)
{
    /* Both are compared, whatever the first says. */
    const int name_is_right = wsock_secret_equal(wsock_request_basic_user(request),
                                                 user_name);
    const int word_is_right = wsock_secret_equal(wsock_request_basic_password(request),
                                                 password);

    (void)user;
    decide(request, name_is_right & word_is_right, "Basic realm=\"example\"");
}

static void on_token_request(wsock_request *request, void *user)
{
    (void)user;
    decide(request, wsock_secret_equal(wsock_request_bearer_token(request), token),
           "Bearer");
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    const char *name = wsock_request_basic_user(wsock_conn_request(conn));
    char line[1024];
    const int n = snprintf(line, sizeof line, "%s: %.*s", name != NULL ? name : "?",
                           (int)(len < 900 ? len : 900), (const char *)data);

    (void)user;
    if (type == WSOCK_TEXT && len < 900)
        wsock_conn_send(conn, WSOCK_TEXT, line, (size_t)n);
    else
        wsock_conn_send(conn, type, data, len);
}

static int add_endpoint(wsock_server *server, const char *path, wsock_request_fn decides)
{
    wsock_endpoint *endpoint = NULL;
    int r = wsock_server_endpoint(server, &endpoint, path);

    if (r == 0)
        r = wsock_endpoint_on_request(endpoint, decides, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_message(endpoint, on_message, NULL, NULL);
    wsock_endpoint_unref(endpoint);
    return r;
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    char url[256];
    int r = wsock_runtime_new(&runtime);

    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = add_endpoint(server, "/basic", on_basic_request);
    if (r == 0)
        r = add_endpoint(server, "/token", on_token_request);
    if (r == 0)
        r = wsock_server_set(server, "trust_forwarded_from", "127.0.0.1, ::1, unix:");
    if (r == 0)
        r = wsock_server_listen(server, argc > 1 ? argv[1] : "ws://127.0.0.1:8080");
    if (r == 0 && wsock_server_url(server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
        r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
    }
    if (r < 0)
        fprintf(stderr, "auth: %s\n", wsock_server_error(server));
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r < 0;
}
