/* SPDX-License-Identifier: MIT */
/*
 * An application for the conversations of vectors.json: it serves rooms, is who clients
 * say they are, and does what it is told by lines of JSON on standard input. Each line is
 * done when "done" comes on standard output, so the order of it and of what clients send
 * is that of who writes both. The end of input ends it.
 *
 *     app [NAME=VALUE...]      options of the server
 *
 *     ["decide", HOW]          how the next question is answered, an object with one of
 *                              refuse (a code; and retry), accept (an object of identity,
 *                              info, expires_ms, data), reply (any JSON), keep (for
 * ever), forget (at once). Without it each is accepted
 *     ["publish", ROOM, HOW]   data, event, except (an identity)
 *     ["kick", ROOM, IDENTITY, REASON]
 *     ["close", ROOM, REASON]
 *     ["stall", IDENTITY]      begin a heartbeat to it: what rooms say waits behind that
 *     ["flow", IDENTITY]       end it
 *     ["disconnect", IDENTITY, CODE, REASON]
 *     ["away", AFTER_MS, RECONNECT]
 *     ["stop"]
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <wsock/wsock.h>

static struct {
    wsock_runtime *runtime;
    wsock_server *server;
    pthread_mutex_t lock; /* what follows */
    json_t *decision;     /* (owned, nullable) */
    wsock_ask *kept;      /* a reference, nullable */
} app = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what it is asked ---- */

static json_t *take_decision(void)
{
    json_t *decision;

    pthread_mutex_lock(&app.lock);
    decision = app.decision;
    app.decision = NULL;
    pthread_mutex_unlock(&app.lock);
    return decision;
}

/* In the place of the one before. @param ask (nullable) */
static void keep(wsock_ask *ask)
{
    pthread_mutex_lock(&app.lock);
    wsock_ask_unref(app.kept);
    app.kept = ask != NULL ? wsock_ask_ref(ask) : NULL;
    pthread_mutex_unlock(&app.lock);
}

static void reply(wsock_ask *ask, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text != NULL)
        wsock_ask_reply(ask, text, strlen(text));
    free(text);
}

static void allow(wsock_ask *ask, const json_t *how)
{
    const char *identity = json_string_value(json_object_get(how, "identity"));
    const json_t *info = json_object_get(how, "info"),
                 *data = json_object_get(how, "data");
    char *text = json_dumps(info != NULL ? info : data, JSON_COMPACT | JSON_ENCODE_ANY);

    if (identity == NULL && wsock_ask_kind(ask) == WSOCK_ASK_HELLO)
        identity = wsock_ask_name(ask);
    if (identity != NULL)
        wsock_ask_set_identity(ask, identity);
    if (json_object_get(how, "expires_ms") != NULL)
        wsock_ask_set_expiry_ms(ask,
                                json_integer_value(json_object_get(how, "expires_ms")));
    if (info != NULL && text != NULL)
        wsock_ask_set_info(ask, text, strlen(text));
    else if (text != NULL)
        wsock_ask_set_data(ask, WSOCK_TEXT | WSOCK_JSON, text, strlen(text));
    free(text);
    wsock_ask_accept(ask);
}

static void on_ask(wsock_ask *ask, void *user)
{
    json_t *decision = take_decision();
    const char *code = json_string_value(json_object_get(decision, "refuse"));

    (void)user;
    if (code != NULL)
        wsock_ask_refuse(ask, code, "as the application decided",
                         json_is_true(json_object_get(decision, "retry")));
    else if (json_object_get(decision, "reply") != NULL)
        reply(ask, json_object_get(decision, "reply"));
    else if (json_object_get(decision, "keep") != NULL)
        keep(ask);
    else if (json_object_get(decision, "forget") == NULL)
        allow(ask, json_object_get(decision, "accept"));
    json_decref(decision);
}

/* ---- what it does by itself ---- */

/* A copy, since whoever takes it changes how often it is counted, at the same time. */
static int decide(const json_t *line)
{
    json_t *decision = json_deep_copy(json_array_get(line, 1));

    pthread_mutex_lock(&app.lock);
    json_decref(app.decision);
    app.decision = decision;
    pthread_mutex_unlock(&app.lock);
    return decision != NULL ? 0 : WSOCK_EINVAL;
}

static int publish(wsock_room *room, const json_t *how)
{
    char *text = json_dumps(json_object_get(how, "data"), JSON_COMPACT | JSON_ENCODE_ANY);
    const wsock_publish what = {
        .size = sizeof what,
        .type = WSOCK_TEXT | WSOCK_JSON,
        .data = text,
        .len = text != NULL ? strlen(text) : 0,
        .event = json_string_value(json_object_get(how, "event")),
        .except_identity = json_string_value(json_object_get(how, "except")),
    };
    const int r = wsock_room_publish(room, &what, NULL);

    free(text);
    return r;
}

static const char *text_at(const json_t *line, size_t index)
{
    return json_string_value(json_array_get(line, index));
}

static wsock_conn *conn_of(const char *identity)
{
    wsock_conn *conn = NULL;

    wsock_server_identity_conns(app.server, &conn, 1, identity);
    return conn;
}

/* A heartbeat in two parts. */
static int stall(const char *identity)
{
    static const char begin[] = "{\"type\":";
    wsock_conn *conn = conn_of(identity);
    int r = conn != NULL ? wsock_conn_send_begin(conn, WSOCK_TEXT) : WSOCK_ENOENT;

    if (r == 0)
        r = wsock_conn_send_append(conn, begin, sizeof begin - 1);
    wsock_conn_unref(conn);
    return r;
}

static int flow(const char *identity)
{
    static const char end[] = "\"hb\"}";
    wsock_conn *conn = conn_of(identity);
    int r = conn != NULL ? wsock_conn_send_append(conn, end, sizeof end - 1)
                         : WSOCK_ENOENT;

    if (r == 0)
        r = wsock_conn_send_end(conn);
    wsock_conn_unref(conn);
    return r;
}

static int do_in_room(const char *what, const json_t *line)
{
    wsock_room *room = NULL;
    int r = wsock_server_room(app.server, &room, text_at(line, 1));

    if (r < 0)
        return r;
    if (strcmp(what, "publish") == 0)
        r = publish(room, json_array_get(line, 2));
    else if (strcmp(what, "kick") == 0)
        r = wsock_room_kick(room, text_at(line, 2), text_at(line, 3));
    else if (strcmp(what, "close") == 0)
        r = wsock_room_close(room, text_at(line, 2));
    else
        r = WSOCK_EINVAL;
    wsock_room_unref(room);
    return r;
}

static int do_line(const json_t *line)
{
    const char *what = text_at(line, 0);

    if (what == NULL)
        return WSOCK_EINVAL;
    if (strcmp(what, "decide") == 0)
        return decide(line);
    if (strcmp(what, "stall") == 0)
        return stall(text_at(line, 1));
    if (strcmp(what, "flow") == 0)
        return flow(text_at(line, 1));
    if (strcmp(what, "disconnect") == 0)
        return wsock_server_disconnect(app.server, text_at(line, 1),
                                       (int)json_integer_value(json_array_get(line, 2)),
                                       text_at(line, 3));
    if (strcmp(what, "away") == 0)
        return wsock_server_away(app.server,
                                 (uint64_t)json_integer_value(json_array_get(line, 1)),
                                 json_is_true(json_array_get(line, 2)));
    if (strcmp(what, "stop") == 0) {
        wsock_server_stop(app.server);
        return 0;
    }
    return do_in_room(what, line);
}

static void do_lines(void)
{
    char text[4096];

    while (fgets(text, sizeof text, stdin) != NULL) {
        json_t *line = json_loads(text, 0, NULL);
        const int r = do_line(line);

        json_decref(line);
        printf("%s\n", r < 0 ? wsock_strerror(r) : "done");
        fflush(stdout);
    }
}

/* ---- serving ---- */

static int set(const char *option)
{
    char name[64] = "";
    const char *value = strchr(option, '=');

    if (value == NULL || (size_t)(value - option) >= sizeof name)
        return WSOCK_EINVAL;
    memcpy(name, option, (size_t)(value - option));
    return wsock_server_set(app.server, name, value + 1);
}

static int serve(const char *path)
{
    static const wsock_rooms_hooks hooks = {.size = sizeof hooks,
                                            .on_hello = on_ask,
                                            .on_join = on_ask,
                                            .on_publish = on_ask,
                                            .on_call = on_ask};
    wsock_endpoint *endpoint = NULL;
    int r = wsock_server_endpoint(app.server, &endpoint, path);

    if (r == 0)
        r = wsock_endpoint_serve_rooms(endpoint, &hooks, NULL, NULL);
    wsock_endpoint_unref(endpoint);
    return r;
}

static int begin(int argc, char **argv)
{
    char url[256];
    int r = wsock_runtime_new(&app.runtime);

    if (r == 0)
        r = wsock_server_new(app.runtime, &app.server);
    for (int i = 1; i < argc && r == 0; i++)
        r = set(argv[i]);
    if (r == 0)
        r = serve("/rooms");
    if (r == 0)
        r = serve("/rooms/{room}");
    if (r == 0)
        r = wsock_server_listen(app.server, "ws://127.0.0.1:0");
    if (r == 0 && wsock_server_url(app.server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
    }
    return r;
}

int main(int argc, char **argv)
{
    const int r = begin(argc, argv);

    if (r == 0)
        do_lines();
    else
        fprintf(stderr, "app: %s\n", wsock_strerror(r));
    json_decref(take_decision());
    keep(NULL);
    wsock_server_free(app.server);
    wsock_runtime_free(app.runtime);
    return r < 0;
}
