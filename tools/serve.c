/* SPDX-License-Identifier: MIT */
/*
 * `wsock serve`: an echo, rooms and the chat page on any number of listeners. This file
 * reads the arguments, refuses to serve strangers unasked, and answers plain GET; the
 * rooms are in serve_rooms.c.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "admin.h"
#include "auth.h"
#include "serve.h"
#include "tool.h"

static const char command[] = "serve";
static const char default_url[] = "ws://127.0.0.1:8080";

#define LISTENERS_MAX 64

struct serve {
    const char *urls[LISTENERS_MAX];
    size_t url_count;
    const char *www;
    const char *admin_url; /* NULL: no admin listener */
    const char *admin_key; /* a file */
    int64_t workers;       /* 0: the library's default */
    int64_t log_level;     /* WSOCK_LOG_*, 0: off; -1: the library's default */
    int is_public;
    int is_quiet;
    int has_ca, has_verify_client;

    wsock_runtime *runtime;
    wsock_server *server;
    struct rooms *rooms;
    struct admin *admin;
    struct auth auth;
};

enum {
    OPT_WORKERS = 1,
    OPT_WWW,
    OPT_PUBLIC,
    OPT_SET,
    OPT_ORIGIN,
    OPT_PROXY_PROTOCOL,
    OPT_TRUST_FORWARDED,
    OPT_CERT,
    OPT_KEY,
    OPT_CA,
    OPT_VERIFY_CLIENT,
    OPT_LOG_LEVEL,
    OPT_HEARTBEAT,
    OPT_HISTORY,
    OPT_SLOW,
    OPT_CLUSTER,
    OPT_ADMIN,
    OPT_ADMIN_KEY,
    OPT_JWT_SECRET,
    OPT_JWT_KEY,
    OPT_JWT_ISSUER,
    OPT_JWT_AUDIENCE,
    OPT_AUTH_URL,
    OPT_AUTH_TIMEOUT,
    OPT_AUTH_HEADER,
    OPT_QUIET,
    OPT_HELP
};

static const struct arg_option options[] = {
    {"workers", 0, 1, OPT_WORKERS},
    {"www", 0, 1, OPT_WWW},
    {"public", 0, 0, OPT_PUBLIC},
    {"set", 0, 1, OPT_SET},
    {"log-level", 0, 1, OPT_LOG_LEVEL},
    {"heartbeat", 0, 1, OPT_HEARTBEAT},
    {"history", 0, 1, OPT_HISTORY},
    {"slow", 0, 1, OPT_SLOW},
    {"cluster", 0, 1, OPT_CLUSTER},
    {"admin", 0, 1, OPT_ADMIN},
    {"admin-key", 0, 1, OPT_ADMIN_KEY},
    {"jwt-secret", 0, 1, OPT_JWT_SECRET},
    {"jwt-key", 0, 1, OPT_JWT_KEY},
    {"jwt-issuer", 0, 1, OPT_JWT_ISSUER},
    {"jwt-audience", 0, 1, OPT_JWT_AUDIENCE},
    {"auth-url", 0, 1, OPT_AUTH_URL},
    {"auth-timeout", 0, 1, OPT_AUTH_TIMEOUT},
    {"auth-header", 0, 1, OPT_AUTH_HEADER},
    {"origin", 0, 1, OPT_ORIGIN},
    {"proxy-protocol", 0, 1, OPT_PROXY_PROTOCOL},
    {"trust-forwarded", 0, 1, OPT_TRUST_FORWARDED},
    {"cert", 0, 1, OPT_CERT},
    {"key", 0, 1, OPT_KEY},
    {"ca", 0, 1, OPT_CA},
    {"verify-client", 0, ARG_MAY_TAKE, OPT_VERIFY_CLIENT},
    {"quiet", 'q', 0, OPT_QUIET},
    {"help", 'h', 0, OPT_HELP},
};

static const struct option_rule rules[] = {
    {"workers", NULL, "--workers"},
    {"www", NULL, "--www"},
    {"log_level", NULL, "--log-level"},
    {"compression", "shared", NULL},
    {NULL, NULL, NULL},
};

/* ---- who may be served ---- */

static int is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    if (address->sa_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    if (address->sa_family != AF_INET6)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return v6->sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* The host of ws://HOST[:PORT][/...] in out; 0 when there is none that fits. */
static int host_of(char *out, size_t size, const char *url)
{
    const char *start = strstr(url, "://");
    const char *end = NULL;

    if (start == NULL)
        return 0;
    start += 3;
    if (*start == '[') {
        start++;
        end = strchr(start, ']');
    } else {
        end = start + strcspn(start, ":/?#");
    }
    if (end == NULL || end == start || (size_t)(end - start) >= size)
        return 0;
    memcpy(out, start, (size_t)(end - start));
    out[end - start] = '\0';
    return 1;
}

/* Whether only this machine can reach a listener. What is no URL or no name is left to
 * wsock_server_listen(), which says what is wrong with it. */
static int is_local(const char *url)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    char host[256];
    int local = 1;

    if (strncasecmp(url, "ws+unix:", 8) == 0 || strncasecmp(url, "wss+unix:", 9) == 0)
        return 1;
    if (!host_of(host, sizeof host, url))
        return 1;
    if (strcmp(host, "*") == 0)
        return 0;
    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return 1;
    for (const struct addrinfo *p = list; p != NULL; p = p->ai_next)
        local = local && is_loopback(p->ai_addr);
    freeaddrinfo(list);
    return local;
}

static int speaks_tls(const struct serve *s)
{
    for (size_t i = 0; i < s->url_count; i++)
        if (strncasecmp(s->urls[i], "wss", 3) == 0)
            return 1;
    return 0;
}

/* ---- handlers ---- */

static void on_log(int level, const char *subject, const char *text, void *user)
{
    static const char *const names[] = {"?", "error", "warn", "info", "debug"};
    char stamp[32];
    struct timespec now;
    struct tm tm;

    (void)user;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(stderr, "%s.%03ld %-5s %s: %s\n", stamp, now.tv_nsec / 1000000,
            names[level >= 1 && level <= 4 ? level : 0], subject, text);
}

static void on_echo(wsock_conn *conn, int type, const void *data, size_t len, void *user)
{
    (void)user;
    /* Cannot meet EAGAIN: the library reads nothing from whom it cannot send to. */
    wsock_conn_send(conn, type, data, len);
}

struct page_file {
    const char *path;
    const char *name;
    const char *type;
    int is_for_all; /* 1: the pages of --www have it, too */
};

static const struct page_file page_files[] = {
    {"/", "index.html", "text/html; charset=utf-8", 0},
    {"/index.html", "index.html", "text/html; charset=utf-8", 0},
    {"/chat.js", "chat.js", "text/javascript; charset=utf-8", 0},
    {"/chat.css", "chat.css", "text/css; charset=utf-8", 0},
    {"/wsock.js", "wsock.js", "text/javascript; charset=utf-8", 1},
    {"/wsock.iife.js", "wsock.iife.js", "text/javascript; charset=utf-8", 1},
};

/* The page needs nothing from elsewhere, so that it may load nothing from elsewhere. */
static void add_page_headers(wsock_request *request)
{
    wsock_request_add_header(
        request, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data:; connect-src 'self' ws: wss:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    wsock_request_add_header(request, "X-Content-Type-Options", "nosniff");
    wsock_request_add_header(request, "Referrer-Policy", "no-referrer");
    wsock_request_add_header(request, "Cache-Control", "no-cache");
}

/* A browser at the address of a WebSocket. */
static void refuse_page(wsock_request *request, const char *path)
{
    const char *host = wsock_request_header(request, "Host");
    const char *s = wsock_request_is_secure(request) ? "s" : "";
    char text[512];

    if (wsock_request_header(request, "Sec-WebSocket-Key") != NULL) {
        /* No browser's page; and the host may be the address behind a proxy. */
        wsock_request_reject(request, 426,
                             "a WebSocket was asked for, but no header \"Upgrade: "
                             "websocket\" came: a proxy may have removed it\n");
        return;
    }
    if (host == NULL)
        host = "HOST";
    snprintf(text, sizeof text,
             "this is a WebSocket: wsock connect ws%s://%s%s\n"
             "the page is at http%s://%s/\n",
             s, host, path, s, host);
    wsock_request_reject(request, 426, text);
}

/* What is no file of --www. */
static void on_http(wsock_request *request, void *user)
{
    const char *path = wsock_request_path(request);
    const struct serve *s = user;

    for (size_t i = 0; i < sizeof page_files / sizeof page_files[0]; i++) {
        const struct embedded_file *file = NULL;

        if (strcmp(path, page_files[i].path) != 0 ||
            (s->www != NULL && !page_files[i].is_for_all))
            continue;
        file = embedded_find(page_files[i].name);
        if (file == NULL)
            break;
        add_page_headers(request);
        wsock_request_respond(request, 200, page_files[i].type, file->data, file->len);
        return;
    }
    if (strcmp(path, "/echo") == 0 || strcmp(path, "/rooms") == 0 ||
        strncmp(path, "/rooms/", 7) == 0)
        refuse_page(request, path);
    else
        wsock_request_reject(request, 404, "not found\n");
}

/* ---- start and end ---- */

static int setup_endpoints(struct serve *s)
{
    const wsock_rooms_hooks *hooks = NULL;
    wsock_endpoint *echo = NULL;
    void *user = NULL;
    const int status = auth_start(&s->auth, s->runtime, &hooks, &user);
    int r = 0;

    if (status != 0)
        return status;
    r = wsock_server_endpoint(s->server, &echo, "/echo");

    if (r == 0)
        r = wsock_endpoint_on_message(echo, on_echo, NULL, NULL);
    wsock_endpoint_unref(echo);
    if (r == 0)
        r = rooms_new(&s->rooms, s->server, hooks, user);
    if (r < 0)
        return fail(command, "cannot set up: %s", wsock_strerror(r));
    if (s->www != NULL && wsock_server_set(s->server, "www", s->www) < 0)
        return usage_error(command, "--www: %s", wsock_server_error(s->server));
    r = wsock_server_on_http(s->server, on_http, s, NULL);
    return r < 0 ? fail(command, "cannot set up: %s", wsock_strerror(r)) : 0;
}

static int setup_log(struct serve *s)
{
    int r = wsock_runtime_on_log(s->runtime, on_log, NULL, NULL);

    if (r < 0)
        return fail(command, "cannot set up: %s", wsock_strerror(r));
    if (s->log_level >= 0 &&
        wsock_runtime_set_int64(s->runtime, "log_level", s->log_level) < 0)
        return fail(command, "--log-level: %s", wsock_runtime_error(s->runtime));
    return 0;
}

/* One line for each listener, with what to open in a browser. */
static void announce(const struct serve *s)
{
    const char *page = s->www != NULL ? "files" : "chat page";
    char url[512];

    for (size_t i = 0; wsock_server_url(s->server, url, sizeof url, i) > 0; i++) {
        if (strncmp(url, "ws://", 5) == 0)
            printf("listening on %s, %s at http://%s/\n", url, page, url + 5);
        else if (strncmp(url, "wss://", 6) == 0)
            printf("listening on %s, %s at https://%s/\n", url, page, url + 6);
        else
            printf("listening on %s\n", url);
    }
    if (s->admin != NULL && admin_url(s->admin, url, sizeof url) > 0)
        printf("admin at %s\n", url);
    fflush(stdout);
}

static int listen_all(struct serve *s)
{
    for (size_t i = 0; i < s->url_count; i++) {
        const int r = wsock_server_listen(s->server, s->urls[i]);

        if (r == WSOCK_EURL)
            return refuse_url(command, wsock_server_error(s->server), s->urls[i]);
        if (r < 0)
            return fail_by_flag(command, "", wsock_server_error(s->server));
    }
    return 0;
}

static int take_log_level(struct serve *s, const char *value)
{
    static const char *const levels[] = {"off", "error", "warn", "info", "debug"};

    for (int64_t i = 0; i < 5; i++) {
        if (strcmp(value, levels[i]) == 0) {
            s->log_level = i;
            return 0;
        }
    }
    return usage_error(
        command, "--log-level takes off, error, warn, info or debug, not \"%s\"", value);
}

/* Add to an option that is a list. What it begins with, if it is empty, is in `first`. */
static int add_to_list(struct serve *s, const char *flag, const char *name,
                       const char *first, const char *value)
{
    enum { LIST_MAX = 65536 };
    char *list = malloc(LIST_MAX);
    int len = 0, r = 0;

    if (list == NULL)
        return fail(command, "%s: %s", flag, wsock_strerror(WSOCK_ENOMEM));
    len = wsock_server_get_string(s->server, list, LIST_MAX, name);
    if (len == 0)
        len = snprintf(list, LIST_MAX, "%s", first);
    if (len >= 0)
        r = snprintf(list + len, (size_t)(LIST_MAX - len), "%s%s", len > 0 ? "," : "",
                     value);
    if (len < 0 || r >= LIST_MAX - len)
        r = usage_error(command, "%s: the list is too long", flag);
    else if (wsock_server_set(s->server, name, list) < 0)
        r = usage_error(command, "%s: %s", flag, wsock_server_error(s->server));
    else
        r = 0;
    free(list);
    return r;
}

static int set_flag(struct serve *s, const char *flag, const char *name,
                    const char *value)
{
    if (wsock_server_set(s->server, name, value) < 0)
        return usage_error(command, "%s: %s", flag, wsock_server_error(s->server));
    return 0;
}

static int set_heartbeat(struct serve *s, const char *value)
{
    int64_t heartbeat_ms;
    const int status = parse_seconds(command, "--heartbeat", value, &heartbeat_ms);

    if (status != 0)
        return status;
    if (wsock_server_set_int64(s->server, "heartbeat", heartbeat_ms) < 0)
        return usage_error(command, "--heartbeat: %s", wsock_server_error(s->server));
    return 0;
}

/* @return -1 for an option that is about something else. */
static int take_auth_option(struct auth *auth, int option, const char *value)
{
    switch (option) {
    case OPT_JWT_SECRET:
        auth->by_token.secret_file = value;
        return 0;
    case OPT_JWT_KEY:
        auth->by_token.key_file = value;
        return 0;
    case OPT_JWT_ISSUER:
        auth->by_token.issuer = value;
        return 0;
    case OPT_JWT_AUDIENCE:
        auth->by_token.audience = value;
        return 0;
    case OPT_AUTH_URL:
        auth->by_backend.url = value;
        return 0;
    case OPT_AUTH_TIMEOUT:
        return parse_seconds(command, "--auth-timeout", value,
                             &auth->by_backend.timeout_ms);
    case OPT_AUTH_HEADER:
        return auth_add_header(auth, value);
    default:
        return -1;
    }
}

/* Those that stand for options of the library. @return -1 for another one. */
static int take_named_option(struct serve *s, int option, const char *value)
{
    switch (option) {
    case OPT_ORIGIN:
        /* The chat page is served from here. */
        return add_to_list(s, "--origin", "origins", "same", value);
    case OPT_PROXY_PROTOCOL:
        return add_to_list(s, "--proxy-protocol", "proxy_protocol_from", "", value);
    case OPT_TRUST_FORWARDED:
        return add_to_list(s, "--trust-forwarded", "trust_forwarded_from", "", value);
    case OPT_CERT:
        return add_to_list(s, "--cert", "tls_certificate", "", value);
    case OPT_KEY:
        return add_to_list(s, "--key", "tls_key", "", value);
    case OPT_CA:
        s->has_ca = 1;
        return set_flag(s, "--ca", "tls_ca", value);
    case OPT_VERIFY_CLIENT:
        s->has_verify_client = 1;
        return set_flag(s, "--verify-client", "tls_verify_client",
                        value != NULL ? value : "required");
    case OPT_HISTORY:
        return set_flag(s, "--history", "history_messages", value);
    case OPT_SLOW:
        return set_flag(s, "--slow", "slow_members", value);
    case OPT_CLUSTER:
        return set_flag(s, "--cluster", "cluster", value);
    default:
        return -1;
    }
}

static int take_option(struct serve *s, int option, const char *value)
{
    int status = take_auth_option(&s->auth, option, value);

    if (status < 0)
        status = take_named_option(s, option, value);
    if (status >= 0)
        return status;
    switch (option) {
    case ARG_PLAIN:
        if (s->url_count == LISTENERS_MAX)
            return usage_error(command, "more than %d listeners", LISTENERS_MAX);
        s->urls[s->url_count++] = value;
        return 0;
    case OPT_WORKERS:
        return parse_count(command, "--workers", value, 1, 256, &s->workers);
    case OPT_WWW:
        s->www = value;
        return 0;
    case OPT_PUBLIC:
        s->is_public = 1;
        return 0;
    case OPT_SET:
        return set_option(command, rules, s->runtime, s->server, NULL, value);
    case OPT_HEARTBEAT:
        return set_heartbeat(s, value);
    case OPT_ADMIN:
        s->admin_url = value;
        return 0;
    case OPT_ADMIN_KEY:
        s->admin_key = value;
        return 0;
    case OPT_QUIET:
        s->is_quiet = 1;
        return 0;
    case OPT_LOG_LEVEL:
        return take_log_level(s, value);
    default:
        return EXIT_USAGE;
    }
}

/* Authorities of clients that nobody asks for certificates: so they would all come in. */
static int check_ca(const struct serve *s)
{
    int64_t verifies = 0;

    if (!s->has_ca || s->has_verify_client ||
        wsock_server_get_int64(s->server, "tls_verify_client", &verifies) < 0 ||
        verifies != 0)
        return 0;
    return usage_error(command, "--ca has an effect with --verify-client only");
}

static int read_arguments(struct serve *s, struct args *args)
{
    const char *value = NULL;
    int option = 0;

    while ((option = args_next(args, &value)) != ARG_END) {
        const int r = take_option(s, option, value);

        if (r != 0)
            return r;
    }
    if (s->url_count == 0)
        s->urls[s->url_count++] = default_url;
    if (check_ca(s) != 0)
        return EXIT_USAGE;
    if (s->admin_key != NULL && s->admin_url == NULL)
        return usage_error(command, "--admin-key has an effect with --admin only");
    for (size_t i = 0; i < s->url_count; i++) {
        if (!s->is_public && !is_local(s->urls[i]))
            return usage_error(command,
                               "%s can be reached from other machines; say --public "
                               "if that is what you want",
                               s->urls[i]);
    }
    if (s->workers != 0 && wsock_runtime_set_int64(s->runtime, "workers", s->workers) < 0)
        return usage_error(command, "--workers: %s", wsock_runtime_error(s->runtime));
    return 0;
}

/* Between the lines that say where it listens and wsock_runtime_run() a signal may come
 * already. It is kept, and raised again once the library waits for it. */
static atomic_int early_signal; /* lock-free: written by a handler, read by a worker */

static void on_early_signal(int number)
{
    early_signal = number;
}

static void on_handover(wsock_timer *timer, uint64_t missed, void *user)
{
    struct sigaction now;

    (void)missed;
    (void)user;
    sigaction(SIGTERM, NULL, &now);
    if (now.sa_handler == on_early_signal)
        return;
    wsock_timer_stop(timer);
    if (early_signal != 0)
        kill(getpid(), early_signal);
}

static int keep_early_signals(wsock_runtime *runtime)
{
    struct sigaction action = {.sa_handler = on_early_signal};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return wsock_runtime_timer(runtime, NULL, 1, 10, on_handover, NULL, NULL);
}

static int run(struct serve *s, struct args *args)
{
    int status = read_arguments(s, args);
    int r = 0;

    if (status == 0)
        status = setup_log(s);
    if (status == 0)
        status = setup_endpoints(s);
    if (status == 0 && speaks_tls(s))
        reload_block();
    /* First: a server that takes clients can be administered. */
    if (status == 0 && s->admin_url != NULL)
        status = admin_start(&s->admin, s->runtime, s->server, s->admin_url,
                             s->admin_key);
    if (status == 0)
        status = listen_all(s);
    if (status == 0 && speaks_tls(s))
        status = reload_start(s->server, (int)s->log_level);
    if (status != 0)
        return status;
    r = keep_early_signals(s->runtime);
    if (r == 0 && !s->is_quiet)
        announce(s);
    if (r == 0)
        r = wsock_runtime_run(s->runtime, WSOCK_RUN_SIGNALS);
    if (r < 0)
        return fail(command, "cannot run: %s", wsock_strerror(r));
    return EXIT_OK;
}

static int wants_help(int argc, char **argv)
{
    struct args args;
    const char *value = NULL;
    int option = 0;

    args_init(&args, command, options, sizeof options / sizeof options[0], argc, argv);
    while ((option = args_next(&args, &value)) != ARG_END) {
        if (option == OPT_HELP || option == ARG_BAD)
            return option;
    }
    return 0;
}

int serve_main(int argc, char **argv)
{
    struct serve s = {.log_level = -1, .auth.by_backend.timeout_ms = 5000};
    struct args args;
    const int help = wants_help(argc, argv);
    int status = EXIT_FAILED;
    int r = 0;

    if (help == ARG_BAD)
        return EXIT_USAGE;
    if (help == OPT_HELP)
        return help_print(command, WSOCK_SCOPE_RUNTIME | WSOCK_SCOPE_SERVER, rules);
    args_init(&args, command, options, sizeof options / sizeof options[0], argc, argv);
    r = wsock_runtime_new(&s.runtime);
    if (r == 0)
        r = wsock_server_new(s.runtime, &s.server);
    if (r == 0)
        r = wsock_server_set(s.server, "compression",
                             option_rule_of(rules, "compression")->value);
    if (r < 0)
        fail(command, "cannot start: %s", wsock_strerror(r));
    else
        status = run(&s, &args);
    reload_stop();
    admin_stop(s.admin);
    auth_stop(&s.auth);
    wsock_server_free(s.server);
    wsock_runtime_free(s.runtime);
    admin_free(s.admin);
    auth_end(&s.auth);
    rooms_free(s.rooms);
    return status;
}
