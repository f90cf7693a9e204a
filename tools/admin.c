/* SPDX-License-Identifier: MIT */
/*
 * The admin listener. Three things keep strangers out, each by itself: it listens on a
 * Unix socket that only its owner can open, or on an address of loopback; over the latter
 * a key is needed; and what a browser sends in the name of a page is refused, because a
 * page on this machine reaches loopback too.
 */
#include "admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "admin_place.h"
#include "secret_file.h"
#include "tool.h"

static const char command[] = "serve";

/* A key shorter than that can be guessed. */
enum { KEY_MIN = 16, BODY_MAX = 1024 * 1024 };

struct admin {
    wsock_server *listener; /* its own */
    wsock_server *server;   /* borrowed: that is administered */
    char *key;              /* (owned, nullable) */
    size_t key_len;
};

/* ---- who may ask ---- */

static int is_from_here(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 || strncmp(address, "127.", 4) == 0 ||
           strncmp(address, "[::1]", 5) == 0;
}

static void refuse(wsock_request *request, unsigned status, const char *code,
                   const char *text)
{
    char body[256];
    const int len = snprintf(body, sizeof body,
                             "{\"err\":{\"code\":\"%s\",\"text\":\"%s\",\"retry\":%s}}\n",
                             code, text, status == 503 ? "true" : "false");

    wsock_request_respond(request, (int)status, "application/json", body, (size_t)len);
}

/* @return 0 after it was refused. */
static int may_ask(const struct admin *admin, wsock_request *request)
{
    if (!is_from_here(wsock_request_peer_address(request))) {
        refuse(request, 403, "forbidden", "not from other machines");
        return 0;
    }
    if (wsock_request_header(request, "Origin") != NULL ||
        wsock_request_header(request, "Sec-Fetch-Site") != NULL) {
        refuse(request, 403, "forbidden", "not for pages in a browser");
        return 0;
    }
    if (admin->key != NULL &&
        !wsock_secret_equal(wsock_request_bearer_token(request), admin->key)) {
        wsock_request_add_header(request, "WWW-Authenticate", "Bearer");
        refuse(request, 401, "unauthorized", "the key of --admin-key is needed");
        return 0;
    }
    return 1;
}

/* ---- calls ---- */

void admin_answer(wsock_request *request, const struct admin_reply *reply)
{
    json_t *root = NULL;
    char *text = NULL;

    if (reply->ok == NULL) {
        refuse(request, reply->status, reply->code, reply->text);
        return;
    }
    root = json_pack("{s:O}", "ok", reply->ok);
    text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text == NULL)
        refuse(request, 503, "failed", wsock_strerror(WSOCK_ENOMEM));
    else
        wsock_request_respond(request, 200, "application/json", text, strlen(text));
    free(text);
}

static void call(const struct admin *admin, wsock_request *request, admin_call_fn fn)
{
    struct admin_reply reply = {
        .status = 503, .code = "failed", .text = "out of memory", .request = request};
    const void *data = "";
    size_t len = 0;
    json_t *args = NULL;

    wsock_request_body(request, &data, &len);
    args = len == 0 ? json_object() : json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(args)) {
        refuse(request, 400, "bad_json", "the body is no JSON object");
    } else {
        fn(&reply, admin->server, args);
        if (!reply.is_later)
            admin_answer(request, &reply);
    }
    json_decref(reply.ok);
    json_decref(args);
}

static void on_http(wsock_request *request, void *user)
{
    const struct admin *admin = user;
    const admin_call_fn fn = admin_call_of(wsock_request_path(request));

    if (!may_ask(admin, request))
        return;
    if (fn == NULL) {
        refuse(request, 404, "unknown_call", "there is no such call");
    } else if (strcmp(wsock_request_method(request), "POST") != 0) {
        wsock_request_add_header(request, "Allow", "POST");
        refuse(request, 405, "bad_method", "calls are made by POST");
    } else {
        call(admin, request, fn);
    }
}

/* ---- start and end ---- */

/* What the library listens on; "" for what is no place of this machine alone. */
static void listener_url(char *out, size_t size, const char *url)
{
    struct admin_place place;
    struct in6_addr v6;
    struct in_addr v4;

    out[0] = '\0';
    if (!admin_place_parse(&place, url))
        return;
    if (place.path != NULL)
        snprintf(out, size, "ws+%s", url);
    else if (place.is_v6 && inet_pton(AF_INET6, place.host, &v6) == 1 &&
             IN6_IS_ADDR_LOOPBACK(&v6))
        snprintf(out, size, "ws://[::1]:%u", place.port);
    else if (!place.is_v6 && inet_pton(AF_INET, place.host, &v4) == 1 &&
             ntohl(v4.s_addr) >> 24 == 127)
        snprintf(out, size, "ws://%s:%u", place.host, place.port);
}

/* A key goes into a header as it is, RFC 6750 section 2.1. */
static int read_key(struct admin *admin, const char *key_file)
{
    const int status = secret_file_read(command, "--admin-key", key_file, &admin->key,
                                        &admin->key_len);

    if (status != 0)
        return status;
    if (admin->key_len < KEY_MIN)
        return usage_error(command, "--admin-key: %s has less than %d characters",
                           key_file, KEY_MIN);
    if (strspn(admin->key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                           "0123456789-._~+/=") != admin->key_len)
        return usage_error(command,
                           "--admin-key: %s has more than letters, digits and -._~+/= "
                           "in one line",
                           key_file);
    return 0;
}

static int listen_at(struct admin *admin, const char *url)
{
    /* A socket that only its owner may open. Nobody else makes files at this time. */
    const mode_t before = umask(0177);
    const int r = wsock_server_listen(admin->listener, url);

    umask(before);
    return r < 0 ? fail(command, "--admin: %s", wsock_server_error(admin->listener)) : 0;
}

static int start(struct admin *admin, wsock_runtime *runtime, const char *url)
{
    int r = wsock_server_new(runtime, &admin->listener);

    if (r == 0)
        r = wsock_server_set_int64(admin->listener, "max_body_bytes", BODY_MAX);
    if (r == 0)
        r = wsock_server_set_int64(admin->listener, "max_connections", 256);
    if (r == 0)
        r = wsock_server_on_http(admin->listener, on_http, admin, NULL);
    return r < 0 ? fail(command, "--admin: %s", wsock_strerror(r))
                 : listen_at(admin, url);
}

int admin_start(struct admin **out, wsock_runtime *runtime, wsock_server *server,
                const char *url, const char *key_file)
{
    struct admin *admin = calloc(1, sizeof *admin);
    char where[256];
    int status = 0;

    if (admin == NULL)
        return fail(command, "--admin: %s", wsock_strerror(WSOCK_ENOMEM));
    *out = admin;
    admin->server = server;
    listener_url(where, sizeof where, url);
    if (where[0] == '\0')
        return usage_error(command,
                           "--admin takes unix:/PATH or http://ADDRESS:PORT with an "
                           "address of loopback, not \"%s\"",
                           url);
    if (key_file != NULL)
        status = read_key(admin, key_file);
    else if (strncmp(url, "http", 4) == 0)
        status = usage_error(command,
                             "--admin %s needs --admin-key: any program of this "
                             "machine can reach it",
                             url);
    return status != 0 ? status : start(admin, runtime, where);
}

int admin_url(const struct admin *admin, char *out, size_t size)
{
    char url[256];
    const int r = wsock_server_url(admin->listener, url, sizeof url, 0);

    if (r < 0)
        return r;
    if (strncmp(url, "ws+", 3) == 0)
        return snprintf(out, size, "%s", url + 3);
    return snprintf(out, size, "http%s", url + 2);
}

void admin_stop(struct admin *admin)
{
    if (admin != NULL)
        wsock_server_free(admin->listener);
}

void admin_free(struct admin *admin)
{
    if (admin == NULL)
        return;
    secret_file_drop(admin->key, admin->key_len);
    free(admin);
}
